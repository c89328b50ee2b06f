"""How far images of unlike sensors lie apart, by the directions of their edges: measured, never applied."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from scipy import fft

from changedet.core.blocks import thread_count
from changedet.core.tie_points import LEAST_VALID, window_corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Band = Floats | NDArray[np.uint16]

StructureObstacle = Literal["", "no texture", "too small", "no agreement", "beyond the search"]

#: Directions in which gradients are taken; half a circle, since their sign differs between sensors.
_DIRECTIONS = 8
#: Standard deviations of the Gaussians before and after the gradient, in pixels.
_SMOOTH_PX = 1.0
#: Pixels round a window that the smoothing needs.
_MARGIN_PX = 6
#: Share of the median magnitude below which a gradient is noise and is not raised to the length of others.
_FLOOR = 0.1
#: Logarithms start at this share of the median.
_LEAST_SHARE = 1e-3
#: A peak reaches so far; a rival stands beyond.
_PEAK_FOOT_PX = 4.0
#: The peak of a window votes for a shift within this distance.
_VOTE_PX = 2.0


@dataclass(frozen=True)
class StructureSettings:
    """How a shift between unlike sensors is measured, and what it must show to be believed.

    Attributes
    ----------
    search_px : int
        Largest shift on each axis.
    window_px : int
        Side of the windows; smaller ones are taken where an image has no room for `least_windows`.
    most_windows : int
        About so many windows are matched at most, evenly spread.
    least_windows : int
        Windows on usable ground that are needed.
    least_agreement : float
        Share of the windows whose own peak must lie within 2 pixels of the common one.
    highest_rival : float
        Largest height of another peak over that of the best.
    largest_error_px : float
        Largest standard error on either axis.
    """

    search_px: int = 12
    window_px: int = 96
    most_windows: int = 240
    least_windows: int = 9
    least_agreement: float = 0.35
    highest_rival: float = 0.85
    largest_error_px: float = 1.0


@dataclass(frozen=True)
class StructureShift:
    """One shift that many windows agree on.

    Sign and axis order are those of `changedet.registration.Registration`.

    Attributes
    ----------
    row_px, column_px : float
        To be added to the position of the moving image's content; NaN when nothing was measured.
    row_error_px, column_error_px : float
        Standard errors, from leaving out blocks of neighbouring windows in turn. What moves all edges of one
        sensor alike (a wrong height, walls that lean towards the radar) is not in them.
    windows : int
        Number of windows on usable ground.
    agreement : float
        Share of them whose own peak lies within 2 pixels.
    rival : float
        Height of the next best peak over that of the best.
    obstacle : str
        Why the shift must not be believed; empty when it may.
    """

    row_px: float
    column_px: float
    row_error_px: float
    column_error_px: float
    windows: int
    agreement: float
    rival: float
    obstacle: StructureObstacle

    @property
    def trusted(self) -> bool:
        """True when nothing speaks against the shift."""
        return not self.obstacle


def measure_structure(
    reference: Band,
    moving: Band,
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    settings: StructureSettings = StructureSettings(),
) -> StructureShift:
    """Measure the shift between two images whose brightness has nothing in common, as of radar and light.

    The gradient of the logarithm is taken apart into directions, without its sign, softened, and brought to
    one length in each pixel (after Ye, Bruzzone, Shan, Bovolo and Zhu 2019, doi:10.1109/TGRS.2019.2924684):
    it tells where edges are and how they run, and not how strong or which way. Windows are compared by the
    normalised correlation of all directions together. A single window says little across sensors; the
    surfaces of all are added, and one peak is sought. Its error comes from a jackknife over blocks of
    windows (Kunsch 1989, doi:10.1214/aos/1176347265).

    Parameters
    ----------
    reference, moving : ndarray of float32 or uint16, shape (y, x)
        One band each on the same grid, finite where valid: reflectance, or linear backscatter. Both positive,
        in any unit.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.
    settings : StructureSettings
        Limits.

    Returns
    -------
    StructureShift
        With the reason why it must not be believed, if there is one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = cv2.GaussianBlur(rng.random((256, 256)).astype(np.float32), (0, 0), 2.0)
    >>> usable = np.ones(scene.shape, bool)
    >>> found = measure_structure(scene, 2 - np.roll(scene, 3, axis=1), usable, usable)
    >>> found.trusted, round(found.row_px), round(found.column_px)
    (True, 0, -3)
    """
    sides = [
        _logarithm(plane, valid)
        for plane, valid in ((reference, reference_valid), (moving, moving_valid))
    ]  # fmt: skip
    if any(side is None for side in sides):
        return _nothing("no texture")
    corners, window_px = _corners(reference_valid.shape, settings)
    if not len(corners):
        return _nothing("too small")
    usable = _usable(reference_valid & moving_valid, corners, window_px)
    corners = corners[usable]
    if len(corners) < settings.least_windows:
        return _nothing("too small", len(corners))
    matcher = _Matcher([side for side in sides if side is not None], window_px, settings.search_px)
    with ThreadPoolExecutor(thread_count()) as pool:
        surfaces = np.stack(list(pool.map(matcher.surface, corners.tolist())))
    return _judged(surfaces, corners, window_px, settings)


def oriented_gradients(plane: Floats) -> Floats:
    """Describe each pixel by how much its brightness changes in each of eight directions, whatever the sign.

    Parameters
    ----------
    plane : ndarray of float32, shape (y, x)
        Finite.

    Returns
    -------
    ndarray of float32, shape (8, y, x)
        Of length 1 in each pixel with an edge, shorter where there is hardly any; all zero without texture.
    """
    smooth = cv2.GaussianBlur(plane, (0, 0), _SMOOTH_PX)
    down, right = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3) for order in ((0, 1), (1, 0)))
    angles = (np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS).astype(np.float32)
    strength = [np.abs(np.cos(angle) * right + np.sin(angle) * down) for angle in angles]
    parts = np.stack([cv2.GaussianBlur(one, (0, 0), _SMOOTH_PX) for one in strength])
    length = np.sqrt((parts**2).sum(axis=0))
    floor = np.float32(_FLOOR) * np.median(length) + np.float32(1e-12)
    return np.asarray(parts / (length + floor), np.float32)


@dataclass(frozen=True, eq=False)
class _Matcher:
    """Two images and the sizes of the windows that are compared in them."""

    sides: Sequence[Floats]
    window_px: int
    search_px: int

    def surface(self, corner: Sequence[int]) -> NDArray[np.float64]:
        """Return the normalised correlation of one window for every shift that is sought.

        What lies outside the window fades out; the moving image is weighed in the same way at each shift.
        """
        reach = 2 * self.search_px + 1
        size = fft.next_fast_len(self.window_px + 2 * self.search_px, real=True)
        taper = np.outer(*[np.hanning(self.window_px + 2)[1:-1].astype(np.float32)] * 2)
        first = self._described(self.sides[0], corner, 0)
        second = self._described(self.sides[1], corner, self.search_px)
        first = (first - (first * taper).sum(axis=(1, 2), keepdims=True) / taper.sum()) * taper
        second = second - second.mean(axis=(1, 2), keepdims=True)
        own, other, weight = (
            fft.rfft2(one, s=(size, size), workers=1) for one in (first, second, taper[None])
        )
        square = fft.rfft2((second**2).sum(axis=0), s=(size, size), workers=1)
        spectra = np.stack([(np.conj(own) * other).sum(axis=0), np.conj(weight[0]) * square])
        product, power = fft.irfft2(spectra, s=(size, size), workers=1)[:, :reach, :reach]
        sums = fft.irfft2(np.conj(weight) * other, s=(size, size), workers=1)[:, :reach, :reach]
        variance = np.maximum(power - (sums**2).sum(axis=0) / taper.sum(), 1e-6 * taper.sum())
        scale = float((first**2 / np.maximum(taper, 1e-9)).sum())
        # the sign of a shift is that of the correction: content that lies too far right has to go left
        return np.asarray(product / np.sqrt(variance * max(scale, 1e-12)), np.float64)[::-1, ::-1]

    def _described(self, side: Floats, corner: Sequence[int], more_px: int) -> Floats:
        around = more_px + _MARGIN_PX
        starts = [max(0, start - around) for start in corner]
        part = side[
            tuple(
                slice(low, start + self.window_px + around) for low, start in zip(starts, corner, strict=True)
            )
        ]
        inner = [start - more_px - low for low, start in zip(starts, corner, strict=True)]
        length = self.window_px + 2 * more_px
        return oriented_gradients(part)[:, inner[0] : inner[0] + length, inner[1] : inner[1] + length]


def _logarithm(plane: Band, valid: NDArray[np.bool_]) -> Floats | None:
    """Return the logarithm, with the median where there is nothing usable; None without any texture."""
    values = plane[valid]
    if not values.size:
        return None
    middle = float(np.median(values))
    least = max(_LEAST_SHARE * middle, float(np.finfo(np.float32).tiny))
    if middle <= 0 or values.min() == values.max():
        return None
    filled = np.where(valid, plane, np.float32(middle)).astype(np.float32)
    return np.log(np.maximum(filled, np.float32(least)))


def _corners(shape: tuple[int, ...], settings: StructureSettings) -> tuple[NDArray[np.intp], int]:
    """Choose windows: large ones where there is room for enough, with as much free ground as is searched."""
    for window_px in (settings.window_px, settings.window_px * 2 // 3):
        room = [length - 2 * settings.search_px for length in shape]
        if min(room) < 2 * window_px and window_px == settings.window_px:
            continue
        spacing = max(window_px / 2, float(np.sqrt(room[0] * room[1] / settings.most_windows)))
        rows, columns = window_corners((shape[0], shape[1]), window_px, spacing, settings.search_px)
        return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2), window_px
    return np.empty((0, 2), np.intp), 0


def _usable(valid: NDArray[np.bool_], corners: NDArray[np.intp], window_px: int) -> NDArray[np.bool_]:
    views = np.lib.stride_tricks.sliding_window_view(valid, (window_px, window_px))
    return np.array([views[row, column].mean() >= LEAST_VALID for row, column in corners], np.bool_)


def _nothing(obstacle: StructureObstacle, windows: int = 0) -> StructureShift:
    return StructureShift(np.nan, np.nan, np.nan, np.nan, windows, 0.0, 1.0, obstacle)


def _judged(
    surfaces: NDArray[np.float64], corners: NDArray[np.intp], window_px: int, settings: StructureSettings
) -> StructureShift:
    """Find the common peak of all surfaces, its error, and what speaks against it."""
    reach = settings.search_px
    above = surfaces - np.median(surfaces, axis=(1, 2), keepdims=True)
    total = above.sum(axis=0)
    shift, errors = _peak(total), _errors(above, corners, window_px)
    own = (
        np.stack(np.unravel_index(above.reshape(len(above), -1).argmax(axis=1), total.shape), axis=1) - reach
    )
    agreement = float((np.hypot(*(own - shift).T) <= _VOTE_PX).mean())
    lag = np.arange(-reach, reach + 1)
    far = np.hypot(*np.meshgrid(lag - shift[0], lag - shift[1], indexing="ij")) > _PEAK_FOOT_PX
    rival = float(np.clip(total[far].max(initial=0.0) / max(float(total.max()), 1e-12), 0, 1))
    obstacle: StructureObstacle = ""
    weak = agreement < settings.least_agreement or rival > settings.highest_rival
    if weak or max(errors) > settings.largest_error_px:
        obstacle = "no agreement"
    elif np.abs(shift).max() > reach - 1:
        obstacle = "beyond the search"
    return StructureShift(
        float(shift[0]),
        float(shift[1]),
        float(errors[0]),
        float(errors[1]),
        len(surfaces),
        agreement,
        rival,
        obstacle,
    )


def _errors(above: NDArray[np.float64], corners: NDArray[np.intp], window_px: int) -> NDArray[np.float64]:
    """Return the standard errors of the common peak on both axes; overlapping windows are one block."""
    _, block = np.unique(corners // window_px, axis=0, return_inverse=True)
    blocks = np.unique(block)
    if len(blocks) < 2:
        return np.full(2, np.inf)
    total = above.sum(axis=0)
    left = np.stack([_peak(total - above[block.ravel() == one].sum(axis=0)) for one in blocks])
    share = (len(blocks) - 1) / len(blocks)
    return np.asarray(np.sqrt(share * ((left - left.mean(axis=0)) ** 2).sum(axis=0)))


def _peak(surface: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (row, column) of the highest peak from the middle, by a paraboloid through nine samples."""
    middle = surface.shape[0] // 2
    row, column = np.unravel_index(int(surface.argmax()), surface.shape)
    whole = np.array([row - middle, column - middle], np.float64)
    if min(row, column) == 0 or max(row, column) == surface.shape[0] - 1:
        return whole
    down, right = (axis.ravel() for axis in np.mgrid[-1:2, -1:2].astype(np.float64))
    terms = np.stack([np.ones(9), down, right, down**2, right**2, down * right], axis=1)
    near = surface[row - 1 : row + 2, column - 1 : column + 2].ravel()
    fitted = np.linalg.lstsq(terms, near, rcond=None)[0]
    bend = np.array([[2 * fitted[3], fitted[5]], [fitted[5], 2 * fitted[4]]])
    if bend[0, 0] >= 0 or np.linalg.det(bend) <= 0:
        return whole
    return np.asarray(whole + np.clip(np.linalg.solve(bend, -fitted[1:3]), -1, 1))
