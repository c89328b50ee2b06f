"""Masks: clouds and their shadows go, bright roofs and dark lakes stay."""

import numpy as np
import pytest
import rasterio
from scipy import ndimage
from tests.core.scenery import real

from changedet.core.masking import (
    SOFT_EDGED_CLASSES,
    UNUSABLE_CLASSES,
    PairTests,
    SceneClass,
    cloud_buffer_px,
    recheck_clouds,
    spectral_classes,
    usable_from_classes,
)

BANDS = ("B02", "B03", "B04", "B08", "B10", "B11")
SIZE = 200
GROUND = (0.09, 0.10, 0.11, 0.26, 0.001, 0.24)
CLOUD = (0.55, 0.54, 0.53, 0.58, 0.004, 0.42)
SHADOW = (0.07, 0.06, 0.05, 0.09, 0.001, 0.07)
ROOF = (0.50, 0.50, 0.50, 0.52, 0.001, 0.45)
SNOW = (0.70, 0.72, 0.70, 0.65, 0.001, 0.08)
LAKE = (0.06, 0.05, 0.03, 0.02, 0.001, 0.01)
CIRRUS = (0.12, 0.13, 0.14, 0.29, 0.03, 0.26)


def land(seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.standard_normal((size, size)), 2)
    texture = 1 + 0.08 * texture / texture.std()
    return (np.array(GROUND)[:, None, None] * texture).astype(np.float32)


def disc(row, column, radius_px, size=SIZE):
    y, x = np.mgrid[:size, :size]
    return np.hypot(y - row, x - column) <= radius_px


def paint(data, region, spectrum):
    return np.where(region, np.array(spectrum, np.float32)[:, None, None], data)


def square(row, column, side_px, size=SIZE):
    region = np.zeros((size, size), bool)
    region[row : row + side_px, column : column + side_px] = True
    return region


@pytest.mark.parametrize("code", list(SceneClass))
def test_each_class_is_usable_or_not_and_widened_or_not(code):
    classes = np.full((15, 15), SceneClass.VEGETATION, np.uint8)
    classes[7, 7] = code
    usable = usable_from_classes(classes, dilation_px=3)
    if code in SOFT_EDGED_CLASSES:
        # round in the sense of a raster: the reach along both axes, and no corner
        assert (~usable[7]).sum() == (~usable[:, 7]).sum() == 7
        assert usable[4, 4]
    else:
        assert (~usable).sum() == (code in UNUSABLE_CLASSES)


def test_dilation_equals_distance_to_the_cloud():
    classes = np.where(disc(60, 60, 9, 120), SceneClass.CLOUD_HIGH, SceneClass.BARE).astype(np.uint8)
    distance = ndimage.distance_transform_edt(classes != SceneClass.CLOUD_HIGH)
    usable = usable_from_classes(classes, dilation_px=6)
    assert not usable[distance <= 5].any()
    assert usable[distance > 7].all()
    np.testing.assert_array_equal(usable_from_classes(classes, dilation_px=0), distance > 0)


@pytest.mark.parametrize(("pixel_size_m", "buffer_px"), [(10, 6), (20, 3), (9.7, 7), (60, 1), (100, 1)])
def test_the_buffer_is_sixty_metres(pixel_size_m, buffer_px):
    assert cloud_buffer_px(pixel_size_m) == buffer_px


def test_clear_land_is_left_alone():
    for seed in range(3):
        assert (spectral_classes(land(seed), BANDS, sun_azimuth_deg=150) == SceneClass.UNCLASSIFIED).all()


def test_a_cloud_is_found_and_its_surroundings_are_not():
    cloud = disc(100, 100, 20)
    classes = spectral_classes(paint(land(), cloud, CLOUD), BANDS)
    found = classes == SceneClass.CLOUD_HIGH
    assert found[cloud].mean() > 0.98
    assert not found[~disc(100, 100, 22)].any()


