"""The report as text: what stands in it, what may never stand in it, and that it repeats byte for byte."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.synthetic import make_result

from changedet.errors import OutputError
from changedet.kinds import Kind
from changedet.output.report import report_html, write_report
from changedet.output.shown import MOST_LISTED
from changedet.result import State

RECORD = {
    "schema": "changedet/run/1",
    "created_utc": "2031-01-01T01:02:03Z",
    "created": "2031-01-01T01:02:03Z",
    "command": ["changedet", "detect", "--out", "/home/someone/secret"],
    "software": {"name": "changedet", "libraries": {"python": "3.11.9", "numpy": "2.9.1"}},
    "limits": ["Pixels are 10 m wide: vehicles cannot be seen."],
    "inputs": {"before": {"path": "scenes/before"}},
    "files": {"score.tif": {"sha256": "ab" * 32, "bytes": 123456}},
}
HOSTILE = "</script><script>alert(1)</script>\u202e<img src=x onerror=alert(2)>\x00"


class Outline(HTMLParser):
    """Collects what the tests ask about the structure."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def html():
    return report_html(make_result(), RECORD)


@pytest.fixture(scope="module")
def words(html):
    return " ".join("".join(Outline(html).text).split())


@pytest.mark.parametrize(
    "part",
    [
        "3 candidate changes were flagged between 2023-05-14 and 2025-05-14, 2.96 ha in all",
        "S2A_MSIL2A_20230514T020701_N0509_R003_T52SBH_20240101T000000",
        "2025-05-14 02:07:01 UTC",
        "product metadata",
        "number * 0.0001 -0.1, from processing baseline 05.09: offset -1000",
        "elevation 67.1°, azimuth 141.9°",
        "0.52 px",
        "verdict: corrected",
        "Two dates alone never give “high”",
        "38.59723, 126.08981",
        "38°35'50.0\"N 126°05'23.3\"E",
        "MGRS 52SBH46557610",
        "NDVI 0.62 to 0.11",
        "18,000 m²",
        "predict.trim",
        "Pixels are 10 m wide: vehicles cannot be seen.",
        "not observed (cloud, shadow or no data)",
        "changedet verify --rerun FOLDER",
        "numpy",
        "2.9.1",
        "ab" * 32,
        "123,456",
        "scenes/before",
        "Contains modified Copernicus Sentinel data [2025]",
    ],
)
def test_the_report_carries_what_a_reviewer_asks_for(words, part):
    assert part in words


def test_sections_come_in_the_order_of_an_argument(html):
    order = ["finding", "h-viewer", "h-candidates", "h-quality", "h-objects", "h-scenes", "h-limits"]
    places = [html.index(f'id="{name}"') for name in [*order, "h-method", "h-provenance"]]
    assert places == sorted(places)


def test_the_list_says_by_what_it_is_ordered(words):
    assert "Candidates, most like construction first The order is that of the construction-like" in words
    assert "construction-like 6.00; " in words


def test_results_without_a_construction_score_are_ordered_by_score():
    result = make_result(construction=None)
    result = replace(result, objects=result.objects.assign(construction=np.nan))
    words = " ".join("".join(Outline(report_html(result, RECORD)).text).split())
    assert "Candidates, highest score first The order is that of the change score." in words
    assert "construction-like" not in words


def test_nothing_is_loaded_and_the_policy_forbids_it(html):
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in html
    assert "unsafe-inline" not in html
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp|<link|<iframe", html)
    outline = Outline(html)
    assert all(i["src"].startswith("data:image/jpeg;base64,") for i in outline.all("img"))
    assert not [a for a in outline.all("script") if "src" in a]


def test_structure_can_be_read_aloud(html):
    outline = Outline(html)
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("h1")) == 1
    assert len(outline.all("img")) == 3 + 2 * 3
    assert all(len(i["alt"]) > 10 for i in outline.all("img"))
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all("scope" in a for a in outline.all("th"))


def test_words_that_promise_too_much_do_not_occur(words):
    assert not re.search(r"\bconfirmed\b|\bno change\b|\bAI\b|probabilit", words, re.IGNORECASE)


