"""``changedet run``: from places and two periods to run folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from changedet.cli import options  # noqa: TC001  # typer reads the annotations at run time
from changedet.cli.detect import choose_site, required_site, settings_of
from changedet.cli.run_one import Display, Output, carry_out, dry_run_one
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from changedet.access.selection import SelectionRules
    from changedet.investigation import Investigation
    from changedet.radar.types import RadarSettings, SensorChoice
    from changedet.site import Site


def run(
    *,
    before: options.BeforePeriod,
    after: options.AfterPeriod,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    sites: options.Sites = None,
    site: options.SiteNames = None,
    scheduler: options.Scheduler = "local",
    jobs: options.SiteJobs = None,
    sensor: options.ComparedSensors = "s2",
    provider: options.ProviderName = "earth-search",
    radar_provider: options.RadarProviderName = None,
    radar_dates: options.RadarDates = 12,
    min_clear: options.MinClear = 0.8,
    max_season_gap: options.MaxSeasonGap = 45,
    max_dates: options.MaxDates = 5,
    max_tile_cloud: options.MaxTileCloud = 0.9,
    max_pu: options.MaxUnits = None,
    method: options.Method = "predict",
    min_area: options.MinArea = "500m2",
    threshold: options.Threshold = 10.0,
    budget: options.Budget = None,
    keep_seasonal: options.KeepSeasonal = False,
    model: options.Model = None,
    band_weights: options.BandWeights = "auto",
    max_residual: options.MaxResidual = 0.5,
    cache: options.Cache = None,
    replan: options.Replan = False,
    dry_run: options.DryRun = False,
    explain: options.Explain = False,
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
    """Fetch the clearest matching dates of a place, or of each of a list, compare them, write run folders."""
    from changedet.investigation import AccessOptions, Investigation

    sensors, radar = asked_of_radar(sensor, radar_provider, radar_dates)
    rules = rules_of(min_clear, max_season_gap, max_dates)
    decision = threshold, budget, keep_seasonal
    settings = settings_of(method, decision, min_area, "before", max_residual, band_weights, model)
    access = AccessOptions(rules, max_tile_cloud, cache, max_pu, replan)
    asked = Investigation(before, after, provider, settings, access, sensors, radar, radar_provider)
    output = Output(out, overwrite, keep_images, exit_code, as_json, explain, bool(redact_coordinates))
    display = Display(progress, quiet, verbose)
    path, chosen = asked_sites(sites, site, (at, radius, bbox, aoi, name))
    if path is None:
        require_list_asked({"--scheduler": None if scheduler == "local" else scheduler, "--jobs": jobs})
        _run_alone(chosen[0], asked, output, display, dry=dry_run)
    else:
        _run_listed((path, chosen), (scheduler, jobs), asked, output, display, dry=dry_run)


def rules_of(min_clear: float, max_season_gap: int, max_dates: int) -> SelectionRules:
    """Return what two dates must have, from the options of these names."""
    from changedet.access.selection import SelectionRules

    return SelectionRules(min_clear_share=min_clear, max_season_gap_days=max_season_gap, max_dates=max_dates)


def asked_sites(
    path: Path | None,
    names: list[str] | None,
    place: tuple[str | None, str | None, str | None, Path | None, str | None],
) -> tuple[Path | None, tuple[Site, ...]]:
    """Return the list and its sites, or the one site that ``--at``, ``--bbox`` or ``--aoi`` name.

    Parameters
    ----------
    path : Path or None
        List of sites.
    names : list of str or None
        Sites of the list that are meant.
    place : tuple
        What ``--at``, ``--radius``, ``--bbox``, ``--aoi`` and ``--name`` say.

    Returns
    -------
    Path or None, tuple of Site
        None for a place alone.
    """
    from changedet.cli.run_sites import chosen_sites

    at, radius, bbox, aoi, name = place
    if path is None and not names:
        return None, (required_site(choose_site(at, radius, bbox, aoi, name)),)
    alone = {"--at": at, "--bbox": bbox, "--aoi": aoi, "--name": name}
    return chosen_sites(path, names or [], alone=alone, radius=radius)


def asked_of_radar(sensor: str, provider: str | None, dates: int) -> tuple[SensorChoice, RadarSettings]:
    """Return which sensors are compared, and how radar is."""
    from changedet.radar.types import RadarSettings, sensor_of

    sensors = sensor_of(sensor)
    unusual = None if dates == RadarSettings.most_dates else dates
    require_radar_asked(sensors, {"--radar-provider": provider, "--radar-dates": unusual})
    return sensors, RadarSettings(most_dates=dates)


def require_radar_asked(sensors: SensorChoice, said: Mapping[str, object]) -> None:
    """Refuse what is said of radar where radar is not asked for; `said` is by option, None when not said."""
    given = [option for option, value in said.items() if value is not None]
    if given and sensors == "s2":
        raise UsageError(f"{' and '.join(given)} says nothing without radar", todo="add --sensor s1 or both")


def require_list_asked(said: Mapping[str, object]) -> None:
    """Refuse what is said of several sites where there is one; `said` is by option, None when not said."""
    given = [option for option, value in said.items() if value is not None]
    if given:
        raise UsageError(f"{' and '.join(given)} says nothing of one site", todo="give a list with --sites")


def _run_listed(
    chosen: tuple[Path, tuple[Site, ...]],
    workers: tuple[str, int | None],
    asked: Investigation,
    output: Output,
    display: Display,
    *,
    dry: bool,
) -> None:
    from changedet.cli.run_sites import Workers, dry_run_sites, run_list

    if dry:
        dry_run_sites(chosen, asked, output, display)
    else:
        run_list(chosen, asked, output, display, Workers(*workers))


def _run_alone(site: Site, asked: Investigation, output: Output, display: Display, *, dry: bool) -> None:
    if dry:
        dry_run_one(site, asked, output, display)
        return
    raise typer.Exit(carry_out(site, asked, output, display))
