"""What is listed instead of flagged: season, plants and moisture, and nothing that was built or cleared."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_image, make_result

from changedet.bands import COMPARED_BANDS
from changedet.comparison import DetectSettings
from changedet.deciders import open_deciders
from changedet.errors import InputFileError
from changedet.kinds import Kind
from changedet.output.vector import read_seasonal, write_seasonal
from changedet.provenance import run_record
from changedet.seasonal import _two_wide, looks_seasonal, set_seasonal_aside
from changedet.simulator.scenery import SPECTRA

ROAD, FIELD = np.s_[70:74, 60:90], np.s_[60:100, 60:100]


def of(ndvi, redness, brightness):
    return {
        "NDVI": np.array([ndvi]),
        "redness": np.array([redness]),
        "brightness": np.array([brightness]),
    }


GREEN, RIPE, THIN = of(0.8, 0.05, 0.04), of(0.45, 0.2, 0.08), of(0.3, 0.25, 0.12)
SOIL, WET_SOIL, CLEARED = of(0.15, 0.3, 0.14), of(0.17, 0.29, 0.11), of(0.2, 0.33, 0.11)
CONCRETE, BLUE_ROOF, PALE = of(0.07, 0.1, 0.25), of(0.39, -0.36, 0.18), of(0.5, 0.1, 0.14)


@pytest.mark.parametrize(
    ("before", "after"),
    [(GREEN, RIPE), (RIPE, GREEN), (THIN, GREEN), (SOIL, WET_SOIL), (WET_SOIL, SOIL), (THIN, THIN)],
    ids=["ripe", "green again", "grown", "wet", "dry", "the same"],
)
def test_season_and_moisture_are_told(before, after):
    assert looks_seasonal(before, after).tolist() == [True]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (GREEN, CLEARED), (GREEN, CONCRETE), (SOIL, CONCRETE), (CONCRETE, SOIL), (CONCRETE, CONCRETE),
        (GREEN, BLUE_ROOF), (BLUE_ROOF, GREEN), (SOIL, GREEN), (GREEN, PALE), (SOIL, of(0.15, 0.3, 0.25)),
        (SOIL, of(0.15, 0.4, 0.14)), (GREEN, of(0.28, 0.2, 0.08)),
    ],
)  # fmt: skip
def test_what_is_built_cleared_or_greened_is_not(before, after):
    assert looks_seasonal(before, after).tolist() == [False]


@given(st.sampled_from([0, 1]), st.sampled_from(["NDVI", "redness", "brightness"]))
def test_what_is_not_known_is_not_seasonal(side, name):
    pair = [dict(GREEN), dict(RIPE)]
    pair[side][name] = np.array([np.nan])
    assert looks_seasonal(*pair).tolist() == [False]


def test_only_what_is_two_pixels_wide_is_left():
    mask = np.zeros((12, 12), bool)
    mask[2, :] = mask[6:9, 4:8] = mask[10:, 10:] = True
    found = _two_wide(mask)
    assert not (found & ~mask).any()
    assert found.sum() == 12 + 4
    assert found[6:9, 4:8].all()


def painted(*layers):
    """An image of materials by where they lie, one over the other, of a level without haze to take off."""
    image = make_image(0)
    image = replace(image, scene=replace(image.scene, level="L2A"))
    data = np.zeros_like(image.data)
    for where, material in layers:
        data[(slice(None), *where)] = np.array(SPECTRA[material], np.float32)[:, None, None]
    return replace(image, data=data)


GROUND = (np.s_[:, :], "green crop")
BEFORE = painted(GROUND)


def labelled(shape, where=FIELD):
    labels = np.zeros(shape, np.int32)
    labels[where] = 1
    return labels


def test_the_bands_of_the_materials_are_those_of_the_image():
    assert BEFORE.bands == COMPARED_BANDS


def test_a_road_through_a_field_that_ripens_stays_flagged():
    after = painted(GROUND, (FIELD, "green grass"), (ROAD, "concrete"))
    labels = labelled(BEFORE.valid.shape)
    seeds = np.zeros(labels.shape, bool)
    seeds[71, 75] = True
    found = set_seasonal_aside(labels, seeds, (BEFORE, after), 5)
    assert (found.flagged[ROAD] == 1).all()
    assert (found.flagged > 0).sum() == 4 * 30
    assert (found.seasonal > 0).sum() == 40 * 40 - 4 * 30
    assert found.seasonal.max() == 1
    without = set_seasonal_aside(labels, np.zeros_like(seeds), (BEFORE, after), 5)
    assert not without.flagged.any()
    kept = found.kept()
    assert not kept.seasonal.any()
    assert np.array_equal(kept.flagged > 0, labels > 0)
    assert set(np.unique(kept.flagged[ROAD])) == {1}
    assert (kept.flagged == 2).sum() == 40 * 40 - 4 * 30


def test_objects_are_parted_and_numbered_anew():
    after = painted(GROUND, (np.s_[10:20, 20:40], "green grass"), (ROAD, "concrete"))
    labels = labelled(BEFORE.valid.shape, np.s_[10:20, 20:40])
    labels[ROAD] = 2
    found = set_seasonal_aside(labels, labels > 0, (BEFORE, after), 5)
    assert np.array_equal(found.seasonal, labels == 1)
    assert np.array_equal(found.flagged, labels == 2)
    assert found.flagged.dtype == found.seasonal.dtype == np.int32


@pytest.mark.parametrize("bands", [("B04", "B03"), tuple(f"band{i}" for i in range(10))])
def test_without_the_bands_nothing_is_set_aside(bands):
    image = replace(BEFORE, data=BEFORE.data[: len(bands)], bands=bands)
    labels = labelled(BEFORE.valid.shape)
    found = set_seasonal_aside(labels, labels > 0, (image, image), 5)
    assert np.array_equal(found.flagged, labels)
    assert not found.seasonal.any()


def test_no_object_gives_none():
    nothing = np.zeros(BEFORE.valid.shape, np.int32)
    found = set_seasonal_aside(nothing, nothing > 0, (BEFORE, BEFORE), 5)
    assert not found.flagged.any()
    assert not found.seasonal.any()


@pytest.mark.parametrize(("method", "passes"), [("predict", True), ("cva", True), ("ndvi-difference", False)])
def test_a_detector_that_is_asked_for_plants_gives_plants(method, passes):
    assert open_deciders(DetectSettings(method=method)).first.passes_over_seasons is passes


class TestFiles:
    def result(self):
        made = make_result()
        listed = make_result(boxes=[(30, 42, 40, 55)], kinds=[Kind.VEGETATION]).objects
        return replace(made, seasonal=listed)

    def test_what_is_listed_is_written_and_read_back(self, tmp_path):
        result = self.result()
        write_seasonal(result, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["seasonal.geojson", "seasonal.gpkg"]
        found = read_seasonal(tmp_path)
        assert found["kind"].tolist() == ["vegetation change"]
        assert found["area_m2"].tolist() == result.seasonal["area_m2"].tolist()

    def test_nothing_listed_writes_no_file(self, tmp_path):
        for seasonal in (None, self.result().seasonal.iloc[:0]):
            write_seasonal(replace(make_result(), seasonal=seasonal), tmp_path)
        assert not list(tmp_path.iterdir())
        assert read_seasonal(tmp_path) is None

    def test_a_damaged_list_is_said(self, tmp_path):
        (tmp_path / "seasonal.gpkg").write_bytes(b"no table")
        with pytest.raises(InputFileError, match="not what its name says"):
            read_seasonal(tmp_path)

    def test_the_record_counts_it_and_says_how_to_flag_it(self):
        record = run_record(self.result())
        assert record["counts"]["seasonal_objects"] == 1
        assert any(
            "1 place, 1.80 ha in all" in said and "--keep-seasonal" in said for said in record["limits"]
        )
        assert run_record(make_result())["counts"]["seasonal_objects"] == 0
