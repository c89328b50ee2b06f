"""How services are asked over HTTP: patience, retries, and GDAL's own settings for remote rasters."""

from __future__ import annotations

import logging
import re
import time
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.util.retry import Retry

from changedet.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from changedet.providers.settings import ProviderSettings

#: Answers that may be better the next time.
PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
#: Waiting grows no further than this between two attempts, in seconds.
LONGEST_DELAY_S = 60.0
#: Random part of a delay, as a share of the first one: clients that failed together come back apart.
_JITTER_SHARE = 0.25
#: GDAL settings for remote rasters that do not depend on anybody's patience: no listing of folders, the
#: header in one request, no search for files beside an image.
REMOTE_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
        "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif,.tiff,.jp2",
        "GDAL_HTTP_MULTIPLEX": "YES",
        "GDAL_HTTP_VERSION": "2",
        "VSI_CACHE": "TRUE",
        "AWS_NO_SIGN_REQUEST": "YES",
    }
)
#: GDAL remembers for the life of the process that a file could not be opened; under this setting it asks.
ASK_AGAIN: Mapping[str, str] = MappingProxyType({"CPL_VSIL_CURL_NON_CACHED": "/vsicurl/"})
_QUERY = re.compile(r"\?[^\s'\"<>]*")


class PatientRetry(Retry):
    """Retries of `urllib3` that also end when their time is over, whatever a server asks to wait.

    Parameters
    ----------
    deadline_s : float
        Seconds from the first failure after which no further attempt is begun.
    started_s : float, optional
        When the first failure happened, by `time.monotonic`.
    **rules
        As `urllib3.util.retry.Retry` takes them.
    """

    def __init__(self, *, deadline_s: float, started_s: float | None = None, **rules: Any) -> None:  # noqa: ANN401  # passed on as they are
        super().__init__(**rules)
        self.deadline_s = deadline_s
        self.started_s = started_s

    def new(self, **rules: Any) -> Self:  # noqa: ANN401  # passed on as they are
        """Return the same rules after one more attempt."""
        started_s = time.monotonic() if self.started_s is None else self.started_s
        return super().new(deadline_s=self.deadline_s, started_s=started_s, **rules)

    def sleep(self, response: Any = None) -> None:  # noqa: ANN401  # a response of urllib3, by its version
        """Wait as the server asks, else longer each time; give up when that would end after the deadline."""
        asked_s = self.get_retry_after(response) if response is not None else None
        delay_s = asked_s or self.get_backoff_time()
        started_s = time.monotonic() if self.started_s is None else self.started_s
        if time.monotonic() + delay_s > started_s + self.deadline_s:
            reason = ResponseError(f"no answer within {self.deadline_s:g} s")
            raise MaxRetryError(None, None, reason)  # type: ignore[arg-type]  # no pool is at hand here
        time.sleep(delay_s)


def retry_policy(settings: ProviderSettings, also: frozenset[int] = frozenset()) -> PatientRetry:
    """Return the one rule by which requests are repeated, searches with POST included.

    Parameters
    ----------
    settings : ProviderSettings
        Number of retries, first delay, deadline.
    also : frozenset of int
        Statuses that this service uses for "later" beside `PASSING_STATUSES`.

    Returns
    -------
    PatientRetry
        For dropped connections, time-outs and passing statuses; ``Retry-After`` in seconds or as a date.
    """
    return PatientRetry(
        deadline_s=settings.total_deadline_s,
        total=settings.max_retries,
        allowed_methods=frozenset({"GET", "HEAD", "POST"}),
        status_forcelist=PASSING_STATUSES | also,
        backoff_factor=settings.retry_delay_s / 2,
        backoff_max=LONGEST_DELAY_S,
        backoff_jitter=settings.retry_delay_s * _JITTER_SHARE,
        # the last answer says more than the fact that there were too many
        raise_on_status=False,
    )


def make_session(settings: ProviderSettings) -> requests.Session:
    """Return a session that repeats requests by `retry_policy`; time-outs go with each request."""
    session = requests.Session()
    adapter = HTTPAdapter(max_retries=retry_policy(settings))
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def get_json(session: requests.Session, url: str, settings: ProviderSettings, *, what: str) -> Any:  # noqa: ANN401  # JSON
    """Ask for a JSON document.

    Parameters
    ----------
    session : requests.Session
        From `make_session`.
    url : str
        Without secrets: it stands in errors.
    settings : ProviderSettings
        Time-outs.
    what : str
        What is asked for, in words, for errors.

    Returns
    -------
    object
        The document.

    Raises
    ------
    ProviderError
        When the service cannot be reached, refuses, or does not answer in JSON.
    """
    try:
        answer = session.get(url, timeout=(settings.connect_timeout_s, settings.read_timeout_s))
        answer.raise_for_status()
        return answer.json()
    except requests.RequestException as error:
        raise ProviderError(
            f"{what} could not be had ({scrubbed(str(error).split('Caused by')[-1])})",
            where=url,
            todo="try again later, or choose another provider",
        ) from None


def scrubbed(text: str, longest: int = 160) -> str:
    """Return a message without the queries of links, where signatures stand, on one line.

    Examples
    --------
    >>> scrubbed("cannot open http://host/a.tif?sig=secret here")
    'cannot open http://host/a.tif?... here'
    """
    return " ".join(_QUERY.sub("?...", text).split())[:longest]


def gdal_options(settings: ProviderSettings, *, again: bool = False) -> dict[str, str]:
    """Return the GDAL settings for reading remote rasters.

    Parameters
    ----------
    settings : ProviderSettings
        Time-outs and retries.
    again : bool
        Whether an earlier attempt failed, so that what GDAL remembers of it must not count.

    Returns
    -------
    dict of str to str
        For `rasterio.Env`.
    """
    patience = {
        "GDAL_HTTP_MAX_RETRY": f"{settings.max_retries}",
        "GDAL_HTTP_RETRY_DELAY": f"{settings.retry_delay_s:g}",
        "GDAL_HTTP_CONNECTTIMEOUT": f"{max(1, round(settings.connect_timeout_s))}",
        "GDAL_HTTP_TIMEOUT": f"{max(1, round(settings.read_timeout_s))}",
        "GDAL_HTTP_LOW_SPEED_TIME": f"{max(1, round(settings.read_timeout_s))}",
        "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    }
    return {**REMOTE_OPTIONS, **patience, **(ASK_AGAIN if again else {})}


class _Scrubber(logging.Filter):
    """Takes signatures out of what the raster library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, without the queries of links."""
        record.msg, record.args = scrubbed(record.getMessage(), longest=2000), ()
        record.exc_info = record.exc_text = None
        return True


@contextmanager
def discreet_logs() -> Iterator[None]:
    """Keep signatures out of the logs of the raster library while remote files are read."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "rasterio"]
    loggers = [logging.getLogger(name) for name in names]
    scrubber, silent = _Scrubber(), logging.NullHandler()
    for logger in loggers:
        logger.addFilter(scrubber)
        logger.addHandler(silent)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(scrubber)
            logger.removeHandler(silent)
