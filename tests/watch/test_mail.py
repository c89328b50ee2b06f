"""Alerts by mail: what is written, who gets it once, what a failure costs, and what nobody may see."""

import shutil
import sqlite3
from dataclasses import replace

import pytest
from tests.watch.simulated import SimulatedProvider, built
from tests.watch.smtp_server import mail_server, make_certificate
from tests.watch.test_running import ELSEWHERE, SITE, Failing, lines_of, look, receiver
from tests.world.world import without_proxies

from changedet.errors import ProviderError, UsageError
from changedet.watch.alerts import read_alerts
from changedet.watch.mail import Letter, Mail, MailServer, parse_server, post
from changedet.watch.notify import Webhook
from changedet.watch.state import open_state
from changedet.watch.telling import Enclosed, Receivers, tell_receivers

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
ANN, BOB, DESK = "ann@example.org", "bob@example.org", "watch@example.org"
SECRET = "open-sesame-77"


def mail_to(box, *to, **more):
    more = {"security": "none", "pause_s": 0.01, "timeout_s": 5.0} | more
    return Mail(MailServer("127.0.0.1", box.port, **more), DESK, to or (ANN,))


def letter(**more):
    return replace(Letter(ANN, "1" * 32, "Pier: candidate", ["One line."]), **more)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("makes a certificate with openssl")
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def untold(tmp_path_factory):
    """A state file with two alerts that nobody was told of."""
    folder = tmp_path_factory.mktemp("untold")
    look(folder, (SITE, replace(SITE, name="Quay")))
    connection = sqlite3.connect(folder / "w.gpkg")
    connection.execute("UPDATE alerts SET delivered_utc = NULL")
    connection.commit()
    connection.close()
    return folder


@pytest.fixture
def waiting(untold, tmp_path):
    return shutil.copytree(untold, tmp_path / "state") / "w.gpkg"


def told(file, **receivers):
    """Tell the alerts that wait; returns why not, and how many still wait."""
    with open_state(file, write=True) as state:
        found = tell_receivers(state, Receivers(**receivers), read_alerts(state, untold=True), Enclosed())
        return found, len(read_alerts(state, untold=True))


def test_a_letter_says_what_where_and_how_it_was_seen(tmp_path):
    with mail_server() as box:
        report = look(
            tmp_path, (ELSEWHERE, SITE), Failing((built(),)), receivers=Receivers(mail=mail_to(box))
        )
        again = look(tmp_path, receivers=Receivers(mail=mail_to(box)))
    (message,) = box.messages
    assert report.problem == again.problem == ""
    assert message["Subject"] == "Pier: candidate of new construction" and message["From"] == DESK
    assert message["Auto-Submitted"] == "auto-generated" and message["Message-ID"].endswith("@example.org>")
    text, page = message.get_body(("plain",)).get_content(), next(message.iter_attachments())
    (alert,) = report.alerts
    for part in (
        alert.mgrs,
        alert.by_utc[:10],
        f"{alert.lat:.5f}, {alert.lon:.5f}",
        "Watched up to 2023-07-01.",
    ):
        assert part in text
    assert "North/Quay <b>&: failed: is down; try later" in text and "SIMULATED" in text
    assert page.get_filename() == "digest.html" and "1 new candidate at" in page.get_content()


def test_each_address_gets_each_alert_once_whatever_becomes_of_the_others(waiting):
    with mail_server(faults={f"RCPT {BOB}": ["550 who is that"]}) as box:
        first, left = told(waiting, mail=mail_to(box, ANN, BOB))
        assert "127.0.0.1 did not take all mail (status 550 for a recipient)" in first.mail and left == 2
        second, left = told(waiting, mail=mail_to(box, ANN, BOB))
        assert second.mail == "" and left == 0
        assert told(waiting, mail=mail_to(box, ANN, BOB))[1] == 0
    assert [to for to, _, _ in box.letters] == [ANN, BOB]
    assert {subject for _, subject, _ in box.letters} == {"2 new candidates at 2 site(s): Pier, Quay"}


