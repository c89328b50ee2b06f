"""Options that say what is flagged: models, methods, budgets and weights, and pairs that are not decided."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from tests.tree_models import SENTENCE, model_of

from changedet.cli.detect import parse_share, settings_of
from changedet.errors import UsageError
from changedet.hashing import sha256_file
from changedet.provenance import verify
from changedet.result import State

pytestmark = pytest.mark.usefixtures("no_plates")
SMALL = ("--at", "38.2707, 126.4994", "--radius", "400m", "--no-keep-images")

#: What is said, the exit code, and the options that are refused.
REFUSED = [
    ("gone.json: no such file; name a file that changedet train wrote", 8, "--model", "gone.json"),
    ("a model decides, and so cannot cva", 2, "--model", "m.json", "--method", "cva"),
    ("a model brings its own thresholds; leave out", 2, "--model", "m.json", "--threshold", "12"),
]


@pytest.fixture
def quick(sample):
    """A comparison of a small site without pictures."""
    return ("detect", "--before", sample / "before", "--after", sample / "after", *SMALL)


@pytest.fixture(scope="session")
def trained(sample_result):
    """A model that remembers what was flagged in the bundled pair."""
    before, after = sample_result.before, sample_result.after
    seen = np.isfinite(before.data).all(axis=0) & np.isfinite(after.data).all(axis=0)
    seen &= np.isfinite(sample_result.score)
    return model_of(before.data, after.data, seen, sample_result.state == State.CHANGED, before.bands)


@pytest.fixture
def model(trained, workplace):
    trained.save(workplace / "m.json")
    return ("--model", "m.json")


def flagged(folder):
    with rasterio.open(Path(folder) / "state.tif") as file:
        state = file.read(1)
    return state == State.CHANGED, np.isin(state, (State.CHANGED, State.NOT_FLAGGED))


class TestModels:
    def test_it_decides_and_every_reader_is_told(self, cli, quick, model, workplace):
        # what was asked for is no reason to refuse
        assert cli(*quick, *model, "--strict", "--out", "run", "--json") == 0
        assert f"changedet: warning: {SENTENCE}" in cli.err
        record = json.loads(cli.out)
        said = {"path": "m.json", "sha256": sha256_file(workplace / "m.json"), "sentence": SENTENCE}
        assert record["parameters"]["model"] == said
        assert record["parameters"]["method"] == "model"
        assert record["inputs"]["model"]["provenance"]["sites"][1] == {"site": "Hall"}
        assert record["inputs"]["settings"]["model_sha256"] == said["sha256"]
        assert record["warnings"][-1] == SENTENCE
        report = (workplace / "run" / "report.html").read_text(encoding="utf-8")
        assert SENTENCE in report
        assert said["sha256"] in report
        assert "0" * 64 not in report
        assert verify(workplace / "run").passed
        assert flagged("run")[0].any()
        assert "trained model and prediction agree" in (workplace / "run" / "changes.csv").read_text()

    def test_making_it_again_holds_to_the_file(self, cli, quick, model, trained, workplace):
        assert cli(*quick, *model, "--out", "run") == 0
        assert cli("verify", "run", "--rerun") == 0
        with (workplace / "m.json").open("a") as file:
            file.write("\n")
        assert cli("verify", "run", "--rerun") == 8
        assert "m.json: model file has changed" in cli.error
        (workplace / "m.json").unlink()
        assert cli("verify", "run", "--rerun") == 8
        assert "m.json: no such file" in cli.error

    @pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
    @pytest.mark.parametrize("command", ["detect", "evaluate", "run"])
    def test_what_cannot_be_used_is_one_line_before_anything_is_done(self, cli, quick, model, command, case):
        asked = {
            "detect": quick,
            "evaluate": ("evaluate", "--pairs", quick[2].parent),
            "run": ("run", "--at", "1, 2", "--before", "2021-05", "--after", "2023-05"),
        }[command]
        text, code, *arguments = case
        assert cli(*asked, *arguments, "--out", "run") == code
        assert text in cli.error
        assert [path.name for path in Path.cwd().iterdir()] == ["m.json"]

    def test_a_damaged_one_is_refused(self, cli, quick, workplace):
        (workplace / "m.json").write_text('{"schema": "changedet.model/1"}')
        assert cli(*quick, "--model", "m.json", "--out", "run") == 8
        assert "m.json: is no model that can be used" in cli.error

    def test_a_list_does_not_go_on_with_another_model(self, trained, workplace):
        from dataclasses import replace

        def asked():
            from changedet.investigation import Investigation

            settings = settings_of(
                "predict", (10.0, None, False), "500m2", "before", 0.5, model=Path("m.json")
            )
            return Investigation("2021-05", "2023-05", settings=settings).to_dict()

        trained.save(workplace / "m.json")
        first = asked()
        assert first == asked()
        replace(trained, seed=trained.seed + 1).save(workplace / "m.json", overwrite=True)
        assert first != asked()

    def test_it_is_evaluated_too(self, cli, sample, model, workplace):
        assert cli("evaluate", "--pairs", sample, *model, "--out", "e", "--json") == 0
        said = json.loads(cli.out)
        assert said["settings"]["model"] == "m.json"
        assert said["sites"][0]["parameters"]["method"] == "model"
        assert said["pooled"]["method"]["rates"]["roc_auc"] > 0.9
        assert "Evaluation of model on" in (workplace / "e" / "evaluation.html").read_text(encoding="utf-8")


class TestMethods:
    def test_a_missing_band_is_one_line(self, cli, sample, workplace, tmp_path):
        from tests.runs import rewrite

        few = [rewrite(sample / date, tmp_path / date) for date in ("before", "after")]
        for folder in few:
            next(folder.glob("*B12.tif")).unlink()
        asked = ("detect", "--before", few[0], "--after", few[1], "--method", "nbr-difference")
        assert cli(*asked, *SMALL, "--out", "run") == 8
        assert "nbr-difference needs B12, and there is only B02, " in cli.error
        assert cli.error.endswith("or choose another method (changedet methods lists them)")
        assert not list(workplace.iterdir())


class TestBudgets:
    def test_the_leading_share_is_flagged(self, cli, quick):
        assert cli(*quick, "--budget", "4%", "--min-area", "0m2", "--out", "run", "--json") == 0
        assert json.loads(cli.out)["parameters"]["budget"] == 0.04
        changed, judged = flagged("run")
        assert changed.sum() == pytest.approx(0.04 * judged.sum(), abs=1)

    def test_evaluate_takes_budget_and_weights(self, cli, sample):
        asked = ("evaluate", "--pairs", sample, "--json")
        assert cli(*asked, "--budget", "0.03", "--band-weights", "equal", "--out", "e") == 0
        said = json.loads(cli.out)
        assert (said["settings"]["budget"], said["settings"]["band_weights"]) == (0.03, "equal")
        (site,) = said["sites"]
        weights = {name: weight for name, weight in site["parameters"]["weight_of_band"].items() if weight}
        assert set(weights.values()) == {1.0}
        assert len(weights) == 10
        # what is smaller than the smallest object is left out of the share
        assert 0.01 < site["method"]["rates"]["flagged_share"] <= 0.03
        assert cli(*asked, "--band-weights", "built-up", "--out", "g") == 0
        other = json.loads(cli.out)["sites"][0]["method"]["rates"]
        assert other["roc_auc"] != site["method"]["rates"]["roc_auc"]

    @pytest.mark.parametrize("command", ["detect", "evaluate"])
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (("--budget", "0%"), "cannot read the share '0%'; write for example 2.5%, or 0.025"),
            (("--budget", "100%"), "cannot read the share '100%'"),
            (
                ("--band-weights", "green"),
                "unknown band weights 'green'; choose one of auto, built-up, equal",
            ),
        ],
    )
    def test_others_are_refused(self, cli, quick, sample, command, arguments, text):
        asked = quick if command == "detect" else ("evaluate", "--pairs", sample)
        assert cli(*asked, *arguments) == 2
        assert text in cli.error


class TestShares:
    @pytest.mark.parametrize(
        ("text", "share"),
        [("2.5%", 0.025), ("0.025", 0.025), (" 50 % ", 0.5), ("1e-3", 0.001), ("99.9%", 0.999)],
    )
    def test_both_notations_are_read(self, text, share):
        assert parse_share(text) == pytest.approx(share)

    @pytest.mark.parametrize(
        "text", ["", "%", "0", "0%", "1", "100%", "2.5", "-1%", "nan", "inf%", "2,5%", "a"]
    )
    def test_what_is_no_share_is_refused(self, text):
        with pytest.raises(UsageError, match=r"cannot read the share .*; write for example 2\.5%, or 0\.025"):
            parse_share(text)

    @given(st.floats(1e-6, 1 - 1e-6))
    def test_both_notations_mean_the_same(self, share):
        assert parse_share(f"{share!r}") == share
        assert parse_share(f"{100 * share!r}%") == pytest.approx(share)


def texture(seed):
    field = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((200, 200)), (0, 0), 1.5)
    return field / field.std()


def one_band(path, common, seed):
    """Write a raster of one band without a name; `common` is its share of variance in common with others."""
    band = 0.15 + 0.03 * (np.sqrt(common) * texture(0) + np.sqrt(1 - common) * texture(seed))
    place = {"crs": "EPSG:32652", "transform": Affine(10, 0, 246000, 0, -10, 4276000)}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", count=1, height=200, width=200,
                       **place) as file:  # fmt: skip
        file.write((band.clip(0, 1) * 1e4).round().astype("uint16"), 1)
        file.set_band_description(1, "pan")
    return path


class TestUnlikeDates:
    def compared(self, cli, common):
        images = [one_band(Path(f"{seed}.tif"), common, seed) for seed in (1, 2)]
        asked = ("detect", "--before", images[0], "--after", images[1], "--scale", "1e-4", "--offset", "0")
        return cli(*asked, "--out", "run", "--json")

    def test_one_band_of_dates_with_little_in_common_is_refused(self, cli, workplace):
        assert self.compared(cli, 0.4) == 6
        (refusal,) = json.loads(cli.out)["refusals"]
        assert refusal.startswith("not comparable: one date predicts only 2")
        assert refusal.endswith("give blue, green, red and near infrared")
        assert not flagged("run")[0].any()
        assert json.loads(cli.out)["counts"]["pixels_by_state"]["not flagged"] == 0

    def test_the_same_of_like_dates_is_compared(self, cli, workplace):
        assert self.compared(cli, 0.9) == 0
        assert json.loads(cli.out)["refusals"] == []
        assert flagged("run")[1].mean() > 0.9
