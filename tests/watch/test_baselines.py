"""What is kept of a site, and what alarmed pixels make on the ground."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from changedet.core.timeseries import AlarmStatus
from changedet.errors import InputFileError, MissingBandError, NoUsableImageryError
from changedet.scene import Image, Scene
from changedet.watch.baselines import (
    RECENT_DATES,
    Ground,
    SiteBaseline,
    _opened,
    kept_step,
    learn,
    take,
)
from changedet.watch.candidates import ASIDE, PERSISTING, candidate_table, find_candidates
from changedet.watch.rules import WatchRules

GRID = GeoBox((20, 24), Affine(10, 0, 281000, 0, -10, 4239000), "EPSG:32652")
BANDS = ("B02", "B03", "B04", "B08", "B11")
GREEN, BUILT = (0.03, 0.06, 0.04, 0.30, 0.16), (0.22, 0.24, 0.25, 0.27, 0.26)
SOIL = (0.09, 0.13, 0.18, 0.24, 0.30)
DRY = (0.05, 0.08, 0.08, 0.17, 0.18)
START = datetime(2021, 1, 1, 2, tzinfo=UTC)
HALL, RIM = (slice(6, 12), slice(6, 12)), (slice(4, 14), slice(4, 14))
RULES = WatchRules()


def image(number, *, hall=None, rim_b11=None, bands=BANDS, hidden=None, snow=False):
    rng = np.random.default_rng(number)
    data = np.empty((len(BANDS), *GRID.shape), np.float32)
    data[:] = np.array(GREEN, np.float32)[:, None, None]
    if rim_b11 is not None:
        data[4][RIM] = rim_b11
    if hall is not None:
        data[(slice(None), *HALL)] = np.array(hall, np.float32)[:, None, None]
    data *= 1 + 0.02 * rng.standard_normal(data.shape, np.float32)
    classes = np.full(tuple(GRID.shape), 11 if snow else 4, np.uint8)
    valid = np.ones(classes.shape, bool)
    if hidden is not None:
        valid[hidden] = False
    scene = Scene(f"date-{number:03d}", "local", "L2A", "Sentinel-2A", START + timedelta(days=10 * number))
    one = Image(data, BANDS, valid, classes, GRID, scene, "SCL")
    return one if bands == BANDS else one.select(bands)


def ground():
    return Ground(np.zeros((40, 44), np.float32), np.ones(tuple(GRID.shape), bool), "2023-01-01")


@pytest.fixture(scope="module")
def known():
    return learn([image(number) for number in range(73)], ground(), RULES)


def after(known, count, **more):
    for number in range(73, 73 + count):
        known = take(known, image(number, **more))
    return known


def test_arrays_hold_everything(known):
    base = after(known, 3, hall=BUILT)
    again = SiteBaseline.from_arrays(base.to_arrays())
    assert (again.times, again.names, again.bands, again.since) == (
        base.times,
        base.names,
        base.bands,
        base.since,
    )
    ours, theirs = take(again, image(80)).to_arrays(), take(base, image(80)).to_arrays()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name])


@pytest.mark.parametrize("wrong", ["site", "units", "NDVI/about", "version"])
def test_damaged_arrays_are_refused(known, wrong):
    arrays = known.to_arrays()
    if wrong == "version":
        arrays["site"] = np.array('{"version": 9}')
    else:
        del arrays[wrong]
    with pytest.raises(InputFileError, match=r"cannot be used .* begin anew"):
        SiteBaseline.from_arrays(arrays)


def test_nothing_that_is_hidden_counts(known):
    base = after(known, 10, hall=BUILT, hidden=HALL)
    assert not find_candidates(base, RULES)
    np.testing.assert_array_equal(base.recent[(slice(None), slice(None), *HALL)],
                                  known.recent[(slice(None), slice(None), *HALL)])  # fmt: skip
    snowy = after(known, 10, snow=True)
    np.testing.assert_array_equal(snowy.recent, known.recent)
    assert (snowy.units[:, 73:] == -128).all()


def test_recent_dates_are_the_last_clear_ones(known):
    base = after(known, RECENT_DATES, hall=BUILT)
    inside = base.now()[(slice(None), *HALL)]
    np.testing.assert_allclose(np.median(inside, axis=(1, 2)), BUILT, rtol=0.02)
    np.testing.assert_allclose(np.median(base.before, axis=(1, 2)), GREEN, rtol=0.02)


def test_a_large_step_persists_when_clear_dates_of_three_weeks_show_it(known):
    status = []
    base = known
    for number in range(73, 78):
        base = take(base, image(number, hall=BUILT))
        status.append([one.status for one in find_candidates(base, RULES)])
    # three dates are twenty days, which goods may stand as well
    assert status == [[], [], ["provisional"], [PERSISTING], [PERSISTING]]
    (one,) = find_candidates(base, RULES)
    assert one.area_m2 == pytest.approx(3600, rel=0.02) and one.indices == base.names
    assert one.after == image(72).scene.time_text and one.by == image(73).scene.time_text
    assert not find_candidates(base, replace(RULES, min_area_m2=3700.0))


def test_more_dates_that_are_asked_for_take_more_time(known):
    status, strict = [], replace(RULES, least_later=4, of_later=5)
    base = known
    for number in range(73, 78):
        base = take(base, image(number, hall=BUILT))
        status.append([one.status for one in find_candidates(base, strict)])
    assert PERSISTING not in status[3] and status[4] == [PERSISTING]


def test_two_dates_and_a_clear_one_between_are_no_alarm(known):
    """A missed cloud and another one."""
    base = known
    for number, hall in ((73, BUILT), (74, None), (75, BUILT)):
        base = take(base, image(number, hall=hall))
    assert not [one for one in find_candidates(base, RULES) if one.status == PERSISTING]


def test_a_small_step_waits_until_it_adds_up(known):
    """A brightness step of three standard deviations, far less than a single date shows."""
    faint = tuple(one + 0.015 for one in GREEN[:3]) + GREEN[3:]
    base = after(known, 4, hall=faint)
    assert not [one for one in find_candidates(base, RULES) if one.status == PERSISTING]


def test_a_hall_in_a_field_that_dries_is_a_thing_of_its_own(known):
    """The field differs by little, touches the hall, and must not lend it its looks."""
    base = known
    for number in range(73, 83):
        one = image(number, hall=BUILT)
        data = one.data.copy()
        dry = np.ones(tuple(GRID.shape), bool)
        dry[HALL] = False
        data[2, dry] += 0.015
        base = take(base, replace(one, data=data))
    told = [one for one in find_candidates(base, RULES) if one.status == PERSISTING]
    assert [one.kind for one in told] == ["new construction"]
    assert told[0].area_m2 == pytest.approx(3600, rel=0.02)


def test_arrays_of_the_first_form_are_read(known):
    base = after(known, 4, hall=BUILT)
    arrays = base.to_arrays()
    plain = base.units_of(0, np.ones(tuple(GRID.shape), bool))
    tenths = np.where(np.isfinite(plain), np.clip(np.rint(plain * 10), -127, 127), -128)
    arrays["units"] = np.broadcast_to(
        tenths.astype(np.int8).reshape(base.units.shape[1:]), base.units.shape
    ).copy()
    arrays["site"] = np.array(str(arrays["site"]).replace('"version": 2', '"version": 1'))
    again = SiteBaseline.from_arrays(arrays)
    found = again.units_of(0, np.ones(tuple(GRID.shape), bool))
    np.testing.assert_allclose(found, np.clip(plain, -12.7, 12.7), atol=0.25)


def test_deviations_are_kept_up_to_a_hundred_standard_deviations():
    for units in (-90.0, -12.0, -0.3, 0.0, 2.0, 40.0):
        kept = np.array([kept_step(units)], np.int8)
        assert abs(_opened(kept)[0] - units) <= max(0.05, 0.02 * abs(units)) + 0.01
    assert kept_step(1e9) == 127 and np.isnan(_opened(np.array([-128], np.int8)))[0]


def test_an_unstable_history_is_kept_and_not_watched():
    """Of a pixel whose history changed by itself the dates help to choose a kind, and raise no alarm."""
    history = [image(n, hall=SOIL if n < 36 else GREEN) for n in range(73)]
    base = learn(history, ground(), RULES)
    inside = np.zeros(tuple(GRID.shape), bool)
    inside[HALL] = True
    assert not base.states[0].baseline.monitored[inside].any()
    assert np.isfinite(base.units_of(0, inside)).all()
    base = after(base, 5, hall=(0.2, 0.2, 0.2, 0.2, 0.2))
    assert not np.isin(base.states[0].status[inside], (1, 2)).any()


def test_a_band_of_20_m_does_not_widen_what_finer_ones_flag(known):
    (one,) = find_candidates(after(known, 9, hall=BUILT, rim_b11=0.25), RULES)
    assert one.area_m2 == pytest.approx(3600, rel=0.02) and one.kind == "new construction"
    # alone it counts
    (other,) = find_candidates(after(known, 9, rim_b11=0.25), RULES)
    assert other.area_m2 == pytest.approx(10000, rel=0.02) and other.indices == ("NDBI",)


def test_what_is_back_on_the_last_date_waits(known):
    base = after(known, 9, hall=BUILT)
    (one,) = find_candidates(take(base, image(82)), RULES)
    assert one.status == "provisional" and "not the last one" in one.reason
    (again,) = find_candidates(take(base, image(82, hall=BUILT)), RULES)
    assert again.status == PERSISTING


def harvested(number, first):
    """Bare from a day of the year on, for some weeks."""
    day = (START + timedelta(days=10 * number)).timetuple().tm_yday
    return image(number, hall=SOIL if first <= day <= first + 75 else None)


def test_a_harvest_that_comes_weeks_early_is_set_aside():
    history = [harvested(number, 200 if number < 36 else 205) for number in range(73)]
    base = learn(history, ground(), RULES)
    for number in range(73, 105):
        base = take(base, harvested(number, 165))
        assert not [one for one in find_candidates(base, RULES) if one.status == PERSISTING]
    reasons = {one.reason for one in find_candidates(take(base, harvested(105, 400)), RULES)}
    assert not reasons or all("earlier years" in one or "back" in one for one in reasons)


def test_drying_plants_are_set_aside(known):
    (one,) = find_candidates(after(known, 9, hall=DRY), RULES)
    assert (one.status, one.kind) == (ASIDE, "vegetation change") and "season" in one.reason


def test_what_has_to_wait_is_left_out_where_only_alerts_are_asked_for(known):
    base = take(after(known, 9, hall=BUILT), image(82))
    assert [one.status for one in find_candidates(base, RULES)] == ["provisional"]
    assert not find_candidates(base, RULES, settled_only=True)
    base = take(base, image(83, hall=BUILT))
    assert [one.status for one in find_candidates(base, RULES, settled_only=True)] == [PERSISTING]


def test_the_table_of_candidates_is_that_of_objects(known):
    found = find_candidates(after(known, 9, hall=BUILT), RULES)
    table = candidate_table(found, "2023-04-01T00:00:00Z")
    (row,) = table.to_dict("records")
    assert (row["id"], row["kind"], row["sensor"]) == (1, "new construction", "optical")
    assert row["first_seen"] == "2023-04-01T00:00:00Z" and row["last_seen_before"] == found[0].after
    assert found[0].to_dict()["mgrs"] == row["mgrs"]


def test_what_cannot_be_learnt_is_refused_in_words(known):
    with pytest.raises(NoUsableImageryError, match="2 usable"):
        learn([image(0), image(1)], ground(), RULES)
    with pytest.raises(MissingBandError, match="no index of NDVI"):
        learn([image(number, bands=("B11",)) for number in range(5)], ground(), RULES)
    with pytest.raises(MissingBandError, match="lacks B11"):
        take(known, image(74, bands=BANDS[:4]))
    fewer = learn([image(number, bands=BANDS[:4]) for number in range(40)], ground(), RULES)
    assert fewer.names == ("NDVI", "brightness")


def test_ground_with_too_few_dates_is_not_watched():
    hidden = (slice(0, 10), slice(None))
    base = learn([image(number, hidden=hidden) for number in range(73)], ground(), RULES)
    assert base.watched_share == 0.5
    assert not (np.stack([one.status for one in base.states]) != AlarmStatus.NONE).any()
