"""An HTTP server on 127.0.0.1: requests in, responses out, a log of both, and faults on demand."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.world.faults import Fault, FaultBook

Route = Callable[["Request"], "Response"]


@dataclass(frozen=True)
class Request:
    """What a client sent; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON; 400 if it is not."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error


@dataclass(frozen=True)
class Response:
    """What the server answers."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One line of the request log; times are those of `time.monotonic`."""

    request: Request
    status: int
    sent_bytes: int
    started_s: float
    finished_s: float
    fault: str = ""


class Refusal(Exception):  # noqa: N818
    """A route's way to answer with an error: a status and a message."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def json_response(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is JSON."""
    kind = {"content-type": "application/json"}
    return Response(status, json.dumps(value).encode(), kind | dict(headers or {}))


class Server:
    """A running server with one route function; every connection serves one request in its own thread."""

    def __init__(self, route: Route, latency_s: float = 0.0) -> None:
        self.route = route
        self.latency_s = latency_s
        self.faults = FaultBook()
        self.problems: list[BaseException] = []
        self.stopping = threading.Event()
        self._lock = threading.Condition()
        self._log: list[Entry] = []
        self._now = self._most = self._epoch = 0
        self._listener = _Listener(self)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.005,))
        self._thread.start()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``."""
        return f"http://127.0.0.1:{self._listener.server_port}"

    @property
    def log(self) -> tuple[Entry, ...]:
        """All finished requests, oldest first; a client may have its answer just before it is logged."""
        with self._lock:
            self._lock.wait_for(lambda: self._now == 0, timeout=0.5)
            return tuple(self._log)

    @property
    def max_in_flight(self) -> int:
        """Most requests that were being answered at one time since the log was reset."""
        return self._most

    def reset_log(self) -> None:
        """Forget the requests so far, also those that are still being answered."""
        with self._lock:
            self._epoch += 1
            self._log.clear()
            self._now = self._most = 0

    def close(self) -> None:
        """Stop listening, hang up on everyone, and wait for every thread."""
        self.stopping.set()
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()
        self._thread.join()

    def enter(self) -> int:
        """Count a request in; `leave` wants what this returns."""
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
            return self._epoch

    def leave(self, entry: Entry, epoch: int) -> None:
        """Count a request out and log it, unless the log was reset since it came."""
        with self._lock:
            if epoch == self._epoch:
                self._now -= 1
                self._log.append(entry)
            self._lock.notify_all()


class _Listener(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, owner: Server) -> None:
        self.owner = owner
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.owner.problems.append(error)

    def hang_up(self) -> None:
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def _serve(self) -> None:
        owner, started = self.server.owner, time.monotonic()
        self.close_connection = True
        request = self._request()
        fault = owner.faults.take(request.method, request.path)
        status = sent = 0
        epoch = owner.enter()
        try:
            owner.stopping.wait(owner.latency_s + (fault.seconds if fault and fault.kind == "delay" else 0))
            if fault and fault.kind == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            response = _answer(owner.route, request, fault)
            status = response.status
            sent = self._send(request, response, fault)
        finally:
            kind = fault.kind if fault else ""
            owner.leave(Entry(request, status, sent, started, time.monotonic(), kind), epoch)

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Request(self.command, unquote(parts.path), query, headers, self.rfile.read(length))

    def _send(self, request: Request, response: Response, fault: Fault | None) -> int:
        self.send_response(response.status)
        headers = (
            {"content-length": f"{len(response.body)}"} | dict(response.headers) | {"connection": "close"}
        )
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if request.method == "HEAD" else response.body
        if fault and fault.kind == "truncate":
            body = body[: fault.keep_bytes]
        if fault and fault.kind == "slow":
            return self._trickle(body, fault.seconds)
        self.wfile.write(body)
        return len(body)

    def _trickle(self, body: bytes, seconds: float, steps: int = 10) -> int:
        size = max(1, -(-len(body) // steps))
        for start in range(0, len(body), size):
            self.server.owner.stopping.wait(seconds / steps)
            self.wfile.write(body[start : start + size])
        return len(body)


def _answer(route: Route, request: Request, fault: Fault | None) -> Response:
    if fault and fault.kind == "status":
        return Response(fault.status, fault.body, fault.headers)
    if fault and fault.kind == "bug":
        raise ZeroDivisionError(request.path)
    try:
        return route(request)
    except Refusal as refusal:
        problem = {"code": refusal.status, "description": str(refusal), "message": str(refusal)}
        return json_response(problem, refusal.status, refusal.headers)
