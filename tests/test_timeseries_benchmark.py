"""What the benchmark of series counts."""

import numpy as np
import pytest
from benchmarks import timeseries
from benchmarks.pixel_series import Weather, simulate, with_step

from changedet.core.harmonic_baseline import BaselineParameters, design_of, fit_baseline


@pytest.fixture(scope="module")
def counted():
    return {row["rule"]: row for row in timeseries.rules(4000)}


def share(row, step):
    return float(row[step].split(" / ")[0])


def test_the_default_finds_what_it_has_to(counted):
    default = next(row for name, row in counted.items() if "default" in name)
    assert default["false"] <= 0.004
    assert share(default, "0.06") >= 0.975
    assert share(default, "0.1") >= 0.999
    assert float(default["0.06"].split(" / ")[1]) <= 10


def test_other_rules_find_less_or_are_wrong_more_often(counted):
    default = next(row for name, row in counted.items() if "default" in name)
    for name, row in counted.items():
        assert (
            row is default or share(row, "0.06") < share(default, "0.06") or row["false"] > default["false"]
        ), name
    assert share(counted["3 in a row beyond 3"], "0.06") < 0.3
    assert counted["EWMA, L 2, not clipped, least squares"]["false"] > 0.5


def test_worse_weather_is_worse():
    rows = {row["series"]: row for row in timeseries.weather(2000)}
    assert rows["years alike"]["false"] <= rows["years differ three times as much"]["false"]
    assert rows["25 % clear"]["0.06"] < rows["as above"]["0.06"]


def test_a_step_in_the_history_is_counted():
    rows = timeseries.history(600)
    assert rows[0]["day 365"] < 0.02
    assert rows[-1]["day 365"] > 0.98


def test_simulated_series_are_what_they_say():
    quiet = simulate(2000, 1, Weather(cloud=0.0))
    assert np.isfinite(quiet.values).mean() == pytest.approx(0.45, abs=0.01)
    assert np.isfinite(simulate(500, 1, Weather(clear=0.9)).values).mean() == pytest.approx(0.9, abs=0.01)
    stepped = with_step(quiet, 0.1, 800, 900)
    apart = stepped.values - quiet.values
    inside = (quiet.days >= 800) & (quiet.days < 900)
    assert np.nanmin(apart[inside]) == pytest.approx(0.1, abs=1e-6)
    assert np.nanmax(np.abs(apart[~inside])) == 0
    np.testing.assert_array_equal(simulate(20, 3).values, simulate(20, 3).values)
    # neighbouring dates share all but the noise
    differences = np.diff(quiet.values, axis=0)
    assert np.nanstd(differences) / np.sqrt(2) == pytest.approx(0.03, rel=0.05)


def test_the_loop_is_the_same_fit():
    quiet = simulate(40, 5)
    values, days = quiet.values[quiet.history], quiet.days[quiet.history]
    for rounds in (0, 30):
        parameters = BaselineParameters(rounds=rounds)
        found = fit_baseline(values, days, parameters=parameters)
        looped = timeseries.lstsq_loop(values, design_of(days, 0.0, parameters), rounds)
        # the scale of the loop has no correction for what was fitted
        np.testing.assert_allclose(found.coefficient, looped, atol=0.002 if rounds else 1e-5)


def test_tables_have_a_line_for_each_row():
    assert timeseries.table([{"a": 0.12345, "b": "x"}]).splitlines()[2:] == ["| 0.1235 | x |"]
    assert timeseries.table([]) == ""


def test_what_is_unknown_is_refused(capsys):
    with pytest.raises(SystemExit):
        timeseries.main(["--only", "accuracy"])
    assert "invalid choice" in capsys.readouterr().err


def test_one_table_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setitem(timeseries.TABLES, "history", lambda: [{"step": 1}])
    assert timeseries.main(["--only", "history"]) == 0
    assert capsys.readouterr().out == "history\n\n| step |\n| --- |\n| 1 |\n\n"


def test_real_series_are_left_out_where_there_are_none(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CHANGEDET_DATA", str(tmp_path / "none"))
    assert timeseries.main(["--only", "real"]) == 0
    assert "name a folder by CHANGEDET_DATA" in capsys.readouterr().err


def test_what_stays_is_told_from_what_does_not():
    rows = {row["change"]: row for row in timeseries.patterns(400)}
    assert rows["construction: stays"]["step"] > 0.97
    assert all(row["step"] <= 0.03 for name, row in rows.items() if "construction" not in name)
    assert rows["snow: 40 days"]["reversed"] > 0.7 * rows["snow: 40 days"]["alarms"]
    harvest = rows["harvest, every year 50 days"]
    assert harvest["seasonal"] > 0.6 * harvest["alarms"]
