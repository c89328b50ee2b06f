"""What tests of whole runs share: the command line in this process, spoilt imagery, a clean environment."""

import json
import os
import re
from pathlib import Path

import rasterio

from changedet.cli import run

SAMPLES = Path(__file__).parents[1] / "samples" / "pair"
#: The environment in which a test may look for real imagery, whatever else is taken away.
_KEPT = "CHANGEDET_DATA"


def clean_environment(patch, folder):
    """Keep settings of the person who runs the tests away from them."""
    for name in [n for n in os.environ if n.startswith("CHANGEDET_") and n != _KEPT]:
        patch.delenv(name)
    # matplotlib would otherwise look through the fonts of the machine again
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR") or str(cache / "matplotlib"))
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for name in ("HOME", "XDG_CONFIG_HOME"):
        patch.setenv(name, str(folder))
    patch.delenv("SH_CLIENT_ID", raising=False)
    patch.delenv("SH_CLIENT_SECRET", raising=False)


def write_no_plates(result, folder):
    """Stand in for `changedet.output.plate.write_plates`, which takes most of the time of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overview.png").write_bytes(result.name.encode(errors="replace"))
    return {folder / "overview.png": ()}


def rewrite(source, target, change=lambda numbers, band: numbers, *, tags=None, **profile):
    """Copy a folder of band files, with other pixels, tags or properties."""
    target.mkdir(parents=True)
    for path in sorted(Path(source).glob("*.tif")):
        band = path.stem.rsplit("_", 1)[-1]
        with rasterio.open(path) as file:
            said, numbers = file.profile, change(file.read(), band)
            kept = {"tags": file.tags(), "scales": file.scales, "offsets": file.offsets}
        said |= {"dtype": numbers.dtype.name} | profile
        if numbers.dtype.kind == "f":
            said |= {"predictor": 1, "nodata": None}
        with rasterio.open(target / path.name, "w", **said) as file:
            file.write(numbers)
            file.update_tags(**(kept["tags"] | (tags or {})))
            file.scales, file.offsets = kept["scales"], kept["offsets"]
    return target


def made(folder):
    """Of every run folder of a batch the digests of its files and what stands in its record, but not when."""
    found = {}
    for path in sorted(folder.rglob("run.json")):
        # what a killed process was writing stands under a name that begins with a dot
        if path.parent.name.startswith("."):
            continue
        record = json.loads(path.read_text())
        found[path.parent.relative_to(folder).as_posix()] = {
            name: said for name, said in record.items() if name not in {"created_utc", "command"}
        } | {"files": {k: v for k, v in record["files"].items() if k != "report.html"}}
    return found


class Command:
    """Runs the command line in this process and keeps what it said."""

    def __init__(self, capfd):
        self._capfd = capfd
        self.code, self.out, self.err = 0, "", ""

    def __call__(self, *arguments):
        self._capfd.readouterr()
        self.code = run([str(a) for a in arguments])
        self.out, self.err = self._capfd.readouterr()
        return self.code

    @property
    def error(self):
        """The one line that a failure prints; fails when there are more, or a traceback."""
        # what is said while a service is waited for is no part of the failure
        lines = [line for line in self.err.strip().splitlines() if "trying again (" not in line]
        assert len(lines) == 1, self.err
        assert re.match(r"changedet: error: \S", lines[0])
        return lines[0]
