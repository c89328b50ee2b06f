"""A smooth displacement field through noisy tie points, no more complicated than they prove."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from changedet.core.field_equations import FieldEquations, Stiffness
from changedet.core.splines import basis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Model = Literal["translation", "affine", "spline", "spline and lines"]

#: Below this many usable tie points nothing but a translation is fitted.
LEAST_FOR_FIELD = 30
#: A more complicated model must predict left-out tie points better by this share, ...
PARSIMONY = 0.02
#: ... and by so many standard errors of the difference between blocks of them.
PARSIMONY_ERRORS = 2.0

#: Intervals of the splines over the image: of the surface on each axis, and of the term along the lines.
_SURFACE_INTERVALS, _LINE_INTERVALS = 16, 48
#: Rows of tie points for each interval at least.
_TIES_PER_INTERVAL = 3.0
_FOLDS, _LEAST_BLOCK = 4, 3
_SURFACE_PENALTIES = (1e-2, 1e-1, 1.0, 10.0)
_LINE_PENALTIES = (1e-3, 1e-2, 1e-1)
#: Tie points further than this from the fit, in deviations, count nothing (Tukey's biweight).
_REACH = 4.0
#: Penalties of the surface while tie points are sorted out: stiff first, or a cloud would bend it to itself.
_SORTING_PENALTIES = (10.0, 10.0, 1.0, 0.1)


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """What has to be added to the position of the moving image's content, everywhere on the reference.

    Attributes
    ----------
    model : str
        ``"translation"``, ``"affine"``, ``"spline"`` (a cubic B-spline surface) or ``"spline and lines"``
        (the same and a spline along the rows alone, as the attitude of a pushbroom scanner makes it).
    shape : tuple of int
        (y, x) of the reference.
    centre_px : tuple of float
        Shift at the centre (row, column), for the translation and the affine part.
    gradient : ndarray of float64, shape (2, 2)
        Change of the (row, column) shift for each pixel down and for each to the right.
    surface : ndarray of float64, shape (2, k, l), or None
        Coefficients of the surface.
    lines : ndarray of float64, shape (2, m), or None
        Coefficients of the term along the rows.
    """

    model: Model
    shape: tuple[int, int]
    centre_px: tuple[float, float]
    gradient: Array = field(default_factory=lambda: np.zeros((2, 2)))
    surface: Array | None = None
    lines: Array | None = None

    def on(self, rows: Array, columns: Array) -> NDArray[np.float32]:
        """Evaluate the field on a raster.

        Parameters
        ----------
        rows, columns : ndarray of float64, shapes (r,) and (c,)
            Positions on the reference in pixels, centres at whole numbers.

        Returns
        -------
        ndarray of float32, shape (2, r, c)
            Row and column shift.
        """
        return np.stack([left @ right for left, right in self._factors(rows, columns)])

    def by_rows(self) -> Callable[[slice], tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Prepare the evaluation at every pixel, some whole rows at one time.

        Returns
        -------
        callable
            Takes rows as a slice and returns their row and column shifts, shape (rows, x) each.
        """
        first, second = self._factors(*(np.arange(length, dtype=np.float64) for length in self.shape))
        return lambda rows: (first[0][rows] @ first[1], second[0][rows] @ second[1])

    def _factors(self, rows: Array, columns: Array) -> list[tuple[sparse.csr_array, NDArray[np.float32]]]:
        """Return, for either axis, what depends on rows and what on columns; the field is their product."""
        by_row = self.gradient[:, :1] * (rows - (self.shape[0] - 1) / 2) + np.array(self.centre_px)[:, None]
        by_column = self.gradient[:, 1:] * (columns - (self.shape[1] - 1) / 2)
        down, across = sparse.csr_array((len(rows), 0)), np.empty((2, 0, len(columns)))
        if self.lines is not None:
            by_row += (basis(rows, self.lines.shape[1] - 3, self.shape[0]) @ self.lines.T).T
        if self.surface is not None:
            down = basis(rows, self.surface.shape[1] - 3, self.shape[0])
            over = basis(columns, self.surface.shape[2] - 3, self.shape[1])
            across = np.stack([(over @ one.T).T for one in self.surface])
        ones = np.ones((len(rows), 1)), np.ones(len(columns))
        return [
            (
                # all terms in one pass: four splines, what a row has of its own, what a column has
                sparse.hstack([down, row[:, None], ones[0]], "csr", np.float32),
                np.ascontiguousarray(np.vstack([spline, ones[1], column]), np.float32),
            )
            for spline, row, column in zip(across, by_row, by_column, strict=True)
        ]

    @cached_property
    def _affine_part(self) -> tuple[Array, float]:
        """Gradient (2, 2) of the best affine field, and the largest deviation from that field."""
        rows, columns = (np.linspace(0, n - 1, 65) for n in self.shape)
        sampled = self.on(rows, columns).astype(np.float64)
        down, right = np.meshgrid(rows - rows.mean(), columns - columns.mean(), indexing="ij")
        terms = np.stack([np.ones_like(down), down, right])
        found = _weighted_fit(terms, sampled, np.ones_like(down))
        return found[:, 1:], float(np.hypot(*(sampled - np.tensordot(found, terms, axes=1))).max())

    @property
    def turn(self) -> float:
        """Rotation, change of scale or shear of the whole image: pixels of shift a pixel of way."""
        return float(np.linalg.norm(self._affine_part[0], ord=2))

    @property
    def bend_px(self) -> float:
        """Largest deviation of the field from its own affine part, in pixels."""
        return self._affine_part[1]

    @cached_property
    def extent_px(self) -> tuple[float, float]:
        """Largest deviation of the (row, column) shift from its median over the image, in pixels."""
        sampled = self.on(*(np.linspace(0, n - 1, 65) for n in self.shape)).astype(np.float64)
        deviation = np.abs(sampled - np.median(sampled, axis=(1, 2), keepdims=True))
        row_px, column_px = deviation.max(axis=(1, 2))
        return float(row_px), float(column_px)

    @cached_property
    def median_px(self) -> tuple[float, float]:
        """Median (row, column) shift over the image, in pixels."""
        sampled = self.on(*(np.linspace(0, n - 1, 65) for n in self.shape)).astype(np.float64)
        row_px, column_px = np.median(sampled, axis=(1, 2))
        return float(row_px), float(column_px)


