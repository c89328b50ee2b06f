"""The benchmarks of the core: they run at a tiny size, see what disagrees, and write what was measured."""

import itertools
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from benchmarks import documents, inputs, measure, peers, run, stream, tables
from benchmarks.kernels import DEFAULT_DETECTOR, KERNELS, Kernel, Peer, kernel_named
from benchmarks.limits import processors, threads

ROOT = Path(__file__).resolve().parents[1]
TINY = 192
#: Compiling takes longer than a test should.
_COMPILED = {"numba"}


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_every_version_of_every_kernel_gives_the_same(kernel):
    arguments = kernel.prepare(TINY)
    ours = kernel.ours(*arguments)
    for name, function in kernel.versions(TINY).items():
        if name != "ours" and name not in _COMPILED:
            kernel.agree(ours, function(*arguments))


def test_names_are_unique_and_the_default_detector_is_measured_up_to_a_whole_tile():
    names = [kernel.name for kernel in KERNELS]
    assert len(set(names)) == len(names)
    assert kernel_named(f"optical.{DEFAULT_DETECTOR}").up_to == 10980


def toy(**given):
    """A kernel that doubles an image."""
    kernel = Kernel(
        "toy.double",
        lambda size: (np.ones((size, size), np.float32),),
        lambda image: image * 2,
        np.testing.assert_array_equal,
        lambda image: image + image,
    )
    return replace(kernel, **given)


def test_a_row_holds_times_bytes_and_memory_for_each_number_of_threads():
    found = measure.measure(toy(), 64)
    assert [row["threads"] for row in found["rows"]] == list(range(1, min(processors(), 2) + 1))
    for row in found["rows"]:
        assert row["bytes"] == 2 * 64 * 64 * 4
        assert row["ratio"]["naive"] == pytest.approx(row["seconds"]["naive"] / row["seconds"]["ours"])
        assert set(row["seconds"]) == set(row["cpu_seconds"]) == {"ours", "naive"}
    assert found["disagreements"] == []


def test_what_the_others_take_does_not_keep_ours_from_larger_sizes():
    plain = measure.measure(toy(), 64)["whole_mb"]
    hungry = toy(naive=lambda image: np.ones(40_000_000, np.float64)[: image.size].reshape(image.shape) * 2)
    assert measure.measure(hungry, 64)["whole_mb"] < plain + 200


def test_what_disagrees_is_said():
    found = measure.measure(toy(naive=lambda image: image * 3), 8)
    assert len(found["disagreements"]) == 1
    assert found["disagreements"][0].startswith("toy.double at 8: naive: Arrays are not equal")


@pytest.mark.parametrize(
    ("long_s", "very_long_s", "turns"), [(-1.0, -1.0, 0), (-1.0, 99.0, 2), (99.0, 99.0, 5)]
)
def test_a_slow_version_has_fewer_turns(long_s, very_long_s, turns, monkeypatch):
    calls = []
    monkeypatch.setattr(measure, "_LONG_S", long_s)
    monkeypatch.setattr(measure, "_VERY_LONG_S", very_long_s)
    measure.measure(toy(naive=lambda image: calls.append(1) or image * 2), 8)
    with_one_thread = max(turns, 1) if processors() > 1 else 0
    assert len(calls) == 1 + turns + with_one_thread


def test_what_is_compiled_is_called_before_it_is_timed(monkeypatch):
    calls = []
    monkeypatch.setattr(peers, "installed", lambda _: True)
    slow_at_first = Peer("quick", lambda image: calls.append(1) or image * 2, "numba")
    measure.measure(toy(naive=None, peers=(slow_at_first,)), 8)
    assert len(calls) == 2 + measure.TURNS * min(processors(), 2)  # compiled, checked, timed


def test_memory_is_seen_whoever_takes_it():
    _, taken = measure.peak_mb(np.ones, (10_000_000,))
    assert 75 < taken < 110


def test_versions_that_are_not_run_are_named():
    kernel = toy(
        naive_up_to=16, peers=(Peer("never", print, "no_such_package"), Peer("small", print, "", 16))
    )
    assert set(kernel.versions(64)) == {"ours"}
    assert kernel.left_out(64) == [
        "naive takes too long or too much memory above 16 px",
        "never is not installed",
        "small is measured up to 16 px",
    ]
    assert kernel.left_out(8) == ["never is not installed"]


