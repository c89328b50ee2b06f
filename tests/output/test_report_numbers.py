"""Every number that the report shows stands in the record beside it."""

import json

import pytest
from tests.output.numbers_found import altered, numbers_missing, words_of_page
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.kinds import SURFACE_RULES
from changedet.output.report import report_html
from changedet.provenance import run_record

#: What every report says alike: the rules with their sources, and names that hold a number.
ALIKE = (*(f"{rule.text} {rule.source}" for rule in SURFACE_RULES), "WGS 84", "SHA-256")


def report_and_record(make):
    result = make()
    record = json.loads(json.dumps(run_record(result)))
    record["files"] = {"changes.gpkg": {"sha256": "ab" * 32, "bytes": 98304}}
    return words_of_page(report_html(result, record)), record


@pytest.mark.parametrize("make", [make_result, make_both, make_radar_alone])
def test_every_number_of_the_report_is_in_the_record(make):
    words, record = report_and_record(make)
    assert len(words.split()) > 1500
    assert numbers_missing(words, record, besides=ALIKE) == []


def test_every_number_of_a_run_as_it_is_written_is_in_its_record(sample_run):
    words = words_of_page((sample_run / "report.html").read_text(encoding="utf-8"))
    record = json.loads((sample_run / "run.json").read_text(encoding="utf-8"))
    assert "9 of 9 candidates" in words
    assert numbers_missing(words, record, besides=ALIKE) == []


def test_other_numbers_would_be_noticed():
    words, record = report_and_record(make_result)
    wrong = altered(words)
    assert len(numbers_missing(" ".join(wrong), record, besides=ALIKE)) > len(wrong) / 2
    for text in ("38.59724, 126.08981", "1.81 ha", "S2A_MSIL2A_20230514T020702_N0509", "95.8 %"):
        assert numbers_missing(text, record)


def test_a_leading_object_of_the_record_says_what_the_report_says():
    words, record = report_and_record(make_result)
    leading = record["shown"]["objects"][0]
    assert leading["score_text"] in words
    assert f"{leading['picture_m']:g} m across" in words
    assert record["shown"]["finding"] in words
    assert all(place in words for place in record["shown"]["centre"].values())
