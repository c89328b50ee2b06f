"""What is measured: each kernel of the core beside a plain version, a peer, and the proof that they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks import inputs, naive
from scipy import ndimage
from skimage.measure import label, regionprops_table
from skimage.registration import phase_cross_correlation

from changedet.core.change_vectors import cva_score
from changedet.core.components import component_quantile, component_sizes, label_components
from changedet.core.composite import median_composite, medoid_composite
from changedet.core.normalization import apply_normalization, fit_normalization
from changedet.core.prediction import predict_score
from changedet.core.registration import estimate_shift, measure_residual
from changedet.core.smoothing import smooth_score
from changedet.core.warping import shift_image

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (512, 1024, 2048)
TRUE_SHIFT_PX = tuple(-half / 2 for half in inputs.SHIFT_HALF_PX)
SHIFT_PX = (-2.5, 1.25)  # eighths of a pixel: OpenCV rounds positions to 1/32
NAMES = tuple(f"B{i:02d}" for i in range(inputs.BANDS))
SIGMAS = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Kernel:
    """One kernel and what it is compared with.

    `prepare(size)` makes the arguments of `ours`, `naive` and `peer`; `agree(ours, other)` raises
    AssertionError when the other result is not the same.
    """

    name: str
    prepare: Callable[[int], tuple[Any, ...]]
    ours: Callable[..., Any]
    naive: Callable[..., Any]
    agree: Callable[[Any, Any], None]
    peer: Callable[..., Any] | None = None
    peer_name: str = ""
    naive_up_to: int = 1 << 30
    naive_loops: bool = False  # tracing memory slows a Python loop, so that time does not count

    def versions(self, size: int) -> dict[str, Callable[..., Any]]:
        """What is run at a size, ours first; a plain version that would take half a minute is left out."""
        found = {"ours": self.ours}
        if size <= self.naive_up_to:
            found["naive"] = self.naive
        if self.peer:
            found["peer"] = self.peer
        return found


def _shift(*args):
    found = estimate_shift(*args)
    return np.array([found.row_px, found.column_px])


def _residual(*args):
    found = measure_residual(*args)
    return np.array([found.row_px, found.column_px])


def _phase_correlation(reference, moving, *_):
    """One band at a time, as it takes one; it knows no unusable pixels unless it forgoes sub-pixels."""
    shifts = [
        phase_cross_correlation(a, b, upsample_factor=50, normalization=None)[0]
        for a, b in zip(reference, moving, strict=True)
    ]
    return np.median(shifts, axis=0)


def _aligned(size):
    reference, moving, *valid = inputs.displaced(size)
    whole = tuple(int(np.floor(shift)) for shift in TRUE_SHIFT_PX)
    return reference, np.roll(moving, whole, axis=(1, 2)), *valid


def _one_band(size):
    return inputs.displaced(size)[0][0], *SHIFT_PX


def _score(size):
    before, after, valid, _ = inputs.dates(size)
    return np.abs(after[0] - before[0]), valid, SIGMAS


def _smooth_scipy(score, valid, sigmas):
    filled, weight = np.where(valid, score, 0), valid.astype(np.float32)
    blurred = [
        ndimage.gaussian_filter(filled, s) / np.maximum(ndimage.gaussian_filter(weight, s), 1e-6)
        for s in sigmas
    ]
    return np.where(valid, np.prod(blurred, axis=0) ** (1 / len(sigmas)), np.nan)


def _objects(grow, seed, score):
    labels = label_components(grow, seed, min_pixels=5)
    return component_sizes(labels), component_quantile(labels, score, 0.5)


def _lower_median(mask, score):
    return np.quantile(score[mask], 0.5, method="lower")


def _objects_skimage(grow, seed, score):
    both = np.dstack([score, seed])
    table = regionprops_table(
        label(grow, connectivity=2),
        both,
        properties=("area", "intensity_max"),
        extra_properties=(_lower_median,),
    )
    keep = (table["area"] >= 5) & (table["intensity_max-1"] > 0)
    return table["area"][keep], table["_lower_median-0"][keep]


def _normalise(before, after, valid):
    return apply_normalization(after, fit_normalization(before, after, valid, NAMES))


def _median_xarray(stack, valid):
    import xarray as xr

    dates = xr.DataArray(stack, dims=("time", "band", "y", "x"))
    return dates.where(xr.DataArray(valid, dims=("time", "y", "x"))).median("time")


def _close(absolute, margin=0):
    def agree(ours, other):
        inner = (..., slice(margin, -margin or None), slice(margin, -margin or None)) if margin else ...
        np.testing.assert_allclose(np.asarray(ours)[inner], np.asarray(other)[inner], atol=absolute, rtol=0)

    return agree


def _same_shift(ours, other):
    np.testing.assert_allclose(ours, TRUE_SHIFT_PX, atol=0.06)
    np.testing.assert_allclose(ours, other, atol=0.1)


def _same_score(ours, other):
    """Scores fitted to a sample and to every pixel: the same map but for the fit."""
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(other))
    np.testing.assert_allclose(np.nan_to_num(ours), np.nan_to_num(other), rtol=0.05, atol=0.02)


def _same_objects(ours, other):
    for mine, theirs in zip(ours, other, strict=True):
        np.testing.assert_allclose(np.sort(mine), np.sort(theirs), rtol=1e-6)


KERNELS = (
    Kernel("registration.estimate_shift", inputs.displaced, _shift, naive.estimate_shift, _same_shift,
           _phase_correlation, "skimage phase_cross_correlation"),
    Kernel("registration.measure_residual", _aligned, _residual, naive.measure_residual, _close(0.021)),
    Kernel("registration.shift_image", _one_band, shift_image, naive.shift_image, _close(0.005, margin=8),
           lambda image, *shift: ndimage.shift(image, shift, order=3), "scipy ndimage.shift"),
    Kernel("optical.predict_score", inputs.dates, predict_score, naive.predict_score, _same_score,
           naive_up_to=1024),
    Kernel("optical.cva_score", inputs.dates, cva_score, naive.cva_score, _same_score),
    Kernel("optical.smooth_score", _score, smooth_score, naive.smooth_score, _close(1e-4),
           _smooth_scipy, "scipy gaussian_filter"),
    Kernel("components.objects", inputs.flags, _objects, naive.objects, _same_objects,
           _objects_skimage, "skimage regionprops_table", naive_loops=True),
    Kernel("normalization.fit_and_apply", inputs.dimmed, _normalise, naive.normalise, _close(0.003),
           naive_up_to=1024),
    Kernel("composite.median_composite", inputs.cloudy, lambda *dates: median_composite(*dates).data,
           naive.median, _close(1e-6), _median_xarray, "xarray median", naive_up_to=1024),
    Kernel("composite.medoid_composite", inputs.cloudy, lambda *dates: medoid_composite(*dates).data,
           naive.medoid, _close(0), naive_up_to=1024),
)  # fmt: skip


def kernels_of(module: str) -> list[Kernel]:
    """The kernels of one module of the core."""
    return [kernel for kernel in KERNELS if kernel.name.split(".")[0] == module]
