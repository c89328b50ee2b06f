"""``changedet detect --sensor s1`` and ``both`` on local radar."""

import json

import numpy as np
import pytest
import rasterio
from tests.radar.test_files import BUILT, write_periods
from tests.radar_passes import FALLING, RISING

from changedet.provenance import verify


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return write_periods(tmp_path_factory.mktemp("linear"), tracks=(RISING, FALLING))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_periods(tmp_path_factory.mktemp("few"), (1, 1))


def asked(paths, out, *more):
    return ("detect", "--sensor", "s1", "--before", paths[0], "--after", paths[1], "--out", out, *more)


def test_radar_alone_writes_a_run_folder(cli, no_plates, linear, tmp_path):
    out = tmp_path / "run"
    code = cli(*asked(linear, out, "--json"))
    assert code == 0, cli.err
    assert json.loads(cli.out)["parameters"]["sensor"] == "s1"
    assert (out / "radar_score.tif").is_file()
    assert verify(out).passed


def test_too_few_passes_are_refused_in_words(cli, no_plates, few, tmp_path):
    code = cli(*asked(few, tmp_path / "run"))
    assert code == 6
    said = " ".join(cli.err.split())
    assert "too few passes of radar to tell change from weather" in said
    assert "give at least 3 passes of one track before and 1 after, or flag" in said
    assert "site with --budget" in said


def test_options_of_optical_imagery_are_said_to_do_nothing(cli, no_plates, linear, tmp_path):
    assert cli(*asked(linear, tmp_path / "plain", "--min-area", "600m2")) == 0
    assert "does not heed" not in cli.out
    assert cli(*asked(linear, tmp_path / "run", "--threshold", "3", "--keep-seasonal")) == 0
    assert "radar alone does not heed --threshold and --keep-seasonal" in " ".join(cli.out.split())


def test_a_budget_flags_what_leads(cli, no_plates, few, tmp_path):
    out = tmp_path / "run"
    assert cli(*asked(few, out, "--budget", "1%")) == 0
    with rasterio.open(out / "state.tif") as file:
        state = file.read(1)
    assert (state[BUILT] == 1).mean() > 0.3
    assert 0.003 < (state == 1).mean() <= 0.0101


def test_a_run_of_radar_can_be_made_again(cli, no_plates, linear, tmp_path):
    out = tmp_path / "run"
    cli(*asked(linear, out))
    code = cli("verify", out, "--rerun")
    assert code == 0, cli.err + cli.out


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--sensor", "both"], "--sensor both needs radar of both periods"),
        (["--radar-before", "x"], "--radar-before without --sensor both"),
        (["--radar-unit", "db"], "radar has a unit, and none is compared"),
        (["--sensor", "s3"], "there is no sensor 's3'"),
        (["--sensor", "s1", "--radar-unit", "neper"], "unknown unit of radar"),
    ],
)
def test_contradictions_are_refused_in_words(cli, extra, said, tmp_path):
    code = cli("detect", "--before", tmp_path, "--after", tmp_path, "--out", tmp_path / "run", *extra)
    assert code == 2
    assert said in " ".join(cli.err.split())


def test_both_sensors_beside_the_sample_pair(cli, no_plates, sample, tmp_path):
    with rasterio.open(next((sample / "before").glob("*B02.tif"))) as file:
        profile, shape, bounds = file.profile, file.shape, file.bounds
    rng = np.random.default_rng(0)
    for word, count in (("before", 4), ("after", 2)):
        for number in range(count):
            power = 0.1 * rng.gamma(4.4, 1 / 4.4, shape)
            if word == "after":
                power[30:45, 30:45] *= 6
            path = tmp_path / word / "44" / f"2024060{number + 1}_VV.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(
                path, "w", driver="GTiff", dtype="float32", count=1, height=shape[0], width=shape[1],
                crs=profile["crs"], transform=profile["transform"],
            ) as file:  # fmt: skip
                file.write(power.astype(np.float32), 1)
    out = tmp_path / "run"
    code = cli(
        "detect", "--sensor", "both", "--before", sample / "before", "--after", sample / "after",
        "--radar-before", tmp_path / "before", "--radar-after", tmp_path / "after", "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, cli.err
    assert bounds.left < bounds.right
    record = json.loads(cli.out)
    assert record["parameters"]["sensor"] == "both"
    assert record["inputs"]["radar"]["before"]["path"] == str(tmp_path / "before")
    with rasterio.open(out / "state.tif") as file:
        assert (file.read(1)[32:43, 32:43] == 1).mean() > 0.6
    code = cli("verify", out, "--rerun")
    assert code == 0, cli.err + cli.out
