"""``changedet detect``: compare two local images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.cli.detect_radar import RadarOptions
from changedet.errors import QualityGateError, UsageError
from changedet.radar.types import SensorChoice, sensor_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import date

    from changedet.comparison import DetectSettings
    from changedet.progress import Progress
    from changedet.providers.local import LocalOptions
    from changedet.radar.files import RadarFiles
    from changedet.result import ChangeResult
    from changedet.site import Site


def detect(
    *,
    before: options.Before,
    after: options.After,
    before_time: options.BeforeTime = None,
    after_time: options.AfterTime = None,
    sensor: options.ComparedSensors = "s2",
    radar_before: options.RadarBefore = None,
    radar_after: options.RadarAfter = None,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    method: options.Method = "predict",
    min_area: options.MinArea = "500m2",
    threshold: options.Threshold = 10.0,
    budget: options.Budget = None,
    keep_seasonal: options.KeepSeasonal = False,
    model: options.Model = None,
    band_weights: options.BandWeights = "auto",
    grid: options.Grid = "before",
    max_residual: options.MaxResidual = 0.5,
    strict: options.Strict = False,
    scale: options.Scale = None,
    offset: options.Offset = None,
    before_offset: options.BeforeOffset = None,
    after_offset: options.AfterOffset = None,
    nodata: options.Nodata = None,
    radar_unit: options.RadarUnit = "linear",
    radar_scale: options.RadarScale = 1.0,
    radar_offset: options.RadarOffset = 0.0,
    memory: options.Memory = None,
    jobs: options.Jobs = None,
    scratch: options.ScratchFolder = None,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    keep_images: options.KeepImages = None,
    redact_coordinates: options.RedactCoordinates = None,
    exit_code: options.ExitCode = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Compare two local images of one place and write a run folder. No network is used."""
    said = _Numbers(scale, offset, nodata)
    first, second = said.options(before_offset, before_time), said.options(after_offset, after_time)
    unit = radar_unit, radar_scale, radar_offset
    asked = RadarOptions(sensor_of(sensor), (radar_before, radar_after), *unit)
    how = method, (threshold, budget, keep_seasonal), min_area, grid, max_residual, band_weights, model
    site = choose_site(at, radius, bbox, aoi, name)
    radar = asked.open(before, after)
    task = _Task((before, first), (after, second), site, settings_of(*how), name, asked.sensor, radar)
    output = _Output(out, overwrite, keep_images, as_json, quiet, bool(redact_coordinates))
    display = partial(progress_on_terminal, show=progress, quiet=quiet, verbose=verbose)
    with _within(memory, jobs, scratch):
        result = task.carry_out(output, display, strict=strict)
    raise typer.Exit(exit_code_of(result, exit_code=exit_code))


def _within(memory: str | None, jobs: int | None, scratch: Path | None) -> AbstractContextManager[None]:
    """Let a run take no more of the machine than the options say."""
    from changedet.scale.resources import Resources

    return Resources.of(memory, jobs, scratch).in_use()


@dataclass(frozen=True)
class _Output:
    """What comes out, and where."""

    out: Path | None
    overwrite: bool
    keep_images: bool | None
    as_json: bool
    quiet: bool
    redact: bool


@dataclass(frozen=True)
class _Numbers:
    """What the user says about the stored numbers of both dates."""

    scale: float | None
    offset: float | None
    nodata: float | None

    def options(self, offset: float | None, time: str | None) -> LocalOptions:
        """Put together what is known of one date; its own offset wins over that of both."""
        from changedet.providers.local import LocalOptions

        return LocalOptions(
            scale=self.scale,
            offset=self.offset if offset is None else offset,
            nodata=self.nodata,
            time=None if time is None else _parse_time(time),
        )


