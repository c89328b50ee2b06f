"""Robust regressions of many series on the same dates, each with gaps and weights of its own, at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Median absolute value of a normal distribution of standard deviation 1.
MAD_OF_NORMAL = np.float32(0.6745)
#: Scales beyond which a date counts less in the first fit: a cloud must not choose where the rounds begin.
_START_SCALES = np.float32(3)
#: Median deviations within which a date has a part in the final scale.
_BIWEIGHT_REACH = np.float32(9)
#: Scales by which a series still moves when it stands still, and the share of the series of a block that must
#: still move for all of them to be worked on.
_STILL, _WORTH_LEAVING = np.float32(5e-5), 0.75
#: Bits of infinity and of one.
_INFINITY, _ONE = np.int32(0x7F800000), np.int32(0x3F800000)
#: Residuals below this are rounding.
_LEAST_REACH = np.float32(2e-6)
#: Multiplications up to which a library of linear algebra works on one thread: threads that wait for each
#: other over so little, beside those that work on other blocks, take many times as long.
_PLAIN_PRODUCT = 2**18
#: By how little a diagonal may shrink before a term is said to be told by the other ones.
_SINGULAR = 1e-6


@dataclass(frozen=True, eq=False)
class RobustFit:
    """The outcome of `robust_fit` for one block of pixels.

    Attributes
    ----------
    coefficient : ndarray of float32, shape (term, pixel)
        In the unit of the values; NaN where the dates cannot tell the terms apart.
    scale : ndarray of float32, shape (pixel,)
        Standard deviation of what is left.
    inverse : ndarray of float32, shape (pair, pixel)
        The inverse of the weighted normal matrix, the pairs of `term_pairs`: times the scale squared, the
        covariance of the coefficients.
    residual : ndarray of float32, shape (pixel, time)
        In the unit of the values; 0 where a date does not see a pixel.
    """

    coefficient: NDArray[np.float32]
    scale: NDArray[np.float32]
    inverse: NDArray[np.float32]
    residual: NDArray[np.float32]


def term_pairs(terms: int) -> tuple[tuple[int, int], ...]:
    """Return the places of a symmetric matrix that are stored, the lower triangle row by row.

    Parameters
    ----------
    terms : int
        Rows of the matrix.

    Returns
    -------
    tuple of pairs of int

    Examples
    --------
    >>> term_pairs(2)
    ((0, 0), (1, 0), (1, 1))
    """
    return tuple((row, column) for row in range(terms) for column in range(row + 1))


def robust_fit(
    values: NDArray[np.float32],
    seen: NDArray[np.bool_],
    design: NDArray[np.float64],
    rounds: int,
    tuning: float = 4.685,
) -> RobustFit:
    """Fit the same terms to every series by iteratively reweighted least squares.

    Weights are Tukey's bisquare (Beaton and Tukey 1974, doi:10.1080/00401706.1974.10489171) of residuals over
    `tuning` scales; the scale is the median absolute residual over 0.6745, times ``sqrt(n / (n - terms))``
    because what was fitted lies too close, and is found anew in each round (Holland and Welsch 1977,
    doi:10.1080/03610927708827533). What is returned as scale is `biweight_scale`, of half the error. With no
    rounds the fit is that of least squares.

    Parameters
    ----------
    values : ndarray of float32, shape (pixel, time)
        Anything where a date does not see a pixel.
    seen : ndarray of bool, shape (pixel, time)
        Where a date sees a pixel.
    design : ndarray of float64, shape (time, term)
        What each term is on each date; of the order of 1.
    rounds : int
        Of weights at most; 0 for least squares, whose scale is the root mean square.
    tuning : float
        Scales beyond which a date does not count.

    Returns
    -------
    RobustFit
    """
    terms = np.ascontiguousarray(design, np.float32)
    pairs = term_pairs(terms.shape[1])
    products = np.stack([terms[:, row] * terms[:, column] for row, column in pairs], axis=1)
    if not rounds:
        return _least_squares(values.T, seen.T, (terms, products))
    block, level = _Block.of(values, seen, design.shape[1])
    room = _Room.like(block.centred)
    fitted, inverse = _reweighted(block, (terms, products), (rounds, tuning), room)
    residual = block.left(fitted, terms, room.residual)
    residual *= block.present
    scale = biweight_scale(residual, block.gap, block.count, room.spare) * block.freedom
    coefficient = fitted.T.copy()
    coefficient[0] += level
    return RobustFit(coefficient, scale, inverse, residual)


def _product(
    small: NDArray[np.float32], wide: NDArray[np.float32], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Multiply a small matrix by the columns of a wide one, part by part."""
    if out is None:
        out = np.empty((len(small), wide.shape[1]), np.float32)
    for columns in spans(wide.shape[1], max(1, _PLAIN_PRODUCT // small.size)):
        np.matmul(small, wide[:, columns], out=out[:, columns])
    return out


def _least_squares(
    values: NDArray[np.float32],
    seen: NDArray[np.bool_],
    designs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> RobustFit:
    """Fit all series at one time, from what their dates see (time, pixel): nothing is sorted or weighted."""
    terms, products = designs
    keep = _all_bits(seen)
    present = (keep & _ONE).view(np.float32)
    masked = values.view(np.int32) & keep
    centred = masked.view(np.float32)
    normal = _product(products.T, present).astype(np.float64)
    # the first term is one on every date, so that its square counts them
    count = normal[0].astype(np.float32)
    level = centred.sum(axis=0) / np.maximum(count, np.float32(1))
    centred -= level
    masked &= keep
    fitted, inverse = _solved(normal, _product(terms.T, centred).astype(np.float64))
    coefficient = fitted.astype(np.float32)
    residual = _product(terms, coefficient)
    np.subtract(centred, residual, out=residual)
    residual *= present
    total = np.einsum("tn,tn->n", residual, residual)
    scale = np.sqrt(total / np.maximum(count - len(fitted), np.float32(1)))
    coefficient[0] += level
    return RobustFit(coefficient, scale, inverse.astype(np.float32), residual.T)


def _all_bits(seen: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return numbers of which all bits are set where something is seen: masking is faster than choosing."""
    return np.negative(seen.view(np.int8)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class _Block:
    """Series to be fitted: centred (0 in gaps), present (1 or 0), gap (0 or infinite), all (pixel, time)."""

    centred: NDArray[np.float32]
    present: NDArray[np.float32]
    gap: NDArray[np.float32]
    count: NDArray[np.int32]
    freedom: NDArray[np.float32]

    @classmethod
    def of(
        cls, values: NDArray[np.float32], seen: NDArray[np.bool_], terms: int
    ) -> tuple[_Block, NDArray[np.float32]]:
        """Prepare series; also their levels."""
        keep = _all_bits(seen)
        gap = (~keep & _INFINITY).view(np.float32)
        count = seen.sum(axis=1, dtype=np.int32)
        centred = values.view(np.int32) & keep
        level = sorted_median(centred.view(np.float32) + gap, count)
        centred.view(np.float32)[...] -= level[:, None]
        centred &= keep
        freedom = np.sqrt(count / np.maximum(count - terms, 1)).astype(np.float32)
        return cls(centred.view(np.float32), (keep & _ONE).view(np.float32), gap, count, freedom), level

    def part(self, rows: NDArray[np.bool_]) -> _Block:
        """Return some of the series."""
        return _Block(
            self.centred[rows], self.present[rows], self.gap[rows], self.count[rows], self.freedom[rows]
        )

    def left(
        self, fitted: NDArray[np.float32], terms: NDArray[np.float32], out: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what is left of them, anything in gaps."""
        _product(terms, fitted.T, out.T)
        return np.subtract(self.centred, out, out=out)


@dataclass(frozen=True, eq=False)
class _Room:
    """Room to work in, used again in every round."""

    weight: NDArray[np.float32]
    residual: NDArray[np.float32]
    spare: NDArray[np.float32]

    @classmethod
    def like(cls, values: NDArray[np.float32]) -> _Room:
        """Make room for series of this shape."""
        return cls(np.empty_like(values), np.empty_like(values), np.empty_like(values))

    def first(self, rows: int) -> _Room:
        """Return the room of the first rows."""
        return _Room(self.weight[:rows], self.residual[:rows], self.spare[:rows])


def _reweighted(
    block: _Block,
    designs: tuple[NDArray[np.float32], NDArray[np.float32]],
    rules: tuple[int, float],
    room: _Room,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return coefficients (pixel, term) and inverses (pair, pixel); a series that stands still is left."""
    rounds, tuning = rules
    scale = median_scale(block.centred, block.gap, block.count, room.spare) * block.freedom
    np.multiply(block.present, _huber(block.centred, scale, room.residual), out=room.weight)
    now, inverse_now = _solve(room.weight, block.centred, designs, room.spare)
    fitted, inverse = now.copy(), inverse_now.copy()
    rows, going = np.arange(len(now)), np.ones(len(now), bool)
    for _ in range(rounds):
        block.left(now, designs[0], room.residual)
        scale = median_scale(room.residual, block.gap, block.count, room.spare) * block.freedom
        _bisquare(room.residual, scale * np.float32(tuning), block.present, room.weight)
        last = now
        now, inverse_now = _solve(room.weight, block.centred, designs, room.spare)
        fitted[rows[going]], inverse[:, rows[going]] = now[going], inverse_now[:, going]
        going &= np.abs(now - last).max(axis=1) > _STILL * scale
        if not going.any():
            break
        if going.mean() < _WORTH_LEAVING:
            block, now, rows = block.part(going), now[going], rows[going]
            room, going = room.first(len(rows)), np.ones(len(rows), bool)
    return fitted, inverse


def sorted_median(values: NDArray[np.float32], count: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the median of the finite values of each row, given how many there are; sorts the rows in place.

    Whole rows are sorted, which vector instructions make quicker than seeking the middle only.

    Parameters
    ----------
    values : ndarray of float32, shape (row, value)
        Infinite where there is none; sorted afterwards.
    count : ndarray of int32, shape (row,)
        Finite values of each row.

    Returns
    -------
    ndarray of float32, shape (row,)
        Of an even number of values the mean of the two in the middle; 0 where there is none.
    """
    values.sort(axis=1)
    rows = np.arange(len(values))
    lower = values[rows, np.maximum(count - 1, 0) // 2]
    upper = values[rows, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, np.float32(0.5) * lower + np.float32(0.5) * upper, np.float32(0))


def median_scale(
    residual: NDArray[np.float32],
    gap: NDArray[np.float32],
    count: NDArray[np.int32],
    spare: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the median absolute residual of each row as the standard deviation of a normal distribution.

    Parameters
    ----------
    residual : ndarray of float32, shape (pixel, time)
    gap : ndarray of float32, shape (pixel, time)
        0 where a date sees a pixel, infinite where it does not.
    count : ndarray of int32, shape (pixel,)
        Dates that see a pixel.
    spare : ndarray of float32, shape (pixel, time)
        Room to work in.

    Returns
    -------
    ndarray of float32, shape (pixel,)
        0 where no date sees the pixel.
    """
    np.abs(residual, out=spare)
    spare += gap
    return sorted_median(spare, count) / MAD_OF_NORMAL


def biweight_scale(
    residual: NDArray[np.float32],
    gap: NDArray[np.float32],
    count: NDArray[np.int32],
    spare: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the standard deviation of each row by weights that a few outliers do not have.

    The biweight A-estimator (Lax 1985, doi:10.1080/01621459.1985.10478177): with ``u`` the residuals over 9
    median deviations, ``sqrt(n * sum(r**2 * (1 - u**2)**4)) / abs(sum((1 - u**2) * (1 - 5 * u**2)))`` over
    those within. Of fifty normal numbers it is off by half as much as the median deviation.

    Parameters
    ----------
    residual, gap, count, spare
        As in `median_scale`.

    Returns
    -------
    ndarray of float32, shape (pixel,)
        The median deviation where more than half of the residuals are nought.
    """
    middle = median_scale(residual, gap, count, spare)
    reach = _BIWEIGHT_REACH * MAD_OF_NORMAL * middle
    square = residual * (np.float32(1) / np.maximum(reach, _LEAST_REACH))[:, None]
    np.square(square, out=square)
    square += gap
    # beyond the reach, and in gaps, a date has no part
    np.minimum(square, np.float32(1), out=square)
    rest = np.float32(1) - square
    below = np.einsum("nt,nt->n", rest, np.float32(1) - np.float32(5) * square)
    np.square(rest, out=rest)
    rest *= residual
    above = np.einsum("nt,nt->n", rest, rest)
    known = (middle > 0) & (np.abs(below) > 0)
    found = np.sqrt(count * above) / np.where(known, np.abs(below), np.float32(1))
    return np.where(known, found, middle).astype(np.float32)


def _huber(
    centred: NDArray[np.float32], scale: NDArray[np.float32], out: NDArray[np.float32]
) -> NDArray[np.float32]:
    limit = np.maximum(_START_SCALES * scale, np.finfo(np.float32).tiny)[:, None]
    np.abs(centred, out=out)
    np.maximum(out, limit, out=out)
    np.divide(limit, out, out=out)
    return out


def _bisquare(
    residual: NDArray[np.float32],
    reach: NDArray[np.float32],
    present: NDArray[np.float32],
    weight: NDArray[np.float32],
) -> None:
    """Write the weights of residuals up to a reach; where more than half are alike, those count alone."""
    np.multiply(residual, (np.float32(1) / np.maximum(reach, _LEAST_REACH))[:, None], out=weight)
    np.square(weight, out=weight)
    np.subtract(np.float32(1), weight, out=weight)
    np.maximum(weight, np.float32(0), out=weight)
    np.square(weight, out=weight)
    weight *= present


def _solve(
    weight: NDArray[np.float32],
    centred: NDArray[np.float32],
    designs: tuple[NDArray[np.float32], NDArray[np.float32]],
    spare: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the coefficients (pixel, term) and the pairs of the inverse (pair, pixel) of weighted fits."""
    terms, products = designs
    normal = _product(products.T, weight.T).astype(np.float64)
    right = _product(terms.T, np.multiply(weight, centred, out=spare).T).astype(np.float64)
    fitted, inverse = _solved(normal, right)
    return np.ascontiguousarray(fitted.T, np.float32), inverse.astype(np.float32)


def _solved(
    normal: NDArray[np.float64], right: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve normal equations (pair, pixel); return solutions (term, pixel) and inverses (pair, pixel)."""
    inverse = invert_symmetric(normal, len(right))
    fitted = np.zeros_like(right)
    for place, (row, column) in enumerate(term_pairs(len(right))):
        fitted[row] += inverse[place] * right[column]
        if row != column:
            fitted[column] += inverse[place] * right[row]
    return fitted, inverse


def invert_symmetric(matrix: NDArray[np.float64], terms: int) -> NDArray[np.float64]:
    """Invert many small positive definite matrices, by Cholesky's triangles, all of them at one time.

    Parameters
    ----------
    matrix : ndarray of float64, shape (pair, pixel)
        The pairs of `term_pairs`.
    terms : int
        Rows of each matrix.

    Returns
    -------
    ndarray of float64, shape (pair, pixel)
        NaN where a matrix is singular.

    Examples
    --------
    >>> invert_symmetric(np.array([[4.0], [0.0], [16.0]]), 2).ravel().tolist()
    [0.25, 0.0, 0.0625]
    """
    place = {pair: number for number, pair in enumerate(term_pairs(terms))}
    lower: dict[tuple[int, int], NDArray[np.float64]] = {}
    for row, column in place:
        rest = matrix[place[row, column]].copy()
        for inner in range(column):
            rest -= lower[row, inner] * lower[column, inner]
        if row == column:
            singular = ~(rest > _SINGULAR * matrix[place[row, row]])
            lower[row, row] = np.sqrt(np.where(singular, np.nan, rest))
        else:
            lower[row, column] = rest / lower[column, column]
    back: dict[tuple[int, int], NDArray[np.float64]] = {}
    for column in range(terms):
        back[column, column] = 1 / lower[column, column]
        for row in range(column + 1, terms):
            total = sum(lower[row, inner] * back[inner, column] for inner in range(column, row))
            back[row, column] = -total / lower[row, row]
    out = np.empty_like(matrix)
    for (row, column), number in place.items():
        out[number] = sum(back[inner, row] * back[inner, column] for inner in range(row, terms))
    # a term that the others tell leaves none of them known
    out[:, np.isnan(out).any(axis=0)] = np.nan
    return out
