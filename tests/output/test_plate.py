"""Plates: what is on them, that they repeat byte for byte, and that hostile input does not break them."""

from dataclasses import replace
from itertools import pairwise

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.synthetic import make_image, make_objects, make_result

from changedet.errors import OutputError
from changedet.kinds import KIND_LABELS, Kind
from changedet.output import sheet
from changedet.output.facts import consistent_with
from changedet.output.plate import MOST_OBJECT_PLATES, plot, write_plates
from changedet.result import State

#: Scores of which the threshold of made-up results lies in the middle.
WIDE = np.linspace(0, 8, 12000, dtype=np.float32).reshape(100, 120)
HOSTILE = "Bad $\\frac{1}{0}$ \x00\x1b[31m \u202e" + "서해 name " * 1200


def words_of(figure):
    texts = [t.get_text() for t in figure.texts]
    for axes in figure.axes:
        texts += [t.get_text() for t in axes.texts]
        if axes.get_legend():
            texts += [t.get_text() for t in axes.get_legend().get_texts()]
    return " ".join(" ".join(texts).split())


@pytest.fixture(scope="module")
def overview():
    return plot(make_result(warnings=("much of the site is cloudy",)))


@pytest.mark.parametrize(
    "words",
    [
        "Before: 2023-05-14 02:07:01 UTC",
        "After: 2025-05-14 02:07:01 UTC",
        "S2A_MSIL2A_20230514T020701_N0509_R003_T52SBH_20240101T000000",
        "S2A_MSIL2A_20250514T020701_N0509_R003_T52SBH_20240101T000000",
        "Sentinel-2A, level L2A, 10 m pixels",
        "38.59601, 126.09130",
        "38°35'45.6\"N 126°05'28.7\"E",
        "MGRS 52SBH46687596",
        "EPSG:32652",
        "shift 0.52 px (4.2 m north, 3.1 m east) corrected, residual 0.04 px = 0.4 m",
        "Same stretch on both dates",
        "below the detection floor",
        "does not mean that nothing happened",
        "Contains modified Copernicus Sentinel data [2023]",
        "200 m",
        "N",
        "not observed",
        "ground clearing or earthworks",
        "much of the site is cloudy",
        "Candidates: 3 flagged",
    ],
)
def test_the_overview_carries_what_a_reviewer_asks_for(overview, words):
    assert words in words_of(overview)


def test_panels_have_true_proportions_and_labelled_graticule(overview):
    panel = overview.axes[0]
    box, (width, height) = panel.get_position(), overview.get_size_inches()
    assert box.width * width / (box.height * height) == pytest.approx(1.2, rel=0.01)
    assert all(t.get_text().endswith("°E") for t in panel.get_xticklabels())
    assert panel.get_yticklabels()[0].get_text().endswith("°N")


def test_the_scale_bar_is_as_long_as_it_says(overview):
    line = overview.axes[0].lines[0]
    assert np.ptp(line.get_xdata()) * 10 == pytest.approx(200, rel=0.002)


def test_labels_of_the_graticule_do_not_meet(overview):
    overview.canvas.draw()
    for axes in overview.axes[:3]:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_a_degree_grid_is_drawn_in_true_proportions():
    grid = GeoBox.from_bbox((126.0, 59.99, 126.012, 60.0), "EPSG:4326", resolution=1e-4)
    result = make_result()
    images = {
        name: replace(make_image(0, grid=grid), scene=getattr(result, name).scene)
        for name in ("before", "after")
    }
    objects = make_objects(grid, [(30, 42, 40, 55)], [Kind.WATER], *images.values())
    figure = plot(replace(result, grid=grid, objects=objects, **images))
    box, size = figure.axes[0].get_position(), figure.get_size_inches()
    assert box.width * size[0] / (box.height * size[1]) == pytest.approx(1.2 * 0.502, rel=0.02)
    # a pixel is 5.58 m wide here
    assert "200 m" in words_of(figure)
    assert np.ptp(figure.axes[0].lines[0].get_xdata()) * 5.58 == pytest.approx(200, rel=0.005)


def test_files_repeat_byte_for_byte_and_are_printable(tmp_path):
    result = make_result(boxes=[(30, 42, 40, 55)], kinds=[Kind.CONSTRUCTION])
    first, second = (list(write_plates(result, tmp_path / name)) for name in "ab")
    assert [p.name for p in first] == ["overview.png", "object-1.png", "overview.pdf"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    picture = cv2.imread(str(first[0]))
    assert picture.shape[1] == 12 * sheet.PLATE_DPI
    assert picture.std() > 20
    assert b"Software" not in first[0].read_bytes()[:2000]


def test_the_look_does_not_depend_on_the_users_settings_and_leaves_them_alone(tmp_path):
    result = make_result(boxes=[], kinds=[])
    plain = next(iter(write_plates(result, tmp_path / "plain"))).read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "image.cmap": "jet"}):
        before = dict(mpl.rcParams)
        assert next(iter(write_plates(result, tmp_path / "own"))).read_bytes() == plain
        assert dict(mpl.rcParams) == before


def test_only_the_leading_objects_get_plates(tmp_path, monkeypatch):
    monkeypatch.setattr(sheet.Sheet, "save", lambda self, path, title: path.write_bytes(b""))
    boxes = [(10 * i + 2, 10 * i + 6, 30, 36) for i in range(9)]
    written = list(write_plates(make_result(boxes=boxes, kinds=[Kind.SURFACE] * 9), tmp_path))
    assert [p.name for p in written[1:-1]] == [f"object-{i}.png" for i in range(1, MOST_OBJECT_PLATES + 1)]


