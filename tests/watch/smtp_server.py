"""A mail server on this machine that keeps what it is sent, and fails when it is told to."""

import base64
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy


@dataclass
class Mailbox:
    """What a server was sent, and how it behaves.

    `faults` says by command (``RCPT addr``, ``DATA``, ``END`` for the message itself) which answers come
    first; an answer of "" hangs up. `context` makes it offer STARTTLS, `account` makes it ask for a login.
    """

    port: int = 0
    messages: list = field(default_factory=list)
    commands: list = field(default_factory=list)
    logins: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    context: ssl.SSLContext | None = None
    account: tuple = ()

    @property
    def letters(self):
        """Recipient, subject and number of each message that was taken."""
        return [(one["To"], str(one["Subject"]), one["Message-ID"]) for one in self.messages]


class _Line(socketserver.StreamRequestHandler):
    def handle(self):
        self.box = self.server.box
        self._say("220 here")
        try:
            while self._answer(self.rfile.readline().decode("ascii", "replace").strip()):
                pass
        except (OSError, ssl.SSLError):
            return

    def finish(self):
        super().finish()
        self.connection.close()

    def _say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def _answer(self, line):
        if not line:
            return False
        self.box.commands.append(line)
        word = line.split(" ")[0].upper()
        fault = self._fault(f"RCPT {line[9:-1]}" if word == "RCPT" else word)
        if fault is not None:
            return bool(fault) and (self._say(fault) or True)
        return getattr(self, f"_{word.lower()}", self._other)(line)

    def _fault(self, name):
        waiting = self.box.faults.get(name)
        return waiting.pop(0) if waiting else None

    def _ehlo(self, _line):
        secure = isinstance(self.connection, ssl.SSLSocket)
        offers = ["localhost", *(["STARTTLS"] if self.box.context and not secure else []),
                  *(["AUTH PLAIN"] if self.box.account else [])]  # fmt: skip
        for offer in offers[:-1]:
            self._say(f"250-{offer}")
        self._say(f"250 {offers[-1]}")
        return True

    def _starttls(self, _line):
        self._say("220 go ahead")
        self.connection = self.box.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        return True

    def _auth(self, line):
        said = tuple(base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:])
        self.box.logins.append(said)
        self._say("235 welcome" if said == self.box.account else "535 no such account as " + said[0])
        return True

    def _data(self, _line):
        self._say("354 go on")
        content = b""
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            content += line.removeprefix(b".") if line.startswith(b"..") else line
        fault = self._fault("END")
        if fault is None or fault.startswith("lost"):
            self.box.messages.append(message_from_bytes(content, policy=policy.default))
        if fault is not None and not fault[:1].isdigit():
            return False
        self._say(fault or "250 taken")
        return True

    def _quit(self, _line):
        self._say("221 bye")
        return False

    def _other(self, _line):
        self._say("250 fine")
        return True


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True

    def handle_error(self, *_):
        """A line that the other side cut is no failure."""


@contextmanager
def mail_server(**behaviour):
    """A mail server for a while."""
    box = Mailbox(**behaviour)
    with _Server(("127.0.0.1", 0), _Line) as server:
        server.box, box.port = box, server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()


def make_certificate(folder):
    """A certificate for this machine that nobody signed; returns its file and a context of a server."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context
