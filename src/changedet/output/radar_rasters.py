"""Radar in a run folder: its rasters, its section of the record, and the way back."""

from __future__ import annotations

import math
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import VerificationError
from changedet.output.geotiff import (
    Codes,
    common_tags,
    read_image,
    read_raster,
    write_codes,
    write_cog,
    write_image,
)
from changedet.radar.fusion import judged_by_radar
from changedet.radar.types import SEEN_LABELS, RadarEvidence, RadarSettings, Seen, TrackReport
from changedet.result import State
from changedet.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from changedet.result import ChangeResult
    from changedet.scene import Image

#: Codes of ``radar_state.tif``; they are those of ``state.tif``. Radar did not judge what it saw on too few
#: dates, or outside the site.
RADAR_STATE_LABELS: Mapping[State, str] = MappingProxyType(
    {
        State.NOT_FLAGGED: "not flagged by radar",
        State.CHANGED: "flagged by radar",
        State.NOT_OBSERVED: "not observed by radar",
        State.NOT_COMPARABLE: "observed and not judged by radar",
    }
)

_SEEN = Codes(
    {int(code): label for code, label in SEEN_LABELS.items()},
    {0: "#7f7f7f", 1: "#0072b2", 2: "#e69f00", 3: "#f2f2f2", 255: "#000000"},
    int(Seen.OUTSIDE),
)
_STATES = Codes(
    {int(code): label for code, label in RADAR_STATE_LABELS.items()},
    {0: "#f2f2f2", 1: "#d55e00", 2: "#7f7f7f", 3: "#cc79a7"},
    int(State.OUTSIDE),
)
_UNITS = MappingProxyType(
    {
        "radar_score": "standard deviations of unaltered ground; positive = brighter; NaN = not judged",
        "radar_change_db": "decibels, mean of polarisations, tracks; positive = brighter; NaN = not judged",
    }
)


def seen_codes(result: ChangeResult) -> NDArray[np.uint8]:
    """Tell which sensors observed each pixel of the site on both periods.

    Parameters
    ----------
    result : ChangeResult
        Any result. What the evidence of radar says itself is believed; else optical imagery observed what is
        usable in both images.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        `Seen` codes, `Seen.OUTSIDE` outside the site.
    """
    radar = result.radar
    if radar is not None and radar.seen is not None:
        return radar.seen
    shape = result.state.shape
    observed = np.zeros(shape, bool) if radar is None else radar.observed
    optical = np.zeros(shape, bool) if result.radar_alone else result.before.valid & result.after.valid
    codes = optical * np.uint8(Seen.OPTICAL) + observed * np.uint8(Seen.RADAR)
    return np.where(result.state == State.OUTSIDE, np.uint8(Seen.OUTSIDE), codes)


def seen_shares(result: ChangeResult) -> dict[Seen, float]:
    """Return the share of the site that each sensor observed; the shares add up to 1."""
    seen = seen_codes(result)
    inside = max(int((seen != Seen.OUTSIDE).sum()), 1)
    return {code: float((seen == code).sum() / inside) for code in Seen if code != Seen.OUTSIDE}


def radar_section(result: ChangeResult) -> dict[str, Any]:
    """Describe what radar was compared by and what it said, for ``run.json``.

    Parameters
    ----------
    result : ChangeResult
        With evidence of radar.

    Returns
    -------
    dict
        Settings, tracks, scenes of the pictures, warnings, and pixels, shares and objects by sensor.
    """
    radar = result.radar
    if radar is None:
        return {}
    from changedet.output.stretch import stretch_limits

    limits = stretch_limits(radar.before, radar.after, radar.observed)
    return {
        "settings": radar.settings.to_dict(),
        "tracks": [track.to_dict() for track in radar.tracks],
        "scenes": {"before": radar.before.scene.to_dict(), "after": radar.after.scene.to_dict()},
        "bands": radar.before.bands,
        "classes_source": {"before": radar.before.classes_source, "after": radar.after.classes_source},
        "pictures": "compared images" if _is_compared(result) else "of radar",
        "stretch_db": {
            band: [low, high] for band, low, high in zip(limits.bands, limits.low, limits.high, strict=True)
        },
        "warnings": radar.warnings,
        "counts": _radar_counts(result, radar),
    }


def _radar_counts(result: ChangeResult, radar: RadarEvidence) -> dict[str, Any]:
    offsets = [math.hypot(*by) for one in radar.compared for by in one.platform_offsets_px.values()]
    seen, shares = seen_codes(result), seen_shares(result)
    inside = seen != Seen.OUTSIDE
    pixels = {SEEN_LABELS[code]: int((seen == code).sum()) for code in Seen if code != Seen.OUTSIDE}
    return {
        "largest_platform_offset_px": max(offsets, default=None),
        "tracks_compared": len(radar.compared),
        "passes_by_track": {one.track.label: [len(one.before), len(one.after)] for one in radar.compared},
        "passes_before": sum(len(one.before) for one in radar.compared),
        "passes_after": sum(len(one.after) for one in radar.compared),
        "pixels_flagged_by_radar": int((radar.flagged & inside).sum()),
        "pixels_by_sensor": pixels,
        "share_observed_by_radar": shares[Seen.RADAR] + shares[Seen.BOTH],
        "share_by_sensor": {SEEN_LABELS[code]: share for code, share in shares.items()},
        "objects_by_sensor": dict(sorted(Counter(str(s) for s in result.objects["sensor"]).items())),
    }


