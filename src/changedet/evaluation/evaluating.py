"""An evaluation: a method at several labelled sites, one after the other, and what it amounts to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from changedet.attempts import Failure, attempt_all
from changedet.comparison import DetectSettings
from changedet.evaluation.kinds import COMPARED, pool_kinds
from changedet.evaluation.measures import Calibration, SiteMeasures, mean_rates, measure, pool
from changedet.progress import Progress, Silent, begin_site
from changedet.provenance import library_versions, to_json_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from changedet.evaluation.measures import Measures
    from changedet.evaluation.sets import LabelledSite, SitePlace, Truth
    from changedet.result import ChangeResult

#: Name and version of the layout of ``evaluation.json``.
SCHEMA = "changedet.evaluation.evaluating/1"

_DEFAULT_SETTINGS = DetectSettings()
_SILENT = Silent()
_RANKINGS = ("by_score", "by_construction")
_COMPARED_RATES = ("roc_auc", "average_precision", "f1", "object_recall", "object_precision")


@dataclass(frozen=True, eq=False)
class SiteEvaluation:
    """What came of one site.

    Attributes
    ----------
    name : str
        What tables call it.
    measures : SiteMeasures
        Figures of the method, and of what it is compared with.
    about : mapping
        Dates, grid, refusals, warnings and digests of the inputs; JSON-serialisable.
    """

    name: str
    measures: SiteMeasures
    about: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return figures and provenance of the site.

        Returns
        -------
        dict
            JSON-serialisable but for NaN.
        """
        cva = self.measures.cva
        return {
            "site": self.name,
            **self.about,
            "method": _figures(self.measures.method),
            "cva_at_equal_area": None if cva is None else _figures(cva),
            "confidence": self.measures.calibration.to_dict(),
            "kinds": None if self.measures.kinds is None else self.measures.kinds.to_dict(),
            "curves": {
                "method": self.measures.method.curves(),
                "cva": None if cva is None else cva.curves(),
            },
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of all sites.

    Attributes
    ----------
    sites : tuple of SiteEvaluation
        Those that could be evaluated.
    failures : tuple of Failure
        The others, with the reason.
    dataset : mapping
        What was evaluated on; JSON-serialisable.
    settings : DetectSettings or None
        How images were compared; None when the runs were there already.
    started : datetime
        When it began, UTC.
    command : tuple of str
        The command line, when there was one.
    """

    sites: tuple[SiteEvaluation, ...]
    failures: tuple[Failure, ...] = ()
    dataset: Mapping[str, Any] = field(default_factory=dict)
    settings: DetectSettings | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    command: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the whole evaluation, as ``evaluation.json`` holds it.

        Returns
        -------
        dict
            JSON-serialisable without NaN, in the layout `SCHEMA`. Shares
            that the truth does not allow are None.
        """
        sites = [site.to_dict() for site in self.sites]
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "software": {
                "name": "changedet",
                "version": version("changedet"),
                "libraries": library_versions(),
            },
            "created_utc": self.started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": list(self.command) or None,
            "dataset": self.dataset,
            "settings": None if self.settings is None else self.settings.to_dict(),
            "sites": sites,
            "failed": [
                {"site": one.site, "reason": one.reason, "exit_code": one.exit_code} for one in self.failures
            ],
            **self._in_all(sites),
        }
        return {key: to_json_types(value) for key, value in document.items()}

    def _in_all(self, sites: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if not sites:
            return {"macro": None, "pooled": None, "higher_than_cva": None, "higher_by_construction": None}
        measures = [site.measures for site in self.sites]
        cva = [one.cva for one in measures if one.cva is not None]
        # a comparison over other sites than the method's own would not be one
        compared = len(cva) == len(measures)
        calibration = sum((one.calibration for one in measures[1:]), measures[0].calibration)
        rates = [site["method"]["rates"] for site in sites]
        others = [site["cva_at_equal_area"]["rates"] for site in sites] if compared else []
        kinds = [one.kinds for one in measures if one.kinds is not None]
        ranked = [site["kinds"] for site in sites] if len(kinds) == len(measures) else []
        by_score, by_construction = ([one[name] for one in ranked] for name in _RANKINGS)
        pooled = _pooled([one.method for one in measures], cva if compared else [], calibration)
        return {
            "macro": {
                "sites": len(sites),
                "method": {"rates": mean_rates(rates)},
                "cva_at_equal_area": {"rates": mean_rates(others)} if compared else None,
                "kinds": {n: mean_rates(r[n] for r in ranked) for n in _RANKINGS} if ranked else None,
            },
            "pooled": pooled | {"kinds": pool_kinds(kinds).to_dict() if ranked else None},
            "higher_than_cva": _wins(rates, others) if compared else None,
            "higher_by_construction": _wins(by_construction, by_score, COMPARED) if ranked else None,
        }


def evaluate(
    places: Sequence[SitePlace],
    settings: DetectSettings = _DEFAULT_SETTINGS,
    *,
    dataset: Mapping[str, Any] | None = None,
    keep: Callable[[str, ChangeResult], None] | None = None,
    progress: Progress = _SILENT,
) -> Evaluation:
    """Compare the images of each site, or open its run, and set the result against its truth.

    Parameters
    ----------
    places : sequence of SitePlace
        From `changedet.evaluation.sets`.
    settings : DetectSettings
        How images are compared. Runs that are there already are taken as they are.
    dataset : mapping, optional
        What is evaluated on, for the record.
    keep : callable, optional
        Given the name of a site and its result, before the result is let go.
    progress : Progress
        Told about sites and steps.

    Returns
    -------
    Evaluation
        Also of the sites that failed, with the reason of each.

    Examples
    --------
    >>> from pathlib import Path
    >>> from changedet.evaluation.sets import read_pairs
    >>> evaluation = evaluate(read_pairs(Path("labelled")))            # doctest: +SKIP
    >>> evaluation.to_dict()["pooled"]["method"]["rates"]["recall"]    # doctest: +SKIP
    """
    started = datetime.now(UTC)
    numbers = {place.name: number for number, place in enumerate(places, 1)}

    def _work(place: SitePlace) -> SiteEvaluation:
        begin_site(progress, place.name, numbers[place.name], len(places))
        return evaluate_site(place.find(), settings, keep=keep, progress=progress)

    found = list(attempt_all([(place.name, place) for place in places], _work))
    detected = any(isinstance(one, SiteEvaluation) and "run" not in one.about["inputs"] for one in found)
    return Evaluation(
        tuple(one for one in found if isinstance(one, SiteEvaluation)),
        tuple(one for one in found if isinstance(one, Failure)),
        dict(dataset or {}),
        settings if detected else None,
        started,
    )


def evaluate_site(
    site: LabelledSite,
    settings: DetectSettings = _DEFAULT_SETTINGS,
    *,
    keep: Callable[[str, ChangeResult], None] | None = None,
    progress: Progress = _SILENT,
) -> SiteEvaluation:
    """Evaluate one site.

    Parameters
    ----------
    site : LabelledSite
        Images or a run, and the truth.
    settings, keep, progress
        As in `evaluate`.

    Returns
    -------
    SiteEvaluation

    Raises
    ------
    InputFileError
        When a part of the site cannot be used.
    NoUsableImageryError
        When nothing in the images can be compared.
    """
    result, truth = labelled_result(site, settings, progress)
    if keep is not None:
        keep(site.name, result)
    return SiteEvaluation(site.name, measure(result, truth), _about(site, result))


def labelled_result(
    site: LabelledSite, settings: DetectSettings, progress: Progress = _SILENT
) -> tuple[ChangeResult, Truth]:
    """Compare the images of a site, or open its run, and read its truth.

    Parameters
    ----------
    site : LabelledSite
        Images or a run, and the truth.
    settings : DetectSettings
        How images are compared.
    progress : Progress
        Told about each step.

    Returns
    -------
    ChangeResult, Truth
        On one grid.

    Raises
    ------
    InputFileError
        When a part of the site cannot be used.
    NoUsableImageryError
        When nothing in the images can be compared.
    """
    from changedet.pipeline import detect
    from changedet.providers.local import open_source
    from changedet.result import ChangeResult

    own = None
    if site.run is not None:
        progress.step("opening the run")
        result = ChangeResult.open(site.run)
    elif site.before is None or site.after is None:
        message = f"site {site.name} has neither a run nor two images"
        raise ValueError(message)
    else:
        own = open_source(site.before).grid
        result = detect(site.before, site.after, settings=settings, progress=progress)
    progress.step("measuring")
    return result, site.truth.read(result.grid, own)


def _about(site: LabelledSite, result: ChangeResult) -> dict[str, Any]:
    return {
        "before": result.before.scene.date_text,
        "after": result.after.scene.date_text,
        "pixels": list(result.score.shape),
        "parameters": dict(result.parameters),
        "refusals": list(result.refusals),
        "warnings": list(result.warnings),
        "inputs": site.inputs(),
    }


def _figures(measures: Measures) -> dict[str, Any]:
    return {"rates": measures.rates(), "counts": measures.counts()}


def _pooled(methods: Sequence[Measures], cva: Sequence[Measures], calibration: Calibration) -> dict[str, Any]:
    together = pool(methods)
    other = pool(cva) if cva else None
    return {
        "method": _figures(together),
        "cva_at_equal_area": None if other is None else _figures(other),
        "confidence": calibration.to_dict(),
        "curves": {"method": together.curves(), "cva": None if other is None else other.curves()},
    }


def _wins(
    rates: Sequence[Mapping[str, float]],
    others: Sequence[Mapping[str, float]],
    names: Sequence[str] = _COMPARED_RATES,
) -> dict[str, list[int]]:
    """Count the sites at which the method does better than its comparison, of those with both rates."""
    found = {}
    for name in names:
        pairs = [(a[name], b[name]) for a, b in zip(rates, others, strict=True)]
        known = [(a, b) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        found[name] = [sum(a > b for a, b in known), len(known)]
    return found
