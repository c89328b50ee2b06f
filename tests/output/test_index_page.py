"""The index of several sites: in order of what stands out, with pictures and links, and nothing hidden."""

import re
import shutil

import pytest
from tests.watch.folders import make_run

from changedet.batch import Fate, Outcome
from changedet.errors import OutputError
from changedet.kinds import Kind
from changedet.output import index_page
from changedet.output.index_page import INDEX_NAME, index_html, write_index

HOSTILE = "</script><script>alert(1)</script>\u202e<img src=x onerror=alert(2)>" + "x" * 10_000


def outcome(site, folder, fate=Fate.COMPLETE, **more):
    return Outcome(site, fate, folder, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    make_run(folder / "Hall", boxes=[], kinds=[], images=True)
    make_run(folder / "North" / "Pier 7", images=True)
    make_run(folder / "Far", boxes=[(30, 40, 30, 40)], kinds=[Kind.EARTHWORKS], images=True)
    (folder / "Far" / "before.tif").unlink()
    return folder


@pytest.fixture(scope="module")
def html(folder):
    return index_html(
        folder,
        [
            outcome("Hall", "Hall"),
            outcome("North/Pier 7", "North/Pier 7"),
            outcome("Gate", "Gate", Fate.FAILED, exit_code=3, reason="no scene covers the site"),
        ],
        name="spring",
    )


def test_sites_with_candidates_come_first_and_lead_to_their_reports(html):
    assert re.findall(r'<h3><a href="([^"]*)"', html) == ["North/Pier%207/report.html", "Hall/report.html"]
    assert "3 candidate changes were flagged at 1 of 3 sites; at 1 nothing was compared." in html


def test_every_site_has_both_dates_and_its_quality(html):
    pictures = re.findall(r'<img src="(data:image/jpeg;base64,[^"]+)" alt="([^"]+)"', html)
    assert [alt for _, alt in pictures] == [
        "North/Pier 7, before", "North/Pier 7, after", "Hall, before", "Hall, after",
    ]  # fmt: skip
    assert len({url for url, _ in pictures}) > 1
    assert "Residual shift: 0.04 px" in html
    assert "Contains modified Copernicus Sentinel data" in html


def test_what_has_no_result_is_told_with_its_reason(html):
    assert "Sites without a result" in html
    assert "no scene covers the site" in html
    assert "It does not mean that nothing happened there." in html


def test_without_images_the_score_is_shown(folder):
    html = index_html(folder, [outcome("Far", "Far")], name="spring")
    assert 'alt="Far, change score"' in html


def test_a_damaged_run_is_told_without_naming_folders_of_the_machine(folder):
    html = index_html(folder, [outcome("Lost", "Lost")], name="spring")
    assert "the run folder cannot be read: no such file" in html
    assert str(folder) not in html
    assert "at 1 nothing was compared" in html


def test_hostile_names_stay_text(folder):
    html = index_html(folder, [outcome(HOSTILE, "Hall"), outcome(HOSTILE, "x", Fate.FAILED)], name=HOSTILE)
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert len(html) < 60_000


def test_many_sites_share_the_room_for_pictures(folder, monkeypatch):
    monkeypatch.setattr(index_page, "_BYTES_OF_ALL", 20_000)
    html = index_html(folder, [outcome(f"Site {n}", "North/Pier 7") for n in range(5)], name="many")
    pictures = re.findall(r"data:image/jpeg;base64,([^\"]+)", html)
    assert len(pictures) == 10
    assert sum(map(len, pictures)) * 3 / 4 <= 20_000


def test_it_is_replaced_whole_and_says_when_it_cannot_be_written(folder, tmp_path):
    shutil.copytree(folder / "Hall", tmp_path / "Hall")
    for _ in range(2):
        path = write_index(tmp_path, [outcome("Hall", "Hall")], name="spring")
    assert path == tmp_path / INDEX_NAME
    assert sorted(one.name for one in tmp_path.iterdir()) == ["Hall", INDEX_NAME]
    with pytest.raises(OutputError, match="the index cannot be written"):
        write_index(tmp_path / "missing", [], name="spring")
