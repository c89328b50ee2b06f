"""Boosted trees as plain arrays: what a model says of a pixel, without the library that grew it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.blocks import THREADS, run_blocks, spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

# small enough that the features of a block stay in the cache of one core
_BLOCK_PIXELS = 8192


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of decision trees; the rows of every array are trees, the columns nodes, the first one the root.

    Attributes
    ----------
    feature : ndarray of int16, shape (tree, node)
        Which feature a node asks for; -1 for a leaf.
    threshold : ndarray of float32, shape (tree, node)
        A pixel goes left when its feature is at most this.
    left, right : ndarray of int16, shape (tree, node)
        Where it goes on; always further to the right in the row, so that every walk ends.
    value : ndarray of float32, shape (tree, node)
        What a leaf adds.
    baseline : float
        What the sum begins with.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float32]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: NDArray[np.float32]
    baseline: float

    @property
    def floor(self) -> float:
        """The least that these trees can sum up to."""
        leaves = np.where(self.feature < 0, self.value.astype(np.float64), np.inf)
        return self.baseline + float(leaves.min(axis=1).sum())

    def check(self, features: int) -> None:
        """Refuse trees that would ask for what is not there, or walk in a circle.

        Parameters
        ----------
        features : int
            How many features there are.

        Raises
        ------
        ValueError
            With what is wrong.
        """
        shape = self.feature.shape
        if len(shape) != 2 or 0 in shape or {a.shape for a in self._others()} != {shape}:
            message = "the arrays of the trees differ in shape, or are empty"
            raise ValueError(message)
        inner = self.feature >= 0
        own = np.broadcast_to(np.arange(shape[1]), shape)
        for child in (self.left, self.right):
            if ((child <= own) | (child >= shape[1]))[inner].any():
                message = "a node of a tree points back, or beyond its tree"
                raise ValueError(message)
        if self.feature.min() < -1 or self.feature.max() >= features:
            message = f"a tree asks for feature {int(self.feature.max())} of {features}"
            raise ValueError(message)
        if not (np.isfinite(self.value).all() and np.isfinite(self.threshold).all()):
            message = "a number in a tree is not finite"
            raise ValueError(message)

    def _others(self) -> tuple[NDArray[np.int16] | NDArray[np.float32], ...]:
        return self.threshold, self.left, self.right, self.value


def sum_trees(trees: Trees, features: NDArray[np.float32], *, threads: int = THREADS) -> NDArray[np.float32]:
    """Sum up what every tree says of every pixel.

    Parameters
    ----------
    trees : Trees
        That passed `Trees.check`.
    features : ndarray of float32, shape (feature, pixel)
        No NaN.
    threads : int
        How many work at a time.

    Returns
    -------
    ndarray of float32, shape (pixel,)
        The same whatever the number of threads.

    Examples
    --------
    >>> stump = Trees(np.int16([[0, -1, -1]]), np.float32([[5, 0, 0]]), np.int16([[1, 0, 0]]),
    ...               np.int16([[2, 0, 0]]), np.float32([[0, -1, 2]]), 0.5)
    >>> sum_trees(stump, np.float32([[4, 5, 6]])).tolist()
    [-0.5, -0.5, 2.5]
    """
    pixels = features.shape[1]
    out = np.empty(pixels, np.float32)
    depths = _depths(trees)

    def _block(block: slice) -> None:
        part = np.ascontiguousarray(features[:, block])
        total = np.full(part.shape[1], trees.baseline, np.float64)
        for tree, depth in enumerate(depths):
            total += trees.value[tree][_leaves(trees, tree, depth, part)]
        out[block] = total

    run_blocks(_block, spans(pixels, _BLOCK_PIXELS), threads)
    return out


def _leaves(trees: Trees, tree: int, depth: int, features: NDArray[np.float32]) -> NDArray[np.intp]:
    """Walk every pixel down a tree, a level at a time; a leaf leads to itself."""
    flat, column = features.ravel(), np.arange(features.shape[1])
    own = np.arange(trees.feature.shape[1])
    leaf = trees.feature[tree] < 0
    asked = np.where(leaf, 0, trees.feature[tree]).astype(np.intp) * features.shape[1]
    left, right = (np.where(leaf, own, child[tree]) for child in (trees.left, trees.right))
    children = np.stack([right, left]).ravel()
    node = np.zeros(features.shape[1], np.intp)
    for _ in range(depth):
        goes_left = flat[asked[node] + column] <= trees.threshold[tree][node]
        node = children[goes_left * own.size + node]
    return node


def _depths(trees: Trees) -> list[int]:
    """Count the levels below the root of each tree."""
    count, nodes = trees.feature.shape
    level = np.zeros((count, nodes), int)
    rows = np.arange(count)
    for node in range(nodes):
        inner = trees.feature[:, node] >= 0
        for child in (trees.left, trees.right):
            level[rows[inner], child[inner, node]] = level[inner, node] + 1
    return [int(depth) for depth in level.max(axis=1)]
