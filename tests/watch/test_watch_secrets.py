"""No password of a mail account, token of a webhook or password of a proxy is said, logged or written."""

import json
import logging
import pickle
import socket
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.test_secrets import all_logs, texts_of
from tests.watch.smtp_server import mail_server
from tests.watch.test_running import SAMPLE

from changedet.cli import run as command_line
from changedet.errors import ChangedetError
from changedet.providers.planetary_computer import Signatures
from changedet.providers.sentinel_hub_client import Credentials, Tokens
from changedet.providers.settings import ProviderSettings
from changedet.watch.mail import Letter, Mail, MailServer, post
from changedet.watch.notify import Webhook, tell

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
TOKEN, PASSWORD = "T0ken-of-the-hook", "pass-word-of-mine"
secret = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=6, max_size=20)


def closed_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def leaks(texts, *hidden):
    return sorted({text[:200] for text in texts for one in hidden if one in text})


@pytest.fixture
def told(monkeypatch):
    """Every text that an attempt leaves behind."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def attempt(function, *given):
        texts = []
        with all_logs() as lines:
            try:
                function(*given)
            except ChangedetError as error:
                texts += texts_of(error)
            else:
                pytest.fail("it was to fail")
        return [*texts, *lines]

    return attempt


def test_a_webhook_that_is_out_of_reach_is_named_without_its_token(told):
    hook = Webhook(f"http://127.0.0.1:{closed_port()}/hooks/{TOKEN}?key={TOKEN}", attempts=2, pause_s=0.01)
    texts = told(tell, hook, [SAMPLE], lambda _: None)
    assert any("127.0.0.1" in text for text in texts)
    assert leaks([*texts, repr(hook), str(hook)], TOKEN) == []


@pytest.mark.parametrize("fault", ["AUTH", "MAIL", "RCPT you@example.org", "DATA", "END", "EHLO"])
def test_a_mail_account_is_not_said_wherever_it_fails(told, fault):
    # a wrong password is one of the faults
    with mail_server(account=("someone", PASSWORD + "x" * (fault == "AUTH"))) as box:
        box.faults[fault] = ["535 no"] * 3
        server = MailServer("127.0.0.1", box.port, "none", "someone", PASSWORD, attempts=1, pause_s=0.01)
        mail = Mail(server, "desk@example.org", ("you@example.org",))
        letters = [Letter("you@example.org", "1", "x", ("x",))]
        texts = told(post, mail, letters, lambda *_: None)
    import base64

    coded = base64.b64encode(f"\0someone\0{PASSWORD}".encode()).decode()
    found = leaks(
        [*texts, repr(mail), repr(server)], PASSWORD, coded, base64.b64encode(PASSWORD.encode()).decode()
    )
    assert found == []


@pytest.mark.parametrize(
    "arguments", [["search"], ["run"], ["timeline"], ["fetch"], ["watch", "run"], ["doctor"], ["plan"]]
)
def test_the_password_of_a_proxy_is_not_said(arguments, workplace, capfd, monkeypatch):
    proxy = f"http://someone:{PASSWORD}@127.0.0.1:{closed_port()}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("CHANGEDET_PROVIDERS__EARTH_SEARCH__MAX_RETRIES", "0")
    place = ["--at", "38.27, 126.5", "--radius", "300m", "-vv"]
    more = {
        "search": [*place, "--period", "2023-05"],
        "run": [*place, "--before", "2021-05", "--after", "2023-05", "--out", "x"],
        "timeline": [*place, "--during", "2023", "--out", "x"],
        "fetch": [*place, "--period", "2023-05", "--out", "x"],
        "plan": [*place, "--before", "2021-05", "--after", "2023-05"],
    }.get(arguments[0], [])
    with all_logs() as lines:
        command_line([*arguments, *more])
    printed = capfd.readouterr()
    written = [path.read_bytes().decode("latin-1") for path in workplace.rglob("*") if path.is_file()]
    assert printed.err or printed.out
    assert leaks([printed.out, printed.err, *lines, *written], PASSWORD) == []


@given(secret)
@settings(max_examples=30, deadline=None)
def test_settings_do_not_show_what_they_hold(hidden):
    link = f"https://me:{hidden}@host/{hidden}"
    held = [
        ProviderSettings(url=link, token_url=link, catalog_url=link, process_url=link, signing_url=link),
        Credentials(hidden, hidden),
        Tokens("https://host/token", Credentials(hidden, hidden)),
        MailServer("host", 25, user=hidden, password=hidden),
        Mail(MailServer("host", 25, user=hidden, password=hidden), "a@b.org", ("c@d.org",)),
        Webhook(f"https://host/{hidden}"),
    ]
    for one in held:
        for text in (repr(one), str(one), f"{one}", repr({"a": [one]})):
            assert hidden not in text
    signing = Signatures(ProviderSettings(signing_url=f"https://me:{hidden}@host/sas"))
    assert hidden not in repr(signing)


def test_tokens_do_not_leave_the_process():
    # a lock goes nowhere: whoever sends settings to other processes sends no token by mistake
    with pytest.raises(TypeError):
        pickle.dumps(Tokens("https://host/token", Credentials("who", TOKEN)))
    with pytest.raises(TypeError):
        pickle.dumps(Signatures(ProviderSettings()))


def test_an_alert_holds_nothing_of_where_it_goes():
    assert TOKEN not in json.dumps(replace(SAMPLE, site="x").to_dict())
    assert logging.getLogger("changedet").level == logging.NOTSET
