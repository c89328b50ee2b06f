"""What is published without its place does not say it, in no notation and in no file."""

import json
import re
import zlib
from dataclasses import replace

import pytest
from pyproj.exceptions import ProjError
from tests.synthetic import make_both, make_objects, make_radar_alone, make_result

from changedet.errors import OutputError
from changedet.kinds import Kind
from changedet.output import sheet
from changedet.output.folder import open_run, save, write_report_again
from changedet.output.kmz import write_kmz
from changedet.output.plate import write_plates
from changedet.output.redaction import redacted, require_redacted, secrets_of

#: What the made-up results would give away: degrees, metres, grid references, tiles, orbits, times, the sun.
TELLING = (
    "38.59", "38.60", "126.08", "126.09", "126.10", "38°", "126°", "52SBH", "52S", "EPSG", "32652", "246080",
    "4276460", "T52", "S2A_MSIL2A", "S1A_IW", "R003", "02:07", "020701", "orbit 3", "127", "sun 67", "67.1",
    "141.9", "scenes/", "secret-place",
)  # fmt: skip
PICTURES = re.compile(r"data:image/[^\"']*")


def telling(text):
    """The parts of a text that tell the place; digests have digits of their own."""
    plain = re.sub(r"\b[0-9a-f]{64}\b", "", PICTURES.sub("", text))
    return [part for part in TELLING if part in plain]


def hostile(make):
    """A result whose free texts hold what stands in the structured parts too."""
    result = make()
    scene = result.before.scene
    note = f"{scene.id} of T52SBH at 02:07:01, 38.59601, 126.09130, orbit 3, MGRS 52SBH46687596"
    objects = result.objects.assign(evidence=note, warnings=f"near 38°35'45.6\"N 126°05'28.7\"E {note}")
    before = replace(result.before, scene=replace(scene, notes=(note,), time_source=f"file {note}"))
    pair = replace(result.pair, reason=note, warnings=(note,))
    return replace(
        result, name="38.59601, 126.09130", objects=objects, before=before, pair=pair, warnings=(note,),
        redact_coordinates=True, parameters={**result.parameters, "trained_on": [note, {"tile": "T52SBH"}]},
        inputs={"before": {"path": "/home/me/secret-place/before"}, "site": {"at": "38.596, 126.091"}},
    )  # fmt: skip


@pytest.fixture
def words(monkeypatch):
    """Every word of the plates that are drawn, and what stands in the head of their files."""
    said = {}
    monkeypatch.setattr(
        sheet.Sheet, "save", lambda self, path, title: said.update({path.name: f"{title}\n{self.words}"})
    )
    return said


@pytest.mark.parametrize("make", [make_result, make_both, make_radar_alone])
def test_no_word_of_a_plate_tells_the_place(make, words, tmp_path):
    result = hostile(make)
    write_plates(redacted(result), tmp_path)
    assert len(words) >= 3
    assert {name: telling(text) for name, text in words.items()} == {name: [] for name in words}
    assert "Place withheld" in words["overview.png"]
    assert "2023-05-14" in words["overview.png"]
    words.clear()
    write_plates(result, tmp_path)
    assert len(telling(words["overview.png"])) > 5


@pytest.mark.parametrize("make", [make_result, make_both, make_radar_alone])
def test_no_word_of_a_report_tells_the_place(make, tmp_path):
    result = hostile(make)
    text = write_report_again(result, tmp_path / "a.html").read_text(encoding="utf-8")
    assert telling(text) == []
    assert "The place is withheld for publication" in text
    assert "Unnamed site" in text
    assert require_redacted(text, secrets_of(result), "report") == text
    whole = write_report_again(replace(result, redact_coordinates=False), tmp_path / "b.html")
    assert len(telling(whole.read_text(encoding="utf-8"))) > 10


def pdf_words(data):
    """The letters of a PDF whose streams are deflated, without the spacing between them."""
    streams = re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)
    blocks = []
    for stream in streams:
        try:
            page = zlib.decompress(stream)
        except zlib.error:
            continue
        blocks += re.findall(rb"\nBT\n(.*?)\nET\n", page, re.DOTALL) if b"\nBT\n" in page else []
    letters = (b"".join(re.findall(rb"\(((?:\\.|[^()\\])*)\)", block)) for block in blocks)
    return " ".join(one.replace(b"\\", b"").decode("latin-1") for one in letters)


