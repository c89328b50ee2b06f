"""The order in which candidates are reviewed: what masks and learnt look-alikes push back, and why."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.watch.learning import site_model
from changedet.watch.masks import list_masks, masked_reasons
from changedet.watch.verdicts import Verdict, standing

if TYPE_CHECKING:
    import geopandas as gpd

    from changedet.watch.learning import RankModel
    from changedet.watch.state import StateFile


def ranked_objects(state: StateFile, run_id: int) -> gpd.GeoDataFrame:
    """Return the objects of a run in the order in which they are worth a look.

    First the order of the run itself. What resembles the rejected of its site (`changedet.watch.learning`,
    only where somebody asked for it to learn) comes after the rest, unless it was accepted, and what is
    masked comes last. Nothing is left out.

    Parameters
    ----------
    state : StateFile
        Open.
    run_id : int
        ``fid`` of the run.

    Returns
    -------
    GeoDataFrame
        The columns of `changedet.watch.verdicts.standing`, and ``rank`` (1 = first), ``mask`` (its reason or
        "") and ``learnt`` (why it was put back, or "").
    """
    objects = standing(state, run_id).sort_values("number", kind="stable").reset_index(drop=True)
    site = str(objects["site"].iloc[0]) if len(objects) else ""
    masks = masked_reasons(objects, list_masks(state, site=site)) if site else []
    learnt = _put_back(objects, site_model(state, site)) if site else []
    put_back = np.array([2 * bool(mask) + bool(why) for mask, why in zip(masks, learnt, strict=True)], int)
    order = np.argsort(put_back, kind="stable")
    told = objects.assign(mask=masks, learnt=learnt).iloc[order].reset_index(drop=True)
    return told.assign(rank=np.arange(1, len(told) + 1))


def _put_back(objects: gpd.GeoDataFrame, model: RankModel | None) -> list[str]:
    if model is None:
        return [""] * len(objects)
    accepted = objects["verdict"] == Verdict.ACCEPTED.value
    rows = zip(objects["features"], accepted, strict=True)
    return ["" if was_accepted else model.reason(features) for features, was_accepted in rows]


def count_runs(state: StateFile, *, site: str = "") -> list[dict[str, Any]]:
    """Count for each run what is open and what was said.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Of this site only.

    Returns
    -------
    list of dict
        ``run_id``, ``site``, ``folder``, ``digest``, ``before`` and ``after`` (days), ``candidates``,
        ``open``, ``accepted``, ``rejected``, ``unsure``, ``carried`` (of these, from other runs) and
        ``masked`` (of the open ones); in the order in which the runs became known.
    """
    condition, values = ("AND sites.name = ?", (site,)) if site else ("", ())
    runs = state.rows(
        "SELECT runs.*, sites.name AS site FROM runs JOIN sites ON sites.fid = runs.site_id"
        f" WHERE runs.digest IS NOT NULL {condition} ORDER BY runs.fid",
        values,
    )
    return [_counted(run, ranked_objects(state, run["fid"])) for run in runs]


def _counted(run: dict[str, Any], objects: gpd.GeoDataFrame) -> dict[str, Any]:
    said = Counter(objects["verdict"].tolist())
    is_open = objects["verdict"] == ""
    return {
        "run_id": run["fid"], "site": run["site"], "folder": run["folder"], "digest": run["digest"],
        "before": run["before_time"][:10], "after": run["after_time"][:10], "candidates": len(objects),
        "open": said[""], **{word.value: said[word.value] for word in Verdict},
        "carried": int((objects["carried_from"] != "").sum()),
        "masked": int((is_open & (objects["mask"] != "")).sum()),
    }  # fmt: skip
