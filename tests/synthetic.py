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
from changedet.radar.types import FoundBy, RadarEvidence, RadarSettings, Track, TrackReport
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


LEADING, OTHER = Track("ascending", 127), Track("descending", 61)


def make_pass(time, track=LEADING, unit="A", **changes):
    """The scene of one pass of Sentinel-1."""
    radiometry = Radiometry(nodata=0, source="gamma nought as linear power: made up")
    scene = Scene(
        id=f"S1{unit}_IW_GRDH_1SDV_{time:%Y%m%dT%H%M%S}_rtc",
        provider="planetary-computer",
        level="RTC",
        platform=f"Sentinel-1{unit}",
        time=time,
        time_source="catalogue",
        relative_orbit=track.relative_orbit,
        orbit_state=track.orbit_state,
        assets={b: Asset(f"s1/{time:%Y%m%d}_{b}.tif", radiometry=radiometry) for b in ("VV", "VH")},
        notes=("radar shadow and layover are not marked in this archive",),
    )
    return replace(scene, **changes)


def make_passes(start, count, track=LEADING, units="AB"):
    """Passes every 12 days, of satellites in turn."""
    return tuple(
        make_pass(start + timedelta(days=12 * i), track, units[i % len(units)]) for i in range(count)
    )


def mean_scene(passes):
    """What the mean of some passes is called."""
    return replace(passes[0], members=passes)


def backscatter(grid=GRID):
    """Gamma nought without speckle: fields, a lake in the south-east and a town in the north-east."""
    rows, columns = grid.shape
    y, x = np.mgrid[:rows, :columns]
    power = 0.1 * (1 + 0.5 * np.sin(x / 11.0) * np.cos(y / 8.0))
    power[rows * 7 // 10 :, columns * 7 // 10 :] = 0.012
    town = (y < rows // 4) & (x > columns * 6 // 10)
    power[town] = np.where((y + x)[town] % 5 < 2, 0.8, 0.2)
    return power


def make_radar(boxes=((30, 42, 40, 55), (60, 64, 80, 100)), factors=(6.0, 0.2), bands=("VV", "VH"), seed=5):
    """Evidence of radar with simulated speckle: power in each box is multiplied by its factor."""
    rng = np.random.default_rng(seed)
    now, shape = BEFORE_TIME + timedelta(days=731), tuple(GRID.shape)
    tracks = (
        TrackReport(
            LEADING, make_passes(BEFORE_TIME, 6), make_passes(now, 5, units="AC"), "likelihood ratio", 17.25,
            {"Sentinel-1C": (0.31, -0.12)}, "",
        ),
        TrackReport(
            OTHER, make_passes(BEFORE_TIME + timedelta(days=4), 2, OTHER), make_passes(now, 1, OTHER),
            "log-ratio",
            note="too few passes to test: it ranks and flags nothing by itself",
        ),
    )  # fmt: skip
    power = backscatter()
    changed = power.copy()
    for (r0, r1, c0, c1), factor in zip(boxes, factors, strict=True):
        changed[r0:r1, c0:c1] *= factor
    cross = {"VV": 1.0, "VH": 0.2}
    images = []
    for ground, passes in ((power, tracks[0].before), (changed, tracks[0].after)):
        looks = 4.4 * len(passes)
        data = np.stack([ground * cross[b] * rng.gamma(looks, 1 / looks, shape) for b in bands])
        seen = np.ones(shape, bool)
        seen[:, :6] = False
        data[:, ~seen] = np.nan
        classes = np.where(seen, 7, 0).astype(np.uint8)
        images.append(Image(data.astype(np.float32), bands, seen, classes, GRID, mean_scene(passes), "none"))
    before, after = images
    db = 10 * np.log10(after.data / before.data).mean(axis=0)
    deviations = (db / 1.2).astype(np.float32)
    observed = before.valid & after.valid
    flagged = observed & (changed != power)
    return RadarEvidence(
        GRID, before, after, deviations, db.astype(np.float32), flagged, observed, tracks, RadarSettings(),
        ("the passes of Sentinel-1C were moved by 0.33 px",),
    )  # fmt: skip


def make_both(**changes):
    """A result of both sensors: one object each of both, optical only, conflicting and radar only."""
    boxes = [(30, 42, 40, 55), (80, 86, 20, 26), (60, 64, 80, 100), (2, 9, 8, 14)]
    kinds = [Kind.CONSTRUCTION, Kind.WATER, Kind.CONSTRUCTION, Kind.UNCLASSIFIED]
    radar = make_radar([boxes[0], boxes[2], boxes[3]], (6.0, 0.2, 5.0))
    result = make_result(boxes=boxes, kinds=kinds, radar=radar)
    found = (FoundBy.BOTH, FoundBy.OPTICAL_ONLY, FoundBy.CONFLICTING, FoundBy.RADAR_ONLY)
    means = [
        [float(np.nanmean(plane[r0:r1, c0:c1])) for r0, r1, c0, c1 in boxes]
        for plane in (radar.change_db, radar.deviations)
    ]
    objects = result.objects.assign(
        sensor=[str(one) for one in found], radar_db=means[0], radar_deviations=means[1],
        confidence=["high", "low", "low", "low"],
    )  # fmt: skip
    return replace(result, **{"objects": objects} | changes)


def make_radar_alone(bands=("VV", "VH"), **changes):
    """A result of radar alone."""
    boxes = [(30, 42, 40, 55), (60, 64, 80, 100)]
    radar = make_radar(boxes, bands=bands)
    optical = make_result(boxes=boxes, kinds=[Kind.UNCLASSIFIED] * 2)
    score = np.abs(radar.deviations)
    state = np.where(radar.flagged, np.uint8(State.CHANGED), np.uint8(State.NOT_FLAGGED))
    state[~radar.observed] = State.NOT_OBSERVED
    means = [
        [round(float(np.nanmean(plane[r0:r1, c0:c1])), 2) for r0, r1, c0, c1 in boxes]
        for plane in (radar.change_db, radar.deviations)
    ]
    objects = make_objects(GRID, boxes, [Kind.UNCLASSIFIED] * 2, radar.before, radar.after).assign(
        sensor="radar", radar_db=means[0], radar_deviations=means[1],
        evidence=["radar brighter by 7.8 dB, consistent with new structures", "radar darker by 7.0 dB"],
    )  # fmt: skip
    share = float(radar.observed.mean())
    result = replace(
        optical, before=radar.before, after=radar.after, radar=radar, score=score, state=state,
        kind=np.where(state == State.CHANGED, np.uint8(Kind.UNCLASSIFIED), np.uint8(0)), objects=objects,
        construction=None, normalization=None,
        pair=Pair(
            radar.before, radar.after, share, share, share, 731, 0, None, None, True, "given by the user"
        ),
        thresholds={"median": 0.6, "mad": 0.5, "seed": 4.0, "grow": 3.0},
        detection_floor={"min_area_m2": 500.0, "least_change_db": 3.5},
        parameters={"method": "likelihood ratio", "min_area_m2": 500.0},
    )  # fmt: skip
    return replace(result, **changes)
