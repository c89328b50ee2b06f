"""A PostgreSQL cluster of our own, with pgstac in it and stac-fastapi in front of it, for one test run.

Nothing is shared with a PostgreSQL that may run on this machine: its folder, port, password and processes are
made here and go away here.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
#: Names the interpreter that has pypgstac, stac-fastapi.pgstac and uvicorn.
VARIABLE = "CHANGEDET_PGSTAC_PYTHON"
_NEEDED = "import pypgstac, psycopg, stac_fastapi.pgstac, uvicorn"
_APPLICATION = "stac_fastapi.pgstac.app:create_app"
_DEADLINE_S = 60.0


class Missing(Exception):  # noqa: N818  # no error: a machine may lack it
    """Something is not installed; the text says what, and how to get it."""


@dataclass(frozen=True)
class Tools:
    """Where PostgreSQL's programs are, the interpreter with pgstac, and who may run a server."""

    programs: Path
    python: Path
    user: str | None

    def as_user(self, program: str, *arguments: str) -> list[str]:
        """The command line of a program of PostgreSQL: it refuses to be run by root."""
        command = [str(self.programs / program), *arguments]
        if self.user is None:
            return command
        who = pwd.getpwnam(self.user)
        return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", *command]


def find_tools() -> Tools:
    """Find everything that is needed; `Missing` where it is not there."""
    places = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    places += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True
    )
    programs = next((place for place in places if (place / "initdb").is_file()), None)
    if programs is None:
        raise Missing("no PostgreSQL: apt-get install postgresql postgresql-postgis")
    python = (ROOT / (os.environ.get(VARIABLE) or ".venv-pgstac/bin/python")).absolute()
    if not python.is_file():
        raise Missing(f"no {python}: make test-pgstac makes it, or {VARIABLE} names another")
    if subprocess.run([python, "-c", _NEEDED], capture_output=True, check=False).returncode:
        raise Missing(f"{python} lacks pypgstac, psycopg, stac-fastapi.pgstac or uvicorn")
    if not _has_postgis(programs):
        raise Missing("PostgreSQL is without PostGIS: apt-get install postgresql-postgis")
    return Tools(programs, python, _server_user())


def _has_postgis(programs: Path) -> bool:
    share = subprocess.run(
        [programs / "pg_config", "--sharedir"], capture_output=True, text=True, check=False
    )
    folders = [Path(share.stdout.strip())] if share.returncode == 0 else []
    folders.append(Path("/usr/share/postgresql") / programs.parent.name)
    return any((folder / "extension" / "postgis.control").is_file() for folder in folders)


def _server_user() -> str | None:
    if os.geteuid() != 0:
        return None
    if shutil.which("setpriv") is None:
        raise Missing("PostgreSQL does not run as root, and setpriv is not there to be someone else")
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = next((name for name in ("postgres", "nobody") if name in known), None)
    if found is None:
        raise Missing("PostgreSQL does not run as root, and there is no user postgres or nobody")
    return found


class Cluster:
    """PostgreSQL, and one STAC API for each database; `urls` has their roots by name."""

    def __init__(self, tools: Tools, contents: Mapping[str, tuple[Sequence[Any], Sequence[Any]]]) -> None:
        self.tools = tools
        self.urls: dict[str, str] = {}
        self.figures: dict[str, Any] = {}
        self._running: list[subprocess.Popen[bytes]] = []
        self._folder = Path(tempfile.mkdtemp(prefix="pgstac-"))
        self._port = _free_port()
        self._password = secrets.token_urlsafe(16)
        try:
            self._timed("initdb_s", self._start)
            self._timed("load_s", self._load, contents)
            self._timed("api_s", self._serve, tuple(contents))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the servers, the last one first, and remove their folder."""
        for process in reversed(self._running):
            process.send_signal(2)  # to PostgreSQL: close the connections and end
        for process in reversed(self._running):
            process.wait(timeout=_DEADLINE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        """What clients of this cluster need in their environment."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
        return kept | {"PGHOST": "127.0.0.1", "PGPORT": str(self._port), "PGUSER": "changedet",
                       "PGPASSWORD": self._password}  # fmt: skip

    def _timed(self, name: str, step: Any, *arguments: Any) -> None:
        began = time.monotonic()
        step(*arguments)
        self.figures[name] = round(time.monotonic() - began, 2)

    def _start(self) -> None:
        data, words = self._folder / "data", self._folder / "password"
        words.write_text(self._password)
        for place in (self._folder, words):
            if self.tools.user is not None:
                shutil.chown(place, self.tools.user)
        self._run(self.tools.as_user(
            "initdb", "--pgdata", str(data), "--username=changedet", f"--pwfile={words}", "--encoding=UTF8",
            "--auth=scram-sha-256", "--no-sync", "--no-locale"))  # fmt: skip
        options = {"listen_addresses": "127.0.0.1", "port": self._port, "unix_socket_directories": "",
                   "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}  # fmt: skip
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        self._spawn(self.tools.as_user("postgres", "-D", str(data), *flags), "postgres")
        ready = [str(self.tools.programs / "pg_isready"), "--quiet", "--dbname=postgres"]
        self._wait(
            "PostgreSQL", lambda: not subprocess.run(ready, env=self.environment, check=False).returncode
        )

    def _load(self, contents: Mapping[str, tuple[Sequence[Any], Sequence[Any]]]) -> None:
        feed = self._folder / "feed"
        for name, documents in contents.items():
            home = feed / name
            home.mkdir(parents=True)
            for kind, found in zip(("collections", "items"), documents, strict=True):
                (home / f"{kind}.json").write_text("".join(f"{json.dumps(one)}\n" for one in found))
            self.figures[f"items of {name}"] = len(documents[1])
        script = str(Path(__file__).with_name("loading.py"))
        said = self._run([str(self.tools.python), script, str(feed)])
        self.figures["pgstac"] = said.split()[-1]

    def _serve(self, names: Sequence[str]) -> None:
        for name in names:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                listener.listen()
                self.urls[name] = f"http://127.0.0.1:{listener.getsockname()[1]}"
                command = [str(self.tools.python), "-m", "uvicorn", "--factory", _APPLICATION,
                           "--fd", str(listener.fileno()), "--log-level", "warning"]  # fmt: skip
                self._spawn(command, name, {"PGDATABASE": name, "DB_MAX_CONN_SIZE": "4"}, listener.fileno())
        for name in names:
            self._wait(f"the API of {name}", lambda url=self.urls[name]: _answers(f"{url}/_mgmt/ping"))

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(command, env=self.environment, cwd=self._folder, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed ({done.returncode}): {done.stdout[-2000:]}")
        return done.stdout

    def _spawn(
        self, command: Sequence[str], name: str, more: Mapping[str, str] | None = None, *fds: int
    ) -> None:
        environment = self.environment | dict(more or {})
        with (self._folder / f"{name}.log").open("wb") as log:
            started = subprocess.Popen(command, env=environment, cwd=self._folder, pass_fds=fds,
                                       stdout=log, stderr=subprocess.STDOUT)  # fmt: skip
        self._running.append(started)

    def _wait(self, what: str, ready: Any) -> None:
        until = time.monotonic() + _DEADLINE_S
        while not ready():
            if time.monotonic() > until or any(process.poll() is not None for process in self._running):
                logs = "\n".join(path.read_text()[-1500:] for path in sorted(self._folder.glob("*.log")))
                raise RuntimeError(f"{what} does not start: {logs}")
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


if __name__ == "__main__":
    sys.stdout.write(f"{find_tools()}\n")
