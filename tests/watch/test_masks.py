"""Masks: what lies inside is kept, says why, and comes last; they end."""

from datetime import UTC, date, datetime

import geopandas as gpd
import pyogrio
import pytest
from shapely.geometry import Point, box
from tests.watch.folders import known_run, make_run

from changedet.errors import UsageError
from changedet.watch.masks import add_mask, end_mask, list_masks, masked_reasons
from changedet.watch.ranking import ranked_objects
from changedet.watch.runs import objects_of
from changedet.watch.state import open_state


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "verdicts.gpkg"
    known_run(path, make_run(tmp_path / "run"))
    return path


def masked(file, outline=None, *, number=1, until=date(2025, 5, 13), reason="salt pans", grow=0.0):
    """Mask an object, or an outline; returns the number of the mask."""
    with open_state(file, write=True) as state:
        if outline is None:
            outline = objects_of(state).geometry.iloc[number - 1].buffer(grow)
        with state.change() as change:
            return add_mask(change, 1, outline, reason=reason, until=until, made_by="Ann")


def reasons(file, **changes):
    with open_state(file) as state:
        return masked_reasons(objects_of(state).assign(**changes), list_masks(state), today=date(2026, 1, 1))


def test_what_lies_inside_is_kept_says_why_and_comes_last(file):
    masked(file)
    with open_state(file) as state:
        ranked = ranked_objects(state, 1)
    assert ranked["number"].tolist() == [2, 3, 1]
    assert ranked["rank"].tolist() == [1, 2, 3]
    assert ranked["mask"].tolist() == ["", "", "masked: salt pans (until 2025-05-13)"]
    assert len(pyogrio.read_dataframe(file, layer="masks")) == 1


def test_a_mask_holds_up_to_its_last_day(file):
    masked(file)
    assert reasons(file)[0]
    assert reasons(file, first_seen="2025-05-14T00:00:00Z") == ["", "", ""]
    # where the date is not known, the day on which somebody asks counts
    assert reasons(file, first_seen="not known") == ["", "", ""]


def test_half_of_an_object_must_lie_inside(file):
    with open_state(file) as state:
        west, south, east, north = objects_of(state).geometry.iloc[0].bounds
    masked(file, box(west - 1e-3, south - 1e-3, west + 0.45 * (east - west), north + 1e-3))
    assert reasons(file)[0] == ""
    masked(file, box(west - 1e-3, south - 1e-3, west + 0.55 * (east - west), north + 1e-3), reason="reeds")
    assert reasons(file)[0] == "masked: reeds (until 2025-05-13)"


def test_a_mask_is_ended_and_its_row_stays(file):
    number = masked(file)
    with open_state(file, write=True) as state:
        with state.change() as change:
            end_mask(change, number)
        with pytest.raises(UsageError, match="no mask 1 holds"), state.change() as change:
            end_mask(change, number)
        assert list_masks(state, site="Pier")["ended_utc"].iloc[0].startswith("20")
        assert len(list_masks(state, site="Quay")) == 0
    assert reasons(file)[0] == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reason": " "}, "needs a reason"),
        ({"outline": Point(126, 38)}, "has no area"),
        ({"outline": box(10, 50, 10.1, 50.1)}, "outside the site 'Pier'"),
    ],
)
def test_masks_that_cannot_be_are_refused(file, changes, said):
    with pytest.raises(UsageError, match=said):
        masked(file, **changes)
    with open_state(file) as state:
        assert len(list_masks(state)) == 0


def test_a_mask_drawn_in_another_program_counts(file):
    with open_state(file) as state:
        outline = objects_of(state).geometry.iloc[1]
    drawn = gpd.GeoDataFrame(
        {"site_id": [1], "reason": ["ploughing"], "until": [date(2026, 12, 31)], "made_by": ["Bob"],
         "made_utc": [datetime(2026, 1, 1, tzinfo=UTC)]},
        geometry=[outline], crs=4326,
    )  # fmt: skip
    pyogrio.write_dataframe(drawn, file, layer="masks", driver="GPKG", append=True)
    assert reasons(file) == ["", "masked: ploughing (until 2026-12-31)", ""]
    with open_state(file, write=True) as state:
        assert state.check().passed
        with state.change() as change:
            change.execute("UPDATE masks SET until = 'some day'")
    assert reasons(file) == ["", "", ""]