def test_a_size_that_would_not_fit_is_left_out():
    report = {"rows": [{"kernel": "toy.double", "size_px": 100}], "whole_mb": {"toy.double 100": 900.0}}
    assert run.too_large(report, toy(), 200, 6.0) == ""
    assert run.too_large(report, toy(), 300, 6.0) == "would take some 8 GB"
    assert run.too_large(report, toy(up_to=250), 300, 60.0) == "measured up to 250 px"


@pytest.fixture
def small_suite(monkeypatch):
    """Two toys at one size, measured at once in this process; what was asked for is listed."""
    kernels = toy(), toy(name="toy.wrong", naive=lambda image: image * 3)
    asked = []

    def measured(name, size):
        asked.append((name, size))
        if name == "stream":
            return {"1": {"copy": 5.0}, "2": {"copy": 6.0}}
        if name == run.RADAR:
            return {"rows": [{"work": "t_test"}]}
        return measure.measure(next(kernel for kernel in kernels if kernel.name == name), size)

    monkeypatch.setattr("benchmarks.kernels.KERNELS", kernels)
    monkeypatch.setattr("benchmarks.kernels.SIZES", (16, 32))
    monkeypatch.setattr(run, "in_process", measured)
    return asked


def test_the_command_writes_what_it_measures_and_fails_for_a_wrong_result(small_suite, tmp_path, capsys):
    out = tmp_path / "found.json"
    assert run.main(["--out", str(out)]) == 1
    found = json.loads(out.read_text())
    assert {(row["kernel"], row["size_px"]) for row in found["rows"]} == {
        (name, size) for name in ("toy.double", "toy.wrong") for size in (16, 32)
    }
    assert found["radar"] == [{"work": "t_test"}]
    said = capsys.readouterr()
    assert "DISAGREES: toy.wrong at 16: naive" in said.err
    assert "toy.double" in said.out


def test_a_part_that_is_measured_anew_replaces_itself_alone(small_suite, tmp_path):
    out = tmp_path / "found.json"
    run.main(["--out", str(out)])
    first = json.loads(out.read_text())
    small_suite.clear()
    run.main(["--out", str(out), "--only", "double", "--sizes", "16"])
    assert small_suite == [("stream", 0), ("toy.double", 16)]
    second = json.loads(out.read_text())
    assert len(second["rows"]) == len(first["rows"])
    kept = [row for row in second["rows"] if row in first["rows"]]
    assert {(row["kernel"], row["size_px"]) for row in second["rows"] if row not in kept} == {
        ("toy.double", 16)
    }


def test_a_kernel_that_ends_badly_is_left_out_with_its_reason(small_suite, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "in_process", lambda *_: {"failed": "MemoryError"})
    out = tmp_path / "found.json"
    assert run.main(["--out", str(out), "--sizes", "16"]) == 0
    found = json.loads(out.read_text())
    assert found["rows"] == []
    assert {row["why"] for row in found["left_out"]} == {"MemoryError"}


def test_a_process_of_its_own_gives_its_answer_or_its_last_words():
    assert set(run.in_process("stream", 1 << 12)) == {str(n) for n in range(1, min(processors(), 2) + 1)}
    assert "failed" in run.in_process("no.such.kernel", 8)


def test_large_images_are_small_ones_side_by_side(monkeypatch):
    small = np.arange(12, dtype=np.float32).reshape(1, 3, 4)[:, :, :3]
    large = inputs.tiled(small, 8)
    np.testing.assert_array_equal(large, np.tile(small, (1, 3, 3))[:, :8, :8])
    monkeypatch.setattr(inputs, "WHOLE_PX", 64)
    before, after, valid, weights = inputs.dates(100)
    assert before.shape == after.shape == (inputs.BANDS, 100, 100)
    assert valid.shape == (100, 100)
    assert len(weights) == inputs.BANDS
    np.testing.assert_array_equal(before[:, :36, 64:], before[:, :36, :36])


def test_a_quarter_of_many_dates_is_missing():
    (stack,) = inputs.many_dates(64)
    assert stack.shape == (inputs.MANY_DATES, 64, 64)
    assert np.isnan(stack).mean() == pytest.approx(inputs.MISSING, abs=0.02)


def test_copy_and_triad_do_what_they_say(monkeypatch):
    monkeypatch.setattr(stream, "installed", lambda _: False)
    stream._works.cache_clear()
    a, b, c = (np.full(200_001, value, np.float32) for value in (0, 1, 2))
    stream.copy_numpy(a, b, c)
    assert (a == 1).all()
    stream.triad_numpy(a, b, c)
    assert (a == 7).all()
    found = stream.measure(1 << 14, turns=1)
    assert set(found) == set(range(1, min(processors(), 2) + 1))
    assert all(speed > 0 for speeds in found.values() for speed in speeds.values())
    stream._works.cache_clear()


