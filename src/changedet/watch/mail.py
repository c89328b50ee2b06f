"""Telling people of alerts by mail: over an encrypted line, with patience, never with what is secret."""

from __future__ import annotations

import smtplib
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING

from changedet.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

#: Variables of the environment that hold the account.
USER_VARIABLE, PASSWORD_VARIABLE = "CHANGEDET_SMTP_USER", "CHANGEDET_SMTP_PASSWORD"
#: How the line is encrypted: after it was opened, from the start, not at all.
SECURITIES = ("starttls", "tls", "none")
#: Usual ports, by security.
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
#: A page that is larger is not attached: many servers would refuse the message.
_MOST_ATTACHED_BYTES = 5_000_000
_WORDS: dict[type[Exception], str] = {
    smtplib.SMTPNotSupportedError: "it lacks the encryption or the login that is asked for",
    ssl.SSLCertVerificationError: "its certificate is not trusted",
    TimeoutError: "no answer in time",
}


@dataclass(frozen=True)
class MailServer:
    """A server that takes mail.

    Attributes
    ----------
    host : str
        Its name.
    port : int
        Where it listens.
    security : str
        One of `SECURITIES`; without the encryption that is asked for nothing is sent.
    user, password : str
        The account; empty where none is needed. They are shown nowhere.
    timeout_s : float
        How long to wait for each answer.
    attempts : int
        How often to try to open the line.
    pause_s : float
        Between the first two attempts; it doubles.

    Raises
    ------
    UsageError
        When the security is none of these, or the account would travel unencrypted to another machine.
    """

    host: str
    port: int
    security: str = "starttls"
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    timeout_s: float = 15.0
    attempts: int = 3
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if self.security not in SECURITIES:
            raise UsageError(
                f"{self.security[:20]!r} is no way to encrypt mail", todo=f"say {', '.join(SECURITIES)}"
            )
        if self.security == "none" and self.user and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise UsageError(
                "the account of the mail server would travel unencrypted",
                todo="use --smtp-security starttls or tls, or a server without an account",
            )


@dataclass(frozen=True)
class Mail:
    """Who is told of alerts by mail, and how.

    Attributes
    ----------
    server : MailServer
        Takes the mail.
    sender : str
        Address of the sender.
    to : tuple of str
        Addresses; each gets a message of its own.

    Raises
    ------
    UsageError
        When something is no address, or nobody is named.
    """

    server: MailServer
    sender: str
    to: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.to:
            raise UsageError("nobody is named who gets the mail", todo="name somebody with --mail-to")
        for text in (self.sender, *self.to):
            _require_address(text)


@dataclass(frozen=True)
class Letter:
    """What is sent to one address.

    Attributes
    ----------
    to : str
        The address.
    number : str
        The same whenever it is sent again: it makes the ``Message-ID``, by which mailboxes know it.
    subject : str
        In a line.
    lines : sequence of str
        The text.
    page : str
        A page of HTML that is attached; empty for none.
    """

    to: str
    number: str
    subject: str
    lines: Sequence[str]
    page: str = ""


def parse_server(text: str, security: str, environment: Mapping[str, str]) -> MailServer:
    """Read where a mail server is, and its account from the environment.

    Parameters
    ----------
    text : str
        ``HOST`` or ``HOST:PORT``; 587 is meant without a port, and port 465 is encrypted from the start.
    security : str
        One of `SECURITIES`, or "" for what the port stands for.
    environment : mapping of str to str
        With `USER_VARIABLE` and `PASSWORD_VARIABLE`, where an account is needed.

    Returns
    -------
    MailServer

    Raises
    ------
    UsageError
        When it is no such text, or half of an account is given.

    Examples
    --------
    >>> server = parse_server("mail.example.org", "", {})
    >>> server.host, server.port, server.security
    ('mail.example.org', 587, 'starttls')
    >>> parse_server("mail.example.org:465", "", {}).security
    'tls'
    """
    host, colon, number = text.strip().rpartition(":")
    if not colon:
        host, number = text.strip(), ""
    host = host.removeprefix("[").removesuffix("]")
    good = host and host.isprintable() and not set(host) & set(" /@[]") and (not colon or number.isdecimal())
    if not good or (number and not 0 < int(number) < 65_536):
        raise UsageError("the mail server is not HOST:PORT", todo="give such as mail.example.org:587")
    if not security:
        security = "tls" if number == "465" else "starttls"
    user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if bool(user) != bool(password):
        raise UsageError(
            "half of the account of the mail server is given",
            todo=f"set both {USER_VARIABLE} and {PASSWORD_VARIABLE}, or neither",
        )
    return MailServer(host, int(number) if number else _PORTS.get(security, 587), security, user, password)


