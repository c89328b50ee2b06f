"""The folder of a timeline: page, plot, tables and chips, written whole or not at all."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import (
    ChangedetError,
    MissingInputError,
)
from changedet.output.radar_series_table import radar_csv
from changedet.output.tables import csv_text, number_text
from changedet.output.timeline_chips import contact_sheet, draw_chips, write_animation, write_chips
from changedet.output.timeline_page import timeline_html
from changedet.output.timeline_plot import plot_timeline
from changedet.output.whole import check_folder, keep, one_line_errors, set_aside, temporary_sibling
from changedet.provenance import (
    RECORD_NAME,
    file_names,
    file_records,
    library_versions,
    read_layout,
    strange_file,
    to_json_types,
)
from changedet.radar.agreement import break_opinions, optical_gaps
from changedet.timeline.kinds import zone_floor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from changedet.timeline.types import Timeline, ZoneTimeline

#: Layout of the record.
SCHEMA = "changedet.timeline.types/1"
#: Names of the files.
RECORD, TABLE, PLOT, PAGE = "timeline.json", "timeline.csv", "timeline.png", "timeline.html"
CHIPS, SHEET, ANIMATION = "chips", "contact_sheet.png", "animation.webp"
RADAR_TABLE = "radar.csv"
#: Columns of the table.
COLUMNS = (
    "date", "time_utc", "zone", "index", "value", "spread", "seen_share", "pixels", "expected", "band_low",
    "band_high", "outside", "counts", "reason", "scene",
)  # fmt: skip
_DOTS_PER_INCH = 110
#: What to do about a timeline that is not as it was written.
AGAIN = "make the timeline again"


def save_timeline(
    timeline: Timeline,
    folder: str | Path,
    *,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    started: datetime | None = None,
) -> Path:
    """Write a timeline as a folder.

    Parameters
    ----------
    timeline : Timeline
        What is written.
    folder : str or Path
        The folder to make; missing parents are made too.
    overwrite : bool
        Replace a timeline that is there already. A folder that holds anything else is never replaced.
    command : sequence of str, optional
        The command line, for the record.
    started : datetime, optional
        When the work began, time-zone aware; now when not given. With it the same bytes come out again.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputExistsError
        When the folder is there and may not be replaced.
    OutputError
        When it cannot be written (permission, full disk).
    """
    check_timeline_target(folder, overwrite=overwrite)
    target = Path(folder).resolve()
    with one_line_errors(target), temporary_sibling(target) as temporary:
        record = timeline_record(timeline, command=command, started=started)
        _write_products(timeline, temporary, record)
        names = [name for name in file_names(temporary) if name != RECORD]
        text = json.dumps(record | {"files": file_records(temporary, names)}, indent=1, ensure_ascii=False)
        (temporary / RECORD).write_text(text + "\n", encoding="utf-8", newline="\n")
        check_timeline_target(folder, overwrite=overwrite)  # again: someone else may have been quicker
        keep(temporary)
        with set_aside(target):
            temporary.rename(target)
    return Path(folder)


def check_timeline_target(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a target that `save_timeline` would refuse, before any work is done.

    Parameters
    ----------
    folder : str or Path
        The folder that is to be made.
    overwrite : bool
        Whether a timeline that is there may be replaced.

    Raises
    ------
    OutputExistsError
        When it is a file, or a folder that is not empty and may not be replaced: without `overwrite` any,
        with it one that no timeline wrote or that holds other files.
    OutputError, UsageError
        When it cannot be made, or is the working directory.
    """
    check_folder(folder, _foreign_file, overwrite=overwrite, kind="timeline")


def _foreign_file(folder: Path) -> str:
    """Return the first file that the record of a timeline does not list, "" when there is none."""
    try:
        known = {*read_timeline_record(folder)["files"], RECORD}
    except (ChangedetError, LookupError, TypeError):
        known = set()
    # the record of a run is not among the names, and no file of a timeline
    return RECORD_NAME if (folder / RECORD_NAME).exists() else strange_file(folder, known)


def read_timeline_record(folder: str | Path) -> dict[str, Any]:
    """Read the record of a timeline.

    Parameters
    ----------
    folder : str or Path
        What `save_timeline` wrote.

    Returns
    -------
    dict
        As `timeline_record` described it, with ``files``. No more than the layout was checked.

    Raises
    ------
    MissingInputError
        When the folder or the file is not there.
    VerificationError
        When the file is damaged or has another layout than `SCHEMA`.
    """
    path = Path(folder) / RECORD
    if not path.is_file():
        raise MissingInputError(
            "no such file", where=str(path), todo="name a folder that changedet timeline wrote"
        )
    return read_layout(path, SCHEMA, todo=AGAIN)