@pytest.mark.parametrize(("side_m", "taken"), [(60, False), (120, False), (400, True)])
@pytest.mark.parametrize("pixel_size_m", [10.0, 20.0])
def test_what_is_as_small_as_a_roof_is_no_cloud(side_m, taken, pixel_size_m):
    bright = square(80, 80, round(side_m / pixel_size_m))
    classes = spectral_classes(paint(land(), bright, CLOUD), BANDS, pixel_size_m=pixel_size_m)
    assert (classes == SceneClass.CLOUD_HIGH)[bright].any() == taken


def test_streets_full_of_bright_roofs_are_no_cloud():
    data = land()
    for row in range(20, 180, 12):
        for column in range(20, 180, 14):
            data = paint(data, square(row, column, 6), ROOF)
    assert (spectral_classes(data, BANDS) == SceneClass.UNCLASSIFIED).all()


def test_a_cloud_edge_counts_only_near_a_core():
    veil = (0.19, 0.18, 0.17, 0.30, 0.001, 0.26)
    beside, alone = disc(60, 60, 26), disc(150, 150, 26)
    data = paint(paint(land(), beside | alone, veil), disc(60, 60, 18), CLOUD)
    found = spectral_classes(data, BANDS) == SceneClass.CLOUD_HIGH
    assert found[beside].mean() > 0.95
    assert not found[alone].any()


def test_snow_is_not_cloud_and_small_snow_is_nothing():
    field, roof = disc(60, 60, 30), square(150, 150, 5)
    classes = spectral_classes(paint(land(), field | roof, SNOW), BANDS)
    assert (classes[field] == SceneClass.SNOW).mean() > 0.98
    assert not (classes == SceneClass.CLOUD_HIGH).any()
    assert (classes[roof] == SceneClass.UNCLASSIFIED).all()
    assert usable_from_classes(classes, dilation_px=6).all()


def test_cirrus_needs_its_band():
    veil = disc(100, 100, 40)
    data = paint(land(), veil, CIRRUS)
    np.testing.assert_array_equal(spectral_classes(data, BANDS) == SceneClass.THIN_CIRRUS, veil)
    without = [i for i, band in enumerate(BANDS) if band != "B10"]
    classes = spectral_classes(data[without], tuple(BANDS[i] for i in without))
    assert (classes == SceneClass.UNCLASSIFIED).all()


def shifted(azimuth_deg, distance_px):
    """Row and column that far from the middle of the image, seen in that direction from north by east."""
    angle = np.radians(azimuth_deg)
    return 100 - distance_px * np.cos(angle), 100 + distance_px * np.sin(angle)


@pytest.mark.parametrize("sun_azimuth_deg", [0, 35, 90, 150, 180, 225, 270, 310])
@pytest.mark.parametrize("distance_px", [40, 70])
def test_the_shadow_lies_on_the_far_side_from_the_sun(sun_azimuth_deg, distance_px):
    shadow = disc(*shifted(sun_azimuth_deg + 180, distance_px), 12)
    decoy = disc(*shifted(sun_azimuth_deg, distance_px), 12)
    data = paint(paint(land(), shadow | decoy, SHADOW), disc(100, 100, 14), CLOUD)
    classes = spectral_classes(data, BANDS, sun_elevation_deg=45, sun_azimuth_deg=sun_azimuth_deg)
    found = classes == SceneClass.CLOUD_SHADOW
    assert found[shadow].mean() > 0.95
    assert not found[decoy].any()
    assert not found[~shadow].any()


def test_without_the_sun_shadows_are_looked_for_all_round():
    dark = disc(*shifted(40, 50), 12) | disc(*shifted(220, 50), 12)
    data = paint(paint(land(), dark, SHADOW), disc(100, 100, 14), CLOUD)
    found = spectral_classes(data, BANDS) == SceneClass.CLOUD_SHADOW
    np.testing.assert_array_equal(found, dark)


