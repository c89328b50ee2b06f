"""Backscatter through time, in memory: tracks, breaks, agreement with optical images, gaps, losses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.radar_passes import FALLING, RISING
from tests.radar_series_passes import START, STEP_DAYS, WIDE, make_both, radar_images, radar_plan
from tests.timelines import make_images

from changedet.errors import NoUsableImageryError, UsageError
from changedet.frame import frame_in
from changedet.output.radar_series_facts import radar_sentences
from changedet.output.timeline_facts import finding, timeline_lines
from changedet.progress import Silent
from changedet.radar.agreement import SeenBy, break_opinions, optical_gaps
from changedet.radar.series_access import RadarSeriesRequest, TrackSource
from changedet.radar.series_reading import read_radar_series
from changedet.radar.types import SensorChoice
from changedet.timeline.access import LeftOut
from changedet.timeline.making import TimelineRequest
from changedet.timeline.zones import site_zone

BUILT = datetime(2022, 7, 14, tzinfo=UTC)
#: Optical dates that a cloud hides round the day on which the hall is built.
CLOUDED = frozenset(range(18, 24))


@pytest.fixture(scope="module")
def both():
    rising = radar_images(built_on=BUILT)
    falling = radar_images(FALLING, hours=12, built_on=BUILT, seed=4)
    return make_both(make_images(hidden=CLOUDED), rising, falling)


def hall(timeline):
    return timeline.zones[-1]


def test_every_track_is_searched_by_itself_and_dates_the_break(both):
    found = both.radar.breaks_of(hall(both).zone.name)
    assert [one.track for one in found] == [RISING, FALLING]
    for one in found:
        assert one.after < "2022-07-14" <= one.by
        assert (one.state, one.direction, one.over_by) == ("persisting", "brighter", "")
        assert one.steps_db["VV"] == pytest.approx(6, abs=0.7)
        assert one.passes_before + one.passes_inside == 75
    assert not both.radar.breaks_of("whole site")
    # what one track sees as usual says nothing of the other
    level = [own.value_db[:40, 0].mean() for _, own in both.radar.zones_of(hall(both).zone.name)]
    assert abs(level[0] - level[1]) > 3


def test_values_are_power_in_decibels_and_rain_is_taken_off(both):
    (track, own), _ = both.radar.zones_of(hall(both).zone.name)
    before = track.days < (BUILT.timestamp() / 86400)
    assert own.value_db[before].std(axis=0).max() > own.levelled_db[before].std(axis=0).max()
    np.testing.assert_allclose(own.value_db, 10 * np.log10(own.series.power), atol=1e-4)
    units = np.abs(own.levelled_db - own.expected) / own.sigma
    assert (units[before] < 2.5).mean() > 0.9 and (units[~before] > 2.5).all()
    usual, sigma = own.curve(track.days[:3])
    np.testing.assert_allclose(usual, own.expected[:3], rtol=1e-4)
    assert (sigma > 0).all() and not any(own.reasons)


def test_both_sensors_agree_and_radar_narrows_the_cloudy_interval(both):
    (opinion,) = break_opinions(both, hall(both))
    assert opinion.seen_by is SeenBy.BOTH and len(opinion.radar) == 2
    (gap,) = optical_gaps(both, hall(both))
    assert (gap.after, gap.by) == (opinion.optical.after, opinion.optical.by)
    assert gap.passes == 28 and len(gap.breaks) == 2
    assert not optical_gaps(both, both.zones[1])
    text = radar_sentences(both, hall(both))
    assert text[0].startswith(
        f"Both: radar agrees with the change between {gap.after} and {gap.by}: brighter by"
    )
    assert "consistent with new structures" in text[0] and "it still shows on 2023-08-07" in text[0]
    assert "radar has 28 pass(es) of that time, and a break of it begins there" in text[1]
    assert "breaks seen by both sensors: 1." in finding(both)


def test_a_change_of_height_alone_is_seen_by_radar_only():
    found = make_both(make_images(built_at=99), radar_images(built_on=BUILT))
    (opinion,) = break_opinions(found, hall(found))
    assert opinion.seen_by is SeenBy.RADAR_ONLY and opinion.optical is None and opinion.gap is None
    (text,) = radar_sentences(found, hall(found))
    assert text.startswith("Radar only: brighter by") and "optical images saw the ground at that time" in text
    hidden = make_both(make_images(built_at=99, hidden=CLOUDED), radar_images(built_on=BUILT))
    (opinion,) = break_opinions(hidden, hall(hidden))
    assert opinion.gap == ("2022-04-30", "2022-10-22")
    assert (
        "no clear optical date lies between 2022-04-30 and 2022-10-22"
        in radar_sentences(hidden, hall(hidden))[0]
    )


def test_a_change_that_radar_does_not_show_is_optical_only():
    found = make_both(make_images(), radar_images())
    (opinion,) = break_opinions(found, hall(found))
    assert opinion.seen_by is SeenBy.OPTICAL_ONLY and not opinion.radar
    text = radar_sentences(found, hall(found))
    assert text[0].startswith("Optical only: radar has passes before and after the change between")
    assert text[1] == "Radar: no break of 1 dB or more in 75 passes of ascending 44."


def test_radar_that_begins_later_had_nothing_in_that_period():
    late = radar_images()[48:]
    found = make_both(make_images(), late)
    (opinion,) = break_opinions(found, hall(found))
    assert opinion.seen_by is SeenBy.RADAR_HAD_NOTHING
    assert "Radar had nothing in that period" in radar_sentences(found, hall(found))[0]
    assert "0.9 years of passes do not tell season from change" in " ".join(found.warnings)


def test_walls_that_make_radar_darker_conflict():
    found = make_both(make_images(), radar_images(built_on=BUILT, step_db=-6))
    (opinion,) = break_opinions(found, hall(found))
    assert opinion.seen_by is SeenBy.CONFLICTING
    assert "Conflicting: radar does not fit" in radar_sentences(found, hall(found))[0]


def test_what_goes_again_is_over():
    gone = BUILT + timedelta(days=150)
    found = make_both([], radar_images(built_on=BUILT, over_on=gone), sensor="s1")
    (one,) = found.radar.breaks_of(hall(found).zone.name)
    assert one.state == "over" and one.last_seen < "2022-12-11" <= one.over_by
    assert "it showed until" in radar_sentences(found, hall(found))[0]


def test_radar_alone_has_no_optical_dates_and_says_so():
    found = make_both([], radar_images(built_on=BUILT), sensor="s1")
    assert found.dates == () and found.indices == () and found.activity is None
    assert found.span == ("2021-03-02", "2023-08-07")
    assert finding(found).startswith(
        "Radar alone, 75 passes of ascending 44 from 2021-03-02 to 2023-08-07. Point"
    )
    assert found.parameters["sensor"] == "s1" and not optical_gaps(found, hall(found))
    text = "\n".join(timeline_lines(found))
    assert "Radar only" not in text and "Brighter by" in text
    for word in ("confirmed", "no change", "probab"):
        assert word not in text.lower()


def test_few_passes_give_values_alone_and_say_so():
    found = make_both([], radar_images(dates=6, built_on=BUILT), sensor="s1")
    (_, own), *_ = found.radar.zones_of(hall(found).zone.name)
    assert own.used.all() and not own.breaks and not own.changes_sought
    text = radar_sentences(found, hall(found))
    assert text == ["Radar, ascending 44: 6 pass(es) show it, and breaks are looked for from 12 on."]


def test_short_series_are_provisional():
    found = make_both(
        [], radar_images(dates=40, built_on=START + timedelta(days=20 * STEP_DAYS)), sensor="s1"
    )
    (one,) = found.radar.breaks_of(hall(found).zone.name)
    assert one.state == "provisional" and "No persisting break, 1 that are over" in finding(found)
    assert "1.3 years of passes do not tell season from change" in found.warnings[0]


def test_a_pass_that_sees_too_little_says_why():
    images = radar_images(built_on=BUILT)
    blind = images[10].data.copy()
    blind[:] = np.nan
    images[10] = replace(images[10], data=blind, valid=np.zeros_like(images[10].valid))
    found = make_both([], images, sensor="s1")
    (_, own), *_ = found.radar.zones_of(hall(found).zone.name)
    assert own.reasons[10] == "outside the pass, or in radar shadow or layover: 0% seen"
    assert not own.used[10] and np.isnan(own.value_db[10]).all() and len(own.breaks) == 1


def test_passes_of_one_time_count_once_and_lost_ones_are_named():
    images = radar_images(dates=20)
    lost = LeftOut("2021-05-01", "gone", "cannot be loaded: damaged")
    plan = radar_plan(images)
    source = TrackSource(RISING, plan.scenes, lambda *_: ((*images, replace(images[3])), (lost,)))
    frame = frame_in(WIDE, None)
    series = read_radar_series(replace(plan, tracks=(source,)), [site_zone(None, WIDE)], frame, Silent())
    assert len(series.tracks[0].dates) == 20
    assert [one.reason for one in series.left_out] == ["the same time as Sentinel-1A-20210407", lost.reason]
    assert "no ground round the site" in series.tracks[0].zones[0].notes[0]
    few = TrackSource(RISING, plan.scenes, lambda *_: (tuple(images[:2]), ()))
    with pytest.raises(NoUsableImageryError, match="no track of radar has 3 passes that can be read"):
        read_radar_series(replace(plan, tracks=(few,)), [site_zone(None, WIDE)], frame, Silent())


def test_one_sensor_without_anything_is_borne_and_said():
    images = [replace(image, valid=np.zeros_like(image.valid)) for image in make_images(4)]
    found = make_both(images, radar_images(built_on=BUILT))
    # clouds on all dates leave no value, and radar goes on
    assert len(found.radar.tracks) == 1
    broken = radar_images(dates=2)
    found = make_both(make_images(), broken)
    assert found.radar is None
    assert found.warnings[0].startswith(
        "radar could not be used, optical images stand alone: no track of radar"
    )
    assert not radar_sentences(found, hall(found)) and "Radar" not in finding(found)


@pytest.mark.parametrize(
    ("asked", "more", "text"),
    [
        ({"provider": "x"}, {"during": "2022"}, "where radar comes from is said, and none is followed"),
        ({"sensor": "s1"}, {"images": "x"}, "radar alone needs no optical images; give its files as"),
        ({"sensor": "both"}, {"images": "x"}, "local images of both sensors need radar as well"),
        (
            {"sensor": "both", "images": "x", "provider": "y"},
            {"images": "x"},
            "from files or from a provider",
        ),
        ({"sensor": "both", "images": "x"}, {}, "no span of time was given"),
        ({"sensor": "s1"}, {}, "no span of time was given"),
    ],
)
def test_sources_that_contradict_each_other_are_refused(asked, more, text):
    sensor = SensorChoice(asked.pop("sensor", "s2"))
    with pytest.raises(UsageError, match=text):
        TimelineRequest(radar=RadarSeriesRequest(sensor, **asked), **more)


def test_the_dataset_keeps_tracks_apart(both):
    data = both.to_xarray()
    assert data.sizes["radar_time"] == 150 and data.backscatter_db.dims == (
        "radar_time", "polarisation", "radar_zone",
    )  # fmt: skip
    for track, own in both.radar.zones_of(hall(both).zone.name):
        mine = data.where(data.track == track.track.label, drop=True).sel(radar_zone=own.name)
        np.testing.assert_array_equal(mine.backscatter_db, own.value_db)
        np.testing.assert_array_equal(mine.pass_level_db, own.level_db)
        assert (mine.backscatter_band_low_db < mine.backscatter_band_high_db).all()
    assert '"direction": "brighter"' in data.attrs["radar_breaks"]
    alone = make_both([], radar_images(dates=6), sensor="s1").to_xarray()
    assert "value" not in alone and "time" not in alone.dims
