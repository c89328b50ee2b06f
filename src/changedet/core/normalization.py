"""Relative radiometric normalisation on invariant pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.planes import by_rows, new_plane
from changedet.core.sampling import MAD_TO_SPREAD, last_axis_median, sample_pixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Share of the sampled pixels kept as invariant at each round.
INVARIANT_SHARE = 0.6
_ROUNDS = 6
_SAMPLE = 60_000
_MIN_PIXELS = 50
_GAIN_RANGE = (1 / 3, 3.0)


@dataclass(frozen=True)
class Normalization:
    """How the after image was matched to the before image, band by band.

    Attributes
    ----------
    bands : tuple of str
        Band names.
    gain, offset : tuple of float
        ``normalised = after * gain + offset``, reflectance units for the offset.
    error : tuple of float
        Root mean square difference on invariant pixels that were held out of the fit, in reflectance.
    invariant_share : float
        Share of the usable pixels that was taken as invariant, 0 to 1.
    """

    bands: tuple[str, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    error: tuple[float, ...]
    invariant_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "bands": list(self.bands),
            "gain": list(self.gain),
            "offset": list(self.offset),
            "error_reflectance": list(self.error),
            "invariant_share": self.invariant_share,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Normalization:
        """Make a normalisation again from what `to_dict` gave; None (how JSON writes NaN) becomes NaN.

        Parameters
        ----------
        data : mapping
            Every key that `to_dict` writes.

        Returns
        -------
        Normalization
            Equal to the one described.

        Raises
        ------
        KeyError, TypeError, ValueError
            When the description is incomplete or damaged.
        """
        gain, offset, error = (
            tuple(np.asarray(data[name], np.float64).tolist())
            for name in ("gain", "offset", "error_reflectance")
        )
        share = float(np.asarray(data["invariant_share"], np.float64))
        return cls(tuple(data["bands"]), gain, offset, error, share)


def fit_normalization(
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    valid: NDArray[np.bool_],
    bands: tuple[str, ...],
    *,
    seed: int = 0,
) -> Normalization:
    """Fit gain and offset that bring the after image to the radiometry of the before image.

    Pixels whose difference is least surprising in all bands together are taken as invariant; a line is
    fitted to them by orthogonal regression, as both dates have errors (Canty, Nielsen and Schmidt 2004,
    doi:10.1016/j.rse.2003.10.024), and the choice is repeated. A third of the sample is held out of the
    fit and gives the error.

    Parameters
    ----------
    before, after : ndarray of float32, shape (band, y, x)
        Reflectance on the same grid.
    valid : ndarray of bool, shape (y, x)
        True where both are usable; `before` and `after` are finite there.
    bands : tuple of str
        Names, for the result.
    seed : int
        Seed of the sample.

    Returns
    -------
    Normalization
        The identity (gain 1, offset 0, error NaN) when fewer than 50 pixels are usable. A gain outside
        1/3 to 3 is not credible and is replaced by 1 with an offset of the medians' difference.
    """
    x, y = sample_pixels((after, before), valid, _SAMPLE, seed)
    count = len(bands)
    if x.shape[1] < _MIN_PIXELS:
        return Normalization(bands, (1.0,) * count, (0.0,) * count, (float("nan"),) * count, 0.0)
    fit = np.arange(x.shape[1]) % 3 != 0
    gain, offset = _match_medians(x, y)
    for _ in range(_ROUNDS):
        invariant = _least_surprising(y - (gain[:, None] * x + offset[:, None]))
        gain, offset = _orthogonal_lines(x[:, invariant & fit], y[:, invariant & fit])
    held = invariant & ~fit
    residual = y[:, held] - (gain[:, None] * x[:, held] + offset[:, None])
    error = np.sqrt((residual**2).mean(axis=1))
    share = float(invariant.mean())
    return Normalization(
        bands, tuple(map(float, gain)), tuple(map(float, offset)), tuple(map(float, error)), share
    )


def apply_normalization(
    after: NDArray[np.float32],
    normalization: Normalization,
    *,
    clip: bool = True,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the after image in the radiometry of the before image.

    Parameters
    ----------
    after : ndarray of float32, shape (band, y, x)
        NaN stays NaN.
    normalization : Normalization
        From `fit_normalization`, with the same bands.
    clip : bool
        Clip at 0 from below, as reflectance is; not for decibels and other numbers that may be negative.

    out : ndarray of float32, shape (band, y, x), optional
        Where it is written, which may be `after`; a new array when left out.

    Returns
    -------
    ndarray of float32, shape (band, y, x)
        ``after * gain + offset``.
    """
    out = new_plane(after.shape, np.float32) if out is None else out
    for gain, offset, plane, matched in zip(
        normalization.gain, normalization.offset, after, out, strict=True
    ):
        by_rows(
            partial(_matched, np.float32(gain), np.float32(offset), clip),
            plane,
            dtype=np.float32,
            out=matched,
        )
    return out


def _matched(
    gain: np.float32, offset: np.float32, clip: bool, values: NDArray[np.float32]
) -> NDArray[np.float32]:
    matched = values * gain + offset
    return np.maximum(matched, np.float32(0)) if clip else matched


def _match_medians(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre_x, centre_y = last_axis_median(x), last_axis_median(y)
    scale_x, scale_y = (_robust_scale(v, c) for v, c in ((x, centre_x), (y, centre_y)))
    gain = np.clip(scale_y / scale_x, *_GAIN_RANGE)
    return gain, centre_y - gain * centre_x


def _robust_scale(values: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(MAD_TO_SPREAD * last_axis_median(np.abs(values - centre[:, None])), 1e-6)


def _least_surprising(residual: NDArray[np.float64]) -> NDArray[np.bool_]:
    scale = _robust_scale(residual, np.zeros(len(residual)))
    surprise = ((residual / scale[:, None]) ** 2).sum(axis=0)
    return np.asarray(surprise <= np.quantile(surprise, INVARIANT_SHARE))


def _orthogonal_lines(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
    dx, dy = x - mean_x[:, None], y - mean_y[:, None]
    xx, yy, xy = (dx * dx).mean(axis=1), (dy * dy).mean(axis=1), (dx * dy).mean(axis=1)
    difference = yy - xx
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = (difference + np.sqrt(difference**2 + 4 * xy**2)) / (2 * xy)
    credible = np.isfinite(gain) & (gain >= _GAIN_RANGE[0]) & (gain <= _GAIN_RANGE[1])
    gain = np.where(credible, gain, 1.0)
    return gain, mean_y - gain * mean_x
