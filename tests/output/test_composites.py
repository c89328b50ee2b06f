"""Nobody reads a composite as one date: every product names all of its dates."""

import zipfile
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import rasterio
from tests.synthetic import BEFORE_TIME, make_result, make_scene

from changedet.output import facts, scene_facts
from changedet.output.geotiff import write_rasters
from changedet.output.kmz import write_kmz
from changedet.output.plate import write_plates
from changedet.output.report import write_report
from changedet.output.summary import result_text
from changedet.output.vector import read_gpkg, write_vectors
from changedet.provenance import run_record

DAYS = ("2025-05-14", "2025-05-19", "2025-06-03")


@pytest.fixture(scope="module")
def result():
    """A result whose after image is made of three dates, the anchor being neither the first nor the last."""
    plain = make_result()
    members = [make_scene(BEFORE_TIME + timedelta(days=731 + days)) for days in (5, 0, 20)]
    members[2] = replace(members[2], relative_orbit=61, processing_baseline="05.11")
    scene = replace(
        members[0], id=f"{members[0].id} and 2 more", members=tuple(members), relative_orbit=None,
        processing_baseline=None,
    )  # fmt: skip
    after = replace(plain.after, scene=scene)
    return replace(plain, after=after, pair=replace(plain.pair, after=after))


def test_the_time_is_a_span(result):
    assert facts.when(result.after.scene) == "composite of 3 dates (2025-05-14 to 2025-06-03)"
    assert facts.dates_text(result.after.scene) == ", ".join(DAYS)
    assert facts.dates_text(result.before.scene) == ""
    assert "between 2023-05-14 and a composite of 3 dates (2025-05-14 to 2025-06-03)" in facts.finding(result)


def test_a_table_tells_what_differs(result):
    rows = dict(scene_facts.scene_rows(result.after.scene))
    assert rows["Relative orbit"] == rows["Processing baseline"] == "differs between the dates"
    parts = rows[scene_facts.COMPOSITE_LABEL].split(" | ")
    assert [part[:10] for part in parts] == [*DAYS]
    assert "baseline 05.11, orbit 61" in parts[2]
    assert "number * 0.0001 -0.1" in parts[0]
    assert scene_facts.COMPOSITE_LABEL not in dict(scene_facts.scene_rows(result.before.scene))


def test_the_short_text_names_every_date(result):
    assert f"every pixel shows one of {', '.join(DAYS)}" in result_text(result)


@pytest.mark.parametrize("swap", [False, True], ids=["after", "before"])
def test_the_report_names_every_scene(result, swap, tmp_path):
    if swap:
        result = replace(result, before=replace(result.before, scene=result.after.scene), after=result.before)
    write_report(result, tmp_path / "report.html", record=run_record(result))
    text = (tmp_path / "report.html").read_text()
    composite = result.before if swap else result.after
    assert all(member.id in text for member in composite.scene.members)
    assert "none, a single date" in text
    assert (
        "BEFORE" if swap else "AFTER"
    ) + ' composite of 3 dates<span class="clock"> (2025-05-14 to 2025-06-03)<' in text


def test_rasters_carry_every_time(result, tmp_path):
    write_rasters(result, tmp_path, images=True)
    times = ", ".join(f"{day}T02:07:01Z" for day in DAYS)
    with rasterio.open(tmp_path / "state.tif") as file:
        assert file.tags()["AFTER_TIME_UTC"] == times
        assert file.tags()["BEFORE_TIME_UTC"] == "2023-05-14T02:07:01Z"
    with rasterio.open(tmp_path / "after.tif") as file:
        assert file.tags()["TIME_UTC"] == times


def test_placemarks_name_every_date(result, tmp_path):
    write_kmz(tmp_path / "changes.kmz", result)
    with zipfile.ZipFile(tmp_path / "changes.kmz") as archive:
        text = archive.read("doc.kml").decode()
    assert f"every pixel shows one of {', '.join(DAYS)}" in text


def test_plates_name_every_date(result, tmp_path, monkeypatch):
    written = []
    from changedet.output.sheet import Sheet

    write = Sheet.write
    monkeypatch.setattr(
        Sheet, "write", lambda self, text, *rest: written.append(text) or write(self, text, *rest)
    )
    write_plates(replace(result, objects=result.objects.head(1)), tmp_path)
    assert sum(f"composite of {', '.join(DAYS)}" in text for text in written) == 2
    identifiers = ", ".join(member.id for member in result.after.scene.acquisitions)
    assert written.count(identifiers) == 2
    assert not any("and 2 more" in text for text in written)


