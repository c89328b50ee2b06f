"""Every kind by a made-up series of materials; every rule has its words, numbers and source."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.made_up_series import found_kind, object_dates

from changedet.timeline.evidence import Change, Outline, gather_evidence
from changedet.timeline.kinds_in_time import (
    DECOYS,
    TIME_CAVEATS,
    TIME_LABELS,
    TIME_RULES,
    WORKS,
    Phase,
    TimeKind,
    choose_time_kind,
)

#: Two years of a field, a date each ten days: bare in winter and spring, green in summer.
FIELD = (["soil"] * 15 + ["grass"] * 12 + ["soil"] * 9) * 2
LINE = Outline(area_px=30, width_px=1, elongation=30)


def lasting(before, after, dates=12, **more):
    return found_kind([before] * 20 + [after] * dates, 20, **more)


def passing(usual, other, dates, **more):
    return found_kind([usual] * 20 + [other] * dates + [usual] * 8, 20, 19 + dates, **more)


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        (lasting("grass", "concrete"), TimeKind.CONSTRUCTION),
        (lasting("soil", "roof"), TimeKind.CONSTRUCTION),
        (lasting("forest", "asphalt"), TimeKind.CONSTRUCTION),
        (lasting("grass", "asphalt", outline=LINE), TimeKind.ROAD),
        (lasting("forest", "soil"), TimeKind.EARTHWORKS),
        (lasting("concrete", "soil"), TimeKind.DEMOLITION),
        (lasting("concrete", "grass"), TimeKind.DEMOLITION),
        (lasting("concrete", "fresh asphalt"), TimeKind.MAINTENANCE),
        (lasting("asphalt", "roof"), TimeKind.MAINTENANCE),
        (passing("concrete", "soil", 6), TimeKind.MAINTENANCE),
        (passing("asphalt", "roof", 5), TimeKind.MAINTENANCE),
        (lasting("concrete", "roof", episodes=3), TimeKind.MAINTENANCE),
        (passing("soil", "roof", 5), TimeKind.MAINTENANCE),
        (lasting("soil", "water", 30), TimeKind.WATER),
        (lasting("water", "concrete"), TimeKind.WATER),
        (passing("grass", "water", 4), TimeKind.FLOOD),
        (lasting("soil", "water", 3), TimeKind.FLOOD),
        (passing("grass", "snow", 3), TimeKind.SNOW),
        (lasting("concrete", "snow", 2), TimeKind.SNOW),
        (passing("grass", "cloud", 1), TimeKind.CLOUD),
        (passing("concrete", "cloud", 2), TimeKind.CLOUD),
        (lasting("grass", "cloud", 4), TimeKind.CLOUD),
        (lasting("grass", "cloud", 9), TimeKind.CONSTRUCTION),
        (lasting("grass", "concrete", 3), TimeKind.CONSTRUCTION),
        (passing("concrete", "shaded concrete", 2), TimeKind.SHADOW),
        (passing("grass", "shaded grass", 5), TimeKind.SHADOW),
        (lasting("concrete", "shaded concrete", seasonal=True), TimeKind.SHADOW),
        (lasting("grass", "stubble", seasonal=True), TimeKind.VEGETATION),
        (lasting("soil", "grass"), TimeKind.VEGETATION),
        (lasting("grass", "roof", 2), TimeKind.OPEN),
    ],
)  # fmt: skip
def test_each_kind_is_told_by_its_course(finding, kind):
    assert finding.kind == kind, finding.evidence


def test_a_field_that_lies_bare_out_of_season_is_a_harvest_until_it_stays_so_for_long():
    early = FIELD + FIELD[:20] + ["soil"] * 8
    usual = FIELD + FIELD[:28]
    assert found_kind(early, 92, usual=usual).kind == TimeKind.HARVEST
    long = FIELD + FIELD[:20] + ["soil"] * 80
    usual = (FIELD * 3)[: len(long)]
    assert found_kind(long, 92, usual=usual).kind == TimeKind.EARTHWORKS


def test_a_hall_in_a_field_is_construction_since_the_field_never_looked_so():
    course = FIELD + FIELD[:20] + ["roof"] * 8
    found = found_kind(course, 92, usual=FIELD + FIELD[:28])
    assert found.kind == TimeKind.CONSTRUCTION
    assert found.numbers["looked so before"] == "0%"


def test_dry_soil_that_reads_as_built_in_other_seasons_is_no_construction():
    field = [name.replace("soil", "asphalt") for name in FIELD]
    found = found_kind(field + field[:20] + ["asphalt"] * 8, 92, usual=field + field[:28])
    assert found.kind == TimeKind.HARVEST


def test_ground_that_is_prepared_has_a_phase_and_the_rule_says_why():
    found = lasting("forest", "soil")
    assert found.phase is Phase.PREPARATION
    assert found.to_dict()["phase"] == "Site Preparation"
    assert "rule 'plants to bare ground that stays'" in found.evidence and "days 110" in found.evidence
    json.dumps(found.to_dict(), allow_nan=False)


def test_every_rule_has_words_a_source_and_numbers_that_exist():
    numbers = gather_evidence(object_dates(["grass"] * 9 + ["roof"] * 9), Change(9, 17)).numbers()
    over = gather_evidence(object_dates(["grass"] * 9 + ["roof"] * 9), Change(3, 6, 8, outline=LINE))
    names = [rule.name for rule in TIME_RULES]
    assert len(set(names)) == len(names)
    assert {rule.kind for rule in TIME_RULES} == set(TimeKind) == set(TIME_LABELS) == set(TIME_CAVEATS)
    for rule in TIME_RULES:
        assert rule.text and rule.reason
        assert rule.source or rule.kind is TimeKind.OPEN
        assert set(rule.shows) <= set(numbers) | set(over.numbers()), rule.name


def test_decoys_are_no_works_and_have_names_of_their_own():
    assert not DECOYS & WORKS
    assert len({TIME_LABELS[kind] for kind in DECOYS}) == len(DECOYS)


def test_too_little_evidence_is_left_open():
    evidence = gather_evidence(object_dates(["grass"] * 9 + ["roof"] * 9), Change(9, 17))
    unknown = replace(evidence, dates=1)
    assert choose_time_kind(unknown).kind == TimeKind.OPEN
    assert choose_time_kind(evidence).kind == TimeKind.CONSTRUCTION


def test_numbers_are_those_of_the_series():
    course = ["grass"] * 20 + ["roof"] * 10
    evidence = gather_evidence(object_dates(course), Change(20, 29))
    assert (evidence.dates, evidence.dates_before, evidence.days) == (10, 20, 90.0)
    assert evidence.step["brightness"] == pytest.approx(0.31, abs=0.02)
    assert evidence.largest > 20 and abs(evidence.slope) < 2
    assert np.isnan(evidence.back) and evidence.lasts
    over = gather_evidence(object_dates(["grass"] * 20 + ["roof"] * 5 + ["grass"] * 8), Change(20, 24, 25))
    assert over.back < 2 and not over.lasts and over.dates_after == 8


def test_a_change_outside_of_the_series_is_refused():
    with pytest.raises(ValueError, match="a change from date 5 to 9 in a series of 8"):
        gather_evidence(object_dates(["grass"] * 8), Change(5, 9))


def test_outlines_of_lines_are_long_also_when_bent():
    bent = np.zeros((30, 30), bool)
    bent[2:25, 3:5] = bent[23:25, 3:28] = True
    line, box = Outline.of(bent), Outline.of(np.ones((6, 7), bool))
    assert line.elongation > 20 and line.width_px <= 2
    assert box.elongation < 3
    assert np.isnan(Outline.of(np.zeros((3, 3), bool)).area_px)
