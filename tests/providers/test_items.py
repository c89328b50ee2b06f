"""Items of every dialect become granules; recorded answers are used where they are at hand."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from shapely.geometry import box
from tests.core.scenery import DATA

from changedet.providers.items import (
    UNDECIDED,
    Refusals,
    Unusable,
    any_offset,
    offset_by_flag,
    offset_of_baseline,
    read_item,
    share_of,
    stated_offset,
)
from changedet.providers.scenes import assemble_scenes
from changedet.site import Site

RECORDED = DATA / "stac_items"
BANDS = ("B02", "B03", "B04", "B08", "SCL")
PLACE = {"type": "Polygon", "coordinates": [[[14, 50], [15, 50], [15, 51], [14, 51], [14, 50]]]}


def item(identifier="S2A_MSIL2A_20230516T021601_N0509_R003_T33UUU_20230516T051612", assets=None, **said):
    properties = {"datetime": "2023-05-16T02:16:01Z", "s2:processing_baseline": "05.09"} | said
    assets = {name: {"href": f"https://archive/{name}.tif"} for name in BANDS} if assets is None else assets
    return {
        "id": identifier,
        "collection": "sentinel-2-l2a",
        "properties": {key: value for key, value in properties.items() if value is not None},
        "geometry": PLACE,
        "assets": assets,
    }


def band_of(found, name="B04"):
    return found.granule.assets[name].radiometry


def recorded(name):
    path = RECORDED / name
    if not path.is_file():
        pytest.skip(f"no recorded items at {path}: set CHANGEDET_DATA")
    return json.loads(path.read_text(encoding="utf-8"))["features"]


# -------------------------------------------------------------------------------- made-up items


def test_what_an_item_says_is_found():
    found = read_item(
        item(**{"eo:cloud_cover": 12.5, "s2:nodata_pixel_percentage": 25, "proj:epsg": 32633,
                "s2:datastrip_id": "S2A_OPER_MSI_L2A_DS_2BPS_20230516T051612_S20230516T022108_N05.09",
                "view:sun_elevation": 61.5, "sat:orbit_state": "descending"}), any_offset
    )  # fmt: skip
    granule = found.granule
    assert (granule.tile, granule.baseline, granule.epsg) == ("T33UUU", "05.09", 32633)
    assert (granule.datastrip_start, granule.nodata_share) == ("20230516T022108", 0.25)
    assert (found.platform, found.relative_orbit, found.cloud_share) == ("Sentinel-2A", 3, 0.125)
    assert granule.time == datetime(2023, 5, 16, 2, 16, 1, tzinfo=UTC)
    assert tuple(granule.assets) == BANDS
    assert granule.assets["SCL"].radiometry.source == "class codes"


@pytest.mark.parametrize(
    ("baseline", "offset"), [("02.14", 0), ("03.01", 0), ("04.00", -0.1), ("05.12", -0.1), ("5.9", -0.1)]
)
def test_the_baseline_decides_where_nothing_is_stated(baseline, offset):
    found = band_of(read_item(item(**{"s2:processing_baseline": baseline}), offset_of_baseline))
    assert (found.scale, found.offset, found.nodata) == (1e-4, offset, 0.0)
    assert "processing baseline" in found.source


@pytest.mark.parametrize("baseline", ["99.05", "06.00", "00.01", "new"])
def test_baselines_nobody_described_are_refused(baseline):
    with pytest.raises(Unusable, match="offset of processing baseline"):
        read_item(item(**{"s2:processing_baseline": baseline}), offset_of_baseline)


@pytest.mark.parametrize(
    ("flag", "baseline", "offset", "undecided"),
    [(True, "05.09", 0.0, False), (False, "03.00", 0.0, False), (None, "03.00", 0.0, False),
     (False, "05.09", -0.1, True), (None, "05.09", -0.1, True)],
)  # fmt: skip
def test_the_flag_is_believed_and_the_stated_offset_beside_it_is_not(flag, baseline, offset, undecided):
    assets = {n: {"href": f"{n}.tif", "raster:bands": [{"scale": 1e-4, "offset": -0.1}]} for n in BANDS}
    said = {"earthsearch:boa_offset_applied": flag, "s2:processing_baseline": baseline}
    found = band_of(read_item(item(assets=assets, **said), offset_by_flag))
    assert found.offset == offset
    assert (found.source == UNDECIDED, found.assumed) == (undecided, undecided)


def test_three_ways_of_stating_scale_and_offset():
    expected = (2e-4, -0.05)
    for said in (
        {"raster:scale": 2e-4, "raster:offset": -0.05},
        {"bands": [{"raster:scale": 2e-4, "raster:offset": -0.05}]},
        {"raster:bands": [{"scale": 2e-4, "offset": -0.05}]},
    ):
        found = stated_offset({}, {"href": "a.tif", **said})
        assert (found.scale, found.offset) == expected
    assert stated_offset({}, {"href": "a.tif"}) is None
    assert stated_offset({}, {"raster:bands": [{"nodata": 0}]}) is None


def test_a_foreign_catalogue_is_asked_for_the_flag_first():
    assets = {n: {"href": f"{n}.tif", "raster:bands": [{"scale": 1e-4, "offset": -0.1}]} for n in BANDS}
    assert band_of(read_item(item(assets=assets), any_offset)).offset == -0.1
    flagged = item(assets=assets, **{"earthsearch:boa_offset_applied": True})
    assert band_of(read_item(flagged, any_offset)).offset == 0.0


def test_an_item_of_an_interval_was_acquired_when_that_begins():
    spanning = item(start_datetime="2023-05-16T02:16:01Z", end_datetime="2023-05-16T02:17:00Z")
    spanning["properties"]["datetime"] = None
    assert read_item(spanning, any_offset).granule.time == datetime(2023, 5, 16, 2, 16, 1, tzinfo=UTC)


@pytest.mark.parametrize("number", [None, math.nan, math.inf, "NaN"])
def test_a_share_that_is_no_number_is_not_stated(number):
    assert share_of(number) is None
    odd = {"eo:cloud_cover": number, "s2:nodata_pixel_percentage": number, "view:sun_elevation": number}
    found = read_item(item(**odd), any_offset)
    assert (found.cloud_share, found.granule.nodata_share, found.sun_elevation_deg) == (None, None, None)


def test_the_finest_file_of_a_band_is_taken_and_twins_are_not():
    plain = {name: {"href": f"{name}.tif"} for name in ("blue", "green", "nir", "scl")}
    several = {f"B04_{step}m": {"href": f"B04_{step}m.tif"} for step in (60, 10, 20)}
    twins = {f"{name}-jp2": {"href": f"s3://{name}.jp2"} for name in ("blue", "red")}
    found = read_item(item(assets={**twins, **several, **plain}), any_offset).granule.assets
    assert found["B04"].href == "B04_10m.tif"
    assert found["B02"].href == "blue.tif"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identifier": "S1A_IW_GRDH_1SDV_20230516"}, "Sentinel-1 GRD is not georeferenced"),
        ({"identifier": "LC08_L2SP", "platform": "landsat-8"}, "it is not Sentinel-2"),
        ({"identifier": "S2A_33UUU_20230516_0_L1C"}, "Level-1C"),
        ({"s2:product_type": "S2MSI1C"}, "Level-1C"),
        ({"assets": {"red": {"href": "red.tif"}}}, "it lacks B02, B03, B08, SCL"),
        ({"s2:processing_baseline": None}, "neither offset nor processing baseline"),
        ({"datetime": None}, "cannot be understood"),
        ({"datetime": "yesterday"}, "cannot be understood"),
        ({"assets": []}, "cannot be understood"),
    ],
)
def test_items_that_cannot_be_used_say_why(changes, reason):
    changed = item(**changes)
    if "identifier" in changes:
        changed["collection"] = None
    with pytest.raises(Unusable, match=reason):
        read_item(changed, any_offset)


def test_reasons_are_counted():
    refusals = Refusals()
    for reason in ("it lacks B08", "it is not Sentinel-2", "it lacks B08"):
        refusals.add(reason)
    assert str(refusals) == "2 x it lacks B08; 1 x it is not Sentinel-2"


# -------------------------------------------------------------------------------- scenes


def found_at(**changes):
    base = read_item(item(), any_offset)
    granule = replace(base.granule, **{k: v for k, v in changes.items() if hasattr(base.granule, k)})
    return replace(base, granule=granule, **{k: v for k, v in changes.items() if hasattr(base, k)})


SITE = Site("here", box(14.4, 50.4, 14.6, 50.6))


def test_processings_are_told_from_parts_by_the_start_of_the_datastrip():
    old = found_at(id="a", baseline="03.01", datastrip_start="1", nodata_share=0.4)
    new = found_at(id="b", baseline="05.10", datastrip_start="1", nodata_share=0.4)
    part = found_at(id="c", baseline="05.09", datastrip_start="2", nodata_share=0.1)
    for order in ([old, new, part], [part, new, old]):
        (scene,) = assemble_scenes(order, SITE, "test")
        assert [granule.id for granule in scene.granules] == ["c", "b"]


def test_of_equal_baselines_the_newest_processing_is_kept():
    first = found_at(id="a", datastrip_start="1", generated="2023-05-16T05:00:00Z")
    later = found_at(id="b", datastrip_start="1", generated="2024-01-01T00:00:00Z")
    (scene,) = assemble_scenes([later, first], SITE, "test")
    assert scene.id == "b"


def test_where_nobody_tells_twins_the_newest_processing_speaks_for_the_scene():
    old = found_at(id="S2A_MSIL2A_N0301", baseline="03.01", nodata_share=None)
    new = found_at(id="S2A_MSIL2A_N0500", baseline="05.00", nodata_share=None)
    newest = found_at(id="S2A_MSIL2A_N0510", baseline="05.10", nodata_share=None)
    unknown = found_at(id="S2A_MSIL2A_N", baseline=None, nodata_share=None)
    for order in ([old, unknown, new, newest], [newest, new, unknown, old]):
        (scene,) = assemble_scenes(order, SITE, "test")
        assert (scene.id, scene.processing_baseline) == ("S2A_MSIL2A_N0510", "05.10")
        assert [granule.baseline for granule in scene.granules] == ["05.10", "05.00", "03.01", None]


def test_platform_day_and_orbit_make_a_scene():
    others = [found_at(), found_at(id="x", platform="Sentinel-2B"), found_at(id="y", relative_orbit=4),
              found_at(id="z", time=datetime(2023, 5, 17, 2, tzinfo=UTC))]  # fmt: skip
    scenes = assemble_scenes(others, SITE, "test")
    assert len(scenes) == 4
    assert [s.time for s in scenes] == sorted(s.time for s in scenes)


def test_the_day_is_that_of_the_sun_and_not_of_greenwich():
    fiji = Site.at("-17, 178", radius_m=1000)
    late = found_at(time=datetime(2023, 5, 16, 23, 59, 50, tzinfo=UTC), datastrip_start="1")
    early = found_at(time=datetime(2023, 5, 17, 0, 0, 10, tzinfo=UTC), datastrip_start="2", id="b")
    assert len(assemble_scenes([late, early], fiji, "test")) == 1


def test_coverage_is_that_of_all_granules_together_also_beyond_the_antimeridian():
    west = {"type": "Polygon", "coordinates": [[[14, 50], [14.5, 50], [14.5, 51], [14, 51], [14, 50]]]}
    half = found_at(footprint=west, datastrip_start="1")
    assert assemble_scenes([half], SITE, "test")[0].coverage == pytest.approx(0.5)
    both = [half, found_at(id="b", datastrip_start="2")]
    assert assemble_scenes(both, SITE, "test")[0].coverage == 1.0
    fiji = Site.at("-17, 179.999", radius_m=2000)
    beyond = {"type": "Polygon",
              "coordinates": [[[-180, -18], [-179, -18], [-179, -16], [-180, -16], [-180, -18]]]}  # fmt: skip
    share = assemble_scenes([found_at(footprint=beyond)], fiji, "test")[0].coverage
    assert 0.4 < share < 0.6


# -------------------------------------------------------------------------------- recorded answers


def test_recorded_one_product_in_two_collections_gives_one_reflectance():
    features = recorded("earth-search-v1-2025-07-31.json")
    first = next(i for i in features if i["id"] == "S2B_T20EPT_20250731T131905_L2A")
    older = next(i for i in features if i["id"] == "S2B_20EPT_20250731_0_L2A")
    one, other = read_item(first, stated_offset), read_item(older, offset_by_flag)
    assert one.granule.datastrip_start == other.granule.datastrip_start
    assert (
        (one.relative_orbit, one.granule.tile) == (95, "T20EPT") == (other.relative_orbit, other.granule.tile)
    )
    number = 3210
    a, b = band_of(one), band_of(other)
    assert number * a.scale + a.offset == pytest.approx((number - 1000) * b.scale + b.offset)
    assert band_of(read_item(older, any_offset)).offset == 0.0
    for name in ("sentinel-1-grd", "sentinel-2-l1c"):
        refused = next(i for i in features if i["collection"] == name)
        with pytest.raises(Unusable, match="GRD is not georeferenced" if "grd" in name else "Level-1C"):
            read_item(refused, any_offset)


def test_recorded_split_acquisition_is_one_scene_of_two_granules():
    found = [
        read_item(i, offset_of_baseline) for i in recorded("planetary-computer-13TDE-2024-05-30-split.json")
    ]
    site = Site.at("40.2, -105.6", radius_m=2000)
    (scene,) = assemble_scenes(found, site, "planetary-computer")
    assert len(scene.granules) == 2
    assert scene.granules[0].nodata_share < scene.granules[1].nodata_share
    assert scene.date_text == "2024-05-30"


def test_recorded_zones_are_kept_apart_and_put_in_order():
    found = [read_item(i, offset_of_baseline) for i in recorded("planetary-computer-s2-l2a-2019-01-01.json")]
    assert len({one.granule.epsg for one in found}) >= 2
    assert all(band_of(one).offset == 0.0 for one in found)
    scenes = assemble_scenes(found, Site.at("57.5, 179.0", radius_m=2000), "planetary-computer")
    for scene in scenes:
        own = [granule.epsg == 32660 for granule in scene.granules]
        assert own == sorted(own, reverse=True)


@pytest.mark.parametrize("name", ["cdse-stac-s2-l2a-2020-03-22.json", "cdse-stac-s2-l2a-2026-05-27.json"])
def test_recorded_items_of_copernicus_are_understood(name):
    (one,) = recorded(name)
    found = read_item(one, any_offset)
    assert (band_of(found).scale, band_of(found).offset) == (1e-4, -0.1)
    assert found.granule.assets["B04"].href.endswith("B04_10m.jp2")
    assert found.granule.epsg in {32636, 32655}
    assert found.granule.datastrip_start


def test_recorded_radar_mosaic_is_refused():
    (one,) = recorded("cdse-stac-s1-mosaic-2026-04.json")
    with pytest.raises(Unusable, match="Sentinel-1"):
        read_item(one, any_offset)