def test_what_a_server_that_hangs_up_may_have_taken_has_the_same_number_again(waiting):
    with mail_server(faults={"END": ["lost after it was taken"]}) as box:
        first, _ = told(waiting, mail=mail_to(box))
        assert "SMTPServerDisconnected" in first.mail
        assert told(waiting, mail=mail_to(box))[1] == 0
    assert len(box.messages) == 2 and len(set(box.letters)) == 1


@pytest.mark.parametrize("faults", [
    {"EHLO": [""]}, {"MAIL": ["451 later"]}, {"DATA": ["452 full"]}, {"END": ["554 no"]},
    {"END": [""]},
])  # fmt: skip
def test_a_server_that_fails_loses_nothing(waiting, faults):
    with mail_server(faults={name: list(said) for name, said in faults.items()}) as box:
        first, left = told(waiting, mail=mail_to(box, attempts=1))
        assert first.mail and (left, box.messages) == (2, [])
        assert told(waiting, mail=mail_to(box, attempts=1)) == (type(first)(), 0)
    assert len(box.messages) == 1


def test_who_is_away_for_a_moment_is_tried_again(waiting):
    with mail_server(faults={"EHLO": ["421 busy"], "HELO": ["421 busy"]}) as box:
        assert told(waiting, mail=mail_to(box)) == (told(waiting)[0], 0)
    assert len(box.messages) == 1
    with pytest.raises(ProviderError, match=r"127\.0\.0\.1 did not take all mail \(ConnectionRefused"):
        post(mail_to(box, attempts=1), [letter()], lambda _: None)


def test_the_webhook_and_the_mail_do_not_wait_for_each_other(waiting, monkeypatch):
    without_proxies(monkeypatch)
    with mail_server() as box, receiver(410) as (url, sent):
        both = {"webhook": Webhook(url, pause_s=0.01), "mail": mail_to(box)}
        first, left = told(waiting, **both)
        assert "status 410" in first.webhook and first.mail == "" and left == 2
        assert told(waiting, **both)[1] == 0
    assert len(box.messages) == 1 and len(sent) == 3


def test_alerts_of_a_later_day_come_in_a_letter_of_their_own(waiting):
    with open_state(waiting, write=True) as state:
        first, second = read_alerts(state, untold=True)
    with mail_server(faults={"END": ["451 later"]}) as box, open_state(waiting, write=True) as state:
        receivers = Receivers(mail=mail_to(box))
        assert tell_receivers(state, receivers, [first], Enclosed()).mail
        assert not tell_receivers(state, receivers, [first, second], Enclosed(["Quay: silent"])).mail
    assert [subject for _, subject, _ in box.letters] == [
        f"{one.site}: candidate of new construction" for one in (first, second)
    ]
    assert "Quay: silent" in box.messages[0].get_content()


