"""A run at one site, as the command line carries it out and tells of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.cli.detect import default_folder, exit_code_of, summarise

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from changedet.access.archives import Archives
    from changedet.access.choosing import Plan
    from changedet.access.selection import Look
    from changedet.investigation import Investigation, Planned
    from changedet.progress import Progress
    from changedet.providers.base import Estimate
    from changedet.radar.access import RadarPlan
    from changedet.result import ChangeResult
    from changedet.site import Site

#: The style of plates belongs to the whole process.
_ONE_SAVES = threading.Lock()


@dataclass(frozen=True)
class Output:
    """What comes out, and where: the options of that name; `command` is that of this process unless said."""

    out: Path | None
    overwrite: bool
    keep_images: bool | None
    exit_code: bool
    as_json: bool
    explain: bool
    redact: bool = False
    command: tuple[str, ...] = ()


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
    _check_named(output)
    with display.bar() as bar:
        archives = asked.open(bar)
        planned = asked.plan(site, archives, bar)
        folder = output.out or default_folder(site.name, planned.plan.last_date_text)
        result = work(planned, asked, archives, folder, output, bar, started)
    for line in notes(planned, archives, explain=output.explain):
        say(line, quiet=display.quiet)
    summarise(result, folder, as_json=output.as_json, quiet=display.quiet)
    return exit_code_of(result, exit_code=output.exit_code)


def work(
    planned: Planned,
    asked: Investigation,
    archives: Archives,
    folder: Path,
    output: Output,
    progress: Progress,
    started: datetime,
) -> ChangeResult:
    """Fetch, compare and save what was planned; the target is checked before anything is fetched."""
    from changedet.output.folder import check_target, save

    check_target(folder, overwrite=output.overwrite)
    result = replace(asked.compare(planned, archives, progress), redact_coordinates=output.redact)
    command = list(output.command) or command_line()
    with _ONE_SAVES:
        save(
            result, folder, overwrite=output.overwrite, keep_images=output.keep_images, command=command,
            started=started, progress=progress,
        )  # fmt: skip
    return result


def notes(planned: Planned, archives: Archives, *, explain: bool) -> list[str]:
    """Say why these dates, whether the choice is an earlier one, and what was fetched."""
    lines = [*planned.plan.sentences, *map(sentence_of, planned.plan.notes)] if explain else []
    if planned.kept_since is not None:
        lines.append(
            f"the dates were chosen on {planned.kept_since:%Y-%m-%d %H:%M} UTC; --replan chooses anew"
        )
    return [*lines, archives.kept_text]


def dry_run_one(site: Site, asked: Investigation, output: Output, display: Display) -> None:
    """Print what would be fetched; no pixel has been."""
    _check_named(output)
    with display.bar() as bar:
        planned = asked.plan(site, asked.open(bar), bar, looking=False)
    emit(planned.to_dict(), plan_lines(planned), as_json=output.as_json)


def _check_named(output: Output) -> None:
    """Refuse a target that was named before any look is paid for."""
    if output.out is not None:
        from changedet.output.folder import check_target

        check_target(output.out, overwrite=output.overwrite)


def plan_lines(planned: Planned) -> list[str]:
    """Say what would be fetched, in lines."""
    plan = planned.plan
    lines = [*plan.sentences, *map(sentence_of, plan.notes), ""]
    counts = []
    if plan.optical is not None:
        lines += _optical_lines(plan.optical)
        counts.append(f"{len(plan.optical_scenes)} dates")
    if plan.radar is not None:
        lines += _radar_lines(plan.radar)
        counts.append(f"{len(plan.radar_scenes)} radar passes")
    rows, columns = plan.grid.shape
    cost = cost_text(planned.estimate)
    lines += ["", f"Would fetch {' and '.join(counts)} of {columns} x {rows} pixels: {cost}."]
    if plan.optical is not None and plan.provisional:
        unseen = sum(not look.measured for look in (*plan.optical.before, *plan.optical.after))
        lines.append(provisional_text(unseen))
    return lines


def sentence_of(note: str) -> str:
    """Return a note as a sentence of its own."""
    return f"{note[:1].upper()}{note[1:]}."


def _optical_lines(plan: Plan) -> list[str]:
    chosen = {scene.id for side in plan.scenes for scene in side}
    lines = []
    for word, looks in (("before", plan.before), ("after", plan.after)):
        for look in sorted(looks, key=lambda look: look.scene.time_text):
            mark = "*" if look.scene.id in chosen else " "
            lines.append(f"{mark} {word:6}  {look.scene.date_text}  {_shown(look)}  {look.scene.id}")
    return lines


def _radar_lines(plan: RadarPlan) -> list[str]:
    return [
        f"* {word:6}  {scene.date_text}  {f'radar {track.track.label}, {scene.platform}':35}  {scene.id}"
        for track in plan.tracks
        for word, scenes in (("before", track.before), ("after", track.after))
        for scene in scenes
    ]


def provisional_text(dates: int) -> str:
    """Say what a choice is worth for which nobody looked at the site on so many dates."""
    return (
        f"The choice is provisional: on {dates} date(s) only the cloud of the whole tile is known. The run "
        "first looks at the site on these dates, which is counted above, and may then choose others."
    )


def _shown(look: Look) -> str:
    """Say what is known of a date, in columns."""
    if look.rejected:
        return f"{'left out: ' + look.rejected:35}"
    if not look.measured:
        return f"{f'tile cloud {look.cloud_share:4.0%}, not looked at yet':35}"
    return f"clear {look.clear_share:4.0%}  cloud {look.cloud_share:4.0%}  snow {look.snow_share:4.0%}"


def cost_text(estimate: Estimate) -> str:
    """Say what fetching takes, such as ``about 54 requests, 7.6 MB``."""
    if not estimate.requests:
        return "nothing, everything is kept from before"
    units = f", {estimate.processing_units:.3g} processing units" if estimate.processing_units else ""
    return f"about {estimate.requests} request(s), {estimate.megabytes:.1f} MB before compression{units}"
