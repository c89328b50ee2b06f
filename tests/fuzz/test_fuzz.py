"""A short run of every parser on spoilt input; what failed once is kept and tried again."""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz import mutators, runner
from tests.fuzz.outcomes import UnfitError, judge, require_plain
from tests.fuzz.targets import CORPUS, TARGETS, Target, make_case, seeds

from changedet.errors import ChangedetError

#: Cases of each parser; `make fuzz` runs many more.
CASES = 60
_KEPT = CORPUS / "regressions"
REGRESSIONS = sorted(path for path in _KEPT.rglob("*.bin")) if _KEPT.is_dir() else []


# GDAL repeats bytes of damaged files in messages that its wrappers cannot decode, and says so itself
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        runner._strict_warnings()
        warnings.simplefilter("ignore", pytest.PytestUnraisableExceptionWarning)
        yield


@pytest.mark.parametrize("name", TARGETS)
def test_spoilt_input_ends_in_a_value_or_one_plain_line(name, tmp_path):
    target, outcomes = TARGETS[name], set()
    for number in range(CASES):
        outcomes.add(judge(target.read, make_case(target, 7, number), tmp_path))
    assert outcomes <= {"value", "refused"}


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_failed_once_does_not_fail_again(path, tmp_path):
    assert judge(TARGETS[path.parent.name].read, path.read_bytes(), tmp_path) in {"value", "refused"}


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_themselves_can_be_read(name, tmp_path):
    # those of runs and timelines go as far as what lies beside the record
    allowed = (
        {"value", "refused"}
        if name in {"run_record", "timeline_record", "periods", "stac_catalogue"}
        else {"value"}
    )
    assert {judge(TARGETS[name].read, data, tmp_path) for data in seeds(name)} <= allowed


# ------------------------------------------------------------------------------------------ from grammars

_hostile_text = st.one_of(
    st.text(max_size=80), st.sampled_from(mutators.TEXTS), st.integers().map(str), st.floats().map(repr)
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _hostile_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_hostile_text, inner, max_size=4),
    max_leaves=12,
)
_quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
_TEXTS = [name for name, one in TARGETS.items() if one.kind == "text"]
_DOCUMENTS = [name for name, one in TARGETS.items() if one.kind == "json"]


@pytest.mark.parametrize("name", _TEXTS)
def test_any_text_is_read_or_refused(name, tmp_path):
    @given(_hostile_text)
    @_quick
    def check(text):
        judge(TARGETS[name].read, text.encode("utf-8", "surrogatepass"), tmp_path)

    check()


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_any_document_is_read_or_refused(name, tmp_path):
    import json

    @given(_json)
    @_quick
    def check(value):
        judge(TARGETS[name].read, json.dumps(value).encode(), tmp_path)

    check()


# ------------------------------------------------------------------------------------------ the harness


def test_a_case_is_the_same_bytes_every_time():
    for target in TARGETS.values():
        assert make_case(target, 3, 11) == make_case(target, 3, 11)
        assert len({make_case(target, 3, number) for number in range(20)}) > 10


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two\nlines",
        "\x1b[2J",
        "\u202egnp",
        "x" * 5000,
        f"{Path(__file__).parents[2]}/src/x.py",
        "a/site-packages/b",
    ],
)
def test_a_message_that_is_not_plain_is_noticed(text):
    class RudeError(ChangedetError):
        def __str__(self):
            return text

    with pytest.raises(UnfitError):
        require_plain(RudeError("x"))


def test_what_ends_a_process_or_fails_is_counted_and_kept(tmp_path, monkeypatch):
    import os

    def _read(data, _):
        if data.endswith(b"7"):
            os._exit(9)
        if data.endswith(b"3"):
            raise KeyError("three")

    monkeypatch.setitem(TARGETS, "coordinates", Target("coordinates", "text", _read))
    monkeypatch.setattr(runner, "make_case", lambda _, seed, number: str(number).encode())
    monkeypatch.setattr(runner, "FAILURES", tmp_path)
    tally = runner.run_target("coordinates", 20)
    assert (tally.cases, tally.failures) == (20, 4)
    kept = {path.read_bytes() for path in tmp_path.rglob("*.bin")}
    # of failures of one kind in one process the first is enough
    assert {b"7", b"17"} <= kept
    assert tally.kinds["process ended with 9"] == 2