def test_dark_ground_is_no_shadow_without_a_cloud_and_a_lake_never_is():
    dark, lake = disc(130, 100, 12), disc(100, 140, 12)
    assert (spectral_classes(paint(land(), dark, SHADOW), BANDS) == SceneClass.UNCLASSIFIED).all()
    data = paint(paint(land(), lake, LAKE), disc(100, 100, 14), CLOUD)
    assert not (spectral_classes(data, BANDS) == SceneClass.CLOUD_SHADOW).any()


def test_a_high_sun_keeps_shadows_close():
    far = disc(*shifted(180, 90), 8)
    data = paint(paint(land(), far, SHADOW), disc(100, 100, 14), CLOUD)
    low, high = (spectral_classes(data, BANDS, sun_elevation_deg=e, sun_azimuth_deg=0) for e in (20, 88))
    assert (low == SceneClass.CLOUD_SHADOW)[far].all()
    assert not (high == SceneClass.CLOUD_SHADOW).any()


def test_missing_data_is_no_data_whatever_else():
    data = paint(land(), disc(100, 100, 20), CLOUD)
    gap, half = square(95, 95, 10), square(10, 10, 10)
    data = np.where(gap, np.float32(np.nan), data)
    data[0] = np.where(half, np.float32(np.nan), data[0])
    classes = spectral_classes(data, BANDS, sun_azimuth_deg=150)
    np.testing.assert_array_equal(classes == SceneClass.NO_DATA, gap)


def test_without_the_bands_nothing_is_tested():
    data = paint(land(), disc(100, 100, 20), CLOUD)
    assert (spectral_classes(data[:4], BANDS[:4]) == SceneClass.UNCLASSIFIED).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (5, 3)])
def test_tiny_images_full_of_cloud_are_classified(shape):
    data = np.broadcast_to(np.array(CLOUD, np.float32)[:, None, None], (len(BANDS), *shape))
    assert (spectral_classes(data, BANDS, sun_azimuth_deg=150) == SceneClass.CLOUD_HIGH).all()


def spectral_date(*painted, seed=0):
    data = land(seed)
    for region, spectrum in painted:
        data = paint(data, region, spectrum)
        if spectrum is ROOF:  # plant, ridges and gutters: a roof looks the same on every date
            stripes = 1 + 0.12 * np.sign(np.sin(np.arange(SIZE) / 2))[None, :] * region
            data = (data * stripes).astype(np.float32)
    return data


def rechecked(date, other):
    classes, there = (
        spectral_classes(image, BANDS, sun_elevation_deg=45, sun_azimuth_deg=0) for image in (date, other)
    )
    colours = [(image[0], image[3]) for image in (date, other)]
    return classes, recheck_clouds(classes, there, *colours)


def test_a_cloud_is_kept_and_a_roof_that_stays_is_taken_back():
    cloud, roof = disc(60, 60, 16), square(130, 130, 24)
    date = spectral_date((cloud, CLOUD), (roof, ROOF))
    other = spectral_date((roof, ROOF), seed=1)
    classes, found = rechecked(date, other)
    assert (classes == SceneClass.CLOUD_HIGH)[roof].mean() > 0.95
    assert not (found == SceneClass.CLOUD_HIGH)[roof].any()
    np.testing.assert_array_equal(
        (found == SceneClass.CLOUD_HIGH)[:110], (classes == SceneClass.CLOUD_HIGH)[:110]
    )


def test_a_brighter_date_does_not_turn_roofs_into_clouds():
    roof = square(130, 130, 24)
    date = spectral_date((roof, ROOF))
    _, found = rechecked(date + np.float32(0.05), spectral_date((roof, ROOF)))
    assert not (found == SceneClass.CLOUD_HIGH).any()


def test_shadows_need_a_cloud_and_a_drop():
    cloud, shadow, asphalt = disc(60, 60, 16), disc(100, 60, 10), disc(130, 60, 10)
    date = spectral_date((cloud, CLOUD), (shadow | asphalt, SHADOW))
    classes, found = rechecked(date, spectral_date((asphalt, SHADOW), seed=1))
    assert (classes == SceneClass.CLOUD_SHADOW)[shadow | asphalt].mean() > 0.95
    assert (found == SceneClass.CLOUD_SHADOW)[shadow].mean() > 0.95
    assert not (found == SceneClass.CLOUD_SHADOW)[asphalt].any()


