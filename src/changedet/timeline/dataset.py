"""A timeline as an xarray Dataset with CF attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from changedet.radar.series import RadarSeries
    from changedet.timeline.reading import DateRecord
    from changedet.timeline.types import Timeline

    Variables = dict[str, tuple[tuple[str, ...], object, dict[str, str]]]


def dataset_of(timeline: Timeline) -> xr.Dataset:
    """Return a timeline as a Dataset.

    Parameters
    ----------
    timeline : Timeline
        Any.

    Returns
    -------
    xarray.Dataset
        ``value``, ``spread``, ``expected``, ``band_low`` and ``band_high`` (time, index, zone),
        ``seen_share`` and ``pixel_count`` (time, zone), ``activity`` (time); breaks and dates that were left
        out as JSON in the attributes. With radar ``backscatter_db``, ``pass_level_db``,
        ``backscatter_expected_db``, ``backscatter_band_low_db`` and ``backscatter_band_high_db`` (radar_time,
        polarisation, radar_zone), ``backscatter_seen_share`` (radar_time, radar_zone), with the track of each
        pass as a coordinate: choose one before anything is averaged. Of radar alone only these.
    """
    import xarray as xr

    attributes = _attributes(timeline)
    radar = ({}, {}) if timeline.radar is None else _radar(timeline, timeline.radar)
    optical = _optical(timeline) if timeline.dates else ({}, {})
    return xr.Dataset(optical[0] | radar[0], optical[1] | radar[1], attrs=attributes)


def _optical(timeline: Timeline) -> tuple[Variables, Variables]:
    """Return the variables of optical images, and their coordinates."""
    zones = timeline.zones
    width = timeline.band_sigma
    cubes = {
        "value": ("median over the pixels of the zone", np.stack([one.values for one in zones], axis=-1)),
        "spread": ("robust standard deviation over them", np.stack([one.spread for one in zones], axis=-1)),
        "expected": ("baseline: level and season, breaks apart",
                     np.stack([one.expected for one in zones], axis=-1)),
        "band_low": (f"baseline less {width:g} standard deviations",
                     np.stack([one.expected - width * one.sigma for one in zones], axis=-1)),
        "band_high": (f"baseline plus {width:g} standard deviations",
                      np.stack([one.expected + width * one.sigma for one in zones], axis=-1)),
    }  # fmt: skip
    data: Variables = {
        name: (("time", "index", "zone"), values, {"long_name": text, "units": "1"})
        for name, (text, values) in cubes.items()
    }
    shares = np.stack([one.share for one in zones], axis=-1)
    data["seen_share"] = (("time", "zone"), shares, {"long_name": "share of the zone seen", "units": "1"})
    counts = np.stack([one.count for one in zones], axis=-1)
    data["pixel_count"] = (("time", "zone"), counts, {"long_name": "pixels seen", "units": "1"})
    if timeline.activity is not None:
        text = "share of the built-up pixels outside their own bands"
        data["activity"] = (("time",), timeline.activity.built_share, {"long_name": text, "units": "1"})
    coords: Variables = {
        "time": (("time",), _times(timeline.dates), {"standard_name": "time", "long_name": "UTC"}),
        "index": (("index",), list(timeline.indices), {"long_name": "spectral index"}),
        "zone": (("zone",), [one.zone.name for one in zones], {"long_name": "part of the site"}),
        "scene": (("time",), [one.scene.id for one in timeline.dates], {"long_name": "scene identifier"}),
    }
    return data, coords


def _radar(timeline: Timeline, series: RadarSeries) -> tuple[Variables, Variables]:
    """Return the variables of radar, the passes of all tracks in order of time, and their coordinates."""
    bands, dates = series.bands, series.dates
    place = {(one.scene.id, one.day): number for number, one in enumerate(dates)}
    names = [one.name for one in series.tracks[0].zones]
    cubes = np.full((5, len(dates), len(bands), len(names)), np.nan, np.float32)
    share = np.zeros((len(dates), len(names)), np.float32)
    tracks = [""] * len(dates)
    for track in series.tracks:
        rows = [place[one.scene.id, one.day] for one in track.dates]
        for row in rows:
            tracks[row] = track.track.label
        for number, own in enumerate(track.zones):
            half = timeline.band_sigma * own.sigma
            parts = (own.value_db, own.level_db, own.expected, own.expected - half, own.expected + half)
            share[rows, number] = own.series.share
            for column, band in enumerate(track.bands):
                for cube, part in zip(cubes, parts, strict=True):
                    cube[rows, bands.index(band), number] = part[:, column]
    texts = (
        ("backscatter_db", "gamma nought, mean of the linear power of the zone"),
        ("pass_level_db", "by what the ground round the zone is brighter than usual on that pass"),
        ("backscatter_expected_db", "baseline of backscatter less the level of the pass: level and season"),
        ("backscatter_band_low_db", f"that less {timeline.band_sigma:g} standard deviations"),
        ("backscatter_band_high_db", f"that plus {timeline.band_sigma:g} standard deviations"),
    )
    dims = "radar_time", "polarisation", "radar_zone"
    data: Variables = {
        name: (dims, cube, {"long_name": text, "units": "dB"})
        for (name, text), cube in zip(texts, cubes, strict=True)
    }
    text = {"long_name": "share of the zone that the pass sees", "units": "1"}
    data["backscatter_seen_share"] = (("radar_time", "radar_zone"), share, text)
    return data, _radar_coordinates(series, tracks, names)


def _radar_coordinates(series: RadarSeries, tracks: list[str], names: list[str]) -> Variables:
    dates, when = series.dates, ("radar_time",)
    return {
        "radar_time": (when, _times(dates), {"standard_name": "time", "long_name": "UTC of the pass"}),
        "polarisation": (("polarisation",), list(series.bands), {"long_name": "polarisation"}),
        "radar_zone": (("radar_zone",), names, {"long_name": "part of the site"}),
        "track": (when, tracks, {"long_name": "direction and relative orbit; tracks are not averaged"}),
        "platform": (when, [one.scene.platform for one in dates], {"long_name": "satellite"}),
        "radar_scene": (when, [one.scene.id for one in dates], {"long_name": "scene identifier"}),
    }


def _times(dates: Sequence[DateRecord]) -> NDArray[np.datetime64]:
    times = np.array([one.day * 86_400_000 for one in dates], "int64").astype("datetime64[ms]")
    return times.astype("datetime64[ns]")


def _attributes(timeline: Timeline) -> dict[str, str]:
    breaks = {one.zone.name: [found.to_dict() for found in one.breaks] for one in timeline.zones}
    credits = dict.fromkeys(one.scene.credit for one in timeline.acquisitions)
    series = timeline.radar
    radar = {}
    if series is not None:
        names = (one.name for one in series.tracks[0].zones)
        found = {name: [one.to_dict() for one in series.breaks_of(name)] for name in names}
        radar["radar_breaks"] = json.dumps(found)
    return radar | {
        "Conventions": "CF-1.8",
        "title": f"Timeline of {timeline.name}",
        "source": "; ".join(credits),
        "crs": str(timeline.grid.crs),
        "breaks": json.dumps(breaks),
        "left_out": json.dumps([one.to_dict() for one in timeline.left_out]),
        "warnings": json.dumps(list(timeline.warnings)),
    }
