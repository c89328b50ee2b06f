"""From a list of sites to what is told: lines, feed, page, a web address, and the exit code."""

import json
import re
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.watch.simulated import RULES, SINCE, SITE, SimulatedProvider, built
from tests.watch.smtp_server import mail_server
from tests.world.world import without_proxies

from changedet.attempts import Failure
from changedet.cli import run as command
from changedet.errors import OutputError, ProviderError, UsageError
from changedet.output.facts import SIMULATED_NOTE
from changedet.progress import Silent
from changedet.providers.tracked import TrackedProvider
from changedet.watch.alerts import Alert, append_alerts, feed_xml, read_alerts
from changedet.watch.digest import _credit, _known
from changedet.watch.looking import WatchSpan
from changedet.watch.notify import Webhook, tell
from changedet.watch.rules import WatchRules, parse_days, parse_persistence
from changedet.watch.running import ALERTS, DIGEST, DIGEST_PAGE, FEED, WatchRequest, run_watch, write_whole
from changedet.watch.state import open_state
from changedet.watch.telling import Receivers

END = datetime(2023, 7, 1, tzinfo=UTC)
ELSEWHERE = replace(SITE, name="Quay <b>&", folder="North")
SAMPLE = Alert(
    "0f" * 16, "thing 1: persisting", "Pier", "persisting", "new construction", "Pier: candidate",
    "2023-04-01T00:00:00Z", "2023-04-11T00:00:00Z", 6300.0, "new", 38.27, 126.5, "38 N", "52SBH", "grass",
    "medium", "2023-06-01T00:00:00Z", told=False,
)  # fmt: skip


class Failing(SimulatedProvider):
    """Refuses to search one site."""

    def search(self, query):
        if query.site.name != SITE.name:
            raise ProviderError("is down", todo="try later")
        return super().search(query)


def request_in(folder, until=END, **more):
    return WatchRequest(folder / "w.gpkg", folder / "out", WatchSpan(SINCE, until), RULES, **more)


def look(folder, sites=(SITE,), provider=None, **more):
    provider = TrackedProvider(provider or SimulatedProvider((built(),)), Silent())
    return run_watch(sites, request_in(folder, **more), provider, Silent())


