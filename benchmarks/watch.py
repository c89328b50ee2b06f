"""Watch many simulated sites for a year, in one go, week by week, day by day, killed, and two at a time.

    python benchmarks/watch.py                             40 sites, 50 kills; ten minutes on two processors
    python benchmarks/watch.py --sites 8 --kills 10        two minutes
    python benchmarks/watch.py --direct                    the same without sockets and files: five minutes
    python benchmarks/watch.py --out benchmarks/watch_results.json

Imagery comes over sockets from a catalogue and an archive on this machine (`tests.world`), every ten days
for three years, 45 % of it cloudy (`tests.watch.many_sites` says what happens). Every run is the command
itself, with --direct what the command calls, in a process of its own. The exit code is 1 when an event was
told twice, a run differs from the one in one go, or anything is lost or doubled by a kill; how many events
are told is said and decides nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.watch.many_sites import Story
    from tests.world.granules import Granule

    from changedet.providers.base import Provider
    from changedet.site import Site

ROOT = Path(__file__).resolve().parents[1]
SINCE, UNTIL = date(2023, 1, 1), date(2023, 12, 31)
#: Two years are learnt from, and the first date lies a little before.
FIRST = date(2020, 12, 28)
#: An alert is about a building when its centre is as near to that of the building.
WITHIN_M = 40.0
#: What a look that was never killed takes at least, so that every part of it is hit.
_SHORTEST_S = 0.05
#: What a look imports: it is there when a process is forked.
_PRELOADED = (
    "cv2", "geopandas", "jinja2", "odc.geo.geobox", "pydantic", "pystac_client", "rasterio", "scipy.ndimage",
    "changedet.cli.run_sites", "changedet.cli.watch", "changedet.providers.earth_search",
    "changedet.site_lists", "changedet.watch.digest", "changedet.watch.running",
)  # fmt: skip
#: A second watch either waits or says at once who is at work.
_BUSY = 73


def preload() -> None:
    """Import what a look needs, so that the processes in which one takes place have it from the start."""
    for module in _PRELOADED:
        import_module(module)


@dataclass(frozen=True)
class Watch:
    """How a list is watched: `look` runs once in the process that calls it and returns an exit code."""

    state: Path
    look: Callable[[Path, date, float], int]

    def start(self, until: date, wait_s: float = 60.0) -> int:
        """Begin to look in a process of its own; returns its number."""
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            code = self.look(self.state, until, wait_s)
        finally:
            os._exit(code)

    def run(self, until: date, wait_s: float = 60.0) -> Ended:
        """Look once, to the end."""
        started = time.monotonic()
        return ended(self.start(until, wait_s), started)

    def kill(self, until: date, after_s: float) -> Ended:
        """Look, and kill that after some time, unless it has ended by then."""
        started = time.monotonic()
        pid = self.start(until)
        while time.monotonic() < started + after_s:
            time.sleep(0.002)
            found, status, used = os.wait4(pid, os.WNOHANG)
            if found:
                return _ended(status, used, started)
        os.kill(pid, signal.SIGKILL)
        return ended(pid, started)


@dataclass(frozen=True)
class Pace:
    """How often a year is looked at in each way, in days, and at how many of the sites."""

    kills: int = 50
    weekly: int = 7
    daily: int = 1
    daily_sites: int = 4
    killed: int = 28
    paired: int = 73
    paired_sites: int = 8


@dataclass(frozen=True)
class Ended:
    """How a look ended: its exit code (-9: killed), how long it took, how much of a processor."""

    code: int
    seconds: float
    cpu_s: float
    megabytes: float


def ended(pid: int, started: float) -> Ended:
    """Wait for a look that was started."""
    _, status, used = os.wait4(pid, 0)
    return _ended(status, used, started)


def _ended(status: int, used: Any, started: float) -> Ended:
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, time.monotonic() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def facts(state: Path) -> dict[str, dict[str, Any]]:
    """What counts of each site, without numbers of rows and the times at which they were written."""
    from changedet.watch.alerts import read_alerts
    from changedet.watch.arrays import read_arrays
    from changedet.watch.following import followed_things
    from changedet.watch.state import open_state

    found: dict[str, dict[str, Any]] = {}
    with open_state(state) as opened:
        if damage := opened.check().damage:
            raise SystemExit(f"{state}: {damage}")
        alerts, things = read_alerts(opened), followed_things(opened)
        for row in opened.rows("SELECT fid, name FROM sites ORDER BY name"):
            name, number = row["name"], (row["fid"],)
            stored = read_arrays(opened, name)
            own = things[things["site"] == name].drop(columns=["geometry", "fid", "site_id"])
            found[name] = {
                "alerts": sorted((one.text, one.after_utc, one.by_utc, one.lat, one.lon, one.growth)
                                 for one in alerts if one.site == name),
                "things": sorted(map(str, own.to_dict("records"))),
                "scenes": sorted(map(str, opened.rows(
                    "SELECT scene_id, status, reason FROM scenes WHERE site_id = ?", number))),
                "objects": sorted(map(str, opened.rows(
                    "SELECT kind, area_m2, first_seen, last_seen_before, evidence FROM objects"
                    " WHERE site_id = ?", number))),
                "arrays": None if stored is None else _digest(stored.arrays),
            }  # fmt: skip
    return found


def _digest(arrays: dict[str, Any]) -> str:
    whole = sha256()
    for name in sorted(arrays):
        whole.update(name.encode() + str((arrays[name].dtype, arrays[name].shape)).encode())
        whole.update(arrays[name].tobytes())
    return whole.hexdigest()


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Sites, of those that the second knows, at which something differs."""
    return [f"{name}: {part}" for name in second for part in second[name]
            if first.get(name, {}).get(part) != second[name][part]]  # fmt: skip


