"""Several sites: names of folders, what is on record, going on, stopping early."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box
from tests.runs import write_no_plates
from tests.synthetic import make_result

from changedet.batch import (
    REQUEST_NAME,
    STATUS_NAME,
    Batch,
    Fate,
    Outcome,
    require_all,
    safe_name,
    site_folders,
)
from changedet.batch_running import run_sites
from changedet.errors import (
    BudgetError,
    CredentialsError,
    NoUsableImageryError,
    OutputExistsError,
    ProviderError,
    SomeSitesFailedError,
    exit_code,
)
from changedet.scale.executors import Lost, Threads
from changedet.site import Site

SQUARE = box(126.0, 38.0, 126.1, 38.1)


def site(name, folder=""):
    return Site(name, SQUARE, folder)


SITES = (site("Pier", "North"), site("Hall", "North"), site("Gate"))


class Work:
    """Leaves a copy of a run folder at every site, or fails where it is told to."""

    def __init__(self, result, **errors):
        self.result, self.errors, self.done = result, errors, []

    def __call__(self, trial, _progress):
        at, folder, replaceable = trial.site, trial.folder, trial.replaceable
        self.done.append((at.name, replaceable))
        if at.name in self.errors:
            raise self.errors[at.name]
        if replaceable:
            shutil.rmtree(folder)
        shutil.copytree(self.result.folder, folder)
        return self.result


def saved(folder, **changes):
    """A made-up result with its run folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("changedet.output.plate.write_plates", write_no_plates)
        made = replace(make_result(), **changes)
        return replace(made, folder=made.save(folder, keep_images=False))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def batch(tmp_path):
    return Batch(tmp_path / "runs", SITES, {"before": "2023-05", "after": "2025-05"})


def go(batch, work, **options):
    batch.begin(**options)
    return list(run_sites(batch, work, **options))


def fates(outcomes):
    return [str(one.fate) for one in outcomes]


@given(
    st.lists(st.tuples(st.text(max_size=50), st.sampled_from(["", "a", "A", "x/y", "..", "CSV"])), max_size=9)
)
def test_folders_differ_stay_inside_and_do_not_lie_in_each_other(names):
    found = site_folders([site(name or "-", folder) for name, folder in names])
    folded = [name.casefold() for name in found]
    assert len(set(folded)) == len(names)
    for name in found:
        parts = name.split("/")
        assert len(parts) <= 2
        assert all(part == safe_name(part) != "" or len(part) > 40 for part in parts)
    alone = {name for name in folded if "/" not in name}
    assert not alone & {name.split("/")[0] for name in folded if "/" in name}


def test_every_site_gets_a_folder_and_a_line(batch, result):
    outcomes = go(batch, Work(result))
    assert fates(outcomes) == ["complete"] * 3
    assert [one.folder for one in outcomes] == ["North/Pier", "North/Hall", "Gate"]
    assert all((batch.folder / one.folder / "report.html").is_file() for one in outcomes)
    lines = [json.loads(line) for line in (batch.folder / STATUS_NAME).read_text().splitlines()]
    assert [line["site"] for line in lines] == ["North/Pier", "North/Hall", "Gate"]
    assert {line["candidates"] for line in lines} == {len(result.objects)}
    request = json.loads((batch.folder / REQUEST_NAME).read_text())
    assert request["request"] == {"before": "2023-05", "after": "2025-05"}
    assert request["digest"] == batch.digest


def test_one_that_fails_does_not_stop_the_others_and_is_tried_again(batch, result):
    error = ProviderError("the service is down", todo="try again later")
    outcomes = go(batch, Work(result, Hall=error))
    assert fates(outcomes) == ["complete", "failed", "complete"]
    assert outcomes[1].exit_code == 5
    assert outcomes[1].reason == "the service is down; try again later"
    work = Work(result)
    again = go(batch, work)
    assert [name for name, _ in work.done] == ["Hall"]
    assert fates(again) == ["complete"] * 3
    assert [one.earlier for one in again] == [True, False, True]


def test_what_others_say_loses_its_secrets(batch, result):
    error = OSError("cannot open https://me:word@host/a.tif?sig=TheSignature")
    go(batch, Work(result, Pier=error))
    text = (batch.folder / STATUS_NAME).read_text()
    assert "https://host/a.tif" in text
    assert "TheSignature" not in text
    assert "word" not in text


def test_a_bug_at_one_site_is_a_failure_of_that_site(batch, result):
    outcomes = go(batch, Work(result, Pier=ZeroDivisionError("division\nby zero")))
    assert fates(outcomes) == ["failed", "complete", "complete"]
    assert (outcomes[0].exit_code, outcomes[0].reason) == (70, "ZeroDivisionError: division by zero")


@pytest.mark.parametrize("kind", [CredentialsError, BudgetError])
def test_what_would_stop_every_site_stops_the_rest(batch, result, kind):
    work = Work(result, Pier=kind("no more"))
    outcomes = go(batch, work)
    assert fates(outcomes) == ["failed", "not tried", "not tried"]
    assert outcomes[2].reason == "not tried after North/Pier: no more"
    assert len(work.done) == 1
    assert len((batch.folder / STATUS_NAME).read_text().splitlines()) == 1


