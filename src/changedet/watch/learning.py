"""What verdicts at a site teach: which candidates resemble rejected ones there, in features that have names.

Logistic regression on few standardised features: with some dozens of verdicts anything larger would learn
them by heart, and every weight can be read. It only changes the order, says why, and learns only when asked.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import InputFileError, UsageError
from changedet.json_texts import OTHER_SHAPE, parse_json
from changedet.provenance import library_versions
from changedet.watch.geopackage import note_change, now_text
from changedet.watch.object_features import FEATURES, FEATURES_VERSION
from changedet.watch.runs import objects_of, site_row
from changedet.watch.state import insert
from changedet.watch.verdicts import MATCH_IOU, Verdict, history, latest, overlaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from changedet.watch.state import StateFile

#: Name and version of the layout.
SCHEMA = "changedet.rank/1"
#: A candidate is put back when it is at least twice as much like the rejected as like the accepted.
PUT_BACK_LOG_ODDS = math.log(2.0)
_MOST_LETTERS = 200_000
_REASONS = 3
#: Into how many parts verdicts are cut to see what is learnt from the others.
_PARTS = 5


@dataclass(frozen=True)
class LearningSettings:
    """How a site is learnt.

    Attributes
    ----------
    fewest : int
        How many accepted and how many rejected things there must be, each.
    strength : float
        Inverse of the penalty on large weights; small means that many verdicts are needed to believe much.
    least_auc : float
        What is learnt must rank verdicts it has not seen at least so well, 0.5 being no better than chance;
        else nothing is kept.
    known_share : float
        A feature is used when this share of the things has it.
    """

    fewest: int = 8
    strength: float = 1.0
    least_auc: float = 0.6
    known_share: float = 0.5

    def __post_init__(self) -> None:
        if self.fewest < _PARTS:
            raise UsageError(f"{self.fewest} of both are too few", todo=f"ask for {_PARTS} or more")


_DEFAULT = LearningSettings()


@dataclass(frozen=True)
class RankModel:
    """What was learnt at a site.

    Attributes
    ----------
    site : str
        Its name; it is used nowhere else.
    names : tuple of str
        Of the features, from `changedet.watch.object_features.FEATURES`.
    means, scales, weights : tuple of float
        For each feature: the mean and the standard deviation among the things that were judged, and how far
        one standard deviation more speaks for a rejected one, in natural-log odds.
    intercept : float
        Log odds of what is average in everything.
    provenance : mapping
        Counts, digest of the verdicts, figures of cross-validation, settings, versions, date.
    """

    site: str
    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    provenance: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def contributions(self, features: Mapping[str, float]) -> dict[str, float]:
        """Return how far each feature of an object speaks for a rejected one.

        Parameters
        ----------
        features : mapping of str to float
            From `changedet.watch.object_features`; what is missing says nothing.

        Returns
        -------
        dict of str to float
            Natural-log odds, in the order of `names`.
        """
        rows = zip(self.names, self.means, self.scales, self.weights, strict=True)
        return {n: w * (features[n] - m) / s if n in features else 0.0 for n, m, s, w in rows}

    def log_odds(self, features: Mapping[str, float]) -> float:
        """Return how much more an object is like the rejected than like the accepted of the site.

        Parameters
        ----------
        features : mapping of str to float
            From `changedet.watch.object_features`.

        Returns
        -------
        float
            Natural-log odds; 0 = as much like the ones as like the others.
        """
        return self.intercept + sum(self.contributions(features).values())

    def reason(self, features: Mapping[str, float]) -> str:
        """Say why an object is put back, "" when it is not.

        Parameters
        ----------
        features : mapping of str to float
            From `changedet.watch.object_features`.

        Returns
        -------
        str
            With the features that moved it most.
        """
        odds = self.log_odds(features)
        if odds < PUT_BACK_LOG_ODDS:
            return ""
        parts = sorted(self.contributions(features).items(), key=lambda part: -part[1])
        named = ", ".join(
            f"{name} {features[name]:.3g} ({value:+.1f})" for name, value in parts[:_REASONS] if value > 0
        )
        counts = self.provenance.get("things", {})
        return f"put back: like {counts.get('rejected', '?')} rejected here, log odds {odds:+.1f}: {named}"

    def sentences(self) -> list[str]:
        """Say what was learnt, from how many verdicts, and what it is worth.

        Returns
        -------
        list of str
        """
        counts, worth = self.provenance.get("things", {}), self.provenance.get("cross_validation", {})
        order = np.argsort(-np.abs(self.weights), kind="stable")
        return [
            f"{self.site}: learnt from {counts.get('rejected')} rejected, {counts.get('accepted')} accepted",
            f"on verdicts it had not seen: area under the curve {worth.get('auc', math.nan):.2f}; put back "
            f"{worth.get('rejected_put_back')} of the rejected and {worth.get('accepted_put_back')} of the "
            "accepted",
            "what speaks for a rejected one, by one standard deviation more (log odds):",
            *(f"  {self.weights[i]:+.2f}  {self.names[i]}: {FEATURES[self.names[i]]}" for i in order[:8]),
            "candidates like the rejected now come after the others at this site; none is left out",
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what is stored.

        Returns
        -------
        dict
            JSON-serialisable.
        """
        return {
            "schema": SCHEMA, "features_version": FEATURES_VERSION, "site": self.site,
            "names": list(self.names), "means": list(self.means), "scales": list(self.scales),
            "weights": list(self.weights), "intercept": self.intercept, "provenance": dict(self.provenance),
        }  # fmt: skip


