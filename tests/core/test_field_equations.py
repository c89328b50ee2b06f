"""The equations of a field: the same solution as dense ones, in a band that one thread solves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.displacement import DisplacementField, fit_field
from changedet.core.field_equations import FieldEquations, Stiffness
from changedet.core.splines import basis, roughness

#: A band of more diagonals is split among threads by the OpenBLAS that comes with SciPy.
ONE_THREAD = 64
ROWS, COLUMNS = 14, 11


def bases(intervals, rows=ROWS, columns=COLUMNS):
    down, across, along = intervals
    axes = (rows, down), (columns, across), (rows, along)
    return [basis(np.linspace(0, 99, ties), pieces, 100).toarray() for ties, pieces in axes]


def tie_points(seed, rows=ROWS, columns=COLUMNS):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1, (rows, columns)), rng.normal(0, 1, (2, rows, columns))


def textbook(down, across, along, weight, shifts, stiffness):
    """The field at the tie points by dense matrices: every function in a column of its own."""
    surface = np.einsum("rk,cl->rckl", down, across).reshape(weight.size, -1)
    count, lines = surface.shape[1], 0 if along is None else along.shape[1]
    rough = [roughness(size) for size in (down.shape[1], across.shape[1])]
    eyes = [np.eye(len(one)) for one in rough]
    penalty = np.zeros((count + lines,) * 2)
    penalty[:count, :count] = stiffness.surface * (np.kron(rough[0], eyes[1]) + np.kron(eyes[0], rough[1]))
    design = surface
    if along is not None:
        design = np.hstack([surface, np.repeat(along, weight.shape[1], axis=0)])
        penalty[count:, count:] = stiffness.lines * across.shape[1] * roughness(lines)
    ridge = np.full(count + lines, 1e-7 * stiffness.scale + 1e-12)
    ridge[count:] += 1e-6 * stiffness.scale
    normal = design.T @ (weight.reshape(-1, 1) * design) + stiffness.scale * penalty + np.diag(ridge)
    found = np.linalg.solve(normal, design.T @ (weight * shifts).reshape(2, -1).T)
    return (design @ found).T.reshape(shifts.shape)


@pytest.mark.parametrize("with_lines", [False, True])
@settings(max_examples=12, deadline=None)
@given(st.tuples(*[st.integers(1, 6)] * 3), st.sampled_from([1e-3, 0.1, 10.0]), st.integers(0, 2**32 - 1))
def test_solution_is_that_of_the_dense_equations(with_lines, intervals, penalty, seed):
    down, across, along = bases(intervals)
    along = along if with_lines else None
    weight, shifts = tie_points(seed)
    stiffness = Stiffness(penalty, penalty, weight.mean())
    equations = FieldEquations(down, across, along)
    found = equations.solve(*equations.normal(weight, shifts), stiffness)
    expected = textbook(down, across, along, weight, shifts, stiffness)
    np.testing.assert_allclose(equations.at(found), expected, atol=1e-7)


def test_parts_of_tie_points_add_up_to_the_whole():
    equations = FieldEquations(*bases((3, 4, 6)))
    weight, shifts = tie_points(5)
    left = np.arange(COLUMNS) < 4
    parts = [equations.normal(weight * side, shifts) for side in (left, ~left)]
    for whole, one, other in zip(equations.normal(weight, shifts), *parts, strict=True):
        np.testing.assert_allclose(one + other, whole, atol=1e-12)


def test_parts_describe_the_field_that_the_equations_have_at_the_tie_points():
    equations = FieldEquations(*bases((3, 4, 6)))
    weight, shifts = tie_points(6)
    found = equations.solve(*equations.normal(weight, shifts), Stiffness(0.1, 0.1, 1.0))
    surface, lines = equations.parts(found)
    field = DisplacementField("spline and lines", (100, 100), (0.0, 0.0), surface=surface, lines=lines)
    on = field.on(np.linspace(0, 99, ROWS), np.linspace(0, 99, COLUMNS))
    np.testing.assert_allclose(on, equations.at(found), atol=1e-5)
    assert FieldEquations(*bases((3, 4, 6))[:2]).parts(np.zeros((42, 2)))[1] is None


def test_stiffness_flattens_the_surface_and_the_lines_each_on_its_own():
    equations = FieldEquations(*bases((5, 5, 6)))
    weight, shifts = tie_points(7)
    normal = equations.normal(weight, shifts)
    rough = {}
    for name, pair in {"neither": (1e-3, 1e-3), "surface": (1e6, 1e-3), "lines": (1e-3, 1e6)}.items():
        surface, lines = equations.parts(equations.solve(*normal, Stiffness(*pair, 1.0)))
        rough[name] = np.abs(np.diff(surface, 2, axis=1)).max(), np.abs(np.diff(lines, 2, axis=1)).max()
    assert rough["surface"][0] < 1e-3 * rough["neither"][0]
    assert rough["lines"][1] < 1e-3 * rough["neither"][1]
    assert rough["surface"][1] > 1e-3
    assert rough["lines"][0] > 1e-3


@pytest.mark.parametrize("ties", [30, 48, 96, 200])
def test_the_band_of_the_largest_field_is_one_that_no_thread_waits_for(ties, monkeypatch):
    widths = []
    solve = FieldEquations.solve

    def counted(equations, *given):
        widths.append(equations.bandwidth)
        return solve(equations, *given)

    monkeypatch.setattr(FieldEquations, "solve", counted)
    rng = np.random.default_rng(ties)
    axis = np.linspace(16, 10960, ties)
    shifts = rng.normal(0, 0.05, (2, ties, ties)) + np.sin(axis / 900)[:, None]
    fit = fit_field(axis, axis, shifts, np.ones((ties, ties), bool), (10980, 10980))
    assert "spline and lines" in fit.scores_px
    assert 0 < max(widths) <= ONE_THREAD
