"""Count what the tests noticed of the changes that mutmut made, module by module, and hold the share.

python tools/mutation_score.py MUTANTS [--least SHARE] [--list]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

#: Exit code of the tests under a mutant, as mutmut records it: nothing noticed, or no test ever comes there.
SURVIVED, UNTESTED = 0, 33


def main() -> int:
    """Print a row for each module; fail below the share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--least", type=float, default=0.75, help="share that has to be noticed")
    parser.add_argument("--list", action="store_true", help="name the mutants that live on")
    said = parser.parse_args()
    total: Counter[str] = Counter()
    for path in sorted(said.folder.rglob("*.meta")):
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found = count(codes)
        if not found["mutants"]:
            continue
        total.update(found)
        print(row(str(path.relative_to(said.folder)).removesuffix(".meta"), found))
        for name, code in codes.items() if said.list else ():
            if code in {SURVIVED, UNTESTED}:
                print("   ", name)
    print(row("together", total))
    return int(share(total) < said.least)


def count(codes: dict[str, int | None]) -> Counter[str]:
    """Count mutants by what became of them; those not tried yet are left out."""
    tried = [code for code in codes.values() if code is not None]
    lives = sum(code in {SURVIVED, UNTESTED} for code in tried)
    return Counter(mutants=len(tried), noticed=len(tried) - lives, untested=tried.count(UNTESTED))


def share(found: Counter[str]) -> float:
    """Share of the mutants that the tests noticed."""
    return found["noticed"] / max(found["mutants"], 1)


def row(name: str, found: Counter[str]) -> str:
    """One line of the table."""
    return (
        f"{name:45} {found['noticed']:5} of {found['mutants']:5} noticed ({share(found):.1%}), "
        f"{found['untested']} where no test comes"
    )


if __name__ == "__main__":
    sys.exit(main())
