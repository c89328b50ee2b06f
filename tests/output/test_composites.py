"""Nobody reads a composite as one date: every product names all of its dates."""

import zipfile
from dataclasses import replace
from datetime import timedelta

import pytest
import rasterio
from tests.synthetic import BEFORE_TIME, make_result, make_scene

from changedet.output import facts
from changedet.output.geotiff import write_rasters
from changedet.output.kmz import write_kmz
from changedet.output.plate import write_plates
from changedet.output.report import write_report
from changedet.output.summary import result_text
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
    rows = dict(facts.scene_rows(result.after.scene))
    assert rows["Relative orbit"] == rows["Processing baseline"] == "differs between the dates"
    parts = rows[facts.COMPOSITE_LABEL].split(" | ")
    assert [part[:10] for part in parts] == [*DAYS]
    assert "baseline 05.11, orbit 61" in parts[2]
    assert "number * 0.0001 -0.1" in parts[0]
    assert facts.COMPOSITE_LABEL not in dict(facts.scene_rows(result.before.scene))


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
    assert ("BEFORE" if swap else "AFTER") + " composite of 3 dates (2025-05-14 to 2025-06-03)<" in text


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
