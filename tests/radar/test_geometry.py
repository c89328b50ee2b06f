"""Maps of layover, shadow and incidence beside local radar: whose they are, what they hide, who says so."""

from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import rasterio
from tests.radar.test_files import write
from tests.radar_passes import GRID

from changedet.errors import NoUsableImageryError
from changedet.pipeline import compare_radar_files
from changedet.providers.rasters import read_header
from changedet.radar.files import find_radar_files, open_radar_files
from changedet.radar.geometry import GeometryMap, MapKind, map_kind, maps_of, name_without_map
from changedet.radar.types import Track

SHAPE = tuple(GRID.shape)
TAGS = MappingProxyType({"RELATIVE_ORBIT": "44", "ORBIT_STATE": "ascending"})


def write_map(path, numbers, dtype="uint8", nodata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "dtype": dtype, "nodata": nodata}
    profile |= {"height": SHAPE[0], "width": SHAPE[1], "crs": str(GRID.crs), "transform": GRID.transform}
    with rasterio.open(path, "w", **profile) as file:
        file.write(numbers.astype(dtype), 1)
    return path


def half(low, high):
    """Numbers of the upper and of the lower half."""
    plane = np.full(SHAPE, low, np.float64)
    plane[SHAPE[0] // 2 :] = high
    return plane


def passes_in(folder, count=3, year=2023):
    rng = np.random.default_rng(year)
    for number in range(count):
        plane = 0.1 * rng.gamma(4.4, 1 / 4.4, SHAPE)
        write(folder / f"s1_{year}05{10 + number}_VV.tif", [plane], tags=dict(TAGS))


@pytest.mark.parametrize(
    ("name", "kind", "left"),
    [
        ("OPERA_L2_RTC-S1_T137-292319-IW2_20230101T015035Z_S1A_30_v1.0_mask.tif", MapKind.CODES, "v1.0"),
        ("pier_layover_shadow_mask.tif", MapKind.CODES, "pier"),
        ("layover_shadow.tif", MapKind.CODES, ""),
        ("S1A_IW_20230101T051200_DVP_RTC30_ls_map.tif", MapKind.BITS, "RTC30"),
        ("S1A_IW_20230101T051200_DVP_RTC30_inc_map.tif", MapKind.ANGLE, "RTC30"),
        ("OPERA_L2_RTC-S1-STATIC_T137-292319-IW2_local_incidence_angle.tif", MapKind.ANGLE, "IW2"),
        ("incidence-angle.tif", MapKind.ANGLE, ""),
        ("masked_20230101_VV.tif", None, None),
        ("mask_20230101_VV.tif", None, None),
        ("unmask.tif", None, None),
    ],
)
def test_maps_are_told_by_the_end_of_their_names(name, kind, left):
    assert map_kind(Path(name)) == kind
    if kind is not None:
        assert name_without_map(Path(name)).endswith(left)


@pytest.mark.parametrize(
    ("name", "numbers", "dtype", "nodata"),
    [
        ("20230510_mask", half(0, 1), "uint8", 255),
        ("20230510_mask", half(0, 3), "uint8", 255),
        # bits: only tested, and tested with shadow
        ("20230510_ls_map", half(1, 17), "uint8", 0),
        ("20230510_ls_map", half(1, 2), "uint8", None),
        ("20230510_local_incidence_angle", half(38, 85), "float32", None),
        ("20230510_local_incidence_angle", half(38, 4), "float32", None),
        ("20230510_inc_map", half(np.radians(38), np.radians(95)), "float32", 0),
    ],
)
def test_what_a_map_marks_is_not_observed_on_its_pass(tmp_path, name, numbers, dtype, nodata):
    passes_in(tmp_path)
    write_map(tmp_path / f"s1_{name}.tif", numbers, dtype, nodata)
    ((found),) = open_radar_files(tmp_path, tmp_path).load(GRID)
    first, second, _ = found.before
    middle = SHAPE[0] // 2
    assert first.valid[:middle].all()
    assert not first.valid[middle:].any()
    assert np.isnan(first.data[:, middle:]).all()
    assert first.scene.notes == ("50% of the ground lies in radar shadow or layover",)
    # a map of one pass holds for no other
    assert second.valid.all()
    assert second.scene.notes == ()


def test_codes_and_angles_that_nobody_computed_hide_nothing(tmp_path):
    passes_in(tmp_path, 1)
    write_map(tmp_path / "s1_20230510_mask.tif", half(0, 255))
    write_map(tmp_path / "s1_20230510_incidence_angle.tif", half(39, 0), "float32")
    ((found),) = open_radar_files(tmp_path, tmp_path).load(GRID)
    assert found.before[0].valid.all()


def test_a_map_without_a_pass_of_its_name_holds_for_its_folder_and_track(tmp_path):
    passes_in(tmp_path / "44", 2)
    rng = np.random.default_rng(1)
    write(tmp_path / "8" / "x_20230512_VV.tif", [0.1 * rng.gamma(4.4, 1 / 4.4, SHAPE)])
    write_map(tmp_path / "44" / "layover_shadow.tif", half(0, 2))
    files = find_radar_files(tmp_path)
    assert {(one.header.path.parent.name, len(one.maps)) for one in files} == {("44", 1), ("8", 0)}


def test_a_map_in_the_folder_of_a_slice_is_that_of_the_slice(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder / "x_20230512_VV.tif", [np.full(SHAPE, 0.1)])
        write_map(tmp_path / folder / "x_20230512_mask.tif", half(0, 1))
    for one in find_radar_files(tmp_path):
        assert [found.header.path.parent for found in one.maps] == [one.header.path.parent]


@pytest.mark.parametrize(
    ("name", "orbit", "holds"),
    [("T137-292319-IW2_static", 137, True), ("T137-292320-IW2_static", 137, False),
     ("static", 44, False), ("static", None, True)],
)  # fmt: skip
def test_a_map_of_another_burst_or_track_does_not_hold(tmp_path, name, orbit, holds):
    path = write_map(tmp_path / f"{name}_mask.tif", half(0, 1))
    one = GeometryMap(read_header(path), MapKind.CODES, name, Track("unknown", orbit))
    passed = (tmp_path / "T137-292319-IW2_20211119_VV.tif", "T137-292319-IW2 20211119", Track("unknown", 137))
    assert maps_of([one], [passed]) == [(one,) if holds else ()]


def test_a_map_is_no_pass_even_with_a_polarisation_in_its_name(tmp_path):
    passes_in(tmp_path, 1)
    write_map(tmp_path / "s1_20230510_VV_mask.tif", half(0, 0))
    assert len(find_radar_files(tmp_path)) == 1


def test_a_map_that_hides_everything_leaves_nothing_to_compare(tmp_path):
    passes_in(tmp_path)
    write_map(tmp_path / "mask.tif", half(1, 1))
    with pytest.raises(NoUsableImageryError, match="sees any of the site"):
        compare_radar_files(open_radar_files(tmp_path, tmp_path))


def test_the_result_does_not_observe_it_says_so_and_records_the_maps(tmp_path):
    for word, year in (("before", 2023), ("after", 2024)):
        passes_in(tmp_path / word, 3, year)
        write_map(tmp_path / word / "layover_shadow_mask.tif", half(0, 1))
    result = compare_radar_files(open_radar_files(tmp_path / "before", tmp_path / "after"))
    middle = SHAPE[0] // 2
    assert (result.state[middle + 2 :] == 2).all()
    assert not (result.state[: middle - 2] == 2).any()
    assert any("50% of the ground lies in radar shadow or layover" in one for one in result.warnings)
    recorded = result.inputs["radar"]["before"]["files"]
    assert str(tmp_path / "before" / "layover_shadow_mask.tif") in recorded
