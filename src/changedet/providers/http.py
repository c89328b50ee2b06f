"""How services are asked over HTTP: patience, retries, and what may be said of it."""

from __future__ import annotations

import io
import logging
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    ResponseError,
)
from urllib3.util.retry import Retry

from changedet.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from changedet.providers.settings import ProviderSettings

_LOG = logging.getLogger(__name__)
#: Answers that may be better the next time.
PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
#: Waiting grows no further than this between two attempts, in seconds.
LONGEST_DELAY_S = 60.0
#: A name that is not known twice is not known: the network is away, or the address is wrong.
_NAME_ATTEMPTS = 2
#: Random part of a delay, as a share of the first one: clients that failed together come back apart.
_JITTER_SHARE = 0.25
#: What to do about a service that fails: the same wherever it is asked.
TRY_LATER = "try again later, choose another provider, or ask changedet doctor what stands in the way"
#: How libraries wrap the words of other libraries, and name the connection that failed.
_WRAPPED = re.compile(r"""^\s*\(?\w+\(["'](.*)["']\)+$""")
#: urllib3 before 2.6 names it by its place in memory.
_WHOSE = re.compile(r"^(?:HTTPS?Connection(?:Pool)?\([^)]*\)|<[^<>]+ object at 0x[0-9a-f]+>): ")
_QUERY = re.compile(r"\?[^\s'\"<>]*")
_PASSWORD = re.compile(r"(?<=//)[^\s/?#@]*(?:@[^\s/?#@]*)*@")
_AUTHORIZATION = re.compile(r"(authorization\W{1,6})(?:\w+ )?[^\s'\",}]+", re.IGNORECASE)
#: Libraries that say in their logs what they send and where.
_TALKATIVE = frozenset({"rasterio", "pystac_client", "sentinelhub", "urllib3"})
#: Most bytes of an answer that are taken at one time; fewer come when fewer are there.
_PIECE_BYTES = 1 << 20
#: Who asks for some bytes of a file takes the whole file up to this size; several files come at one time.
MOST_WHOLE_BYTES = 32_000_000


class NoRangesError(requests.RequestException):
    """A server gives whole files only, and this one is too large to be taken whole."""


class StoppedError(requests.RequestException):
    """Nobody waits for the answer any more."""


class PatientRetry(Retry):
    """Retries of `urllib3` that also end when their time is over, whatever a server asks to wait.

    Parameters
    ----------
    deadline_s : float
        Seconds from the first failure after which no further attempt is begun.
    started_s : float, optional
        When the first failure happened, by `time.monotonic`.
    stop : threading.Event, optional
        Once it is set, nothing is waited for any more.
    **rules
        As `urllib3.util.retry.Retry` takes them.
    """

    def __init__(
        self,
        *,
        deadline_s: float,
        started_s: float | None = None,
        stop: threading.Event | None = None,
        **rules: Any,  # noqa: ANN401  # passed on as they are
    ) -> None:
        super().__init__(**rules)
        self.deadline_s = deadline_s
        self.started_s = started_s
        self.stop = threading.Event() if stop is None else stop

    def new(self, **rules: Any) -> Self:  # noqa: ANN401  # passed on as they are
        """Return the same rules after one more attempt."""
        started_s = time.monotonic() if self.started_s is None else self.started_s
        own = {"deadline_s": self.deadline_s, "started_s": started_s, "stop": self.stop}
        return super().new(**{**own, **rules})

    def increment(self, method: str | None = None, url: str | None = None, *args: Any, **why: Any) -> Self:  # noqa: ANN401
        """Return what is left of the rules after a failure; the log says that there is another attempt."""
        left = super().increment(method, url, *args, **why)
        failed, response, error = len(left.history), why.get("response"), why.get("error")
        if isinstance(error, NameResolutionError) and failed >= _NAME_ATTEMPTS:
            raise MaxRetryError(why["_pool"], url or "", error)
        host = getattr(why.get("_pool"), "host", None) or urlsplit(url or "").hostname or "the service"
        told = "no answer" if response is None else f"status {response.status}"
        # "trying again (2 of 6)"
        tell_of_retry(told, host, failed + 1, failed + 1 + int(left.total or 0))
        return left

    def sleep(self, response: Any = None) -> None:  # noqa: ANN401  # a response of urllib3, by its version
        """Wait as the server asks, else longer each time; give up when that would end after the deadline."""
        delay_s = self._asked_s(response) or self.get_backoff_time()
        started_s = time.monotonic() if self.started_s is None else self.started_s
        if time.monotonic() + delay_s > started_s + self.deadline_s:
            reason = ResponseError(f"no answer within {self.deadline_s:g} s")
            raise MaxRetryError(None, None, reason)  # type: ignore[arg-type]  # no pool is at hand here
        if self.stop.wait(delay_s):
            raise StoppedError("stopped")

    def _asked_s(self, response: Any) -> float | None:  # noqa: ANN401  # a response of urllib3, by its version
        try:
            return None if response is None else self.get_retry_after(response)
        except InvalidHeader:
            # a header that nobody understands asks for nothing
            return None


