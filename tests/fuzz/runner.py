"""Runs cases in processes of their own, within limits; keeps what fails and writes the figures.

``python -m tests.fuzz.runner --cases 100000`` is what ``make fuzz`` does. A process that ends, hangs or
asks for too much memory loses one case; the next one goes on after it.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.outcomes import judge
from tests.fuzz.targets import CORPUS, TARGETS, make_case

RESULTS = Path(__file__).with_name("results.json")
FAILURES = CORPUS / "failures"
#: Seconds of computing that one case may take; a process that says nothing for so long is ended.
CASE_S, SILENCE_S = 5.0, 60.0
#: Address space beyond what the process has when it begins.
MORE_BYTES = 1 << 30
#: Cases for one process: memory that leaks shows, and is given back.
CHUNK = 5_000


class TooSlow(BaseException):
    """A case took longer than it may."""


@dataclass
class Tally:
    """What came of the cases of one parser."""

    name: str
    cases: int = 0
    values: int = 0
    refused: int = 0
    failures: int = 0
    slowest_ms: float = 0.0
    seconds: float = 0.0
    kinds: dict = field(default_factory=dict)


def _too_slow(*_):
    raise TooSlow


def _work(name, seed, start, stop, shared, results):
    """Run some cases; `shared` says which one is running, for whoever finds this process dead."""
    target, folder = TARGETS[name], Path(tempfile.mkdtemp(prefix="changedet-fuzz-", dir=_fast_folder()))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _strict_warnings()
    signal.signal(signal.SIGPROF, _too_slow)
    limited = False
    tally, kept = Tally(name), {}
    for number in range(start, stop):
        shared[0] = number
        data = make_case(target, seed, number)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, CASE_S)
        try:
            outcome = judge(target.read, data, folder)
            tally.values += outcome == "value"
            tally.refused += outcome == "refused"
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is a failure
            tally.failures += 1
            kind = f"{type(error).__name__} in {_place(error)}"
            kept.setdefault(kind, (number, f"{kind}: {str(error)[:300]}"))
            tally.kinds[kind] = tally.kinds.get(kind, 0) + 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        tally.cases += 1
        tally.slowest_ms = max(tally.slowest_ms, 1000 * (time.process_time() - began))
        if not limited and number >= start + 20:
            limited = _limit_memory()
    tally.seconds = time.process_time()
    shutil.rmtree(folder, ignore_errors=True)
    results.send((asdict(tally), kept))


def _strict_warnings():
    """Take warnings for errors, but for those that the tests leave out too."""
    warnings.simplefilter("error")
    for words in ("Use `@` matmul", "The 'shapely.ops.transform", "Dataset has no geotransform"):
        warnings.filterwarnings("ignore", words)


def _limit_memory():
    """Allow so much more than is taken once the libraries are there."""
    if not Path("/proc/self/statm").exists():
        return True  # other systems run without a limit of memory
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return True


def _place(error):
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "changedet" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def _fast_folder():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def run_target(name, cases, seed=0, say=lambda _: None, until=float("inf"), start=0):
    """Run cases of one parser, from a number on, and return what came of them; failures are kept as files."""
    fork, total, at, end = multiprocessing.get_context("fork"), Tally(name), start, None
    while at < cases and time.monotonic() < until:
        stop = min(at + CHUNK, cases) if end is None else end
        shared = fork.Array("q", [at], lock=False)
        ours, theirs = fork.Pipe(duplex=False)
        worker = fork.Process(target=_work, args=(name, seed, at, stop, shared, theirs))
        worker.start()
        theirs.close()
        ended = _wait(worker, ours, shared)
        if ended is None:
            lost = shared[0]
            how = f"process ended with {worker.exitcode}"
            _keep(name, seed, lost, how)
            total.failures += 1
            total.cases += 1
            total.kinds[how] = total.kinds.get(how, 0) + 1
            # what came of the cases before it went with the process: they are run again, without it
            at, end = (at, lost) if lost > at else (lost + 1, None)
            continue
        tally, kept = ended
        for number, what in kept.values():
            _keep(name, seed, number, what)
            say(f"{name} {number}: {what}")
        total.cases += tally["cases"]
        for key in ("values", "refused", "failures", "seconds"):
            setattr(total, key, getattr(total, key) + tally[key])
        total.slowest_ms = max(total.slowest_ms, tally["slowest_ms"])
        for kind, count in tally["kinds"].items():
            total.kinds[kind] = total.kinds.get(kind, 0) + count
        at, end = (stop, None) if end is None else (stop + 1, None)
    return total


def _wait(worker, ours, shared):
    """Return what a worker sends, None when it dies or does nothing any more."""
    seen, since = shared[0], time.monotonic()
    while True:
        if ours.poll(0.5):
            try:
                found = ours.recv()
            except EOFError:
                found = None
            worker.join()
            return found
        if shared[0] != seen:
            seen, since = shared[0], time.monotonic()
        if time.monotonic() - since > SILENCE_S:
            worker.kill()
            worker.join()
            return None


def _keep(name, seed, number, what):
    """Keep the input of a failure beside what came of it."""
    data = make_case(TARGETS[name], seed, number)
    folder = FAILURES / name
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / hashlib.sha256(data).hexdigest()[:12]
    stem.with_suffix(".bin").write_bytes(data)
    stem.with_suffix(".txt").write_text(
        f"seed {seed}, case {number}: {what}\n", encoding="utf-8", errors="replace"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="cases for each parser")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so long")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="most seconds for one parser")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--go-on", action="store_true", help="begin after the cases that the results have")
    parser.add_argument("parsers", nargs="*", default=list(TARGETS), help="all when none is named")
    given = parser.parse_args(arguments)
    until, failed = time.monotonic() + 60 * given.minutes, 0
    for name in given.parsers or list(TARGETS):
        if time.monotonic() > until:
            sys.stdout.write(f"{name}: no time left\n")
            continue
        ends = min(until, time.monotonic() + given.seconds)
        start = _done(given.results, name, given.seed) if given.go_on else 0
        tally = run_target(name, given.cases, given.seed, _say, ends, start)
        failed += tally.failures
        _say(
            f"{name}: {tally.cases} cases, {tally.values} read, {tally.refused} refused, "
            f"{tally.failures} failures, {tally.seconds:.0f} s, slowest {tally.slowest_ms:.0f} ms"
        )
        _write(given.results, tally, given.seed, more=given.go_on)
    return 1 if failed else 0


def _say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _done(path, name, seed):
    """Return how many cases of this seed were run already."""
    row = _read(path).get(name, {})
    return row.get("cases", 0) if row.get("seed") == seed else 0


def _write(path, tally, seed, *, more):
    found = _read(path)
    if more and _done(path, tally.name, seed):
        had = found[tally.name]
        for key in ("cases", "values", "refused", "failures", "seconds"):
            setattr(tally, key, getattr(tally, key) + had[key])
        tally.slowest_ms = max(tally.slowest_ms, had["slowest_ms"])
        for kind, count in had["kinds"].items():
            tally.kinds[kind] = tally.kinds.get(kind, 0) + count
    row = asdict(tally) | {"seed": seed, "day": f"{datetime.now(UTC):%Y-%m-%d}"}
    row |= {"seconds": round(tally.seconds, 1), "slowest_ms": round(tally.slowest_ms)}
    path.write_text(json.dumps(found | {tally.name: row}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
