"""Count how often an alignment is believed that is wrong, and how often one is refused that is right.

    python benchmarks/verdicts.py                     500 pairs to refuse, 500 to accept, 400 pixels square
    python benchmarks/verdicts.py --size 128 --pairs 100

Half of the pairs are made from real chips and some are two real dates where CHANGEDET_DATA (or the folder
`shared/data` beside the project) has the labelled cities; otherwise all ground is made up. The exit code is 1
when more than one in a hundred goes wrong either way.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
#: An accepted shift has to be right within this.
WITHIN_PX = 0.2
MOST_WRONG = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge all pairs, print one table, return 1 when too many verdicts are wrong."""
    from tests.core import pairs
    from tests.core.verdict_pairs import ACCEPTED, ACCEPTED_REAL, REFUSED

    options = _options(arguments)
    real = bool(pairs.cities())
    groups = {"refuse": [*REFUSED], "accept": [*ACCEPTED, *(ACCEPTED_REAL if real else [])]}
    start, failed = time.monotonic(), False
    print(f"{options.size} x {options.size} px, {'made-up and real' if real else 'made-up'} ground\n")
    print("| must | pair | pairs | wrong | answers | largest error, px |")
    print("| --- | --- | --: | --: | --- | --: |")
    with ProcessPoolExecutor(options.processes, initializer=_alone) as pool:
        for group, kinds in groups.items():
            wrong = 0
            for kind, count in _shares(kinds, options.pairs).items():
                jobs = [(kind, number, options.size, real and number % 2 == 1) for number in range(count)]
                verdicts = list(pool.map(judge, jobs, chunksize=2))
                wrong += (bad := sum(not verdict.right for verdict in verdicts))
                print(_line(group, kind, bad, verdicts), flush=True)
            failed |= wrong > MOST_WRONG * options.pairs
            print(f"| {group} | **all** | {options.pairs} | {wrong} | | |", flush=True)
    print(f"\n{time.monotonic() - start:.0f} s in {options.processes} processes")
    return int(failed)


@dataclass(frozen=True)
class Verdict:
    """What became of one pair."""

    number: int
    answer: str
    right: bool
    error_px: float


def judge(job: tuple[str, int, int, bool]) -> Verdict:
    """Make a pair, align it, and compare with what should come out."""
    import numpy as np
    from tests.core.verdict_pairs import make_case

    from changedet.core.alignment import align

    kind, number, size, real = job
    case = make_case(kind, number, (size, size), real=real)
    usable = np.ones(case.reference.shape, bool)
    found = align([case.reference], [case.moving], usable, usable)
    if case.shift_px is None:
        return Verdict(number, found.obstacle or "accepted", not found.trusted, np.nan)
    if found.field is None or not found.trusted:
        return Verdict(number, found.obstacle, False, np.nan)
    error_px = float(np.hypot(*np.subtract(found.field.median_px, case.shift_px)))
    return Verdict(number, "accepted", error_px <= WITHIN_PX, error_px)


def _line(group: str, kind: str, bad: int, verdicts: list[Verdict]) -> str:
    import numpy as np

    answers = collections.Counter(verdict.answer for verdict in verdicts).most_common()
    errors = [verdict.error_px for verdict in verdicts if np.isfinite(verdict.error_px)]
    largest = f"{max(errors):.3f}" if errors else ""
    for verdict in verdicts:
        if not verdict.right:
            print(f"wrong: {kind} {verdict.number}: {verdict.answer} {verdict.error_px:.3f}", file=sys.stderr)
    told = ", ".join(f"{answer} {count}" for answer, count in answers)
    return f"| {group} | {kind} | {len(verdicts)} | {bad} | {told} | {largest} |"


def _shares(kinds: list[str], pairs: int) -> dict[str, int]:
    """Cut a number of pairs into as equal parts as there are kinds."""
    return {kind: pairs * (i + 1) // len(kinds) - pairs * i // len(kinds) for i, kind in enumerate(kinds)}


def _alone() -> None:
    """Use one thread: every processor already has a process."""
    import cv2

    cv2.setNumThreads(1)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=500, help="to refuse, and as many to accept")
    parser.add_argument("--size", type=int, default=400, help="of the images, in pixels")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
