"""A timeline as an xarray Dataset with CF attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from changedet.timeline import Timeline


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
        out as JSON in the attributes.
    """
    import xarray as xr

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
    data: dict[str, tuple[tuple[str, ...], object, dict[str, str]]] = {
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
    times = np.array([one.day * 86_400_000 for one in timeline.dates], "int64").astype("datetime64[ms]")
    coords = {
        "time": ("time", times.astype("datetime64[ns]"), {"standard_name": "time", "long_name": "UTC"}),
        "index": ("index", list(timeline.indices), {"long_name": "spectral index"}),
        "zone": ("zone", [one.zone.name for one in zones], {"long_name": "part of the site"}),
        "scene": ("time", [one.scene.id for one in timeline.dates], {"long_name": "scene identifier"}),
    }
    return xr.Dataset(data, coords, attrs=_attributes(timeline))


def _attributes(timeline: Timeline) -> dict[str, str]:
    breaks = {one.zone.name: [found.to_dict() for found in one.breaks] for one in timeline.zones}
    credits = dict.fromkeys(one.scene.credit for one in timeline.dates)
    return {
        "Conventions": "CF-1.8",
        "title": f"Timeline of {timeline.name}",
        "source": "; ".join(credits),
        "crs": str(timeline.grid.crs),
        "breaks": json.dumps(breaks),
        "left_out": json.dumps([one.to_dict() for one in timeline.left_out]),
        "warnings": json.dumps(list(timeline.warnings)),
    }
