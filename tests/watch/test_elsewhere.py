"""Looks by several at a time: the state, the digest and the alerts are those of one after the other."""

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.watch.dump import dump, told
from tests.watch.queries import unfinished_passes
from tests.watch.several import APRIL, BUG, DOWN, JULY, NAMES, REFUSED, SITES, TORN, Source, begin, look
from tests.watch.simulated import RULES, SINCE

from changedet.attempts import Failure
from changedet.cli import run as command
from changedet.progress import Silent
from changedet.scale.executors import AHEAD, Lost, Serial, Threads
from changedet.watch.elsewhere import Crew, SiteLook, Turn
from changedet.watch.looking import Recalled, SitePass, WatchSpan
from changedet.watch.monitor import recall
from changedet.watch.state import open_state

ROOT = Path(__file__).resolve().parents[2]
SPAN, SOON, LATER = WatchSpan(SINCE, JULY), APRIL.replace(day=25), JULY.replace(day=2)


class Relayed(Serial):
    """Has four at work at one time, and the last that began ends first."""

    at_once = 2

    def run(self, work, items, hear):
        items, ready = iter(items), []
        while True:
            ready += [(one, work(one, hear(one))) for one, _ in zip(items, range(4), strict=False)]
            if not ready:
                return
            yield ready.pop()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """An empty state file, and what comes of it one site after the other: in April, in July, a day later."""
    root = tmp_path_factory.mktemp("serial")
    empty, folder = begin(root / "empty"), root / "one"
    shutil.copytree(empty, folder)
    stages = []
    for until, faults in ((APRIL, DOWN), (JULY, TORN), (LATER, ())):
        report = look(folder, Source(faults, slow=()), until=until)
        stages.append((shutil.copytree(folder, root / f"after-{len(stages)}"), report))
    return empty, stages


@pytest.fixture
def april(serial, tmp_path):
    """What the first run left, to go on with."""
    return shutil.copytree(serial[1][0][0], tmp_path / "april")


def crew(source, executor):
    return Crew(executor, source)


def passes_of(folder):
    with open_state(folder / "w.gpkg") as state:
        return state.rows("SELECT status, message FROM runs ORDER BY fid")


def parts(folder):
    return list((folder / "w.gpkg.arrays").glob("*/.part-*"))


def require_same(folder, other):
    ours, theirs = dump(folder / "w.gpkg"), dump(other / "w.gpkg")
    assert ours.keys() == theirs.keys()
    for name in theirs:
        assert ours[name] == theirs[name], name
    assert told(folder / "out") == told(other / "out")
    assert not parts(folder)


def test_the_serial_runs_show_what_is_compared(serial):
    _, ((_, first), (after, second), (_, third)) = serial
    assert [one.site for one in first.failures] == ["Quay"]
    assert [one.site for one in second.failures] == ["Lock"]
    assert [one.site for one in second.alerts] == ["Pier", "Dock"] and not third.alerts
    assert [one["status"] for one in passes_of(after)[-5:]] == ["done", "done", "done", "failed", "done"]
    # dates before the one that broke off count
    with open_state(after / "w.gpkg") as state:
        (row,) = state.rows("SELECT max(time) AS last FROM scenes JOIN sites ON sites.fid = site_id"
                            " WHERE name = 'Lock' AND status = 'used'")  # fmt: skip
    assert row["last"] == "2023-05-13T02:16:01Z"
    assert len(second.passes[4].taken) == 7 and second.passes[4].left[-1].reason == "cannot be read: is torn"


def test_threads_make_the_same_whoever_is_first(serial, tmp_path):
    empty, stages = serial
    folder = shutil.copytree(empty, tmp_path / "w")
    for until, faults, (kept, report) in zip((APRIL, JULY, LATER), (DOWN, TORN, ()), stages, strict=True):
        source = Source(faults)
        found = look(folder, source, crew(source, Threads(3)), until)
        assert found.lines() == report.lines() and found.failures == report.failures
        require_same(folder, kept)


