"""Radar on plates, in virtual globes and in notebooks."""

import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from tests.output.test_plate import words_of
from tests.synthetic import BEFORE_TIME, make_both, make_passes, make_radar_alone, make_result, mean_scene

from changedet.notebook.repr import result_html
from changedet.output.kmz import KML_NAMESPACE, make_overlays, write_kmz
from changedet.output.plate import plot, write_plates
from changedet.output.radar_picture import radar_drawn
from changedet.output.radar_plate import radar_plate
from changedet.output.sheet import plate_style

COLOURS = "red VV -20 to 2 dB, green VH -27 to -5 dB, blue VV/VH 2 to 14 dB"
FORBIDDEN = re.compile(r"\bconfirmed\b|\bno change\b|\bAI\b|probabilit", re.IGNORECASE)


def drawn_plate(result):
    with plate_style():
        return radar_plate(result, result.radar, radar_drawn(result)).figure


def kml_text(path):
    with zipfile.ZipFile(path) as archive:
        root = ET.fromstring(archive.read("doc.kml"))
        return root, " ".join("".join(root.itertext()).split()), archive.namelist()


@pytest.mark.parametrize(
    "part",
    [
        "Test site: what radar saw",
        "Candidates: both sensors 1, optical imagery only 1, radar only 1, conflicting 1.",
        "Radar before: mean of 6 dates (2023-05-14 to 2023-07-13)",
        "Change: red brighter, cyan darker now",
        "Mean power of 6 passes before and 5 after, track ascending 127",
        "red is VV, green is VH",
        COLOURS,
        "red is VV after, green and blue are VV before",
        "Track ascending 127, likelihood ratio, looks 17.2, satellites: Sentinel-1C 0.31 px down",
        "Track descending 61, log-ratio",
        "layover",
        "does not mean that nothing happened",
        "Contains modified Copernicus Sentinel data [2023]",
        "200 m",
    ],
)
def test_the_plate_of_radar_carries_what_a_reviewer_asks_for(part):
    words = words_of(drawn_plate(make_both()))
    assert part in words
    assert not FORBIDDEN.search(words)


def test_it_has_three_panels_and_its_text_stays_on_the_page():
    figure = drawn_plate(make_both())
    # three panels, the legend of kinds, and where on Earth the site lies
    assert len(figure.axes) == 5
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    for text in figure.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


def test_outlines_have_a_legend_of_kinds():
    result = make_both()
    (legend,) = [axes.get_legend() for axes in drawn_plate(result).axes if axes.get_legend()]
    assert {text.get_text() for text in legend.get_texts()} == {str(kind) for kind in result.objects["kind"]}
    nothing = drawn_plate(replace(result, objects=result.objects.head(0)))
    assert not any(axes.get_legend() for axes in nothing.axes)


def test_many_tracks_are_counted():
    result = make_both()
    tracks = result.radar.tracks[:1] * 9
    words = words_of(drawn_plate(replace(result, radar=replace(result.radar, tracks=tracks))))
    assert "And 3 more tracks, see run.json." in words


def test_radar_gets_a_plate_and_repeats_byte_for_byte(tmp_path):
    result = make_both(objects=make_both().objects.iloc[2:3])
    for name in ("a", "b"):
        names = [path.name for path in write_plates(result, tmp_path / name)]
    assert names == ["overview.png", "radar.png", "object-3.png", "overview.pdf"]
    assert (tmp_path / "a" / "radar.png").read_bytes() == (tmp_path / "b" / "radar.png").read_bytes()
    picture = cv2.imread(str(tmp_path / "a" / "radar.png"))
    assert picture.shape[1] == 3600
    assert picture.std() > 20


def test_no_plate_of_radar_without_its_pixels(tmp_path):
    result = make_both(objects=make_both().objects.iloc[:0])
    empty = replace(result.radar.before, data=np.full_like(result.radar.before.data, np.nan))
    written = write_plates(replace(result, radar=replace(result.radar, before=empty)), tmp_path)
    assert [path.name for path in written] == ["overview.png", "overview.pdf"]