def test_five_long_identifiers_fit_on_a_plate(result):
    from changedet.output.plate import plot

    members = tuple(
        make_scene(BEFORE_TIME + timedelta(days=731 + days), provider="earth-search") for days in range(5)
    )
    scene = replace(members[0], id="a composite", members=members)
    figure = plot(replace(result, after=replace(result.after, scene=scene)))
    texts = [text.get_text() for text in figure.texts]
    caption = next(text for text in texts if members[4].id in text)
    assert all(member.id in caption for member in members)
    assert "…" not in caption
    assert any(text.startswith("Earth Search: composite of 2025-05-14, 2025-05-15") for text in texts)
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    assert not [
        (one.get_text(), other.get_text())
        for i, one in enumerate(figure.texts)
        for j, other in enumerate(figure.texts[:i])
        if boxes[i].overlaps(boxes[j])
    ]


def test_a_candidate_says_between_which_dates_it_lies(result, tmp_path):
    from changedet.core.threshold import Thresholds
    from changedet.objects import Flagged, build_objects

    labels = np.zeros(result.score.shape, np.int32)
    labels[30:42, 40:55] = 1
    limits = Thresholds(1.0, 0.5, 0.5, 0.1)
    flagged = Flagged(labels, result.score, limits, result.score, limits, np.ones(labels.shape, bool))
    objects, _ = build_objects(flagged, result.before, result.after)
    row = objects.to_dict("records")[0]
    assert row["after_dates"] == ", ".join(DAYS)
    assert row["before_dates"] == "2023-05-14"
    assert row["after_scenes"] == ", ".join(one.id for one in result.after.scene.acquisitions)
    assert scene_facts.between(row) == ("2023-05-14", "2025-05-14/2025-06-03")
    write_vectors(replace(result, objects=objects), tmp_path)
    assert '"after_dates": "2025-05-14, 2025-05-19, 2025-06-03"' in (tmp_path / "changes.geojson").read_text()
    write_report(replace(result, objects=objects), tmp_path / "report.html", record=run_record(result))
    report = (tmp_path / "report.html").read_text()
    assert "between 2023-05-14 and 2025-05-14/2025-06-03" in report


def test_objects_of_earlier_versions_have_only_the_outermost_dates(result, tmp_path):
    import pyogrio

    write_vectors(result, tmp_path)
    old = pyogrio.read_dataframe(tmp_path / "changes.gpkg").drop(columns=["after_dates", "before_scenes"])
    (tmp_path / "changes.gpkg").unlink()
    pyogrio.write_dataframe(old, tmp_path / "changes.gpkg", layer="changes")
    row = read_gpkg(tmp_path / "changes.gpkg").to_dict("records")[0]
    assert row["after_dates"] == row["before_scenes"] == ""
    assert scene_facts.between(row) == ("2023-05-14", row["first_seen"][:10])


def test_the_report_has_a_row_for_each_scene_that_was_given(result, tmp_path):
    given = [replace(one, provider="earth-search") for one in result.after.scene.members]
    inputs = {
        "before": {"path": "scenes/before"},
        "after": {"provider": "earth-search", "scenes": [one.to_dict() for one in given]},
    }
    rows, left = scene_facts.input_rows(inputs)
    assert [row[1] for row in rows] == [*DAYS]
    assert rows[2] == (
        "after", "2025-06-03", "Earth Search", given[2].id, "05.11",
        "-0.1, from processing baseline 05.09: offset -1000", "61",
    )  # fmt: skip
    assert left == {"before": {"path": "scenes/before"}, "after": {"provider": "earth-search"}}
    result = replace(result, inputs=inputs)
    write_report(result, tmp_path / "report.html", record=run_record(result))
    text = (tmp_path / "report.html").read_text()
    assert text.count(f'<td class="id">{given[2].id}</td>') == 1
    assert "&#39;id&#39;" not in text


@pytest.mark.parametrize("damaged", [{}, {"after": None}, *({"after": {"scenes": [x]}} for x in (3, {}))])
def test_a_record_that_lacks_something_is_shown_all_the_same(damaged):
    rows, _ = scene_facts.input_rows(damaged)
    assert all(cell for row in rows for cell in row[4:])


def test_the_head_of_the_report_names_who_gave_the_imagery(result, tmp_path):
    before = replace(result.before, scene=replace(result.before.scene, provider="planetary-computer"))
    write_report(replace(result, before=before), tmp_path / "report.html", record=run_record(result))
    text = (tmp_path / "report.html").read_text()
    assert "Imagery from Planetary Computer and local files." in text
