"""What is measured of accuracy: rankings and decisions beside labels, and what is flagged of nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from benchmarks.accuracy_pairs import (
    CLEAR_PAIRS,
    PLANTED,
    RESIDUAL_PX,
    ROOT,
    SUMMER_DATES,
    Season,
    alterations,
    on_plain_grid,
    planted,
    same_ground,
    summer_scene,
    taizhou_labels,
)

import changedet as cd
from changedet.comparison import compare
from changedet.core.accuracy import (
    FOUND_SHARE,
    ObjectCounts,
    PixelCounts,
    area_under_roc,
    average_precision,
    best_f1,
    count_pixels,
    rank_pixels,
    touched_objects,
)
from changedet.core.components import label_components
from changedet.core.optical import DETECTORS
from changedet.core.prediction import PredictParameters
from changedet.core.threshold import robust_thresholds
from changedet.evaluation.kinds import pool_kinds
from changedet.evaluation.measures import (
    Measures,
    change_vector_groups,
    mean_rates,
    measure,
    pool,
    size_class_names,
)
from changedet.kinds import Kind
from changedet.pairing import make_pair
from changedet.providers.local import open_source
from changedet.result import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.accuracy_pairs import City
    from numpy.typing import NDArray

    from changedet.evaluation.sets import LabelledSite, Truth
    from changedet.result import ChangeResult

#: The default method first.
METHODS = ("predict", "cva", "pca-difference", "rings", "irmad", "sfa", "siroc", "pca-kmeans")
SMOOTHING_PX = PredictParameters().smoothing_px
_SCORE_RATES = ("average_precision", "roc_auc", "best_f1")
_DECISION_RATES = ("f1", "precision", "recall", "flagged_share", "not_judged_share")
_VEGETATION = Kind.VEGETATION
#: First dates after the last thing that the simulator lets happen, without snow.
SEASON_STARTS = (date(2023, 7, 5), date(2023, 9, 10), date(2024, 4, 10), date(2024, 5, 25))
#: (days of the season, years) between the dates.
SEASON_GAPS = ((5, 0), (0, 1), (15, 1), (30, 1), (45, 1))
SEEDS = (1, 2, 3)


def measured_methods(sites: Sequence[LabelledSite], keep: Path | None = None) -> dict[str, Any]:
    """Hold every method against the labels of every site: its ranking and the decision of the program."""
    decided: dict[str, list[Measures]] = {name: [] for name in METHODS}
    ranked: dict[str, list[Measures]] = {name: [] for name in METHODS}
    cva, difference = [], 0.0
    false_groups: dict[str, list[int]] = {"predict": [], "cva": []}
    for site in sites:
        for method in METHODS:
            result = cd.detect(site.before, site.after, settings=cd.DetectSettings(method=method))
            truth = site.truth.read(result.grid, open_source(site.before).grid)
            found = measure(result, truth)
            decided[method].append(found.method)
            if method == "predict":
                usual, others = result, found.cva
                cva.append(others)
                for name, groups in _groups(result, truth).items():
                    false_groups[name].append(int((~touched_objects(groups, truth.changed)).sum()))
                difference = max(difference, _difference(found.method, result, truth))
                _kept(result, site.name, keep)
            ranked[method].append(
                found.method if method == "predict" else _same_smoothing(method, usual, truth)
            )
        print(site.name, {m: round(decided[m][-1].rates()["f1"], 3) for m in METHODS}, flush=True)
    names = [site.name for site in sites]
    objects = {"predict": _objects(decided["predict"]), "cva": _objects(cva)}
    for name, false in false_groups.items():
        _add_groups(objects[name], false, [one.objects.area_km2 for one in decided["predict"]])
    return {
        "methods": {name: _summary(names, ranked[name], decided[name]) for name in METHODS},
        "objects": objects,
        "difference_to_scikit_learn": difference,
    }


def _same_smoothing(method: str, usual: ChangeResult, truth: Truth) -> Measures:
    """Rank by another detector on the registered, normalised images, smoothed like the default."""
    detector = DETECTORS[method]
    seen = np.isfinite(usual.score)
    images = np.nan_to_num(usual.before.data), np.nan_to_num(usual.after.data)
    said = usual.parameters["weight_of_band"]
    weights = tuple(said[name] for name in usual.before.bands)
    parameters = replace(detector.parameters(), smoothing_px=SMOOTHING_PX)
    score = detector.score(images, seen, usual.before.bands, weights, parameters)
    background = robust_thresholds(score)
    known = truth.known
    return Measures(
        PixelCounts(),
        ObjectCounts(),
        int((np.isfinite(score) & known).sum()),
        truth.changed[known],
        score[known],
        (background.median, background.mad),
    )


def _summary(names: Sequence[str], ranked: Sequence[Measures], decided: Sequence[Measures]) -> dict[str, Any]:
    sites = {
        name: {key: a.rates()[key] for key in _SCORE_RATES} | {key: b.rates()[key] for key in _DECISION_RATES}
        for name, a, b in zip(names, ranked, decided, strict=True)
    }
    for name, found in zip(names, decided, strict=True):
        sites[name]["changed_share"] = found.pixels.changed_share
    both = pool(ranked).rates(), pool(decided).rates()
    return {
        "sites": sites,
        "macro": mean_rates(sites.values()),
        "pooled": {key: both[0][key] for key in _SCORE_RATES}
        | {key: both[1][key] for key in (*_DECISION_RATES, "changed_share")},
    }


def _objects(measures: Sequence[Measures]) -> dict[str, Any]:
    pooled, names = pool(measures), size_class_names()
    keys = ["object_recall", "object_precision", "false_objects_per_km2"]
    keys += [f"object_recall_{name}_px" for name in names[1:]]
    rates, macro = pooled.rates(), mean_rates(one.rates() for one in measures)
    counts = pooled.objects
    return {
        "pooled": {key: rates[key] for key in keys},
        "macro": {key: macro[key] for key in keys},
        "labelled": dict(zip(names, counts.labelled, strict=True)),
        "found": dict(zip(names, counts.found, strict=True)),
        "flagged": counts.flagged,
        "touching": counts.touching,
        "flagged_share": rates["flagged_share"],
    }


def measured_kinds(sites: Sequence[LabelledSite]) -> dict[str, Any]:
    """Hold candidates of kind construction, and the likeness to construction, against the labels."""
    found = {}
    for site in sites:
        result = cd.detect(site.before, site.after)
        truth = site.truth.read(result.grid, open_source(site.before).grid)
        found[site.name] = measure(result, truth).kinds
    cities = {name: one.to_dict() for name, one in found.items()}
    return {
        "sites": cities,
        "macro": {n: mean_rates(c[n] for c in cities.values()) for n in ("by_score", "by_construction")},
        "pooled": pool_kinds(list(found.values())).to_dict(),
    }


def _groups(result: ChangeResult, truth: Truth) -> dict[str, NDArray[np.int32]]:
    """Return connected groups of flagged pixels: objects before they are cut, ours and change vectors'."""
    flagged = (result.state == State.CHANGED) & truth.known
    theirs = change_vector_groups(result, truth.known, int(flagged.sum()))
    assert theirs is not None, "a city that cannot be scored"
    return {"predict": label_components(flagged, flagged, min_pixels=1.0), "cva": theirs[1]}


