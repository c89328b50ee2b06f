"""``changedet evaluate``: how well a method does on labelled pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.attempts import error_for_all
from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.cli.detect import settings_of
from changedet.cli.tables import table
from changedet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from changedet.evaluation.sets import SitePlace
    from changedet.result import ChangeResult

_LABELLED = "What is evaluated on"

Dataset = Annotated[
    Optional[tuple[str, Path]],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--dataset", help="A public set in its own layout: oscd, and the folder it lies in.",
                 rich_help_panel=_LABELLED, metavar="NAME ROOT"),
]  # fmt: skip
Pairs = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--pairs", help="Folder of pairs: SITE/before*, SITE/after*, SITE/truth.tif (.geojson, "
                 ".gpkg).", rich_help_panel=_LABELLED, metavar="FOLDER"),
]  # fmt: skip
Runs = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--runs", help="Folder of finished runs: nothing is compared again.",
                 rich_help_panel=_LABELLED, metavar="FOLDER"),
]  # fmt: skip
TruthFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--truth", help="Truth of the runs: FOLDER/SITE.tif (.geojson, .gpkg); or one file for "
                 "all.", rich_help_panel=_LABELLED, metavar="FOLDER"),
]  # fmt: skip
EvaluationFolder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", "-o", help="Folder for evaluation.json and evaluation.html; "
                 "./changedet-runs/evaluation-<name> by default.", metavar="DIR"),
]  # fmt: skip
KeepRuns = Annotated[
    bool,
    typer.Option("--keep-runs/--no-keep-runs", help="Also write the run folder of every site, into runs/."),
]
_HEADS = {
    "roc_auc": "AUC", "average_precision": "AP", "precision": "precision", "recall": "recall", "f1": "F1",
    "best_f1": "best F1", "not_judged_share": "not judged", "object_recall": "objects found",
    "object_precision": "objects true", "false_objects_per_km2": "false/km2",
}  # fmt: skip


@dataclass(frozen=True)
class Labelled:
    """The labelled sites that the options name."""

    places: list[SitePlace]
    kind: str
    name: str
    root: Path


def evaluate(
    *,
    dataset: Dataset = None,
    pairs: Pairs = None,
    runs: Runs = None,
    truth: TruthFolder = None,
    site: options.SiteNames = None,
    method: options.Method = "predict",
    min_area: options.MinArea = "500m2",
    threshold: options.Threshold = 10.0,
    budget: options.Budget = None,
    keep_seasonal: options.KeepSeasonal = False,
    model: options.Model = None,
    band_weights: options.BandWeights = "auto",
    grid: options.Grid = "before",
    max_residual: options.MaxResidual = 0.5,
    out: EvaluationFolder = None,
    overwrite: options.Overwrite = False,
    keep_runs: KeepRuns = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Measure how well a method finds labelled changes, site by site and in all. No network is used."""
    from changedet.evaluation.evaluating import evaluate as measure
    from changedet.output.evaluation_page import check_evaluation_folder, write_evaluation

    found = labelled_sites(dataset, pairs, (runs, truth), site or [])
    settings = settings_of(
        method, (threshold, budget, keep_seasonal), min_area, grid, max_residual, band_weights, model
    )
    folder = out or Path("changedet-runs") / f"evaluation-{found.name}"
    check_evaluation_folder(folder, overwrite=overwrite)
    keep = _saver(folder, overwrite=overwrite) if keep_runs and runs is None else None
    about = {"kind": found.kind, "name": found.name, "path": str(found.root)}
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        done = measure(found.places, settings, dataset=about, keep=keep, progress=bar)
        document = replace(done, command=tuple(command_line())).to_dict()
        bar.step("writing the page")
        page = write_evaluation(document, folder)
    for failure in done.failures:
        say(f"changedet: warning: {failure.site}: {failure.reason}", quiet=quiet)
    shown = document | {"folder": str(folder)}
    if done.failures:
        for line in _lines(document):
            say(line, quiet=quiet)
        raise error_for_all(done.failures, len(found.places), "figures", shown)
    emit(shown, [*_lines(document), f"page: {page}"], as_json=as_json)


def labelled_sites(
    dataset: tuple[str, Path] | None,
    pairs: Path | None,
    runs: tuple[Path | None, Path | None],
    names: Sequence[str],
) -> Labelled:
    """Read the labelled sites that the options name.

    Parameters
    ----------
    dataset : tuple of str and Path, or None
        Name of a public set, and where it lies.
    pairs : Path or None
        Folder of pairs.
    runs : tuple of Path or None
        Folder of runs, and of their truth.
    names : sequence of str
        Only these sites; all when empty.

    Returns
    -------
    Labelled
        At least one site.

    Raises
    ------
    UsageError
        When the options contradict each other, or nothing was named.
    InputFileError
        When there is no labelled site.
    """
    from changedet.batch import safe_name
    from changedet.evaluation.sets import only_sites, read_oscd, read_pairs, read_runs

    given = [
        option
        for option, value in (("--dataset", dataset), ("--pairs", pairs), ("--runs", runs[0]))
        if value is not None
    ]
    if len(given) != 1:
        what = f"{' and '.join(given)} contradict each other" if given else "nothing to evaluate on was given"
        raise UsageError(what, todo="give one of --dataset oscd ROOT, --pairs FOLDER, or --runs with --truth")
    if (runs[0] is None) != (runs[1] is None):
        raise UsageError("--runs and --truth belong together", todo="give both, or --pairs")
    if dataset is not None:
        if dataset[0] != "oscd":
            raise UsageError(f"unknown data set {dataset[0]!r}", todo="choose oscd, or give --pairs")
        return Labelled(only_sites(read_oscd(dataset[1]), names), "oscd", "oscd", dataset[1])
    if pairs is not None:
        found, kind, root = read_pairs(pairs), "pairs", pairs
    elif runs[0] is not None and runs[1] is not None:
        found, kind, root = read_runs(runs[0], runs[1]), "runs", runs[0]
    return Labelled(only_sites(found, names), kind, safe_name(root.resolve().name) or kind, root)


def _saver(folder: Path, *, overwrite: bool) -> Callable[[str, ChangeResult], None]:
    def _save(name: str, result: ChangeResult) -> None:
        from changedet.output.evaluation_page import RUNS_NAME
        from changedet.output.folder import save

        save(result, folder / RUNS_NAME / name, overwrite=overwrite, command=command_line())

    return _save


def _lines(document: Mapping[str, Any]) -> list[str]:
    """Return the table for a reader: sites, then macro and pooled, each with its comparison below."""
    from changedet.output.evaluation_page import CAUTIONS, rate_text

    def _row(name: str, figures: Mapping[str, Any] | None) -> tuple[str, ...]:
        rates = (figures or {}).get("rates", {})
        return (name, *(rate_text(key, rates.get(key)) for key in _HEADS))

    if not document["sites"]:
        return []
    rows = [("site", *_HEADS.values())]
    rows += [_row(one["site"], one["method"]) for one in document["sites"]]
    for word in ("macro", "pooled"):
        rows.append(_row(word, document[word]["method"]))
        if document[word]["cva_at_equal_area"]:
            rows.append(_row(f"{word}, change vectors", document[word]["cva_at_equal_area"]))
    return [*table(rows), "", *CAUTIONS[:2]]
