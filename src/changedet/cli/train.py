"""``changedet train``: a small model of your own labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.cli.evaluate import Dataset, Pairs, Runs, TruthFolder, labelled_sites
from changedet.cli.tables import table

if TYPE_CHECKING:
    from changedet.models.trained import TrainedModel

ModelFile = Annotated[
    Path, typer.Option("--out", "-o", help="File for the model, such as quarries.json.", metavar="FILE")
]
_NON_COMMERCIAL = (
    "the labels of this set are for non-commercial use, and so is a model that was trained on them"
)
_RATES = {
    "average_precision": "AP",
    "roc_auc": "AUC",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}


def train(
    *,
    out: ModelFile,
    dataset: Dataset = None,
    pairs: Pairs = None,
    runs: Runs = None,
    truth: TruthFolder = None,
    site: options.SiteNames = None,
    grid: options.Grid = "before",
    max_residual: options.MaxResidual = 0.5,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Train a small model on labelled pairs, and say what it is worth at sites that it has not seen."""
    from changedet.comparison import DetectSettings
    from changedet.hashing import sha256_file
    from changedet.models.trained import check_model_file
    from changedet.models.training import train as grow

    check_model_file(out, overwrite=overwrite)
    found = labelled_sites(dataset, pairs, (runs, truth), site or [])
    about = {"kind": found.kind, "name": found.name, "path": str(found.root), "command": command_line()}
    if found.kind == "oscd":
        about["terms"] = _NON_COMMERCIAL
        say(f"changedet: note: {_NON_COMMERCIAL}", quiet=quiet)
    detection = replace(DetectSettings(), grid=grid, residual_limit_px=max_residual)  # type: ignore[arg-type]
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        model = grow(found.places, detection=detection, dataset=about, progress=bar)
        model.save(out, overwrite=overwrite)
    document = {"model": str(out), "sha256": sha256_file(out), "bands": list(model.bands),
                "provenance": dict(model.provenance)}  # fmt: skip
    emit(document, [*_lines(model), "", model.sentence(), f"model: {out}"], as_json=as_json)


def _lines(model: TrainedModel) -> list[str]:
    worth: dict[str, Any] = model.provenance["cross_validation"]
    rows = [("left out", *_RATES.values(), *(f"untrained {name}" for name in ("AP", "F1")))]
    before = worth["untrained"]
    for name, row in worth["sites"].items():
        rows.append(_row(name, row["rates"], before["sites"][name]["rates"]))
    rows += [_row(word, worth[word], before[word]) for word in ("macro", "pooled")]
    return table(rows)


def _row(name: str, rates: dict[str, Any], before: dict[str, Any]) -> tuple[str, ...]:
    from changedet.output.evaluation_page import rate_text

    shown = [rate_text(key, rates.get(key)) for key in _RATES]
    return (name, *shown, *(rate_text(key, before.get(key)) for key in ("average_precision", "f1")))