def test_threads_are_given_back():
    import cv2

    before = processors(), cv2.getNumThreads()
    with threads(1):
        assert processors() == 1
        assert cv2.getNumThreads() == 1
    assert (processors(), cv2.getNumThreads()) == before


def test_the_orfeo_toolbox_is_asked_for_the_same_length(monkeypatch):
    """What stands in for the program computes the expression it was given, from the files it was given."""
    import rasterio

    def band_math(command, **_):
        given = dict(itertools.pairwise(command))
        assert command[0] == "otbcli_BandMath"
        names = {}
        assert command[1] == "-il"
        for number, path in enumerate(command[2:4], start=1):
            with rasterio.open(path) as file:
                names |= {f"im{number}b{band}": file.read(band) for band in range(1, file.count + 1)}
                profile = file.profile
        length = eval(given["-exp"].replace("^", "**"), {"sqrt": np.sqrt}, names)
        with rasterio.open(given["-out"], "w", **{**profile, "count": 1}) as file:
            file.write(length.astype(np.float32), 1)

    monkeypatch.setattr(subprocess, "run", band_math)
    kernel = kernel_named("change_vectors.length")
    arguments = kernel.prepare(64)
    kernel.agree(kernel.ours(*arguments), peers.magnitude_otb(*arguments))


def test_the_orfeo_toolbox_is_asked_for_the_same_alterations(monkeypatch):
    """What stands in for the program finds them by the textbook, in an order and with signs of its own."""
    import rasterio

    def detector(command, **_):
        given = dict(itertools.pairwise(command))
        assert command[0] == "otbcli_MultivariateAlterationDetector"
        dates = []
        for name in ("-in1", "-in2"):
            with rasterio.open(given[name]) as file:
                dates.append(file.read().reshape(file.count, -1).astype(np.float64))
                profile = file.profile
        x, y = (date - date.mean(axis=1, keepdims=True) for date in dates)
        ways = [np.linalg.inv(np.linalg.cholesky(np.cov(date))) for date in (x, y)]
        left, _, right = np.linalg.svd(ways[0] @ np.cov(x, y)[: len(x), len(x) :] @ ways[1].T)
        found = (right @ ways[1] @ y - left.T @ ways[0] @ x)[::-1].reshape(-1, *profile_shape(profile))
        with rasterio.open(given["-out"], "w", **{**profile, "count": len(found)}) as file:
            file.write(found.astype(np.float32))

    monkeypatch.setattr(subprocess, "run", detector)
    kernel = kernel_named("mad.statistic")
    arguments = kernel.prepare(64)
    kernel.agree(kernel.ours(*arguments), peers.alterations_otb(*arguments))


def profile_shape(profile):
    return profile["height"], profile["width"]


def report():
    row = {
        "kernel": "medians.median_of_dates", "size_px": 1000, "threads": 2,
        "bytes": 44_000_000, "memory_gb_s": 11.0, "others": 0.1,
        "seconds": {"ours": 0.02, "naive": 0.5, "bottleneck": 0.04},
        "ratio": {"naive": 25.0, "bottleneck": 2.0},
        "peak_mb": {"ours": 9.0, "naive": 90.0, "bottleneck": 4.0},
    }  # fmt: skip
    large = row | {"size_px": 5000, "seconds": {"ours": 0.5}, "ratio": {}, "peak_mb": {"ours": 200.0}}
    return {
        "machine": {"system": "Linux", "processor": "Some CPU", "processors": 2, "python": "3.11",
                    "versions": {"numpy": "2"}},
        "bandwidth": {"1": {"copy, NumPy": 5.0}, "2": {"copy, NumPy": 11.0}},
        "rows": [row, large],
        "left_out": [{"kernel": "medians.median_of_dates", "size_px": 5000, "why": "naive takes too long"}],
        "disagreements": [],
        "whole_mb": {},
        "radar": [{"work": "t_test", "seconds": 0.05, "times the sum": 2.1, "times the sum, cpu": 3.1,
                   "peak MB": 33.0},
                  {"work": "omnibus", "seconds": 0.9, "times the sum": 36.0, "times the sum, cpu": 36.0,
                   "peak MB": 90.0}],
    }  # fmt: skip


