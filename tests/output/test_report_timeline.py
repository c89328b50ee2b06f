"""A report that tells of a timeline: of the same place, as it was written, and of none that is withheld."""

import json

import numpy as np
import pytest
from tests.output.numbers_found import words_of_page
from tests.synthetic import make_result
from tests.timelines import make_images, make_synthetic

from changedet.errors import MissingInputError, UsageError, VerificationError
from changedet.output.picture import to_jpeg_data_url
from changedet.output.report_timeline import read_timeline
from changedet.output.timeline_folder import timeline_record
from changedet.provenance import file_records

HOSTILE = "</script><script>alert(1)</script>\u202e"


@pytest.fixture(scope="module")
def made():
    """The record of a timeline with a break, and a picture in place of its plot."""
    import cv2

    record = timeline_record(make_synthetic(make_images(24, 30, built_at=14, hidden={5})))
    picture = np.full((300, 400, 3), 255, np.uint8)
    picture[100:110] = (0, 0, 200)
    return json.dumps(record), cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture
def timeline(tmp_path, made):
    """Write the folder of a timeline on the ground of the made-up result, with changes."""

    def _write(**changes):
        folder = tmp_path / "timeline"
        folder.mkdir(exist_ok=True)
        (folder / "timeline.png").write_bytes(made[1])
        grid = make_result().grid
        described = {"crs": "EPSG:32652", "transform": list(grid.transform)[:6], "shape": list(grid.shape)}
        record = json.loads(made[0]) | {"grid": described, "files": file_records(folder, ["timeline.png"])}
        (folder / "timeline.json").write_text(json.dumps(record | changes), encoding="utf-8")
        return folder

    return _write


def test_breaks_stand_in_the_report_with_their_interval_and_evidence(timeline, tmp_path):
    path = make_result().report(tmp_path / "report.html", timeline=timeline())
    html = path.read_text(encoding="utf-8")
    words = words_of_page(html)
    assert "The site in time" in words
    said = json.loads((tmp_path / "timeline" / "timeline.json").read_text(encoding="utf-8"))
    (one,) = [found for zone in said["zones"] for found in zone["breaks"]][:1]
    assert f"{one['after']} to {one['by']}" in words
    assert one["evidence"] in words
    assert one["decided_by"]["label"] in words
    assert html.index("h-objects") < html.index("h-timeline") < html.index("h-scenes")
    assert len(html.encode()) < 2_000_000


def test_without_a_timeline_nothing_is_said_of_one(tmp_path):
    html = make_result().report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "h-timeline" not in html


def test_no_break_is_told_carefully(timeline, tmp_path):
    html = make_result().report(tmp_path / "report.html", timeline=timeline(zones=[])).read_text()
    assert "No break was found. This does not mean that nothing happened." in html


def test_hostile_names_stay_text(timeline, tmp_path):
    html = make_result().report(tmp_path / "report.html", timeline=timeline(name=HOSTILE)).read_text()
    assert html.count("<script>") == 1
    assert "\u202e" not in html


def test_the_timeline_of_another_place_is_refused(timeline):
    far = {"crs": "EPSG:32633", "transform": [10, 0, 500000, 0, -10, 5000000], "shape": [40, 40]}
    with pytest.raises(UsageError, match="of another place; name one of the same site"):
        read_timeline(timeline(grid=far), make_result().grid)


def test_a_place_that_is_withheld_is_not_told_by_a_timeline(timeline, tmp_path):
    with pytest.raises(UsageError, match="says where the site is"):
        make_result().report(tmp_path / "report.html", timeline=timeline(), redact_coordinates=True)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "other/2"}, "layout 'other/2' is not"),
        ({"dates": 7}, "damaged"),
        ({"files": {}}, "damaged"),
    ],
)
def test_what_is_damaged_is_told_in_one_line(timeline, changes, said):
    with pytest.raises(VerificationError, match=said) as caught:
        read_timeline(timeline(**changes), make_result().grid)
    assert "\n" not in str(caught.value)


def test_a_plot_that_was_changed_and_a_folder_that_is_none(timeline, tmp_path):
    folder = timeline()
    (folder / "timeline.png").write_bytes(b"other")
    with pytest.raises(VerificationError, match=r"timeline\.png was changed"):
        read_timeline(folder, make_result().grid)
    (folder / "timeline.json").write_bytes(b"\xff")
    with pytest.raises(VerificationError, match="damaged"):
        read_timeline(folder, make_result().grid)
    with pytest.raises(MissingInputError, match="name a folder that changedet timeline wrote"):
        read_timeline(tmp_path, make_result().grid)


def test_the_plot_is_a_picture_that_fits(timeline):
    said = read_timeline(timeline(), make_result().grid)
    assert said["plot"].startswith("data:image/jpeg;base64,")
    assert len(said["plot"]) < len(to_jpeg_data_url(np.zeros((1500, 1500, 3), np.uint8))) + 300_000
    assert len(said["sha256"]) == 64