@dataclass
class Killed:
    """What became of looks that were killed."""

    kills: int = 0
    problems: list[str] = field(default_factory=list)
    left: list[float] = field(default_factory=list)


def kill_often(watch: Watch, days: Sequence[date], kills: int, seed: int = 5) -> Killed:
    """Watch up to each day in turn, and kill that again and again before it may end."""
    rng, found, longest = random.Random(seed), Killed(), 3.0
    for number, until in enumerate(days):
        share = kills * (number + 1) // len(days) - found.kills
        for _ in range(20 * share):
            if share <= 0:
                break
            last = watch.kill(until, rng.uniform(0, longest))
            if last.code == -signal.SIGKILL:
                found.kills, share = found.kills + 1, share - 1
                found.left.append(last.seconds)
            elif last.code:
                found.problems.append(f"ended with {last.code} on {until}")
            else:  # it was quicker than that
                longest = max(0.9 * last.seconds, _SHORTEST_S)
        last = watch.run(until)
        longest = max(last.seconds, _SHORTEST_S)
        found.problems += [f"ended with {last.code} on {until}"] if last.code else []
    return found


def pair_up(watch: Watch, days: Sequence[date]) -> list[str]:
    """Watch up to each day with two at a time, the second in turn patient and not; returns what is wrong."""
    problems = []
    for number, until in enumerate(days):
        wait_s, started = (0.0 if number % 2 else 300.0), time.monotonic()
        pids = [watch.start(until, wait_s) for _ in range(2)]
        codes = sorted(ended(pid, started).code for pid in pids)
        if codes not in ([0, 0], *([[0, _BUSY]] if not wait_s else [])):
            problems.append(f"two at a time on {until} ended with {codes}")
    return problems


def lines_of(state: Path) -> list[str]:
    """The identifiers of the alerts that were written down."""
    path = state.with_name(f"{state.stem}-alerts") / "alerts.jsonl"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line)["id"] for line in text.splitlines()]


