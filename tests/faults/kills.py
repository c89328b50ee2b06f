"""Kill commands at random moments and at every step, fill up and break the disk under them, and look.

    python -m tests.faults.kills [--kills 200] [--out FILE] [--only CASE] [--every 1]

`make faults` runs this with the numbers in docs/reliability.md; test_kills.py a short part of it. A case
counts as failed when something half stands under a name that readers see, when the next run does not end as
usual, or when it makes other bytes than one that was never disturbed. The exit code is 1 then.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults import cases
from tests.faults.steps import broken_once, die, forked, full_from_here, warm

#: Share of the kills that each command gets, and how often one is killed before it may end.
KILLED = {"cache": (0.25, 1), "detect": (0.3, 5), "run": (0.25, 5), "watch": (0.2, 8)}
_BROKEN = 73
RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_SIZES_KB = (8, 64, 128, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)


@dataclass
class Tried:
    """How often something was tried, and what went wrong."""

    what: str
    tried: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


@contextmanager
def opened(name, root):
    """A case by its name, ready, in an empty folder."""
    make = {
        "detect": lambda folder: nullcontext(cases.detecting(folder)),
        "cache": lambda folder: nullcontext(cases.keeping(folder)),
        "save": lambda folder: nullcontext(cases.saving(folder)),
        "run": cases.running,
        "watch": cases.watching,
    }[name]
    with make(root / name) as case:
        yield case


def emptied(case):
    """The folder of a case as it was in the beginning."""
    shutil.rmtree(case.folder, ignore_errors=True)
    case.folder.mkdir()


def undisturbed(case, found):
    """Let a case do its work twice, as the kills find it; its products and how the second time went."""
    first = warm(case.work, case.folder)
    products = case.products()
    emptied(case)
    second = forked(case.work, case.folder)
    for ended in (first, second):
        if ended.code:
            found.failures.append(f"undisturbed: ended with {ended.code}: {ended.said[-300:]}")
    if case.products() != products:
        found.failures.append("undisturbed: other bytes the second time")
    return products, second


def completed(case, products, found, what):
    """Let a case that was disturbed do its work; it has to end as usual with the usual products."""
    ended = forked(case.work, case.folder)
    if ended.code:
        found.failures.append(f"{what}: the next run ended with {ended.code}: {ended.said[-300:]}")
    elif (now := case.products()) != products:
        other = sorted(name for name in {*now, *products} if now.get(name) != products.get(name))
        found.failures.append(f"{what}: the next run made other bytes: {other[:5]}")


def kill_at_random(case, kills, at_a_time, seed=1):
    """Kill a case at random moments, every other time on top of what an earlier run made."""
    rng, found = random.Random(seed), Tried(f"`{case.folder.name}` killed at a random moment")
    products, usual = undisturbed(case, found)
    longest = usual.seconds
    while found.tried < kills and len(found.failures) < 5:
        if rng.random() < 0.5:
            emptied(case)
        for _ in range(at_a_time):
            ended = forked(case.work, case.folder, after_s=rng.uniform(0, longest))
            if ended.code >= 0:  # it was quicker than that
                longest = max(0.8 * longest, 0.05)
                continue
            found.tried += 1
            found.failures += case.problems()
        completed(case, products, found, f"kill {found.tried}")
        longest = max(longest, 0.5 * usual.seconds)
    return found


def at_each_step(case, act, every, what):
    """Let something happen at each step of a case, alone and on top of what an earlier run made."""
    found = Tried(f"`{case.folder.name}` {what}")
    products, usual = undisturbed(case, found)
    for afresh in (True, False):
        count = usual.steps
        if not afresh:  # there are more steps when something is there already
            count = forked(case.work, case.folder).steps
        for step in range(1, count + 1, every):
            if afresh:
                emptied(case)
            ended = forked(case.work, case.folder, at=step, act=act)
            found.tried += 1
            found.failures += [f"step {step}: {one}" for one in (*case.problems(), *_wrong(ended, act))]
            if act is die or step == count:
                completed(case, products, found, f"step {step}")
    return found


def _wrong(ended, act):
    """What is wrong with how a process ended that could not write: a bug, or more than lines for a reader."""
    if act is die:
        return [] if ended.code in (-9, 0) else [f"ended with {ended.code}"]
    if "Traceback" in ended.said or ended.code not in (0, _BROKEN):
        return [f"ended with {ended.code}: {ended.said[-300:]}"]
    return []


def on_a_full_disk(root):
    """Write a run into file systems too small for it."""
    found = Tried("`save` onto a full file system")
    mount = root / "small"
    mount.mkdir()
    case = cases.saving(mount / "save", make=False)
    for size in _SIZES_KB:
        line = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(mount)]
        if os.geteuid() or subprocess.run(line, check=False, capture_output=True).returncode:
            found.what += " (not tried: file systems cannot be mounted here)"
            break
        try:
            case.folder.mkdir()
            ended = forked(case.work, case.folder, beside=root / "small-save")
            found.tried += 1
            found.failures += [f"{size} kB: {one}" for one in (*case.problems(), *_wrong(ended, None))]
            left = [path.name for path in case.folder.rglob("*")]
            if ended.code and left:
                found.failures.append(f"{size} kB: left {left[:5]}")
        finally:
            subprocess.run(["umount", str(mount)], check=True)
    return found


def everything(root, kills, every, only=None):
    """Yield what was tried, one thing after the other."""
    for name, (share, at_a_time) in KILLED.items():
        if only in (None, name):
            with opened(name, root) as case:
                yield kill_at_random(case, round(kills * share), at_a_time)
    disturbances = ((die, "killed at a step"), (full_from_here, "on a disk that fills up at a step"),
                    (broken_once, "on a disk that fails at a step"))  # fmt: skip
    for name in ("save", "cache"):
        for number, (act, what) in enumerate(disturbances):
            if only in (None, f"{name}-steps"):
                with opened(name, root / f"{number}") as case:
                    yield at_each_step(case, act, every if name == "save" else 8 * every, what)
    if only in (None, "full"):
        yield on_a_full_disk(root)


def table(rows):
    """What was tried, as a table."""
    lines = ["| what was done | tried | failures |", "| --- | ---: | ---: |"]
    return "\n".join(lines + [f"| {row['what']} | {row['tried']} | {len(row['failures'])} |" for row in rows])


def write_table(rows, page=PAGE):
    """Put the table into the page, between its marks."""
    from benchmarks.bad_pairs import replaced

    page.write_text(replaced(page.read_text(encoding="utf-8"), "faults", table(rows)), encoding="utf-8")


def main(arguments=None):
    """Print what was tried; return 1 when something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills at random moments, of all commands")
    parser.add_argument("--every", type=int, default=1, help="try every so many steps")
    parser.add_argument("--only", help="detect, run, watch, cache, save-steps, cache-steps or full")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--docs", action="store_true", help=f"put {RESULTS.name} into {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.docs:
        write_table(json.loads(RESULTS.read_text(encoding="utf-8")))
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(3):
            (Path(folder) / f"{number}").mkdir()
        started = time.monotonic()
        for found in everything(Path(folder), options.kills, options.every, options.only):
            found.seconds = round(time.monotonic() - started, 1)
            started = time.monotonic()
            rows.append(asdict(found))
            sys.stdout.write(json.dumps(rows[-1]) + "\n")
            sys.stdout.flush()
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return int(any(row["failures"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