@dataclass(frozen=True, eq=False)
class FieldFit:
    """A field and how well it is founded.

    Attributes
    ----------
    field : DisplacementField
        The simplest model that predicts left-out tie points about as well as the best.
    weight : ndarray of float64, shape (r, c)
        0 for tie points that count nothing, up to 1.
    residual_px : ndarray of float64, shape (r, c)
        Distance of each tie point from what the others predict there (it was left out); NaN where nothing
        was measured.
    held_out_rmse_px : float
        Root of the weighted mean square of those distances over the tie points that count; the noise of the
        tie points themselves is in it.
    scores_px : dict of str to float
        The same for the best of each model that was tried.
    """

    field: DisplacementField
    weight: Array
    residual_px: Array
    held_out_rmse_px: float
    scores_px: dict[str, float]


def fit_field(
    rows: Array,
    columns: Array,
    shifts: Array,
    usable: NDArray[np.bool_],
    shape: tuple[int, int],
    *,
    window_px: float = 0.0,
    local: bool = True,
) -> FieldFit | None:
    """Fit a displacement field to a raster of tie points, some of which are wrong.

    A penalised spline surface (P-spline: Eilers and Marx 1996, doi:10.1214/ss/1038425655) is fitted with
    Tukey's biweight, so that clouds, shadows and real change, whose tie points agree with no smooth field,
    do not bend it. Then translation, affine field, surface, and surface with a term along the rows compete:
    whole blocks of tie points are left out in turn and predicted. The normal equations of a raster are sums
    over its axes, one after the other; no design matrix is made.

    Parameters
    ----------
    rows, columns : ndarray of float64, shapes (r,) and (c,)
        Centres of the windows on the reference, in pixels.
    shifts : ndarray of float64, shape (2, r, c)
        Measured (row, column) shifts; NaN where nothing was measured.
    usable : ndarray of bool, shape (r, c)
        Tie points that may count.
    shape : tuple of int
        (y, x) of the reference.
    window_px : float
        Side of the windows: overlapping ones share their errors, so that what is left out at one time is at
        least twice as wide.
    local : bool
        Whether anything but a translation is tried.

    Returns
    -------
    FieldFit or None
        None without any usable tie point.
    """
    usable = np.asarray(usable & np.isfinite(shifts).all(axis=0))
    if not usable.any():
        return None
    problem = _Problem(rows, columns, np.where(usable, shifts, 0.0), usable, shape, window_px)
    weight = problem.robust_weights()
    contest = [problem.translation(weight)]
    if local and usable.sum() >= LEAST_FOR_FIELD and min(usable.shape) >= _TIES_PER_INTERVAL:
        contest += [problem.affine(weight), *problem.splines(weight)]
    best = min(contest, key=lambda entry: entry.score_px)
    # they stand in the order of their complexity
    chosen = next(entry for entry in contest if problem.as_good(entry, best, weight))
    return FieldFit(
        field=chosen.field,
        weight=weight,
        residual_px=np.where(usable, chosen.residual_px, np.nan),
        held_out_rmse_px=chosen.score_px,
        scores_px={entry.field.model: entry.score_px for entry in contest},
    )


