"""What a list will take: a sample stands for all, and its interval holds as often as it says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.errors import NoUsableImageryError, ProviderError
from changedet.providers.base import Estimate
from changedet.scale.planning import (
    SOURCES,
    SiteCosts,
    Taken,
    plan_list,
    sampled,
    site_takes,
    totals_of,
)

COSTS = SiteCosts(10.0, 4.0, 8.0, 3.0, 5.0, 7.0, 2.0)


def planned(scenes=2, radar=0, side=1000, units=0.0):
    """A plan of a site of a quarter of its frame, as far as costs look into it."""
    plan = SimpleNamespace(
        optical_scenes=(None,) * scenes,
        radar_scenes=(None,) * radar,
        grid=SimpleNamespace(shape=(side, side)),
        site=SimpleNamespace(grid=SimpleNamespace(shape=(side // 2, side // 2))),
    )
    return SimpleNamespace(plan=plan, estimate=Estimate(10 * scenes, 100.0 * scenes, units))


def test_what_a_site_takes_follows_from_what_was_measured():
    found = site_takes(planned(units=3.0), COSTS)
    assert (found.scenes, found.requests, found.processing_units) == (2, 20, 3.0)
    assert found.gigabytes == pytest.approx(0.2)
    assert found.core_hours == pytest.approx((10 + 4 + 2 * 3 + 8 / 4) / 3600)
    assert found.disk_gigabytes == pytest.approx((5 + 7 / 4 + 2 * 2) / 1000)
    # a frame of four times the area
    larger = site_takes(planned(side=2000), COSTS)
    assert larger.core_hours == pytest.approx((10 + 4 * (4 + 2 * 3) + 8) / 3600)
    assert site_takes(planned(radar=4), COSTS).scenes == 6


def test_the_usual_costs_are_those_of_the_benchmark():
    assert all(value > 0 for value in vars(SiteCosts()).values())


@given(st.integers(0, 60), st.integers(1, 80))
def test_a_sample_is_of_the_list_in_its_order_and_always_the_same(size, count):
    found = sampled(range(size), count)
    assert found == sorted(set(found)) == sampled(range(size), count)
    assert len(found) == min(size, count)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(0, 30))
def test_totals_lie_in_their_interval_and_are_exact_when_all_were_asked(scenes, more):
    taken = [Taken(scenes=one) for one in scenes]
    count = len(scenes) + more
    for total in totals_of(taken, count).values():
        assert total.low <= total.value + 1e-9
        assert total.value <= total.high + 1e-9
    whole = totals_of(taken, len(scenes))["scenes"]
    assert whole.low == whole.value == whole.high == sum(scenes)
    assert totals_of(taken, count)["scenes"].low >= sum(scenes)


def test_the_interval_holds_in_about_95_of_100_cases():
    rng = np.random.default_rng(3)
    population = rng.gamma(4.0, 2.0, 400)
    truth, holds = population.sum(), 0
    for _ in range(400):
        drawn = rng.choice(population, 25, replace=False)
        total = totals_of([Taken(gigabytes=float(one)) for one in drawn], 400)["gigabytes"]
        holds += total.low <= truth <= total.high
    assert 0.91 < holds / 400 < 0.985


def test_a_thousand_sites_are_estimated_from_a_sample():
    asked = []

    def _plan(site):
        asked.append(site)
        return planned(scenes=2 + site % 3, side=500)

    found = plan_list(range(1000), _plan, sample=40)
    assert len(asked) == found.searched == 40
    assert found.sites == 1000
    truth = sum(2 + site % 3 for site in range(1000))
    assert found.totals["scenes"].low < truth < found.totals["scenes"].high
    every = plan_list(range(1000), _plan, sample=None)
    assert every.totals["scenes"].value == every.totals["scenes"].high == truth
    assert every.largest_mpx == 0.25


def test_sites_without_imagery_take_nothing_and_are_counted():
    def _plan(site):
        if site % 2:
            raise NoUsableImageryError("no scene covers the site", where=f"site {site}")
        return planned()

    found = plan_list(range(10), _plan, sample=None)
    assert found.lacking == {"no scene covers the site": 5}
    assert found.totals["scenes"].value == 10


def test_a_service_that_fails_is_no_basis_for_an_estimate():
    def _plan(site):
        raise ProviderError("the service is down")

    with pytest.raises(ProviderError, match="the service is down"):
        plan_list(range(10), _plan)


def test_the_document_says_from_what_each_number_is():
    document = plan_list([1], lambda _: planned(), costs=replace(COSTS, site_s=0)).to_dict()
    assert set(document["totals"]) == set(SOURCES) == set(vars(Taken()))
    assert all(total["from"] for total in document["totals"].values())
    assert document["totals"]["gigabytes"]["unit"] == "GB"