def test_times_and_places_of_the_run_do_not_show_and_bytes_repeat(html, tmp_path):
    later = RECORD | {"created": "2040-06-06T00:00:00Z", "command": ["other"]}
    for name, record in (("a.html", RECORD), ("b.html", later)):
        write_report(make_result(), tmp_path / name, record=record)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == html
    assert "2031" not in html
    assert "secret" not in html
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_an_empty_record_is_enough():
    html = report_html(make_result(thresholds={}, detection_floor={}, parameters={}, inputs={}), {})
    assert "changedet verify --rerun FOLDER" in html
    assert "Files and their digests" not in html


def test_hostile_text_stays_text():
    result = make_result(name=HOSTILE, warnings=(HOSTILE,), parameters={HOSTILE: HOSTILE})
    scene = replace(result.before.scene, id=HOSTILE, notes=(HOSTILE,), platform=HOSTILE)
    result = replace(result, before=replace(result.before, scene=scene))
    result.objects.loc[0, ["evidence", "warnings", "confidence", "mgrs"]] = HOSTILE
    html = report_html(result, RECORD | {"limits": [HOSTILE], "files": {HOSTILE: {"sha256": HOSTILE}}})
    outline = Outline(html)
    assert len(outline.all("script")) == 1
    assert not [a for _, a in outline.tags if "onerror" in a]
    assert "\u202e" not in html
    assert "\x00" not in html
    assert "alert(1)" in "".join(outline.text)


def test_many_objects_are_capped_and_the_rest_is_counted():
    boxes = [
        (2 + 9 * (i % 11), 6 + 9 * (i % 11), 10 + 16 * (i // 11), 20 + 16 * (i // 11)) for i in range(60)
    ]
    html = report_html(make_result(boxes=boxes, kinds=[Kind(1 + i % 7) for i in range(60)]), {})
    assert html.count('class="rank"') == MOST_LISTED
    assert "10 more candidates are in changes.csv" in html
    assert len(html.encode()) < 2_000_000


def test_the_worst_picture_stays_under_two_megabytes():
    import numpy as np
    from odc.geo.geobox import GeoBox

    grid = GeoBox.from_bbox((246080, 4275460, 258080, 4287460), "EPSG:32652", resolution=10, tight=True)
    rng = np.random.default_rng(0)
    result = make_result()
    noise = rng.random((3, 1200, 1200), np.float32)
    empty = np.zeros((1200, 1200), np.uint8)
    image = replace(
        result.before, data=noise, bands=("B04", "B03", "B02"), valid=empty == 0, classes=empty, grid=grid
    )
    result = replace(
        result, grid=grid, before=image, after=replace(image, scene=result.after.scene), score=noise[0],
        state=empty, kind=empty,
    )  # fmt: skip
    assert len(report_html(result, {}).encode()) < 2_000_000


def test_outlines_are_exact_beyond_ten_thousand_pixels():
    from changedet.output import report

    ring = np.array([[10000.5, 12345.0], [10003.5, 12345.0], [10003.5, 12347.5], [10000.5, 12345.0]])
    assert report.ring_path([ring]) == "M10000.5,12345 10003.5,12345 10003.5,12347.5Z"
    assert "10003.5,12345" in report.ring_path([ring], longest=10)


def test_without_objects_it_says_so_carefully():
    html = report_html(make_result(boxes=[], kinds=[]), {})
    assert "No candidate was flagged. This does not mean that nothing happened" in html


def test_a_refused_pair_shows_its_state_and_no_normalisation():
    result = make_result(boxes=[], kinds=[])
    result.state[:] = State.NOT_COMPARABLE
    registration = replace(result.registration, verdict="not comparable", applied=False)
    html = report_html(replace(result, registration=registration, normalization=None), {})
    assert "Quality gates: refused" in html
    assert "not comparable (a quality gate refused) 100.0 %" in html
    assert "band by band</summary>" not in html


def test_simulated_imagery_is_said_first():
    result = make_result()
    after = replace(result.after, scene=replace(result.after.scene, simulated=True))
    html = report_html(replace(result, after=after), {})
    assert html.index("SIMULATED IMAGERY") < html.index("<h1>")
    assert "· SIMULATED" in html


def test_a_folder_that_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(
        OutputError, match=r"the report cannot be written \(No such file or directory\); check"
    ):
        write_report(make_result(boxes=[], kinds=[]), tmp_path / "missing" / "report.html", record={})