@dataclass(frozen=True, eq=False)
class _Entry:
    """A fitted model in the contest."""

    field: DisplacementField
    residual_px: Array
    score_px: float


@dataclass(frozen=True, eq=False)
class _Problem:
    """Tie points on a raster, and the bases in which a field is sought."""

    rows: Array
    columns: Array
    shifts: Array
    usable: NDArray[np.bool_]
    shape: tuple[int, int]
    window_px: float = 0.0

    @cached_property
    def intervals(self) -> tuple[int, int, int]:
        """Intervals of the surface down and across, and of the term along the rows."""
        down, across = (
            int(np.clip(len(axis) / _TIES_PER_INTERVAL, 1, _SURFACE_INTERVALS))
            for axis in (self.rows, self.columns)
        )
        return down, across, int(np.clip(len(self.rows) / 2, 1, _LINE_INTERVALS))

    @cached_property
    def bases(self) -> tuple[Array, Array, Array]:
        """Values of the basis functions at the tie points."""
        down, across, lines = self.intervals
        axes = (self.rows, down, self.shape[0]), (self.columns, across, self.shape[1])
        first, second, third = (basis(*axis).toarray() for axis in (*axes, (self.rows, lines, self.shape[0])))
        return first, second, third

    @cached_property
    def surface(self) -> FieldEquations:
        """Equations of the surface alone."""
        return FieldEquations(*self.bases[:2])

    @cached_property
    def blocks(self) -> NDArray[np.intp]:
        """Number of the block each tie point belongs to, shape (r, c): neighbours overlap, blocks hardly."""
        (down, _), (right, across) = (self._blocks(axis) for axis in (self.rows, self.columns))
        return np.asarray(down[:, None] * across + right)

    @cached_property
    def folds(self) -> NDArray[np.intp]:
        """Number of the fold each tie point belongs to, shape (r, c): blocks, shuffled."""
        count = int(self.blocks.max()) + 1
        return np.asarray((np.random.default_rng(0).permutation(count) % _FOLDS)[self.blocks])

    def _blocks(self, axis: Array) -> tuple[NDArray[np.intp], int]:
        """Return the number of the block of each position on an axis, and how many blocks there are."""
        spacing = (axis[-1] - axis[0]) / max(len(axis) - 1, 1)
        ties = max(_LEAST_BLOCK, int(np.ceil(2 * self.window_px / max(spacing, 1e-6))))
        # at least two blocks on each axis, or nothing could be left out
        ties = max(1, min(ties, -(-len(axis) // 2)))
        return np.arange(len(axis)) // ties, -(-len(axis) // ties)

    def robust_weights(self) -> Array:
        """Return what each tie point counts, by its distance from a smooth fit that ignores outliers."""
        start = np.median(self.shifts[:, self.usable], axis=1)
        weight = self._biweight(self.shifts - start[:, None, None], 3 * _REACH)
        if self.usable.sum() < LEAST_FOR_FIELD:
            return weight
        solver = self.surface
        for penalty in _SORTING_PENALTIES:
            stiffness = Stiffness(penalty, 0.0, float(weight.mean()))
            found = solver.solve(*solver.normal(weight, self.shifts), stiffness)
            weight = self._biweight(self.shifts - solver.at(found), _REACH)
        return weight

    def _biweight(self, residual: Array, reach: float) -> Array:
        distance = np.hypot(*residual)
        # of two independent normal components the median distance is 1.1774 deviations
        deviation = float(np.median(distance[self.usable])) / 1.1774 + 1e-3
        relative = distance / (reach * deviation)
        return np.asarray(np.where(self.usable & (relative < 1), (1 - relative**2) ** 2, 0.0))

    def as_good(self, simple: _Entry, best: _Entry, weight: Array) -> bool:
        """Tell whether a model predicts as well as the best, within what chance does."""
        if simple.score_px <= best.score_px * (1 + PARSIMONY):
            return True
        excess = weight * (simple.residual_px**2 - best.residual_px**2)
        each, shares = (np.bincount(self.blocks.ravel(), part.ravel()) for part in (excess, weight))
        mean = each.sum() / shares.sum()
        error = np.sqrt(((each - mean * shares) ** 2).sum()) / shares.sum()
        return bool(mean <= PARSIMONY_ERRORS * error)

    def translation(self, weight: Array) -> _Entry:
        """Fit one shift."""
        return self._plain("translation", weight)

    def affine(self, weight: Array) -> _Entry:
        """Fit a shift that changes linearly over the image."""
        return self._plain("affine", weight)

    def _plain(self, model: Model, weight: Array) -> _Entry:
        down = (self.rows - (self.shape[0] - 1) / 2)[:, None] + 0 * self.columns[None, :]
        right = (self.columns - (self.shape[1] - 1) / 2)[None, :] + 0 * self.rows[:, None]
        terms = np.stack([np.ones_like(down), down, right][: 3 if model == "affine" else 1])
        predicted = np.empty_like(self.shifts)
        for fold in range(_FOLDS):
            out = self.folds == fold
            found = _weighted_fit(terms, self.shifts, weight * ~out)
            predicted[:, out] = np.tensordot(found, terms[:, out], axes=1)
        found = _weighted_fit(terms, self.shifts, weight)
        gradient = found[:, 1:] if model == "affine" else np.zeros((2, 2))
        centre = float(found[0, 0]), float(found[1, 0])
        return self._entry(DisplacementField(model, self.shape, centre, gradient), predicted, weight)

    def splines(self, weight: Array) -> Iterator[_Entry]:
        """Fit the surface alone, then with the term along the rows, with the penalties that predict best."""
        penalty, entry = self._best(self.surface, weight, [(p, 0.0) for p in _SURFACE_PENALTIES])
        yield entry
        both = FieldEquations(*self.bases)
        smoother = [(p, q) for p in (penalty[0], 10 * penalty[0]) for q in _LINE_PENALTIES]
        yield self._best(both, weight, smoother)[1]

    def _best(
        self, solver: FieldEquations, weight: Array, penalties: list[tuple[float, float]]
    ) -> tuple[tuple[float, float], _Entry]:
        parts = [solver.normal(weight * (self.folds == fold), self.shifts) for fold in range(_FOLDS)]
        products, right = (np.sum([part[index] for part in parts], axis=0) for index in range(2))
        scale = float(weight.mean())
        tried = []
        for pair in penalties:
            predicted = np.empty_like(self.shifts)
            for fold, part in enumerate(parts):
                found = solver.solve(products - part[0], right - part[1], Stiffness(*pair, scale))
                out = self.folds == fold
                predicted[:, out] = solver.at(found)[:, out]
            tried.append((self._score(predicted, weight)[1], pair, predicted))
        _, pair, predicted = min(tried, key=lambda entry: entry[0])
        surface, lines = solver.parts(solver.solve(products, right, Stiffness(*pair, scale)))
        model: Model = "spline" if lines is None else "spline and lines"
        fitted = DisplacementField(model, self.shape, (0.0, 0.0), surface=surface, lines=lines)
        return pair, self._entry(fitted, predicted, weight)

    def _entry(self, fitted: DisplacementField, predicted: Array, weight: Array) -> _Entry:
        return _Entry(fitted, *self._score(predicted, weight))

    def _score(self, predicted: Array, weight: Array) -> tuple[Array, float]:
        residual = np.hypot(*(self.shifts - predicted))
        return residual, float(np.sqrt((weight * residual**2).sum() / max(weight.sum(), 1e-9)))


def _weighted_fit(terms: Array, values: Array, weight: Array) -> Array:
    """Fit (2, r, c) values by terms (k, r, c); returns coefficients of shape (2, k)."""
    flat = terms.reshape(len(terms), -1)
    weighted = flat * weight.ravel()
    normal = weighted @ flat.T
    normal[np.diag_indices(len(normal))] += 1e-12 + 1e-12 * np.trace(normal)
    return np.asarray(np.linalg.solve(normal, weighted @ values.reshape(2, -1).T).T)
