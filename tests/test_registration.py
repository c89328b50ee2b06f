"""Registration: the verdict and its reasons, metres, records of this and of earlier versions, pictures."""

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from tests.core.scenery import pair, usable

from changedet.core.alignment import AlignmentSettings, align
from changedet.core.displacement import DisplacementField
from changedet.core.residual import Remainder, measure_remainder
from changedet.core.warping import warp
from changedet.errors import OutputExistsError, UsageError
from changedet.output.summary import registration_lines
from changedet.registration import OBSTACLES, Registration, Views, judge, simplified

SIZE = 200
GRID = GeoBox.from_bbox(
    (300000, 4000000, 300000 + 10 * SIZE, 4000000 + 10 * SIZE), "EPSG:32633", resolution=10
)
LEFT = Remainder(0.03, 0.04, 0.0, 0.0, 0.02, 30, 1)


def measured(row_px=1.25, column_px=-2.5, seed=0):
    reference, moving = pair(SIZE, row_px, column_px, seed)
    clear = usable(reference)
    alignment = align([*reference], [*moving], clear, clear, AlignmentSettings(20.0))
    field = simplified(alignment.field)
    moved = np.stack([warp(band, field) for band in moving])
    valid = np.isfinite(moved).all(axis=0)
    left = measure_remainder([*reference], [*moved], clear, valid)
    found = judge(alignment, left, (10.0, 8.0), correction=field)
    return replace(found, grid=GRID, views=Views(reference[0], moving[0], moved[0]))


@pytest.fixture(scope="module")
def found():
    return measured()


def test_a_known_shift_is_corrected_and_hardly_anything_is_left(found):
    assert found.verdict == "corrected"
    assert found.passed
    assert found.applied
    assert found.shift_px == pytest.approx((-1.25, 2.5), abs=0.03)
    assert found.residual_px < 0.1
    assert found.held_out_rmse_px < 0.1
    assert found.model == "translation"
    assert found.extent_px == (0.0, 0.0)
    assert found.tie_points > 100
    assert found.agreement > 0.9
    assert found.reason == ""


def test_metres_point_north_and_east(found):
    assert found.shift_m == pytest.approx((12.5, 20.0), abs=0.3)
    assert 8 * found.residual_px <= found.residual_m <= 10 * found.residual_px


def test_images_that_fit_are_good():
    same = measured(0.0, 0.0)
    assert same.verdict == "good"
    assert same.shift_px == (0.0, 0.0)


@pytest.mark.parametrize("obstacle", list(OBSTACLES))
def test_every_obstacle_is_told_in_words(found, obstacle):
    refused = judge(replace(found.alignment, obstacle=obstacle), None, (10.0, 10.0))
    assert refused.verdict == "not comparable"
    assert not refused.passed
    assert not refused.applied
    assert refused.reason == OBSTACLES[obstacle]
    assert np.isnan(refused.residual_px)


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (
            replace(LEFT, row_rmse_px=0.31, column_rmse_px=0.4),
            "the residual of 0.51 px is above the limit of 0.5 px",
        ),
        (replace(LEFT, row_rmse_px=np.nan, column_rmse_px=np.nan, kept=0), "nothing was left to measure"),
    ],
)
def test_what_is_left_can_refuse(found, left, reason):
    refused = judge(found.alignment, left, (10.0, 10.0))
    assert refused.verdict == "not comparable"
    assert refused.reason.startswith(reason)
    assert judge(found.alignment, LEFT, (10.0, 10.0)).passed


def test_a_field_counts_with_its_largest_shift(found):
    slope = DisplacementField("affine", (SIZE, SIZE), (0.0, 0.0), np.array([[0.002, 0.0], [0.0, 0.0]]))
    told = judge(found.alignment, LEFT, (10.0, 10.0), correction=slope)
    assert told.shift_px == pytest.approx((0.0, 0.0), abs=1e-6)
    assert told.extent_px[0] == pytest.approx(0.2, abs=0.01)
    assert (
        judge(
            found.alignment, LEFT, (10.0, 10.0), correction=replace(slope, gradient=slope.gradient * 2)
        ).verdict
        == "corrected"
    )


