"""The pairs that registration is measured on: their truth has to be true, whatever makes it."""

import json

import numpy as np
import pytest
import rasterio
from benchmarks import registration
from benchmarks.registration_pairs import BANDS, CASES, Displacement, PairMaker, make

SIZE = 192


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    return {case: make(root, case, SIZE) for case in "AC"}


def read(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize("case", CASES)
def test_the_truth_on_the_reference_leads_back_to_the_moving_image(case):
    displacement = Displacement(case, 500, 3)
    axis = np.arange(0.0, 500, 23)
    row_px, column_px = displacement.on_reference(axis[:, None], axis[None])
    there = displacement.at(axis[:, None] - row_px, axis[None] - column_px)
    np.testing.assert_allclose(there, (row_px, column_px), atol=1e-9)


def test_a_distortion_is_one_and_a_shift_is_none():
    axis = np.arange(0.0, 500, 23)
    spans = {case: np.ptp(Displacement(case, 500, 3).on_reference(axis[:, None], axis[None]), axis=(1, 2))
             for case in CASES}  # fmt: skip
    assert (spans["C"] > 0.5).all()
    assert not any(spans[case].any() for case in "ABD")


def test_files_are_as_large_images_of_sentinel_2_are_stored(folders):
    with rasterio.open(folders["A"] / "moving.tif") as file:
        assert (file.count, file.shape, file.dtypes[0]) == (len(BANDS), (SIZE, SIZE), "uint16")
        assert (file.compression.value, file.block_shapes[0]) == ("DEFLATE", (512, 512))


def test_content_lies_where_the_truth_says(folders):
    """Sampling the moving image at q - d(q), by another spline than made it, gives the reference."""
    from scipy.ndimage import map_coordinates

    truth = np.load(folders["A"] / "truth.npz")
    reference, moving = (
        read(folders["A"] / f"{name}.tif")[2].astype(float) for name in ("reference", "moving")
    )
    places = np.stack(np.meshgrid(truth["axis"], truth["axis"], indexing="ij")) - truth["shift_px"]
    at_truth, mirrored = (
        map_coordinates(moving, where, order=3)[30:-30, 30:-30]
        for where in (places, places + 2 * truth["shift_px"])
    )
    inner = reference[30:-30, 30:-30]
    # there is no gain or haze in this case, but the haze that keeps numbers positive
    assert np.corrcoef(at_truth.ravel(), inner.ravel())[0, 1] > 0.97
    assert np.corrcoef(mirrored.ravel(), inner.ravel())[0, 1] < 0.9


def test_strips_fit_each_other():
    maker = PairMaker("A", SIZE)
    shift = maker.displacement.at(np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE)))
    rows, columns = np.mgrid[:SIZE, :SIZE] + np.stack(shift)
    whole = maker.grounds[0].sampled(1, rows, columns)
    parts = [
        maker.grounds[0].sampled(1, rows[part], columns[part]) for part in (slice(0, 80), slice(80, SIZE))
    ]
    np.testing.assert_allclose(np.vstack(parts), whole, rtol=1e-5)
    first = maker.grounds[0].reference(0, slice(0, SIZE))
    np.testing.assert_array_equal(maker.grounds[0].reference(0, slice(50, 90)), first[50:90])


def test_clouds_are_not_called_clear(folders):
    moving, truth = read(folders["C"] / "moving.tif")[2], np.load(folders["C"] / "truth.npz")
    row_px, column_px = truth["shift_px"]
    axis = truth["axis"]
    there = [np.rint(axis[:, None] - row_px), np.rint(axis[None] - column_px)]
    seen = moving[tuple(np.clip(one, 0, SIZE - 1).astype(int) for one in there)]
    assert 0.6 < truth["clear"].mean() < 0.95
    assert np.median(seen[truth["clear"]]) < 0.7 * np.percentile(seen[~truth["clear"]], 90)


def test_a_pair_is_made_once(folders):
    note = folders["A"] / "made.json"
    before = (folders["A"] / "moving.tif").stat().st_mtime_ns
    make(folders["A"].parent, "A", SIZE)
    assert (folders["A"] / "moving.tif").stat().st_mtime_ns == before
    note.write_text(json.dumps(json.loads(note.read_text()) | {"version": 0}))
    make(folders["A"].parent, "A", SIZE)
    assert (folders["A"] / "moving.tif").stat().st_mtime_ns > before


def row(**given):
    return {"case": "B", "size_px": 1098, "method": "ours", "title": "changedet", "local": True,
            "rmse_all_px": 0.01, **given}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, []),
        ({"rmse_all_px": 0.021}, ["case B at 1098, changedet: 0.0210 px, at most 0.02 px is allowed"]),
        ({"rmse_all_px": float("nan")}, ["case B at 1098, changedet: nan px, at most 0.02 px is allowed"]),
        ({"case": "C", "rmse_all_px": 0.039}, []),
        ({"case": "C", "rmse_all_px": 0.5, "local": False}, []),
        ({"failed": "out of memory"}, ["case B at 1098, changedet: out of memory"]),
        ({"method": "skimage", "rmse_all_px": 9.0}, []),
    ],
)
def test_only_an_error_of_ours_fails_the_benchmark(given, expected):
    assert registration.shortfalls([row(**given)]) == expected


def test_errors_are_those_of_the_pixels_that_count():
    truth = {"shift_px": np.zeros((2, 2, 2)), "inside": np.array([[True, True], [True, False]]),
             "clear": np.array([[True, False], [True, True]])}  # fmt: skip
    found = {"shift_px": np.array([[[0, 3], [0, 9]], [[1, 4], [1, 9]]], float), "peak_mb": 7,
             "seconds": 2, "cpu_seconds": 3, "read_s": 0.1, "others": 0.0}  # fmt: skip
    result = {"seconds": float("inf"), "peak_mb": 0.0}
    registration._update(result, found, truth)
    assert result["rmse_clear_px"] == pytest.approx(1)
    assert result["rmse_all_px"] == pytest.approx(3)
    assert result["largest_px"] == pytest.approx(5)
    registration._update(result, found | {"seconds": 1, "peak_mb": 5}, truth)
    assert (result["seconds"], result["peak_mb"]) == (1, 7)


def test_rows_that_were_measured_again_replace_the_former(tmp_path):
    path = tmp_path / "results.json"
    registration.merge(path, [row(seconds=2), row(seconds=3, method="skimage")])
    registration.merge(path, [row(seconds=1)])
    rows = {entry["method"]: entry["seconds"] for entry in json.loads(path.read_text())["rows"]}
    assert rows == {"ours": 1, "skimage": 3}


def test_known_truth_is_met_on_a_small_pair():
    from benchmarks import registration_truth
    from tests.core.pairs import made_up

    assert registration_truth.shift_px(made_up, (256, 256), 3) < 0.03


@pytest.mark.parametrize("index", [0, 2])
def test_a_coarse_band_moved_in_one_step_is_closer_to_the_truth(index):
    from benchmarks import registration_pixels

    name, shape, at = list(registration_pixels.grounds())[index]
    assert name.startswith("wave")
    one, two = registration_pixels.interpolated(shape, at)
    assert one < 0.5 * two


def test_what_is_hidden_is_less_than_all():
    from benchmarks import registration_pixels

    hidden = registration_pixels.parts((200, 240), 1)
    assert {name: round(float(part.mean()), 1) for name, part in hidden.items()} == {
        "left": 0.5, "below": 0.4, "corner": 0.2, "patches": 0.4,
    }  # fmt: skip