def test_an_interruption_keeps_what_is_complete(batch, result):
    batch.begin()
    seen = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(run_sites(batch, Work(result, Hall=KeyboardInterrupt())))
    assert [str(one.fate) for one in batch.outcomes().values()] == ["complete", "interrupted"]
    assert fates(go(batch, Work(result))) == ["complete"] * 3


def test_a_refused_pair_is_complete_on_disk_and_not_run_again(batch, tmp_path):
    refused = saved(tmp_path / "refused", refusals=("registration: residual 0.9 px",))
    outcomes = go(batch, Work(refused))
    assert set(fates(outcomes)) == {"refused"}
    assert outcomes[0].reason == "registration: residual 0.9 px"
    work = Work(refused)
    assert [one.exit_code for one in go(batch, work)] == [6, 6, 6]
    assert work.done == []


def test_a_run_that_was_saved_but_not_noted_counts(batch, result):
    go(batch, Work(result))
    (batch.folder / STATUS_NAME).unlink()
    work = Work(result)
    outcomes = go(batch, work)
    assert work.done == []
    assert [one.candidates for one in outcomes] == [len(result.objects)] * 3
    assert set(batch.outcomes()) == {"North/Pier", "North/Hall", "Gate"}


def test_a_missing_run_is_made_again(batch, result):
    go(batch, Work(result))
    shutil.rmtree(batch.folder / "North" / "Pier")
    (batch.folder / "North" / "Hall" / "my notes.txt").write_text("look here")
    work = Work(result)
    go(batch, work)
    assert work.done == [("Pier", False)]
    assert (batch.folder / "North" / "Hall" / "my notes.txt").exists()


def edited(batch):
    path = batch.folder / "Gate" / "changes.gpkg"
    path.write_bytes(b"the work of an afternoon")
    return path


def test_a_run_that_somebody_edited_is_left_alone_and_said(batch, result):
    go(batch, Work(result))
    whole = (batch.folder / "Gate" / "changes.gpkg").read_bytes()
    path = edited(batch)
    work = Work(result)
    for _ in range(2):
        outcomes = go(batch, work)
        assert fates(outcomes) == ["complete", "complete", "failed"]
        assert "Gate: the run folder was changed since it was made" in outcomes[2].reason
        assert "move it away to have it made again; --overwrite makes all" in outcomes[2].reason
        assert outcomes[2].exit_code == 2
    assert path.read_bytes() == b"the work of an afternoon"
    assert work.done == []
    path.write_bytes(whole)
    assert fates(go(batch, work)) == ["complete"] * 3
    assert str(batch.outcomes()["Gate"].fate) == "complete"
    edited(batch)
    assert fates(go(batch, work, overwrite=True)) == ["complete"] * 3
    assert path.read_bytes() == whole


def test_a_folder_that_no_run_wrote_is_left_alone(batch, result):
    batch.begin()
    (batch.folder / "Gate").mkdir()
    (batch.folder / "Gate" / "thesis.txt").write_text("mine")
    assert fates(go(batch, Work(result)))[2] == "failed"


def test_overwriting_that_was_interrupted_goes_on_overwriting(batch, result):
    go(batch, Work(result))
    other = replace(batch, request={"before": "2022-05", "after": "2025-05"})
    other.begin(overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        list(run_sites(other, Work(result, Hall=KeyboardInterrupt()), overwrite=True))
    assert other.begin() is True
    edited(other)
    work = Work(result)
    outcomes = list(run_sites(other, work))
    # what stands there is an answer to the earlier question
    assert work.done == [("Hall", True), ("Gate", True)]
    assert [one.earlier for one in outcomes] == [True, False, False]
    again = Work(result)
    assert fates(list(run_sites(other, again))) == ["complete"] * 3
    assert again.done == []


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_line_is_not_believed_and_swallows_nothing(batch, result, cut):
    go(batch, Work(result))
    path = batch.folder / STATUS_NAME
    path.write_bytes(path.read_bytes()[:-cut])
    assert set(batch.outcomes()) >= {"North/Pier", "North/Hall"}
    batch.note(Outcome("Gate", Fate.FAILED, "Gate", reason="again"))
    assert batch.outcomes()["Gate"].reason == "again"
    assert len(batch.outcomes()) == 3


def test_another_request_in_the_same_folder_is_refused(batch, result, tmp_path):
    assert batch.begin() is False
    assert batch.begin() is True
    other = Batch(batch.folder, SITES[:2], {"before": "2022-05", "after": "2025-05"})
    with pytest.raises(OutputExistsError, match=r"another batch \(other sites, before\).*--overwrite"):
        other.begin()
    batch.note(Outcome("Gate", Fate.FAILED, "Gate"))
    assert other.begin(overwrite=True) is False
    assert other.outcomes() == {}
    with pytest.raises(OutputExistsError, match="another batch"):
        batch.begin()


def test_overwriting_runs_everything_again(batch, result):
    go(batch, Work(result))
    work = Work(result)
    go(batch, work, overwrite=True)
    assert work.done == [("Pier", True), ("Hall", True), ("Gate", True)]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match="what no batch wrote"):
            Batch(tmp_path, SITES, {}).begin(overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def outcome(name, error=None):
    if error is None:
        return Outcome(name, Fate.COMPLETE, name, 3)
    return Outcome(name, Fate.FAILED, name, None, exit_code(error), str(error))


CLOUDY, DOWN = NoUsableImageryError("too cloudy"), ProviderError("down")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((None, CLOUDY), 7),
        ((CLOUDY, CLOUDY), 3),
        ((CLOUDY, DOWN), 7),
        ((DOWN,), 5),
        ((ZeroDivisionError(), ZeroDivisionError()), 70),
    ],
)
def test_the_exit_code_stands_for_all(errors, code):
    outcomes = [outcome(f"site {n}", error) for n, error in enumerate(errors)]
    with pytest.raises(Exception, match="have no result, site") as caught:
        require_all(outcomes, {"counts": {}})
    assert exit_code(caught.value) == code
    assert caught.value.details == {"counts": {}}
    assert isinstance(caught.value, SomeSitesFailedError) == (code == 7)


