"""What is measured: each kernel of the core beside a plain version, peers, and the proof that they agree."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmarks import inputs, kernels_mad, naive, peers
from scipy import ndimage

from changedet.comparison import DetectSettings
from changedet.core.change_vectors import CvaParameters, cva_score
from changedet.core.components import component_quantile, component_sizes, label_components
from changedet.core.composite import median_composite, medoid_composite
from changedet.core.displacement import DisplacementField
from changedet.core.medians import median_of_dates
from changedet.core.normalization import apply_normalization, fit_normalization
from changedet.core.optical import DETECTORS
from changedet.core.registration import estimate_shift, measure_residual
from changedet.core.sampling import sample_pixels
from changedet.core.scaling import robust_standardisation
from changedet.core.smoothing import smooth_score
from changedet.core.warping import shift_image, warp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Pixels on a side: 1, 4, 30 and 120 million.
SIZES = (1024, 2048, 5490, 10980)
QUICK_SIZE = 512
#: Up to this many pixels on a side other libraries are measured.
PEERS_UP_TO = 5490
#: The detector that is used when nobody names another.
DEFAULT_DETECTOR = DetectSettings().method
TRUE_SHIFT_PX = tuple(-half / 2 for half in inputs.SHIFT_HALF_PX)
SHIFT_PX = (-2.5, 1.25)  # eighths of a pixel: OpenCV rounds positions to 1/32
SIGMAS = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Peer:
    """Another library that does the same job; `package` has to be installed, if it is no dependency."""

    name: str
    function: Callable[..., Any]
    package: str = ""
    up_to: int = PEERS_UP_TO


@dataclass(frozen=True)
class Kernel:
    """One kernel and what it is compared with.

    `prepare(size)` makes the arguments of every version; `agree(ours, other)` raises AssertionError when the
    other result is not the same. `bars` says how many times as long as ours a version has to take at least.
    """

    name: str
    prepare: Callable[[int], tuple[Any, ...]]
    ours: Callable[..., Any]
    agree: Callable[[Any, Any], None]
    naive: Callable[..., Any] | None = None
    naive_up_to: int = 2048
    peers: tuple[Peer, ...] = ()
    up_to: int = SIZES[-1]
    bars: Mapping[str, float] = field(default_factory=dict)

    def versions(self, size: int) -> dict[str, Callable[..., Any]]:
        """What is run at a size, ours first, without what takes too long there or is not installed."""
        found = {"ours": self.ours}
        if self.naive and size <= self.naive_up_to:
            found["naive"] = self.naive
        found |= {
            peer.name: peer.function
            for peer in self.peers
            if size <= peer.up_to and peers.installed(peer.package)
        }
        return found

    @property
    def compiled(self) -> set[str]:
        """Versions that are compiled when they are first called."""
        return {peer.name for peer in self.peers if peer.package == "numba"}

    def left_out(self, size: int) -> list[str]:
        """Why versions are not run at a size, in words."""
        found = []
        if self.naive and size > self.naive_up_to:
            found.append(f"naive takes too long or too much memory above {self.naive_up_to} px")
        for peer in self.peers:
            if not peers.installed(peer.package):
                found.append(f"{peer.name} is not installed")
            elif size > peer.up_to:
                found.append(f"{peer.name} is measured up to {peer.up_to} px")
        return found


def _shift(*args):
    found = estimate_shift(*args)
    return np.array([found.row_px, found.column_px])


def _residual(*args):
    found = measure_residual(*args)
    return np.array([found.row_px, found.column_px])


def _aligned(size):
    reference, moving, *valid = inputs.displaced(size)
    whole = tuple(int(np.floor(shift)) for shift in TRUE_SHIFT_PX)
    return reference, np.roll(moving, whole, axis=(1, 2)), *valid


def _one_band(size):
    return inputs.plane(size), *SHIFT_PX


def _bent(size):
    """One band and a smooth field of some tenths of a pixel round a shift."""
    surface = np.random.default_rng(size).normal(0, 0.3, (2, 9, 9))
    return inputs.plane(size), DisplacementField("spline", (size, size), (1.3, -2.2), surface=surface)


def _score(size):
    before, after, valid, _ = inputs.dates(size, 1)
    return np.abs(after[0] - before[0]), valid, SIGMAS


def _objects(grow, seed, score):
    labels = label_components(grow, seed, min_pixels=5)
    return component_sizes(labels), component_quantile(labels, score, 0.5)


def _normalise(before, after, valid):
    names = tuple(f"B{i:02d}" for i in range(len(before)))
    return apply_normalization(after, fit_normalization(before, after, valid, names))


def _polar(size):
    """Six bands, everything usable, and what standardises them: ours finds that by itself."""
    before, after, valid, weights = inputs.dates(size)
    samples = sample_pixels((before, after), np.ones_like(valid), 50_000, 0)
    (centre_b, scale_b), (centre_a, scale_a) = (robust_standardisation(one) for one in samples)
    root = np.sqrt(np.array(weights) / sum(weights))
    factors = -root / scale_b, root / scale_a
    return before, after, np.ones_like(valid), (*factors, -(factors[0] * centre_b + factors[1] * centre_a))


def _length(before, after, valid, _):
    return cva_score(before, after, valid, (1.0,) * len(before), CvaParameters(smoothing_px=()))


def _shift_scipy(image, *shift):
    return ndimage.shift(image, shift, order=3)


def _close(absolute, margin=0, relative=0):
    def agree(ours, other):
        inner = (..., slice(margin, -margin or None), slice(margin, -margin or None)) if margin else ...
        mine, theirs = np.asarray(ours)[inner], np.asarray(other)[inner]
        np.testing.assert_allclose(mine, theirs, atol=absolute, rtol=relative)

    return agree


def _same_bits(ours, other):
    np.testing.assert_array_equal(ours.view(np.uint32), np.asarray(other, np.float32).view(np.uint32))


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


def _detectors():
    """Every registered detector from end to end, the default one up to the largest size."""
    for name, detector in DETECTORS.items():
        up_to = SIZES[-1] if name == DEFAULT_DETECTOR else 2048
        yield Kernel(
            f"optical.{name}", _pair_for(detector), _scored(detector), _same_score,
            naive.cva_score if name == "cva" else None, up_to=up_to,
        )  # fmt: skip


def _pair_for(detector):
    return lambda size: inputs.dates(size, len(detector.needs) or inputs.BANDS)


def _scored(detector):
    return lambda *pair: detector.function(*pair, detector.parameters())


KERNELS = (
    Kernel("registration.estimate_shift", inputs.displaced, _shift, _same_shift, naive.estimate_shift,
           peers=(Peer("scikit-image", peers.phase_correlation),), up_to=2048),
    Kernel("registration.measure_residual", _aligned, _residual, _close(0.021), naive.measure_residual,
           up_to=2048),
    Kernel("warping.shift_image", _one_band, shift_image, _close(0.005, margin=8), naive.shift_image,
           peers=(Peer("SciPy", _shift_scipy),)),
    Kernel("warping.warp", _bent, warp, _close(0.005, margin=16),
           peers=(Peer("SciPy", peers.warp_scipy), Peer("scikit-image", peers.warp_skimage, up_to=2048))),
    Kernel("normalization.fit_and_apply", inputs.dimmed, _normalise, _close(0.003), naive.normalise),
    Kernel("change_vectors.length", _polar, _length, _close(1e-4, relative=1e-4), naive.change_length,
           naive_up_to=5490, bars={"naive": 4, "numba": 0.55},
           peers=(Peer("numexpr", peers.magnitude_numexpr, "numexpr"),
                  Peer("numba", peers.magnitude_numba, "numba"),
                  Peer("OTB, by files", peers.magnitude_otb, peers.BAND_MATH))),
    *_detectors(),
    Kernel("mad.round", kernels_mad.pair, kernels_mad.round_ours, kernels_mad.close(0, 1e-4),
           kernels_mad.round_textbook, naive_up_to=4096, up_to=5490, bars={"naive": 16}),
    Kernel("mad.statistic", kernels_mad.pair, kernels_mad.mad_ours, kernels_mad.same_statistic,
           kernels_mad.mad_textbook, naive_up_to=4096, up_to=5490,
           peers=(Peer("OTB, by files", peers.alterations_otb, peers.ALTERATIONS),)),
    Kernel("mad.irmad", kernels_mad.pair, kernels_mad.irmad_ours, kernels_mad.same_statistic,
           kernels_mad.irmad_textbook, naive_up_to=1024, up_to=5490),
    Kernel("mad.weighted_moments", kernels_mad.weighted, kernels_mad.moments, kernels_mad.same_moments,
           kernels_mad.moments_numpy, up_to=5490),
    Kernel("mad.chi_square_tail", kernels_mad.statistic, kernels_mad.tail, _close(1e-5),
           peers=(Peer("SciPy", kernels_mad.tail_scipy),)),
    Kernel("smoothing.smooth_score", _score, smooth_score, _close(1e-4), naive.smooth_score,
           peers=(Peer("SciPy", peers.smooth_scipy),)),
    Kernel("components.objects", inputs.flags, _objects, _same_objects, naive.objects,
           peers=(Peer("scikit-image", peers.objects_skimage, up_to=2048),)),
    Kernel("medians.median_of_dates", inputs.many_dates, median_of_dates, _same_bits, naive.median_of_dates,
           naive_up_to=2745, bars={"naive": 10, "bottleneck": 2.5},
           peers=(Peer("bottleneck", peers.median_bottleneck, "bottleneck"),
                  Peer("numba", peers.median_numba, "numba"))),
    Kernel("composite.median_composite", inputs.cloudy, lambda *dates: median_composite(*dates).data,
           _close(1e-6), naive.median, 1024, peers=(Peer("xarray", peers.median_xarray, up_to=1024),),
           up_to=5490),
    Kernel("composite.medoid_composite", inputs.cloudy, lambda *dates: medoid_composite(*dates).data,
           _close(0), naive.medoid, 1024, up_to=5490),
)  # fmt: skip


def kernel_named(name):
    """The kernel of a name."""
    return next(kernel for kernel in KERNELS if kernel.name == name)
