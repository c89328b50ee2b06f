"""Which radar passes are compared: one geometry at a time, alike in season, and said in sentences."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.errors import NoUsableImageryError
from changedet.radar.choice import TrackPlan, choose_passes
from changedet.radar.types import Track
from changedet.scene import Asset, Scene

DAY = timedelta(days=1)


def radar(when, orbit=127, state="descending", bands=("VV", "VH"), **changes):
    scene = Scene(
        f"S1A_{when:%Y%m%d}_{orbit}", "planetary-computer", "RTC", "Sentinel-1A", when, relative_orbit=orbit,
        orbit_state=state, assets={band: Asset(f"{band}.tif") for band in bands}, coverage=1.0,
    )  # fmt: skip
    return replace(scene, **changes)


def passes(year, month, day, count, *, every=12, **more):
    start = datetime(year, month, day, 21, 23, tzinfo=UTC)
    return [radar(start + number * every * DAY, **more) for number in range(count)]


def dates(scenes):
    return [scene.date_text for scene in scenes]


def test_each_track_is_compared_with_itself_only():
    before = [*passes(2023, 5, 1, 4), *passes(2023, 5, 3, 3, orbit=54, state="ascending")]
    after = [*passes(2025, 5, 3, 5), *passes(2025, 5, 1, 4, orbit=54, state="ascending")]
    tracks, sentences = choose_passes(before, after, 12)
    assert [one.track for one in tracks] == [Track("descending", 127), Track("ascending", 54)]
    for one in tracks:
        assert {(scene.orbit_state, scene.relative_orbit) for scene in one.scenes} == {
            (one.track.orbit_state, one.track.relative_orbit)
        }
    assert sentences[0] == (
        "Radar, descending 127: 4 passes before (2023-05-01 to 2023-06-06) and 5 passes after (2025-05-03 to "
        "2025-06-20), by Sentinel-1A, VV and VH."
    )


def test_a_track_of_one_period_is_left_out_and_named():
    before = [*passes(2023, 5, 1, 4), *passes(2023, 5, 2, 2, orbit=90)]
    tracks, sentences = choose_passes(before, passes(2025, 5, 1, 4), 12)
    assert [one.track.relative_orbit for one in tracks] == [127]
    assert sentences[1] == (
        "Radar left out: descending 90, with 2 pass(es) before and 0 after: passes of different tracks "
        "cannot be compared."
    )


def test_passes_whose_track_nobody_states_are_never_compared():
    unknown = [passes(year, 5, 1, 4, orbit=None) for year in (2023, 2025)]
    with pytest.raises(NoUsableImageryError, match="no track of radar has passes in both periods"):
        choose_passes(*unknown, 12)
    known = [passes(year, 6, 20, 3) for year in (2023, 2025)]
    tracks, sentences = choose_passes(unknown[0] + known[0], unknown[1] + known[1], 12)
    assert len(tracks) == 1
    assert "descending, orbit unknown, with 4 pass(es) before and 4 after: nobody states" in sentences[1]


def test_opposite_directions_of_one_orbit_are_not_mixed():
    with pytest.raises(NoUsableImageryError) as caught:
        choose_passes(passes(2023, 5, 1, 4), passes(2025, 5, 1, 2, state="ascending"), 12)
    said = "(before: 4 of descending 127; after: 2 of ascending 127); widen --before or --after"
    assert said in str(caught.value)


@pytest.mark.parametrize("word", ["before", "after"])
def test_a_period_without_a_pass_is_named(word):
    sides = {"before": passes(2023, 5, 1, 2), "after": passes(2025, 5, 1, 2)} | {word: []}
    with pytest.raises(NoUsableImageryError) as caught:
        choose_passes(sides["before"], sides["after"], 12)
    assert f"no radar pass covers any of the site in the {word} period; widen --{word}" in str(caught.value)


def test_of_many_those_nearest_in_season_are_taken():
    (track,), sentences = choose_passes(passes(2023, 1, 1, 30), passes(2025, 5, 1, 4), 4)
    assert dates(track.before) == ["2023-05-01", "2023-05-13", "2023-05-25", "2023-06-06"]
    assert "4 of 30 passes before (2023-05-01 to 2023-06-06) and 4 passes after" in sentences[0]


def test_whole_years_give_passes_of_the_same_season():
    (track,), _ = choose_passes(passes(2023, 1, 4, 30), passes(2024, 1, 10, 29), 6)
    days = [{scene.time.timetuple().tm_yday for scene in side} for side in (track.before, track.after)]
    assert len(days[0]) == len(days[1]) == 6
    assert max(min(abs(one - other) for other in days[1]) for one in days[0]) <= 12


def test_periods_that_share_no_season_meet_where_they_are_closest():
    (track,), _ = choose_passes(passes(2024, 1, 1, 8), passes(2024, 7, 1, 4), 2)
    assert dates(track.before) == ["2024-03-13", "2024-03-25"]
    assert dates(track.after) == ["2024-07-01", "2024-07-13"]


def test_what_shows_only_a_part_of_the_site_comes_last_and_is_used():
    before = [*passes(2023, 5, 1, 3), *passes(2023, 5, 7, 3, coverage=0.4)]
    (track,), _ = choose_passes(before, passes(2025, 5, 1, 3), 3)
    assert all(scene.coverage == 1 for scene in track.before)
    (track,), sentences = choose_passes(before[3:], passes(2025, 5, 1, 3, coverage=0.62), 12)
    assert len(track.before) == 3
    assert sentences[0].endswith("; no pass covers more than 62% of the site.")


def test_passes_with_one_polarisation_are_left_out_where_others_have_two():
    single = passes(2023, 5, 6, 2, bands=("VV",))
    (track,), sentences = choose_passes(passes(2023, 5, 1, 3) + single, passes(2025, 5, 1, 3), 12)
    assert len(track.before) == 3
    assert "3 of 5 passes before" in sentences[0]
    (track,), sentences = choose_passes(single, passes(2025, 5, 1, 3), 12)
    assert len(track.after) == 3
    assert sentences[0].endswith("Sentinel-1A, VV.")


def test_a_pass_in_both_periods_says_nothing():
    found = passes(2023, 5, 1, 6)
    (track,), _ = choose_passes(found[:4], found[3:], 12)
    assert (len(track.before), len(track.after)) == (3, 2)
    with pytest.raises(NoUsableImageryError, match="in the before period alone"):
        choose_passes(found[:3], found, 12)


def test_satellites_of_one_track_are_used_together_and_named():
    after = [*passes(2025, 5, 1, 3), *passes(2025, 5, 7, 3, platform="Sentinel-1C")]
    (track,), sentences = choose_passes(passes(2023, 5, 1, 3), after, 12)
    assert len(track.after) == 6
    assert "by Sentinel-1A and Sentinel-1C" in sentences[0]


def test_a_track_plan_comes_back_from_its_description():
    plan = TrackPlan(Track("ascending", 54), tuple(passes(2023, 5, 1, 2)), tuple(passes(2025, 5, 1, 1)))
    again = TrackPlan.from_dict(plan.to_dict())
    assert (again.track, dates(again.scenes)) == (plan.track, dates(plan.scenes))
    with pytest.raises(ValueError, match="without passes"):
        TrackPlan.from_dict(plan.to_dict() | {"after": []})


offsets = st.lists(st.integers(0, 700), min_size=1, max_size=12, unique=True)


@settings(max_examples=60, deadline=None)
@given(offsets, offsets, st.integers(1, 6), st.randoms())
def test_never_more_than_asked_for_and_the_same_in_any_order(first, second, most, rng):
    start = datetime(2022, 1, 1, tzinfo=UTC)
    before, after = [radar(start + n * DAY) for n in first], [radar(start + (n + 900) * DAY) for n in second]
    (track,), sentences = choose_passes(before, after, most)
    for taken, there in ((track.before, before), (track.after, after)):
        assert 1 <= len(taken) <= most
        assert set(dates(taken)) <= set(dates(there))
        assert dates(taken) == sorted(dates(taken))
    # a side has fewer than it may only where the other period cannot use more
    assert len(track.before) == min(most, len(before))
    assert len(track.after) == min(most, len(after))
    for side in (before, after):
        rng.shuffle(side)
    assert choose_passes(before, after, most) == ((track,), sentences)