def test_two_places_have_no_field_that_is_applied():
    reference, _ = pair(SIZE, 0, 0)
    _, moving = pair(SIZE, 0, 0, seed=60)
    clear = usable(reference)
    refused = judge(align([*reference], [*moving], clear, clear), None, (10.0, 10.0))
    assert refused.verdict == "not comparable"
    assert refused.reason
    blank = judge(align([np.ones((64, 64), np.float32)] * 2, [np.ones((64, 64), np.float32)] * 2,
                        np.ones((64, 64), bool), np.ones((64, 64), bool)), None, (10.0, 10.0))  # fmt: skip
    assert blank.obstacle == "no texture"
    assert blank.field is None
    assert json.dumps(blank.to_dict())


class TestSimplified:
    def test_hardly_a_field_is_one_shift(self):
        slope = DisplacementField("affine", (100, 100), (0.5, -0.25), np.full((2, 2), 2e-4))
        one = simplified(slope)
        assert one.model == "translation"
        assert one.centre_px == pytest.approx((0.5, -0.25), abs=1e-3)

    def test_a_field_stays(self):
        slope = DisplacementField("affine", (100, 100), (0.5, -0.25), np.full((2, 2), 2e-3))
        assert simplified(slope) is slope

    @pytest.mark.parametrize("shift", [(0.01, 0.0), (-0.01, -0.01), (-1e-9, 0.0)])
    def test_what_lies_within_the_error_is_not_taken_out(self, shift):
        none = simplified(DisplacementField("translation", (100, 100), shift)).centre_px
        assert none == (0.0, 0.0)
        assert not np.signbit(none).any()


class TestRecords:
    @pytest.mark.parametrize("model", ["translation", "affine", "spline", "spline and lines"])
    def test_survive_json(self, found, model):
        rng = np.random.default_rng(0)
        field = DisplacementField(
            model, (SIZE, SIZE), (0.5, 0.25), rng.normal(0, 1e-3, (2, 2)),
            rng.normal(0, 1, (2, 5, 6)) if "spline" in model else None,
            rng.normal(0, 1, (2, 7)) if "lines" in model else None,
        )  # fmt: skip
        kept = replace(found, field=field, model=model)
        back = Registration.from_dict(json.loads(json.dumps(kept.to_dict())))
        assert back == kept
        at = np.arange(0, SIZE, 7.0)
        np.testing.assert_allclose(back.field.on(at, at), field.on(at, at), atol=1e-5)
        assert "add to the position of the after image" in kept.to_dict()["convention"]

    def test_missing_numbers_come_back(self, found):
        data = found.to_dict() | {"residual_px": None, "field": None, "shift_px": [None, 1.0]}
        back = Registration.from_dict(data)
        assert np.isnan(back.residual_px)
        assert np.isnan(back.shift_px[0])
        assert back.field is None

    @pytest.mark.parametrize("drop", ["shift_px", "verdict", "tie_points", "field"])
    def test_incomplete_ones_are_refused(self, found, drop):
        data = found.to_dict()
        del data[drop]
        with pytest.raises(KeyError):
            Registration.from_dict(data)

    @pytest.mark.parametrize(
        ("verdict", "shift", "now"),
        [
            ("good", [0.1, 0.1], "good"),
            ("good", [-0.8, 0.5], "corrected"),
            ("not reliable", [3.0, 0.0], "not comparable"),
            ("residual too large", [1.0, 0.0], "not comparable"),
        ],
    )
    def test_of_earlier_versions_are_read(self, verdict, shift, now):
        former = {
            "shift_px": shift, "shift_m": [1.0, 2.0], "residual_px": 0.04, "residual_m": 0.4, "spread_px": 1,
            "tie_points": 40, "reliability": 20.0, "limit_px": 0.5, "applied": True, "verdict": verdict,
        }  # fmt: skip
        back = Registration.from_dict(former)
        assert back.verdict == now
        assert back.passed is (verdict == "good")
        assert back.reason == ("" if verdict == "good" else verdict)
        assert (
            Registration.from_dict(json.loads(json.dumps(back.to_dict()).replace("NaN", "null"))).verdict
            == now
        )