def test_without_objects_the_overview_says_so_carefully():
    words = words_of(plot(make_result(boxes=[], kinds=[])))
    assert "No candidate was flagged" in words
    assert "does not mean that nothing happened" in words


def test_a_refused_pair_is_drawn_as_not_comparable():
    result = make_result(boxes=[], kinds=[])
    registration = replace(result.registration, verdict="not comparable", applied=False)
    state = np.full_like(result.state, State.NOT_COMPARABLE)
    score = np.full_like(result.score, np.nan)
    words = words_of(
        plot(replace(result, registration=registration, state=state, score=score, normalization=None))
    )
    assert "were not compared" in words
    assert "not comparable" in words
    assert "drawn as they were loaded" in words


def test_simulated_imagery_is_said_on_the_plate():
    result = make_result()
    after = replace(result.after, scene=replace(result.after.scene, simulated=True))
    assert words_of(plot(replace(result, after=after))).count("SIMULATED IMAGERY") == 2
    assert "SIMULATED" not in words_of(plot(result))


@pytest.mark.parametrize(("many", "left"), [(3, 0), (5, 2)])
def test_warnings_that_are_left_out_are_counted(many, left):
    words = words_of(plot(make_result(warnings=tuple(f"warning number {i}" for i in range(many)))))
    assert words.count("warning number") == 3
    assert (f"and {left} more, see run.json" in words) == (left > 0)


@pytest.mark.parametrize("seed", [0.85, 2.6, 4.4, 6.0, 7.2, np.inf])
@pytest.mark.parametrize("scale", [0.0123, 123.0])
def test_labels_of_the_score_bar_do_not_meet(seed, scale):
    result = make_result()
    thresholds = {"median": 0.8 * scale, "seed": seed * scale}
    with sheet.plate_style():
        figure = plot(replace(result, score=result.score * np.float32(scale), thresholds=thresholds))
        figure.canvas.draw()
    bar = next(a for a in figure.axes if any("background" in t.get_text() for t in a.get_xticklabels()))
    boxes = [t.get_window_extent() for t in bar.get_xticklabels()]
    assert "or more" in bar.get_xticklabels()[-1].get_text()
    assert all(right.x0 - left.x1 > 1 for left, right in pairwise(boxes))


def test_the_threshold_is_on_the_bar_where_there_is_room():
    assert any(
        "4.4 flagged" in t.get_text() for a in plot(make_result(score=WIDE)).axes for t in a.get_xticklabels()
    )


@pytest.mark.parametrize("kind", [k for k in Kind if k != Kind.NONE])
def test_the_title_of_an_object_is_whole_beside_the_alarm(tmp_path, monkeypatch, kind):
    saved = {}
    monkeypatch.setattr(sheet.Sheet, "save", lambda self, path, title: saved.update({path.name: self.figure}))
    result = make_result(kinds=[kind, Kind.WATER, Kind.WATER])
    objects = result.objects.assign(id=[1234, 2, 3])
    scene = replace(result.after.scene, simulated=True)
    result = replace(result, objects=objects, after=replace(result.after, scene=scene))
    write_plates(result, tmp_path)
    figure = saved["object-1234.png"]
    figure.canvas.draw()
    title, alarm = figure.texts[1], figure.texts[0]
    assert alarm.get_text().startswith("SIMULATED")
    assert title.get_text().startswith("Candidate 1234 of 3: ")
    assert consistent_with(KIND_LABELS[kind]) in title.get_text()
    assert title.get_window_extent().x1 < alarm.get_window_extent().x0


def test_what_is_told_of_an_object_ends_above_the_foot(tmp_path, monkeypatch):
    saved = {}
    monkeypatch.setattr(sheet.Sheet, "save", lambda self, path, title: saved.update({path.name: self.figure}))
    result = make_result(boxes=[(30, 40, 40, 50)], kinds=[Kind.SURFACE])
    objects = result.objects.assign(
        evidence="grey ground, later brown " * 12, warnings="so does wet soil " * 11
    )
    write_plates(replace(result, objects=objects), tmp_path)
    figure = saved["object-1.png"]
    figure.canvas.draw()
    boxes = {text.get_text(): text.get_window_extent() for text in figure.texts}
    (warned,) = (box for text, box in boxes.items() if text.startswith("so does"))
    (foot,) = (box for text, box in boxes.items() if text.startswith("Centre of the site"))
    assert warned.y0 > foot.y1


def test_hostile_names_are_clipped_and_drawn(tmp_path):
    result = make_result(name=HOSTILE, boxes=[(30, 42, 40, 55)], kinds=[Kind.WATER], warnings=(HOSTILE,))
    scene = replace(result.before.scene, id=HOSTILE, platform=HOSTILE)
    result = replace(result, before=replace(result.before, scene=scene))
    result.objects.loc[0, ["evidence", "warnings"]] = HOSTILE
    paths = write_plates(result, tmp_path)
    assert all(path.stat().st_size > 10_000 for path in paths)
    assert "\x1b" not in words_of(plot(result))


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match=r"the plates cannot be written .*; check permission"):
        write_plates(make_result(boxes=[], kinds=[]), blocked)


def test_long_text_wraps_to_its_box_and_ends_in_an_ellipsis():
    lettering = sheet.Lettering(7, most_lines=2)
    lines = sheet.wrap("word " * 200, 2.0, lettering)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 2.0 * 72 / (7 * 0.5)


def test_letters_without_a_glyph_become_a_hollow_square():
    assert sheet.printable("Ñ 서") == "Ñ □"
