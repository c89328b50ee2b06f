"""Every number that stands on a plate stands in the record, and plates repeat from process to process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.output.numbers_found import altered, numbers_missing
from tests.synthetic import make_both, make_radar_alone, make_result

from changedet.kinds import Kind
from changedet.output import sheet
from changedet.output.plate import write_plate, write_plates
from changedet.provenance import run_record
from changedet.result import ChangeResult

#: What every plate says alike.
ALIKE = ("WGS 84", "Natural Earth 1:110m", "1 or 2 of")
ROOT = Path(__file__).resolve().parents[2]
AGAIN = """
import sys
from pathlib import Path
from tests.synthetic import make_result
from changedet.kinds import Kind
from changedet.output.plate import write_plate
result = make_result(boxes=[(30, 42, 40, 55)], kinds=[Kind.CONSTRUCTION])
for name in ("a.png", "a.pdf"):
    write_plate(result, Path(sys.argv[1]) / name)
"""


@pytest.fixture
def words(monkeypatch):
    """The words of each plate that is drawn, all of them."""

    def _save(self, path, title):
        said[path.name] = self.words.replace("\n", " ")

    said = {}
    monkeypatch.setattr(sheet.Sheet, "save", _save)
    return said


@pytest.mark.parametrize("make", [make_result, make_both, make_radar_alone])
def test_every_number_of_the_plates_is_in_the_record(make, words, tmp_path):
    result = make()
    labels = write_plates(result, tmp_path)
    record = json.loads(json.dumps(run_record(result)))
    record["shown"]["plates"] = [said for plate in labels.values() for said in plate]
    across = sheet.View.whole(result.grid).size_m[0]
    besides = (*ALIKE, f"{float(f'{across:.3g}') / 1000:g} km", json.dumps(list(map(str, words))))
    for name, text in words.items():
        assert numbers_missing(text, record, besides=besides) == [], name
    wrong = altered(words["overview.png"])
    assert len(numbers_missing(" ".join(wrong), record, besides=besides)) > len(wrong) / 3


def test_every_number_of_the_plates_of_a_run_is_in_its_record(sample_run, words, tmp_path):
    result = ChangeResult.open(sample_run)
    write_plates(result, tmp_path)
    record = json.loads((sample_run / "run.json").read_text(encoding="utf-8"))
    across = sheet.View.whole(result.grid).size_m[0]
    for name, text in words.items():
        besides = (*ALIKE, f"{float(f'{across:.3g}') / 1000:g} km")
        assert numbers_missing(text, record, besides=besides) == [], name


def test_plates_repeat_byte_for_byte_in_another_process(tmp_path):
    result = make_result(boxes=[(30, 42, 40, 55)], kinds=[Kind.CONSTRUCTION])
    here = [write_plate(result, tmp_path / name).read_bytes() for name in ("here.png", "here.pdf")]
    # hashes of texts differ from process to process, and so may the clock
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Etc/GMT+7", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path)], check=True, cwd=ROOT, env=environment)
    there = [(tmp_path / name).read_bytes() for name in ("a.png", "a.pdf")]
    assert here == there
    pdf = there[1]
    assert not any(word in pdf for word in (b"CreationDate", b"Producer", b"Creator", b"/ID"))
