"""Write the simulated scenes in this folder again; the result is the same every time.

Usage: ``python samples/make_samples.py [folder]``
"""

from __future__ import annotations

import sys
from pathlib import Path

from changedet.samples import write_samples


def main() -> None:
    """Write the samples to the folder given as the first argument, or to this one."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    write_samples(folder)
    total = sum(path.stat().st_size for path in folder.glob("*/**/*") if path.is_file())
    print(f"{folder}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
