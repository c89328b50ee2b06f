"""Small made-up results for tests of the writers: nothing here is measured from imagery."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import geopandas as gpd
import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from changedet.bands import COMPARED_BANDS
from changedet.coordinates import GeoPoint
from changedet.core.normalization import Normalization
from changedet.kinds import KIND_LABELS, Kind
from changedet.objects import COLUMNS
from changedet.pairing import Pair
from changedet.registration import Registration
from changedet.result import ChangeResult, State
from changedet.scene import Asset, Image, Radiometry, Scene

GRID = GeoBox.from_bbox((246080, 4275460, 247280, 4276460), "EPSG:32652", resolution=10, tight=True)
BEFORE_TIME = datetime(2023, 5, 14, 2, 7, 1, tzinfo=UTC)


def make_scene(time=BEFORE_TIME, **changes):
    radiometry = Radiometry(1e-4, -0.1, nodata=0, source="processing baseline 05.09: offset -1000")
    scene = Scene(
        id=f"S2A_MSIL2A_{time:%Y%m%dT%H%M%S}_N0509_R003_T52SBH_20240101T000000",
        provider="local",
        level="L2A",
        platform="Sentinel-2A",
        time=time,
        time_source="product metadata",
        processing_baseline="05.09",
        relative_orbit=3,
        tile="T52SBH",
        sun_elevation_deg=67.1,
        sun_azimuth_deg=141.9,
        assets={b: Asset(f"scenes/{b}.tif", radiometry=radiometry) for b in COMPARED_BANDS},
    )
    return replace(scene, **changes)


def make_image(seed=0, time=BEFORE_TIME, grid=GRID, bands=COMPARED_BANDS, **scene):
    """A textured image with a cloud in the north-west corner."""
    rng = np.random.default_rng(seed)
    shape = tuple(grid.shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    texture = 0.15 + 0.05 * np.sin(x / 7.0) * np.cos(y / 5.0) + 0.02 * rng.standard_normal(shape)
    data = np.stack([texture * (0.6 + 0.08 * i) for i in range(len(bands))]).astype(np.float32)
    classes = np.full(shape, 5, np.uint8)
    classes[:12, :16] = 9
    return Image(data, bands, classes != 9, classes, grid, make_scene(time, **scene), "SCL")


def make_objects(grid, boxes, kinds, before, after):
    """Objects from pixel boxes (row0, row1, column0, column1)."""
    rows = []
    for number, ((r0, r1, c0, c1), kind) in enumerate(zip(boxes, kinds, strict=True), start=1):
        (left, top), (right, bottom) = grid.transform * (c0, r0), grid.transform * (c1, r1)
        polygon = shapely.box(left, bottom, right, top)
        lonlat = gpd.GeoSeries([polygon.centroid], crs=grid.crs.to_wkt()).to_crs(4326).iloc[0]
        point = GeoPoint(lonlat.y, lonlat.x)
        area = (r1 - r0) * (c1 - c0) * 100.0
        rows.append(
            {
                "id": number, "kind": KIND_LABELS[kind], "score": 9.0 - number,
                "score_mads": 18.0 - 2 * number,
                "construction": 7.0 - number, "context_share": 0.0001 * number,
                "sensor": "optical", "radar_db": np.nan, "radar_deviations": np.nan,
                "confidence": "medium" if number == 1 else "low",
                "area_m2": area, "lat": point.lat, "lon": point.lon,
                "dms": point.dms, "mgrs": point.mgrs, "first_seen": after.scene.time_text,
                "last_seen_before": before.scene.time_text,
                "before_dates": before.scene.date_text, "after_dates": after.scene.date_text,
                "before_scenes": before.scene.id, "after_scenes": after.scene.id,
                "evidence": "NDVI 0.62 to 0.11, brightness 0.06 to 0.24; both detectors agree",
                "warnings": "" if number else "near a cloud", "geometry": polygon,
            }
        )  # fmt: skip
    return gpd.GeoDataFrame(rows, columns=[*COLUMNS, "geometry"], crs=grid.crs.to_wkt())


def make_result(name="Test site", boxes=None, kinds=None, **changes):
    before = make_image(0)
    after = make_image(0, BEFORE_TIME + timedelta(days=731))
    boxes = [(30, 42, 40, 55), (60, 64, 80, 100), (80, 86, 20, 26)] if boxes is None else boxes
    kinds = [Kind.CONSTRUCTION, Kind.EARTHWORKS, Kind.WATER] if kinds is None else kinds
    data = after.data.copy()
    score = np.random.default_rng(1).gamma(2.0, 0.4, tuple(GRID.shape)).astype(np.float32)
    state = np.zeros(tuple(GRID.shape), np.uint8)
    kind = np.zeros(tuple(GRID.shape), np.uint8)
    for (r0, r1, c0, c1), code in zip(boxes, kinds, strict=True):
        data[:, r0:r1, c0:c1] += 0.2
        score[r0:r1, c0:c1] += 6
        state[r0:r1, c0:c1] = State.CHANGED
        kind[r0:r1, c0:c1] = code
    after = replace(after, data=data)
    blind = ~(before.valid & after.valid)
    score[blind] = np.nan
    state[blind] = State.NOT_OBSERVED
    pair = Pair(before, after, 0.98, 0.98, 0.98, 731, 0, 0.4, -0.8, True, "given by the user")
    registration = Registration(
        (-0.42, 0.31),
        (4.2, 3.1),
        0.04,
        0.4,
        0.09,
        30,
        41.0,
        0.5,
        applied=True,
        verdict="corrected",
        model="translation",
        held_out_rmse_px=0.03,
        tie_points_dropped=4,
        agreement=0.88,
        ambiguity=0.2,
    )
    n = len(before.bands)
    normalization = Normalization(before.bands, (1.02,) * n, (-0.003,) * n, (0.011,) * n, 0.61)
    result = ChangeResult(
        name, GRID, score, state, kind, make_objects(GRID, boxes, kinds, before, after), before, after, pair,
        registration, normalization,
        parameters={"method": "predict", "predict": {"trim": 0.85}, "min_area_m2": 500.0, "seed": 0},
        thresholds={"median": 0.8, "mad": 0.45, "seed": 4.4, "grow": 2.8},
        detection_floor={"min_area_m2": 500.0, "contrast_reflectance": 0.031},
        construction=score * np.float32(0.75),
        warnings=(), inputs={"before": {"path": "scenes/before"}, "after": {"path": "scenes/after"}},
    )  # fmt: skip
    return replace(result, **changes)
