"""Which scenes are worth a look: those with a partner in the other period, the most promising first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_scene

from changedet.access.candidates import MOST_LOOKS, without_cloudy_tiles, worth_a_look
from changedet.access.date_sets import season_gap_of
from changedet.access.selection import SelectionRules
from changedet.errors import NoUsableImageryError
from changedet.scene import Asset, Radiometry

RULES = SelectionRules()


def scenes(first, count, step=1, cloud=0.0, **more):
    start = datetime.fromisoformat(first).replace(hour=2, tzinfo=UTC)
    times = [start + timedelta(days=step * number) for number in range(count)]
    return [
        make_scene(time, id=f"{time:%Y%m%d}", coverage=1.0, tile_cloud_share=cloud, **more) for time in times
    ]


def radar(time, orbit, state="descending"):
    when = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return make_scene(
        when, id=f"{time}-{orbit}-{state}", platform="Sentinel-1A", level="RTC",
        relative_orbit=orbit, orbit_state=state,
    )  # fmt: skip


def test_clear_dates_of_another_season_do_not_push_out_the_partners():
    winter, summer = scenes("2024-01-03", 4, cloud=0.02), scenes("2024-07-01", 13)
    before, after = worth_a_look(scenes("2023-01-05", 3), winter + summer, RULES)
    assert len(before) == 3
    assert after == winter


def test_a_cut_leaves_every_scene_a_partner():
    """The clearest dates of each period alone would all lie in opposite seasons."""
    before = scenes("2023-07-01", 15) + scenes("2023-01-01", 5, cloud=0.3)
    after = scenes("2024-07-01", 5, cloud=0.3) + scenes("2025-01-01", 15)
    kept = worth_a_look(before, after, RULES)
    assert all(0 < len(side) <= MOST_LOOKS for side in kept)
    for side, other in (kept, kept[::-1]):
        for scene in side:
            assert min(season_gap_of(scene, one) for one in other) <= RULES.max_season_gap_days


@given(
    st.lists(st.tuples(st.integers(0, 364), st.integers(0, 9)), min_size=1, max_size=25),
    st.lists(st.tuples(st.integers(0, 364), st.integers(0, 9)), min_size=1, max_size=25),
    st.randoms(use_true_random=False),
)
def test_whatever_the_periods_hold(first, second, random):
    start = datetime(2023, 1, 1, tzinfo=UTC)
    sides = [
        [
            make_scene(start + timedelta(days=year + day), id=f"{year}-{n}", tile_cloud_share=cloud / 10)
            for n, (day, cloud) in enumerate(side)
        ]
        for year, side in ((0, first), (365, second))
    ]
    partners = any(season_gap_of(a, b) <= 45 for a in sides[0] for b in sides[1])
    if not partners:
        with pytest.raises(NoUsableImageryError, match="season gap: the nearest dates lie"):
            worth_a_look(*sides, RULES)
        return
    kept = worth_a_look(*sides, RULES)
    for own, other in (kept, kept[::-1]):
        assert len(own) <= MOST_LOOKS
        assert all(any(season_gap_of(a, b) <= 45 for b in other) for a in own)
    for side in sides:
        random.shuffle(side)
    again = worth_a_look(*sides, RULES)
    assert [{one.id for one in side} for side in again] == [{one.id for one in side} for side in kept]


def test_radar_is_not_cut_and_needs_the_same_orbit_and_direction():
    others = [radar(f"2024-05-{day:02}", 54) for day in range(1, 20)]
    other_way = radar("2024-05-20", 127, "ascending")
    partners = [radar(f"2024-06-{day:02}", 127) for day in range(1, 16)]
    before, after = worth_a_look([radar("2023-05-01", 127)], [*others, other_way, *partners], RULES)
    assert len(before) == 1
    assert after == partners
    with pytest.raises(NoUsableImageryError, match="no two dates of the same relative orbit"):
        worth_a_look([radar("2023-05-01", 127)], [*others, other_way], RULES)


def test_an_assumed_offset_comes_last():
    asset = Asset("https://host/B04.tif", radiometry=Radiometry(1e-4, -0.1, assumed=True))
    doubtful = [
        replace(one, assets=MappingProxyType({"B04": asset})) for one in scenes("2024-05-01", MOST_LOOKS)
    ]
    sure = scenes("2024-06-01", 5, cloud=0.5)
    _, after = worth_a_look(scenes("2023-05-20", 1), [*doubtful, *sure], RULES)
    assert all(scene in after for scene in sure)
    assert len(after) == MOST_LOOKS


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([], scenes("2024-05-01", 1), "no scene covers the site in the before period; widen --before"),
        (scenes("2023-05-01", 1), [], "no scene covers the site in the after period; widen --after"),
        (
            scenes("2023-05-01", 1),
            [replace(scenes("2024-05-01", 1)[0], coverage=0.5)],
            "none of 1 scene(s) in the after period covers the whole site",
        ),
        (
            scenes("2023-01-01", 2),
            scenes("2024-05-01", 2),
            "season gap: the nearest dates lie 120 days of the year apart; choose periods in the same weeks",
        ),
    ],
)
def test_what_can_be_refused_is_refused_before_any_look(before, after, words):
    with pytest.raises(NoUsableImageryError) as caught:
        worth_a_look(before, after, RULES)
    assert words in str(caught.value)


def test_cloudy_tiles_are_left_out_and_it_is_said_when_nothing_else_is_there():
    clear, cloudy = scenes("2024-05-01", 2, cloud=0.9), scenes("2024-05-11", 2, cloud=0.95)
    assert without_cloudy_tiles(clear + cloudy, 0.9, "after") == clear
    assert without_cloudy_tiles([], 0.9, "after") == []
    with pytest.raises(NoUsableImageryError) as caught:
        without_cloudy_tiles(cloudy, 0.9, "after")
    assert str(caught.value) == (
        "all 2 scene(s) in the after period have more than 90% cloud over their tiles; the clearest, "
        "2024-05-11, has 95%; raise --max-tile-cloud, or widen --after"
    )
