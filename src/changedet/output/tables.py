"""Tables as comma separated text: the same bytes for the same numbers."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text.

    Parameters
    ----------
    columns : sequence of str
        The head line.
    rows : iterable of sequence of str
        As many cells in each.

    Returns
    -------
    str
        Comma separated, lines end with a line feed.

    Examples
    --------
    >>> csv_text(["a", "b"], [["1", "x, y"]]).splitlines()
    ['a,b', '1,"x, y"']
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def number_text(value: float) -> str:
    """Return a number with up to five decimals; "" for one that is not known.

    Examples
    --------
    >>> number_text(0.1234567), number_text(float("nan"))
    ('0.12346', '')
    """
    return "" if math.isnan(value) else f"{np.round(value, 5):g}"
