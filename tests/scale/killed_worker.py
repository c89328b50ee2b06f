"""Kill a worker in mid-run, in a process of its own: `python -m tests.scale.killed_worker FOLDER`."""

import json
import os
import signal
import sys
from pathlib import Path

import dask

from changedet.progress import Silent
from changedet.scale.executors import Lost, open_executor


def dies_once(item, _progress):
    """Kill the process of the worker the first time that this item is worked on."""
    marker, number = item
    if number == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def dies_always(_item, _progress):
    """Kill the process of the worker."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder):
    """Print what came of five items, one of which kills its worker, and of one that kills every worker."""
    marker, found = folder / "died", {"own": os.getpid()}
    with open_executor("processes", 2) as executor:
        items = [(marker, number) for number in range(5)]
        found["results"] = [result for _, result in executor.run(dies_once, items, lambda _: Silent())]
        found["died"] = marker.exists()
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), open_executor("processes", 1) as one:
        ((_, lost),) = one.run(dies_always, ["bad"], lambda _: Silent())
    found["lost"] = lost.reason if isinstance(lost, Lost) else None
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
