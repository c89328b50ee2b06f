"""Radar in the report: its pictures, its tracks, its numbers, and how large it may become."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.output.test_report import Outline
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.kinds import Kind
from changedet.output.report import report_html
from changedet.output.report_radar import picture_label
from changedet.provenance import run_record

#: Numbers that a reader is told of radar in general, not of this run.
_GENERAL = {3.0, 10.0}


@pytest.fixture(scope="module", params=["both", "alone"])
def told(request):
    """A result, its record as it stands in the file, and its report."""
    result = make_both() if request.param == "both" else make_radar_alone()
    record = json.loads(json.dumps(run_record(result)))
    return result, record, report_html(result, record)


def section(html, name):
    """The text of one section."""
    return text_of(part_of(html, name).removeprefix("<h2 "))


def part_of(html, name):
    """One section as markup, from its heading on."""
    part = html[html.index(f'<h2 id="{name}"') :]
    return part[: part.index("</section>")]


def text_of(html):
    return " ".join("".join(Outline(f"<div {html}").text).split())


def numbers_in(value):
    if isinstance(value, dict):
        return [n for key, one in value.items() for n in (*numbers_in(key), *numbers_in(one))]
    if isinstance(value, list):
        return [number for one in value for number in numbers_in(one)]
    if isinstance(value, str):
        return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", value)]
    return [] if value is None or isinstance(value, bool) else [float(value)]


def is_recorded(printed, known):
    """A number stands in the record as precisely as it is printed, be it a share in per cent."""
    digits = len(printed.partition(".")[2])
    number = float(printed.replace(",", ""))
    return any(round(abs(one) * scale, digits) == number for one in known for scale in (1, 100))


def test_every_number_that_radar_prints_stands_in_the_record(told):
    result, record, html = told
    kept = ("radar", "pair", "registration", "normalization", "counts")
    known = numbers_in({key: record[key] for key in kept})
    known.append(math.hypot(*record["registration"]["shift_px"]))  # its length is printed
    markup = re.search(r'id="radar-sentence">.*?</p>', html).group()
    markup = "".join([f"<p {markup}", *(part_of(html, name) for name in ("h-radar", "h-quality"))])
    said = " ".join(Outline(markup).text)
    said = re.sub(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2} UTC)?|Sentinel-1[A-D]|200 m\b", " ", said)
    printed = re.findall(r"\d[\d,]*(?:\.\d+)?", said)
    assert len(printed) > 10
    strange = [n for n in printed if not is_recorded(n, known) and float(n) not in _GENERAL]
    assert not [n for n in strange if n not in {str(i) for i in result.objects["id"]}]


def test_every_date_that_radar_prints_stands_in_the_record(told):
    _, record, html = told
    text = json.dumps(record["radar"])
    dates = re.findall(r"\d{4}-\d{2}-\d{2}", section(html, "h-radar"))
    assert len(dates) >= 11
    assert all(date in text for date in dates)


def test_both_sensors_have_a_divider_of_their_own():
    outline = Outline(report_html(make_both(), {}))
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert {"stage", "stage-radar", "divider", "divider-radar", "image-before-radar", "outlines"} <= set(ids)
    assert len(ids) == len(set(ids))
    assert sum(a.get("class") == "viewer" for a in outline.all("div")) == 2
    # natural colour, candidates, radar, what changed to radar, and four of each object
    assert len(outline.all("img")) == 3 + 3 + 4 * 4
    assert all(len(i["alt"]) > 10 for i in outline.all("img"))


def test_radar_alone_is_the_main_pair():
    html = report_html(make_radar_alone(), {})
    outline = Outline(html)
    assert sum(a.get("class") == "viewer" for a in outline.all("div")) == 1
    assert len(outline.all("img")) == 3 + 1 + 2 * 2
    assert "Natural-colour" not in html
    assert 'alt="Radar image before' in html
    words = text_of(html)
    for part in (
        "red is VV, green is VH, blue is VV divided by VH",
        "red VV -20 to 2 dB, green VH -27 to -5 dB, blue VV/VH 2 to 14 dB",
        "Power is stored number times scale plus offset",
        "The two periods",
        "Flagged by radar",
    ):
        assert part in words
    for part in ("matched to it band by band", "Clouds known from", "Sun gap", "NDVI at least", "tion-like"):
        assert part not in words


def test_objects_say_who_flagged_them_and_what_radar_saw():
    words = section(report_html(make_both(), {}), "h-objects")
    for part in (
        "Flagged by optical imagery, and radar agrees; radar: brighter by 7.8 dB",
        "Flagged by optical imagery only; radar:",
        "Flagged by optical imagery, and radar conflicts with what it looks like; radar: darker by",
        "Flagged by radar only; radar: brighter by",
        "radar before, 370 m across",
    ):
        assert part in words


def test_evidence_that_speaks_of_radar_is_not_repeated():
    result = make_both()
    objects = result.objects.assign(evidence="bare soil to built; radar agrees: brighter by 7.8 dB")
    words = section(report_html(replace(result, objects=objects), {}), "h-objects")
    assert words.count("brighter by 7.8 dB") == len(objects)


def test_what_radar_cannot_say_stands_in_the_limits(told):
    _, _, html = told
    for name in ("h-radar", "h-limits"):
        words = section(html, name)
        assert "layover" in words
        assert "Ships, vehicles" in words


def test_structure_can_be_read_aloud(told):
    _, _, html = told
    outline = Outline(html)
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all("scope" in a for a in outline.all("th"))
    assert not re.search(r"\bconfirmed\b|\bno change\b|\bAI\b|probabilit", text_of(html), re.IGNORECASE)
    assert not re.search(r"https?://|url\(|@import", html)


def test_without_radar_nothing_speaks_of_it():
    html = report_html(make_result(), run_record(make_result()))
    shown = text_of(html[html.index("</style>") : html.index("<script>")])
    assert "radar" not in shown.lower()
    assert 'class="pair four"' not in html


def test_pictures_that_were_not_kept_leave_the_words():
    result = make_both()
    empty = [replace(i, data=np.full_like(i.data, np.nan)) for i in (result.radar.before, result.radar.after)]
    html = report_html(replace(result, radar=replace(result.radar, before=empty[0], after=empty[1])), {})
    assert "stage-radar" not in html
    assert "ascending 127" in section(html, "h-radar")


def test_labels_of_pictures_are_short_in_narrow_windows():
    result = make_both()
    assert picture_label(result.radar.before.scene) == {
        "date": "6 passes", "clock": " (2023-05-14 to 2023-07-13)",
    }  # fmt: skip
    assert picture_label(replace(result.before.scene, time=None)) == {"date": "", "clock": "unknown date"}


def test_the_worst_pictures_of_both_sensors_stay_under_two_megabytes():
    grid = GeoBox.from_bbox((246080, 4275460, 258080, 4287460), "EPSG:32652", resolution=10, tight=True)
    rng, shape = np.random.default_rng(0), (1200, 1200)
    boxes = [
        (2 + 9 * (i % 11), 6 + 9 * (i % 11), 10 + 16 * (i // 11), 20 + 16 * (i // 11)) for i in range(60)
    ]
    result = make_both()
    many = make_result(boxes=boxes, kinds=[Kind(1 + i % 7) for i in range(60)]).objects.assign(sensor="both")
    nothing = np.zeros(shape, np.uint8)

    def noise(image, bands, low, high):
        data = 10 ** rng.uniform(low, high, (len(bands), *shape)).astype(np.float32)
        return replace(image, data=data, bands=bands, valid=nothing == 0, classes=nothing, grid=grid)

    before, after = (noise(i, ("B04", "B03", "B02"), -2, 0) for i in (result.before, result.after))
    seen = [noise(i, ("VV", "VH"), -2.5, 0.2) for i in (result.radar.before, result.radar.after)]
    plane = rng.random(shape, np.float32)
    radar = replace(
        result.radar, grid=grid, before=seen[0], after=seen[1], deviations=plane, change_db=plane,
        flagged=nothing > 0, observed=nothing == 0,
    )  # fmt: skip
    result = replace(
        result, grid=grid, before=before, after=after, radar=radar, objects=many, score=plane, state=nothing,
        kind=nothing, construction=None,
    )  # fmt: skip
    html = report_html(result, {})
    assert html.count('class="rank"') == 50
    assert len(html.encode()) < 2_000_000
