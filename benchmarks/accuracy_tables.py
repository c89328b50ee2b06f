"""Put what was measured of accuracy into docs/accuracy.md and README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HERE = Path(__file__).resolve().parent
PAGES = (HERE.parent / "docs" / "accuracy.md", HERE.parent / "README.md")
#: Largest share of the ground that may be flagged where nothing changed.
LARGEST_NULL_SHARE = 0.0002
_BLOCK = re.compile(r"(<!-- accuracy: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PLANTED = ("concrete", "brighter")
_SIZES = ("10-24", "25-49", "50-99", "100+")


def write(report: dict[str, Any]) -> None:
    """Write the tables between their marks."""
    for page in PAGES:
        page.write_text(renewed(page.read_text(encoding="utf-8"), report), encoding="utf-8")
        print(f"written: {page}", file=sys.stderr)


def renewed(text: str, report: dict[str, Any]) -> str:
    """Return a document with its measured parts written anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found[2]](report)}\n{found[3]}", text)


def text(report: dict[str, Any]) -> str:
    """Return every table whose part was measured, for the terminal."""
    return "\n".join(
        f"{name}\n\n{table(report)}" for name, table in TABLES.items() if PART_OF[name] in report
    )


def cities_table(report: dict[str, Any]) -> str:
    """Every city at the defaults, their mean, and all pixels together."""
    found = report["methods"]["methods"]["predict"]
    header = ("city", "changed", "AP", "AUC", "best F1", "precision", "recall", "F1", "not judged")
    rows = [_city_row(name, rates) for name, rates in found["sites"].items()]
    rows.append(_bold(_city_row("mean of cities", found["macro"])))
    rows.append(_bold(_city_row("all pixels together", found["pooled"])))
    return _table(header, rows)


def _city_row(name: str, rates: dict[str, Any]) -> list[str]:
    keys = ("average_precision", "roc_auc", "best_f1", "precision", "recall", "f1")
    return [
        name,
        f"{rates['changed_share']:.1%}",
        *(f"{rates[key]:.3f}" for key in keys),
        f"{rates['not_judged_share']:.1%}",
    ]


def figures_table(report: dict[str, Any]) -> str:
    """The same in short, for the front page."""
    found = report["methods"]["methods"]["predict"]
    header = ("city", "changed pixels", "AP", "AUC", "precision", "recall", "F1")
    rows = [_figures(name, rates) for name, rates in found["sites"].items()]
    rows.append(_bold(_figures("mean of cities", found["macro"])))
    rows.append(_bold(_figures("all pixels together", found["pooled"])))
    return _table(header, rows)


def _figures(name: str, rates: dict[str, Any]) -> list[str]:
    keys = ("average_precision", "roc_auc", "precision", "recall", "f1")
    return [name, f"{rates['changed_share']:.1%}", *(f"{rates[key]:.3f}" for key in keys)]


def methods_table(report: dict[str, Any]) -> str:
    """Every method: mean of cities, and all pixels together."""
    header = ("method", "AP", "AUC", "best F1", "F1", "AP", "AUC", "best F1", "precision", "recall", "F1")
    rows = []
    for name, found in report["methods"]["methods"].items():
        macro, pooled = found["macro"], found["pooled"]
        keys = ("average_precision", "roc_auc", "best_f1")
        cells = [
            *(macro[k] for k in (*keys, "f1")),
            *(pooled[k] for k in (*keys, "precision", "recall", "f1")),
        ]
        row = [f"`{name}`", *(f"{cell:.3f}" for cell in cells)]
        rows.append(_bold(row) if name == "predict" else row)
    return _table(header, rows)


def objects_table(report: dict[str, Any]) -> str:
    """Objects found by size, and false ones, ours beside change vectors at equal area."""
    both = report["methods"]["objects"]
    ours, theirs = both["predict"], both["cva"]
    rows = [["found, 10 pixels or more", *_shares(ours, theirs, "object_recall")]]
    for size in _SIZES:
        key = f"object_recall_{size}_px"
        rows.append([f"found, {size} pixels ({ours['labelled'][size]})", *_shares(ours, theirs, key)])
    rows.append(["flagged objects that touch a labelled one", *_shares(ours, theirs, "object_precision")])
    false = "false_objects_per_km2"
    cells = [f"{one[way][false]:.2f}" for way in ("pooled", "macro") for one in (ours, theirs)]
    rows.append(["flagged objects a km² that touch none", *cells])
    groups = "false_groups_per_km2"
    cells = [f"{one[way][groups]:.2f}" for way in ("pooled", "macro") for one in (ours, theirs)]
    rows.append(["... before they are cut by kind", *cells])
    return _table(("", "`predict`, all", "`cva`, all", "`predict`, mean", "`cva`, mean"), rows)


