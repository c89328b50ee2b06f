"""Connections that serve one file after the other: opening one takes longer than asking for a few bytes."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from changedet.providers.http import be_patient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from changedet.providers.http import PatientRetry


class KeptSessions:
    """Sessions whose connections stay open: the next file of a host needs no new handshake.

    Each is used by one thread at a time. After a failure it is closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[requests.Session] = []

    @contextmanager
    def session(self, policy: PatientRetry) -> Iterator[requests.Session]:
        """Give a session that sends everything by a policy.

        Parameters
        ----------
        policy : PatientRetry
            From `retry_policy`.

        Yields
        ------
        requests.Session
            Without cookies.
        """
        with self._lock:
            session = self._idle.pop() if self._idle else _Session()
        be_patient(session, policy)
        try:
            yield session
        except BaseException:
            session.close()
            raise
        session.cookies.clear()
        with self._lock:
            self._idle.append(session)

    def close(self) -> None:
        """Close what is open; what is asked for next is asked over new connections."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()


class _Session(requests.Session):
    """Looks for proxies and certificates in the environment once for each host, not at each request."""

    def __init__(self) -> None:
        super().__init__()
        self._of_host: dict[tuple[str, str], Any] = {}

    def merge_environment_settings(self, url: Any, *settings: Any) -> Any:  # noqa: ANN401  # as in requests
        """Ask the environment once for each host: nobody changes proxies while a run goes on."""
        parts = urlsplit(url)
        host = (parts.scheme, parts.netloc)
        if any(settings):
            return super().merge_environment_settings(url, *settings)
        if host not in self._of_host:
            self._of_host[host] = super().merge_environment_settings(url, *settings)
        return dict(self._of_host[host])