def test_with_the_last_cloud_its_shadows_go():
    roof, dark = square(60, 60, 24), disc(110, 72, 10)
    classes, found = rechecked(
        spectral_date((roof, ROOF), (dark, SHADOW)), spectral_date((roof, ROOF), seed=1)
    )
    assert (classes == SceneClass.CLOUD_SHADOW).any()
    assert (found == SceneClass.UNCLASSIFIED).all()


def test_small_clouds_over_the_same_ground_on_both_dates_are_kept():
    cloud = disc(100, 100, 18)
    date = spectral_date((cloud, CLOUD))
    _, found = rechecked(date, spectral_date((cloud, CLOUD), seed=1))
    assert (found == SceneClass.CLOUD_HIGH)[cloud].mean() > 0.98


def test_a_shadow_under_a_cloud_of_the_other_date_is_kept():
    cloud, shadow = disc(60, 60, 16), disc(100, 60, 10)
    date = spectral_date((cloud, CLOUD), (shadow, SHADOW))
    _, found = rechecked(date, spectral_date((shadow, CLOUD), (disc(30, 30, 9), CLOUD), seed=1))
    assert (found == SceneClass.CLOUD_SHADOW)[shadow].mean() > 0.95


def test_a_large_deck_on_both_dates_is_kept():
    deck = disc(100, 100, 60)
    assert deck.sum() > PairTests().roof_pixels
    date = spectral_date((deck, CLOUD))
    _, found = rechecked(date, spectral_date((deck, CLOUD), seed=1))
    assert (found == SceneClass.CLOUD_HIGH)[deck].mean() > 0.98


def test_a_gap_in_the_other_date_does_not_take_a_cloud_back():
    cloud = disc(60, 60, 16)
    date, other = spectral_date((cloud, CLOUD)), spectral_date(seed=1)
    half_missing = np.where(disc(60, 52, 8), np.float32(np.nan), other)
    _, found = rechecked(date, half_missing)
    assert (found == SceneClass.CLOUD_HIGH)[cloud].mean() > 0.98


def test_clear_classes_come_back_as_they_are():
    classes, found = rechecked(land(), land(1))
    np.testing.assert_array_equal(classes, found)


@pytest.mark.real
def test_real_clouds_are_unusable_and_real_land_is_not():
    with np.load(real("ukis_csmask", "sentinel2.npz")) as file:
        data, truth = file["img"].transpose(2, 0, 1).copy(), file["msk"][:, :, 0]
    classes = spectral_classes(data, ("B02", "B03", "B04", "B08", "B11", "B12"))
    usable = usable_from_classes(classes, dilation_px=6)
    cloud = truth == 4
    far = ndimage.distance_transform_edt(~cloud) > 15
    assert (~usable)[cloud].mean() >= 0.85
    flagged = np.isin(classes, (SceneClass.CLOUD_HIGH, SceneClass.THIN_CIRRUS))
    assert flagged[far & (truth == 0)].mean() < 0.05
    assert flagged[far].mean() < 0.05


CITIES = ("aguasclaras", "beihai", "bercy", "bordeaux", "cupertino", "nantes", "pisa")


@pytest.mark.real
@pytest.mark.parametrize("date", ["imgs_1", "imgs_2"])
@pytest.mark.parametrize("city", CITIES)
def test_clear_cities_are_not_taken_for_clouds(city, date):
    folder = real("oscd", "images", city, date)
    planes = {}
    for band in ("B02", "B03", "B04", "B08", "B11"):
        with rasterio.open(next(folder.glob(f"*_{band}.tif"))) as source:
            shape = planes["B02"].shape if planes else source.shape
            planes[band] = source.read(1, out_shape=shape).astype(np.float32) * np.float32(1e-4)
    classes = spectral_classes(np.stack(list(planes.values())), tuple(planes))
    assert (classes == SceneClass.CLOUD_HIGH).mean() < 0.01