# Dask asks the system which way it would go to 8.8.8.8, and sends nothing there
@pytest.mark.allow_hosts(["127.0.0.1", "8.8.8.8"])
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_workers_of_dask_make_the_same(serial, april):
    pytest.importorskip("distributed")
    from distributed import Client
    from tests.scale.test_cluster import workers

    from changedet.scale.cluster import Cluster

    with workers() as found, Client(found, set_as_default=False) as client:
        look(april, Source(TORN), crew(Source(TORN), Cluster(client)))
    require_same(april, serial[1][1][0])


def test_a_killed_process_changes_nothing_but_time(serial, april, tmp_path):
    pytest.importorskip("distributed")
    line = [sys.executable, "-m", "tests.watch.killed_looker", str(april), str(tmp_path / "died")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    assert (tmp_path / "died").exists() and json.loads(done.stdout) == ["Lock"] and done.stderr == ""
    require_same(april, serial[1][1][0])


def test_after_a_refused_account_nobody_else_counts(april, tmp_path):
    folders = [april, shutil.copytree(april, tmp_path / "other")]
    for folder, executor in zip(folders, (None, Relayed()), strict=True):
        source = Source(REFUSED, slow=())
        found = look(folder, source, None if executor is None else crew(source, executor))
        assert [isinstance(one, Failure) for one in found.passes] == [False, True, True, True, True]
        assert found.failures[1].reason.startswith("not tried after Quay: the account is refused")
    require_same(*folders)


def test_a_bug_at_one_site_is_its_line_and_loses_its_secrets(april):
    found = look(april, Source(), crew(Source(BUG), Threads(2)), SOON)
    (failure,) = found.failures
    assert (failure.site, failure.exit_code) == ("Quay", 70) and "ZeroDivisionError" in failure.reason
    assert "topsecret" not in failure.reason
    assert [one["status"] for one in passes_of(april)[-5:]] == ["done", "failed", "done", "done", "done"]


class Interrupting:
    """Stops the program at the so-many-th word of a site."""

    def __init__(self, site, words):
        self.site, self.words, self.speaker = site, words, ""

    def begin_site(self, name, number, count):
        self.speaker = name

    def step(self, name):
        self.words -= self.speaker == self.site
        if self.words < 0:
            raise KeyboardInterrupt

    def advance(self, share): ...


@pytest.mark.parametrize(("executor", "site"), [(Threads(2), "Quay"), (Relayed(), "Dock")])
def test_who_is_stopped_leaves_whole_sites_and_no_rubbish(serial, april, executor, site):
    (before, _), (after, _), _ = serial[1]
    with pytest.raises(KeyboardInterrupt):
        look(april, Source(), crew(Source(TORN), executor), JULY, Interrupting(site, 3))
    with open_state(april / "w.gpkg") as state:
        assert unfinished_passes(state) == [] and not parts(april)
    count = len(passes_of(april)) - len(passes_of(before))
    assert count <= NAMES.index(site)
    look(april, Source(TORN, slow=()), until=JULY)
    assert what_counts(april) == what_counts(after)


def what_counts(folder):
    """Rows without the numbers of passes, of which a run that was stopped takes some."""
    found = dump(folder / "w.gpkg")
    rows = {name: found[name] for name in ("sites", "scenes", "objects", "followed", "alerts", "arrays")}
    return found["files"], {
        name: [{key: value for key, value in row.items() if key != "run_id"} for row in table]
        for name, table in rows.items()
    }


def test_what_a_worker_cannot_see_is_said(april, tmp_path):
    with open_state(april / "w.gpkg") as state:
        known = recall(state, "Pier")
    away = replace(known, stored=replace(known.stored, path=tmp_path / "away" / "1.npz"))
    looked = SiteLook(Source(), SPAN, RULES)(Turn(SITES[0], 1, away), Silent())
    assert looked.steps == () and "on a file system that all workers share" in str(looked.ended)


def test_what_comes_back_holds_two_generations_and_travels(april):
    with open_state(april / "w.gpkg") as state:
        turn = pickle.loads(pickle.dumps(Turn(SITES[0], 1, recall(state, "Pier"))))
    looked = SiteLook(Source(slow=()), SPAN, RULES)(turn, Silent())
    first = turn.recalled.stored.generation + 1
    assert [one.generation for one in looked.steps] == [*range(first, first + 8)]
    assert [one.arrays is not None for one in looked.steps] == [False] * 6 + [True] * 2
    back = pickle.loads(pickle.dumps(looked))
    assert isinstance(back.ended, SitePass)
    assert back.ended.candidates[0].found == looked.ended.candidates[0].found


class Dying(Relayed):
    """Loses its workers at one site."""

    def run(self, work, items, hear):
        for turn, looked in super().run(work, items, hear):
            yield turn, Lost("its worker died again and again") if turn.site.name == "Mole" else looked


def test_a_site_at_which_workers_die_is_its_line(april):
    found = look(april, Source(), crew(Source(slow=()), Dying()), SOON)
    (failure,) = found.failures
    assert (failure.site, failure.reason) == ("North/Mole", "its worker died again and again")
    assert [one["status"] for one in passes_of(april)[-5:]] == ["done", "done", "failed", "done", "done"]


def test_arrays_wait_on_the_disk_and_are_few(april, monkeypatch):
    waiting, real = [], SiteLook.__call__

    def _counting(self, turn, progress):
        waiting.append(len(parts(april)))
        return real(self, turn, progress)

    monkeypatch.setattr(SiteLook, "__call__", _counting)
    look(april, Source(), crew(Source(slow=()), Relayed()), SOON)
    assert len(waiting) == len(NAMES) and max(waiting) <= 2 * (Relayed.at_once + AHEAD)


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A command line that watches two of the sites."""
    from changedet.providers import tracked

    monkeypatch.chdir(tmp_path)
    rows = [f'{name},"38.27033, 126.49796",240m' for name in NAMES[:2]]
    Path("sites.csv").write_text("\n".join(["name,at,radius", *rows]) + "\n", encoding="utf-8")
    monkeypatch.setattr(tracked, "open_tracked", lambda *said: Source(slow=())(said[-1]))
    return ["watch", "--sites", "sites.csv", "--no-register", "--history", "300d", "--since", "2023-01",
            "--until", "2023-02"]  # fmt: skip


def test_the_command_looks_at_several_at_one_time(line, capsys):
    assert command([*line, "--scheduler", "threads", "--jobs", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["site"] for one in document["sites"]] == ["Pier", "Quay"]
    assert all(one["learned_dates"] == 30 for one in document["sites"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--jobs", "2"], "--jobs says nothing with --scheduler local"),
        (["--scheduler", "thread"], "there is no scheduler 'thread'"),
    ],
)
def test_what_says_nothing_is_refused(line, capsys, options, said):
    assert command([*line, *options]) == 2
    assert said in capsys.readouterr().err


def test_a_limit_is_refused_where_nobody_could_hold_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("sites.csv").write_text('name,at,radius\nPier,"38.27033, 126.49796",240m\n', encoding="utf-8")
    line = ["watch", "--sites", "sites.csv", "--max-pu", "5", "--scheduler", "threads", "--cache", "kept"]
    assert command(line) == 2
    assert "a limit on processing units cannot be held" in capsys.readouterr().err


def test_nothing_secret_travels(monkeypatch, tmp_path):
    from changedet.cli.watch import Source as Asked

    for name in ("SH_CLIENT_SECRET", "CHANGEDET_WEBHOOK", "CHANGEDET_SMTP_PASSWORD"):
        monkeypatch.setenv(name, "https://example.org/topsecret")
    monkeypatch.chdir(tmp_path)
    work = SiteLook(Asked("earth-search", Path("kept"), None, None).everywhere(), SPAN, RULES)
    sent = pickle.dumps((work, Turn(SITES[0], 1, Recalled(frozenset({"a"}), None))))
    assert b"topsecret" not in sent and pickle.loads(sent)[0].open_source.cache == tmp_path / "kept"