def lines_of(folder):
    return [json.loads(line) for line in (folder / "out" / ALERTS).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told")
    return folder, look(folder, (ELSEWHERE, SITE), Failing((built(),)))


def test_one_site_that_fails_does_not_stop_the_other(told):
    _, report = told
    (failure,) = report.failures
    assert isinstance(report.passes[0], Failure) and failure.site == "North/Quay <b>&"
    assert (failure.reason, failure.exit_code) == ("is down; try later", 5)
    assert len(report.alerts) == 1 and report.lines()[0].startswith("Pier: candidate of new construction")


def test_what_is_told_is_in_every_file(told):
    folder, report = told
    (line,) = lines_of(folder)
    document = json.loads((folder / "out" / DIGEST).read_text(encoding="utf-8"))
    assert document["alerts"] == [line] and document["failed"][0]["reason"] == "is down; try later"
    assert line["schema"] == "changedet.alert/1" and line["by_utc"] == report.alerts[0].by_utc
    feed = ET.parse(folder / "out" / FEED)
    (entry,) = feed.findall("{http://www.w3.org/2005/Atom}entry")
    lat, lon = map(float, entry.findtext("{http://www.georss.org/georss}point").split())
    assert (lat, lon) == (line["lat"], line["lon"]) == pytest.approx((38.2704, 126.4966), abs=1e-3)
    page = (folder / "out" / DIGEST_PAGE).read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "at 1 of 2 watched sites" in page and SIMULATED_NOTE in page
    assert page.count("data:image/jpeg") == 2 and "Quay &lt;b&gt;&amp;" in page and "Quay <b>" not in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "confirmed" not in page.lower()
    assert "Simulated imagery; not real ground" in page and "Copernicus" not in page


def test_the_next_run_is_silent_and_lists_what_was_told(told, tmp_path):
    folder = shutil.copytree(told[0], tmp_path / "again")
    report = look(folder)
    assert report.lines() == [] and len(report.earlier) == 1
    assert len(lines_of(folder)) == 1
    page = (folder / "out" / DIGEST_PAGE).read_text(encoding="utf-8")
    assert "Nothing new was flagged at 1 watched site." in page and "Told before" in page


def test_long_silence_is_a_line(tmp_path):
    provider = SimulatedProvider(last=datetime(2023, 3, 1, tzinfo=UTC))
    report = look(tmp_path, provider=provider)
    (line,) = report.lines()
    assert re.fullmatch(r"Pier: no usable image for 12\d days, since 2023-02-2\d", line)
    assert "That nothing was flagged there says nothing" in (tmp_path / "out" / DIGEST_PAGE).read_text(
        "utf-8"
    )


@contextmanager
def receiver(*answers):
    """A web server on this machine that gives these answers, then 200; yields what it was sent."""
    sent, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append((self.path, self.headers["Idempotency-Key"], body))
            self.send_response(left.pop(0) if left else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook/secret-word", sent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def direct(monkeypatch):
    without_proxies(monkeypatch)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_webhook_that_fails_first_is_told_once(tmp_path, direct, caplog):
    caplog.set_level("DEBUG")
    with receiver(503) as (url, sent):
        report = look(tmp_path, receivers=Receivers(Webhook(url, pause_s=0.01)))
        again = look(tmp_path, receivers=Receivers(Webhook(url, pause_s=0.01)))
    assert (report.problem, again.problem, len(sent)) == ("", "", 2)
    assert sent[0] == sent[1] and sent[0][1] == sent[0][2]["id"] == report.alerts[0].id
    assert not again.alerts
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"secret-word" not in path.read_bytes()
    assert "secret-word" not in caplog.text + repr(Webhook(url))


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_what_a_webhook_refuses_is_kept_for_the_next_run(tmp_path, direct):
    with receiver(410) as (url, sent):
        report = look(tmp_path, receivers=Receivers(Webhook(url, pause_s=0.01)))
        assert "127.0.0.1 did not take 1 alert(s) (status 410)" in report.problem and len(sent) == 1
        assert "secret-word" not in report.problem
        with open_state(tmp_path / "w.gpkg") as state:
            assert len(read_alerts(state, untold=True)) == 1
        again = look(tmp_path, receivers=Receivers(Webhook(url, pause_s=0.01)))
    assert (again.problem, len(again.alerts), len(sent), len(lines_of(tmp_path))) == ("", 1, 2, 1)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_alerts_are_marked_one_by_one(direct):
    marked, alerts = [], [replace(SAMPLE, id=str(number)) for number in range(3)]
    with receiver(200, 500, 500) as (url, _), pytest.raises(ProviderError, match=r"2 alert.*status 500"):
        tell(Webhook(url, attempts=2, pause_s=0.01), alerts, marked.append)
    assert marked == alerts[:1]
    with pytest.raises(ProviderError, match=r"not take 3 alert.*Connection") as said:
        tell(Webhook(url, attempts=1), alerts, marked.append)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize("url", ["ftp://a.example/b", "nonsense", "http://[", ""])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(UsageError, match="no web address"):
        Webhook(url)


def test_lines_are_appended_once_after_what_a_crash_tore_off(tmp_path):
    path = tmp_path / "deep" / "alerts.jsonl"
    assert append_alerts(path, [SAMPLE]) == 1
    assert append_alerts(path, [SAMPLE]) == 0
    path.write_bytes(path.read_bytes() + b'{"id": "torn')
    assert append_alerts(path, [SAMPLE, replace(SAMPLE, id="ab")]) == 1
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[-1] for line in lines] == ["}", "n", "}"] and json.loads(lines[2])["id"] == "ab"
    with pytest.raises(OutputError, match=r"alerts\.jsonl"):
        append_alerts(path / "alerts.jsonl", [SAMPLE])


def test_a_feed_holds_what_names_may_hold():
    odd = replace(SAMPLE, site="Quay <&> \x00\u202e")
    feed = ET.fromstring(feed_xml([odd] * 60, "2023-06-01T00:00:00+00:00"))
    titles = [one.text for one in feed.iter("{http://www.w3.org/2005/Atom}title")]
    assert len(titles) == 51 and titles[1] == "Quay <&> : candidate of new construction"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    write_whole(tmp_path / "a" / "b.txt", "one")
    write_whole(tmp_path / "a" / "b.txt", "two")
    assert [(p.name, p.read_text()) for p in (tmp_path / "a").iterdir()] == [("b.txt", "two")]
    with pytest.raises(OutputError):
        write_whole(tmp_path / "a" / "b.txt" / "c", "three")


def test_rules_and_lengths_of_time_are_read():
    assert (parse_days("2y"), parse_days(" 10 "), parse_days("2w")) == (730.5, 10.0, 14.0)
    assert WatchRules(least_later=3, of_later=4).monitor().of_later == 4
    assert WatchRules().to_dict()["least_later"] == 2
    for text in ("y", "-3d", "nan", "1e9y", "2 years"):
        with pytest.raises(UsageError, match="no length of time"):
            parse_days(text)
    for text in ("2", "2/3/4", "a/b"):
        with pytest.raises(UsageError, match="such as 2/3"):
            parse_persistence(text)
    for wrong in ({"least_later": 4}, {"min_clear": 2.0}, {"history_days": 0.0}):
        with pytest.raises(UsageError):
            WatchRules(**wrong)


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A command line that watches the simulated site."""
    from changedet.providers import tracked

    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.csv").write_text('name,at,radius\nPier,"38.27033, 126.49796",240m\n', encoding="utf-8")
    provider = SimulatedProvider((built(),))
    monkeypatch.setattr(tracked, "open_tracked", lambda *_: TrackedProvider(provider, Silent()))
    return ["watch", "--sites", "sites.csv", "--no-register"]


def test_the_command_is_silent_until_something_is_new(line, capsys):
    first = [*line, "--since", "2023-01", "--exit-code"]
    assert command([*first, "--until", "2023-03"]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "Pier: learned what is usual from 73 dates" in said.err
    assert command([*first, "--until", "2023-07"]) == 1
    (text, page) = capsys.readouterr().out.splitlines()
    assert (
        text.startswith("Pier: candidate of new construction, 6,")
        and page == "digest: watch-alerts/digest.html"
    )
    assert command([*first, "--until", "2023-07", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["alerts"] == [] and document["sites"][0]["candidates"][0]["status"] == "persisting"
    assert command(["watch", "status"]) == 0
    assert re.search(r"Pier +2023-07-\d\d +\d+ +\d+ +\d+ +1 ", capsys.readouterr().out)
    assert command(["watch", "history", "Pier", "--json"]) == 0
    events = json.loads(capsys.readouterr().out)["events"]
    assert [one["event"] for one in events].count("alert") == 1
    assert command(["watch", "history", "Quay"]) == 2


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_the_command_sends_mail(line, capsys, monkeypatch):
    with mail_server() as box:
        monkeypatch.setenv("CHANGEDET_MAIL_TO", "ann@b.example bob@b.example")
        monkeypatch.setenv("CHANGEDET_SMTP_SERVER", f"127.0.0.1:{box.port}")
        days = ["--since", "2023-01", "--until", "2023-07"]
        assert command([*line, *days, "--smtp-security", "none"]) == 0
    assert [to for to, _, _ in box.letters] == ["ann@b.example", "bob@b.example"]
    assert box.messages[1]["From"] == "ann@b.example"


def test_the_command_says_what_failed(line, capsys, monkeypatch):
    assert command(["watch", "run"]) == 2
    assert "--sites" in capsys.readouterr().err
    assert command([*line, "--since", "2021-01", "--until", "2021-06"]) == 3
    assert "longer --history" in capsys.readouterr().err
    assert command([*line, "--webhook", "mailto:me"]) == 2
    for part in (["--mail-to", "a@b.example"], ["--smtp-server", "b.example"], ["--smtp-security", "tls"]):
        assert command([*line, *part]) == 2
        assert "give both --mail-to and --smtp-server" in capsys.readouterr().err
    twice = 'name,at,radius\nPier,"38.27033, 126.49796",240m\nPier,"38.3, 126.5",240m\n'
    Path("twice.csv").write_text(twice, encoding="utf-8")
    assert command(["watch", "--sites", "twice.csv"]) == 2
    assert "several sites are called 'Pier'" in capsys.readouterr().err
    monkeypatch.setattr("changedet.watch.notify._post", lambda *_: "status 500")
    assert (
        command([*line, "--since", "2023-01", "--until", "2023-07", "--webhook", "https://a.example/x"]) == 5
    )
    said = capsys.readouterr()
    assert said.out.startswith("Pier: candidate") and "a.example did not take 1 alert(s)" in said.err


@pytest.mark.parametrize(
    ("simulated", "said"),
    [
        ((True, True), "Simulated imagery; not real ground"),
        ((False, False), "Contains modified Copernicus Sentinel data [2022, 2023]"),
        (
            (True, False),
            "Simulated imagery; not real ground. Contains modified Copernicus Sentinel data [2023]",
        ),
        ((), ""),
    ],
)
def test_a_licence_notice_is_that_of_real_images_alone(told, simulated, said):
    known = _known(told[1])[:1] * len(simulated)
    passes = [
        replace(one, simulated=made_up, taken=(), last=f"{2022 + number}-05-01T00:00:00Z")
        for number, (one, made_up) in enumerate(zip(known, simulated, strict=True))
    ]
    assert _credit(passes) == said