def _shares(ours: dict[str, Any], theirs: dict[str, Any], key: str) -> list[str]:
    return [f"{one[way][key]:.1%}" for way in ("pooled", "macro") for one in (ours, theirs)]


def kinds_table(report: dict[str, Any]) -> str:
    """Rankings by the score, and by likeness to construction: every city, their mean, and all together."""
    found = report["kinds"]
    header = ("city", "pixels, score", "pixels, construction", "candidates of kind first", "objects, score",
              "objects of kind construction", "touch a label", "of kind", "as many by score")  # fmt: skip
    rows = [_kinds_row(name, one) for name, one in found["sites"].items()]
    rows.append(_bold(_kinds_row("mean of cities", found["macro"])))
    rows.append(_bold(_kinds_row("all together", found["pooled"])))
    return _table(header, rows)


def _kinds_row(name: str, one: dict[str, Any]) -> list[str]:
    raw, own = one["by_score"], one["by_construction"]
    counts = one.get("counts", {})
    many, of_kind = (f" ({counts[key]})" if counts else "" for key in ("objects", "construction_objects"))
    return [
        name,
        f"{raw['average_precision']:.3f}",
        f"{own['average_precision']:.3f}",
        f"{own['candidates_first_average_precision']:.3f}",
        f"{raw['object_average_precision']:.3f}",
        f"{own['object_average_precision']:.3f}",
        f"{raw['object_precision']:.0%}{many}",
        f"{own['object_precision']:.0%}{of_kind}",
        f"{raw['object_precision_of_as_many']:.0%}",
    ]


def constants_table(report: dict[str, Any]) -> str:
    """Every constant: the default, and its value chosen on the other cities."""
    found = report["constants"]
    header = ("constant", "default", "values tried", "AP over these", "F1 over these",
              "AP, chosen elsewhere", "F1, chosen elsewhere", "chosen by F1")  # fmt: skip
    usual = found["default"]
    rows = [
        ["none: the defaults", "", "", "", "", f"{usual['average_precision']:.3f}", f"{usual['f1']:.3f}", ""]
    ]
    for name, one in found["constants"].items():
        values = ", ".join(_shown(value) for value in one["values"])
        ap = "" if "left_out_average_precision" not in one else f"{one['left_out_average_precision']:.3f}"
        rows.append([
            f"`{name}`", _shown(one["default"]), values,
            "" if not ap else _span(row["average_precision"] for row in one["means"]),
            _span(row["f1"] for row in one["means"]), ap, f"{one['left_out_f1']:.3f}",
            _picks(one["chosen_by_f1"]),
        ])  # fmt: skip
    at_once = found["all_at_once"]
    rows.append(_bold([
        "all at once", "", "", "", "", f"{at_once['average_precision']['average_precision']:.3f}",
        f"{at_once['f1']['f1']:.3f}", "",
    ]))  # fmt: skip
    return _table(header, rows)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(f"{one:g}" for one in value) or "none"
    return f"{value:g}"


def _picks(values: Sequence[Any]) -> str:
    shown = [_shown(value) for value in values]
    return ", ".join(f"{one} ({shown.count(one)})" for one in dict.fromkeys(shown))


def _span(values: Iterable[float]) -> str:
    listed = list(values)
    return f"{min(listed):.3f} to {max(listed):.3f}"


