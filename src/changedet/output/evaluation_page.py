"""An evaluation as a page: one HTML file with its tables and curves that loads nothing, beside its JSON."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changedet.errors import OutputError, OutputExistsError
from changedet.output import facts
from changedet.output.page import render_page
from changedet.providers.cache_files import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Names of the files of an evaluation, and of the folder of runs that may lie beside them.
DOCUMENT_NAME, PAGE_NAME, RUNS_NAME = "evaluation.json", "evaluation.html", "runs"

#: What every rate is called and means, in the order of the tables.
RATES: tuple[tuple[str, str, str], ...] = (
    ("roc_auc", "ROC AUC", "how often a changed pixel scores higher than an unchanged one; 0.5 is chance"),
    ("average_precision", "average precision", "mean precision over recall; chance is the changed share"),
    ("precision", "precision", "share of the flagged pixels that are labelled as changed"),
    ("recall", "recall", "share of the labelled pixels that are flagged"),
    ("f1", "F1", "harmonic mean of precision and recall, at the decision that the tool takes by itself"),
    ("iou", "IoU", "flagged and labelled pixels in common, as a share of both together"),
    ("best_f1", "best F1", "what one threshold, chosen with the truth at hand, could reach"),
    ("changed_share", "labelled as changed", "share of the pixels: how rare the change is"),
    ("flagged_share", "flagged", "share of the pixels"),
    ("not_judged_share", "not judged", "share of the pixels that were not observed or not comparable; they "
     "rank last and count as not flagged"),
    ("object_recall", "objects found", "share of the labelled objects of 10 pixels or more of which 30 % of "
     "the area are flagged"),
    ("object_recall_10-24_px", "found, 10-24 px", "of the labelled objects of this size"),
    ("object_recall_25-49_px", "found, 25-49 px", "of the labelled objects of this size"),
    ("object_recall_50-99_px", "found, 50-99 px", "of the labelled objects of this size"),
    ("object_recall_100+_px", "found, 100 px or more", "of the labelled objects of this size"),
    ("object_precision", "objects that touch", "share of the flagged objects that hold a labelled pixel"),
    ("false_objects_per_km2", "false objects / km²", "flagged objects that touch nothing that is labelled"),
)  # fmt: skip

#: What a reader has to know before quoting a number.
CAUTIONS = (
    "Macro is the mean over sites, each counting alike; pooled puts all pixels together, so that large sites "
    "and sites with much change weigh most. Neither is right by itself.",
    "A single number over several sites hides how rare change is at each. Precision, F1 and average "
    "precision fall with the share of changed ground, even when a method works equally well: compare sites "
    "by ROC AUC and by objects.",
    "A label set knows one sort of change. A flagged object that touches no label can be a real change that "
    "the set does not count, such as a harvest.",
    "Change vector analysis with the same smoothing flags the same area here, so that the comparison does "
    "not depend on where a threshold lies.",
)

#: Figures of rankings by the score and by likeness to construction: name in the document, label, meaning.
KIND_ROWS: tuple[tuple[str, str], ...] = (
    ("average_precision", "average precision of pixels"),
    ("candidates_first_average_precision", "the same, candidates of kind construction first"),
    ("object_average_precision", "average precision of objects"),
    ("object_precision", "objects that touch a label"),
    ("object_precision_of_as_many", "as many objects of the highest score that touch one"),
)
#: What these figures are, under their table.
KIND_NOTE = (
    "By the score: all pixels and all candidates. By construction: pixels by construction.tif, and the "
    "candidates of kind construction alone. Average precision of objects is over each list itself: what no "
    "candidate covers does not count."
)

_SHORT = ("roc_auc", "average_precision", "precision", "recall", "f1", "best_f1", "changed_share",
          "not_judged_share", "object_recall", "object_precision", "false_objects_per_km2")  # fmt: skip
_METHOD, _OTHER, _SITE = "#0b5cad", "#b35900", "#9aa4ae"


def write_evaluation(document: Mapping[str, Any], folder: str | Path) -> Path:
    """Write an evaluation as ``evaluation.json`` and ``evaluation.html``, each whole or not at all.

    Parameters
    ----------
    document : mapping
        From `changedet.evaluation.evaluating.Evaluation.to_dict`.
    folder : str or Path
        Made when it is not there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    folder = Path(folder)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ((PAGE_NAME, evaluation_html(document)), (DOCUMENT_NAME, text)):
            write_text(folder / name, content)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or 'write error'})",
            where=str(folder),
            todo="check the permission and the free space, or choose another folder",
        ) from error
    return folder / PAGE_NAME


