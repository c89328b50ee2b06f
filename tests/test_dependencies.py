"""What is imported is declared, and what is declared is imported."""

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Distributions whose packages have another name.
PACKAGES = {
    "lazy-loader": "lazy_loader",
    "odc-geo": "odc.geo",
    "opencv-python-headless": "cv2",
    "pystac-client": "pystac_client",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
#: Declared though nothing imports them yet, with the reason.
RESERVED = {
    "dask": "odc.geo.xr imports it and does not declare it: to_xarray() fails without",
    "scikit-image": "used by the providers and detectors to come",
}
#: Packages that have a namespace in common with others are told apart by their second name.
NAMESPACES = {"odc"}


def imported():
    """The packages that the sources import, wherever in a file they do."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            found |= {".".join(n.split(".")[: 2 if n.split(".")[0] in NAMESPACES else 1]) for n in names}
    return {name for name in found if name not in sys.stdlib_module_names} - {"changedet"}


def declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]}


def extras():
    """What single commands need, and ask for when it is not there."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = (found["optional-dependencies"][name] for name in ("learn", "jupyter", "maps"))
    return {re.match(r"[\w.-]+", line)[0] for group in groups for line in group}


def test_every_import_is_declared():
    assert imported() <= {PACKAGES.get(name, name) for name in declared() | extras()}


def test_everything_declared_is_imported_or_reserved_with_a_reason():
    used = imported()
    unused = {name for name in declared() if PACKAGES.get(name, name) not in used}
    assert unused <= set(RESERVED)
    assert all(RESERVED.values())
