"""Words and numbers for readers."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.synthetic import make_objects, make_result, make_scene

from changedet.kinds import Kind
from changedet.output import facts
from changedet.output.scene_facts import scene_rows
from changedet.scene import Asset, Radiometry

FORBIDDEN = re.compile(r"confirmed|no change\b|\bAI\b|probabilit", re.IGNORECASE)


def refused(result):
    registration = replace(
        result.registration, verdict="not comparable", reason="the residual is too large", residual_px=1.4,
        applied=False,
    )  # fmt: skip
    objects = make_objects(result.grid, [], [], result.before, result.after)
    return replace(result, registration=registration, objects=objects, normalization=None)


@given(st.text(max_size=400), st.integers(1, 50))
def test_cleaned_text_is_one_short_line_without_controls(text, limit):
    cleaned = facts.clean(text, limit)
    assert len(cleaned) <= limit
    assert not re.search("[\x00-\x1f\x7f\u2028\u202a-\u202e\u2066-\u2069]", cleaned)


def test_cleaning_keeps_names_in_any_script():
    assert facts.clean("서해 Ñandú Завод") == "서해 Ñandú Завод"


def test_finding_counts_adds_up_and_names_the_leading_object():
    text = facts.finding(make_result())
    assert "3 candidate changes were flagged between 2023-05-14 and 2025-05-14, 2.96 ha in all" in text
    assert "1.80 ha" in text
    assert "consistent with new construction" in text


def test_finding_of_one_object_without_a_clear_kind():
    text = facts.finding(make_result(boxes=[(30, 40, 40, 50)], kinds=[Kind.UNCLASSIFIED]))
    assert "1 candidate change was flagged" in text
    assert text.endswith("is of no clear kind.")


def test_finding_without_objects_promises_nothing():
    text = facts.finding(make_result(boxes=[], kinds=[]))
    assert "no candidate was flagged" in text
    assert "does not mean that nothing happened" in text


def test_finding_of_a_refused_pair_says_why():
    text = facts.finding(refused(make_result()))
    assert "were not compared" in text
    assert "(the residual is too large)" in text


def test_finding_names_unknown_dates_once():
    result = make_result(boxes=[], kinds=[])
    undated = [
        replace(image, scene=replace(image.scene, time=None)) for image in (result.before, result.after)
    ]
    result = replace(result, before=undated[0], after=undated[1])
    assert "no candidate was flagged between two unknown dates" in facts.finding(result)
    assert "the images of two unknown dates were not compared" in facts.finding(refused(result))


def test_no_sentence_overstates():
    result = make_result()
    words = [facts.finding(r) for r in (result, refused(result), make_result(boxes=[], kinds=[]))]
    words += [facts.NOT_FLAGGED_NOTE, facts.CONFIDENCE_NOTE, facts.floor_text(result)]
    words += [f"{f.label} {f.value} {f.note}" for f in facts.quality(result)]
    assert not [w for w in words if FORBIDDEN.search(w)]


def test_registration_is_told_in_pixels_metres_and_directions():
    text = facts.registration_text(make_result())
    assert text.startswith("shift 0.52 px (4.2 m north, 3.1 m east) corrected, residual 0.04 px = 0.4 m")
    south = replace(make_result().registration, shift_m=(-4.2, math.nan), residual_m=math.nan)
    text = facts.registration_text(replace(make_result(), registration=south))
    assert "4.2 m south, not known" in text
    assert "0.04 px = not known" in text
    field = replace(make_result().registration, extent_px=(0.1, 0.31), model="spline")
    assert "3.1 m east, varying by up to 0.31 px over the image)" in facts.shift_text(field)


def test_quality_says_when_a_step_was_not_done():
    values = {f.label: f for f in facts.quality(refused(make_result()))}
    assert values["Normalisation"].value == "not done"
    assert values["Shift not corrected"].value == "0.52 px"
    assert values["Clear on both dates"].value == "98.0 %"


def test_quality_of_a_pair_without_times():
    pair = replace(
        make_result().pair, days_apart=None, season_gap_days=None, sun_elevation_gap_deg=None, same_orbit=None
    )
    values = {f.label: f for f in facts.quality(make_result(pair=pair))}
    assert values["Season gap"].value == "not known"
    assert "orbits not known" in values["Sun gap"].note


def test_shown_text_follows_what_was_done():
    assert "registered to the before image and matched" in facts.shown_text(make_result())
    assert facts.shown_text(refused(make_result())).startswith("Both images are drawn as they were loaded")


def test_floor_is_left_out_when_it_was_not_measured():
    assert facts.floor_text(make_result(detection_floor={})) == ""
    assert "500 m² or fainter than 0.031" in facts.floor_text(make_result())


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0.0 %"), (1e-6, "under 0.1 %"), (0.5, "50.0 %"), (math.nan, "not known")]
)
def test_shares(share, text):
    assert facts.share_text(share) == text


@given(st.floats(allow_nan=True, allow_infinity=True), st.integers(0, 5))
def test_numbers_never_show_a_negative_nothing(value, digits):
    text = facts.number(value, digits)
    assert not re.fullmatch(r"-0(\.0*)?", text)
    assert "nan" not in text
    assert "inf" not in text


def test_radiometry_names_the_bands_only_when_they_differ():
    one = Radiometry(1e-4, -0.1, source="metadata")
    same = make_scene(assets={"B02": Asset("a", radiometry=one), "B03": Asset("b", radiometry=one)})
    assert dict(scene_rows(same))["Scale and offset"] == "number * 0.0001 -0.1, from metadata"
    other = Radiometry(1e-4, 0.0, source="convention", assumed=True)
    mixed = make_scene(assets={"B02": Asset("a", radiometry=one), "B03": Asset("b", radiometry=other)})
    assert "B03: number * 0.0001 +0 (assumed)" in dict(scene_rows(mixed))["Scale and offset"]


def test_simulated_imagery_is_said_and_credits_are_told_once():
    result = make_result()
    assert not facts.is_simulated(result)
    simulated = replace(result, after=replace(result.after, scene=make_scene(simulated=True)))
    assert facts.is_simulated(simulated)
    same = replace(result, after=replace(result.after, scene=result.before.scene))
    assert facts.credit_lines(same) == ("Contains modified Copernicus Sentinel data [2023]",)


def test_flatten_writes_booleans_none_and_numbers_for_readers():
    nested = {"a": {"on": True, "none": None}, "b": 1 / 3, "c": [1, 2.5]}
    assert dict(facts.flatten(nested)) == {"a.on": "yes", "a.none": "none", "b": "0.333333", "c": "1, 2.5"}
