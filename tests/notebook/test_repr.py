"""What notebooks show, and that terminals are told the same."""

import re
from dataclasses import replace

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.synthetic import make_image, make_result

from changedet.kinds import Kind
from changedet.notebook.repr import image_html, pair_html, result_html
from changedet.output.summary import result_text

HOSTILE = "</div><script>alert(1)</script>\u202e\x1b[31m"
BOXES = [(10 * i + 2, 10 * i + 6, 30, 36) for i in range(8)]


@pytest.mark.parametrize(
    "part",
    [
        "3 candidate changes were flagged between 2023-05-14 and 2025-05-14",
        "S2A_MSIL2A_20230514T020701_N0509_R003_T52SBH_20240101T000000",
        "2025-05-14 02:07:01 UTC",
        "98.0 %",
        "0.52 px",
        "verdict: corrected",
        "ground clearing or earthworks",
        "52SBH46557610",
        "38.59723, 126.08981",
        "1.80 ha",
        "cloudy in the north",
        "It does not mean that nothing happened there",
    ],
)
def test_both_forms_tell_the_same_facts(part):
    result = make_result(warnings=("cloudy in the north",))
    assert part in result_html(result)
    assert part in result_text(result)


def test_the_html_is_small_loads_nothing_and_has_three_described_pictures():
    html = result_html(make_result())
    assert len(html.encode()) < 150_000
    assert not re.search(r"https?:|<script|<link|url\(", html)
    sources = re.findall(r'<img src="([^"]{30})[^"]*" alt="([^"]{10,})"', html)
    assert len(sources) == 3
    assert all(source.startswith("data:image/jpeg;base64,") for source, _ in sources)
    assert html.count("<div") == html.count("</div>")
    assert result_html(make_result()) == html


def test_the_noisiest_large_picture_still_fits():
    result = make_result()
    grid = GeoBox.from_bbox((246080, 4275460, 254080, 4283460), "EPSG:32652", resolution=10, tight=True)
    noise = np.random.default_rng(0).random((3, 800, 800), np.float32)
    empty = np.zeros((800, 800), np.uint8)
    image = replace(
        result.before, data=noise, bands=("B04", "B03", "B02"), valid=empty == 0, classes=empty, grid=grid
    )
    result = replace(result, grid=grid, before=image, after=image, score=noise[0], state=empty, kind=empty)
    assert len(result_html(result).encode()) < 150_000


def test_only_the_leading_objects_are_listed_and_the_rest_is_counted():
    result = make_result(boxes=BOXES, kinds=[Kind.SURFACE] * 8)
    assert "and 3 more" in result_html(result)
    assert "and 3 more" in result_text(result)
    assert result_text(result).count("MGRS 52SBH") == 5 + 1


@pytest.mark.parametrize(("many", "left"), [(8, 0), (11, 3)])
def test_warnings_that_are_left_out_are_counted(many, left):
    texts = tuple(f"warning number {i:02}" for i in range(many))
    result = make_result(warnings=texts[:6], boxes=[], kinds=[])
    result = replace(result, pair=replace(result.pair, warnings=texts))
    for shown in (result_html(result), result_text(result)):
        assert shown.count("warning number") == 8
        assert (f"and {left} more, see run.json" in shown) == (left > 0)
    html = pair_html(result.pair)
    assert html.count("warning number") == 8
    assert (f"and {left} more, see the warnings of the pair" in html) == (left > 0)


def test_without_objects_nothing_is_promised():
    result = make_result(boxes=[], kinds=[])
    for text in (result_html(result), result_text(result)):
        assert "no candidate was flagged" in text
        assert "does not mean that nothing happened" in text


def test_hostile_text_stays_text():
    result = make_result(name=HOSTILE, warnings=(HOSTILE,))
    scene = replace(result.before.scene, id=HOSTILE)
    before = replace(result.before, scene=scene)
    pair = replace(result.pair, before=before, reason=HOSTILE, warnings=(HOSTILE,))
    html = result_html(replace(result, before=before, pair=pair)) + image_html(before) + pair_html(pair)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    for text in (html, result_text(replace(result, before=before))):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_simulated_imagery_is_said_first():
    result = make_result()
    image = replace(result.after, scene=replace(result.after.scene, simulated=True))
    result = replace(result, after=image)
    assert result_text(result).startswith("SIMULATED IMAGERY")
    assert "SIMULATED IMAGERY" in result_html(result)
    assert "SIMULATED IMAGERY" in image_html(image)


def test_an_image_tells_size_bands_and_usable_share():
    html = image_html(make_image(0))
    assert "120 x 100 pixels, EPSG:32652" in html
    assert "usable 98.4 % (classes from SCL)" in html
    assert "B02, B03, B04" in html
    assert html.count("<img") == 1


def test_a_pair_tells_its_gaps_and_that_it_is_not_registered():
    pair = make_result().pair
    html = pair_html(pair)
    assert "731 days apart, season gap 0 days, clear on both dates 98.0 %" in html
    assert "not registered" in html
    unknown = pair_html(replace(pair, days_apart=None, season_gap_days=None))
    assert "time apart not known, season gap not known" in unknown


def test_pictures_keep_true_proportions_on_a_degree_grid():
    grid = GeoBox.from_bbox((126.0, 59.99, 126.012, 60.0), "EPSG:4326", resolution=1e-4)
    aspect = float(re.search(r"aspect-ratio:([\d.]+)", image_html(make_image(0, grid=grid))).group(1))
    assert aspect == pytest.approx(1.2 * 0.502, rel=0.02)
