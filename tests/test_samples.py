import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from changedet.bands import COMPARED_BANDS, band
from changedet.core.masking import SceneClass
from changedet.errors import OutputError, UsageError
from changedet.kinds import KIND_LABELS, Kind
from changedet.samples import (
    SceneSettings,
    make_pair,
    simulate_pair,
    simulate_series,
    write_samples,
    write_scene,
)
from changedet.simulator import scenery as scenery
from changedet.simulator.atmosphere import Weather, diffuse_share, make_sky, sampling_weights, sun_position
from changedet.simulator.ground import make_ground, view_on

SAMPLES = Path(__file__).parents[1] / "samples"
needs_samples = pytest.mark.skipif(not (SAMPLES / "pair").is_dir(), reason="the bundled samples are not here")


@pytest.fixture(scope="module")
def pair():
    return simulate_pair()


@pytest.fixture(scope="module")
def series():
    return simulate_series()


@pytest.fixture(scope="module")
def clear_pair():
    settings = SceneSettings(size_px=128, bands=("B02", "B03", "B04", "B08"), clouds=False)
    return simulate_pair(settings)


@pytest.fixture(scope="module")
def pair_folder(clear_pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return folder, make_pair(folder, clear_pair.settings)


def registered(scene, name):
    step = band(name).resolution_m / 10
    row, column = scene.shift_px
    return ndimage.shift(scene.reflectance(name), (row / step, column / step), order=3, mode="nearest")


def read(path):
    with rasterio.open(path) as source:
        return source.read(1)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size_px": 126}, "size_px is 126; choose a multiple of 4 from 128 to 256"),
        ({"size_px": 64}, "size_px is 64; choose a multiple of 4"),
        ({"size_px": 260}, "size_px is 260; choose a multiple of 4"),
        ({"bands": ("B02", "B03", "B04", "B08", "B01")}, "bands cannot be simulated (B01); choose from B02"),
        ({"bands": ("B02", "B03", "B04")}, "bands cannot be simulated (missing B08)"),
        ({"after": date(2020, 1, 1)}, "before is not earlier than after; exchange the two dates"),
        (
            {"after_shift_px": (0.0, -5.0)},
            "after_shift_px is more than 4 pixels; choose a smaller displacement",
        ),
    ],
)
def test_settings_say_what_is_wrong(changes, text):
    with pytest.raises(UsageError) as caught:
        SceneSettings(**changes)
    assert text in str(caught.value)


def test_a_series_needs_two_dates():
    with pytest.raises(UsageError, match="a series of 1 dates; ask for 2 dates or more"):
        simulate_series(dates=1)


@pytest.mark.parametrize("size_px", [128, 132, 256])
def test_grid_corners_are_multiples_of_20_m(size_px):
    grid = SceneSettings(size_px=size_px).grid
    assert grid.shape == (size_px, size_px)
    assert grid.resolution.x == 10
    assert all(value % 20 == 0 for value in grid.extent.boundingbox)


@pytest.mark.parametrize(
    ("when", "place", "elevation", "azimuth"),
    [
        (datetime(2021, 3, 20, 12, 7, tzinfo=UTC), (0.0, 0.0), 90, None),
        (datetime(2021, 12, 21, 11, 58, tzinfo=UTC), (51.5, 0.0), 15, 180),
        (datetime(2021, 6, 21, 2, 16, tzinfo=UTC), (38.27, 126.5), 68, 128),
    ],
)
def test_sun_stands_where_almanacs_say(when, place, elevation, azimuth):
    sun = sun_position(when, *place)
    assert sun.elevation_deg == pytest.approx(elevation, abs=1.5)
    assert azimuth is None or sun.azimuth_deg == pytest.approx(azimuth, abs=4)
    assert np.hypot(*sun.towards[:2]) ** 2 + sun.towards[2] ** 2 == pytest.approx(1)


