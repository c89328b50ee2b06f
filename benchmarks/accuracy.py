"""How accurate the default method is: labelled pairs, pairs without change, pairs altered on purpose.

    python benchmarks/accuracy.py                      everything; half an hour on one processor, 2 GB
    python benchmarks/accuracy.py --only kinds         one of: methods, kinds, constants, nulls, landsat,
                                                       altered
    python benchmarks/accuracy.py --keep FOLDER        also write score.tif and state.tif of each city
    python benchmarks/accuracy.py --docs               measure nothing: put what was measured into the page

The pairs are looked for in the folder that CHANGEDET_DATA names (oscd, eolearn_scenes, arosics_s2_pair,
landsat_taizhou); what is not there is left out, and the report says so. What was measured is written to
accuracy_results.json beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from benchmarks import accuracy_constants, accuracy_measures, accuracy_tables  # noqa: E402
from benchmarks.accuracy_pairs import ROOT, City, cities, registered  # noqa: E402

import changedet  # noqa: E402
from changedet.provenance import library_versions  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = HERE / "accuracy_results.json"
PARTS = ("methods", "kinds", "constants", "nulls", "landsat", "altered")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables and write them down; 1 when there is nothing to measure on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder for score.tif and state.tif of each city")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="JSON file to write, or to read with --docs"
    )
    parser.add_argument("--docs", action="store_true", help="measure nothing, write the tables of the page")
    options = parser.parse_args(arguments)
    if options.docs:
        accuracy_tables.write(json.loads(options.out.read_text(encoding="utf-8")))
        return 0
    if not cities():
        print(f"no labelled pairs in {ROOT}: set CHANGEDET_DATA", file=sys.stderr)
        return 1
    report = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    # of the files as they are when the program starts: somebody may edit them while it runs
    source = source_digest()
    for part in options.only or PARTS:
        report[part] = measured(part, options.keep)
        report["measured_utc"] = datetime.now(UTC).strftime("%Y-%m-%d")
        report["libraries"] = library_versions()
        report.setdefault("source", {})[part] = source
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(accuracy_tables.text(report))
    print(f"written: {options.out}")
    return 0


def measured(part: str, keep: Path | None = None) -> dict[str, Any]:
    """Measure one part."""
    if part == "methods":
        return accuracy_measures.measured_methods(cities(), keep)
    if part == "kinds":
        return accuracy_measures.measured_kinds(cities())
    if part == "constants":
        return accuracy_constants.measured_constants(registered_cities())
    if part == "altered":
        return accuracy_measures.altered(registered_cities())
    if part == "landsat":
        return accuracy_measures.taizhou() if (ROOT / "landsat_taizhou").is_dir() else {}
    return {
        "summer": accuracy_measures.summer_pairs() if (ROOT / "eolearn_scenes").is_dir() else {},
        "one_band": accuracy_measures.one_band_pair(),
        "themselves": accuracy_measures.cities_against_themselves(registered_cities()),
        "seasons": accuracy_measures.seasons(),
    }


def source_digest() -> str:
    """Return a digest of the source that was measured, so that parts of one report can be told to agree."""
    digest = hashlib.sha256()
    for path in sorted(Path(changedet.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def registered_cities() -> list[City]:
    """Register every city once; no constant that is varied changes how images are registered."""
    return [registered(site) for site in cities()]


if __name__ == "__main__":
    sys.exit(main())
