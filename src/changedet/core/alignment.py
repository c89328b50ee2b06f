"""How one image lies over another: coarse to fine, with a verdict that a wrong pair does not pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from changedet.core.blocks import spans
from changedet.core.displacement import DisplacementField, FieldFit, fit_field
from changedet.core.planes import relieve
from changedet.core.registration import Shift, correlate_features, edge_feature
from changedet.core.tie_points import TiePoints, match_windows, repetition, window_corners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from changedet.core.tie_points import Plane

Obstacle = Literal[
    "", "no texture", "no tie points", "no agreement", "ambiguous", "turned or stretched", "distorted"
]

Feature = Literal["reflectance", "edges"]

#: The coarse search works on images of about this many pixels on the longer side.
_COARSE_PX = 640
#: Pixels that are decimated at one time.
_STRIP_PX = 2**21
#: Images narrower than the smallest window are not matched.
_LEAST_WINDOW_PX, _LEAST_STRIP_PX = 8, 32
#: Windows of the first pass: large ones, which bear a coarse guess that is a few pixels off.
_FIRST_WINDOW_PX, _FIRST_TIES = 64, 600
#: One shift needs no more windows than this in the second pass.
_SHIFT_TIES = 2500
#: Windows of the second pass by the size of the image: small ones follow a field better.
_SECOND_WINDOWS_PX = ((2000, 32), (10**9, 48))
_LEAST_SPACING_PX = 12.0
#: A window may lie this share of its side off from where it is expected, in the first and the second pass.
_FIRST_SEARCH, _SECOND_SEARCH = 0.45, 0.25
#: Other peaks of the coarse search, this high at least, are followed as well.
_RIVAL_HEIGHT = 0.5
#: So many windows are looked at for patterns that repeat themselves.
_MOST_REPEATS = 200
#: Fields whose medians lie closer than this are one and the same.
_SAME_PX = 2.0


@dataclass(frozen=True)
class AlignmentSettings:
    """How an alignment is sought, and what it must show to be believed.

    Attributes
    ----------
    max_shift_px : float
        Largest shift that is sought; one that is larger by less than half a window may still be found.
    local : bool
        Whether the shift may vary over the image.
    tie_points : int
        About so many windows are matched; a shift that does not vary needs no more than 2500.
    agreement_px : float
        A tie point agrees when the others predict it within this distance.
    least_agreement : float
        Share of the tie points that must agree, among those on usable ground.
    least_agreeing : int
        Number of tie points that must agree.
    most_ambiguous : float
        Largest `Alignment.ambiguity`.
    most_turn : float
        Largest rotation or change of scale of the whole image, in pixels a pixel.
    most_bend_px : float
        Largest deviation of the field from its own affine part.
    """

    max_shift_px: float = 50.0
    local: bool = True
    tie_points: int = 8000
    agreement_px: float = 0.5
    least_agreement: float = 0.08
    least_agreeing: int = 12
    most_ambiguous: float = 0.6
    most_turn: float = 0.01
    most_bend_px: float = 5.0


@dataclass(frozen=True, eq=False)
class Alignment:
    """A measured alignment.

    Attributes
    ----------
    field : DisplacementField or None
        What has to be added to the position of the moving image's content; None when nothing was found.
    coarse : Shift
        The coarse guess.
    ambiguity : float
        How well another shift would do, 0..1: the median `repetition` of the windows that agree, or the
        number of tie points that agree with the next best shift over that of the best.
    feature : {"reflectance", "edges"}
        What was matched; edges where reflectance found no agreement, as after a reversal of contrast.
    ties : TiePoints or None
        Every window of the last pass.
    agreeing : ndarray of bool, shape (n,)
        True for tie points that the field predicts without having seen them.
    residual_px : ndarray of float64, shape (n,)
        Distance of each tie point from that prediction; NaN where nothing was measured.
    held_out_rmse_px : float
        See `changedet.core.displacement.FieldFit`; NaN when there is no field.
    agreement : float
        Share of agreeing tie points among the windows on usable ground.
    obstacle : str
        Why the alignment must not be used; empty when it may.
    """

    field: DisplacementField | None
    coarse: Shift
    ambiguity: float
    feature: Feature
    ties: TiePoints | None
    agreeing: NDArray[np.bool_]
    residual_px: NDArray[np.float64]
    held_out_rmse_px: float
    agreement: float
    obstacle: Obstacle

    @property
    def trusted(self) -> bool:
        """True when nothing speaks against the alignment."""
        return not self.obstacle


def align(
    reference: Sequence[Plane],
    moving: Sequence[Plane],
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    settings: AlignmentSettings = AlignmentSettings(),
) -> Alignment:
    """Measure how one image lies over another on the same grid.

    First the correlation of decimated edge features gives whole pixels. Then windows of 64 pixels find a
    coarse field, and small windows, each displaced by what is known already, the fine one.

    Parameters
    ----------
    reference, moving : sequence of ndarray of float32 or uint16, shape (y, x)
        The same bands of both images, finite where valid; one band is enough.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.
    settings : AlignmentSettings
        Limits.

    Returns
    -------
    Alignment
        With the reason why it must not be used, if there is one.
    """
    guesses = coarse_shifts(reference, moving, reference_valid, moving_valid, settings.max_shift_px)
    if not guesses:
        return _without_field(Shift(np.nan, np.nan, 0.0), "no texture")
    masks = None if reference_valid.all() else reference_valid, None if moving_valid.all() else moving_valid
    found = _Stage(reference, moving, masks, "reflectance", settings).search(guesses)
    if not found.trusted and found.obstacle in {"no tie points", "no agreement"}:
        edges = [[edge_feature(np.asarray(plane, np.float32), valid) for plane in planes]
                 for planes, valid in ((reference, reference_valid), (moving, moving_valid))]  # fmt: skip
        again = _Stage(edges[0], edges[1], masks, "edges", settings).search(guesses)
        found = again if again.trusted else found
    return found


def coarse_shifts(
    reference: Sequence[Plane],
    moving: Sequence[Plane],
    reference_valid: NDArray[np.bool_],
    moving_valid: NDArray[np.bool_],
    max_shift_px: float,
) -> list[Shift]:
    """Find the shift between two images to about a pixel, whatever their size.

    Parameters
    ----------
    reference, moving : sequence of ndarray, shape (y, x)
        As for `align`.
    reference_valid, moving_valid : ndarray of bool, shape (y, x)
        True where usable.
    max_shift_px : float
        Largest shift that is sought.

    Returns
    -------
    list of Shift
        In pixels of the images as they came, the best first, then others that explain the images half as
        well; empty without any texture.
    """
    shortest, longest = sorted(reference_valid.shape)
    if shortest < _LEAST_WINDOW_PX:
        return []
    # of a narrow strip some pixels have to be left
    factor = max(1, min(round(longest / _COARSE_PX), shortest // _LEAST_STRIP_PX))
    stacks = []
    for planes, valid in ((reference, reference_valid), (moving, moving_valid)):
        usable = _decimated(valid.astype(np.uint8), factor) > 0.99
        fine = (_decimated(plane, factor, valid) for plane in planes)
        stacks.append(np.stack([edge_feature(plane, usable) for plane in fine]))
    if not all(stack.any() for stack in stacks):
        return []
    limit = int(min(np.ceil(max_shift_px / factor) + 1, 0.4 * min(stacks[0].shape[1:])))
    shifts, heights, reliability = correlate_features(stacks[0], stacks[1], limit)
    likely = shifts[heights >= _RIVAL_HEIGHT] * float(factor)
    return [Shift(float(row), float(column), reliability) for row, column in likely]


@dataclass(frozen=True, eq=False)
class _Found:
    """One pass: what was measured and the field through it."""

    ties: TiePoints
    fit: FieldFit
    window_px: int

    def agreeing(self, within_px: float) -> int:
        """Count the tie points that the others predict."""
        return int((self.fit.residual_px <= within_px).sum())


@dataclass(frozen=True, eq=False)
class _Stage:
    """The images of a search."""

    reference: Sequence[Plane]
    moving: Sequence[Plane]
    masks: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]
    feature: Feature
    settings: AlignmentSettings

    def search(self, guesses: list[Shift]) -> Alignment:
        """Follow each guess with large windows, and the one that most of them agree with with small ones."""
        shape = self.reference[0].shape
        side = max(_LEAST_WINDOW_PX, min(shape) // 2)
        tried: list[tuple[int, Shift, _Found]] = []
        for guess in guesses:
            start = DisplacementField("translation", (shape[0], shape[1]), (guess.row_px, guess.column_px))
            first = self.fit(start, min(_FIRST_WINDOW_PX, side), _FIRST_TIES, _FIRST_SEARCH)
            if first is not None:
                tried.append((first.agreeing(self.settings.agreement_px), guess, first))
        if not tried:
            return _without_field(guesses[0], "no tie points")
        tried.sort(key=lambda entry: -entry[0])
        count, coarse, best = tried[0]
        rivals = [n for n, _, other in tried[1:] if _apart(best.fit.field, other.fit.field) > _SAME_PX]
        window_px = next(px for longest, px in _SECOND_WINDOWS_PX if max(shape) <= longest)
        tie_points = self.settings.tie_points if self.settings.local else _SHIFT_TIES
        second = self.fit(best.fit.field, min(window_px, side), min(tie_points, self.settings.tie_points))
        if second is None:
            return _without_field(coarse, "no tie points")
        ambiguity = max(max(rivals, default=0) / max(count, 1), self.repetition(second, best.window_px))
        return _judged(coarse, ambiguity, self.feature, second, self.settings)

    def repetition(self, found: _Found, window_px: int) -> float:
        """Return how much the ground of the tie points that agree repeats itself, in windows of a size."""
        agreeing = np.flatnonzero(found.fit.residual_px.ravel() <= self.settings.agreement_px)
        if not len(agreeing):
            return 0.0
        some = agreeing[np.linspace(0, len(agreeing) - 1, min(len(agreeing), _MOST_REPEATS)).astype(np.intp)]
        centres = np.stack([found.ties.row, found.ties.column], axis=1)[some]
        last = np.array(self.reference[0].shape) - window_px
        corners = np.rint(centres - (window_px - 1) / 2).astype(np.intp).clip(0, last)
        return float(np.median(repetition(self.reference[0], corners, window_px, self.masks[0])))

    def fit(
        self, known: DisplacementField, window_px: int, tie_points: int, search_share: float = _SECOND_SEARCH
    ) -> _Found | None:
        """Match windows displaced by a known field, and fit the field anew."""
        shape = known.shape
        spacing = max(_LEAST_SPACING_PX, float(np.sqrt(shape[0] * shape[1] / tie_points)))
        rows, columns = window_corners(shape, window_px, spacing)
        if not len(rows) or not len(columns):
            return None
        centres = tuple(axis.astype(np.float64) + (window_px - 1) / 2 for axis in (rows, columns))
        expected = np.rint(known.on(*centres)).astype(np.intp)
        corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        offsets = expected.reshape(2, -1).T
        ties = match_windows(
            self.reference, self.moving, corners, offsets, window_px,
            reference_valid=self.masks[0], moving_valid=self.masks[1],
        )  # fmt: skip
        raster = len(rows), len(columns)
        shifts = np.stack([ties.row_px, ties.column_px]).reshape(2, *raster)
        near = np.hypot(*(shifts - expected)) < search_share * window_px
        usable = ties.usable.reshape(raster) & near
        fitted = fit_field(
            centres[0], centres[1], shifts, usable, shape,
            window_px=window_px, local=self.settings.local,
        )  # fmt: skip
        return None if fitted is None else _Found(ties, fitted, window_px)


def _without_field(coarse: Shift, obstacle: Obstacle) -> Alignment:
    nothing = np.empty(0, np.bool_), np.empty(0, np.float64)
    return Alignment(None, coarse, 0.0, "reflectance", None, *nothing, np.nan, 0.0, obstacle)


def _apart(one: DisplacementField, other: DisplacementField) -> float:
    return float(np.hypot(*np.subtract(one.median_px, other.median_px)))


def _judged(
    coarse: Shift, ambiguity: float, feature: Feature, found: _Found, settings: AlignmentSettings
) -> Alignment:
    residual = found.fit.residual_px.ravel()
    agreeing = np.asarray(residual <= settings.agreement_px)
    agreement = float(agreeing.sum() / max(np.isfinite(found.ties.row_px).sum(), 1))
    return Alignment(
        field=found.fit.field,
        coarse=coarse,
        ambiguity=ambiguity,
        feature=feature,
        ties=found.ties,
        agreeing=agreeing,
        residual_px=residual,
        held_out_rmse_px=found.fit.held_out_rmse_px,
        agreement=agreement,
        obstacle=_obstacle(found.fit.field, ambiguity, int(agreeing.sum()), agreement, settings),
    )


def _obstacle(
    field: DisplacementField, ambiguity: float, agreeing: int, agreement: float, settings: AlignmentSettings
) -> Obstacle:
    if agreeing < settings.least_agreeing or agreement < settings.least_agreement:
        return "no agreement"
    if ambiguity > settings.most_ambiguous:
        return "ambiguous"
    turn, bend = field.turn, field.bend_px
    if turn > settings.most_turn:
        return "turned or stretched"
    return "distorted" if bend > settings.most_bend_px else ""


def _decimated(
    plane: Plane | NDArray[np.uint8], factor: int, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Average squares of pixels, a strip of the plane at a time; what is not usable counts as 0."""
    height, width = (length // factor for length in plane.shape)
    out = np.empty((height, width), np.float32)
    for rows in spans(height, max(1, _STRIP_PX // (factor * plane.shape[1]))):
        part = slice(rows.start * factor, rows.stop * factor), slice(0, width * factor)
        values = np.asarray(plane[part])
        if valid is not None and not valid[part].all():
            values = np.where(valid[part], values, np.zeros((), values.dtype))
        size = width, rows.stop - rows.start
        out[rows] = values if factor == 1 else cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        relieve()
    return out
