"""What a list of sites is going to take, from a search at some of them: scenes, bytes, costs, time, disk."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from changedet.investigation import Planned
    from changedet.site import Site

Item = TypeVar("Item")
#: Sites that are searched where a list has more.
USUAL_SAMPLE = 40
_SEED = 20170
#: Two-sided quantiles of Student's distribution at 95 % for 1, 2, ... degrees of freedom; then the last one.
_STUDENT = (12.7, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
_STUDENT_LATER = 2.1


@dataclass(frozen=True)
class SiteCosts:
    """What a site takes of a machine, as measured.

    The values that stand here are those of ``python benchmarks/site_costs.py`` on a busy machine of two
    processors (``benchmarks/site_costs_results.json``); another machine takes another share of them.

    Attributes
    ----------
    site_s : float
        Processor seconds of a site whatever its size: plates, report, checks.
    compare_s_per_mpx : float
        Processor seconds for each million pixels of the frame that are compared.
    save_s_per_mpx : float
        Processor seconds for each million pixels of the site that are written and drawn.
    fetch_s_per_mpx : float
        Processor seconds for each million pixels of a scene, ten bands, that are decoded and kept.
    folder_mb : float
        Megabytes of a run folder whatever the size of the site.
    folder_mb_per_mpx : float
        Megabytes of a run folder for each million pixels of the site, both images among them.
    cache_mb_per_mpx : float
        Megabytes that are kept of each million pixels of a scene.
    """

    site_s: float = 6.5
    compare_s_per_mpx: float = 2.6
    save_s_per_mpx: float = 5.2
    fetch_s_per_mpx: float = 3.7
    folder_mb: float = 5.0
    folder_mb_per_mpx: float = 106.0
    cache_mb_per_mpx: float = 31.0


@dataclass(frozen=True)
class Taken:
    """What one site takes.

    Attributes
    ----------
    scenes : int
        Dates that are compared, of all sensors.
    requests : int
        Requests for pixels.
    gigabytes : float
        Before compression.
    processing_units : float
        As in `changedet.providers.base.Estimate`.
    core_hours : float
        Of one processor.
    disk_gigabytes : float
        Run folder and cache.
    """

    scenes: int = 0
    requests: int = 0
    gigabytes: float = 0.0
    processing_units: float = 0.0
    core_hours: float = 0.0
    disk_gigabytes: float = 0.0


#: What the numbers of a plan are taken from, and their units.
SOURCES = {
    "scenes": ("", "chosen by the cloud of their tiles, not by looking"),
    "requests": ("", "three for each file of a band"),
    "gigabytes": ("GB", "sizes of windows before compression, with the looks"),
    "processing_units": ("", "price list of the provider"),
    "core_hours": ("h", "benchmarks/site_costs.py, on the machine it names"),
    "disk_gigabytes": ("GB", "benchmarks/site_costs.py: run folders and cache"),
}
_DEFAULT_COSTS = SiteCosts()


@dataclass(frozen=True)
class Total:
    """An estimated sum over all sites.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        Between these in 95 of 100 cases, if the sites that were searched are like the others; equal to
        `value` when all were.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ListPlan:
    """What a list of sites is going to take.

    Attributes
    ----------
    sites : int
        How many there are.
    searched : int
        At how many of them was looked for scenes.
    totals : mapping of str to Total
        By the names of `Taken`.
    lacking : mapping of str to int
        Reasons for which searched sites have nothing, and how often.
    largest_mpx : float
        Million pixels of the largest frame that was met, which decides on the memory.
    """

    sites: int
    searched: int
    totals: dict[str, Total]
    lacking: dict[str, int]
    largest_mpx: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        totals = {
            name: {
                "value": round(one.value, 3), "low": round(one.low, 3), "high": round(one.high, 3),
                "unit": SOURCES[name][0], "from": SOURCES[name][1],
            }
            for name, one in self.totals.items()
        }  # fmt: skip
        return {
            "sites": self.sites,
            "searched": self.searched,
            "totals": totals,
            "lacking": self.lacking,
            "largest_frame_mpx": round(self.largest_mpx, 3),
        }