@dataclass(frozen=True, eq=False)
class _Task:
    """The comparison that the options describe."""

    before: tuple[Path, LocalOptions]
    after: tuple[Path, LocalOptions]
    site: Site | None
    settings: DetectSettings
    name: str | None
    sensor: SensorChoice
    radar: RadarFiles | None

    def carry_out(
        self, output: _Output, display: Callable[[], AbstractContextManager[Progress]], *, strict: bool
    ) -> ChangeResult:
        """Compare, write the run folder, and print what was found."""
        from changedet.output.folder import save

        started = datetime.now(UTC)
        folder = self.target(output.out, overwrite=output.overwrite)
        with display() as bar:
            result = replace(self.run(bar, strict=strict), redact_coordinates=output.redact)
            save(
                result,
                folder,
                overwrite=output.overwrite,
                keep_images=output.keep_images,
                command=command_line(),
                started=started,
                progress=bar,
            )
        summarise(result, folder, as_json=output.as_json, quiet=output.quiet)
        return result

    def target(self, given: Path | None, *, overwrite: bool) -> Path:
        """Return the folder to write, by what the headers say when none was given; refuse one in use."""
        from changedet.output.folder import check_target
        from changedet.pipeline import default_name
        from changedet.providers.local import open_source

        folder = given
        if folder is None and self.sensor is SensorChoice.S1 and self.radar is not None:
            name = self.name or (self.site.name if self.site else "radar")
            folder = default_folder(name, self.radar.last_date_text)
        elif folder is None:
            scenes = [open_source(*side).scene for side in (self.before, self.after)]
            name = self.name or default_name(self.site, scenes[0])
            folder = default_folder(name, scenes[1].date_text)
        check_target(folder, overwrite=overwrite)
        return folder

    def run(self, progress: Progress, *, strict: bool) -> ChangeResult:
        """Compare the images; refuse a result with warnings when it has to be strict."""
        result = self._compared(progress)
        if strict:
            _require_no_warnings(result)
        return replace(result, name=self.name) if self.name else result

    def _compared(self, progress: Progress) -> ChangeResult:
        from changedet.pipeline import compare_radar_files, detect_with_radar
        from changedet.pipeline import detect as compare

        site, settings = self.site, self.settings
        if self.radar is not None and self.sensor is SensorChoice.S1:
            return compare_radar_files(self.radar, site=site, settings=settings, progress=progress)
        if self.radar is not None:
            images, radar = (self.before, self.after), self.radar.task()
            return detect_with_radar(images, radar, site=site, settings=settings, progress=progress)
        return compare(
            self.before[0],
            self.after[0],
            site=site,
            settings=settings,
            before_options=self.before[1],
            after_options=self.after[1],
            progress=progress,
        )


def settings_of(
    method: str,
    decision: tuple[float, str | None, bool],
    min_area: str,
    grid: str,
    max_residual: float,
    band_weights: str = "auto",
    model: Path | None = None,
) -> DetectSettings:
    """Make the settings of a comparison from the options that say how.

    The decision is --threshold, --budget and --keep-seasonal. A model is opened: what cannot be used is
    refused before anything is searched, fetched or compared.
    """
    from changedet.comparison import DetectSettings, threshold_of
    from changedet.deciders import open_deciders
    from changedet.site import parse_area_m2

    threshold, budget, keep_seasonal = decision
    settings = DetectSettings(
        method=method,
        threshold=threshold_of(threshold),
        budget=None if budget is None else parse_share(budget),
        keep_seasonal=keep_seasonal,
        band_weights=band_weights,
        min_area_m2=parse_area_m2(min_area),
        grid=grid,  # type: ignore[arg-type]  # checked by DetectSettings, whose message is better
        residual_limit_px=max_residual,
        model=None if model is None else str(model),
    )
    return open_deciders(settings).settled(settings)


