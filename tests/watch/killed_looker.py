"""Watch by two processes of which one is killed: `python -m tests.watch.killed_looker FOLDER MARKER`."""

import json
import sys
from pathlib import Path

from tests.watch.several import TORN, Source, look

from changedet.scale.executors import open_executor
from changedet.watch.elsewhere import Crew


def main(folder, marker):
    """Print which sites failed."""
    source = Source(TORN, killed=marker)
    with open_executor("processes", 2) as executor:
        found = look(folder, Source(TORN), Crew(executor, source))
    sys.stdout.write(json.dumps([one.site for one in found.failures]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
