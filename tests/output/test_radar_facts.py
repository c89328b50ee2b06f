"""Words and numbers of radar for readers."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import (
    BEFORE_TIME,
    make_both,
    make_pass,
    make_passes,
    make_radar,
    make_radar_alone,
    make_result,
)

from changedet.output import facts, radar_facts
from changedet.output.radar_picture import change_band
from changedet.output.report_radar import radar_words
from changedet.output.scene_facts import COMPOSITE_LABEL, MEAN_LABEL, scene_rows
from changedet.output.stretch import stretch_limits
from changedet.output.summary import object_rows, result_text
from changedet.radar.types import FoundBy, RadarSettings, TrackReport

FORBIDDEN = re.compile(r"confirmed|no change\b|\bAI\b|probabilit", re.IGNORECASE)


def untested(result):
    """The same result where no track had passes enough."""
    tracks = tuple(replace(one, method="log-ratio", looks=math.nan) for one in result.radar.tracks)
    return replace(result, radar=replace(result.radar, tracks=tracks))


def test_one_sentence_names_tracks_passes_and_who_flagged_what():
    assert radar_facts.sentence(make_both()) == (
        "Radar: 2 tracks (ascending 127, 6 passes before and 5 after; descending 61, 2 passes before and 1 "
        "after). Candidates: both sensors 1, optical imagery only 1, radar only 1, conflicting 1."
    )
    assert radar_facts.sentence(make_radar_alone()).endswith("Candidates: 2 flagged by radar.")
    assert radar_facts.sentence(make_result()) == ""


def test_tracks_that_were_left_out_do_not_count():
    result = make_both()
    tracks = (result.radar.tracks[0], replace(result.radar.tracks[1], method="left out"))
    result = replace(result, radar=replace(result.radar, tracks=tracks))
    assert radar_facts.sentence(result).startswith(
        "Radar: 1 track (ascending 127, 6 passes before and 5 after)."
    )
    assert len(radar_facts.track_rows(result.radar)) == 2


def test_the_table_of_tracks_lists_dates_by_satellite():
    leading, other = radar_facts.track_rows(make_radar())
    assert len(leading) == len(other) == len(radar_facts.TRACK_HEADS)
    assert leading[0] == "ascending 127"
    assert (
        leading[2] == "5: Sentinel-1A 2025-05-14, 2025-06-07, 2025-07-01; Sentinel-1C 2025-05-26, 2025-06-19"
    )
    assert leading[3:6] == ("17.2", "likelihood ratio", "Sentinel-1C 0.31 px down, 0.12 px left")
    assert other[3:5] == ("not needed", "log-ratio")
    assert other[5] == "not measured"  # two satellites, and nothing that says how they lie
    single = TrackReport(make_radar().tracks[0].track, make_passes(BEFORE_TIME, 2, units="A"), (), "left out")
    assert radar_facts.track_rows(replace(make_radar(), tracks=(single,)))[0][2:6] == (
        "none", "not needed", "left out", "one satellite",
    )  # fmt: skip


def test_what_files_do_not_say_is_not_made_up():
    scene = replace(make_pass(BEFORE_TIME), platform="unknown", time=None)
    assert radar_facts.passes_text((scene, scene)) == "2: satellite not stated date not stated"


@pytest.mark.parametrize(
    ("change", "deviations", "text"),
    [
        (7.77, 6.46, "radar: brighter by 7.8 dB on average, 6.5 deviations"),
        (-0.31, -0.2, "radar: darker by 0.3 dB on average, 0.2 deviations"),
        (1.0, -2.0, "radar: brighter by 1.0 dB on average, -2.0 deviations"),
        (math.nan, 3.0, "radar: not judged here"),
        (3.0, math.nan, "radar: not judged here"),
    ],
)
def test_what_radar_saw_of_an_object(change, deviations, text):
    assert radar_facts.object_text({"radar_db": change, "radar_deviations": deviations}) == text


def test_every_value_of_the_column_has_words():
    texts = [radar_facts.sensor_text({"sensor": one.value}) for one in FoundBy]
    assert len(set(texts)) == len(FoundBy)
    assert all(texts)
    assert radar_facts.sensor_text({"sensor": ""}) == ""


def test_confidence_says_what_high_takes():
    assert radar_facts.confidence_note(make_result()) == facts.CONFIDENCE_NOTE
    assert "takes optical imagery and radar that agree" in radar_facts.confidence_note(make_both())
    assert "Radar alone never gives “high”" in radar_facts.confidence_note(make_radar_alone())
    notes = {radar_facts.confidence_short(r) for r in (make_result(), make_both(), make_radar_alone())}
    assert len(notes) == 3


def test_quality_of_optical_images_stays_and_radar_adds_to_it():
    optical, both = facts.quality(make_result()), radar_facts.quality(make_both())
    assert radar_facts.quality(make_result()) == optical
    assert both[: len(optical)] == optical
    assert [(one.label, one.value) for one in both[len(optical) :]] == [
        ("Radar passes", "8 and 6"), ("Observed by radar", "95.0 %"),
    ]  # fmt: skip


def test_quality_of_radar_alone_speaks_of_no_clouds_and_no_sun():
    found = {one.label: one for one in radar_facts.quality(make_radar_alone())}
    assert not {"Clear on both dates", "Sun gap", "Normalisation"} & set(found)
    assert found["Looks"].value == "17.2"
    assert found["Satellites apart"].value == "up to 0.33 px"
    assert found["Flagged by chance"].value == "at most 1.0 %"
    assert found["Residual shift"].value == "0.04 px"
    found = {one.label: one.value for one in radar_facts.quality(untested(make_radar_alone()))}
    assert (found["Flagged by chance"], found["Looks"]) == ("not tested", "not needed")


def test_the_method_says_when_radar_could_only_rank():
    result = make_both()
    assert "may be there by chance and the change is at least 3.5 dB" in radar_facts.method_text(result)
    assert radar_facts.UNTESTED_NOTE in radar_facts.method_text(untested(result))
    assert radar_facts.method_text(make_result()) == ""
    settings = RadarSettings(multilook_px=5, least_change_db=2.0)
    other = replace(result, radar=replace(result.radar, settings=settings))
    assert "squares of 5 x 5 pixels" in radar_facts.method_text(other)
    assert "less than 2.0 dB" in radar_facts.limits(other)[1]
    assert radar_facts.limits(make_result()) == ()


def test_pictures_are_explained_in_plain_words():
    for bands, words in (
        (("VV", "VH"), "red is VV, green is VH, blue is VV divided by VH"),
        (("VH",), "bright is"),
    ):
        radar = make_radar(bands=bands)
        note = radar_facts.picture_note(stretch_limits(radar.before, radar.after, radar.observed))
        assert words in note
        assert all(word in note for word in ("metal", "walls", "calm water", "shadow"))
        assert f"red is {bands[0]} after" in radar_facts.change_note(change_band(radar.before))
    assert (
        radar_facts.means_text(make_radar())
        == "Mean power of 6 passes before and 5 after, track ascending 127"
    )
    one = make_radar()
    scenes = one.before.scene.members[0], one.after.scene.members[0]
    one = replace(one, before=replace(one.before, scene=scenes[0]), after=replace(one.after, scene=scenes[1]))
    assert radar_facts.means_text(one) == "Mean power of one pass each, track ascending 127"


def test_a_mean_of_passes_is_no_composite():
    scene = make_radar().before.scene
    assert scene.date_text == "a mean of 6 dates (2023-05-14 to 2023-07-13)"
    assert facts.dates_note(scene).startswith("the mean of 2023-05-14, 2023-05-26")
    assert facts.scene_line(scene).startswith("mean of 2023-05-14")
    rows = dict(scene_rows(scene))
    assert COMPOSITE_LABEL not in rows
    assert rows[MEAN_LABEL].startswith(
        "2023-05-14 02:07:01 UTC Sentinel-1A; 2023-05-26 02:07:01 UTC Sentinel-1B"
    )
    assert rows["Direction of flight"] == "ascending"
    assert not {"Sun", "Tile", "Processing baseline"} & set(rows)


def test_the_finding_of_radar_alone_does_not_speak_of_clear_sky():
    result = make_radar_alone()
    empty = replace(result, objects=result.objects.iloc[:0])
    assert "95.0 % of the site was observed in both periods" in facts.finding(empty)
    assert "fainter than 3.5 dB to radar" in facts.floor_text(result)
    assert "reflectance" not in facts.floor_text(result) + facts.shown_text(result)
    assert facts.registration_text(result).endswith("residual 0.04 px = 0.4 m, limit 0.50 px: corrected")
    assert radar_facts.period_text(result) == "2023-05-14 to 2023-07-13 against 2025-05-14 to 2025-07-01"
    assert radar_facts.period_text(make_result()) == "2023-05-14 to 2025-05-14"


def test_warnings_and_credits_of_radar_stand_with_the_others_once():
    result = make_both()
    warned = replace(result, warnings=result.radar.warnings)
    assert facts.warnings(result) == facts.warnings(warned) == result.radar.warnings
    years = replace(result.radar.after.scene, members=(make_pass(BEFORE_TIME.replace(year=2019)),))
    radar = replace(result.radar, after=replace(result.radar.after, scene=years))
    assert facts.credit_lines(replace(result, radar=radar))[-1].endswith("[2019]")
    simulated = replace(result.radar.after, scene=replace(result.radar.after.scene, simulated=True))
    assert facts.is_simulated(replace(result, radar=replace(result.radar, after=simulated)))


def test_terminals_get_one_line_of_radar_and_the_sensor_of_each_object():
    lines = result_text(make_both()).splitlines()
    assert sum(line.startswith("  Radar: 2 tracks") for line in lines) == 1
    assert [row[-1] for row in object_rows(make_both())] == [
        "sensor both", "sensor optical only", "sensor conflicting", "sensor radar only",
    ]  # fmt: skip
    assert "adar" not in result_text(make_result())
    assert "the mean of 2023-05-14" in result_text(make_radar_alone())


def test_words_that_promise_too_much_do_not_occur():
    for result in (make_both(), make_radar_alone(), untested(make_both())):
        texts = [
            radar_facts.sentence(result), radar_facts.method_text(result), *radar_facts.limits(result),
            radar_facts.confidence_note(result), result_text(result), *radar_facts.order(result),
            *(f"{one.label} {one.value} {one.note}" for one in radar_facts.quality(result)),
            *(radar_facts.sensor_text({"sensor": one.value}) for one in FoundBy),
        ]  # fmt: skip
        assert not FORBIDDEN.search(" ".join(texts))
    assert np.isfinite(make_both().objects["radar_db"]).all()


@pytest.mark.parametrize("tested", [True, False])
def test_where_a_share_was_asked_for_no_rate_is_claimed(tested):
    result = make_radar_alone() if tested else untested(make_radar_alone())
    asked = replace(result, parameters={**result.parameters, "budget": 0.02})
    assert "The 2.0 % of the site that deviate most were flagged" in radar_facts.method_text(asked)
    assert ("No track has enough passes" in radar_facts.method_text(asked)) != tested
    assert not any("flags nothing that changed by less" in text for text in radar_facts.limits(asked))
    said = {fact.label: fact for fact in radar_facts.quality(asked)}["Flagged by chance"]
    assert (said.value, said.note) == ("not limited", "2.0 % of the site was asked for")


@pytest.mark.parametrize(("offset", "done"), [(0.2, "left as they are"), (0.5, "brought together")])
def test_satellites_that_were_left_are_not_called_moved(offset, done):
    result = make_radar_alone()
    tracks = (replace(result.radar.tracks[0], platform_offsets_px={"Sentinel-1C": (offset, 0.0)}),)
    result = replace(result, radar=replace(result.radar, tracks=tracks))
    assert done in {fact.label: fact.note for fact in radar_facts.quality(result)}["Satellites apart"]


def test_what_was_only_ranked_is_called_untested():
    result = untested(make_both())
    assert "(ascending 127, 6 passes before and 5 after; descending 61" in radar_facts.sentence(result)
    assert "1 after), too few passes to test. Candidates:" in radar_facts.sentence(result)
    texts = {one: radar_facts.sensor_text({"sensor": one.value}, tested=False) for one in FoundBy}
    ends = {one for one, text in texts.items() if text.endswith(", untested")}
    assert ends == {FoundBy.BOTH, FoundBy.CONFLICTING, FoundBy.RADAR}
    row = result.objects[result.objects["sensor"] == "both"].iloc[0].to_dict()
    assert radar_words(result, row)["sensor"].endswith("radar agrees, untested")
    assert radar_words(make_both(), row)["sensor"].endswith("radar agrees")
