"""Build the wheel twice, install it into an empty environment, run the demo in an empty folder, verify it.

    python tools/wheel_check.py [--keep FOLDER]

Needs ``pip install 'changedet[release]'`` and a package index for the libraries. The two wheels have to be
the same bytes. With --keep the environment and the wheel stay in a folder, for an audit and a bill of
materials.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from build_wheel import build

#: A wheel holds code and what it draws with: no sample, test or notebook.
FOREIGN = ("samples/", "tests/", "notebooks/", "benchmarks/", ".tif", ".ipynb")
#: What a wheel may weigh.
BAR_BYTES = 1_000_000


def main() -> int:
    """Run every step; the first one that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--keep", type=Path, help="folder for the wheel and the environment it was installed into"
    )
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep.resolve() if keep else Path(scratch)
        wheel = build(folder / "dist")
        again = build(Path(scratch) / "again")
        if digest(wheel) != digest(again):
            print(f"two builds differ: {digest(wheel)} and {digest(again)}")
            return 1
        print(
            f"{wheel.name}: {wheel.stat().st_size:,} bytes, the same in two builds, SHA-256 {digest(wheel)}"
        )
        if wrong := unlike_record(wheel):
            print(f"what is not as RECORD says: {', '.join(wrong)}")
            return 1
        if strange := [name for name in contents(wheel) if any(part in name for part in FOREIGN)]:
            print(f"what does not belong into a wheel: {', '.join(strange)}")
            return 1
        if wheel.stat().st_size > BAR_BYTES:
            print(f"above the {BAR_BYTES:,} bytes it was to stay under")
        return use(wheel, folder / "venv", Path(scratch) / "empty")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(wheel: Path) -> list[str]:
    """Names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def unlike_record(wheel: Path) -> list[str]:
    """Names of the files in a wheel whose digest is not that of its list, or that stand in one of the two."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        listed = {row[0]: row[1] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        found = {name: _as_recorded(archive.read(name)) for name in archive.namelist()} | {record: ""}
    return sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))


def _as_recorded(content: bytes) -> str:
    value = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={value.decode()}"


def use(wheel: Path, environment: Path, folder: Path) -> int:
    """Install the wheel into an empty environment and run it in an empty folder."""
    venv.create(environment, with_pip=True, clear=True)
    folder.mkdir()
    binaries = environment / ("Scripts" if os.name == "nt" else "bin")
    # nothing of the caller's environment and settings may help
    alone = {k: v for k, v in os.environ.items() if not k.startswith(("CHANGEDET_", "PYTHON"))}
    for command in (
        ["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)],
        ["changedet", "doctor", "--offline"],
        ["changedet", "demo", "--quiet"],
        ["changedet", "verify", "changedet-runs/demo"],
    ):
        print("+", *command, flush=True)
        code = subprocess.run(
            [str(binaries / command[0]), *command[1:]], cwd=folder, env=alone, check=False
        ).returncode
        if code:
            print(f"ended with {code}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
