"""What mutmut recorded is counted as what tests noticed, and too little fails."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "mutation_score.py"


@pytest.fixture
def score(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("mutation_score", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(codes, *options):
        meta = {"exit_code_by_key": {f"a.x_{n}": code for n, code in enumerate(codes)}}
        (tmp_path / "a.py.meta").write_text(json.dumps(meta))
        monkeypatch.setattr(sys, "argv", ["mutation_score.py", str(tmp_path), *options])
        return tool.main(), capsys.readouterr().out

    return run


def test_survivors_and_what_no_test_reaches_count_against_the_tests(score):
    code, said = score([1, 1, 1, 0, 33, -24, None])
    assert "4 of     6 noticed (66.7%), 1 where no test comes" in said
    assert code == 1


def test_the_share_that_is_asked_for_is_enough(score):
    assert score([1, 1, 1, 0])[0] == 0
    assert score([1, 1, 1, 0], "--least", "0.8")[0] == 1


def test_those_that_live_on_are_named_when_asked_for(score):
    assert "a.x_1" not in score([1, 0])[1]
    _, said = score([1, 0, 33], "--list")
    assert "a.x_1" in said
    assert "a.x_2" in said
    assert "a.x_0" not in said


def test_nothing_tried_is_not_good_enough(score):
    assert score([None, None])[0] == 1