def test_nothing_is_raised_when_all_are_complete():
    require_all([outcome("one"), outcome("two")], {})


class Stand:
    """An executor that answers for workers elsewhere."""

    at_once = 2

    def __init__(self, answer):
        self.answer = answer

    def run(self, work, items, hear):
        for item in items:
            yield item, self.answer(work, item, hear(item))


def test_several_at_one_time_make_the_same(batch, result):
    batch.begin()
    outcomes = list(run_sites(batch, Work(result), executor=Threads(3)))
    assert sorted(one.folder for one in outcomes) == ["Gate", "North/Hall", "North/Pier"]
    assert fates(outcomes) == ["complete"] * 3
    assert [one.earlier for one in run_sites(batch, Work(result), executor=Threads(3))] == [True] * 3


def test_after_an_account_was_refused_nobody_begins_with_another_site(batch, result):
    batch.begin()
    work = Work(result, Pier=CredentialsError("no more"))
    outcomes = {one.site: one for one in run_sites(batch, work, executor=Threads(1))}
    assert str(outcomes["Gate"].fate) == "not tried"
    assert outcomes["Gate"].reason == "not tried after North/Pier: no more"


def test_a_worker_that_dies_again_and_again_is_a_failure_of_that_site(batch):
    batch.begin()
    outcomes = list(run_sites(batch, Work(None), executor=Stand(lambda *_: Lost("its worker died"))))
    assert [(str(one.fate), one.exit_code, one.reason) for one in outcomes] == [
        ("failed", 70, "its worker died")
    ] * 3


def test_what_a_dead_worker_had_finished_is_not_made_again(batch, result):
    batch.begin()
    first = Work(result)

    def _twice(work, item, progress):
        if item.site.name == "Hall":
            first(item, progress)
        return work(item, progress)

    again = Work(result)
    assert fates(run_sites(batch, again, executor=Stand(_twice))) == ["complete"] * 3
    assert [name for name, _ in again.done] == ["Pier", "Gate"]


def test_what_a_dead_worker_left_beside_a_finished_site_goes_with_the_next_round(batch, result):
    go(batch, Work(result))
    old, young = (batch.folder / "North" / f".Pier.part-{digits}" for digits in ("01234567", "89abcdef"))
    for left in (old, young):
        left.mkdir()
        (left / "score.tif").write_bytes(b"half")
    for path in (old / "score.tif", old):
        os.utime(path, (0, 0))
    work = Work(result)
    assert all(one.earlier for one in go(batch, work)) and work.done == []
    # who made the young one may be at work still
    assert not old.exists() and young.exists()


def test_a_folder_that_only_the_worker_can_see_is_a_failure(batch, result, tmp_path):
    batch.begin()

    def _elsewhere(work, item, progress):
        return work(replace(item, folder=tmp_path / "elsewhere" / item.name), progress)

    outcomes = list(run_sites(batch, Work(result), executor=Stand(_elsewhere)))
    assert {one.exit_code for one in outcomes} == {73}
    assert "must be on a file system that all of them share" in outcomes[0].reason


def test_what_was_under_way_when_the_user_stops_is_on_record(batch, result):
    batch.begin()

    class Interrupted(Stand):
        def run(self, work, items, hear):
            taken = [next(items), next(items)]
            yield taken[0], work(taken[0], hear(taken[0]))
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt):
        for one in run_sites(batch, Work(result), executor=Interrupted(None)):
            seen.append((one.site, str(one.fate)))
    assert seen == [("North/Pier", "complete"), ("North/Hall", "interrupted")]
    assert {name: str(one.fate) for name, one in batch.outcomes().items()} == {
        "North/Pier": "complete", "North/Hall": "interrupted",
    }  # fmt: skip