def learn_site(state: StateFile, site: str, settings: LearningSettings = _DEFAULT) -> RankModel:
    """Learn from all verdicts at a site and keep what was learnt; what was learnt before stays in the file.

    Parameters
    ----------
    state : StateFile
        Open for writing.
    site : str
        Name of the site.
    settings : LearningSettings
        How.

    Returns
    -------
    RankModel
        Which is used from now on.

    Raises
    ------
    UsageError
        When there are too few verdicts, they cannot be told apart by the features, or scikit-learn is not
        installed; nothing is kept then.
    """
    things = _things(state, site)
    counts = Counter(row["verdict"] for row in things)
    accepted, rejected = counts[Verdict.ACCEPTED], counts[Verdict.REJECTED]
    if min(accepted, rejected) < settings.fewest:
        raise UsageError(
            f"{accepted} accepted and {rejected} rejected at {site[:60]!r} are too few to learn from",
            todo=f"judge until there are {settings.fewest} of both",
        )
    is_rejected = np.array([row["verdict"] == Verdict.REJECTED for row in things])
    names, values = _matrix([row["features"] for row in things], settings.known_share)
    worth = _cross_validation(values, is_rejected, settings)
    if worth["auc"] < settings.least_auc:
        raise UsageError(
            f"the verdicts cannot be told apart by these features (area under the curve {worth['auc']:.2f})",
            todo="nothing was kept; judge more, or draw masks",
        )
    fitted = _fit(values, is_rejected, settings)
    provenance = _provenance(things, {"accepted": accepted, "rejected": rejected}, worth, settings)
    means, scales, weights = (tuple(round(v, 9) for v in part.tolist()) for part in fitted[:3])
    model = RankModel(site, names, means, scales, weights, round(fitted[3], 9), MappingProxyType(provenance))
    content = json.dumps(model.to_dict(), ensure_ascii=False, allow_nan=False)
    with state.change() as change:
        row = {
            "site_id": site_row(change, site)["fid"], "created_utc": now_text(),
            "content": content, "sha256": hashlib.sha256(content.encode()).hexdigest(),
        }  # fmt: skip
        insert(change, "models", row)
        note_change(change, "models")
    return model


def site_model(state: StateFile, site: str) -> RankModel | None:
    """Return what was learnt last at a site.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Name of the site.

    Returns
    -------
    RankModel or None
        None when nothing was learnt there.

    Raises
    ------
    InputFileError
        When it is damaged, or its features are not those of this version any more.
    """
    rows = state.rows(
        "SELECT models.content, models.sha256 FROM models JOIN sites ON sites.fid = models.site_id"
        " WHERE sites.name = ? ORDER BY models.fid DESC LIMIT 1",
        (site,),
    )
    if not rows:
        return None
    try:
        return _checked(str(rows[0]["content"]), str(rows[0]["sha256"]), site)
    except OTHER_SHAPE as error:
        raise InputFileError(
            f"what was learnt at {site[:60]!r} cannot be used ({str(error)[:120]})",
            where=str(state.path),
            todo="learn it again with changedet review learn",
        ) from error