def check_evaluation_folder(folder: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that an evaluation may not be written to, before any work is done.

    Parameters
    ----------
    folder : str or Path
        The folder that is to hold the evaluation.
    overwrite : bool
        Whether an earlier evaluation in it may be replaced.

    Raises
    ------
    OutputExistsError
        When it is a file, holds what no evaluation wrote, or holds one that may not be replaced.
    """
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise OutputExistsError("a file of this name exists", where=str(folder), todo="choose another folder")
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    foreign = sorted(names - {DOCUMENT_NAME, PAGE_NAME, RUNS_NAME})
    if foreign:
        raise OutputExistsError(
            f"the folder holds what no evaluation wrote ({foreign[0]})",
            where=str(folder),
            todo="choose another folder",
        )
    if names and not overwrite:
        todo = "choose another folder or allow overwriting (--overwrite)"
        raise OutputExistsError("the folder exists and is not empty", where=str(folder), todo=todo)


def evaluation_html(document: Mapping[str, Any]) -> str:
    """Return the page of an evaluation.

    Parameters
    ----------
    document : mapping
        What ``evaluation.json`` holds.

    Returns
    -------
    str
        A complete HTML document under a policy that forbids every load; the same document gives the same
        text.
    """
    sites = document["sites"]
    context = {
        "title": _title(document),
        "finding": finding(document),
        "cautions": CAUTIONS,
        "rates": [(label, meaning) for _, label, meaning in RATES],
        "in_all": _in_all(document) if sites else [],
        "site_heads": [label for name, label, _ in RATES if name in _SHORT],
        "site_rows": [(facts.clean(one["site"]), *_cells(one["method"], _SHORT)) for one in sites],
        "other_rows": [
            (facts.clean(one["site"]), *_cells(one["cva_at_equal_area"], _SHORT))
            for one in sites
            if one["cva_at_equal_area"]
        ],
        "wins": _wins_text(document),
        "confidence": _confidence_rows(document) if sites else [],
        "kinds": _kind_rows(document) if sites else [],
        "kind_note": KIND_NOTE,
        "pictures": _pictures(document) if sites else {},
        "notes": [(facts.clean(one["site"]), facts.clean(text, 300)) for one in sites
                  for text in dict.fromkeys((*one["refusals"], *one["warnings"]))],
        "failed": [(facts.clean(f["site"]), facts.clean(f["reason"], 300)) for f in document["failed"]],
        "settings": _flat(document["settings"] or (sites[0]["parameters"] if sites else {})),
        "inputs": [(facts.clean(one["site"]), role, facts.clean(path, 300), digest) for one in sites
                   for role, files in one["inputs"].items() for path, digest in files.items()],
        "software": document["software"],
        "schema": document["schema"],
        "created": document["created_utc"],
    }  # fmt: skip
    return render_page("evaluation.html.j2", context)


def finding(document: Mapping[str, Any]) -> str:
    """Say what an evaluation amounts to, in one sentence.

    Parameters
    ----------
    document : mapping
        What ``evaluation.json`` holds.

    Returns
    -------
    str
        With macro and pooled figures side by side.
    """
    if not document["sites"]:
        return "No site could be evaluated."
    macro, pooled = (document[word]["method"]["rates"] for word in ("macro", "pooled"))
    f1, recall, false = (
        " and ".join(facts.number(one[name], digits) for one in (macro, pooled))
        for name, digits in (("f1", 3), ("object_recall", 2), ("false_objects_per_km2", 2))
    )
    count = len(document["sites"])
    return (
        f"{count} site(s), macro and pooled: F1 {f1}; share of the labelled objects found {recall}; "
        f"false objects per km² {false}."
    )


def rate_text(name: str, value: float | None) -> str:
    """Write a rate for a reader.

    Parameters
    ----------
    name : str
        Of `RATES`.
    value : float or None
        None where the truth does not allow one.

    Returns
    -------
    str
        A dash for None.

    Examples
    --------
    >>> rate_text("f1", 0.4871), rate_text("changed_share", 0.016), rate_text("f1", None)
    ('0.487', '1.6 %', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if name in ("changed_share", "flagged_share", "not_judged_share"):
        return facts.share_text(value)
    digits = 2 if name.startswith(("object", "false")) else 3
    return facts.number(float(value), digits)


def _cells(figures: Mapping[str, Any] | None, names: Sequence[str]) -> tuple[str, ...]:
    ordered = [name for name, _, _ in RATES if name in names]
    rates = (figures or {}).get("rates", {})
    return tuple(rate_text(name, rates.get(name)) for name in ordered)


def _in_all(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    names = [name for name, _, _ in RATES]
    columns = [
        _cells(document[word][row], names)
        for row in ("method", "cva_at_equal_area")
        for word in ("macro", "pooled")
    ]
    return list(zip((label for _, label, _ in RATES), *columns, strict=True))


def _title(document: Mapping[str, Any]) -> str:
    said = document["dataset"]
    method = (document["settings"] or {}).get("method")
    first = document["sites"][0]["parameters"] if document["sites"] else {}
    name = facts.clean(said.get("name", "labelled pairs"))
    return f"Evaluation of {facts.clean(first.get('method') or method or 'runs')} on {name}"


def _wins_text(document: Mapping[str, Any]) -> str:
    wins = document["higher_than_cva"]
    if not wins:
        return (
            "Not every site could be compared with change vector analysis: its images are not there any more."
        )
    labels = {name: label for name, label, _ in RATES}
    said = ", ".join(f"{labels[name]} at {won} of {of}" for name, (won, of) in wins.items())
    return f"Higher than change vector analysis: {said} site(s)."


def _confidence_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for level, found in document["pooled"]["confidence"].items():
        share, interval = "-", "-"
        if found["share"] is not None:
            share, interval = f"{found['share']:.2f}", f"{found['low']:.2f} to {found['high']:.2f}"
        rows.append((level, str(found["objects"]), str(found["touching"]), share, interval))
    return rows


def _kind_rows(document: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the rows of `KIND_ROWS`, macro and pooled; none where they are not known."""
    if not document.get("higher_by_construction"):
        return []
    rows = []
    for name, label in KIND_ROWS:
        cells = (
            rate_text("average_precision", document[word]["kinds"][ranking].get(name))
            for ranking in ("by_score", "by_construction")
            for word in ("macro", "pooled")
        )
        won = document["higher_by_construction"].get(name)
        rows.append((label, *cells, "-" if won is None else f"{won[0]} of {won[1]}"))
    return rows


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, facts.clean(value)))
    return found


def _pictures(document: Mapping[str, Any]) -> dict[str, str]:
    """Draw curves and calibration as pictures that the page carries."""
    from matplotlib import rc_context

    # letters stay letters, and equal evaluations give equal bytes
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "evaluation", "font.size": 9}):
        return {"curves": _curves(document), "calibration": _calibration(document)}


def _curves(document: Mapping[str, Any]) -> str:
    from changedet.output.figure import PageFigure

    figure = PageFigure(10, 4.4)
    left, right = figure.subplots(1, 2)
    pooled = document["pooled"]["curves"]
    for axes, name in ((left, "roc"), (right, "precision_recall")):
        for number, site in enumerate(document["sites"]):
            label = "each site" if not number else "_"
            _line(axes, site["curves"]["method"][name], _SITE, 0.9, label)
        if pooled["cva"]:
            _line(axes, pooled["cva"][name], _OTHER, 1.8, "pooled, change vectors", style="--")
        _line(axes, pooled["method"][name], _METHOD, 2.2, "pooled, method")
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.grid(alpha=0.3)
    rates = document["pooled"]["method"]["rates"]
    if rates["recall"] is not None:
        right.plot(rates["recall"], rates["precision"], "o", color=_METHOD, label="pooled decision")
    left.set(
        xlabel="share of unchanged pixels flagged", ylabel="share of changed pixels flagged", title="ROC"
    )
    right.set(xlabel="recall", ylabel="precision", title="Precision and recall")
    right.legend(loc="upper right", fontsize=8)
    return _data_url(figure)


def _line(
    axes: Axes, points: Sequence[Sequence[float]], colour: str, width: float, label: str, *, style: str = "-"
) -> None:
    if points:
        axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=width, label=label)


def _calibration(document: Mapping[str, Any]) -> str:
    from changedet.output.figure import PageFigure

    figure = PageFigure(5.2, 3.4)
    axes = figure.subplots()
    levels = document["pooled"]["confidence"]
    for place, found in enumerate(levels.values()):
        if found["share"] is None:
            continue
        ends = [[found["share"] - found["low"]], [found["high"] - found["share"]]]
        axes.errorbar(place, found["share"], yerr=ends, fmt="o", color=_METHOD, capsize=5)
        axes.annotate(f"{found['touching']} of {found['objects']}", (place, found["share"]), (8, 4),
                      textcoords="offset points", fontsize=8)  # fmt: skip
    axes.set_xticks(range(len(levels)), list(levels))
    axes.set(ylim=(0, 1), xlim=(-0.5, len(levels) - 0.3), xlabel="confidence",
             ylabel="share of objects that touch a label")  # fmt: skip
    axes.grid(axis="y", alpha=0.3)
    return _data_url(figure)


def _data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