def write_radar_rasters(result: ChangeResult, folder: Path, *, images: bool) -> list[Path]:
    """Write what radar says of a site.

    Parameters
    ----------
    result : ChangeResult
        Nothing is written for a result without radar.
    folder : Path
        An existing folder. It receives ``radar_score.tif`` and ``radar_change_db.tif`` (float32),
        ``radar_state.tif`` (uint8 codes of `RADAR_STATE_LABELS`) and ``sensor.tif`` (uint8 codes of `Seen`).
    images : bool
        Also write ``radar_before.tif`` and ``radar_after.tif``: mean power of the leading track. Where radar
        is all there is, ``before.tif`` and ``after.tif`` hold it.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    radar = result.radar
    if radar is None:
        return []
    tags = common_tags(result)
    planes = {"radar_score": radar.deviations, "radar_change_db": radar.change_db}
    for name, plane in planes.items():
        write_cog(
            folder / f"{name}.tif",
            plane.astype(np.float32, copy=False),
            radar.grid,
            descriptions=[_UNITS[name]],
            nodata=np.nan,
            tags=tags | {"UNITS": _UNITS[name]},
        )
    write_codes(folder / "radar_state.tif", _states(result, radar), radar.grid, tags, _STATES)
    write_codes(folder / "sensor.tif", seen_codes(result), result.grid, tags, _SEEN)
    names = [*planes, "radar_state", "sensor"]
    if images and not _is_compared(result):
        write_image(folder / "radar_before.tif", radar.before, tags)
        write_image(folder / "radar_after.tif", radar.after, tags)
        names += ["radar_before", "radar_after"]
    return [folder / f"{name}.tif" for name in names]


def _states(result: ChangeResult, radar: RadarEvidence) -> NDArray[np.uint8]:
    """Return what radar says by itself; what it did not decide it does not call unflagged."""
    judged = judged_by_radar(radar) & (result.state != State.OUTSIDE)
    state = np.where(judged, np.uint8(State.NOT_FLAGGED), np.uint8(State.NOT_COMPARABLE))
    state[~radar.observed] = State.NOT_OBSERVED
    state[radar.flagged] = State.CHANGED
    return state


def read_radar(
    folder: Path, record: Mapping[str, Any], compared: tuple[Image, Image]
) -> RadarEvidence | None:
    """Read back what radar said.

    Parameters
    ----------
    folder : Path
        A run folder.
    record : mapping
        Its ``run.json``.
    compared : tuple of Image
        The compared images of that folder, which are those of radar where it is all there is.

    Returns
    -------
    RadarEvidence or None
        None where no radar was asked, as in what earlier versions wrote.

    Raises
    ------
    InputFileError
        When a file is damaged or (`MissingInputError`) not there.
    VerificationError
        When the files do not fit each other.
    """
    section = record.get("radar")
    if section is None:
        return None
    grid = compared[0].grid
    names = ("radar_score", "radar_change_db", "radar_state", "sensor")
    deviations, change_db, state, seen = (_plane(folder / f"{n}.tif", tuple(grid.shape)) for n in names)
    before, after = compared
    if section["pictures"] != "compared images":
        before, after = (_picture(folder, date, section, compared[0]) for date in ("before", "after"))
    return RadarEvidence(
        grid,
        before,
        after,
        deviations.astype(np.float32),
        change_db.astype(np.float32),
        flagged=np.asarray(state == State.CHANGED),
        observed=np.asarray(state != State.NOT_OBSERVED),
        tracks=tuple(TrackReport.from_dict(track) for track in section["tracks"]),
        settings=RadarSettings.from_dict(section["settings"]),
        warnings=tuple(section["warnings"]),
        seen=seen.astype(np.uint8),
    )


def _picture(folder: Path, date: str, section: Mapping[str, Any], compared: Image) -> Image:
    scene, source = Scene.from_dict(section["scenes"][date]), str(section["classes_source"][date])
    return read_image(folder / f"radar_{date}.tif", tuple(section["bands"]), scene, source, compared.grid)


def _plane(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    planes = read_raster(path)[0]
    if planes.shape != (1, *shape):
        raise VerificationError("does not fit the other files", where=str(path), todo="make the run again")
    return np.asarray(planes[0])


def _is_compared(result: ChangeResult) -> bool:
    """Tell whether the pictures of radar are the compared images themselves."""
    radar = result.radar
    return radar is not None and all(
        one is other
        or (one.scene == other.scene and one.bands == other.bands and _same(one.data, other.data))
        for one, other in ((radar.before, result.before), (radar.after, result.after))
    )


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))