def _checked(content: str, digest: str, site: str) -> RankModel:
    """Make a model of a text that may be a stranger's: names that are known and finite numbers."""
    if len(content) > _MOST_LETTERS or hashlib.sha256(content.encode()).hexdigest() != digest:
        message = "its digest is another one"
        raise ValueError(message)
    data = parse_json(content)
    if (data["schema"], data["features_version"], data["site"]) != (SCHEMA, FEATURES_VERSION, site):
        message = "its layout, its features or its site are others"
        raise ValueError(message)
    names = tuple(str(name) for name in data["names"])
    numbers = [tuple(float(v) for v in data[key]) for key in ("means", "scales", "weights")]
    intercept = float(data["intercept"])
    if not set(names) <= FEATURES.keys() or any(len(part) != len(names) for part in numbers):
        message = "its features are not known"
        raise ValueError(message)
    if not all(map(math.isfinite, (*sum(numbers, ()), intercept))) or min(numbers[1], default=1.0) <= 0:
        message = "its numbers are out of range"
        raise ValueError(message)
    means, scales, weights = numbers
    about = MappingProxyType(dict(data["provenance"]))
    model = RankModel(site, names, means, scales, weights, intercept, about)
    model.sentences()  # a provenance that cannot be told is found here
    return model


def _things(state: StateFile, site: str) -> list[dict[str, Any]]:
    """Return one judged object for each thing: one of several runs would be learnt, and tested, twice."""
    told = latest(history(state, site=site))
    told = told[told["verdict"] != Verdict.UNSURE.value].reset_index(drop=True)
    shares = overlaps(told, told)
    features = dict(zip(*(objects_of(state, site=site)[name] for name in ("fid", "features")), strict=True))
    rows = told.to_dict("records")
    return [
        {"verdict": row["verdict"], "fid": row["fid"], "features": features[row["object_id"]]}
        for i, row in enumerate(rows)
        if not any(
            j > i and share >= MATCH_IOU and rows[j]["kind"] == row["kind"] for j, share in shares[i].items()
        )
    ]


def _matrix(told: list[dict[str, float]], known_share: float) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the features that enough things have and that differ among them, NaN where one is not known."""
    table = np.array([[row.get(name, math.nan) for name in FEATURES] for row in told], np.float64)
    known = np.isfinite(table).mean(axis=0) >= known_share
    spread = np.array(
        [np.ptp(column[np.isfinite(column)]) if k else 0 for column, k in zip(table.T, known, strict=True)]
    )
    used = spread > 0
    return tuple(name for name, use in zip(FEATURES, used, strict=True) if use), table[:, used]


def _fit(
    values: NDArray[np.float64], is_rejected: NDArray[np.bool_], settings: LearningSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise UsageError("learning needs scikit-learn", todo="pip install 'changedet[learn]'") from error
    means, scales = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    # both classes count alike: reviewers reject more than they accept, or the other way round
    machine = LogisticRegression(C=settings.strength, class_weight="balanced", max_iter=1000)
    machine.fit(np.nan_to_num((values - means) / scales), is_rejected)
    return means, scales, np.asarray(machine.coef_[0], np.float64), float(machine.intercept_[0])


def _cross_validation(
    values: NDArray[np.float64], is_rejected: NDArray[np.bool_], settings: LearningSettings
) -> dict[str, Any]:
    """Score every thing by what was learnt from others, in five parts."""
    parts = np.empty(len(is_rejected), int)
    for one in (True, False):  # in turn, so that every part has some of both
        places = np.flatnonzero(is_rejected == one)
        parts[places] = np.arange(len(places)) % _PARTS
    odds = np.empty(len(is_rejected))
    for part in range(_PARTS):
        held = parts == part
        means, scales, weights, intercept = _fit(values[~held], is_rejected[~held], settings)
        odds[held] = np.nan_to_num((values[held] - means) / scales) @ weights + intercept
    put_back = odds >= PUT_BACK_LOG_ODDS
    higher = odds[is_rejected][:, None] - odds[~is_rejected][None, :]
    return {
        "parts": _PARTS,
        "auc": round(float((higher > 0).mean() + 0.5 * (higher == 0).mean()), 4),
        "rejected_put_back": int(put_back[is_rejected].sum()),
        "accepted_put_back": int(put_back[~is_rejected].sum()),
    }


def _provenance(
    things: list[dict[str, Any]], counts: dict[str, int], worth: dict[str, Any], settings: LearningSettings
) -> dict[str, Any]:
    learnt = json.dumps([[row["fid"], row["verdict"]] for row in things])
    libraries = library_versions() | {"scikit-learn": version("scikit-learn")}
    return {
        "created_utc": now_text(),
        "software": {"name": "changedet", "version": version("changedet"), "libraries": libraries},
        "things": counts,
        "verdicts_sha256": hashlib.sha256(learnt.encode()).hexdigest(),
        "put_back_log_odds": PUT_BACK_LOG_ODDS,
        "settings": asdict(settings),
        "cross_validation": worth,
    }