def parse_share(text: str) -> float:
    """Read a share of the ground: ``"2.5%"`` or ``"0.025"``.

    Parameters
    ----------
    text : str
        A number, with or without a percent sign.

    Returns
    -------
    float
        0.025 for both examples.

    Raises
    ------
    UsageError
        When it is not a number above 0 and below 1.
    """
    percent = text.strip().endswith("%")
    try:
        share = float(text.strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise UsageError(f"cannot read the share {text!r}", todo="write for example 2.5%, or 0.025")
    return share


def choose_site(
    at: str | None, radius: str | None, bbox: str | None, aoi: Path | None, name: str | None
) -> Site | None:
    """Make the site from the options that say where; None when none does.

    Raises
    ------
    UsageError
        When several do, or one cannot be understood.
    """
    from changedet.site import Site
    from changedet.site_lists import read_sites

    given = [
        option for option, value in (("--at", at), ("--bbox", bbox), ("--aoi", aoi)) if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other", todo="give one of them")
    if radius is not None and at is None:
        raise UsageError("--radius says nothing without --at", todo="give the centre of the site with --at")
    if at is not None:
        return Site.at(at, radius_m=radius_of(radius), name=name or "")
    if bbox is not None:
        numbers = bbox.replace(",", " ").split()
        try:
            west, south, east, north = (float(n) for n in numbers)
        except ValueError as error:
            raise UsageError("not a box", where=repr(bbox), todo="write it as W,S,E,N in degrees") from error
        return Site.from_bbox(west, south, east, north, name=name or "")
    if aoi is None:
        return None
    sites = read_sites(aoi)
    if len(sites) > 1:
        raise UsageError(f"holds {len(sites)} outlines", where=str(aoi), todo="give a file with one")
    return replace(sites[0], name=name) if name else sites[0]


def radius_of(radius: str | None) -> float:
    """Return what ``--radius`` says in metres; the usual radius when it says nothing."""
    from changedet.site import DEFAULT_RADIUS_M, parse_length_m

    return DEFAULT_RADIUS_M if radius is None else parse_length_m(radius)


def required_site(site: Site | None) -> Site:
    """Return the site, which a search cannot do without."""
    if site is None:
        raise UsageError("no place was given", todo="give --at and --radius, --bbox or --aoi")
    return site


def default_folder(name: str, date: str) -> Path:
    """Return ``./changedet-runs/<name>-<after date>``, with a name that is safe as a file name."""
    from changedet.batch import safe_name

    return Path("changedet-runs") / f"{safe_name(name) or 'run'}-{date.replace(' ', '-')}"


def _require_no_warnings(result: ChangeResult) -> None:
    # that a model decided was asked for
    asked_for = (result.parameters.get("model") or {}).get("sentence")
    if warnings := [one for one in result.warnings if one != asked_for]:
        raise QualityGateError(
            "; ".join(warnings), where=result.name, todo="choose other images or run without --strict"
        )


def summarise(result: ChangeResult, folder: Path, *, as_json: bool, quiet: bool) -> None:
    """Print what a run found: to stdout the result, to stderr what to beware of."""
    from changedet.output.redaction import PUBLISH_NOTE
    from changedet.output.summary import result_text
    from changedet.provenance import read_record

    # the text for a reader holds the warnings already
    for warning in result.warnings if as_json else result.refusals:
        say(f"changedet: warning: {warning}", quiet=quiet)
    if result.redact_coordinates:
        say(f"changedet: {PUBLISH_NOTE}", quiet=quiet)
    document = read_record(folder) | {"folder": str(folder)} if as_json else {}
    emit(document, [*result_text(result).splitlines(), f"report: {folder / 'report.html'}"], as_json=as_json)


def _parse_time(text: str) -> date:
    from changedet.providers.facts import read_time

    time = read_time(text)
    if time is None:
        todo = "write it like 2023-05-14T02:07:01Z, or 2023-05-14 when only the day is known"
        raise UsageError("not a time", where=repr(text), todo=todo)
    return time


def exit_code_of(result: ChangeResult, *, exit_code: bool) -> int:
    """Return the exit code of a finished run: 6 when a gate refused it, 1 for candidates when asked."""
    from changedet.errors import EXIT_CODES

    if result.refusals:
        return EXIT_CODES[QualityGateError]
    return int(exit_code and len(result.objects) > 0)
