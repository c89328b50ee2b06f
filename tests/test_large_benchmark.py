"""The benchmark of large images: its pair is what it says, and every part of it runs."""

import json

import numpy as np
import pytest
import rasterio
from benchmarks import large

SIZE = 520


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return large.make_pair(tmp_path_factory.mktemp("large"), SIZE)


def test_the_pair_has_the_same_ground_off_by_a_known_shift_and_something_built(pair):
    planes = {}
    for date in large.SCENES:
        paths = sorted((pair / date).glob("*.tif"))
        assert len(paths) == 7
        for path in paths:
            with rasterio.open(path) as dataset:
                assert dataset.shape == ((SIZE, SIZE) if path.stem[-3:] in large.BANDS_10M else (260, 260))
                assert dataset.profile["tiled"]
                if path.stem.endswith("B04"):
                    planes[date] = dataset.read(1).astype(float)
    assert planes["after"][104, 84] == large.ROOF["B04"]
    same = np.abs(planes["before"][:256, :256] - planes["before"][256:512, 256:512])
    assert np.median(same) < 3 * large.NOISE


def test_every_part_runs_in_this_process(pair, monkeypatch):
    monkeypatch.setattr("changedet.scale.streaming.is_streamed", lambda *_: True)
    found = large.child("compare", pair, "600MB", None)
    assert found["objects"] >= 1
    assert {"reading the images", "registering", "comparing"} <= set(found["steps"])
    assert found["peak_mb"] > 50
    assert large.child("decode", pair, "", None)["seconds"] > 0
    assert large.child("naive", pair, "", None)["objects"] >= 1


def test_a_method_is_compared_like_the_usual_one_and_has_a_line_of_its_own(tmp_path, monkeypatch, capsys):
    def here(what, folder, memory, scratch):
        assert (folder / "before").is_dir()
        return large.child(what, folder, memory, scratch)

    monkeypatch.setattr(large, "measured", here)
    monkeypatch.setattr("changedet.scale.streaming.is_streamed", lambda *_: True)
    asked = ["--methods", "irmad", "--sizes", f"{SIZE}", "--memory", "600MB"]
    large.main([*asked, "--scratch", str(tmp_path), "--out", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["sizes"][f"{SIZE}"]["irmad"]["objects"] >= 1
    assert f"| {SIZE} x {SIZE} | irmad | " in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["found.json"]


def test_the_command_prints_one_document_and_the_table_has_a_line_for_each_size(pair, capsys):
    large.main(["--child", "decode", str(pair)])
    decoded = json.loads(capsys.readouterr().out)
    part = {"seconds": 30.0, "peak_mb": 1400}
    entry = {"size": 10980, "megapixels": 120.6, "decode": decoded | {"seconds": 6.0}}
    entry |= {"decode_again": {"seconds": 5.0}, "streamed": part}
    lines = large.summary([entry, entry | {"in_memory": part, "naive": part}])
    assert lines[2] == "| 10980 x 10980 | 1400 | 30.0 | 6.0 | 0.25 | does not fit | does not fit |"
    assert "30.0, 1400" in lines[3]