def test_the_files_of_a_run_that_are_published_are_clean_and_the_data_whole(tmp_path):
    result = replace(make_result(), redact_coordinates=True)
    folder = save(result, tmp_path / "run")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "changes.kmz" not in names
    assert {"changes.gpkg", "score.tif", "run.json"} <= names
    for path in sorted(folder.glob("plates/*")):
        data = path.read_bytes()
        text = pdf_words(data) if path.suffix == ".pdf" else data[:2000].decode("latin-1")
        assert telling(text) == [], path.name
        # neither coordinates for cameras nor tags of GeoTIFF or GeoPDF
        assert not re.search(rb"eXIf|GeoTIFF|/VP|/Measure|/GPTS", data)
    assert telling((folder / "report.html").read_text(encoding="utf-8")) == []
    assert json.loads((folder / "run.json").read_text())["redacted"] is True
    assert "Place withheld" in pdf_words((folder / "plates" / "overview.pdf").read_bytes())
    back = open_run(folder)
    assert back.redact_coordinates
    assert back.objects["mgrs"].tolist() == result.objects["mgrs"].tolist()
    again = back.report(tmp_path / "again.html")
    assert again.read_bytes() == (folder / "report.html").read_bytes()
    shown = back.report(tmp_path / "whole.html", redact_coordinates=False).read_text(encoding="utf-8")
    assert "52SBH46687596" in shown


def test_the_index_of_sites_does_not_tell_the_place_of_a_redacted_one(tmp_path):
    from changedet.batch import Fate, Outcome
    from changedet.output.index_page import index_html

    save(replace(make_result("Hall"), redact_coordinates=True), tmp_path / "hall")
    html = index_html(tmp_path, [Outcome("Hall", Fate.COMPLETE, "hall", 3)], name="spring")
    assert "3 candidate changes were flagged" in html
    assert telling(html) == []


def test_a_plate_that_is_not_redacted_says_the_place_in_its_pdf(tmp_path):
    path = make_result().plate(tmp_path / "a.pdf")
    assert "52SBH46687596" in pdf_words(path.read_bytes())


def test_nothing_can_be_brought_back_to_coordinates(tmp_path):
    result = redacted(make_result())
    with pytest.raises(ProjError):
        result.objects.to_crs(4326)
    with pytest.raises(ProjError):
        write_kmz(tmp_path / "a.kmz", result)
    assert tuple(result.grid.transform)[:6] == pytest.approx((10, 0, 0, 0, -10, 0), abs=0.4)
    assert result.before.grid == result.pair.after.grid == result.grid


def test_pixels_areas_and_outlines_stay_as_they_are():
    from changedet.output.picture import outlines

    result = make_result()
    hidden = redacted(result)
    for name in ("area_m2", "score", "kind", "id", "confidence", "evidence"):
        assert hidden.objects[name].tolist() == result.objects[name].tolist()
    pairs = zip(outlines(hidden.objects, hidden.grid), outlines(result.objects, result.grid), strict=True)
    assert all(abs(a[0] - b[0]).max() < 1e-6 for a, b in pairs)
    assert hidden.score is result.score
    assert hidden.before.scene.date_text == "2023-05-14"
    assert hidden.before.scene.platform == "Sentinel-2A"


def test_north_stays_up_on_a_grid_that_is_turned():
    from odc.geo.geobox import GeoBox

    # polar stereographic: true north points elsewhere than up the page
    grid = GeoBox.from_bbox((800000, -1600000, 801200, -1599000), "EPSG:3413", resolution=10, tight=True)
    result = make_result()
    images = {name: replace(getattr(result, name), grid=grid) for name in ("before", "after")}
    objects = make_objects(grid, [(30, 42, 40, 55)], [Kind.WATER], *images.values())
    result = replace(result, grid=grid, objects=objects, **images)
    before, after = sheet.View.whole(grid), sheet.View.whole(redacted(result).grid)
    assert abs(before.north_deg) > 20
    assert after.north_deg == pytest.approx(before.north_deg, abs=0.6)
    assert after.pixel_m == pytest.approx(before.pixel_m, rel=1e-3)


@pytest.mark.parametrize(
    "text",
    ["at 38.596, 126.091", "grid EPSG:32652", "38°35'45\"N", "126.5°E", "MGRS 52SBH46687596", "tile T52SBH",
     "_T52SBH_2024", "S2A_20230514T020701", "at 02:07:01", "relative orbit 127", "sun 67°"],
)  # fmt: skip
def test_what_looks_like_a_place_is_refused_with_what_to_do(text):
    with pytest.raises(OutputError, match=r"plate\.png: nothing was written: it would still say .*; give"):
        require_redacted(f"words {text} words", frozenset(), "plate.png")


@pytest.mark.parametrize(
    "text",
    ["reflectance 0.012, 0.345", "B04 0.020 to 0.172, B03 0.028", "10.1093/biomet", "2023-05-14", "GeoTIFF",
     'src="data:image/jpeg;base64,/T52SBH/38.59601"', "shift 0.72 px (6.2 m north, 3.8 m east)"],
)  # fmt: skip
def test_what_only_resembles_a_place_passes(text):
    assert require_redacted(text, frozenset(), "x") == text
