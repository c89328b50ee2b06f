"""Series of a single object made up of materials: what it looks like on each date, and its noise."""

import numpy as np

from changedet.core.indices import compute_indices
from changedet.timeline.evidence import Change, ObjectDates, gather_evidence
from changedet.timeline.kinds_in_time import choose_time_kind

BANDS = ("B02", "B03", "B04", "B08", "B11")
#: Reflectance in these bands.
GROUND = {
    "grass": (0.04, 0.07, 0.05, 0.33, 0.20),
    "forest": (0.02, 0.04, 0.03, 0.25, 0.12),
    "stubble": (0.09, 0.13, 0.17, 0.26, 0.33),
    "soil": (0.08, 0.11, 0.15, 0.21, 0.29),
    "concrete": (0.21, 0.24, 0.26, 0.30, 0.32),
    "asphalt": (0.09, 0.10, 0.105, 0.12, 0.15),
    "fresh asphalt": (0.05, 0.055, 0.06, 0.07, 0.085),
    "roof": (0.35, 0.37, 0.38, 0.40, 0.37),
    "water": (0.05, 0.05, 0.04, 0.02, 0.006),
    "snow": (0.84, 0.85, 0.84, 0.78, 0.10),
    "cloud": (0.55, 0.55, 0.56, 0.60, 0.45),
    "shaded concrete": (0.09, 0.10, 0.11, 0.12, 0.13),
    "shaded grass": (0.016, 0.026, 0.017, 0.12, 0.07),
}


def object_dates(course, step_days=10.0, seed=0, usual=None):
    """Dates of an object by its materials; what is `usual` is the first, or the material of each date."""
    rng = np.random.default_rng(seed)
    days = step_days * np.arange(len(course))
    noise = 1 + 0.02 * rng.standard_normal((len(course), len(BANDS)))
    spectra = (np.array([GROUND[name] for name in course]) * noise).astype(np.float32)
    values = compute_indices(spectra.T, BANDS)
    normal = [course[0]] * len(course) if usual is None else usual
    expected = compute_indices(np.array([GROUND[name] for name in normal], np.float32).T, BANDS)
    scale = {"NDVI": 0.03, "brightness": 0.01, "NDBI": 0.03}
    units = {name: (values[name] - expected[name]) / one for name, one in scale.items()}
    return ObjectDates(days, values, units, scale)


def found_kind(course, first, last=None, *, usual=None, **more):
    """Choose the kind of a made-up change from date `first` to `last`, or to the end."""
    series = object_dates(course, usual=usual)
    over = None if last is None else last + 1
    change = Change(first, len(course) - 1 if last is None else last, over, **more)
    return choose_time_kind(gather_evidence(series, change))
