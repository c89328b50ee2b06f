"""Kinds of candidates by all dates of a watch, and what a site could not show."""

from datetime import UTC, datetime

import pytest
from tests.watch.simulated import BUILT, CLOUD, FIELD, HALL, SOIL, YARD, Happening, SimulatedProvider, watch

from changedet.timeline.kinds_in_time import Phase, TimeKind

APRIL, JUNE = datetime(2023, 4, 1, tzinfo=UTC), datetime(2023, 6, 1, tzinfo=UTC)
PAD = (slice(4, 10), slice(3, 11))
ASPHALT = {"B02": 0.05, "B03": 0.054, "B04": 0.058, "B08": 0.072, "B11": 0.086, "B12": 0.082}
WATER = {"B02": 0.05, "B03": 0.05, "B04": 0.04, "B08": 0.02, "B11": 0.006, "B12": 0.004}


def since(ground, spectrum, start, end=datetime(2030, 1, 1, tzinfo=UTC)):
    return Happening(ground, spectrum, lambda time: start <= time < end)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A hall, a yard with new asphalt, and a field that is flooded, all in April 2023."""
    happenings = (
        since(HALL, BUILT, APRIL), since(PAD, ASPHALT, APRIL),
        since(FIELD, WATER, APRIL, JUNE),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("kinds") / "watch.gpkg"
    return watch(path, SimulatedProvider(happenings), datetime(2023, 9, 1, tzinfo=UTC))


def test_construction_and_maintenance_are_told_with_rule_and_phase(found):
    by_kind = {one.found.kind: one for one in found.of("persisting")}
    assert set(by_kind) == {TimeKind.CONSTRUCTION, TimeKind.MAINTENANCE}
    hall, pad = by_kind[TimeKind.CONSTRUCTION], by_kind[TimeKind.MAINTENANCE]
    assert hall.found.phase is Phase.POST
    assert "rule 'reads as built and stays'" in hall.evidence and "vegetation to built" in hall.evidence
    assert "rule 'built-up ground with another surface'" in pad.evidence
    facts = hall.to_dict()["decided_by"]
    assert facts["phase"] == "Post Construction" and facts["numbers"]["looked so before"] == "0%"


def test_a_flood_is_listed_by_name_and_never_told(found):
    assert found.alerts == 2
    assert not [one for one in found.of("persisting") if one.found.kind == TimeKind.FLOOD]


def test_what_could_not_be_seen_is_said_of_the_site(found):
    floor = found.to_dict()["detection_floor"]
    assert floor["measured_on"].endswith("built-up pixels")
    assert 0.01 < floor["smallest_step"]["brightness"] < 0.06
    assert floor["least_days"] == 20
    assert "Detection floor of maintenance" in found.floor.sentence


def test_decoys_that_have_just_begun_are_no_construction(tmp_path):
    happenings = (
        since(FIELD, SOIL, APRIL),
        since(YARD, CLOUD, datetime(2023, 5, 20, tzinfo=UTC)),
        since(HALL, WATER, APRIL),
    )
    told = watch(tmp_path / "w.gpkg", SimulatedProvider(happenings), datetime(2023, 6, 5, tzinfo=UTC))
    kinds = {one.found.kind for one in told.candidates}
    assert TimeKind.FLOOD in kinds
    assert not kinds & {TimeKind.CONSTRUCTION, TimeKind.ROAD}