def judge(stories: Sequence[Story], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Hold the alerts against what happened."""
    events = [one for one in stories if one.gone is None]
    every = {one.name: found.get(one.name, {}).get("alerts", []) for one in stories}
    told = {one.name: [alert for alert in every[one.name] if _is_there(one, alert)] for one in events}
    inside = [
        one.name for one in events if len(told[one.name]) == 1
        and datetime.fromisoformat(told[one.name][0][1]) < one.built
        <= datetime.fromisoformat(told[one.name][0][2])
    ]  # fmt: skip
    elsewhere = sum(map(len, every.values())) - sum(map(len, told.values()))
    return {
        "sites": len(stories), "events": len(events),
        "told_once": sum(len(told[one.name]) == 1 for one in events),
        "told_more_often": sum(len(told[one.name]) > 1 for one in events),
        "interval_holds": len(inside),
        "alerts_without_event": elsewhere,
        "not_told": [one.name for one in events if not told[one.name]],
    }  # fmt: skip


def _is_there(one: Story, alert: tuple[Any, ...]) -> bool:
    """Whether an alert is about the building of a site."""
    from pyproj import Geod

    lon, lat = one.place
    return Geod(ellps="WGS84").inv(lon, lat, alert[4], alert[3])[2] <= WITHIN_M


def steps(every: int) -> list[date]:
    """Days up to which a year is watched, the last one always the same."""
    count = ((UNTIL - SINCE).days - 1) // every
    return [*(SINCE + timedelta(days=every * (number + 1)) for number in range(count)), UNTIL]


def prove(watch_of: Callable[[str, int], Watch], stories: Sequence[Story], pace: Pace) -> dict[str, Any]:
    """Do all of it; `watch_of` gives a watch of the first so many sites by the name of its state file."""
    count = len(stories)
    one_go = watch_of("one-go", count)
    took = one_go.run(UNTIL)
    problems = [f"in one go ended with {took.code}"] if took.code else []
    truth = facts(one_go.state)
    quiet = one_go.run(UNTIL)
    report: dict[str, Any] = judge(stories, truth) | {
        "one_go": vars(took), "nothing_new": vars(quiet) | {"seconds_a_site": quiet.seconds / count},
    }  # fmt: skip
    ways = (("weekly", pace.weekly, count), ("daily", pace.daily, min(pace.daily_sites, count)))
    for name, every, sites in ways:
        watch, started = watch_of(name, sites), time.monotonic()
        codes = [watch.run(until).code for until in steps(every)]
        problems += [f"{name}: ended with {sorted(set(codes))}"] if any(codes) else []
        problems += _checked(name, watch.state, truth)
        report[name] = {
            "every_days": every,
            "sites": sites,
            "runs": len(codes),
            "seconds": time.monotonic() - started,
        }
    watch = watch_of("killed", count)
    found = kill_often(watch, steps(pace.killed), pace.kills)
    problems += [*found.problems, *_checked("killed", watch.state, truth)]
    watch = watch_of("two", min(pace.paired_sites, count))
    problems += [*pair_up(watch, steps(pace.paired)), *_checked("two", watch.state, truth)]
    return report | {"kills": found.kills, "kill_after_s": found.left, "problems": problems}


def _checked(name: str, state: Path, truth: dict[str, Any]) -> list[str]:
    """Compare with the watch in one go, and look for lines that were written twice or not at all."""
    found, lines = facts(state), lines_of(state)
    alerts = sum(len(one["alerts"]) for one in found.values())
    problems = [f"{name}: {text} differs" for text in differing(truth, found)]
    if not len(lines) == len(set(lines)) == alerts:
        problems.append(
            f"{name}: {alerts} alerts are {len(lines)} lines, {len(set(lines))} of them different"
        )
    return problems


def table(report: dict[str, Any]) -> str:
    """What was found, in lines."""
    one_go, quiet = report["one_go"], report["nothing_new"]
    rows = [
        ("sites, events that stay", f"{report['sites']}, {report['events']}"),
        ("events told once / more often", f"{report['told_once']} / {report['told_more_often']}"),
        ("of them with the right interval", report["interval_holds"]),
        ("alerts without an event that stays", report["alerts_without_event"]),
        ("one go: seconds, of a processor", "{seconds:.0f}, {cpu_s:.0f}".format(**one_go)),
        ("nothing new: seconds a site, MB", "{seconds_a_site:.3f}, {megabytes:.0f}".format(**quiet)),
        *(("every {every_days} day(s): sites, runs, seconds".format(**report[name]),
           "{sites}, {runs}, {seconds:.0f}".format(**report[name])) for name in ("weekly", "daily")),
        ("kills", report["kills"]),
        ("differs from one go, lost or doubled", len(report["problems"])),
    ]  # fmt: skip
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["| what | figure |", "| --- | --: |", *lines, *map(str, report["problems"][:20])])


def look(sites: Path, cache: Path, state: Path, until: date, wait_s: float) -> int:
    """Run the command once."""
    from changedet.cli import run as command

    # the texture of the simulated ground is noise, on which nothing can be registered
    return command(["watch", "--sites", str(sites), "--state", str(state), "--since", str(SINCE),
                    "--until", str(until), "--no-register", "--cache", str(cache), "--wait", str(wait_s),
                    "--history", "2y", "--quiet", "--json"])  # fmt: skip


def look_direct(sites: Sequence[Site], provider: Provider, state: Path, until: date, wait_s: float) -> int:
    """Do what the command does, with imagery that comes over no socket."""
    from changedet.errors import StateBusyError
    from changedet.progress import Silent
    from changedet.providers.tracked import TrackedProvider
    from changedet.watch.looking import WatchSpan
    from changedet.watch.rules import WatchRules
    from changedet.watch.running import WatchRequest, run_watch

    since, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (SINCE, until))
    request = WatchRequest(state, state.with_name(f"{state.stem}-alerts"), WatchSpan(since, end),
                           WatchRules(register=False), wait_s=wait_s)  # fmt: skip
    try:
        report = run_watch(sites, request, TrackedProvider(provider, Silent()), Silent())
    except StateBusyError:
        return _BUSY
    return len(report.failures)


def prove_direct(
    folder: Path, stories: Sequence[Story], scenes: Sequence[Granule], pace: Pace
) -> dict[str, Any]:
    """Do all of it without sockets."""
    from tests.watch.many_sites import ManySitesProvider, sites_csv

    from changedet.site_lists import read_sites

    (folder / "sites.csv").write_text(sites_csv(stories), encoding="utf-8")
    sites, provider = read_sites(folder / "sites.csv"), ManySitesProvider(scenes)

    def _watch(name: str, count: int) -> Watch:
        return Watch(folder / f"{name}.gpkg", partial(look_direct, sites[:count], provider))

    return prove(_watch, stories, pace)


def prove_over_sockets(
    folder: Path, stories: Sequence[Story], scenes: Sequence[Granule], pace: Pace
) -> dict[str, Any]:
    """Do all of it with the command, a catalogue and an archive."""
    from tests.watch.many_sites import CELL_PX, IN_A_ROW, sites_csv
    from tests.world.world import Options, World

    def _watch(name: str, count: int) -> Watch:
        sites = folder / f"{name}.csv"
        sites.write_text(sites_csv(stories[:count]), encoding="utf-8")
        return Watch(folder / f"{name}.gpkg", partial(look, sites, folder / "cache"))

    with (
        World(scenes, options=Options(granule_px=CELL_PX * IN_A_ROW)) as world,
        (folder / "said.txt").open("w") as said,
    ):
        os.environ["CHANGEDET_PROVIDERS__EARTH_SEARCH__URL"] = world.earth_search
        # what the runs print is in alerts.jsonl as well; what they complain of is shown
        kept = os.dup(1)
        os.dup2(said.fileno(), 1)
        try:
            return prove(_watch, stories, pace)
        finally:
            os.dup2(kept, 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Watch, print the table, return 1 when something was lost, doubled, or differs."""
    from tests.watch.many_sites import scenes, story

    options = _options(arguments)
    preload()
    days = [FIRST + timedelta(days=number) for number in range(0, (UNTIL - FIRST).days, options.step_days)]
    stories = [story(number, SINCE) for number in range(options.sites)]
    pace = Pace(options.kills, options.every, daily_sites=options.daily_sites)
    started, prove_it = time.monotonic(), prove_direct if options.direct else prove_over_sockets
    with tempfile.TemporaryDirectory(prefix="watch-") as folder:
        report = prove_it(Path(folder), stories, scenes(stories, days), pace)
    report |= {
        "direct": options.direct,
        "step_days": options.step_days,
        "seconds": time.monotonic() - started,
    }
    print(table(report) + f"\n\n{report['seconds']:.0f} s in all")
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(bool(report["problems"] or report["told_more_often"]))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sites", type=int, default=40, help="how many, 64 at most")
    parser.add_argument("--kills", type=int, default=50, help="how often a watch is killed")
    parser.add_argument("--every", type=int, default=7, help="days between two runs of all sites")
    parser.add_argument("--daily-sites", type=int, default=4, help="how many are watched every day")
    parser.add_argument("--direct", action="store_true", help="without sockets and files")
    parser.add_argument("--step-days", type=int, default=10, help="between two images")
    parser.add_argument("--out", type=Path, help="also write everything here, as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
