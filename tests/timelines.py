"""Small series of images in memory: a field, a yard, a hall that appears, clouds that come and go."""

from datetime import UTC, datetime, timedelta

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from changedet.providers.local import ImageSource
from changedet.scene import Image, Scene
from changedet.timeline.access import SERIES_BANDS, plan_series
from changedet.timeline.making import TimelineRequest, default_settings, make_timeline

GRID = GeoBox((40, 40), Affine(10, 0, 281000, 0, -10, 4239000), "EPSG:32652")
HALL, YARD = (slice(20, 26), slice(8, 16)), (slice(2, 14), slice(2, 14))
GREEN = {"B02": 0.03, "B03": 0.06, "B04": 0.04, "B08": 0.30, "B11": 0.16, "B12": 0.08}
BUILT = {"B02": 0.22, "B03": 0.24, "B04": 0.25, "B08": 0.27, "B11": 0.26, "B12": 0.24}
PAVED = {"B02": 0.11, "B03": 0.12, "B04": 0.13, "B08": 0.15, "B11": 0.15, "B12": 0.14}
#: Where the middle of the hall lies.
HALL_PLACE = "38.27033, 126.49796"


def make_images(dates=36, step_days=25, *, built_at=20, hidden=(), bands=SERIES_BANDS):
    """One image for each date; on `hidden` ones a cloud lies over the hall."""
    rng = np.random.default_rng(0)
    start = datetime(2021, 3, 1, 2, 16, 1, tzinfo=UTC)
    made = []
    for number in range(dates):
        when = start + timedelta(days=step_days * number)
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * (step_days * number - 120) / 365.25)
        planes = []
        for name in bands:
            plane = np.full(tuple(GRID.shape), GREEN[name] * (0.8 + 0.4 * wave * (name == "B08")))
            plane[YARD] = PAVED[name]
            if number >= built_at:
                plane[HALL] = BUILT[name]
            planes.append(plane * (1 + 0.02 * rng.standard_normal(plane.shape)))
        classes = np.full(tuple(GRID.shape), 4, np.uint8)
        if number in hidden:
            classes[16:30, 4:20] = 9
        data = np.stack(planes).astype(np.float32)
        scene = Scene(f"date-{number:02d}", "local", "L2A", "simulated", when, simulated=True)
        made.append(Image(data, bands, classes == 4, classes, GRID, scene, "SCL"))
    return made


def sources_of(images):
    return [ImageSource(image) for image in images]


def make_synthetic(images=None, *, points=(HALL_PLACE,), register=False, indices=None, **more):
    """A timeline of such images, by the ordinary way."""
    plan = plan_series(sources_of(make_images() if images is None else images))
    names = ("NDVI", "brightness", "NDBI") if indices is None else indices
    request = TimelineRequest(
        "2021/2024",
        images="memory",
        points=points,
        settings=default_settings(names, register=register),
        **more,
    )
    return make_timeline(None, request, plan=plan)
