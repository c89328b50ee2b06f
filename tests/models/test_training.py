"""Training on labelled sites: figures come from sites that were left out, and bad sites stop it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from tests.runs import write_no_plates
from tests.synthetic import GRID, make_image, make_result

from changedet.errors import ChangedetError, UsageError
from changedet.evaluation.sets import SitePlace, read_runs
from changedet.hashing import sha256_file
from changedet.models.trained import model_score, open_model
from changedet.models.training import TrainingSettings, train
from changedet.pairing import Pair
from changedet.result import State

SETTINGS = TrainingSettings(rounds=10, smallest_leaf=20, unchanged_px=2000)
BOXES = {
    "Pier": [(30, 42, 40, 55), (60, 70, 80, 100)],
    "Hall": [(20, 30, 20, 35), (80, 90, 90, 105)],
    "Gate": [(50, 60, 60, 75)],
}


def write_truth(path, boxes):
    labels = np.zeros(tuple(GRID.shape), np.uint8)
    for r0, r1, c0, c1 in boxes:
        labels[r0:r1, c0:c1] = 1
    path.parent.mkdir(exist_ok=True)
    place = {"crs": GRID.crs.to_wkt(), "transform": GRID.transform}
    with rasterio.open(path, "w", driver="GTiff", dtype="uint8", count=1, height=GRID.shape[0],
                       width=GRID.shape[1], **place) as file:  # fmt: skip
        file.write(labels, 1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs of three made-up sites, whose score is only noise, and their truth."""
    root = tmp_path_factory.mktemp("labelled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        for seed, (name, boxes) in enumerate(BOXES.items()):
            result = make_result(name, boxes=boxes[:1], kinds=[1])
            after = make_image(seed, result.after.scene.time)
            data = after.data.copy()
            for r0, r1, c0, c1 in boxes:
                data[:, r0:r1, c0:c1] += 0.15
            replace(result, before=make_image(seed), after=replace(after, data=data)).save(
                root / "runs" / name
            )
            write_truth(root / "truth" / f"{name}.tif", boxes)
    return root


@pytest.fixture(scope="module")
def model(folders):
    return train(read_runs(folders / "runs", folders / "truth"), SETTINGS, dataset={"name": "made up"})


def test_change_is_found_at_sites_that_were_left_out(model):
    worth = model.provenance["cross_validation"]
    assert set(worth["sites"]) == set(BOXES)
    assert worth["macro"]["roc_auc"] > 0.97
    assert worth["pooled"]["f1"] > 0.6
    assert all(row["rates"]["average_precision"] > 0.6 for row in worth["sites"].values())


def test_what_is_stored_stands_beside_the_method_without_training(model):
    untrained = model.provenance["cross_validation"]["untrained"]
    # of two boxes at two sites, and of one at the third, the made-up runs flag one
    assert untrained["sites"]["Gate"]["rates"]["recall"] == 1
    assert untrained["sites"]["Hall"]["rates"]["recall"] == 0.5
    assert untrained["pooled"]["recall"] == pytest.approx((180 + 150 + 150) / (180 + 200 + 150 + 150 + 150))


def test_the_provenance_is_whole_and_json(model, folders):
    found = dict(model.provenance)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["dataset"] == {"name": "made up"}
    assert found["settings"]["rounds"] == 10
    assert found["software"]["libraries"]["scikit-learn"]
    gate = next(one for one in found["sites"] if one["site"] == "Gate")
    assert gate["changed_pixels"] == 150
    truth = folders / "truth" / "Gate.tif"
    assert gate["inputs"]["truth"] == {str(truth): sha256_file(truth)}


def test_the_same_sites_give_the_same_model(model, folders):
    again = train(read_runs(folders / "runs", folders / "truth"), SETTINGS, dataset={"name": "made up"})
    first, second = ({**one.to_dict(), "provenance": None} for one in (model, again))
    assert first == second


def test_a_trained_model_scores_a_pair(model, tmp_path):
    again = open_model(model.save(tmp_path / "m.json"))
    result = make_result()
    pair = Pair(result.before, result.after, 1.0, 1.0, 1.0, 0, 0, 0.0, 0.0, True, "")
    both = pair.before.valid & pair.after.valid
    score = model_score(again, pair.before.data, pair.after.data, both, pair.before.bands)
    built = result.state == State.CHANGED
    assert np.nanmedian(score[built]) > again.seed >= again.grow
    assert np.nanmean(score[both & ~built] > again.grow) < 0.05


def test_one_site_is_not_enough(folders):
    with pytest.raises(UsageError, match=r"one site cannot tell .* at least two labelled sites"):
        train(read_runs(folders / "runs", folders / "truth")[:1])


def test_a_site_that_fails_stops_the_training(folders):
    def missing():
        raise UsageError("nothing there")

    places = read_runs(folders / "runs", folders / "truth")
    with pytest.raises(ChangedetError, match=r"1 of 4 site\(s\) have no examples, Quay first: nothing there"):
        train([*places, SitePlace("Quay", missing)])


def test_labels_must_show_some_change(folders, tmp_path):
    for name in BOXES:
        write_truth(tmp_path / "truth" / f"{name}.tif", [])
    with pytest.raises(UsageError, match="only 0 changed pixels are labelled"):
        train(read_runs(folders / "runs", tmp_path / "truth"), SETTINGS)


def test_change_at_one_site_alone_cannot_be_left_out(folders, tmp_path):
    for name, boxes in BOXES.items():
        write_truth(tmp_path / "truth" / f"{name}.tif", boxes if name == "Pier" else [])
    with pytest.raises(UsageError, match="all labelled changes lie at one site"):
        train(read_runs(folders / "runs", tmp_path / "truth"), SETTINGS)
