"""``changedet timeline``: since when a place differs, and whether it still does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from changedet.cli import options  # noqa: TC001  # typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.cli.detect import choose_site, default_folder

if TYPE_CHECKING:
    from changedet.timeline.access import SeriesPlan
    from changedet.timeline.types import Timeline

_DATES, _ZONES = "Which dates", "What is followed"

During = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--during", help="Span of time, such as 2022/2024 or 2023-05/.. (open).",
                 rich_help_panel=_DATES, metavar="A/B"),
]  # fmt: skip
Images = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--images", help="Local folder with one scene folder or raster for each date; no network.",
                 rich_help_panel=_DATES, metavar="DIR"),
]  # fmt: skip
RadarImages = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--radar-images", help="Local radar instead of a provider's: a folder of rasters, each a "
                 "pass, in folders of their tracks.", rich_help_panel=_DATES, metavar="DIR"),
]  # fmt: skip
MinSeen = Annotated[
    float,
    typer.Option("--min-clear", help="Share of the site that a date must show clear to be read, 0 to 1.",
                 rich_help_panel=_DATES, min=0.0, max=1.0),
]  # fmt: skip
Points = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--point", help='Point that is followed, 3 x 3 pixels: "38.58, 126.11"; may be repeated.',
                 rich_help_panel=_ZONES, metavar="TEXT"),
]  # fmt: skip
Objects = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--object", help="Object of an earlier run that is followed, such as runs/pier:3; may be "
                 "repeated.", rich_help_panel=_ZONES, metavar="DIR:ID"),
]  # fmt: skip
Indices = Annotated[
    str,
    typer.Option("--index", help="Indices, with commas between them: ndvi, brightness, ndbi, bsi, mndwi, ...",
                 rich_help_panel=_ZONES, metavar="NAMES"),
]  # fmt: skip
Register = Annotated[
    bool,
    typer.Option("--register/--no-register", help="Register the dates to each other (the default), or not.",
                 rich_help_panel=_DATES),
]  # fmt: skip


def timeline(
    *,
    during: During = None,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    images: Images = None,
    sensor: options.ComparedSensors = "s2",
    radar_images: RadarImages = None,
    radar_provider: options.RadarProviderName = None,
    radar_unit: options.RadarUnit = "linear",
    radar_scale: options.RadarScale = 1.0,
    radar_offset: options.RadarOffset = 0.0,
    point: Points = None,
    followed: Objects = None,
    index: Indices = "ndvi,brightness,ndbi",
    register: Register = True,
    provider: options.ProviderName = "earth-search",
    min_clear: MinSeen = 0.3,
    max_tile_cloud: options.MaxTileCloud = 0.9,
    max_pu: options.MaxUnits = None,
    cache: options.Cache = None,
    dry_run: options.DryRun = False,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Follow a place through time: since when does it differ, and does it still."""
    from changedet.investigation import AccessOptions
    from changedet.output.timeline_folder import check_timeline_target
    from changedet.radar.series_access import radar_request
    from changedet.timeline.making import TimelineRequest, default_settings, make_timeline
    from changedet.timeline.types import index_names

    started = datetime.now(UTC)
    site = choose_site(at, radius, bbox, aoi, name)
    radar = radar_request(sensor, radar_images, radar_unit, (radar_scale, radar_offset), radar_provider)
    request = TimelineRequest(
        during, provider, images, tuple(point or ()), tuple(followed or ()),
        default_settings(index_names(index), register=register),
        AccessOptions(max_tile_cloud=max_tile_cloud, cache=cache, max_processing_units=max_pu), min_clear,
        radar,
    )  # fmt: skip
    if out is not None:
        check_timeline_target(out, overwrite=overwrite)
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        plan = request.plan(site, bar, looking=not dry_run)
        if dry_run:
            _tell_plan(plan, as_json=as_json)
            return
        found = make_timeline(site, request, bar, plan)
        folder = out or default_folder(f"{found.name}-timeline", found.span[1])
        _save(found, folder, started, overwrite=overwrite)
    _tell(found, folder, as_json=as_json, quiet=quiet)


def _save(found: Timeline, folder: Path, started: datetime, *, overwrite: bool) -> None:
    from changedet.output.timeline_folder import save_timeline

    save_timeline(found, folder, overwrite=overwrite, command=command_line(), started=started)


def _tell(found: Timeline, folder: Path, *, as_json: bool, quiet: bool) -> None:
    """Print the timeline: to stdout what was found, to stderr what to beware of when stdout is data."""
    from changedet.output.timeline_facts import timeline_lines
    from changedet.output.timeline_folder import PAGE, read_timeline_record

    for warning in found.warnings if as_json else ():
        say(f"changedet: warning: {warning}", quiet=quiet)
    document = {}
    if as_json:
        document = read_timeline_record(folder) | {"folder": str(folder)}
    emit(document, [*timeline_lines(found), f"page: {folder / PAGE}"], as_json=as_json)


def _tell_plan(plan: SeriesPlan, *, as_json: bool) -> None:
    """Print which dates would be read."""
    from changedet.cli.run_one import cost_text

    lines = [f"* {one.scene.date_text}  {one.scene.id}" for one in plan.sources]
    lines += [f"  {one.date}  {one.reason}  {one.scene_id}" for one in plan.left_out]
    counts = [f"{len(plan.sources)} date(s)"] if plan.sources else []
    if plan.radar is not None:
        for one in plan.radar.tracks:
            lines += [f"* {scene.date_text}  radar {one.track.label}  {scene.id}" for scene in one.scenes]
            counts.append(f"{len(one.scenes)} radar pass(es) of {one.track.label}")
        lines += [f"  {one.date}  radar: {one.reason}  {one.scene_id}" for one in plan.radar.left_out]
    rows, columns = plan.frame.context.shape
    free = not plan.estimate.requests
    cost = "" if free else f": {cost_text(plan.estimate)}"
    lines += ["", *plan.notes] if plan.notes else []
    lines += ["", f"Would read {' and '.join(counts)} of {columns} x {rows} pixels{cost}."]
    emit(plan.to_dict() | {"dry_run": True}, lines, as_json=as_json)
