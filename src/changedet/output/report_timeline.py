"""The part of the report that is about the site in time: what a timeline of the same place says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import InputFileError, UsageError, VerificationError
from changedet.hashing import sha256_file
from changedet.json_texts import OTHER_SHAPE, parse_grid
from changedet.output import facts
from changedet.output.picture import shrink, to_jpeg_data_url
from changedet.output.timeline_facts import STATES
from changedet.output.timeline_folder import AGAIN, PLOT, RECORD, read_timeline_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odc.geo.geobox import GeoBox

#: Longest side of the plot in the report, in pixels, and what it may take.
_LARGEST_PX, _MOST_BYTES = 1500, 170_000
_MOST_ROWS = 60


def read_timeline(folder: str | Path, grid: GeoBox) -> dict[str, Any]:
    """Read what the report says of a timeline.

    Parameters
    ----------
    folder : str or Path
        The folder of a timeline.
    grid : GeoBox
        Of the result whose report it is.

    Returns
    -------
    dict
        ``name``, ``period``, ``dates`` (how many), ``plot`` (a data URL), ``breaks`` (rows for a reader),
        ``left_out`` (how many dates) and ``sha256`` of the record.

    Raises
    ------
    MissingInputError
        When it is no folder of a timeline.
    VerificationError
        When it was changed since it was written.
    UsageError
        When it is the timeline of another place.
    """
    folder = Path(folder)
    record = read_timeline_record(folder)
    try:
        if not _extent(_grid(record["grid"])).intersects(_extent(grid)):
            raise UsageError(
                "the timeline is of another place", where=str(folder), todo="name one of the same site"
            )
        if sha256_file(folder / PLOT) != record["files"][PLOT]["sha256"]:
            raise VerificationError(f"{PLOT} was changed", where=str(folder), todo=AGAIN)
        dates = [str(one["date"]) for one in record["dates"]]
        return {
            "name": facts.clean(record["name"], 120),
            "period": f"{dates[0]} to {dates[-1]}" if dates else "no clear date",
            "dates": len(dates),
            "left_out": len(record["left_out"]),
            "plot": _plot(folder / PLOT),
            "breaks": [_row(zone, one) for zone in record["zones"] for one in zone["breaks"]][:_MOST_ROWS],
            "sha256": sha256_file(folder / RECORD),
        }
    except (*OTHER_SHAPE, OSError) as error:
        if isinstance(error, InputFileError | UsageError):
            raise
        raise VerificationError(f"damaged ({str(error)[:120]})", where=str(folder), todo=AGAIN) from error


def _grid(described: Mapping[str, Any]) -> GeoBox:
    return parse_grid(described)


def _extent(grid: GeoBox) -> Any:  # noqa: ANN401  # shapely ships no precise type for "any polygon"
    return grid.extent.to_crs("EPSG:4326").geom


def _plot(path: Path) -> str:
    import cv2

    picture = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1]
    return to_jpeg_data_url(shrink(np.ascontiguousarray(picture), _LARGEST_PX), most_bytes=_MOST_BYTES)


def _row(zone: Mapping[str, Any], one: Mapping[str, Any]) -> tuple[str, ...]:
    """Return place, when it began, whether it still shows, kind and evidence."""
    decided = one.get("decided_by") or {}
    until = f", until {one['last_seen']} to {one['over_by']}" if one["over_by"] else ""
    phase = f", phase {decided['phase']}" if decided.get("phase") else ""
    label = str(decided.get("label") or one["kind"])
    state = str(one["state"])
    return tuple(
        facts.clean(text, 400)
        for text in (
            zone["name"],
            f"{one['after']} to {one['by']}{until}",
            f"{state}: {STATES[state]}",
            f"{label}{phase}",
            one["evidence"],
        )
    )
