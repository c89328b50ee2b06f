"""What the benchmark of radar in zones counts."""

import numpy as np
import pytest
from benchmarks import radar_zones
from tests.core.scenery import real
from tests.core.test_breaks import DAYS, speckle


def test_a_step_in_a_zone_is_found_and_its_neighbour_is_quiet():
    stack = speckle(1)
    stack[40:, :, 9:12, 9:12] *= np.float32(4)
    changed, quiet = radar_zones.found_in(stack, DAYS, [(10, 10), (22, 22)])
    assert changed.changes[0].first == 40 and not quiet.changes


def test_cleared_forest_is_found_in_zones_as_in_pixels():
    (row,) = radar_zones.measure_clearings(real("s1_disturbance"))
    assert row["ROC AUC"] >= 0.88 and row["best F1"] >= 0.83
    assert row["median days off"] <= 45


def test_what_is_unknown_is_refused(capsys):
    with pytest.raises(SystemExit):
        radar_zones.main(["--only", "speed"])
    assert "invalid choice" in capsys.readouterr().err