def test_the_share_of_the_memory_is_that_of_what_has_to_move():
    row = report()["rows"][0]
    assert tables.share(row) == pytest.approx(44e6 / 0.02 / 11e9)
    assert tables.share(row | {"memory_gb_s": None}) is None
    assert [tables.fastest(report()["bandwidth"], count) for count in (1, 2)] == [5.0, 11.0]
    assert tables.fastest({}, 2) is None
    assert tables.nanoseconds(row) == pytest.approx(20)


def test_bars_say_whether_they_are_held():
    held = {bar["version"]: bar["held"] for bar in tables.bars(report())}
    assert held == {"naive": True, "bottleneck": False}
    text = tables.bars_text(report())
    assert "held    medians.median_of_dates: naive takes 25.00 times as long, bar 10 (1000 px)" in text
    assert "MISSED  medians.median_of_dates: bottleneck" in text
    shown = tables.bars_table(report())
    assert "| `medians.median_of_dates` | bottleneck | 2 (1 Mpx) | 2.5 | **no** |" in shown


def test_tables_are_written_between_their_marks():
    marks = "".join(f"text\n<!-- measured: {name} -->\nold\n<!-- end -->\n" for name in documents.TABLES)
    found = documents.renewed(marks, report())
    assert "old" not in found
    assert found.count("text\n") == len(documents.TABLES)
    assert documents.renewed(found, report()) == found
    assert (
        "| `medians.median_of_dates` | 1 | 2 | 0.0200 | 20.0 | 20% | 25.0 | 9 | 0.1 | bottleneck 2.0 |"
        in found
    )
    assert "* naive takes too long: `medians.median_of_dates` (25 Mpx)" in found
    for table in re.findall(r"(?:^\|.*\n)+", found, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_the_cost_of_a_pixel_stands_beside_that_at_the_next_smaller_size():
    line = tables.flat_table(report()).splitlines()[-1]
    assert line == "| `medians.median_of_dates` | 20.0 | 20.0 | 1.00 | 8.0 | 1.00 |"
    assert len(tables.flat_table(report() | {"rows": report()["rows"][:1]}).splitlines()) == 2


def test_works_on_radar_are_held_to_sums_of_the_stack():
    found = tables.radar_table(report())
    assert "| `t_test` | 0.050 | 2.1 | 3.1 | 2.5 | yes | 33 |" in found
    assert "| 36.0 | 25 | **no** | 90 |" in found


def test_the_memory_is_as_fast_as_it_was_at_its_fastest():
    before, now = {"1": {"copy": 5.0, "triad": 3.0}}, {"1": {"copy": 4.0, "triad": 6.0}, "2": {"copy": 9.0}}
    assert run.best_of(before, now) == {"1": {"copy": 5.0, "triad": 6.0}, "2": {"copy": 9.0}}
    assert run.best_of({}, now) == now


def test_the_load_of_the_machine_is_told():
    assert "others kept 0.1 busy in the median" in tables.load_text(report())
    assert "Not measured anew" not in tables.load_text(report())
    old = report() | {"rows": [report()["rows"][0] | {"earlier": True}]}
    assert "its code: `medians.median_of_dates` (1 Mpx)." in tables.load_text(old)


def test_plots_are_the_same_for_the_same_numbers(tmp_path):
    for name, plot in (("cost", documents.plot_cost), ("others", documents.plot_others)):
        paths = [tmp_path / f"{name}{number}.svg" for number in (1, 2)]
        for path in paths:
            plot(report()["rows"], path)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert "medians.median_of_dates" in paths[0].read_text()
        assert ET.parse(paths[0]).getroot().tag.endswith("svg")


def test_every_mark_in_the_documents_has_a_table():
    names = {
        name for page in documents.PAGES for name in re.findall(r"measured: ([a-z-]+) -->", page.read_text())
    }
    assert names == set(documents.TABLES)


def test_documents_hold_what_was_measured_last():
    measured = json.loads(run.SHOWN.read_text())
    for page in documents.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text == documents.renewed(text, measured), "run: python benchmarks/run.py --docs"


def test_no_peer_is_a_dependency_of_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = " ".join(project["dependencies"]).lower()
    measured = {peer.package for kernel in KERNELS for peer in kernel.peers} - {
        "",
        peers.BAND_MATH,
        peers.ALTERATIONS,
    }
    assert measured
    for package in measured:
        assert package not in needed
        assert any(line.startswith(package) for line in project["optional-dependencies"]["bench"])