def _add_groups(objects: dict[str, Any], false: Sequence[int], areas_km2: Sequence[float]) -> None:
    """Say how many groups a square kilometre are wrong, all together and in the mean."""
    key = "false_groups_per_km2"
    objects["pooled"][key] = sum(false) / sum(areas_km2)
    objects["macro"][key] = float(np.mean(np.divide(false, areas_km2)))


def _difference(found: Measures, result: ChangeResult, truth: Truth) -> float:
    """Largest difference of any figure from what scikit-learn makes of the maps."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    changed = truth.changed[truth.known]
    score = result.score[truth.known].astype(np.float64)
    score = np.where(np.isfinite(score), score, np.nanmin(score) - 1)
    flagged = (result.state == State.CHANGED)[truth.known]
    decided = precision_recall_fscore_support(changed, flagged, average="binary")[:3]
    theirs = (average_precision_score(changed, score), roc_auc_score(changed, score), *decided)
    rates = found.rates()
    ours = [rates[key] for key in ("average_precision", "roc_auc", "precision", "recall", "f1")]
    return float(np.abs(np.subtract(ours, theirs)).max())


def _kept(result: ChangeResult, name: str, folder: Path | None) -> None:
    """Write the maps that a program of somebody else needs to score them."""
    if folder is None:
        return
    run = folder / name
    run.mkdir(parents=True, exist_ok=True)
    for what, plane in (("score", result.score), ("state", result.state)):
        profile = {"driver": "GTiff", "count": 1, "dtype": plane.dtype.name}
        profile |= {"height": plane.shape[0], "width": plane.shape[1]}
        profile |= {"crs": result.grid.crs.to_wkt(), "transform": result.grid.transform}
        with rasterio.open(run / f"{what}.tif", "w", **profile) as file:
            file.write(plane, 1)


def taizhou() -> dict[str, float]:
    """Hold the score of a Landsat pair, six bands of 30 m and nothing set, against its labelled pixels."""
    folder = ROOT / "landsat_taizhou"
    result = cd.detect(folder / "2000TM", folder / "2003TM")
    changed, unchanged = taizhou_labels()
    known = changed | unchanged
    ranking = rank_pixels(changed[known], result.score[known])
    pixels = count_pixels(changed[known], (result.state == State.CHANGED)[known])
    return {
        "roc_auc": area_under_roc(ranking),
        "average_precision": average_precision(ranking),
        "best_f1": best_f1(ranking)[0],
        "precision": pixels.precision,
        "recall": pixels.recall,
        "f1": pixels.f1,
        "labelled_pixels": int(known.sum()),
    }


def flagged_shares(result: ChangeResult) -> dict[str, Any]:
    """Say how much of the judged ground is flagged, in all and as anything but a change of vegetation."""
    judged = np.isfinite(result.score)
    flagged = (result.state == State.CHANGED) & judged
    ground = max(int(judged.sum()), 1)
    return {
        "flagged_share": float(flagged.sum() / ground),
        "other_than_vegetation": float((flagged & (result.kind != _VEGETATION)).sum() / ground),
        "judged_share": float(judged.mean()),
        "refused": bool(result.refusals),
    }


def summer_pairs() -> dict[str, dict[str, Any]]:
    """Compare clear dates of one summer of a place where nothing was built."""
    found = {}
    for i, j in CLEAR_PAIRS:
        before, after = (open_source(summer_scene(number)).load() for number in (i, j))
        shares = flagged_shares(cd.detect(before, after)) | control(before, after, i)
        found[f"{SUMMER_DATES[i]} to {SUMMER_DATES[j]}"] = shares
    return found


def control(before: cd.Image, after: cd.Image, seed: int) -> dict[str, int]:
    """Compare once more with squares planted: how many of them are found."""
    found = {"planted": 0}
    for what in PLANTED:
        changed, squares = planted(after, seed, what)
        found |= found_squares(_flagged(cd.detect(before, changed)), squares, what)
    return found


def found_squares(flagged: NDArray[np.bool_], squares: NDArray[np.int32], what: str) -> dict[str, int]:
    """Count the planted squares of which 30 % or more are flagged."""
    size = np.bincount(squares.ravel())[1:]
    covered = np.bincount(squares[flagged], minlength=size.size + 1)[1:]
    return {"planted": int((size > 0).sum()), f"{what}_found": int((covered >= FOUND_SHARE * size).sum())}


def one_band_pair() -> dict[str, Any]:
    """Compare two dates in a single band, ten days apart, in which clouds cannot be looked for."""
    folder = ROOT / "arosics_s2_pair"
    if not folder.is_dir():
        return {}
    after, before = (next(folder.glob(f"{name}_*.jp2")) for name in ("ref", "tgt"))
    result = cd.detect(before, after)
    return flagged_shares(result) | {"reason": "; ".join(result.refusals)}


def cities_against_themselves(cities: Iterable[City]) -> dict[str, dict[str, Any]]:
    """Compare the first image of each city with itself: in another light, with noise, moved a little."""
    found = {}
    for number, city in enumerate(cities):
        before = city.pair.before
        after = same_ground(before, number)
        flagged, judged = _as_it_lies(city, before, after)
        found[city.name] = {
            "flagged_share": float(flagged.sum() / max(judged.sum(), 1)),
            "judged_share": float(judged.mean()),
            "registered_first": flagged_shares(cd.detect(before, after))["flagged_share"],
            "residual_px": list(RESIDUAL_PX),
        }
        for what in PLANTED:
            changed, squares = planted(after, number, what)
            found[city.name] |= found_squares(_as_it_lies(city, before, changed)[0], squares, what)
    return found


def _as_it_lies(city: City, before: cd.Image, after: cd.Image) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Compare without registration, which may leave as much: what is flagged, and what was judged."""
    pair = make_pair(before, after, city.inside)
    comparison = compare(pair, city.inside, cd.DetectSettings(), refused=False)
    return comparison.state == State.CHANGED, np.isfinite(comparison.flagged.score)