def test_shadows_fall_away_from_the_sun():
    morning = sun_position(datetime(2021, 5, 21, 1, 0, tzinfo=UTC), 38.27, 126.5)
    east, south = morning.shadow_m(10)
    assert east < 0 < -south
    assert np.hypot(east, south) == pytest.approx(10 / np.tan(np.deg2rad(morning.elevation_deg)))


@given(
    shift=st.floats(-3, 3), sigma=st.floats(3, 12), slope=st.floats(-1, 1), level=st.floats(-5, 5)
)  # fmt: skip
def test_sampling_keeps_levels_and_positions(shift, sigma, slope, level):
    fine = np.arange(-80, 280, 2.5) + 1.25
    centres = np.arange(5, 200, 10.0) + 10 * shift
    weights = sampling_weights(fine, centres, sigma)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights @ (level + slope * fine), level + slope * centres, atol=0.02)


@given(st.sampled_from(sorted(scenery.COVERS)), st.floats(1, 366), st.floats(-20, 20))
def test_green_share_stays_within_its_bounds(cover, day, lag):
    phenology = scenery.COVERS[cover].phenology
    share = phenology.green_share(day, lag)
    assert phenology.floor - 1e-9 <= share <= phenology.peak + 1e-9
    assert share == pytest.approx(phenology.green_share(day + 365, lag), abs=0.02)


def test_winter_wheat_and_maize_change_places_over_the_year():
    wheat, maize = (scenery.COVERS[c].phenology for c in ("winter wheat", "maize"))
    assert wheat.green_share(135) > maize.green_share(135) + 0.5
    assert maize.green_share(220) > wheat.green_share(220) + 0.5


def test_spectra_are_physical():
    for name, values in scenery.SPECTRA.items():
        assert len(values) == len(COMPARED_BANDS), name
        assert 0 < min(values) <= max(values) < 1, name
    spectrum = {name: dict(zip(COMPARED_BANDS, v, strict=True)) for name, v in scenery.SPECTRA.items()}
    for name in ("green crop", "broadleaf", "needles", "green grass"):
        assert spectrum[name]["B04"] < 0.06
        assert spectrum[name]["B08"] > 0.2
        assert spectrum[name]["B03"] > spectrum[name]["B02"]
    assert spectrum["water"]["B08"] < spectrum["water"]["B03"] < 0.06
    assert spectrum["snow"]["B03"] > 0.6
    assert spectrum["snow"]["B11"] < 0.2


def test_light_of_the_sky_fades_with_the_wavelength():
    shares = [diffuse_share(b) for b in COMPARED_BANDS]
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < shares[0] < 0.5


@pytest.mark.parametrize("cover", [0.1, 0.3, 0.6])
def test_scattered_clouds_cover_about_the_share_asked_for(cover):
    sky = make_sky(Weather(cloud_cover=cover), np.random.default_rng(5))
    assert (sky.opacity > 0).mean() == pytest.approx(cover, abs=0.01)
    assert sky.opacity.max() <= 0.97


def test_no_cloud_without_weather():
    assert not make_sky(Weather(), np.random.default_rng(5)).opacity.any()


def test_layout_does_not_depend_on_the_seed_but_textures_do():
    one, other = make_ground(1), make_ground(2)
    assert one.covers == other.covers
    np.testing.assert_array_equal(one.units, other.units)
    assert abs(np.corrcoef(one.texture.ravel(), other.texture.ravel())[0, 1]) < 0.1


def test_winter_sun_lengthens_shadows_and_snow_comes():
    ground = make_ground(3)
    high = sun_position(datetime(2022, 6, 21, 2, 16, tzinfo=UTC), 38.3, 126.5)
    low = sun_position(datetime(2022, 12, 21, 2, 16, tzinfo=UTC), 38.3, 126.5)
    summer, winter = (
        view_on(ground, d, s, 3) for d, s in ((date(2022, 6, 21), high), (date(2022, 12, 21), low))
    )
    assert 2 * (summer.direct == 0).sum() < (winter.direct == 0).sum()
    assert not summer.is_cover("snow").any()
    assert ground.elevation_m[winter.is_cover("snow")].min() > 80
    roofs = summer.is_cover("blue roof", "red roof", "white roof", "grey roof")
    assert (summer.direct[roofs] > 0).all()


