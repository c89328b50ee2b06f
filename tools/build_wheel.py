"""Build the wheel that is released: the same bytes from the same commit, packed as small as deflate allows.

    python tools/build_wheel.py FOLDER

Needs ``pip install 'changedet[release]'``. The bytes hang on the version of zopflipy, which is fixed there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Build it and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder for the wheel")
    wheel = build(parser.parse_args().folder.resolve())
    print(f"{wheel}: {wheel.stat().st_size:,} bytes")
    return 0


def build(folder: Path) -> Path:
    """Build a wheel whose bytes do not depend on when and where: the time is that of the last commit."""
    moment = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    settings = os.environ | {
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or moment or "1577836800"
    }
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    wheel = max(folder.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    pack(wheel)
    return wheel


def pack(wheel: Path) -> None:
    """Pack a wheel anew in its place: the same files under the same names and times, so RECORD holds."""
    import zopfli

    packed = wheel.with_suffix(".packed")
    with zipfile.ZipFile(wheel) as old, zopfli.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry))
    packed.replace(wheel)


if __name__ == "__main__":
    sys.exit(main())