def sampled(items: Sequence[Item], count: int | None) -> list[Item]:
    """Take some of a list by chance, always the same ones.

    Parameters
    ----------
    items : sequence
        All of them.
    count : int or None
        How many; None = all.

    Returns
    -------
    list
        In the order of the list.

    Examples
    --------
    >>> sampled("abc", None), sampled("abc", 5), len(sampled(range(100), 7))
    (['a', 'b', 'c'], ['a', 'b', 'c'], 7)
    """
    if count is None or count >= len(items):
        return list(items)
    # no secrets are made of it
    chosen = random.Random(_SEED).sample(range(len(items)), count)
    return [items[index] for index in sorted(chosen)]


def site_takes(planned: Planned, costs: SiteCosts = _DEFAULT_COSTS) -> Taken:
    """Say what carrying out the plan of one site takes.

    Parameters
    ----------
    planned : Planned
        From `changedet.investigation.Investigation.plan`, without looking.
    costs : SiteCosts
        What was measured.

    Returns
    -------
    Taken
        For radar the costs of optical scenes stand in, by their pixels.
    """
    scenes = len(planned.plan.optical_scenes) + len(planned.plan.radar_scenes)
    frame, site = frame_mpx(planned), math.prod(planned.plan.site.grid.shape) / 1e6
    seconds = costs.site_s + frame * (costs.compare_s_per_mpx + scenes * costs.fetch_s_per_mpx)
    seconds += site * costs.save_s_per_mpx
    disk = costs.folder_mb + site * costs.folder_mb_per_mpx + frame * scenes * costs.cache_mb_per_mpx
    estimate = planned.estimate
    return Taken(
        scenes,
        estimate.requests,
        estimate.megabytes / 1e3,
        estimate.processing_units,
        seconds / 3600,
        disk / 1e3,
    )


def frame_mpx(planned: Planned) -> float:
    """Return the million pixels of the frame on which a site is compared."""
    return math.prod(planned.plan.grid.shape) / 1e6


def plan_list(
    sites: Sequence[Site],
    plan: Callable[[Site], Planned],
    *,
    sample: int | None = USUAL_SAMPLE,
    costs: SiteCosts = _DEFAULT_COSTS,
) -> ListPlan:
    """Estimate what a list of sites is going to take.

    Parameters
    ----------
    sites : sequence of Site
        In any order.
    plan : callable
        Makes the plan of a site without looking.
    sample : int or None
        At how many sites it is made; None = all.
    costs : SiteCosts
        What was measured.

    Returns
    -------
    ListPlan
        Sites without usable imagery take nothing.

    Raises
    ------
    ChangedetError
        What went wrong at a searched site, other than that nothing there can be used: the estimate would be
        too low.
    """
    chosen = sampled(sites, sample)
    taken: list[Taken] = []
    lacking: Counter[str] = Counter()
    largest_mpx = 0.0
    for site in chosen:
        try:
            planned = plan(site)
        except NoUsableImageryError as error:
            lacking[error.what] += 1
            taken.append(Taken())
        else:
            taken.append(site_takes(planned, costs))
            largest_mpx = max(largest_mpx, frame_mpx(planned))
    return ListPlan(
        len(sites), len(chosen), totals_of(taken, len(sites)), dict(lacking.most_common()), largest_mpx
    )


def totals_of(taken: Iterable[Taken], count: int) -> dict[str, Total]:
    """Extrapolate from some sites to all.

    Parameters
    ----------
    taken : iterable of Taken
        By sites that were drawn by chance, without repetition.
    count : int
        How many sites there are in all.

    Returns
    -------
    dict of str to Total
        Sums with the interval of a sample from a finite population (Cochran, Sampling Techniques, 1977).

    Examples
    --------
    >>> totals_of([Taken(scenes=2), Taken(scenes=2)], 10)["scenes"]
    Total(value=20.0, low=20.0, high=20.0)
    """
    rows = list(taken)
    found = {}
    for name in SOURCES:
        values = np.array([getattr(row, name) for row in rows], float)
        value = count / len(rows) * float(values.sum()) if rows else 0.0
        half = 0.0
        if 1 < len(rows) < count:
            quantile = (*_STUDENT, _STUDENT_LATER)[min(len(rows) - 2, len(_STUDENT))]
            spread = float(values.std(ddof=1)) * math.sqrt((1 - len(rows) / count) / len(rows))
            half = quantile * count * spread
        # what was met is there for certain
        found[name] = Total(value, max(float(values.sum()), value - half), value + half)
    return found
