"""Series of radar in memory: the ground of the small optical series, from two tracks every twelve days."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from tests.radar_passes import FALLING, RISING, ground, one_pass
from tests.timelines import GRID, HALL, HALL_PLACE, sources_of

from changedet.frame import Frame
from changedet.radar.series_access import RadarSeriesPlan, RadarSeriesRequest, TrackSource
from changedet.radar.types import SensorChoice
from changedet.timeline.access import SeriesPlan, plan_series
from changedet.timeline.making import TimelineRequest, default_settings, make_timeline

START, STEP_DAYS = datetime(2021, 3, 2, 9, 30, tzinfo=UTC), 12
#: Ground round the small site, in pixels.
AROUND = 40
WIDE = GRID.pad(AROUND, AROUND)


def radar_images(track=RISING, dates=75, *, step_db=6.0, built_on=None, over_on=None, hours=0, seed=0):
    """Passes over ground in which the hall becomes brighter from one day to another; rain on all of it."""
    rng, base = np.random.default_rng(seed), ground(seed, tuple(WIDE.shape))
    hall = tuple(slice(AROUND + part.start, AROUND + part.stop) for part in HALL)
    made = []
    for number in range(dates):
        when = START + timedelta(days=STEP_DAYS * number, hours=hours)
        power = base * 10 ** (0.1 * rng.normal(0, 0.7))
        if built_on is not None and when >= built_on and (over_on is None or when < over_on):
            power[hall] *= 10 ** (step_db / 10)
        made.append(one_pass(when, track, power, rng, grid=WIDE))
    return made


def radar_plan(*tracks):
    """A plan of passes in memory: lists of images, one for each track."""

    def _source(images):
        scene = images[0].scene
        track = next(one for one in (RISING, FALLING) if one.relative_orbit == scene.relative_orbit)
        return TrackSource(track, tuple(i.scene for i in images), lambda *_: (tuple(images), ()))

    return RadarSeriesPlan("memory", tuple(_source(images) for images in tracks))


def make_both(images, *tracks, points=(HALL_PLACE,), sensor="both", **more):
    """A timeline of both sensors, or of radar alone where there are no images."""
    window = tuple(slice(AROUND, AROUND + size) for size in GRID.shape)
    frame, passes = Frame(GRID, WIDE, window), radar_plan(*tracks) if tracks else None
    plan = plan_series(sources_of(images)) if images else SeriesPlan(frame, (), (), "memory")
    plan = replace(plan, frame=frame, radar=passes)
    request = TimelineRequest(
        "2021/2024",
        points=points,
        settings=default_settings(register=False),
        radar=RadarSeriesRequest(SensorChoice(sensor), provider="memory"),
        **more,
    )
    return make_timeline(None, request, plan=plan)
