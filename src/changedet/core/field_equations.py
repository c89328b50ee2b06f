"""The equations of a smooth field through tie points, arranged so that solving them needs no threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, sparse

from changedet.core.splines import roughness, support

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Sides = tuple[NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True)
class Stiffness:
    """How strongly roughness is held against a field.

    Attributes
    ----------
    surface : float
        Penalty of the surface, in units of the mean weight of one tie point.
    lines : float
        The same for the term along the rows.
    scale : float
        Mean weight of a tie point.
    """

    surface: float
    lines: float
    scale: float


class FieldEquations:
    """Penalised least squares on a raster: a spline surface, with or without a term along the rows.

    Every unknown of the surface belongs to the product of one function of the row and one of the column. Most
    of them do not overlap: in the order of their rows their normal matrix is a narrow band. The unknowns of
    the term along the rows would widen that band beyond what a linear algebra library solves with one thread;
    on a busy machine, threads of so little work wait a thousand times as long for each other as they work.
    They stand last and are eliminated by their Schur complement, which gives the same solution.

    Parameters
    ----------
    down, across : ndarray of float64, shapes (r, k) and (c, l)
        Values of the functions of the surface at the rows and the columns of the raster, see
        `changedet.core.splines.basis`.
    along : ndarray of float64, shape (r, m), optional
        Values of the functions of the term along the rows.

    Notes
    -----
    Penalties on differences of coefficients: Eilers and Marx 1996, doi:10.1214/ss/1038425655.
    """

    def __init__(self, down: Array, across: Array, along: Array | None = None) -> None:
        self._size = down.shape[1], across.shape[1]
        self._lines = 0 if along is None else along.shape[1]
        self._surface = self._size[0] * self._size[1]
        ones = np.ones((len(across), 1))
        self._rows = sparse.csr_array(down if along is None else np.hstack([down, along]))
        self._columns = sparse.csr_array(across if along is None else np.hstack([across, ones]))
        row, column = np.indices(self._size).reshape(2, -1)
        self._row = np.append(row, self._size[0] + np.arange(self._lines))
        self._column = np.append(column, np.full(self._lines, self._size[1]))
        self._arrange(self._overlaps())
        self._penalties = self._penalty_values()

    @property
    def bandwidth(self) -> int:
        """Diagonals below the main one in the band that is solved."""
        return self._band_shape[0] - 1

    def _overlaps(self) -> Sides:
        """Tell which functions of rows overlap each other, and which of columns."""
        down, along, across = (support(size) for size in (self._size[0], self._lines, self._size[1]))
        rows = np.hstack([down, along]) if self._lines else down
        # a term along the rows is the same in every column
        columns = np.hstack([across, [[-np.inf], [np.inf]]]) if self._lines else across
        first, second = (
            (axis[0][:, None] < axis[1]) & (axis[0] < axis[1][:, None]) for axis in (rows, columns)
        )
        return first, second

    def _arrange(self, near: Sides) -> None:
        """List the unknowns that overlap, and where their products stand: in the band or in its border."""
        both = near[0][np.ix_(self._row, self._row)] & near[1][np.ix_(self._column, self._column)]
        self._one, self._other = np.nonzero(np.tril(both))
        self._diagonal = self._one == self._other
        self._inner = self._one < self._surface
        offset, first = (self._one - self._other)[self._inner], self._other[self._inner]
        self._band_shape = int(offset.max()) + 1, self._surface
        self._place = offset * self._surface + first
        pairs, numbers = [], []
        for near_axis, values in zip(near, (self._rows, self._columns), strict=True):
            one, other = np.nonzero(near_axis)
            number = np.zeros(near_axis.shape, np.intp)
            number[one, other] = np.arange(len(one))
            dense = values.toarray().T
            pairs.append(sparse.csr_array(dense[one] * dense[other]))
            numbers.append(number)
        self._row_pairs, self._column_pairs = pairs
        row = numbers[0][self._row[self._one], self._row[self._other]]
        column = numbers[1][self._column[self._one], self._column[self._other]]
        self._product = row * pairs[1].shape[0] + column

    def _penalty_values(self) -> tuple[Array, Array]:
        """Return what the penalties of the surface and of the term along the rows add to each product."""
        row, other_row = self._row[self._one], self._row[self._other]
        column, other_column = self._column[self._one], self._column[self._other]
        down, across, lines = (roughness(size) for size in (*self._size, self._lines))
        inner, along = self._inner, self._other >= self._surface
        smooth, line = np.zeros(len(row)), np.zeros(len(row))
        smooth[inner] = (
            down[row[inner], other_row[inner]] * (column == other_column)[inner]
            + across[column[inner], other_column[inner]] * (row == other_row)[inner]
        )
        first, second = (part[along] - self._size[0] for part in (row, other_row))
        line[along] = self._size[1] * lines[first, second]
        return smooth, line

    def normal(self, weight: Array, shifts: Array) -> tuple[Array, Array]:
        """Return both sides of the normal equations of weighted tie points; they can be added.

        Parameters
        ----------
        weight : ndarray of float64, shape (r, c)
            What each tie point counts.
        shifts : ndarray of float64, shape (2, r, c)
            Row and column shift of each.

        Returns
        -------
        tuple of ndarray of float64
            Products of the unknowns that overlap, shape (p,), and the right sides, shape (n, 2).
        """
        products = self._row_pairs @ (self._column_pairs @ weight.T).T
        right = [
            (self._rows.T @ (self._columns.T @ (weight * one).T).T)[self._row, self._column] for one in shifts
        ]
        return products.ravel()[self._product], np.stack(right, axis=1)

    def solve(self, products: Array, right: Array, stiffness: Stiffness) -> Array:
        """Solve the normal equations.

        Parameters
        ----------
        products, right : ndarray of float64
            From `normal`, or sums of those.
        stiffness : Stiffness
            What roughness costs.

        Returns
        -------
        ndarray of float64, shape (n, 2)
            Coefficients, for rows and for columns.
        """
        smooth, line = self._penalties
        scale = stiffness.scale
        values = products + scale * (stiffness.surface * smooth + stiffness.lines * line)
        # the mean and slope of the term along the rows belong to the surface
        values[self._diagonal] += 1e-7 * scale + 1e-12
        values[self._diagonal & ~self._inner] += 1e-6 * scale
        band = np.zeros(self._band_shape)
        band.ravel()[self._place] = values[self._inner]
        if not self._lines:
            return _solved(band, right)
        border = np.zeros((self._lines, len(right)))
        border[(self._one - self._surface)[~self._inner], self._other[~self._inner]] = values[~self._inner]
        cross, corner = border[:, : self._surface], border[:, self._surface :]
        found = _solved(band, np.hstack([right[: self._surface], cross.T]))
        alone, carried = found[:, :2], found[:, 2:]
        sparsely = sparse.csr_array(cross)
        factor = linalg.cho_factor(corner - sparsely @ carried, lower=True, check_finite=False)
        last = linalg.cho_solve(factor, right[self._surface :] - sparsely @ alone, check_finite=False)
        return np.vstack([alone - carried @ last, last])

    def at(self, found: Array) -> Array:
        """Evaluate the field at the tie points.

        Parameters
        ----------
        found : ndarray of float64, shape (n, 2)
            From `solve`.

        Returns
        -------
        ndarray of float64, shape (2, r, c)
            Row and column shift.
        """
        every = self._raster(found)
        return np.stack([(self._columns @ (self._rows @ one).T).T for one in every])

    def parts(self, found: Array) -> tuple[Array, Array | None]:
        """Tell the coefficients of the surface from those of the term along the rows.

        Parameters
        ----------
        found : ndarray of float64, shape (n, 2)
            From `solve`.

        Returns
        -------
        surface : ndarray of float64, shape (2, k, l)
            Of the functions of rows and columns.
        lines : ndarray of float64, shape (2, m), or None
            Of the term along the rows, if there is one.
        """
        every, (down, across) = self._raster(found), self._size
        return every[:, :down, :across], every[:, down:, -1] if self._lines else None

    def _raster(self, found: Array) -> Array:
        """Put the coefficients onto the raster of their functions of row and column."""
        every = np.zeros((2, self._rows.shape[1], self._columns.shape[1]))
        every[:, self._row, self._column] = found.T
        return every


def _solved(band: Array, right: Array) -> Array:
    return np.asarray(linalg.solveh_banded(band, right, overwrite_ab=True, lower=True, check_finite=False))