def post(mail: Mail, letters: Sequence[Letter], mark: Callable[[Letter], None]) -> int:
    """Send letters, one after the other, and mark each when the server took it.

    Parameters
    ----------
    mail : Mail
        Who and how.
    letters : sequence of Letter
        Any; none opens no line.
    mark : callable
        Notes that a letter was taken. Who is killed between answer and mark sends it again: its
        ``Message-ID`` is the same then.

    Returns
    -------
    int
        How many were taken.

    Raises
    ------
    ProviderError
        When one was not, after the others were tried: it is sent by the next run.
    """
    if not letters:
        return 0
    refused: list[str] = []
    try:
        with _line(mail.server) as line:
            for letter in letters:
                try:
                    line.send_message(_message(mail, letter))
                except (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError) as error:
                    # of this letter alone; the line can be used for the others
                    refused.append(_reason(error))
                    continue
                mark(letter)
    except (OSError, smtplib.SMTPException) as error:
        refused.append(_reason(error))
    if refused:
        raise ProviderError(
            f"the mail server {mail.server.host} did not take all mail ({refused[0]})",
            todo="the next run sends it again",
        )
    return len(letters)


@contextmanager
def _line(server: MailServer) -> Iterator[smtplib.SMTP]:
    """Open a line, encrypted as it was asked for, with the account."""
    for attempt in range(server.attempts):
        try:
            line = _opened(server)
            break
        except (OSError, smtplib.SMTPException) as error:
            if attempt + 1 == server.attempts or not _may_pass(error):
                raise
            time.sleep(server.pause_s * 2**attempt)
    try:
        yield line
        # all was answered by now: a server that hangs up first takes nothing back
        _quit(line)
    finally:
        line.close()


def _opened(server: MailServer) -> smtplib.SMTP:
    if server.security == "tls":
        context = ssl.create_default_context()
        line: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, timeout=server.timeout_s, context=context
        )
    else:
        line = smtplib.SMTP(server.host, server.port, timeout=server.timeout_s)
    try:
        if server.security == "starttls":
            line.starttls(context=ssl.create_default_context())
        if server.user:
            line.login(server.user, server.password)
        line.ehlo_or_helo_if_needed()
    except (OSError, smtplib.SMTPException):
        line.close()
        raise
    return line


def _quit(line: smtplib.SMTP) -> None:
    try:
        line.quit()
    except (OSError, smtplib.SMTPException):
        return


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: not where an account or an encryption is refused."""
    if isinstance(error, smtplib.SMTPResponseException):
        return 400 <= error.smtp_code < 500
    return not isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)


def _reason(error: Exception) -> str:
    """Say why in our words: the text of an answer may hold names and addresses."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"status {next(iter(error.recipients.values()))[0]} for a recipient"
    if isinstance(error, smtplib.SMTPResponseException):
        refused = isinstance(error, smtplib.SMTPAuthenticationError)
        account = f": the account in {USER_VARIABLE} and {PASSWORD_VARIABLE} is refused" if refused else ""
        return f"status {error.smtp_code}{account}"
    return next((words for kind, words in _WORDS.items() if isinstance(error, kind)), type(error).__name__)


def _message(mail: Mail, letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = _one_line(letter.subject)
    message["From"], message["To"] = mail.sender, letter.to
    message["Date"] = formatdate()
    message["Message-ID"] = f"<changedet-{letter.number}@{mail.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(letter.lines) + "\n")
    page = letter.page.encode("utf-8")
    if page and len(page) <= _MOST_ATTACHED_BYTES:
        message.add_attachment(page, maintype="text", subtype="html", filename="digest.html")
    return message


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]


def _require_address(text: str) -> None:
    """Refuse what is no address: a list in one text, a name beside it, a line end."""
    user, _, domain = text.rpartition("@")
    good = bool(user and domain) and text.isascii() and text.isprintable() and not set(text) & set(" ,;<>")
    try:
        good = good and bool(Address(addr_spec=text).domain)
    except (ValueError, LookupError, HeaderParseError):
        good = False
    if not good:
        raise UsageError(
            f"{text[:60]!r} is no mail address", todo="give one address, such as desk@example.org"
        )
