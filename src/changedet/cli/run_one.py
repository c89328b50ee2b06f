"""A run at one site, as the command line carries it out and tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from changedet.cli.console import command_line, emit, progress_on_terminal, say
from changedet.cli.detect import default_folder, exit_code_of, summarise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from changedet.investigation import Investigation, Planned
    from changedet.progress import Progress
    from changedet.providers.base import Estimate
    from changedet.providers.tracked import TrackedProvider
    from changedet.result import ChangeResult
    from changedet.site import Site


@dataclass(frozen=True)
class Output:
    """What comes out, and where: the options of that name."""

    out: Path | None
    overwrite: bool
    keep_images: bool | None
    exit_code: bool
    as_json: bool
    explain: bool


@dataclass(frozen=True)
class Display:
    """What is shown meanwhile: the options of that name."""

    show: bool | None
    quiet: bool
    verbose: int

    def bar(self) -> AbstractContextManager[Progress]:
        """Return what draws the progress."""
        return progress_on_terminal(show=self.show, quiet=self.quiet, verbose=self.verbose)


def carry_out(site: Site, asked: Investigation, output: Output, display: Display) -> int:
    """Run at one site, print what was found, and return the exit code."""
    started = datetime.now(UTC)
    with display.bar() as bar:
        provider = asked.open(bar)
        planned = asked.plan(site, provider, bar)
        folder = output.out or default_folder(site.name, planned.plan.scenes[1][0].date_text)
        result = work(planned, asked, provider, folder, output, bar, started)
    for line in notes(planned, provider, explain=output.explain):
        say(line, quiet=display.quiet)
    summarise(result, folder, as_json=output.as_json, quiet=display.quiet)
    return exit_code_of(result, exit_code=output.exit_code)


def work(
    planned: Planned,
    asked: Investigation,
    provider: TrackedProvider,
    folder: Path,
    output: Output,
    progress: Progress,
    started: datetime,
) -> ChangeResult:
    """Fetch, compare and save what was planned; the target is checked before anything is fetched."""
    from changedet.output.folder import check_target, save

    check_target(folder, overwrite=output.overwrite)
    result = asked.compare(planned, provider, progress)
    save(
        result, folder, overwrite=output.overwrite, keep_images=output.keep_images, command=command_line(),
        started=started, progress=progress,
    )  # fmt: skip
    return result


def notes(planned: Planned, provider: TrackedProvider, *, explain: bool) -> list[str]:
    """Say why these dates, whether the choice is an earlier one, and what was fetched."""
    lines = list(planned.plan.choice.sentences) if explain else []
    if planned.kept_since is not None:
        lines.append(
            f"the dates were chosen on {planned.kept_since:%Y-%m-%d %H:%M} UTC; --replan chooses anew"
        )
    return [*lines, provider.kept_text]


def dry_run_one(site: Site, asked: Investigation, output: Output, display: Display) -> None:
    """Print what would be fetched; nothing but scene classifications has been."""
    with display.bar() as bar:
        planned = asked.plan(site, asked.open(bar), bar)
    emit(planned.to_dict(), plan_lines(planned), as_json=output.as_json)


def plan_lines(planned: Planned) -> list[str]:
    """Say what would be fetched, in lines."""
    plan = planned.plan
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
    closing = f"Would fetch {len(chosen)} dates of {columns} x {rows} pixels: {cost_text(planned.estimate)}."
    return [*lines, "", closing]


def cost_text(estimate: Estimate) -> str:
    """Say what fetching takes, such as ``about 54 requests, 7.6 MB``."""
    if not estimate.requests:
        return "nothing, everything is kept from before"
    units = f", {estimate.processing_units:.3g} processing units" if estimate.processing_units else ""
    return f"about {estimate.requests} request(s), {estimate.megabytes:.1f} MB before compression{units}"
