"""A shift of a fraction of a pixel from little ground: least squares where no window finds room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.displacement import DisplacementField
from changedet.core.sampling import MAD_TO_SPREAD
from changedet.core.warping import warp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

#: Scales beyond which a pixel does not count (Tukey's bisquare), and from a median deviation to a scale.
_TUNING = 4.685
_ROUNDS, _REWEIGHTINGS = 20, 5
_STILL_PX = 0.004
#: Pixels at the edge of the image, which the kernel does not reach whole.
_RIM_PX = 3


@dataclass(frozen=True)
class SmallShift:
    """The outcome of `least_squares_shift`.

    Attributes
    ----------
    row_px, column_px : float
        To be added to the position of the moving image's content.
    error_px : float
        Standard error of the worse one of the two, as if pixels were independent.
    pixels : int
        Usable on both images.
    settled : bool
        Whether the rounds came to rest.
    """

    row_px: float
    column_px: float
    error_px: float
    pixels: int
    settled: bool

    @property
    def length_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(self.row_px, self.column_px))


def least_squares_shift(
    reference: Floats, moving: Floats, reference_valid: Mask, moving_valid: Mask, *, most_px: float = 3.0
) -> SmallShift | None:
    """Measure a shift of a pixel or so by matching reflectance itself, wherever both images are usable.

    Gain, offset and shift are fitted to all common pixels by Gauss-Newton steps (Lucas and Kanade 1981), with
    weights that leave out ground that changed (Tukey's bisquare). A tenth of a small site is enough, which
    no window of a correlation fits into; but the start has to be within a pixel or two.

    Parameters
    ----------
    reference, moving : ndarray of float32, shape (y, x)
        The same band on the same grid.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable and finite.
    most_px : float
        A longer shift is given up.

    Returns
    -------
    SmallShift or None
        None when there is too little in common, nothing to hold on to, or the shift runs away.

    Examples
    --------
    >>> import cv2
    >>> rng = np.random.default_rng(0)
    >>> scene = cv2.GaussianBlur(rng.random((64, 64)).astype(np.float32), (0, 0), 2)
    >>> usable = np.ones((64, 64), bool)
    >>> moved = warp(scene, DisplacementField("translation", (64, 64), (0.4, -0.3)))
    >>> found = least_squares_shift(scene, moved, usable, usable)
    >>> round(found.row_px, 1), round(found.column_px, 1)
    (-0.4, 0.3)
    """
    slopes = np.gradient(np.where(reference_valid, reference, np.float32(np.nan)))
    anchored = np.isfinite(slopes[0]) & np.isfinite(slopes[1]) & _inner(reference.shape)
    came = np.where(moving_valid, moving, np.float32(np.nan)).astype(np.float32)
    shift, error, pixels = np.zeros(2), np.inf, 0
    for _ in range(_ROUNDS):
        field = DisplacementField("translation", reference.shape, (float(shift[0]), float(shift[1])))
        moved = warp(came, field)
        both = anchored & np.isfinite(moved)
        pixels = int(both.sum())
        step = _step(reference[both], moved[both], [slope[both] for slope in slopes])
        if step is None:
            return None
        shift, error = shift + step[0], step[1]
        if np.hypot(*shift) > most_px:
            return None
        if np.hypot(*step[0]) < _STILL_PX:
            return SmallShift(float(shift[0]), float(shift[1]), error, pixels, settled=True)
    return SmallShift(float(shift[0]), float(shift[1]), error, pixels, settled=False)


def _step(reference: Floats, moved: Floats, slopes: list[Floats]) -> tuple[NDArray[np.float64], float] | None:
    """Return by how much further the content has to move, and the standard error of that."""
    if len(reference) < 50:
        return None
    columns = np.stack([reference, np.ones_like(reference), *slopes], axis=1).astype(np.float64)
    weight: NDArray[np.float64] = np.ones(len(reference))
    inverse: NDArray[np.float64] = np.eye(4)
    solution: NDArray[np.float64] = np.zeros(4)
    scale = 1.0
    for _ in range(_REWEIGHTINGS):
        normal = (columns * weight[:, None]).T @ columns
        if not np.linalg.cond(normal) < 1e12:
            return None
        inverse = np.asarray(np.linalg.inv(normal), np.float64)
        solution = np.asarray(inverse @ (columns.T @ (weight * moved)), np.float64)
        residual = moved.astype(np.float64) - columns @ solution
        scale = max(MAD_TO_SPREAD * float(np.median(np.abs(residual))), 1e-5)
        weight = np.asarray(np.square(np.maximum(1 - np.square(residual / (_TUNING * scale)), 0)), np.float64)
    gain = solution[0]
    if not gain > 0.05:
        return None
    # moved(x) = gain * reference(x - left): its slope terms hold the way back
    error = scale * np.sqrt(np.diag(inverse)[2:]).max() / gain
    return solution[2:] / gain, float(error)


def _inner(shape: tuple[int, ...]) -> Mask:
    out = np.zeros(shape, bool)
    out[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX] = True
    return out
