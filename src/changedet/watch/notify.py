"""Telling a web address of alerts: each by itself, with patience, and never with what is secret in it."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from changedet.errors import ProviderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import requests

    from changedet.watch.alerts import Alert

#: Answers after which trying again may help.
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Webhook:
    """A web address that is told of alerts.

    Attributes
    ----------
    url : str
        Where to; what follows the host may be secret and is shown nowhere.
    timeout_s : float
        How long to wait for an answer.
    attempts : int
        How often to try.
    pause_s : float
        Between the first two attempts; it doubles.

    Raises
    ------
    UsageError
        When it is no address of the web.
    """

    url: str
    timeout_s: float = 15.0
    attempts: int = 4
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            good = False
        if not good:
            raise UsageError("the webhook is no web address", todo="give https://HOST/PATH")

    def __repr__(self) -> str:
        return f"Webhook({self.host})"

    @property
    def host(self) -> str:
        """The host alone, as messages show it."""
        return urlsplit(self.url).hostname or ""


def tell(webhook: Webhook, alerts: Sequence[Alert], mark: Callable[[Alert], None]) -> int:
    """Post alerts as JSON, one after the other, and mark each when it was taken.

    Parameters
    ----------
    webhook : Webhook
        Where to.
    alerts : sequence of Alert
        Oldest first.
    mark : callable
        Notes that an alert was taken. Who is killed between answer and mark posts it again: the header
        ``Idempotency-Key`` and ``id`` are the same then, by which the receiver knows it.

    Returns
    -------
    int
        How many were taken.

    Raises
    ------
    ProviderError
        When one was not: it and the ones after it are told by the next run.
    """
    import requests

    with _silent_logs(), requests.Session() as session:
        for number, alert in enumerate(alerts):
            said = _post(session, webhook, alert)
            if said:
                raise ProviderError(
                    f"the webhook at {webhook.host} did not take {len(alerts) - number} alert(s) ({said})",
                    todo="the next run tells of them again",
                )
            mark(alert)
    return len(alerts)


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep the address out of the logs: what follows its host is the secret of many webhooks."""

    def _refuse(_record: logging.LogRecord) -> bool:
        return False

    loggers = [logging.getLogger(name) for name in ("urllib3.connectionpool", "urllib3.util.retry")]
    for logger in loggers:
        logger.addFilter(_refuse)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_refuse)


def _post(session: requests.Session, webhook: Webhook, alert: Alert) -> str:
    """Post one alert; "" when it was taken, else why not."""
    import requests

    said = ""
    for attempt in range(webhook.attempts):
        if attempt:
            time.sleep(webhook.pause_s * 2 ** (attempt - 1))
        try:
            answer = session.post(
                webhook.url, json=alert.to_dict(), timeout=webhook.timeout_s, allow_redirects=False,
                headers={"Idempotency-Key": alert.id, "User-Agent": "changedet"}, stream=True,
            )  # fmt: skip
        except requests.RequestException as error:
            # the text of the error holds the address
            said = type(error).__name__
            continue
        answer.close()
        if 200 <= answer.status_code < 300:
            return ""
        said = f"status {answer.status_code}"
        if answer.status_code not in _TRY_AGAIN:
            break
    return said
