"""What is said of accuracy, held: pairs without change, a labelled Landsat pair, how both are measured."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from benchmarks import accuracy, accuracy_constants, accuracy_measures, accuracy_pairs, accuracy_tables
from benchmarks.accuracy_constants import CONSTANTS, Constant, Outcome, best_elsewhere, default_of, varied

import changedet as cd
from changedet.comparison import DetectSettings
from changedet.core.accuracy import PixelCounts
from changedet.evaluation.sets import LabelledSite, Truth, TruthFile
from changedet.pairing import make_pair
from changedet.samples import SceneSettings, simulate_pair

LARGEST_SHARE = accuracy_tables.LARGEST_NULL_SHARE


def needs(folder):
    there = (accuracy_pairs.ROOT / folder).is_dir()
    return pytest.mark.skipif(not there, reason=f"set CHANGEDET_DATA to the folder that holds {folder}/")


@pytest.fixture(scope="module")
def simulated():
    return simulate_pair(SceneSettings(size_px=128, clouds=False, after_shift_px=(0.0, 0.0)))


@pytest.fixture(scope="module")
def city(simulated):
    """A simulated pair in the shape in which labelled cities are measured."""
    before, after = simulated.before.to_image(), simulated.after.to_image()
    inside = np.ones(before.valid.shape, bool)
    truth = Truth(simulated.truth.labels > 0, inside)
    return accuracy_pairs.City("simulated", make_pair(before, after, inside), inside, truth)


@pytest.mark.real
@needs("eolearn_scenes")
def test_nothing_is_flagged_in_a_summer_in_which_nothing_was_built():
    found = accuracy_measures.summer_pairs()
    assert len(found) == 3
    for pair, shares in found.items():
        assert not shares["refused"], pair
        assert shares["judged_share"] > 0.9, pair
        assert shares["flagged_share"] <= LARGEST_SHARE, pair
        # silent, not blind
        assert shares["planted"] == 4, pair
        assert shares["concrete_found"] >= 3, pair


@pytest.mark.real
@needs("arosics_s2_pair")
def test_one_band_in_which_clouds_cannot_be_looked_for_is_refused_or_gives_nothing():
    found = accuracy_measures.one_band_pair()
    assert found["refused"] or found["flagged_share"] <= LARGEST_SHARE
    assert "clouds could not be looked for" in found["reason"]


@pytest.mark.real
@needs("landsat_taizhou")
def test_a_landsat_pair_is_ranked_as_it_is_labelled_with_nothing_set():
    found = accuracy_measures.taizhou()
    assert found["roc_auc"] >= 0.998
    assert found["average_precision"] >= 0.99
    assert found["precision"] >= 0.99
    assert found["labelled_pixels"] == 21390


def test_nothing_is_flagged_on_the_same_ground_in_another_light_five_days_later():
    shares = accuracy_measures.flagged_shares(
        cd.detect(*accuracy_pairs.Season(1, date(2023, 7, 5), 5, 0).images())
    )
    assert shares["judged_share"] > 0.95
    assert not shares["refused"]
    assert shares["flagged_share"] <= LARGEST_SHARE


def test_an_image_against_itself_gives_nothing_through_light_noise_and_a_remaining_shift(city):
    found = accuracy_measures.cities_against_themselves([city])["simulated"]
    assert found["flagged_share"] <= LARGEST_SHARE
    assert found["registered_first"] <= LARGEST_SHARE
    assert found["judged_share"] > 0.95
    assert found["concrete_found"] == found["brighter_found"] == found["planted"] == 4


def test_squares_are_planted_apart_and_counted_when_a_third_of_them_is_flagged(simulated):
    image = simulated.before.to_image()
    changed, squares = accuracy_pairs.planted(image, 1, "brighter")
    assert np.bincount(squares.ravel())[1:].tolist() == [36] * 4
    np.testing.assert_allclose((changed.data - image.data)[:, squares > 0], 0.1, atol=1e-6)
    assert (changed.data == image.data)[:, squares == 0].all()
    concrete = accuracy_pairs.planted(image, 1, "concrete")[0]
    assert np.ptp(concrete.band("B04")[squares > 0]) == 0
    found = accuracy_measures.found_squares(np.isin(squares, (1, 3)), squares, "concrete")
    assert found == {"planted": 4, "concrete_found": 2}
    assert accuracy_measures.found_squares(squares < 0, squares, "concrete")["concrete_found"] == 0


def test_what_happened_is_flagged_where_the_season_flags_nothing(city):
    found = Outcome.of(city, varied({}))
    assert found.pixels.recall > 0.9
    # fields that were cut and flooded meanwhile rank high as well, and are not labelled
    assert found.average_precision > 10 * found.pixels.changed_share


def test_dates_between_which_something_happens_are_no_null_pair():
    with pytest.raises(ValueError, match="something happens between 2021-05-21 and 2022-05-21"):
        accuracy_pairs.Season(1, date(2021, 5, 21), 0, 1).images()


def test_a_shift_by_a_fraction_of_a_pixel_moves_the_content_and_loses_hardly_any(simulated):
    image = simulated.before.to_image()
    there = accuracy_pairs.shifted(image, (0.5, -0.25))
    back = accuracy_pairs.shifted(there, (-0.5, 0.25))
    inner = np.s_[:, 16:-16, 16:-16]
    assert np.abs(there.data - image.data)[inner].max() > 0.01
    # the finest waves, half a cycle a pixel, have no place between pixels
    assert np.sqrt(np.mean((back.data - image.data)[inner] ** 2)) < 0.001
    by_one = accuracy_pairs.shifted(image, (1.0, 0.0))
    np.testing.assert_allclose(by_one.data[:, 20:30], image.data[:, 19:29], atol=1e-5)


def test_a_shift_keeps_what_is_not_there(simulated):
    image = simulated.before.to_image()
    data = image.data.copy()
    data[:, 10:20, 10:20] = np.nan
    moved = accuracy_pairs.shifted(replace(image, data=data), (0.15, -0.1))
    assert (np.isnan(moved.data) == np.isnan(data)).all()


def test_noise_and_light_are_as_strong_as_they_say(simulated):
    image = simulated.before.to_image()
    noise = accuracy_pairs.noisy(image, 1).data - image.data
    assert 0.0025 < noise[image.data > 0.02].std() < 0.0031
    bright = accuracy_pairs.other_light(image, 1)
    for plane, other in zip(image.data, bright.data, strict=True):
        gain, offset = np.polyfit(plane.ravel(), other.ravel(), 1)
        assert 0.89 < gain < 1.11
        assert abs(offset) < 0.0101
    assert (accuracy_pairs.noisy(image, 1).data == accuracy_pairs.noisy(image, 1).data).all()


def test_four_turns_bring_an_image_back(simulated):
    image = accuracy_pairs.on_plain_grid(simulated.before.to_image())
    image = replace(image, data=image.data[:, :100], valid=image.valid[:100], classes=image.classes[:100],
                    grid=image.grid[:100])  # fmt: skip
    once = accuracy_pairs.turned(image)
    assert once.data.shape[1:] == image.data.shape[:0:-1]
    again = once
    for _ in range(3):
        again = accuracy_pairs.turned(again)
    assert (again.data == image.data).all()


def test_what_should_not_matter_matters_little(city):
    found = accuracy_measures.altered([city])
    assert len(found) == 4
    for way, places in found.items():
        assert places["simulated"] >= 0.7, way


def test_jaccard_counts_common_ground():
    one, other = np.array([True, True, False]), np.array([False, True, True])
    assert accuracy_measures.jaccard(one, other) == pytest.approx(1 / 3)
    assert accuracy_measures.jaccard(one & False, one & False) == 1.0


@pytest.mark.parametrize("constant", CONSTANTS, ids=lambda constant: constant.name)
def test_every_constant_is_tried_at_its_default_and_set_where_it_belongs(constant):
    default = default_of(constant)
    assert default in constant.values
    assert varied({constant.name: default}).predict == DetectSettings().predict_parameters()
    assert varied({constant.name: default}).threshold == DetectSettings().threshold
    assert len({repr(varied({constant.name: value})) for value in constant.values}) == len(constant.values)


def test_default_constants_compare_as_the_program_does(city):
    settings = varied({"weight of B05": default_of(CONSTANTS[5])})
    assert settings.weights_of(city.pair.before) == DetectSettings().weights_of(city.pair.before)
    assert Outcome.of(city, settings) == Outcome.of(city, varied({}))
    assert varied({"weight of B05": 0.9}).weights_of(city.pair.before) != settings.weights_of(
        city.pair.before
    )


def test_the_left_out_city_has_no_say():
    figures = [[1.0, 0.2, 0.3], [0.0, 0.4, 0.2], [0.0, 0.3, 0.5]]
    assert [best_elsewhere(figures, city) for city in range(3)] == [2, 0, 0]


def test_constants_are_chosen_on_the_other_cities_and_measured_on_the_one():
    # a constant that serves three cities unlike
    best = {"a": 5.0, "b": 15.0, "c": 15.0}

    def outcome(name, settings):
        far = abs(settings.predict.surprise_cap - best[name])
        return Outcome(1 - far / 100, PixelCounts(100 - int(far), int(far), int(far), 0))

    one = Constant("surprise_cap", (5.0, 10.0, 15.0), ("average_precision", "f1"))
    found = accuracy_constants.measured_constants(list(best), (one,), outcome)
    constant = found["constants"]["surprise_cap"]
    assert constant["chosen_by_average_precision"] == [15.0, 5.0, 5.0]
    assert constant["left_out_average_precision"] == pytest.approx(0.9)
    assert found["default"]["average_precision"] == pytest.approx(0.95)
    assert found["all_at_once"]["average_precision"]["average_precision"] == pytest.approx(0.9)


def test_a_constant_that_does_not_reach_the_comparison_is_not_taken_for_a_plateau():
    constant = Constant("surprise_cap", (5.0, 10.0, 15.0))
    with pytest.raises(RuntimeError, match="surprise_cap changes nothing in any city"):
        accuracy_constants.measured_constants(
            ["a", "b"], (constant,), lambda name, settings: Outcome(0.5, PixelCounts(1, 1, 1, 1))
        )


@pytest.mark.parametrize("constant", CONSTANTS[:6], ids=lambda constant: constant.name)
def test_every_constant_of_the_score_reaches_the_comparison(city, constant):
    scores = {Outcome.of(city, varied({constant.name: v})).average_precision for v in constant.values[::2]}
    assert len(scores) > 1


def test_the_second_threshold_never_exceeds_the_first():
    settings = accuracy_constants._together({"seed_mads": 6.0, "grow_contrast": 0.02, "seed_contrast": 0.01})
    assert settings.threshold.grow_contrast == 0.01
    assert settings.threshold.grow_mads == 5.0


def measured():
    return json.loads(accuracy.RESULTS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", accuracy_tables.PAGES, ids=lambda page: page.name)
def test_the_pages_hold_what_was_measured(page):
    text = page.read_text(encoding="utf-8")
    assert "<!-- accuracy: " in text
    assert text == accuracy_tables.renewed(text, measured()), "run: python benchmarks/accuracy.py --docs"


def test_every_table_is_shown_and_every_part_was_measured():
    report = measured()
    assert set(accuracy.PARTS) <= set(report)
    assert set(accuracy_tables.TABLES) == set(accuracy_tables.PART_OF)
    pages = "".join(page.read_text(encoding="utf-8") for page in accuracy_tables.PAGES)
    for name in accuracy_tables.TABLES:
        assert pages.count(f"<!-- accuracy: {name} -->") == 1
    assert "| city |" in accuracy_tables.text(report)
    parts = set(accuracy.PARTS) - {"kinds"}
    assert len({report["source"][part] for part in parts}) == 1, "parts of different versions"
    # what takes half a minute may be measured by itself, as long as it ranks as the rest does
    ranked = report["methods"]["methods"]["predict"]["sites"]
    for name, one in report["kinds"]["sites"].items():
        expected = ranked[name]["average_precision"]
        assert one["by_score"]["average_precision"] == pytest.approx(expected, abs=1e-5), name


def test_a_stale_table_is_noticed():
    stale = "<!-- accuracy: landsat -->\n\nAUC 1.0\n\n<!-- end -->\n"
    new = accuracy_tables.renewed(stale, measured())
    assert new != stale
    assert accuracy_tables.renewed(new, measured()) == new


def test_what_is_published_is_better_than_what_it_stands_beside():
    found = measured()["methods"]
    ours, theirs = found["objects"]["predict"]["pooled"], found["objects"]["cva"]["pooled"]
    assert ours["object_recall"] > theirs["object_recall"]
    for size in ("10-24", "25-49", "50-99", "100+"):
        assert ours[f"object_recall_{size}_px"] > theirs[f"object_recall_{size}_px"], size
    for counted in ("false_objects_per_km2", "false_groups_per_km2"):
        assert ours[counted] < theirs[counted], counted
    pooled = {name: method["pooled"]["f1"] for name, method in found["methods"].items()}
    assert max(pooled, key=pooled.get) == "predict"
    assert found["difference_to_scikit_learn"] < 1e-9


def test_without_pairs_nothing_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(accuracy, "cities", list)
    assert accuracy.main(["--out", str(tmp_path / "none.json")]) == 1
    assert "set CHANGEDET_DATA" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_a_folder_without_the_set_has_no_cities(tmp_path):
    assert accuracy_pairs.cities(Path(tmp_path)) == []


def test_what_the_kind_is_worth_is_measured_and_shown(sample):
    site = LabelledSite("pair", TruthFile(sample / "truth.tif"), sample / "before", sample / "after")
    found = accuracy_measures.measured_kinds([site])
    assert set(found["sites"]) == {"pair"}
    # of one site, the mean and all together are its own figures
    for ranking in ("by_score", "by_construction"):
        assert found["pooled"][ranking] == pytest.approx(found["macro"][ranking], nan_ok=True)
    assert found["pooled"]["by_score"]["average_precision"] > 0.3
    rows = accuracy_tables.kinds_table({"kinds": found}).splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "pair",
        "**mean of cities**",
        "**all together**",
    ]