def test_another_seed_gives_other_numbers(clear_pair):
    other = simulate_pair(replace(clear_pair.settings, seed=21))
    for name, numbers in clear_pair.after.numbers.items():
        assert (numbers != other.after.numbers[name]).mean() > 0.9


def test_numbers_carry_the_offset_of_their_baseline(pair):
    assert (pair.before.baseline, pair.before.offset) == ("03.00", 0.0)
    assert (pair.after.baseline, pair.after.offset) == ("05.09", -0.1)
    for scene in (pair.before, pair.after):
        assert tuple(scene.numbers) == COMPARED_BANDS
        for name, numbers in scene.numbers.items():
            assert numbers.dtype == np.uint16
            assert numbers.min() > 0
            assert numbers.shape == (2560 // band(name).resolution_m,) * 2
    difference = np.median(pair.after.numbers["B04"].astype(int) - pair.before.numbers["B04"])
    assert 950 < difference < 1150
    assert abs(np.median(pair.after.reflectance("B04") - pair.before.reflectance("B04"))) < 0.02


def test_reflectance_is_that_of_the_ground(pair):
    view = {name: pair.before.reflectance(name)[::2, ::2] for name in ("B02", "B03", "B04", "B08")}
    forest = np.zeros((128, 128), bool)
    forest[40:46, 84:94] = True
    forest &= pair.before.classes == SceneClass.VEGETATION
    assert forest.sum() > 20
    assert 0.02 < np.median(view["B04"][forest]) < 0.06
    assert 0.2 < np.median(view["B08"][forest]) < 0.45
    water = pair.before.classes == SceneClass.WATER
    assert np.median(view["B03"][water]) < 0.07
    assert np.median(view["B08"][water]) < np.median(view["B03"][water])
    bare = pair.before.classes == SceneClass.BARE
    assert 0.1 < np.median(view["B04"][bare]) < 0.3


def test_displacement_is_found_with_the_stated_sign(clear_pair):
    assert clear_pair.shift_px == (-0.62, 0.38)
    before, after = clear_pair.before.reflectance("B04"), clear_pair.after.reflectance("B04")
    found, _, _ = phase_cross_correlation(before, after, upsample_factor=50, normalization=None)
    np.testing.assert_allclose(found, clear_pair.shift_px, atol=0.1)


def test_another_displacement_moves_the_content():
    shift, bands = (1.4, -0.3), ("B02", "B03", "B04", "B08")
    pair = simulate_pair(SceneSettings(size_px=128, bands=bands, clouds=False, after_shift_px=shift))
    found, _, _ = phase_cross_correlation(
        pair.before.reflectance("B04"), pair.after.reflectance("B04"), upsample_factor=50, normalization=None
    )
    np.testing.assert_allclose(found, shift, atol=0.1)


def test_every_event_is_large_enough_and_contrasted(pair):
    events, quiet = pair.truth.events, stable(pair)
    assert set(events.kind) == {
        KIND_LABELS[k] for k in (Kind.CONSTRUCTION, Kind.EARTHWORKS, Kind.DEMOLITION, Kind.SURFACE)
    }
    assert len(events) == 5
    change = {
        name: registered(pair.after, name) - pair.before.reflectance(name)
        for name in ("B02", "B03", "B04", "B08")
    }
    for event in events.itertuples():
        inside = pair.truth.labels == event.id
        assert inside.sum() == event.pixels >= 12, event.name
        assert pair.settings.before.isoformat() < event.date < pair.settings.after.isoformat()
        contrast = max(abs(d[inside].mean() - np.median(d[quiet])) / d[quiet].std() for d in change.values())
        assert contrast > 5, event.name


def stable(pair):
    from rasterio.features import rasterize

    shapes = [*pair.truth.events.geometry.buffer(30), *pair.truth.decoys.geometry.buffer(30)]
    quiet = rasterize(shapes, out_shape=(256, 256), transform=pair.settings.grid.transform) == 0
    return quiet & (np.pad(np.ones((248, 248), bool), 4))


@pytest.mark.parametrize("name", ["B02", "B03", "B04", "B11"])
def test_elsewhere_the_two_dates_agree(pair, name):
    quiet = stable(pair)
    assert quiet.mean() > 0.6
    difference = registered(pair.after, name) - pair.before.reflectance(name)
    quiet = quiet if difference.shape == quiet.shape else quiet[::2, ::2] & quiet[1::2, 1::2]
    difference = difference[quiet]
    assert abs(np.median(difference)) < 0.02
    assert np.subtract(*np.percentile(difference, (95, 5))) < 0.06


def test_haze_is_stronger_in_blue(pair):
    quiet = stable(pair)
    gain = {
        b: np.median((registered(pair.after, b) - pair.before.reflectance(b))[quiet]) for b in ("B02", "B04")
    }
    assert gain["B02"] > gain["B04"]


def test_decoys_differ_between_the_dates_but_are_no_events(pair):
    decoys = pair.truth.decoys
    assert {"harvest", "flood", "snow", "cloud"} == set(decoys.kind)
    assert not set(decoys.kind) & set(KIND_LABELS.values())
    overlap = gpd.overlay(pair.truth.events, decoys)
    assert overlap.area.sum() < 1
    before, after = ({k: s.classes == k for k in SceneClass} for s in (pair.before, pair.after))
    assert before[SceneClass.SNOW].sum() > 20
    assert not after[SceneClass.SNOW].any()
    row, column = pixel_of(decoys, "flooded field", pair.settings.grid)
    assert after[SceneClass.WATER][row // 2, column // 2]
    assert not before[SceneClass.WATER][row // 2, column // 2]
    cloudy = [c[SceneClass.CLOUD_HIGH] for c in (before, after)]
    assert min(c.sum() for c in cloudy) > 200
    assert not (cloudy[0] & cloudy[1]).any()
    ndvi = []
    for scene in (pair.before, pair.after):
        red, infrared = scene.reflectance("B04"), scene.reflectance("B08")
        ndvi.append((infrared - red) / (infrared + red))
    row, column = pixel_of(decoys, "wheat cut early", pair.settings.grid)
    assert ndvi[0][row, column] - ndvi[1][row, column] > 0.3


def pixel_of(frame, name, grid):
    middle = frame[frame.name == name].geometry.iloc[0].centroid
    column, row = ~grid.transform * (middle.x, middle.y)
    return int(row), int(column)


def test_cloud_shadows_lie_where_the_sun_says(pair):
    classes, sun = pair.after.classes, pair.after.sun
    cloud = np.isin(classes, (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH)).astype(float)
    east, south = sun.shadow_m(900.0)
    moved = ndimage.shift(cloud, (south / 20, east / 20), order=0) > 0.5
    shadow = classes == SceneClass.CLOUD_SHADOW
    assert shadow.sum() > 200
    assert (moved & shadow).sum() > 0.8 * shadow.sum()


def test_scene_becomes_an_image_that_says_it_is_simulated(pair):
    image = pair.after.to_image()
    assert image.scene.simulated
    assert image.scene.credit.startswith("Simulated imagery")
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.band("B04"), pair.after.reflectance("B04"))
    np.testing.assert_array_equal(image.band("B11")[::2, ::2], pair.after.reflectance("B11"))
    assert not image.valid[image.classes == SceneClass.CLOUD_HIGH].any()
    assert image.valid[image.classes == SceneClass.VEGETATION].all()


def test_series_has_what_it_promises(series):
    days = [scene.time.date() for scene in series.scenes]
    assert len(days) == 24
    assert days == sorted(set(days))
    assert all((day - days[0]).days % 5 == 0 for day in days)
    assert (days[-1] - days[0]).days >= 700
    cloudy = [np.isin(s.classes, (3, 8, 9, 10)).mean() > 0.05 for s in series.scenes]
    assert 0.3 <= np.mean(cloudy) <= 0.6
    assert {s.offset for s in series.scenes} == {0.0, -0.1}
    assert series.scenes[0].shift_px == (0.0, 0.0)
    assert len({s.shift_px for s in series.scenes}) == 24


def test_series_events_begin_and_end_on_their_days(series):
    pit = series.truth.events[series.truth.events.end_date != ""].iloc[0]
    inside = ndimage.binary_erosion(series.truth.labels == pit.id)
    for scene in series.scenes:
        open_pit = pit.date <= scene.time.date().isoformat() < pit.end_date
        clear = ~np.isin(np.kron(scene.classes, np.ones((2, 2))), (3, 8, 9, 10))[inside].any()
        colour = np.median(scene.reflectance("B04")[inside] / scene.reflectance("B02")[inside])
        if clear and scene.shift_px[0] ** 2 < 0.5:
            assert (colour > 1.6) == open_pit, scene.stem
    assert {e.name for e in series.truth.events.itertuples()} > {"new warehouse", "apron resurfaced"}


def test_fields_change_places_over_the_year(series):
    def ndvi(month):
        scene = next(s for s in series.scenes if s.time.month == month and (s.classes < 7).mean() > 0.5)
        red, infrared = scene.reflectance("B04")[64:, 64:], scene.reflectance("B08")[64:, 64:]
        clear = np.kron(scene.classes, np.ones((2, 2)))[64:, 64:]
        return np.where(np.isin(clear, (3, 8, 9, 10)), np.nan, (infrared - red) / (infrared + red))

    spring, summer = ndvi(5), ndvi(8)
    both = np.isfinite(spring) & np.isfinite(summer)
    assert np.corrcoef(spring[both], summer[both])[0, 1] < 0.3
    assert np.nanmedian(summer) > np.nanmedian(ndvi(12)) + 0.2


def test_written_scene_is_what_a_reader_expects(clear_pair, tmp_path):
    scene = clear_pair.after
    assert write_scene(scene, str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    names = sorted(p.name for p in (tmp_path / "a" / "b").iterdir())
    assert names[0] == "T52SBH_20230521T021601_B02.tif"
    assert names[-1] == "T52SBH_20230521T021601_SCL.tif"
    with rasterio.open(tmp_path / "a" / "b" / names[0]) as source:
        assert (source.crs.to_epsg(), source.nodata, source.dtypes[0]) == (32652, 0, "uint16")
        assert (source.scales, source.offsets) == ((1e-4,), (-0.1,))
        assert source.compression.value.lower() == "deflate"
        tags = source.tags()
        assert source.transform == clear_pair.settings.grid.transform
        np.testing.assert_array_equal(source.read(1), scene.numbers["B02"])
    assert tags["ACQUISITION_TIME_UTC"] == "2023-05-21T02:16:01Z"
    assert (tags["PLATFORM"], tags["SIMULATED"], tags["LEVEL"], tags["TILE"]) == (
        "simulated",
        "yes",
        "L2A",
        "T52SBH",
    )
    assert float(tags["SUN_ELEVATION_DEG"]) == pytest.approx(scene.sun.elevation_deg, abs=0.01)
    assert (tags["PROCESSING_BASELINE"], tags["RELATIVE_ORBIT"], tags["SCENE_ID"]) == ("05.09", "3", scene.id)
    with rasterio.open(tmp_path / "a" / "b" / names[-1]) as source:
        assert (source.res, source.dtypes[0], source.shape) == ((20, 20), "uint8", (64, 64))
        assert source.bounds == rasterio.coords.BoundingBox(*clear_pair.settings.grid.extent.boundingbox)


def test_second_writing_gives_the_same_bytes(clear_pair, pair_folder, tmp_path):
    make_pair(str(tmp_path), clear_pair.settings)
    files = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(files) == 14
    for path in files:
        assert (tmp_path / path).read_bytes() == (pair_folder[0] / path).read_bytes(), path


def test_pair_folder_tells_the_truth(clear_pair, pair_folder):
    folder, (before, after, truth) = pair_folder
    assert (before.name, after.name, truth.name) == ("before", "after", "truth.geojson")
    events = gpd.read_file(truth)
    assert events.crs.to_epsg() == 4326
    moved = events.to_crs(32652).geometry
    assert moved.distance(clear_pair.truth.events.geometry, align=False).max() < 0.1
    assert moved.area.to_numpy() == pytest.approx(clear_pair.truth.events.area.to_numpy(), rel=0.01)
    assert events.is_valid.all()
    facts = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert facts["shift_px"] == [-0.62, 0.38]
    assert "Simulated" in facts["notice"]
    assert facts["settings"]["size_px"] == 128
    np.testing.assert_array_equal(read(folder / "truth.tif"), clear_pair.truth.labels)


def test_folder_that_is_a_file_is_refused(clear_pair, tmp_path):
    (tmp_path / "taken").write_text("x", encoding="utf-8")
    with pytest.raises(
        OutputError, match="taken: the simulated scenes cannot be written there; choose a folder"
    ):
        write_scene(clear_pair.before, tmp_path / "taken")


@needs_samples
def test_bundled_pair_is_what_the_simulation_makes(pair):
    for scene, name in ((pair.before, "before"), (pair.after, "after")):
        folder = SAMPLES / "pair" / name
        for band_name, numbers in scene.numbers.items():
            stored = read(folder / f"{scene.stem}_{band_name}.tif").astype(int)
            assert np.abs(stored - numbers).max() <= 1, band_name
        np.testing.assert_array_equal(read(folder / f"{scene.stem}_SCL.tif"), scene.classes)
    np.testing.assert_array_equal(read(SAMPLES / "pair" / "truth.tif"), pair.truth.labels)


@needs_samples
def test_bundled_series_is_what_the_simulation_makes(series):
    for scene in series.scenes:
        stored = read(SAMPLES / "series" / f"{scene.time:%Y%m%d}" / f"{scene.stem}_B04.tif").astype(int)
        assert np.abs(stored - scene.numbers["B04"]).max() <= 1, scene.stem


@needs_samples
def test_bundled_samples_are_small_and_say_they_are_simulated():
    files = [p for p in SAMPLES.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 8e6
    for path in files:
        if path.suffix == ".tif":
            with rasterio.open(path) as source:
                assert source.tags()["SIMULATED"] == "yes", path
    assert "simulated" in (SAMPLES / "README.md").read_text(encoding="utf-8").lower()


def test_write_samples_reports_its_steps(monkeypatch, tmp_path, clear_pair):
    from changedet import samples

    steps, shares = [], []

    class Listener:
        def step(self, name):
            steps.append(name)

        def advance(self, share):
            shares.append(share)

    short = simulate_series(SceneSettings(size_px=128, bands=("B02", "B03", "B04", "B08")), dates=2)
    monkeypatch.setattr(samples, "simulate_series", lambda: short)
    monkeypatch.setattr(samples, "simulate_pair", lambda settings: clear_pair)
    write_samples(tmp_path, progress=Listener())
    assert steps == ["pair", "series"]
    assert shares == [0.5, 1.0]
    assert sorted(p.name for p in (tmp_path / "series").iterdir() if p.is_dir()) == ["20210521", "20230521"]
    assert (tmp_path / "series" / "truth.geojson").is_file()
