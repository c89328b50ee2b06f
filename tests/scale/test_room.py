"""Planes that are opened again lie on disk where they are large, and hold the same."""

import numpy as np
import pytest
from tests.synthetic import make_result

from changedet.core.planes import new_plane
from changedet.errors import InputFileError
from changedet.output.folder import open_run, save
from changedet.output.geotiff import stored_bytes
from changedet.scale import room
from changedet.scale.room import room_for_planes


def on_disk(array):
    return isinstance(array, np.memmap) or (array.base is not None and on_disk(array.base))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    result = make_result()
    return result, save(result, tmp_path_factory.mktemp("room") / "run")


def test_little_stays_in_memory():
    with room_for_planes(1e6):
        assert not on_disk(new_plane((3, 4), np.uint8))


def test_much_goes_to_disk_and_only_while_it_lasts():
    with room_for_planes(1e9):
        assert on_disk(new_plane((3, 4), np.uint8))
    assert not on_disk(new_plane((3, 4), np.uint8))


def test_a_large_run_is_opened_on_disk_with_the_same_content(run, monkeypatch):
    result, folder = run
    monkeypatch.setattr(room, "_SMALL_BYTES", 0)
    back = open_run(folder)
    for name in ("score", "construction", "state", "kind"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result, name))
        assert on_disk(getattr(back, name)), name
        assert getattr(back, name).dtype == getattr(result, name).dtype
    for date in ("before", "after"):
        image, kept = getattr(back, date), getattr(result, date)
        np.testing.assert_array_equal(image.data, kept.data)
        np.testing.assert_array_equal(image.valid, kept.valid)
        np.testing.assert_array_equal(image.classes, kept.classes)
        assert on_disk(image.data)
    assert back.report(folder.parent / "again.html").read_bytes() == (folder / "report.html").read_bytes()


def test_what_a_run_takes_is_known_before_it_is_read(run):
    result, folder = run
    pixels, bands = result.score.size, len(result.before.bands)
    assert stored_bytes(folder) == pixels * (4 + 4 + 1 + 1 + 2 * 4 * (bands + 2))


def test_a_damaged_raster_takes_nothing_and_is_named_when_it_is_read(run, tmp_path):
    (tmp_path / "run.json").write_bytes((run[1] / "run.json").read_bytes())
    (tmp_path / "score.tif").write_bytes(b"no raster")
    assert stored_bytes(tmp_path) == 0
    with pytest.raises(InputFileError, match=r"score\.tif: damaged"):
        open_run(tmp_path)


def test_images_that_were_not_kept_take_no_memory(tmp_path):
    folder = save(make_result(), tmp_path / "run", keep_images=False)
    image = open_run(folder).before
    assert np.isnan(image.data).all()
    assert not image.valid.any()
    assert {*image.data.strides, *image.valid.strides, *image.classes.strides} == {0}