def test_the_line_is_encrypted_or_nothing_is_sent(certificate, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    path, context = certificate
    account = {"user": "watcher", "password": SECRET, "security": "starttls"}
    with mail_server(context=context, account=("watcher", SECRET)) as box:
        with pytest.raises(ProviderError, match="certificate is not trusted"):
            post(mail_to(box, **account), [letter()], lambda _: None)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        assert post(mail_to(box, **account), [letter()], lambda _: None) == 1
        with pytest.raises(ProviderError, match=r"status 535: the account in CHANGEDET_SMTP_USER") as caught:
            post(mail_to(box, **account | {"password": "wrong"}), [letter()], lambda _: None)
    assert len(box.messages) == 1 and box.logins == [("watcher", SECRET), ("watcher", "wrong")]
    assert box.commands[1] == "STARTTLS" and "watcher" not in str(caught.value)
    with mail_server() as plain, pytest.raises(ProviderError, match="lacks the encryption"):
        post(mail_to(plain, security="starttls"), [letter()], lambda _: None)
    assert plain.messages == []
    assert SECRET not in caplog.text + repr(mail_to(box, **account)) + str(caught.value)


def test_nothing_of_the_account_is_written_down(certificate, tmp_path, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    path, context = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with mail_server(context=context, account=("watcher", "other")) as box:
        server = parse_server(f"127.0.0.1:{box.port}", "", {"CHANGEDET_SMTP_USER": "watcher",
                                                             "CHANGEDET_SMTP_PASSWORD": SECRET})  # fmt: skip
        report = look(tmp_path, provider=SimulatedProvider((built(),)),
                      receivers=Receivers(mail=Mail(server, DESK, (ANN,))))  # fmt: skip
    assert "status 535" in report.to_dict()["mail_problem"] and len(lines_of(tmp_path)) == 1
    assert SECRET not in caplog.text
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes()


def test_odd_names_stay_in_their_line():
    with mail_server() as box:
        odd = letter(subject="Pier\r\nBcc: all@example.org\u202e é" + "x" * 300, lines=[".", "Größe é"])
        assert post(mail_to(box), [odd], lambda _: None) == 1
        assert post(mail_to(box), [], lambda _: None) == 0
    (message,) = box.messages
    assert message["Bcc"] is None and str(message["Subject"]).startswith("Pier Bcc: all@example.org")
    assert message.get_content().splitlines() == [".", "Größe é"]


@pytest.mark.parametrize(("text", "found"), [
    ("a.example", ("a.example", 587, "starttls")), (" a.example:2525 ", ("a.example", 2525, "starttls")),
    ("a.example:465", ("a.example", 465, "tls")), ("[::1]:25", ("::1", 25, "starttls")),
])  # fmt: skip
def test_servers_are_read(text, found):
    server = parse_server(text, "", {})
    assert (server.host, server.port, server.security) == found


@pytest.mark.parametrize(
    "text", ["", ":25", "a:b", "a.example:0", "a.example:70000", "u@a.example", "a b:25"]
)
def test_what_is_no_server_is_refused(text):
    with pytest.raises(UsageError, match="mail server is not HOST:PORT"):
        parse_server(text, "", {})


def test_accounts_are_whole_and_travel_encrypted():
    with pytest.raises(UsageError, match="half of the account"):
        parse_server("a.example", "", {"CHANGEDET_SMTP_USER": "x"})
    account = {"CHANGEDET_SMTP_USER": "x", "CHANGEDET_SMTP_PASSWORD": SECRET}
    with pytest.raises(UsageError, match="would travel unencrypted"):
        parse_server("a.example", "none", account)
    assert parse_server("localhost", "none", account).port == 25
    with pytest.raises(UsageError, match="no way to encrypt mail"):
        parse_server("a.example", "perhaps", {})


@pytest.mark.parametrize("to", [
    "", "ann", "ann@", "@b.example", "a@b.example,c@d.example", "Ann <a@b.example>",
    "a@b.example\nBcc: c@d.example", "ä@b.example",
])  # fmt: skip
def test_what_is_no_address_is_refused(to):
    server = MailServer("a.example", 587)
    with pytest.raises(UsageError, match="no mail address"):
        Mail(server, DESK, (to,))
    with pytest.raises(UsageError, match="no mail address"):
        Mail(server, to, (ANN,))
    with pytest.raises(UsageError, match="nobody is named"):
        Mail(server, DESK, ())


def test_a_file_of_the_layout_before_knows_who_was_told_from_now_on(waiting):
    connection = sqlite3.connect(waiting)
    for statement in ("DROP TABLE deliveries", "DELETE FROM gpkg_contents WHERE table_name = 'deliveries'",
                      "UPDATE changedet_meta SET value = '1' WHERE key = 'schema_version'"):  # fmt: skip
        connection.execute(statement)
    connection.commit()
    connection.close()
    with mail_server() as box:
        assert told(waiting, mail=mail_to(box))[1] == 0
    assert len(box.messages) == 1
    with open_state(waiting) as state:
        assert state.check().passed
        (row,) = state.rows(
            "SELECT data_type, description FROM gpkg_contents WHERE table_name = 'deliveries'"
        )
    assert row["data_type"] == "attributes" and "twice" in row["description"]
