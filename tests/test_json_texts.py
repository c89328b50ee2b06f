"""Documents of anybody in JSON: what is not as it should be is a ValueError, whatever is wrong with it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changedet.json_texts import parse_geometry, parse_grid, parse_json, read_json, require_types

GRID = {"shape": [4, 6], "transform": [10, 0, 300000, 0, -10, 5000000], "crs": "EPSG:32633"}
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**16), 10**17) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS)
def test_a_document_is_read_as_it_was_written(document):
    assert parse_json(json.dumps(document)) == document


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"), ("[1,", "Expecting value"), ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 19 + "]", "beyond all counting"), ("9" * 5000, "beyond all counting"),
    ],
)  # fmt: skip
def test_what_is_none_is_a_value_error(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        parse_json(text)
    assert caught.value.__context__ is None or not isinstance(caught.value.__context__, RecursionError)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, 6) == [1, 2]
    with pytest.raises(ValueError, match="larger than 5 bytes"):
        read_json(path, 5)
    path.write_bytes(b'"\xff"')
    with pytest.raises(ValueError, match="decode"):
        read_json(path, 100)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "b.json", 100)


def test_a_grid_comes_back():
    grid = parse_grid(GRID)
    assert (tuple(grid.shape), str(grid.crs)) == ((4, 6), "EPSG:32633")
    assert list(grid.transform)[:6] == GRID["transform"]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [0, 6]}, {"shape": [4]}, {"shape": "x"}, {"transform": [0] * 6}, {"crs": "EPSG:0"},
        {"transform": [math.inf, 0, 0, 0, 1, 0]}, {"transform": None},
        {"shape": [1e308, 6]}, {"transform": [10, 0, 1e300, 0, -10, 5000000]},
    ],
)  # fmt: skip
def test_what_is_no_grid_is_a_value_error(changes):
    with pytest.raises(ValueError, match="no grid"):
        parse_grid(GRID | changes)


@pytest.mark.parametrize(
    "described",
    [None, [], {}, {"type": "Point"}, {"type": "Point", "coordinates": ["a", 1]},
     {"type": "Point", "coordinates": [math.nan, 1]}],
)  # fmt: skip
def test_what_is_no_geometry_is_a_value_error(described):
    with pytest.raises(ValueError, match=r"no geometry|lies nowhere"):
        parse_geometry(described)


@dataclass(frozen=True)
class Made:
    """Fields of the types that are looked at."""

    name: str = "a"
    count: int = 1
    share: float = 0.5
    sure: bool = True
    days: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (1.0, 2)
    note: str | None = None


@pytest.mark.parametrize("changes", [{}, {"share": 1}, {"note": "x"}, {"days": ()}])
def test_values_of_the_types_of_their_fields_are_taken(changes):
    require_types(Made(**changes))


@pytest.mark.parametrize(
    "changes",
    [{"name": 1}, {"count": 1.5}, {"count": True}, {"share": "x"}, {"sure": 1}, {"days": [1]},
     {"days": (1, "x")}, {"pair": (1.0,)}, {"note": 3}],
)  # fmt: skip
def test_a_value_of_another_type_is_named(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} is of type"):
        require_types(Made(**changes))