@pytest.mark.parametrize(("bands", "words"), [(("VV", "VH"), COLOURS), (("VV",), "VV -20 to 2 dB")])
def test_the_overview_of_radar_alone_explains_its_colours(bands, words):
    found = words_of(plot(make_radar_alone(bands)))
    assert words in found
    assert "How to read" in found
    assert "6 passes, named in run.json" in found
    assert "percentile" not in found
    assert "sun " not in found


def test_few_passes_are_named_on_the_plate():
    result = make_radar_alone()
    scene = mean_scene(make_passes(BEFORE_TIME, 2))
    found = words_of(plot(replace(result, before=replace(result.before, scene=scene))))
    assert all(one.id in found for one in scene.members)


def test_object_plates_say_who_flagged_what(tmp_path, monkeypatch):
    from changedet.output.sheet import Sheet

    words = {}
    monkeypatch.setattr(
        Sheet, "save", lambda self, path, title: words.update({path.name: words_of(self.figure)})
    )
    write_plates(make_both(), tmp_path)
    assert "Flagged by optical imagery, and radar agrees" in words["object-1.png"]
    assert "High takes both sensors" in words["object-1.png"]
    assert "Flagged by radar only" in words["object-4.png"]
    write_plates(make_radar_alone(), tmp_path)
    assert "Radar alone never gives high confidence." in words["object-1.png"]
    write_plates(make_result(), tmp_path)
    assert "Two dates alone never give high confidence." in words["object-1.png"]
    assert "adar" not in words["object-1.png"]


def test_globes_are_told_of_radar(tmp_path):
    write_kmz(tmp_path / "both.kmz", make_both())
    root, text, _ = kml_text(tmp_path / "both.kmz")
    for part in ("Radar: 2 tracks", "layover", "flagged by radar only", "brighter by 7.8 dB on average"):
        assert part in text
    data = {
        one.get("name"): one[0].text
        for one in root.iterfind(f".//{{{KML_NAMESPACE}}}Placemark[1]//{{*}}Data")
    }
    assert data["sensor"] in {"both", "optical only", "radar only", "conflicting"}
    assert float(data["radar_db"]) in set(make_both().objects["radar_db"])


def test_what_no_radar_said_is_not_in_the_globe(tmp_path):
    write_kmz(tmp_path / "one.kmz", make_result())
    root, text, _ = kml_text(tmp_path / "one.kmz")
    names = {one.get("name") for one in root.iterfind(".//{*}Data")}
    assert "sensor" in names
    assert not {"radar_db", "radar_deviations"} & names
    assert "nan" not in text.lower().split()


def test_the_pictures_of_radar_alone_lie_in_the_globe(tmp_path):
    result = make_radar_alone()
    overlays = make_overlays(result)
    assert set(overlays) == {"before", "after"}
    picture = cv2.imdecode(np.frombuffer(overlays["after"].png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert (picture[:, 0, 3] == 0).all()  # no pass sees the western edge
    write_kmz(tmp_path / "alone.kmz", result)
    _, text, names = kml_text(tmp_path / "alone.kmz")
    assert {"images/before.png", "images/after.png"} <= set(names)
    assert COLOURS in text
    assert "the mean of 2023-05-14, 2023-05-26" in text
    assert "radar power is of no clear kind" in text


def test_notebooks_show_radar_below_the_optical_images():
    html = result_html(make_both())
    assert html.count("<img") == 6
    assert "Radar after: mean of 5 dates" in html
    assert "Flagged by" in html
    assert html.count(">conflicting<") == 1
    assert len(html) < 150_000
    assert not FORBIDDEN.search(re.sub(r"base64,[^\"]+", "", html))


def test_notebooks_of_radar_alone_show_it_once():
    html = result_html(make_radar_alone())
    assert html.count("<img") == 3
    assert COLOURS in html
    assert "not kept" not in html
    later = make_radar_alone(name="later")
    scene = replace(later.after.scene, time=BEFORE_TIME + timedelta(days=900))
    assert "later" in result_html(replace(later, after=replace(later.after, scene=scene)))
