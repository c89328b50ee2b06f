"""Documents in JSON that may be anybody's: what is not as it should be is a `ValueError`."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import DataclassInstance
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

#: What comes of taking a document for one of a shape that it does not have.
OTHER_SHAPE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)

#: Digits of a whole number, with its sign.
_MOST_DIGITS = 18
#: Pixels of an axis of a grid: GDAL counts no further.
_MOST_PX = 2**31 - 1


def parse_json(text: str | bytes) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Read a text in JSON.

    Parameters
    ----------
    text : str or bytes
        Anybody's.

    Returns
    -------
    object
        What it holds.

    Raises
    ------
    ValueError
        When it is no JSON, holds whole numbers of more than 18 digits, or is nested deeper than the
        interpreter can follow.

    Examples
    --------
    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    """
    try:
        return json.loads(text, parse_int=_whole_number)
    except RecursionError:
        pass
    # outside of the handler: the chain of a recursion is as long as the recursion was deep
    message = "nested too deeply"
    raise ValueError(message)


def read_json(path: Path, most_bytes: int) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Read a file in JSON that may be anybody's.

    Parameters
    ----------
    path : Path
        The file.
    most_bytes : int
        A larger one is not read.

    Returns
    -------
    object
        What it holds.

    Raises
    ------
    ValueError
        When it is larger, or `parse_json` refuses it.
    OSError
        When it cannot be read.
    """
    if path.stat().st_size > most_bytes:
        raise ValueError(f"larger than {most_bytes:,} bytes")
    return parse_json(path.read_text(encoding="utf-8"))


def _whole_number(digits: str) -> int:
    """Read a whole number that every machine can hold: larger ones fit no float, and count nothing."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number beyond all counting")
    return int(digits)


def parse_geometry(described: Any) -> BaseGeometry:  # noqa: ANN401  # whatever JSON can hold
    """Make a geometry of its description in GeoJSON.

    Raises
    ------
    ValueError
        When it is none.
    """
    import numpy as np
    from shapely import get_coordinates
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        with np.errstate(invalid="ignore"):
            made = shape(described)
    except (*OTHER_SHAPE, ShapelyError) as error:
        raise ValueError(f"no geometry ({type(error).__name__})") from error
    if not np.isfinite(get_coordinates(made)).all():
        raise ValueError("a geometry that lies nowhere")
    return made


def parse_grid(described: Any) -> GeoBox:  # noqa: ANN401  # whatever JSON can hold
    """Make a grid of its description in a record: ``shape``, ``transform`` and ``crs``.

    Raises
    ------
    ValueError
        When it is none.
    """
    import numpy as np
    from affine import Affine
    from odc.geo.geobox import GeoBox
    from shapely import get_coordinates

    try:
        rows, columns = (int(size) for size in described["shape"])
        transform = Affine(*(float(step) for step in described["transform"]))
        if not 1 <= min(rows, columns) <= max(rows, columns) <= _MOST_PX:
            raise ValueError("no pixels")
        if transform.is_degenerate or not all(map(math.isfinite, transform)):
            raise ValueError("pixels that lie nowhere")
        grid = GeoBox((rows, columns), transform, str(described["crs"]))
        with np.errstate(invalid="ignore"):
            on_earth = get_coordinates(grid.extent.to_crs("EPSG:4326").geom)
        if not np.isfinite(on_earth).all():
            raise ValueError("off the Earth")
        return grid
    except (*OTHER_SHAPE, RuntimeError) as error:
        raise ValueError(f"no grid ({type(error).__name__})") from error


def require_types(made: DataclassInstance) -> None:
    """Refuse what was made of a document whose values are of other types than the fields say.

    Parameters
    ----------
    made : dataclass
        Fields of plain types, tuples of them, and such that may be None, are looked at; no others.

    Raises
    ------
    ValueError
        When a value is of another type; the field is named.
    """
    for one in fields(made):
        kind, value = str(one.type), getattr(made, one.name)
        if kind.endswith(" | None"):
            kind = kind.removesuffix(" | None")
            if value is None:
                continue
        if not _is_of(value, kind):
            raise ValueError(f"{one.name} is of type {type(value).__name__}")


def _is_of(value: object, kind: str) -> bool:
    """Tell whether a value is of a type as annotations write it; of those not known here everything is."""
    if kind.startswith("tuple[") and kind.count("[") == 1:
        inner = kind[6:-1].split(", ")
        many = inner[-1] == "..."
        if not isinstance(value, tuple) or (not many and len(value) != len(inner)):
            return False
        return all(_is_of(part, inner[0]) for part in value)
    if kind in {"int", "float"}:
        allowed = int if kind == "int" else (int, float)
        return isinstance(value, allowed) and not isinstance(value, bool)
    return not (kind == "str" and not isinstance(value, str)) and not (
        kind == "bool" and not isinstance(value, bool)
    )