def seasons() -> list[dict[str, Any]]:
    """Compare simulated dates between which nothing happens but the season."""
    found = []
    for gap, years in SEASON_GAPS:
        for start in SEASON_STARTS:
            for seed in SEEDS:
                season = Season(seed, start, gap, years)
                images = season.images()
                shares = flagged_shares(cd.detect(*images)) | control(*images, seed)
                about = {"before": start.isoformat(), "after": season.after.isoformat(), "seed": seed}
                found.append({**about, "gap_days": gap, "years": years, **shares})
        print(gap, years, [round(100 * one["flagged_share"], 3) for one in found[-12:]], flush=True)
    return found


def altered(cities: Iterable[City]) -> dict[str, dict[str, float]]:
    """Compare pairs that were altered in ways that should not matter: Jaccard of what is flagged."""
    found: dict[str, dict[str, float]] = {}
    for number, city in enumerate(cities):
        site = open_pair(city)
        usual = _flagged(cd.detect(*site))
        for name, images, is_turned in alterations(*site, seed=number):
            flagged = _flagged(cd.detect(*images))
            flagged = np.rot90(flagged, -1) if is_turned else flagged
            found.setdefault(name, {})[city.name] = jaccard(usual, flagged)
    return found


def open_pair(city: City) -> tuple[cd.Image, cd.Image]:
    """Return both images of a registered pair on a plain grid."""
    return on_plain_grid(city.pair.before), on_plain_grid(city.pair.after)


def jaccard(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the common part of two areas as a share of both together; 1 when both are empty."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def _flagged(result: ChangeResult) -> NDArray[np.bool_]:
    return np.asarray(result.state == State.CHANGED)
