"""The faults that pairs are spoilt with do what they are called, and what is said of them is counted."""

import json

import numpy as np
import pytest
from benchmarks import bad_images, bad_pairs


@pytest.fixture(scope="module")
def date(sample):
    return bad_images.read_date(sample / "after", 0)


def test_what_is_read_is_reflectance_and_comes_back_when_written(sample, date, tmp_path):
    bad_images.write_date(sample / "after", tmp_path / "copy", dict(date.bands))
    again = bad_images.read_date(tmp_path / "copy", 0)
    assert date.level == again.level == "L2A"
    assert 0 < np.nanmedian(date.bands["B08"]) < 1
    for name, plane in date.bands.items():
        np.testing.assert_allclose(again.bands[name], plane, atol=1e-4)


@pytest.mark.parametrize("name", bad_pairs.FAULTS)
def test_every_fault_leaves_bands_of_the_same_size_that_differ(date, name):
    fault = bad_pairs.FAULTS[name]
    bands = fault.change(date)
    assert {band: bands[band].shape for band in date.bands} == {b: p.shape for b, p in date.bands.items()}
    if name not in ("none", "place", "8-bit"):
        assert any(not np.array_equal(bands[b], p, equal_nan=True) for b, p in date.bands.items())


def test_a_shift_moves_every_band_by_the_same_metres(date):
    moved = bad_images.shifted(date, 10)
    down, right = 10 * np.sin(0.6), 10 * np.cos(0.6)
    for name, step in (("B04", 1), ("B11", 2)):
        rows, columns = round(down / step), round(right / step)
        inner = (slice(30, 90),) * 2
        content = date.bands[name][inner[0].start - rows : inner[0].stop - rows,
                                   inner[1].start - columns : inner[1].stop - columns]  # fmt: skip
        assert np.corrcoef(content.ravel(), moved[name][inner].ravel())[0, 1] > 0.85


def test_a_pair_that_is_no_pair_is_refused_and_the_good_one_makes_nothing_up(tmp_path):
    out = tmp_path / "rows.json"
    assert (
        bad_pairs.main(["--only", "simulated", "--case", "none", "--case", "turn-90", "--out", str(out)]) == 0
    )
    good, turned = json.loads(out.read_text())
    assert good["exit_code"] == 0 and good["construction"] > 0 and good["made_up_low"] == 0
    assert turned["exit_code"] == bad_pairs.REFUSED and turned["said"].startswith("not comparable: ")
    assert "| turned by 90° | 1 of 1 | 0, 0, 0 | not comparable: " in bad_pairs.table([good, turned])
