"""Tables of plain text, for terminals and pipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns stand below each other.

    Parameters
    ----------
    rows : sequence of sequence of str
        All of the same number of cells, the head first.

    Returns
    -------
    list of str
        One line for each row, without blanks at its end.

    Examples
    --------
    >>> table([("date", "orbit"), ("2023-05-16", "3")])
    ['date        orbit', '2023-05-16  3']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]
