"""A trained model as a file and as a score: numbers only, so that a stranger's file can be opened safely."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.change_features import FEATURES_VERSION, fingerprint, list_features, map_features
from changedet.core.planes import chosen_bands
from changedet.core.trees import Trees, sum_trees
from changedet.errors import (
    InputFileError,
    MissingBandError,
    MissingInputError,
    OutputError,
)
from changedet.json_texts import OTHER_SHAPE, read_json
from changedet.providers.cache_files import refuse_existing, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Name and version of the layout of a model file.
SCHEMA = "changedet.model/1"
#: Largest model file that is read.
_MOST_BYTES = 50_000_000
#: Of the names of sites no more is shown.
_LONGEST_NAME = 60
#: How far a feature may move, relative to its own size, before a model is refused.
_SAME_WITHIN = 1e-3
_AGAIN = "train it again with changedet train"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model and all that is needed to use it and to judge it.

    Attributes
    ----------
    trees : Trees
        What it learnt.
    bands : tuple of str
        Bands it needs, in its order.
    weights : tuple of float
        Their weights in the scores of the detectors.
    smoothing_px : tuple of float
        Standard deviations of the Gaussians over which its score is smoothed.
    seed, grow : float
        An object needs a pixel above `seed`, and consists of the connected pixels above `grow`.
    fingerprint : tuple of float
        What the features were when it was trained, see `changedet.core.change_features.fingerprint`.
    provenance : mapping
        Sites, digests, settings, figures of cross-validation, versions and date; JSON-serialisable.
    """

    trees: Trees
    bands: tuple[str, ...]
    weights: tuple[float, ...]
    smoothing_px: tuple[float, ...]
    seed: float
    grow: float
    fingerprint: tuple[float, ...]
    provenance: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def sentence(self) -> str:
        """Say that a trained model was used, and on what it was trained.

        Returns
        -------
        str
            For every reader of a result.
        """
        sites = [_shown(one.get("site", "?")) for one in self.provenance.get("sites", ())]
        named = ", ".join(sites[:5]) + (f" and {len(sites) - 5} more" if len(sites) > 5 else "")
        figures = self.provenance.get("cross_validation", {}).get("pooled", {})
        f1 = figures.get("f1")
        worth = "" if f1 is None else f"; at sites it had not seen its F1 was {f1:.2f}, all pixels together"
        return (
            f"The score is that of a model trained on {len(sites)} labelled site(s) ({named or 'not known'})"
            f"{worth}. It finds what is like its labels."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what a model file holds.

        Returns
        -------
        dict
            JSON-serialisable.
        """
        return {
            "schema": SCHEMA,
            "features_version": FEATURES_VERSION,
            "bands": list(self.bands),
            "weights": list(self.weights),
            "features": [asdict(one) for one in list_features(self.bands)],
            "fingerprint": list(self.fingerprint),
            "smoothing_px": list(self.smoothing_px),
            "thresholds": {"seed": self.seed, "grow": self.grow},
            "trees": {
                "baseline": self.trees.baseline,
                **{name: getattr(self.trees, name).tolist() for name in _TREE_ARRAYS},
            },
            "provenance": dict(self.provenance),
        }

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the model as one JSON file.

        Parameters
        ----------
        path : str or Path
            The file; its folder has to exist.
        overwrite : bool
            Replace a file of that name.

        Returns
        -------
        Path
            The same.

        Raises
        ------
        OutputExistsError
            When the file is there and `overwrite` is False.
        OutputError
            When it cannot be written; nothing half-written is left.
        """
        path = Path(path)
        check_model_file(path, overwrite=overwrite)
        try:
            text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
            write_text(path.absolute(), text + "\n")
        except OSError as error:
            what = f"cannot be written ({error.strerror or 'write error'})"
            raise OutputError(what, where=str(path), todo="check the folder and the free space") from error
        return path


_TREE_ARRAYS = {"feature": np.int16, "threshold": np.float32, "left": np.int16, "right": np.int16,
                "value": np.float32}  # fmt: skip


def check_model_file(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that a model may not be written to, before any work is done.

    Parameters
    ----------
    path : Path
        The file that is to be made.
    overwrite : bool
        Whether it may be replaced.

    Raises
    ------
    OutputExistsError
        When it is there and may not.
    OutputError
        When its folder is not there.
    """
    refuse_existing(path, overwrite=overwrite)
    if not path.absolute().parent.is_dir():
        raise OutputError("its folder is not there", where=str(path), todo="make it")


def open_model(path: str | Path) -> TrainedModel:
    """Read a model file. Nothing in it is executed: it holds numbers and text.

    Parameters
    ----------
    path : str or Path
        What `TrainedModel.save` wrote.

    Returns
    -------
    TrainedModel
        With trees that were checked.

    Raises
    ------
    MissingInputError
        When the file is not there.
    InputFileError
        When it is damaged, of another layout, or its features are not those of this version any more.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingInputError(
            "no such file", where=str(path), todo="name a file that changedet train wrote"
        )
    try:
        data = read_json(path, _MOST_BYTES)
        if data["schema"] != SCHEMA:
            message = f"layout {str(data['schema'])[:60]!r} is not {SCHEMA!r}"
            raise ValueError(message)
        model = _model_of(data)
    except (*OTHER_SHAPE, OSError) as error:
        said = " ".join(str(error).split())[:120]
        raise InputFileError(
            f"is no model that can be used ({said})", where=str(path), todo=_AGAIN
        ) from error
    _require_same_features(model, data.get("features_version"), path)
    return model


def _model_of(data: Mapping[str, Any]) -> TrainedModel:
    with np.errstate(all="raise"):
        arrays = {name: np.array(data["trees"][name], kind) for name, kind in _TREE_ARRAYS.items()}
    trees = Trees(**arrays, baseline=float(data["trees"]["baseline"]))
    bands = tuple(str(name) for name in data["bands"])
    trees.check(len(list_features(bands)))
    model = TrainedModel(
        trees,
        bands,
        tuple(float(w) for w in data["weights"]),
        tuple(float(s) for s in data["smoothing_px"]),
        float(data["thresholds"]["seed"]),
        float(data["thresholds"]["grow"]),
        tuple(float(v) for v in data["fingerprint"]),
        MappingProxyType(dict(data["provenance"])),
    )
    if len(model.weights) != len(bands) or not 0 < model.grow <= model.seed < np.inf:
        message = "weights or thresholds do not fit"
        raise ValueError(message)
    if not (all(0 <= w < np.inf for w in model.weights) and any(model.weights)):
        message = "its weights are out of range"
        raise ValueError(message)
    if not all(0 < sigma < 100 for sigma in model.smoothing_px):
        message = "its smoothing is out of range"
        raise ValueError(message)
    # a provenance that cannot be told is found here and not when a comparison is finished
    model.sentence()
    return model


def _require_same_features(model: TrainedModel, features_version: object, path: Path) -> None:
    """Refuse a model whose features mean something else now: its score would mean nothing."""
    now = fingerprint(model.bands, model.weights)
    same = len(now) == len(model.fingerprint) and np.allclose(
        now, model.fingerprint, _SAME_WITHIN, _SAME_WITHIN
    )
    if features_version != FEATURES_VERSION or not same:
        raise InputFileError(
            f"was trained on features (version {features_version}) that this version of changedet computes "
            "in another way",
            where=str(path),
            todo=f"{_AGAIN}, or use the version that trained it",
        )


def _shown(name: object) -> str:
    """Return a name that somebody else wrote as one short line."""
    return "".join(letter for letter in str(name)[:_LONGEST_NAME] if letter.isprintable())


def require_bands(model: TrainedModel, bands: tuple[str, ...]) -> None:
    """Refuse images that a model cannot score.

    Parameters
    ----------
    model : TrainedModel
        From `open_model` or a training.
    bands : tuple of str
        Canonical names of the bands of the images.

    Raises
    ------
    MissingBandError
        When the images lack a band that the model needs.
    """
    if lacking := [name for name in model.bands if name not in bands]:
        raise MissingBandError(
            f"the model needs {', '.join(lacking)}",
            todo="give images with these bands, or train without them",
        )


def model_score(
    model: TrainedModel,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    bands: tuple[str, ...],
) -> NDArray[np.float32]:
    """Score change as a trained model sees it.

    Parameters
    ----------
    model : TrainedModel
        From `open_model` or a training.
    before, after : ndarray of float32, shape (band, y, x)
        Registered and normalised reflectance.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; both are finite there.
    bands : tuple of str
        Canonical names of the bands of the images; those the model does not know are left out.

    Returns
    -------
    ndarray of float32, shape (y, x)
        Natural-log odds above the least that the model can say: 0 or more, not smoothed; NaN where `valid` is
        False. `TrainedModel.seed` and `TrainedModel.grow` are in the same unit.

    Raises
    ------
    MissingBandError
        When the images lack a band that the model needs.
    """
    require_bands(model, bands)
    if not valid.any():
        return np.full(valid.shape, np.nan, np.float32)
    order = [bands.index(name) for name in model.bands]
    floor = np.float32(model.trees.floor)

    def _odds(features: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.maximum(sum_trees(model.trees, features, threads=1) - floor, 0))

    images = chosen_bands(before, order), chosen_bands(after, order)
    return map_features(_odds, images, valid, model.bands, model.weights)
