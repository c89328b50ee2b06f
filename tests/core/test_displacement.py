"""Displacement fields: as simple as the tie points allow, not bent by wrong ones, evaluated as described."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from changedet.core.displacement import LEAST_FOR_FIELD, DisplacementField, fit_field

SHAPE = (600, 800)
ROWS, COLUMNS = np.linspace(16, 583, 40), np.linspace(16, 783, 54)
NOISE = 0.05


def everywhere():
    return np.ones((len(ROWS), len(COLUMNS)), bool)


def tie_points(truth, seed=0, noise=NOISE):
    """Shifts on the raster as a function of rows and columns gives them, with noise."""
    parts = truth(*np.meshgrid(ROWS, COLUMNS, indexing="ij"))
    shifts = np.stack(np.broadcast_arrays(*parts, np.zeros(everywhere().shape))[:2])
    return shifts + np.random.default_rng(seed).normal(0, noise, shifts.shape)


def error_px(fit, truth, margin=0):
    axes = [np.arange(margin, length - margin, 10.0) for length in SHAPE]
    expected = np.stack(np.broadcast_arrays(*truth(*np.meshgrid(*axes, indexing="ij"))))
    return np.sqrt(((fit.field.on(*axes) - expected) ** 2).sum(axis=0).mean())


def still(rows, columns):
    return 1.3 + 0 * rows, -2.7 + 0 * columns


def tilted(rows, columns):
    return 1 + 2e-3 * (rows - 300) - 1e-3 * (columns - 400), -2 + 1e-3 * rows


def wavy(rows, columns):
    return (
        -1.3 + 0.6 * np.sin(2 * np.pi * (0.7 * rows + 0.5 * columns) / 700),
        1.8 + 0.8 * np.cos(2 * np.pi * (0.4 * rows - 0.8 * columns) / 900),
    )


def jittery(rows, columns):
    row_px, column_px = wavy(rows, columns)
    return row_px, column_px + 0.2 * np.sin(2 * np.pi * rows / 110)


@pytest.mark.parametrize(
    ("truth", "model", "within_px"),
    [
        (still, "translation", 0.01),
        (tilted, "affine", 0.01),
        (wavy, "spline", 0.02),
        (jittery, "spline and lines", 0.04),
    ],
)
def test_the_simplest_model_that_predicts_is_chosen(truth, model, within_px):
    fit = fit_field(ROWS, COLUMNS, tie_points(truth), everywhere(), SHAPE)
    assert fit.field.model == model
    assert error_px(fit, truth) < within_px
    assert fit.held_out_rmse_px == pytest.approx(NOISE * np.sqrt(2), rel=0.15)
    assert set(fit.scores_px) == {"translation", "affine", "spline", "spline and lines"}
    assert fit.scores_px[model] == fit.held_out_rmse_px


@settings(max_examples=10, deadline=None)
@given(
    shift=st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    noise=st.floats(0.005, 0.3),
    seed=st.integers(0, 10**6),
)
def test_a_pure_shift_stays_one(shift, noise, seed):
    fit = fit_field(
        ROWS,
        COLUMNS,
        np.array(shift)[:, None, None] + tie_points(lambda *_: (0.0, 0.0), seed, noise),
        everywhere(),
        SHAPE,
    )
    assert fit.field.bend_px < 0.5 * noise
    assert np.hypot(*np.subtract(fit.field.median_px, shift)) < 0.1 * noise + 1e-6


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), more=st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_a_shift_on_top_of_a_field_moves_the_field(seed, more):
    shifts = tie_points(wavy, seed)
    one = fit_field(ROWS, COLUMNS, shifts, everywhere(), SHAPE)
    other = fit_field(ROWS, COLUMNS, shifts + np.array(more)[:, None, None], everywhere(), SHAPE)
    at = ROWS, COLUMNS
    np.testing.assert_allclose(
        other.field.on(*at) - one.field.on(*at),
        np.broadcast_to(np.array(more)[:, None, None], shifts.shape),
        atol=0.02,
    )


def test_mirrored_tie_points_give_the_mirrored_field():
    shifts = tie_points(wavy)
    fit = fit_field(ROWS, COLUMNS, shifts, everywhere(), SHAPE)
    mirrored = np.stack([-shifts[0, ::-1], shifts[1, ::-1]])
    other = fit_field(SHAPE[0] - 1 - ROWS[::-1], COLUMNS, mirrored, everywhere(), SHAPE)
    back = other.field.on(SHAPE[0] - 1 - ROWS, COLUMNS) * np.array([-1, 1])[:, None, None]
    # other tie points are left out together, so that the stiffness may differ
    np.testing.assert_allclose(back, fit.field.on(ROWS, COLUMNS), atol=0.06)


def test_without_a_local_field_there_is_one_shift():
    fit = fit_field(ROWS, COLUMNS, tie_points(wavy), everywhere(), SHAPE, local=False)
    assert fit.field.model == "translation"
    assert set(fit.scores_px) == {"translation"}


@pytest.mark.parametrize(("truth", "within_px"), [(still, 0.02), (wavy, 0.04)])
def test_two_in_five_may_be_wrong(truth, within_px):
    rng = np.random.default_rng(1)
    wrong = rng.random(everywhere().shape) < 0.4
    shifts = np.where(wrong, rng.uniform(-8, 8, (2, *wrong.shape)), tie_points(truth))
    fit = fit_field(ROWS, COLUMNS, shifts, everywhere(), SHAPE)
    assert error_px(fit, truth) < within_px
    far = np.hypot(*(shifts - np.stack(truth(*np.meshgrid(ROWS, COLUMNS, indexing="ij"))))) > 1
    assert (fit.weight[far] == 0).mean() > 0.99
    assert fit.weight[~wrong].mean() > 0.7
    assert ((fit.weight >= 0) & (fit.weight <= 1)).all()


@pytest.mark.parametrize("drift", [(3.0, -2.0), (1.0, 1.0)])
@pytest.mark.parametrize("truth", [still, wavy])
def test_a_cloud_that_drifts_does_not_bend_the_field(truth, drift):
    """Wrong tie points that agree with each other, in one place."""
    cloud = np.hypot((ROWS - 250)[:, None], COLUMNS - 500) < 110
    assert 0.05 < cloud.mean() < 0.12
    shifts = np.where(cloud, np.array(drift)[:, None, None] + tie_points(truth, 3), tie_points(truth))
    fit = fit_field(ROWS, COLUMNS, shifts, everywhere(), SHAPE)
    assert (fit.weight[cloud] == 0).mean() > 0.75
    assert error_px(fit, truth) < 0.06
    assert np.nanmedian(fit.residual_px[cloud]) == pytest.approx(np.hypot(*drift), abs=0.15)


@pytest.mark.parametrize("truth", [still, wavy])
def test_holes_are_bridged(truth):
    usable = everywhere()
    usable[12:22, 15:30] = False
    shifts = tie_points(truth)
    shifts[:, 30:, :6] = np.nan
    fit = fit_field(ROWS, COLUMNS, shifts, usable, SHAPE)
    assert error_px(fit, truth) < 0.05
    np.testing.assert_array_equal(np.isnan(fit.residual_px), ~usable | np.isnan(shifts[0]))
    assert (fit.weight[~usable] == 0).all()


def test_numbers_where_nothing_is_usable_do_not_matter():
    usable = np.random.default_rng(2).random(everywhere().shape) < 0.6
    shifts = tie_points(wavy)
    spoilt = np.where(usable, shifts, 1e6)
    one, other = (fit_field(ROWS, COLUMNS, values, usable, SHAPE) for values in (shifts, spoilt))
    np.testing.assert_array_equal(one.field.on(ROWS, COLUMNS), other.field.on(ROWS, COLUMNS))


@pytest.mark.parametrize("count", [1, 2, 5, LEAST_FOR_FIELD - 1])
def test_few_tie_points_give_one_shift(count):
    usable = np.zeros(everywhere().shape, bool)
    usable.ravel()[np.random.default_rng(count).choice(usable.size, count, replace=False)] = True
    fit = fit_field(ROWS, COLUMNS, tie_points(wavy), usable, SHAPE)
    assert fit.field.model == "translation"
    assert np.isfinite(fit.held_out_rmse_px)
    assert np.isfinite(fit.field.median_px).all()


@pytest.mark.parametrize("raster", [(1, 1), (1, 80), (80, 1), (2, 40), (3, 3), (4, 12)])
def test_narrow_rasters_are_fitted_too(raster):
    rows, columns = (np.linspace(20, 500, n) for n in raster)
    shifts = np.full((2, *raster), 1.5) + np.random.default_rng(0).normal(0, 0.01, (2, *raster))
    fit = fit_field(rows, columns, shifts, np.ones(raster, bool), SHAPE)
    np.testing.assert_allclose(fit.field.median_px, 1.5, atol=0.03)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (4, 4)])
def test_no_usable_tie_point_gives_nothing(shape):
    nothing = np.zeros(shape, bool)
    assert (
        fit_field(np.zeros(shape[0]), np.zeros(shape[1]), np.full((2, *shape), np.nan), nothing, SHAPE)
        is None
    )


def test_tie_points_on_one_side_do_not_run_away_on_the_other():
    usable = everywhere()
    usable[:, 20:] = False
    fit = fit_field(ROWS, COLUMNS, tie_points(still), usable, SHAPE)
    assert np.abs(fit.field.on(ROWS, COLUMNS) - np.array([1.3, -2.7])[:, None, None]).max() < 0.1


def test_arguments_stay_as_they_are():
    shifts, usable = tie_points(wavy), everywhere()
    shifts[0, 3, 3] = np.nan
    copies = shifts.copy(), usable.copy()
    fit_field(ROWS, COLUMNS, shifts, usable, SHAPE)
    np.testing.assert_array_equal(shifts, copies[0])
    np.testing.assert_array_equal(usable, copies[1])


def test_errors_that_neighbours_share_make_no_field():
    """Overlapping windows err alike; blocks as wide as they are left out together."""
    rng = np.random.default_rng(4)
    white = rng.normal(0, 0.3, (2, len(ROWS) + 4, len(COLUMNS) + 4))
    shared = np.mean(
        [white[:, i : i + len(ROWS), j : j + len(COLUMNS)] for i, j in product(range(5), repeat=2)], axis=0
    )
    fit = fit_field(ROWS, COLUMNS, shared, everywhere(), SHAPE, window_px=75)
    assert np.hypot(*fit.field.extent_px) < 0.12


def made_field(seed, *, lines):
    rng = np.random.default_rng(seed)
    return DisplacementField(
        "spline and lines" if lines else "spline",
        (50, 70),
        (0.4, -1.2),
        rng.normal(0, 0.01, (2, 2)),
        rng.normal(0, 1, (2, 6, 8)),
        rng.normal(0, 0.3, (2, 11)) if lines else None,
    )


def plainly(field, row, column):
    """A field at one place as its parts are described, one term after the other."""
    at = np.clip((row, column), 0, np.array(field.shape) - 1)
    away = np.array([row, column]) - (np.array(field.shape) - 1) / 2

    def spline(coefficients, position, length):
        step = (length - 1) / (len(coefficients) - 3)
        return BSpline(np.arange(-3, len(coefficients) + 1) * step, coefficients, 3)(
            min(position, (length - 1) * (1 - 1e-12))
        )

    out = []
    for axis in range(2):
        value = field.centre_px[axis] + field.gradient[axis] @ away
        if field.surface is not None:
            along = [spline(line, at[1], field.shape[1]) for line in field.surface[axis]]
            value += spline(np.array(along), at[0], field.shape[0])
        if field.lines is not None:
            value += spline(field.lines[axis], at[0], field.shape[0])
        out.append(value)
    return out


@pytest.mark.parametrize("lines", [False, True])
def test_fields_are_evaluated_as_they_are_described(lines):
    field = made_field(5, lines=lines)
    rows, columns = np.array([0, 0.3, 17, 24.5, 49]), np.array([0, 1.5, 33, 68.9, 69])
    expected = np.array([[plainly(field, r, c) for c in columns] for r in rows]).transpose(2, 0, 1)
    found = field.on(rows, columns)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_outside_the_image_a_surface_keeps_the_value_of_the_edge():
    field = DisplacementField("spline", (50, 70), (0.0, 0.0), surface=made_field(6, lines=False).surface)
    outside, edge = (
        field.on(np.array([-9.0, 80]), np.array([-3.0, 99])),
        field.on(np.array([0.0, 49]), np.array([0.0, 69])),
    )
    np.testing.assert_allclose(outside, edge, atol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "turn"),
    [
        ([[0, 0], [0, 0]], 0),
        ([[0, -0.02], [0.02, 0]], 0.02),
        ([[0.01, 0], [0, 0.01]], 0.01),
        ([[0.03, 0], [0, 0]], 0.03),
    ],
    ids=["still", "rotation", "scale", "stretch"],
)
def test_turn_is_the_largest_change_on_any_way(gradient, turn):
    field = DisplacementField("affine", (300, 400), (2.0, -1.0), np.array(gradient, float))
    assert field.turn == pytest.approx(turn, abs=1e-6)
    assert field.bend_px == pytest.approx(0, abs=1e-4)
    steepest = max(
        np.hypot(*(np.array(gradient) @ (np.sin(a), np.cos(a)))) for a in np.linspace(0, np.pi, 721)
    )
    assert field.turn == pytest.approx(steepest, abs=1e-5)


def test_bend_median_and_extent_are_those_of_the_whole_field():
    field = made_field(7, lines=True)
    rows, columns = np.arange(50.0), np.arange(70.0)
    values = field.on(rows, columns).astype(float)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([np.ones(y.size), y.ravel(), x.ravel()], axis=1)
    found, *_ = np.linalg.lstsq(terms, values.reshape(2, -1).T, rcond=None)
    left = values.reshape(2, -1).T - terms @ found
    assert field.bend_px == pytest.approx(np.hypot(*left.T).max(), rel=0.05)
    assert field.turn == pytest.approx(np.linalg.norm(found[1:], ord=2), rel=0.05)
    medians = np.median(values, axis=(1, 2))
    np.testing.assert_allclose(field.median_px, medians, atol=0.03)
    np.testing.assert_allclose(
        field.extent_px, np.abs(values - medians[:, None, None]).max(axis=(1, 2)), rtol=0.05
    )


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("surface", [False, True])
def test_whole_rows_are_evaluated_as_single_pixels_are(surface, lines):
    rng = np.random.default_rng(3)
    field = DisplacementField(
        "spline and lines", (83, 61), (1.5, -2.5), rng.normal(0, 0.01, (2, 2)),
        surface=rng.normal(0, 1, (2, 7, 6)) if surface else None,
        lines=rng.normal(0, 1, (2, 12)) if lines else None,
    )  # fmt: skip
    found = field.by_rows()(slice(7, 20))
    expected = field.on(np.arange(7.0, 20.0), np.arange(61.0))
    assert [axis.shape for axis in found] == [(13, 61)] * 2
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-6)
