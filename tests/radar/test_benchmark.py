"""What the benchmark of radar methods counts."""

import pytest
from benchmarks import radar


def test_found_shares_are_those_of_independent_simulations():
    """Two decibels in 22 looks, 12 dates before and 4 after: shares within what 10 000 pixels allow."""
    row = next(r for r in radar.power(100) if (r["looks"], r["step_db"]) == (22, 2))
    published = {
        "one date against one": 0.235,
        "last date against mean": 0.432,
        "ratio of temporal means": 0.989,
        "Welch t": 0.747,
        "pooled t": 0.870,
        "likelihood ratio": 0.991,
        "omnibus (date unknown)": 0.726,
    }
    assert {name: row[name] for name in published} == pytest.approx(published, abs=0.04)
    assert row["likelihood ratio, calibrated"] >= 0.98


def test_tables_have_a_line_for_each_row():
    assert radar.table([{"a": 0.12345, "b": "x"}, {"a": 1.0, "b": ""}]).splitlines()[2:] == [
        "| 0.1235 | x |",
        "| 1 |  |",
    ]


def test_what_is_unknown_is_refused(capsys):
    with pytest.raises(SystemExit):
        radar.main(["--only", "accuracy"])
    assert "invalid choice" in capsys.readouterr().err