def tell_of_retry(told: str, host: str, attempt: int, attempts: int) -> None:
    """Say in the log that a service is asked again, for whoever wonders why nothing comes.

    Parameters
    ----------
    told : str
        What came instead of an answer.
    host : str
        Name of the host, and nothing else of the address.
    attempt, attempts : int
        Which attempt comes next, of how many.
    """
    _LOG.info("%s from %s, trying again (%d of %d)", told, host, attempt, attempts)


class PatientAdapter(HTTPAdapter):
    """Sends requests by one policy until their answer is here to its last byte, or time is over.

    The libraries repeat requests that fail before the answer begins, and wait as long as bytes come. Here an
    answer that breaks off or stalls is asked for again, too, and one that trickles ends with the deadline.

    Parameters
    ----------
    policy : PatientRetry
        Number of retries, and deadline. Where the policy does not say when its time began, that of each
        request begins when it is sent first.
    """

    def __init__(self, policy: PatientRetry) -> None:
        super().__init__(max_retries=policy)
        self._policy = policy

    def begin(self, policy: PatientRetry) -> None:
        """Go by another policy from now on, over the connections that are there."""
        self._policy = policy

    def send(self, request: Any, *args: Any, **limits: Any) -> requests.Response:  # noqa: ANN401  # as in requests
        """Send a request and read its answer; `StoppedError` once nobody waits for it."""
        policy = self._policy
        started_s = time.monotonic() if policy.started_s is None else policy.started_s
        until_s = started_s + policy.deadline_s
        retries = policy.new(started_s=started_s)
        while True:
            if policy.stop.is_set():
                raise StoppedError("stopped")
            self.max_retries = retries
            timeout = _within(limits.get("timeout"), until_s - time.monotonic())
            answer = super().send(request, *args, **{**limits, "stream": True, "timeout": timeout})
            try:
                read_whole(answer, until_s, _most_bytes(request, answer), policy.stop)
            except (requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
                retries = _after(error, retries, request)
                continue
            return answer


def _after(error: requests.RequestException, retries: PatientRetry, request: Any) -> PatientRetry:  # noqa: ANN401
    """Wait, and return what is left of the retries after an answer broke off; `error` when it is over."""
    try:
        left = retries.increment(request.method, request.url, error=ProtocolError(str(error)))
        left.sleep()
    except MaxRetryError:
        raise error from None
    return left


def _within(timeout: Any, left_s: float) -> tuple[float, float]:  # noqa: ANN401  # as requests takes it
    """Return time-outs that end with the deadline."""
    if left_s <= 0:
        raise requests.ReadTimeout("the deadline is over")
    connect_s, read_s = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return min(connect_s or left_s, left_s), min(read_s or left_s, left_s)


def _most_bytes(request: Any, answer: requests.Response) -> int | None:  # noqa: ANN401  # as in requests
    """Return how many bytes of an answer are taken; None = all of them."""
    whole = "Range" in request.headers and answer.status_code != requests.codes.partial_content
    return MOST_WHOLE_BYTES if whole else None


def read_whole(
    answer: requests.Response,
    until_s: float,
    most_bytes: int | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Read the body of an answer that was asked for as a stream.

    Parameters
    ----------
    answer : requests.Response
        Its body is there afterwards.
    until_s : float
        When to give up, by `time.monotonic`.
    most_bytes : int, optional
        Of a file that was not asked for as a whole, no more than this.
    stop : threading.Event, optional
        Once it is set, the rest is not waited for.

    Raises
    ------
    requests.Timeout
        When the time is over before the body is whole, or the next bytes do not come in time.
    requests.exceptions.ChunkedEncodingError
        When it breaks off.
    NoRangesError
        When it is larger than the limit, as its header says, or as it turns out.
    StoppedError
        When nobody waits for it any more.
    """
    pieces, taken = [], 0
    try:
        stated = answer.headers.get("Content-Length", "")
        _require_room(int(stated) if stated.isdecimal() else 0, most_bytes)
        while piece := answer.raw.read1(_PIECE_BYTES, decode_content=True):
            pieces.append(piece)
            taken += len(piece)
            _require_room(taken, most_bytes)
            if stop is not None and stop.is_set():
                raise StoppedError("stopped")
            if time.monotonic() > until_s:
                raise requests.ReadTimeout("the answer did not come whole within the deadline")
    except ReadTimeoutError:
        raise requests.ReadTimeout("the answer stopped coming") from None
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(
            f"the answer broke off ({type(error).__name__})"
        ) from None
    finally:
        answer.close()
    answer.raw = io.BytesIO(b"".join(pieces))


def _require_room(size: int, most_bytes: int | None) -> None:
    if most_bytes is not None and size > most_bytes:
        raise NoRangesError(
            f"the server knows no byte ranges, and the whole file has more than {most_bytes / 1e6:g} MB"
        )


def retry_policy(
    settings: ProviderSettings, also: frozenset[int] = frozenset(), stop: threading.Event | None = None
) -> PatientRetry:
    """Return the one rule by which requests are repeated, searches with POST included.

    Parameters
    ----------
    settings : ProviderSettings
        Number of retries, first delay, deadline.
    also : frozenset of int
        Statuses that this service uses for "later" beside `PASSING_STATUSES`.
    stop : threading.Event, optional
        Ends every wait once it is set.

    Returns
    -------
    PatientRetry
        For dropped connections, time-outs and passing statuses; ``Retry-After`` in seconds or as a date.
    """
    return PatientRetry(
        deadline_s=settings.total_deadline_s,
        stop=stop,
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
    be_patient(session, retry_policy(settings))
    return session


def be_patient(session: requests.Session, policy: PatientRetry) -> None:
    """Have a session send everything by `PatientAdapter`; one that does already keeps its connections."""
    for scheme in ("https://", "http://"):
        adapter = session.adapters.get(scheme)
        if isinstance(adapter, PatientAdapter):
            adapter.begin(policy)
        else:
            session.mount(scheme, PatientAdapter(policy))


def get_json(session: requests.Session, url: str, settings: ProviderSettings, *, what: str) -> Any:  # noqa: ANN401  # JSON
    """Ask for a JSON document.

    Parameters
    ----------
    session : requests.Session
        From `make_session`.
    url : str
        Where it is; errors name it without user, password and query.
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
        with discreet_logs():
            answer = session.get(url, timeout=(settings.connect_timeout_s, settings.read_timeout_s))
        answer.raise_for_status()
        return json_of(answer)
    except requests.RequestException as error:
        reason = reason_of(error)
        passing = error.response is None or error.response.status_code in PASSING_STATUSES
    # outside of the handler: an exception that stands behind another one may show what was sent
    raise ProviderError(
        f"{what} could not be had ({reason})",
        where=scrubbed(url),
        todo=TRY_LATER,
        details={"passing": passing},
    )


def json_of(answer: requests.Response) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Return the document that an answer holds.

    Raises
    ------
    requests.exceptions.InvalidJSONError
        When it is none, or is nested too deeply to be read.
    """
    try:
        return answer.json()
    except (RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else scrubbed(str(error), 80)
    # outside of the handler: the chain of a recursion is as long as the recursion was deep
    raise requests.exceptions.InvalidJSONError(f"the answer is no JSON: {reason}", response=answer)


def scrubbed(text: str, longest: int = 160) -> str:
    """Return a message on one line, without what links and headers may hold of secrets.

    Parameters
    ----------
    text : str
        Any message.
    longest : int
        Most characters that are left of it.

    Returns
    -------
    str
        Without users, passwords and queries of links, and without what authorises a request.

    Examples
    --------
    >>> scrubbed("cannot open http://me:word@host/a.tif?sig=secret here")
    'cannot open http://host/a.tif?... here'
    """
    plain = _PASSWORD.sub("", _QUERY.sub("?...", text))
    return " ".join(_AUTHORIZATION.sub(r"\g<1>...", plain).split())[:longest]


def reason_of(error: Exception, longest: int = 160) -> str:
    """Say in one line why a request failed, without secrets and without the wrappings of the libraries.

    Parameters
    ----------
    error : Exception
        Of `requests`, or one that holds the words of one.
    longest : int
        Most characters.

    Returns
    -------
    str
        What the innermost library said.
    """
    text = str(error).rsplit("Caused by", 1)[-1]
    quoted = _WRAPPED.search(text)
    return scrubbed(_WHOSE.sub("", quoted[1] if quoted else text), longest)


class _Scrubber(logging.Filter):
    """Takes signatures and passwords out of what libraries log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record, scrubbed."""
        record.msg, record.args = scrubbed(record.getMessage(), longest=2000), ()
        record.exc_info = record.exc_text = None
        return True


@contextmanager
def discreet_logs() -> Iterator[None]:
    """Keep secrets out of the logs of the libraries that ask services while they do."""
    names = [name for name in tuple(logging.root.manager.loggerDict) if name.split(".")[0] in _TALKATIVE]
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