def timeline_record(
    timeline: Timeline, *, command: Sequence[str] | None = None, started: datetime | None = None
) -> dict[str, Any]:
    """Describe a timeline: parameters, scenes, zones, breaks, dates that were left out.

    Parameters
    ----------
    timeline : Timeline
        Any.
    command : sequence of str, optional
        The command line.
    started : datetime, optional
        When the work began; now when not given.

    Returns
    -------
    dict
        JSON-serialisable without NaN or infinity, in the layout `SCHEMA`, without files.
    """
    found = timeline.activity
    record: dict[str, object] = {
        "schema": SCHEMA,
        "software": {"name": "changedet", "version": version("changedet"), "libraries": library_versions()},
        "created_utc": (started or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": None if command is None else list(command),
        "name": timeline.name,
        "site": None if timeline.site is None else timeline.site.to_dict(),
        "grid": {
            "crs": str(timeline.grid.crs),
            "transform": list(timeline.grid.transform)[:6],
            "shape": list(timeline.grid.shape),
        },
        "parameters": timeline.parameters,
        "indices": list(timeline.indices),
        "dates": [one.to_dict() for one in timeline.dates],
        "closure_rmse_px": timeline.closure_rmse_px,
        "left_out": [one.to_dict() for one in timeline.left_out],
        "zones": [_zone_record(timeline, one) for one in timeline.zones],
        "activity": None if found is None else {
            "built_pixels": found.built_pixels,
            "pixels": found.pixels,
            "by_date": [
                {"date": one.date, "built_share": float(built), "all_share": float(whole),
                 "seen": float(seen)}
                for one, built, whole, seen in zip(
                    timeline.dates, found.built_share, found.all_share, found.seen_share, strict=True
                )
            ],
        },
        "warnings": list(timeline.warnings),
        "credit": list(dict.fromkeys(one.scene.credit for one in timeline.acquisitions)),
    }  # fmt: skip
    if timeline.radar is not None:
        record["radar"] = timeline.radar.to_dict() | {"zones": _radar_zones(timeline)}
    return {key: to_json_types(value) for key, value in record.items()}


def _radar_zones(timeline: Timeline) -> list[dict[str, Any]]:
    """Describe of each zone which sensors saw its breaks, and what radar has of times without clear dates."""
    followed = [] if timeline.radar is None else [
        one for one in timeline.zones if timeline.radar.zones_of(one.zone.name)
    ]  # fmt: skip
    return [
        {
            "name": one.zone.name,
            "breaks": [found.to_dict() for found in break_opinions(timeline, one)],
            "optical_gaps": [gap.to_dict() for gap in optical_gaps(timeline, one)],
        }
        for one in followed
    ]


def _zone_record(timeline: Timeline, zone: ZoneTimeline) -> dict[str, Any]:
    floor = zone_floor(zone, timeline.indices, timeline.days)
    return zone.zone.to_dict() | {
        "dates_that_count": int(zone.used.sum()),
        "baseline": zone.baseline is not None,
        "breaks": [one.to_dict() for one in zone.breaks],
        "passing": [one.to_dict() for one in zone.passing],
        "detection_floor": None if floor is None else floor.to_dict(),
        "notes": list(zone.notes),
        "hidden": [
            {"date": one.date, "reason": reason}
            for one, reason in zip(timeline.dates, zone.reasons, strict=True)
            if reason
        ],
    }


def _write_products(timeline: Timeline, folder: Path, record: Mapping[str, Any]) -> None:
    if timeline.dates:
        (folder / TABLE).write_text(timeline_csv(timeline), encoding="utf-8", newline="\n")
    if timeline.radar is not None:
        (folder / RADAR_TABLE).write_text(radar_csv(timeline), encoding="utf-8", newline="\n")
    _write_figure(plot_timeline(timeline), folder / PLOT)
    pictures = draw_chips(timeline)
    if pictures:
        (folder / CHIPS).mkdir()
        write_chips(timeline, pictures, folder / CHIPS)
        _write_figure(contact_sheet(timeline, pictures), folder / SHEET)
        write_animation(timeline, pictures, folder / ANIMATION)
    page = timeline_html(timeline, pictures, record)
    (folder / PAGE).write_text(page, encoding="utf-8", newline="\n")


def _write_figure(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DOTS_PER_INCH, metadata={"Software": f"changedet {version('changedet')}"})


def timeline_csv(timeline: Timeline) -> str:
    """Return the table of a timeline: a line for each date, zone and index, and one for each date left out.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    str
        Comma separated with a head line, `COLUMNS`; empty where nothing is known.
    """
    rows = [
        _row(timeline, zone, number, column)
        for number in range(len(timeline.dates))
        for zone in timeline.zones
        for column in range(len(timeline.indices))
    ]
    rows += [[one.date, "", "", "", *[""] * 8, "no", one.reason, one.scene_id] for one in timeline.left_out]
    return csv_text(COLUMNS, rows)


def _row(timeline: Timeline, zone: ZoneTimeline, number: int, column: int) -> list[str]:
    date, place = timeline.dates[number], (number, column)
    value, expected, sigma = (float(part[place]) for part in (zone.values, zone.expected, zone.sigma))
    half = timeline.band_sigma * sigma
    judged = not math.isnan(value - expected)
    outside = ("yes" if abs(value - expected) > half else "no") if judged else ""
    numbers = (value, float(zone.spread[place]), float(zone.share[number]))
    band = (expected, expected - half, expected + half)
    return [
        date.date, date.scene.time_text, zone.zone.name, timeline.indices[column], *map(number_text, numbers),
        str(int(zone.count[number])), *map(number_text, band), outside,
        "yes" if not math.isnan(value) else "no", zone.reasons[number], date.scene.id,
    ]  # fmt: skip
