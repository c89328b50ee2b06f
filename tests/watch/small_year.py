"""A year at a few sites as benchmarks/watch.py has it, without sockets: run by test_many_sites.py.

python -m tests.watch.small_year FOLDER
"""

import json
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks import watch as benchmark
from tests.watch.many_sites import scenes, story

STEP_DAYS = 15
PACE = benchmark.Pace(kills=3, weekly=91, daily=120, daily_sites=1, killed=182, paired=200, paired_sites=1)


def main(folder):
    benchmark.preload()
    stories = [story(number, benchmark.SINCE) for number in (0, 1)]
    days = range(0, (benchmark.UNTIL - benchmark.FIRST).days, STEP_DAYS)
    seen = scenes(stories, [benchmark.FIRST + timedelta(days=one) for one in days])
    report = benchmark.prove_direct(folder, stories, seen, PACE)
    sys.stdout.write(json.dumps(report | {"table": benchmark.table(report)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