def nulls_table(report: dict[str, Any]) -> str:
    """Real pairs on which nothing was built."""
    nulls = report["nulls"]
    rows = [
        [f"one summer, {name}", f"{one['judged_share']:.0%}", _percent(one["flagged_share"]), _found(one)]
        for name, one in nulls["summer"].items()
    ]
    if one := nulls["one_band"]:
        said = "refused" if one["refused"] else _percent(one["flagged_share"])
        rows.append(
            ["ten days, one band, clouds cannot be looked for", f"{one['judged_share']:.0%}", said, ""]
        )
    for name, one in nulls["themselves"].items():
        flagged = f"{_percent(one['flagged_share'])}; registered first {_percent(one['registered_first'])}"
        rows.append([f"{name} against itself", f"{one['judged_share']:.0%}", flagged, _found(one)])
    return _table(("pair", "judged", "flagged", "found of planted concrete, and brighter"), rows)


def _found(one: dict[str, Any]) -> str:
    return f"{one['concrete_found']} and {one['brighter_found']} of {one['planted']}"


def seasons_table(report: dict[str, Any]) -> str:
    """Simulated dates between which only the season passes."""
    header = (
        "dates apart", "pairs", f"flagged at most {_percent(LARGEST_NULL_SHARE)}", "... and not blind",
        "median", "largest", "largest, other than vegetation", "concrete found", "brighter found",
    )  # fmt: skip
    found = report["nulls"]["seasons"]
    rows = []
    for gap, years in dict.fromkeys((one["gap_days"], one["years"]) for one in found):
        part = [one for one in found if (one["gap_days"], one["years"]) == (gap, years)]
        shares = [one["flagged_share"] for one in part]
        quiet = [one for one in part if one["flagged_share"] <= LARGEST_NULL_SHARE]
        planted = sum(one["planted"] for one in part)
        rows.append([
            f"{gap} days" if not years else f"a year and {gap} days" if gap else "a year",
            f"{len(part)}", f"{len(quiet)}", f"{sum(map(_sees, quiet))}",
            *(_percent(one) for one in (median(shares), max(shares))),
            _percent(max(one["other_than_vegetation"] for one in part)),
            *(f"{sum(one[f'{what}_found'] for one in part)} of {planted}" for what in PLANTED),
        ])  # fmt: skip
    return _table(header, rows)


def _sees(one: dict[str, Any]) -> bool:
    """Tell whether at least three of four squares of concrete were found."""
    return 4 * one["concrete_found"] >= 3 * one["planted"]


def landsat_text(report: dict[str, Any]) -> str:
    """The Landsat pair, in a sentence."""
    one = report["landsat"]
    return (
        f"Over {one['labelled_pixels']} labelled pixels: area under the ROC curve {one['roc_auc']:.4f}, "
        f"average precision {one['average_precision']:.4f}, best F1 {one['best_f1']:.3f}; at the default "
        f"decision precision {one['precision']:.3f}, recall {one['recall']:.3f}, F1 {one['f1']:.3f}.\n"
    )


def altered_table(report: dict[str, Any]) -> str:
    """How far the flagged area stays the same when a pair is altered in ways that should not matter."""
    altered = report["altered"]
    names = list(next(iter(altered.values())))
    rows = [
        [way, *(f"{found[name]:.2f}" for name in names), f"{fmean(found.values()):.2f}"]
        for way, found in altered.items()
    ]
    return _table(("altered", *names, "mean"), rows)


def agreement_text(report: dict[str, Any]) -> str:
    """Say how far the figures are from those of others."""
    return (
        "Computed a second time by scikit-learn from the maps, no figure of any city differs by more than "
        f"{report['methods']['difference_to_scikit_learn']:.0e}.\n"
    )


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "cities": cities_table,
    "figures": figures_table,
    "methods": methods_table,
    "agreement": agreement_text,
    "objects": objects_table,
    "kinds": kinds_table,
    "constants": constants_table,
    "nulls": nulls_table,
    "seasons": seasons_table,
    "landsat": landsat_text,
    "altered": altered_table,
}
PART_OF = dict.fromkeys(("cities", "figures", "methods", "agreement", "objects"), "methods") | {
    "kinds": "kinds",
    "constants": "constants",
    "nulls": "nulls",
    "seasons": "nulls",
    "landsat": "landsat",
    "altered": "altered",
}


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{share:.2%}" if share >= 0.00005 else "< 0.01%"


def _bold(row: Sequence[str]) -> list[str]:
    return [f"**{cell}**" if cell else "" for cell in row]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
