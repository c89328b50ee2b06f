"""Pairs: what lies between two dates besides change, and which pairs cannot be compared."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import BEFORE_TIME, GRID, make_image

from changedet.bands import COMPARED_BANDS
from changedet.core.masking import SceneClass, cloud_buffer_px, usable_from_classes
from changedet.errors import (
    ChangedetError,
    InputFileError,
    MissingBandError,
    NoOverlapError,
    NoUsableImageryError,
)
from changedet.pairing import SEASON_GAP_DAYS, make_pair, season_gap_days, shared_bands

SHAPE = tuple(GRID.shape)
EVERYWHERE = np.ones(SHAPE, bool)
LATER = BEFORE_TIME + timedelta(days=731)


def clear(seed=0, time=BEFORE_TIME, **changes):
    """An image without clouds, with the metadata `changes`."""
    image = make_image(seed, time, **changes)
    return replace(image, valid=EVERYWHERE.copy(), classes=np.full(SHAPE, SceneClass.BARE, np.uint8))


def covered(image, rows):
    """The image with cloud over its first rows."""
    valid = EVERYWHERE.copy()
    valid[:rows] = False
    return replace(
        image, valid=valid, classes=np.where(valid, image.classes, SceneClass.CLOUD_HIGH).astype(np.uint8)
    )


def refusal(error, before, after, site=EVERYWHERE):
    with pytest.raises(error) as caught:
        make_pair(before, after, site)
    assert type(caught.value) is error
    assert isinstance(caught.value, ChangedetError)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.todo
    return message


# --- what a pair says -------------------------------------------------------------------------------


def test_shares_count_the_site_only():
    site = EVERYWHERE.copy()
    site[:, 60:] = False
    before, after = covered(clear(0), 25), covered(clear(1, LATER), 50)
    before.valid[90:, :60] = False
    pair = make_pair(before, after, site)
    assert pair.clear_share_before == pytest.approx(0.65)
    assert pair.clear_share_after == pytest.approx(0.5)
    assert pair.clear_share == pytest.approx(0.4)


def test_gaps_are_after_minus_before():
    after = clear(
        1, LATER + timedelta(days=10), sun_elevation_deg=60.1, sun_azimuth_deg=150.0, relative_orbit=46
    )
    pair = make_pair(clear(), after, EVERYWHERE)
    assert pair.days_apart == 741
    assert pair.season_gap_days == 10
    assert pair.sun_elevation_gap_deg == pytest.approx(-7.0)
    assert pair.sun_azimuth_gap_deg == pytest.approx(8.1)
    assert pair.same_orbit is False
    assert make_pair(clear(), clear(1, LATER), EVERYWHERE).same_orbit is True
    assert make_pair(after, clear(), EVERYWHERE).days_apart == -741


def test_what_is_not_known_is_not_invented():
    unknown = clear(1, LATER, relative_orbit=None, sun_elevation_deg=None, sun_azimuth_deg=None)
    unknown = replace(unknown, scene=replace(unknown.scene, time=None))
    pair = make_pair(clear(), unknown, EVERYWHERE)
    for name in (
        "days_apart",
        "season_gap_days",
        "sun_elevation_gap_deg",
        "sun_azimuth_gap_deg",
        "same_orbit",
    ):
        assert getattr(pair, name) is None
    assert "the date of an image is not known: the season gap could not be checked" in pair.warnings


def test_a_pair_is_described_in_json():
    pair = make_pair(clear(), clear(1, LATER), EVERYWHERE)
    data = json.loads(json.dumps(pair.to_dict()))
    assert data["clear_share"] == 1
    assert data["days_apart"] == 731
    assert data["warnings"] == list(pair.warnings)


def test_good_pairs_carry_no_warning():
    assert make_pair(clear(), clear(1, LATER), EVERYWHERE).warnings == ()


@pytest.mark.parametrize(
    ("days", "warned"), [(SEASON_GAP_DAYS, False), (SEASON_GAP_DAYS + 1, True), (183, True)]
)
def test_another_season_is_warned_of(days, warned):
    after = clear(1, datetime(2025, 5, 14, 2, 7, 1, tzinfo=UTC) + timedelta(days=days))
    warnings = make_pair(clear(), after, EVERYWHERE).warnings
    assert warnings == (
        (f"the dates lie {days if days < 183 else 182} days of the year apart: "
         "expect seasonal vegetation among the candidates",) if warned else ()
    )  # fmt: skip


def test_little_coverage_is_warned_of():
    assert make_pair(covered(clear(), 40), clear(1, LATER), EVERYWHERE).warnings == ()
    (warning,) = make_pair(covered(clear(), 41), clear(1, LATER), EVERYWHERE).warnings
    assert warning == "only 59% of the site was observed on both dates"


@pytest.mark.parametrize(("elevation_deg", "warned"), [(57.2, False), (57.0, True), (78.0, True)])
def test_another_sun_is_warned_of(elevation_deg, warned):
    warnings = make_pair(clear(), clear(1, LATER, sun_elevation_deg=elevation_deg), EVERYWHERE).warnings
    assert any("shadows have moved" in w for w in warnings) == warned


@pytest.mark.parametrize(("level", "warned"), [("L1C", True), ("L2A", False), ("unknown", False)])
def test_dates_of_two_levels_are_warned_of(level, warned):
    warnings = make_pair(clear(level="L2A"), clear(1, LATER, level=level), EVERYWHERE).warnings
    assert any("one date is Level-1C" in text for text in warnings) == warned


def test_notes_of_the_scenes_are_passed_on_with_their_names():
    before = clear(notes=("offset assumed",))
    pair = make_pair(before, clear(1, LATER), EVERYWHERE)
    assert pair.warnings == (f"{before.scene.id}: offset assumed",)


dates = st.datetimes(datetime(2015, 1, 1), datetime(2060, 12, 31))


@given(dates, dates, st.integers(0, 40))
def test_the_season_gap_is_symmetric_bounded_and_blind_to_years(first, second, years):
    gap = season_gap_days(first, second)
    assert gap == season_gap_days(second, first)
    assert 0 <= gap <= 183
    assert season_gap_days(first, first) == 0
    if (second.month, second.day) != (2, 29):
        moved = second.replace(year=2015 + years)
        assert abs(season_gap_days(first, moved) - gap) <= 1


def test_the_season_gap_runs_over_the_new_year():
    assert season_gap_days(datetime(2023, 12, 31), datetime(2024, 1, 1)) == 1
    assert season_gap_days(datetime(2023, 1, 1), datetime(2024, 7, 2)) == 182
    assert season_gap_days(None, datetime(2024, 7, 2)) is None
    assert season_gap_days(datetime(2024, 7, 2), None) is None


# --- bands ------------------------------------------------------------------------------------------


def test_both_images_keep_the_surface_bands_they_share_in_one_order():
    before = clear(bands=("B08", "B01", "B04", "B03", "B02"))
    after = clear(1, LATER, bands=("B01", "B02", "B03", "B04", "B08", "B11"))
    pair = make_pair(before, after, EVERYWHERE)
    assert pair.before.bands == pair.after.bands == ("B02", "B03", "B04", "B08")
    np.testing.assert_array_equal(pair.before.band("B08"), before.band("B08"))


def test_without_surface_bands_any_shared_band_will_do():
    assert shared_bands(clear(bands=("x", "gray")), clear(bands=("gray", "x", "y"))) == ("x", "gray")
    assert shared_bands(clear(), clear()) == COMPARED_BANDS


def test_no_shared_band_is_refused():
    message = refusal(MissingBandError, clear(bands=("B02", "B03")), clear(bands=("VV", "VH")))
    assert "the images share no band (before has B02, B03; after has VV, VH)" in message


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["before", "after"])
def test_an_image_without_data_is_refused(which):
    empty = clear()
    empty = replace(empty, data=np.full_like(empty.data, np.nan), valid=~EVERYWHERE)
    pair = {"before": clear(), "after": clear(1, LATER)} | {which: empty}
    message = refusal(NoOverlapError, *pair.values())
    assert f"the {which} image has no data inside the compared area" in message
    assert empty.scene.id in message


def test_data_outside_the_site_does_not_help():
    image = clear()
    image.data[:, :, :60] = np.nan
    site = EVERYWHERE.copy()
    site[:, 60:] = False
    refusal(NoOverlapError, image, clear(1, LATER), site)


@pytest.mark.parametrize("which", ["before", "after"])
def test_an_image_all_under_cloud_is_refused(which):
    pair = {"before": clear(), "after": clear(1, LATER)}
    pair[which] = covered(pair[which], SHAPE[0])
    message = refusal(NoUsableImageryError, *pair.values())
    assert (
        f"no pixel of the {which} image is usable: all cloud, shadow or saturated; choose another date"
        in message
    )


@pytest.mark.parametrize("which", ["before", "after"])
def test_a_constant_image_is_refused(which):
    pair = {"before": clear(), "after": clear(1, LATER)}
    pair[which] = replace(pair[which], data=np.full_like(pair[which].data, 0.1))
    message = refusal(InputFileError, *pair.values())
    assert f"the {which} image is constant" in message


def test_one_varying_band_makes_an_image():
    flat = clear()
    flat.data[1:] = 0.1
    assert make_pair(flat, clear(1, LATER), EVERYWHERE).clear_share == 1


def test_too_few_clear_pixels_are_refused():
    site = EVERYWHERE.copy()
    before, after = clear(), clear(1, LATER)
    before.valid[:] = False
    before.valid[:20, :20] = True
    assert make_pair(before, after, site).clear_share == pytest.approx(400 / site.size)
    before.valid[0, 0] = False
    message = refusal(NoUsableImageryError, before, after)
    assert "only 3.3% of the site is usable on both dates (before 3.3%, after 100.0%)" in message
    assert "choose dates with fewer clouds" in message


def test_clear_pixels_that_never_coincide_are_refused():
    before, after = covered(clear(), 50), clear(1, LATER)
    after.valid[50:] = False
    assert "only 0.0% of the site" in refusal(NoUsableImageryError, before, after)


# --- second look at clouds --------------------------------------------------------------------------


def white_roof(source):
    """A pair with the same bright roof on both dates, called cloud on the first."""
    before, after = clear(), clear(1, LATER)
    for image in (before, after):
        image.data[:, 40:60, 40:60] = 0.45
    classes = before.classes.copy()
    classes[40:60, 40:60] = SceneClass.CLOUD_HIGH
    valid = usable_from_classes(classes, dilation_px=cloud_buffer_px(10))
    return replace(before, classes=classes, valid=valid, classes_source=source), after


def test_a_cloud_that_stands_on_both_dates_is_ground_when_only_spectra_saw_it():
    before, after = white_roof("spectral tests")
    pair = make_pair(before, after, EVERYWHERE)
    assert pair.before.valid.all()
    assert (pair.before.classes != SceneClass.CLOUD_HIGH).all()
    assert not before.valid.all()


def test_the_product_is_believed_about_its_clouds():
    before, after = white_roof("SCL")
    pair = make_pair(before, after, EVERYWHERE)
    np.testing.assert_array_equal(pair.before.valid, before.valid)


def test_a_cloud_of_one_date_stays_a_cloud():
    before, after = white_roof("spectral tests")
    after.data[:, 40:60, 40:60] = clear(1, LATER).data[:, 40:60, 40:60]
    pair = make_pair(before, after, EVERYWHERE)
    assert not pair.before.valid[40:60, 40:60].any()


def test_a_second_look_never_makes_missing_data_usable():
    before, after = white_roof("spectral tests")
    before.data[:, 50, 50] = np.nan
    assert not make_pair(before, after, EVERYWHERE).before.valid[50, 50]
