"""Choosing dates: clear over the site, same season, no snow on one side, the same in any order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_scene

from changedet.access.selection import (
    Look,
    SelectionRules,
    choose_pair,
    look_at,
    look_at_nothing,
    look_at_radar,
    rejected_look,
)
from changedet.core.masking import SceneClass
from changedet.errors import NoUsableImageryError, UsageError
from changedet.scene import Asset, Radiometry

SPRING = datetime(2023, 5, 14, 2, 7, tzinfo=UTC)


def seen(time=SPRING, clear=0.95, snow=0.0, **scene):
    return Look(make_scene(time, **scene), clear, 1 - clear, snow, 0.0)


def later(days):
    return SPRING + timedelta(days=731 + days)


def test_shares_are_those_of_the_site_not_of_the_tile():
    classes = np.full((40, 40), SceneClass.CLOUD_HIGH, np.uint8)
    classes[:20, :20] = SceneClass.VEGETATION
    classes[0, 0] = SceneClass.NO_DATA
    inside = np.zeros((40, 40), bool)
    inside[:10, :10] = True
    look = look_at(make_scene(), classes, inside, buffer_px=2)
    assert look.clear_share == pytest.approx(0.99)
    assert look.cloud_share == 0.0
    assert look.missing_share == pytest.approx(0.01)


def test_ground_beside_a_cloud_is_not_clear():
    classes = np.full((20, 20), SceneClass.VEGETATION, np.uint8)
    classes[:, 10:] = SceneClass.CLOUD_HIGH
    look = look_at(make_scene(), classes, np.ones((20, 20), bool), buffer_px=3)
    assert look.cloud_share == pytest.approx(0.5)
    assert look.clear_share == pytest.approx(0.35)


def test_a_site_without_pixels_shows_nothing():
    look = look_at(make_scene(), np.zeros((3, 3), np.uint8), np.zeros((3, 3), bool), buffer_px=0)
    assert (look.clear_share, look.missing_share) == (0.0, 1.0)


def test_the_clearest_dates_of_the_same_season_win():
    before = [seen(), seen(SPRING - timedelta(days=5), 0.82)]
    after = [seen(later(40), 0.99), seen(later(2), 0.97), seen(later(-3), 0.5)]
    choice = choose_pair(before, after)
    assert choice.before == (before[0],)
    assert choice.after == (after[1],)


def test_the_same_orbit_decides_between_equals():
    after = [seen(later(0), relative_orbit=61), seen(later(1), relative_orbit=3)]
    assert choose_pair([seen()], after).after == (after[1],)


def test_a_low_sun_is_avoided():
    after = [seen(later(0), sun_elevation_deg=40.0), seen(later(3), sun_elevation_deg=67.0)]
    assert choose_pair([seen()], after).after == (after[1],)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_does_not_matter(random):
    before = [seen(SPRING + timedelta(days=i), 0.9, relative_orbit=i % 3) for i in range(5)]
    after = [seen(later(i), 0.9, relative_orbit=i % 3) for i in range(5)]
    wanted = choose_pair(before, after)
    random.shuffle(before)
    random.shuffle(after)
    found = choose_pair(before, after)
    assert (found.before, found.after) == (wanted.before, wanted.after)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([], [seen(later(0))], "no scene covers the site in the before period; widen --before"),
        ([seen()], [seen(later(0), 0.3), seen(later(5), 0.6)], "too cloudy: the clearest of 2 scene(s)"),
        ([seen()], [seen(later(100))], "season gap: the best clear dates lie 100 days of the year apart"),
        ([seen()], [seen(later(0), snow=0.4)], "snow on one side only: 42% of what is seen at least"),
    ],
)  # fmt: skip
def test_refusals_have_names_and_say_what_next(before, after, words):
    with pytest.raises(NoUsableImageryError) as caught:
        choose_pair(before, after)
    assert words in str(caught.value)
    assert "; " in str(caught.value)


def test_rules_are_settings():
    cloudy = [seen(later(0), 0.3)]
    assert choose_pair([seen()], cloudy, SelectionRules(min_clear_share=0.2)).after == (cloudy[0],)


def test_snow_on_both_dates_may_be_compared():
    winter = [seen(snow=0.6)], [seen(later(0), snow=0.55)]
    assert choose_pair(*winter).before[0].snow_share == 0.6


def test_the_choice_is_told_in_sentences():
    sentences = " ".join(choose_pair([seen(), seen(clear=0.85)], [seen(later(3), 0.9)]).sentences)
    assert "Before: 2023-05-14, 95% of the site clear, chosen from 2 date(s)." in sentences
    assert "3 days of the year apart" in sentences
    assert "the same relative orbit" in sentences


def test_a_date_without_a_time_is_never_of_the_same_season():
    unknown = replace(seen(later(0)), scene=replace(make_scene(), time=None))
    with pytest.raises(NoUsableImageryError, match="season gap"):
        choose_pair([seen()], [unknown])


def doubtful(look):
    asset = Asset("https://host/B04.tif", radiometry=Radiometry(1e-4, -0.1, assumed=True))
    return replace(look, scene=replace(look.scene, assets=MappingProxyType({"B04": asset})))


def test_a_date_with_an_assumed_offset_comes_last():
    before, unsure, sure = seen(), doubtful(seen(later(0), 0.99)), seen(later(30), 0.82)
    choice = choose_pair([before], [unsure, sure])
    assert choice.after == (sure,)
    assert choice.sentences[2] == "Set aside: 1 date(s) whose radiometric offset would have to be assumed."
    assert "82% of the site clear, chosen from 1 date(s)." in choice.sentences[1]
    assert choose_pair([before], [unsure, seen(later(100))]).after == (unsure,)
    assert len(choose_pair([before], [unsure]).sentences) == 3


def test_what_could_not_be_looked_at_is_never_chosen():
    gone = rejected_look(make_scene(later(0)), "it is not there")
    rules = SelectionRules(min_clear_share=0.0)
    poor = seen(later(40), 0.1)
    assert choose_pair([seen()], [gone, poor], rules).after == (poor,)
    with pytest.raises(NoUsableImageryError, match="no scene covers the site in the after period"):
        choose_pair([seen()], [gone], rules)


@pytest.mark.parametrize(("stated", "cloud"), [(None, 0.0), (0.3, 0.3), (1.2, 1.0)])
def test_before_a_look_the_cloud_of_the_tile_stands_in(stated, cloud):
    look = look_at_nothing(make_scene(later(0), tile_cloud_share=stated))
    assert (look.cloud_share, look.clear_share, look.measured) == (cloud, 1 - cloud, False)


def test_a_choice_without_a_look_says_so():
    told = choose_pair([seen()], [look_at_nothing(make_scene(later(0), tile_cloud_share=0.06))]).sentences
    assert told[1] == (
        "After: 2025-05-14, 6% of the whole tile under cloud, the site not looked at yet, "
        "chosen from 1 date(s)."
    )


def test_a_look_tells_itself():
    described = seen().to_dict()
    assert described["time_utc"] == "2023-05-14T02:07:00Z"
    assert described["clear_share"] == 0.95


def part(time, start, stop, **look):
    """A date on which some of a hundred pixels are clear."""
    clear = np.isin(np.arange(100), np.arange(start, stop))
    share = float(clear.mean())
    return replace(seen(time, share, **look), clear=clear, cloud_share=1 - share)


def days(number):
    return SPRING + timedelta(days=number)


def test_a_look_knows_its_clear_pixels():
    classes = np.full((4, 5), SceneClass.VEGETATION, np.uint8)
    classes[:, 0] = SceneClass.CLOUD_HIGH
    inside = np.zeros((4, 5), bool)
    inside[0] = True
    assert look_at(make_scene(), classes, inside, buffer_px=0).clear.tolist() == [False, *[True] * 4]


def test_dates_are_put_together_only_where_none_alone_is_clear_enough():
    cloudy = [part(later(0), 0, 50), part(later(5), 40, 100), part(later(10), 20, 30)]
    choice = choose_pair([seen(), seen(days(5), 0.5)], cloudy)
    assert len(choice.before) == 1
    assert choice.after == (cloudy[1], cloudy[0])
    told = " ".join(choice.sentences)
    assert "Before: 2023-05-14, 95% of the site clear" in told
    assert (
        "After: a composite of 2 dates, 2025-05-14 and 2025-05-19, since none alone shows 80% of the site; "
        "the clearest, 2025-05-19, shows 60%, all together 100%; chosen from 3 dates." in told
    )
    assert "The dates lie at most 5 days of the year apart and come from the same relative orbit." in told
    clear = seen(later(20), 0.8)
    assert choose_pair([seen()], [*cloudy, clear]).after == (clear,)


def test_both_sides_may_be_put_together():
    before = [part(days(0), 0, 50), part(days(5), 50, 100)]
    after = [part(later(0), 0, 50, relative_orbit=61), part(later(5), 50, 100)]
    choice = choose_pair(before, after)
    assert (len(choice.before), len(choice.after)) == (2, 2)
    assert choice.sentences[-1].endswith("and come from different or unknown relative orbits.")


def test_cloudy_dates_of_the_season_are_put_together_where_the_clear_one_is_of_another():
    after = [seen(later(90)), part(later(0), 0, 50), part(later(5), 50, 100)]
    choice = choose_pair([seen()], after)
    assert len(choice.after) == 2
    assert "since none that alone shows 80% of the site matches the other period" in choice.sentences[1]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (
            [part(later(0), 0, 30), part(later(5), 20, 60), part(later(10), 40, 70)],
            "too cloudy: the clearest of 3 scene(s) in the after period, 2025-05-19, shows 40% of the site, "
            "and even 3 dates together show only 70%; widen --after, or lower --min-clear",
        ),
        ([part(later(0), 0, 30)], "2025-05-14, shows 30% of the site; widen"),
        ([part(later(0), 0, 50), part(later(60), 50, 100)], "2025-05-14, shows 50% of the site; widen"),
        ([part(later(30), 0, 50), part(later(60), 50, 100)], "season gap: the best clear dates lie 60 days"),
        (
            [part(later(0), 0, 50, snow=0.25), part(later(9), 50, 100)],
            "snow on one side only: 50% of what is seen at least",
        ),
    ],
)  # fmt: skip
def test_refusals_of_several_dates_have_names(after, words):
    with pytest.raises(NoUsableImageryError) as caught:
        choose_pair([seen()], after)
    assert words in str(caught.value)


def test_one_date_at_most_means_no_composite():
    halves = [part(later(0), 0, 50), part(later(5), 50, 100)]
    with pytest.raises(NoUsableImageryError, match="shows 50% of the site; widen --after"):
        choose_pair([seen()], halves, SelectionRules(max_dates=1))
    with pytest.raises(UsageError, match="at most 0 dates cannot be compared; allow at least 1"):
        SelectionRules(max_dates=0)


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_catalogue_does_not_matter_for_composites(random):
    after = [part(later(2 * i), 15 * i % 60, 15 * i % 60 + 40, relative_orbit=i % 3) for i in range(8)]
    wanted = choose_pair([seen()], after).after
    assert len(wanted) > 1
    random.shuffle(after)
    assert choose_pair([seen()], after).after == wanted


def radar(time, **scene):
    scene = {"platform": "Sentinel-1A", "level": "RTC", "orbit_state": "ascending"} | scene
    return look_at_radar(make_scene(time, **scene))


def test_radar_dates_are_of_one_orbit_whatever_the_season():
    after = [radar(later(0), relative_orbit=61), radar(later(1), orbit_state="descending"), radar(later(90))]
    choice = choose_pair([radar(SPRING)], after)
    assert choice.after == (after[2],)
    assert "100% of the site covered" in choice.sentences[0]
    assert choice.sentences[-1] == "Both radar dates come from the same relative orbit."
    for other in (after[:2], [radar(later(0), relative_orbit=None)]):
        with pytest.raises(NoUsableImageryError, match="no two dates of the same relative orbit"):
            choose_pair([radar(SPRING)], other)


def test_radar_that_covers_too_little_is_no_matter_of_clouds():
    with pytest.raises(NoUsableImageryError, match="too little covered: of 1 radar scene") as caught:
        choose_pair([radar(SPRING)], [radar(later(0), coverage=0.4)])
    assert "covers 40% of the site; widen --after" in str(caught.value)
