"""``changedet run``: from a place and two periods to a run folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer

from changedet.cli import options  # noqa: TC001  # typer reads the annotations at run time
from changedet.cli.console import command_line, emit, progress_on_terminal, say
from changedet.cli.detect import (
    choose_site,
    default_folder,
    exit_code_of,
    required_site,
    settings_of,
    summarise,
)

if TYPE_CHECKING:
    from changedet.access import Plan


def run(
    *,
    before: options.BeforePeriod,
    after: options.AfterPeriod,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    provider: options.ProviderName = "earth-search",
    min_clear: options.MinClear = 0.8,
    max_season_gap: options.MaxSeasonGap = 45,
    max_tile_cloud: options.MaxTileCloud = 0.9,
    method: options.Method = "predict",
    min_area: options.MinArea = "500m2",
    threshold: options.Threshold = 10.0,
    max_residual: options.MaxResidual = 0.5,
    cache: options.Cache = None,
    dry_run: options.DryRun = False,
    explain: options.Explain = False,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    keep_images: options.KeepImages = None,
    exit_code: options.ExitCode = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Fetch the two clearest matching dates of a place, compare them, and write a run folder."""
    from changedet.access import compare_plan, make_plan
    from changedet.output.folder import check_target, save
    from changedet.periods import parse_period
    from changedet.providers.cached import open_cached
    from changedet.selection import SelectionRules

    started = datetime.now(UTC)
    site = required_site(choose_site(at, radius, bbox, aoi, name))
    settings = settings_of(method, threshold, min_area, "before", max_residual)
    periods = parse_period(before), parse_period(after)
    source = open_cached(provider, cache)
    rules = SelectionRules(min_clear_share=min_clear, max_season_gap_days=max_season_gap)
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        plan = make_plan(site, periods, source, bar, rules=rules, max_tile_cloud=max_tile_cloud)
        folder = out or default_folder(site.name, plan.choice.after[0].scene.date_text)
        check_target(folder, overwrite=overwrite)
        if explain and not dry_run:
            for sentence in plan.choice.sentences:
                say(sentence, quiet=quiet)
        if not dry_run:
            result = compare_plan(plan, source, settings=settings, progress=bar)
            save(
                result, folder, overwrite=overwrite, keep_images=keep_images, command=command_line(),
                started=started, progress=bar,
            )  # fmt: skip
    if dry_run:
        emit(plan.to_dict(), _plan_lines(plan), as_json=as_json)
        return
    summarise(result, folder, as_json=as_json, quiet=quiet)
    raise typer.Exit(exit_code_of(result, exit_code=exit_code))


def _plan_lines(plan: Plan) -> list[str]:
    """Say what would be fetched."""
    chosen = {scene.id for side in plan.scenes for scene in side}
    lines = [*plan.choice.sentences, ""]
    for word, looks in (("before", plan.before), ("after", plan.after)):
        for look in sorted(looks, key=lambda look: look.scene.time_text):
            mark = "*" if look.scene.id in chosen else " "
            lines.append(
                f"{mark} {word:6}  {look.scene.date_text}  clear {look.clear_share:4.0%}  "
                f"cloud {look.cloud_share:4.0%}  snow {look.snow_share:4.0%}  {look.scene.id}"
            )
    rows, columns = plan.grid.shape
    dates = sum(map(len, plan.scenes))
    bands = max(len(plan.choice.before[0].scene.assets), 1)
    megabytes = dates * rows * columns * bands * 2 / 1e6
    closing = f"Would fetch {dates} dates of {columns} x {rows} pixels: about {megabytes:.0f} MB or less."
    return [*lines, "", closing]