class TestShowing:
    def test_lines_tell_what_matters(self, found):
        lines = registration_lines(found)
        assert lines[0] == "registration: corrected"
        assert "m north" in lines[1]
        assert "residual 0.0" in lines[1]
        assert "tie points agree" in lines[2]
        assert lines[3] == "model: translation"
        refused = replace(found, verdict="not comparable", reason="why", model="")
        assert registration_lines(refused)[0] == "registration: not comparable (why)"

    def test_html_loads_nothing_and_has_the_picture(self, found):
        html = found._repr_html_()
        assert "data:image/jpeg;base64," in html
        assert "http" not in html
        assert len(html) < 400_000
        bare = Registration.from_dict(found.to_dict())._repr_html_()
        assert "corrected" in bare
        assert "<img" not in bare

    def test_the_plot_has_arrows_and_two_boards(self, found):
        figure = found.plot()
        titles = [ax.get_title() for ax in figure.axes]
        assert titles[1:] == [f"Reference and moving image {w}" for w in ("as they came", "registered")]
        boards = [ax.images[0].get_array() for ax in figure.axes[1:]]
        # squares of two images meet: steps at their edges are what the eye sees
        edges = [np.nanmean(abs(np.diff(board[:, 24:26], axis=1))) for board in boards]
        assert edges[1] < edges[0]
        assert len(figure.axes[0].collections) == 1

    def test_without_agreement_the_plot_is_no_error(self, found):
        nothing = replace(found.alignment, agreeing=np.zeros_like(found.alignment.agreeing))
        replace(found, alignment=nothing).plot()
        replace(found, alignment=replace(found.alignment, ties=None)).plot()

    def test_a_registration_from_a_file_has_no_picture(self, found):
        back = Registration.from_dict(found.to_dict())
        for ask in (back.plot, lambda: back.save_tie_points("x.gpkg"), back.to_xarray):
            with pytest.raises(UsageError, match="register the images again"):
                ask()


class TestMaps:
    def test_the_raster_holds_pixels_and_metres_where_they_belong(self, found):
        slope = DisplacementField("affine", (SIZE, SIZE), (1.0, -2.0), np.array([[0.01, 0.0], [0.0, 0.02]]))
        data = replace(found, field=slope).to_xarray(step_px=25)
        assert data["row_px"].shape == (8, 8)
        assert data.odc.crs.epsg == 32633
        assert float(data["y"][0]) == pytest.approx(4000000 + 10 * SIZE - 125)
        assert float(data["row_px"][0, 0]) == pytest.approx(1.0 + 0.01 * (12 - 99.5))
        assert float(data["east_m"][0, 7]) == pytest.approx(10.0 * float(data["column_px"][0, 7]), rel=2e-3)
        assert float(data["north_m"][0, 0]) == pytest.approx(-10.0 * float(data["row_px"][0, 0]), rel=2e-3)

    def test_tie_points_are_where_they_were_measured(self, found, tmp_path):
        path = tmp_path / "deep" / "ties.gpkg"
        found.save_tie_points(path)
        table = gpd.read_file(path, layer="tie_points")
        assert len(table) == found.tie_points + found.tie_points_dropped
        assert table["kept"].sum() == found.tie_points
        assert table.crs.to_epsg() == 32633
        assert np.median(table["row_px"]) == pytest.approx(found.shift_px[0], abs=0.05)
        first = table.iloc[0]
        assert first.geometry.x == pytest.approx(300000 + 10 * (first["column"] + 0.5))
        assert first.geometry.y == pytest.approx(4000000 + 10 * SIZE - 10 * (first["row"] + 0.5))
        assert first["north_m"] == pytest.approx(-10 * first["row_px"], rel=1e-2)
        with pytest.raises(OutputExistsError, match="--overwrite"):
            found.save_tie_points(path)
        found.save_tie_points(path, overwrite=True)
        with pytest.raises(OutputExistsError, match="this is a folder"):
            found.save_tie_points(tmp_path)
