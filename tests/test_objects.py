"""Objects: true areas and places on any grid, valid outlines, ranks, and what each row says of itself."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox
from pyproj import Geod
from tests.synthetic import BEFORE_TIME, make_image

from changedet.coordinates import parse_point
from changedet.core.components import label_components
from changedet.core.threshold import Thresholds
from changedet.kinds import KIND_CAVEATS, KIND_LABELS, Kind
from changedet.objects import COLUMNS, Flagged, area_m2, build_objects, construction_map, empty_objects

UTM = GeoBox.from_bbox((246000, 4275400, 246800, 4276000), "EPSG:32652", resolution=10, tight=True)
NORTH = GeoBox.from_bbox((12.5, 60.0, 12.508, 60.006), "EPSG:4326", resolution=0.0001, tight=True)
ANTIMERIDIAN = GeoBox.from_bbox((819400, 8140000, 820200, 8140600), "EPSG:32760", resolution=10, tight=True)
BANDS = ("B02", "B03", "B04", "B08", "B11")
GRASS = np.array([0.035, 0.075, 0.045, 0.40, 0.22], np.float32)[:, None, None]
CONCRETE = np.array([0.22, 0.25, 0.27, 0.30, 0.33], np.float32)[:, None, None]
SOIL = np.array([0.09, 0.13, 0.18, 0.25, 0.34], np.float32)[:, None, None]
WEAK = Thresholds(median=1.0, mad=0.5, seed=5.0, grow=3.0)


def images(grid, changed, new=CONCRETE):
    shape = tuple(grid.shape)
    before = make_image(grid=grid, bands=BANDS)
    data = np.broadcast_to(GRASS, (len(BANDS), *shape)).astype(np.float32)
    clear = {"valid": np.ones(shape, bool), "classes": np.full(shape, 5, np.uint8)}
    before = replace(before, data=data, **clear)
    after = replace(
        before, data=np.where(changed, new, data), scene=make_image(1, BEFORE_TIME.replace(year=2025)).scene
    )
    return before, after


def build(labels, grid=UTM, **changes):
    labels = np.asarray(labels, np.int32)
    score = np.where(labels > 0, np.float32(11) - labels, np.float32(1)).astype(np.float32)
    flagged = Flagged(labels, score, WEAK, score, WEAK, np.ones(labels.shape, bool))
    return build_objects(replace(flagged, **changes), *images(grid, labels > 0))


def field(grid, *boxes):
    """Labels 1, 2, ... in boxes (row, rows, column, columns)."""
    labels = np.zeros(tuple(grid.shape), np.int32)
    for number, (row, rows, column, columns) in enumerate(boxes, start=1):
        labels[row : row + rows, column : column + columns] = number
    return labels


def ellipsoid_m2(grid, row, rows, column, columns):
    """Area of a box of pixels from the lengths of its middle lines on the ellipsoid."""
    corners = [(column, row + rows / 2), (column + columns, row + rows / 2),
               (column + columns / 2, row), (column + columns / 2, row + rows)]  # fmt: skip
    xy = [grid.transform * corner for corner in corners]
    points = gpd.GeoSeries.from_xy(*zip(*xy, strict=True), crs=grid.crs.to_wkt()).to_crs(4326)
    lon, lat = points.x.to_numpy(), points.y.to_numpy()
    lengths = Geod(ellps="WGS84").inv(lon[::2], lat[::2], lon[1::2], lat[1::2])[2]
    return lengths[0] * lengths[1]


# --- geometry ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [UTM, NORTH, ANTIMERIDIAN], ids=["utm", "degrees at 60 N", "antimeridian"])
@pytest.mark.parametrize("box", [(10, 12, 20, 15), (40, 1, 60, 1), (0, 20, 0, 30)])
def test_the_area_is_that_of_the_ellipsoid(grid, box):
    objects, _ = build(field(grid, box), grid)
    assert objects.area_m2[0] == pytest.approx(ellipsoid_m2(grid, *box), rel=2e-4, abs=0.1)


def test_pixels_are_not_square_at_sixty_north():
    objects, _ = build(field(NORTH, (10, 1, 20, 1)), NORTH)
    square_degree = 0.0001**2
    per_degree = 111_320.0
    assert objects.geometry[0].area == pytest.approx(square_degree)
    assert objects.area_m2[0] == pytest.approx(square_degree * per_degree**2 * 0.5, rel=0.01)


def test_the_area_of_a_utm_object_is_nearly_its_pixels():
    objects, _ = build(field(UTM, (10, 12, 20, 15)))
    assert objects.geometry[0].area == 12 * 15 * 100
    assert objects.area_m2[0] == pytest.approx(12 * 15 * 100, rel=2e-3)


def test_a_hole_is_not_part_of_the_area():
    labels = field(UTM, (10, 10, 20, 10))
    labels[13:17, 23:27] = 0
    objects, kind = build(labels)
    assert len(objects.geometry[0].interiors) == 1
    assert objects.geometry[0].area == (100 - 16) * 100
    assert objects.area_m2[0] == pytest.approx(8400, rel=2e-3)
    assert kind[15, 25] == Kind.NONE


def test_parts_that_touch_at_a_corner_are_one_valid_object():
    labels = field(UTM, (10, 3, 20, 3))
    labels[13:15, 23:25] = 1
    objects, _ = build(labels)
    assert objects.geometry.is_valid.all()
    assert objects.geometry[0].geom_type == "MultiPolygon"
    assert objects.geometry[0].area == (9 + 4) * 100


@settings(max_examples=40, deadline=None)
@given(arrays(bool, tuple(UTM.shape), elements=st.booleans(), fill=st.just(False)))
def test_any_mask_gives_valid_outlines_of_its_pixels(mask):
    labels = label_components(mask, mask)
    objects, kind = build(labels)
    assert len(objects) == labels.max(initial=0)
    assert bool(objects.geometry.is_valid.all())
    assert objects.geometry.area.sum() == pytest.approx(mask.sum() * 100)
    np.testing.assert_array_equal(kind > 0, mask)


def test_the_centroid_is_told_in_three_ways_that_agree():
    objects, _ = build(field(UTM, (10, 12, 20, 15)))
    row = objects.iloc[0]
    truth = gpd.GeoSeries([row.geometry.centroid], crs=UTM.crs.to_wkt()).to_crs(4326).iloc[0]
    assert (row.lat, row.lon) == pytest.approx((truth.y, truth.x), abs=1e-6)
    for text in (row.dms, row.mgrs):
        point = parse_point(text)
        assert (point.lat, point.lon) == pytest.approx((row.lat, row.lon), abs=1.5e-4)


def test_an_object_across_the_antimeridian_lies_there():
    objects, _ = build(field(ANTIMERIDIAN, (0, 60, 0, 80)), ANTIMERIDIAN)
    outline = objects.to_crs(4326).geometry[0].bounds
    assert outline[2] - outline[0] > 359
    assert abs(objects.lon[0]) > 179.99


def test_the_area_of_an_outline_does_not_depend_on_its_direction():
    outline = gpd.GeoSeries.from_wkt(["POLYGON ((0 0, 0 1, 1 1, 1 0, 0 0))"])[0]
    assert area_m2(outline) == area_m2(outline.reverse()) == pytest.approx(1.2309e10, rel=1e-3)


# --- rows -------------------------------------------------------------------------------------------


def test_objects_are_ranked_by_score_and_numbered_from_one():
    labels = field(UTM, (5, 4, 5, 4), (25, 4, 25, 4), (45, 4, 45, 4))
    score = np.choose(labels, [1, 4.0, 9.0, 6.0]).astype(np.float32)
    objects, _ = build(labels, score=score)
    assert objects.id.tolist() == [1, 2, 3]
    assert objects.score.tolist() == [9, 6, 4]
    assert objects.score_mads.tolist() == [16, 10, 6]
    centres = [~UTM.transform * (p.x, p.y) for p in objects.geometry.centroid]
    assert [round(column) for column, _ in centres] == [27, 47, 7]
    assert list(objects.index) == [0, 1, 2]


def test_equal_scores_keep_the_order_of_the_raster():
    labels = field(UTM, (5, 4, 5, 4), (25, 4, 25, 4))
    objects, _ = build(labels, score=np.full(labels.shape, 7, np.float32))
    assert objects.geometry.centroid.y.is_monotonic_decreasing


def test_a_single_outlier_does_not_rank_an_object():
    labels = field(UTM, (5, 10, 5, 10))
    score = np.full(labels.shape, 4, np.float32)
    score[7, 7] = 500
    assert build(labels, score=score)[0].score[0] == 4


@pytest.mark.parametrize(
    ("score", "second", "observed", "confidence"),
    [
        (7.0, 4.0, True, "medium"),
        (6.9, 4.0, True, "low"),
        (7.0, 2.9, True, "low"),
        (7.0, 4.0, False, "low"),
        (99.0, 99.0, True, "medium"),
    ],
)
def test_confidence_needs_a_clear_score_two_detectors_and_a_clear_view(score, second, observed, confidence):
    labels = field(UTM, (20, 6, 20, 6))
    seen = np.ones(labels.shape, bool)
    seen[20, 29] = observed
    planes = [np.full(labels.shape, value, np.float32) for value in (score, second)]
    objects, _ = build(labels, score=planes[0], second_score=planes[1], observed=seen)
    assert objects.confidence[0] == confidence
    said = "prediction and change vector agree" if second > 3 else "only one of two detectors flags it"
    assert objects.evidence[0].endswith(said)


@pytest.mark.parametrize(("distance", "warned"), [(1, True), (5, True), (6, False)])
def test_an_object_beside_unobserved_ground_says_so(distance, warned):
    labels = field(UTM, (20, 6, 20, 6))
    seen = np.ones(labels.shape, bool)
    seen[22, 25 + distance] = False
    objects, _ = build(labels, observed=seen)
    assert ("next to ground that was not compared" in objects.warnings[0]) == warned


def test_the_edge_of_the_grid_is_not_unobserved_ground():
    assert "not observed" not in build(field(UTM, (0, 6, 0, 6)))[0].warnings[0]


def test_kinds_in_the_table_and_in_the_raster_agree():
    labels = field(UTM, (5, 6, 5, 6), (25, 6, 25, 6))
    before, after = images(UTM, labels > 0)
    after = replace(after, data=np.where(labels == 2, SOIL, after.data))
    score = np.where(labels == 2, 9, 7).astype(np.float32)
    seen = np.ones(labels.shape, bool)
    objects, kind = build_objects(Flagged(labels, score, WEAK, score, WEAK, seen), before, after)
    assert objects.kind.tolist() == [KIND_LABELS[Kind.EARTHWORKS], KIND_LABELS[Kind.CONSTRUCTION]]
    assert kind.dtype == np.uint8
    np.testing.assert_array_equal(kind, np.choose(labels, [0, Kind.CONSTRUCTION, Kind.EARTHWORKS]))
    assert objects.warnings.tolist() == [KIND_CAVEATS[Kind.EARTHWORKS], KIND_CAVEATS[Kind.CONSTRUCTION]]
    assert objects.evidence[1].startswith("vegetation to built or paved (NDVI 0.80 to 0.05")


def test_a_kind_is_chosen_by_the_median_not_by_a_few_pixels():
    labels = field(UTM, (5, 6, 5, 6))
    before, after = images(UTM, labels > 0)
    after.data[:, 5, 5:11] = GRASS[:, 0]
    flagged = Flagged(labels, labels.astype(np.float32), WEAK, labels.astype(np.float32), WEAK, labels >= 0)
    assert build_objects(flagged, before, after)[0].kind[0] == KIND_LABELS[Kind.CONSTRUCTION]


def test_the_dates_of_both_images_are_told():
    objects, _ = build(field(UTM, (5, 6, 5, 6)))
    assert objects.last_seen_before[0] == "2023-05-14T02:07:01Z"
    assert objects.first_seen[0] == "2025-05-14T02:07:01Z"


def test_an_object_without_any_score_comes_last_and_stays_low():
    labels = field(UTM, (5, 6, 5, 6), (25, 6, 25, 6))
    score = np.where(labels == 1, np.nan, 9).astype(np.float32)
    objects, _ = build(labels, score=score)
    assert objects.score[0] == 9
    assert np.isnan(objects.score[1])
    assert objects.confidence.tolist() == ["medium", "low"]


def test_columns_and_types_are_the_same_with_and_without_rows():
    full, _ = build(field(UTM, (5, 6, 5, 6)))
    none, kind = build(field(UTM))
    assert list(full.columns) == list(none.columns) == [*COLUMNS, "geometry"]
    assert full.dtypes.astype(str).to_dict() == none.dtypes.astype(str).to_dict()
    assert full.crs == none.crs
    assert len(none) == 0
    assert not kind.any()
    assert empty_objects("EPSG:4326").crs.to_epsg() == 4326


# --- what makes an object doubtful --------------------------------------------------------------------


def glinting(box):
    labels = field(UTM, box, (5, 6, 5, 6))
    score = np.where(labels == 1, np.float32(50), np.where(labels == 2, np.float32(9), np.float32(1)))
    before, after = images(UTM, labels > 0)
    data = after.data.copy()
    data[4][labels == 1] = 1.7
    flagged = Flagged(labels, score, WEAK, score, WEAK, np.ones(labels.shape, bool))
    return build_objects(flagged, before, replace(after, data=data))


def test_what_mirrors_the_sun_neither_leads_nor_gets_a_kind():
    objects, kind = glinting((30, 6, 40, 6))
    assert list(objects["score"]) == [9.0, 50.0]
    last = objects.iloc[1]
    assert last["kind"] == KIND_LABELS[Kind.UNCLASSIFIED]
    assert last["confidence"] == "low"
    assert last["warnings"].startswith("reflectance above 1 on one date: consistent with sun glint")
    assert set(np.unique(kind)) == {Kind.NONE, Kind.CONSTRUCTION, Kind.UNCLASSIFIED}


# --- the order ----------------------------------------------------------------------------------------


def test_what_looks_most_like_construction_leads_whatever_its_score():
    labels = field(UTM, (5, 4, 5, 4), (20, 4, 30, 4), (35, 4, 50, 4))
    construction = np.choose(labels, [0.5, 2.0, 6.0, 4.0]).astype(np.float32)
    objects, kind = build(labels, construction=construction)
    assert list(objects["id"]) == [1, 2, 3]
    assert list(objects["construction"]) == [6.0, 4.0, 2.0]
    assert list(objects["score"]) == [9.0, 8.0, 10.0]
    assert (kind[labels > 0] == Kind.CONSTRUCTION).all()


def test_among_equals_the_higher_score_leads_and_without_a_map_the_score_ranks():
    labels = field(UTM, (5, 4, 5, 4), (20, 4, 30, 4))
    for changes in ({"construction": np.full(labels.shape, 3, np.float32)}, {}):
        objects, _ = build(labels, **changes)
        assert list(objects["score"]) == [10.0, 9.0]
    assert list(objects["construction"]) == [10.0, 9.0]


def test_the_construction_of_an_object_ranks_by_the_same_quantile_as_its_score():
    labels = field(UTM, (5, 10, 5, 10))
    rng = np.random.default_rng(4)
    score = rng.gamma(2, 1, labels.shape).astype(np.float32)
    objects, _ = build(labels, score=score, construction=score / 2)
    row = objects.iloc[0]
    assert row["construction"] == pytest.approx(np.quantile(score[labels > 0] / 2, 0.95), abs=0.05)
    assert row["construction"] == pytest.approx(row["score"] / 2, abs=1e-4)


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_the_map_takes_haze_off_top_of_atmosphere_data_only(level):
    built = field(UTM, (20, 6, 30, 6)) > 0
    before, after = images(UTM, built)
    air = np.array([0.12, 0.08, 0.06, 0.03, 0.01], np.float32)[:, None, None]
    dark = np.zeros(built.shape, bool)
    dark[:4, :4] = True
    hazy = []
    for image in (before, after):
        data = np.where(dark, np.float32(0.01), image.data) + air
        hazy.append(replace(image, data=data.astype(np.float32), scene=replace(image.scene, level=level)))
    score = np.full(built.shape, 8, np.float32)
    clear, lifted = construction_map(score, before, after), construction_map(score, *hazy)
    away = ~dark & (np.indices(built.shape).sum(axis=0) > 30)
    same = bool(np.allclose(clear[away], lifted[away], atol=0.05))
    assert same is (level == "L1C")
    assert clear[22, 32] > 5 > 2 * clear[50, 60]


def test_numbers_that_are_no_reflectance_may_be_large():
    labels = field(UTM, (30, 6, 40, 6))
    before, after = images(UTM, labels > 0)
    names = ("VV", "VH", "a", "b", "c")
    score = np.where(labels > 0, np.float32(50), np.float32(1))
    flagged = Flagged(labels, score, WEAK, score, WEAK, np.ones(labels.shape, bool))
    pair = (replace(image, data=image.data * 20, bands=names) for image in (before, after))
    objects, _ = build_objects(flagged, *pair)
    assert "above 1" not in objects.iloc[0]["warnings"]


@pytest.mark.parametrize(
    ("box", "cut"), [((0, 5, 20, 5), True), ((1, 5, 20, 5), False), ((20, 5, 75, 5), True)]
)
def test_an_object_cut_by_the_edge_says_that_its_area_is_a_lower_bound(box, cut):
    objects, _ = build(field(UTM, box))
    assert ("its area is a lower bound" in objects.iloc[0]["warnings"]) is cut


def test_the_outline_of_the_site_cuts_too_and_is_not_a_cloud():
    labels = field(UTM, (20, 5, 30, 5))
    inside = np.ones(labels.shape, bool)
    inside[:, 35:] = False
    score = np.where(labels > 0, np.float32(50), np.float32(1))
    flagged = Flagged(labels, score, WEAK, score, WEAK, np.ones(labels.shape, bool))
    row = build_objects(flagged, *images(UTM, labels > 0), inside)[0].iloc[0]
    assert "its area is a lower bound" in row["warnings"]
    assert "not observed" not in row["warnings"]
    assert row["confidence"] == "medium"
