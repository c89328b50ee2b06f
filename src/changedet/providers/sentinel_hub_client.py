"""Talking to Sentinel Hub: who asks, with which token, how often again, and what each refusal means.

The requests are those of the `sentinelhub` package. Its client is given bounds that it does not have: every
wait ends, a token refused in mid-run is renewed once, and the token itself is fetched here, because the
package asks for it without a time limit and its libraries write credentials into debug logs.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from sentinelhub.config import SHConfig
from sentinelhub.constants import SHConstants
from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient

from changedet.errors import ChangedetError, CredentialsError, ProviderError
from changedet.json_texts import OTHER_SHAPE
from changedet.providers.http import TRY_LATER, discreet_logs, json_of, read_whole, tell_of_retry
from changedet.providers.sentinel_hub_requests import plain_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sentinelhub.download.models import DownloadRequest, DownloadResponse

    from changedet.providers.settings import ProviderSettings

_BEARER = "Bearer "
_TOKEN = re.compile(r"[!-~]{1,20000}")
_RENEW_BEFORE_S = 120.0
_LONGEST_REASON = 160
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TEMPORARY = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
_SECRET_SHAPES = re.compile(
    r"Bearer\s+\S+|eyJ[\w-]+(?:\.[\w-]*)*|((?:client_)?secret|access_token|password)([\"']?\s*[=:]\s*)\S+",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"INSUFFICIENT_PROCESSING_UNITS|insufficient processing units|quota", re.IGNORECASE)
_GET_CREDENTIALS = (
    "set SH_CLIENT_ID and SH_CLIENT_SECRET, or name a profile of the sentinelhub package in SH_PROFILE"
)


@dataclass(frozen=True)
class Credentials:
    """An OAuth client of Sentinel Hub; the secret does not show.

    Attributes
    ----------
    client_id, client_secret : str
        As the dashboard of the service gives them.
    base_url, token_url : str
        What the profile they came from says, "" when nothing does.
    """

    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    base_url: str = ""
    token_url: str = ""


def find_credentials(environment: Mapping[str, str] | None = None) -> Credentials:
    """Find credentials in the environment or in a profile of the sentinelhub package; no file is written.

    Parameters
    ----------
    environment : mapping, optional
        The environment of the process when not given. ``SH_CLIENT_ID`` and ``SH_CLIENT_SECRET`` win over the
        profile that ``SH_PROFILE`` names (else ``default-profile``).

    Returns
    -------
    Credentials
        Both parts are there.

    Raises
    ------
    CredentialsError
        When there are none, only half of them, or the profile cannot be read.
    """
    known = os.environ if environment is None else environment
    given = [known.get(name, "").strip() for name in ("SH_CLIENT_ID", "SH_CLIENT_SECRET")]
    if all(given):
        return Credentials(given[0], given[1])
    if any(given):
        lacking = "SH_CLIENT_SECRET" if given[0] else "SH_CLIENT_ID"
        raise CredentialsError(
            "half of the credentials is missing", where="Sentinel Hub", todo=f"set {lacking} too"
        )
    return _profile(known.get("SH_PROFILE", ""))


def _profile(name: str) -> Credentials:
    import tomllib

    path = Path(SHConfig.get_config_location())
    if not path.is_file():
        what = f"there is no profile {name}" if name else "an account is needed"
        raise CredentialsError(what, where="Sentinel Hub", todo=_GET_CREDENTIALS)
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        profiles = None
    if profiles is None:
        raise CredentialsError("the profiles cannot be read", where=str(path), todo=_GET_CREDENTIALS)
    found = profiles.get(name or "default-profile")
    if not isinstance(found, dict) or not (found.get("sh_client_id") and found.get("sh_client_secret")):
        what = f"profile {name or 'default-profile'} holds no credentials"
        raise CredentialsError(what, where=str(path), todo=_GET_CREDENTIALS)
    texts = (
        str(found.get(k, "")) for k in ("sh_client_id", "sh_client_secret", "sh_base_url", "sh_token_url")
    )
    return Credentials(*texts)


class Tokens:
    """One access token, shared by all threads and renewed in time.

    Parameters
    ----------
    token_url : str
        Where tokens come from; https, or a server on this computer.
    credentials : Credentials
        Who asks.
    """

    def __init__(self, token_url: str, credentials: Credentials) -> None:
        self.token_url = token_url
        self._credentials = credentials
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0
        self._given: list[str] = []

    def headers(self, waits: Waits) -> dict[str, str]:
        """Return the header that authorises a request, with a token that will live for a while.

        Parameters
        ----------
        waits : Waits
            What is left of the time and of the repetitions.

        Returns
        -------
        dict
            One header.

        Raises
        ------
        CredentialsError
            When the client id or the secret is refused.
        ProviderError
            When the token service does not answer as it should.
        """
        with self._lock:
            if not self._token or time.monotonic() >= self._renew_at:
                self._fetch(waits)
            return {"Authorization": f"{_BEARER}{self._token}"}

    def drop(self, header: str) -> None:
        """Forget a token that was refused, unless another thread has renewed it already."""
        with self._lock:
            if header == f"{_BEARER}{self._token}":
                self._token = ""

    def scrub(self, text: str) -> str:
        """Return a text of the service in one short line, without anything secret."""
        who = self._credentials
        for secret in (who.client_secret, who.client_id, *self._given):
            text = text.replace(secret, "...")
        return " ".join(_SECRET_SHAPES.sub("...", text).split())[:_LONGEST_REASON]

    def _fetch(self, waits: Waits) -> None:
        where = plain_url(self.token_url)
        parts = urlsplit(self.token_url)
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise CredentialsError(
                "the secret is not sent over an open connection", where=where, todo="give an https token URL"
            )
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
        }
        started = time.monotonic()

        def _ask(limits_s: tuple[float, float]) -> requests.Response:
            # a redirection would carry the secret to somebody else
            return requests.post(
                self.token_url, data=form, timeout=limits_s, stream=True, allow_redirects=False
            )

        response = send(waits, where, _ask)
        if response.status_code in {400, 401, 403}:
            raise CredentialsError(
                f"the client id or its secret was refused ({response.status_code})",
                where=where,
                todo="check SH_CLIENT_ID and SH_CLIENT_SECRET, and that they belong to this deployment",
            )
        token, life_s = _read_token(response)
        if not token:
            raise ProviderError(
                f"the token service gave no token (status {response.status_code})",
                where=where,
                todo="check the token URL",
            )
        self._token = token
        self._given.append(token)
        # a short life is used for half of it: the token service limits its rate too
        self._renew_at = started + life_s - min(_RENEW_BEFORE_S, life_s / 2)


def _read_token(response: requests.Response) -> tuple[str, float]:
    try:
        body = json_of(response)
        token, life_s = str(body["access_token"]), float(body.get("expires_in", 0))
    except (*OTHER_SHAPE, requests.RequestException):
        return "", 0.0
    # it becomes a header: in another form it could add headers of its own
    return (token, life_s) if _TOKEN.fullmatch(token) and life_s < math.inf else ("", 0.0)


@dataclass(frozen=True)
class Waits:
    """What is left of the repetitions of one request and of the time for all of them.

    Attributes
    ----------
    settings : ProviderSettings
        The limits.
    deadline : float
        On the clock of `time.monotonic`.
    """

    settings: ProviderSettings
    deadline: float

    def before_next(self, attempt: int, asked_s: float) -> float | None:
        """Return the wait in seconds after attempt number `attempt`, or None when it was the last one."""
        if attempt > self.settings.max_retries:
            return None
        own_s = self.settings.retry_delay_s * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
        wait_s = max(own_s, asked_s)
        return wait_s if time.monotonic() + wait_s < self.deadline else None


def retry_after_s(header: str | None) -> float:
    """Read ``Retry-After`` as Sentinel Hub means it: in milliseconds, or as a date.

    Parameters
    ----------
    header : str or None
        Value of the header.

    Returns
    -------
    float
        Seconds from now, 0 when nothing usable is said.

    Examples
    --------
    >>> retry_after_s("700"), retry_after_s(None), retry_after_s("soon")
    (0.7, 0.0, 0.0)
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) / 1000
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def send(
    waits: Waits, where: str, ask: Callable[[tuple[float, float]], requests.Response]
) -> requests.Response:
    """Send a request, again while that may help.

    Parameters
    ----------
    waits : Waits
        Limits.
    where : str
        The address, for errors.
    ask : callable
        Takes the limits (connect, read) of one request in seconds and returns the answer, as a stream.

    Returns
    -------
    requests.Response
        Whole, and neither 429 nor 5xx.

    Raises
    ------
    ProviderError
        When the service cannot be reached, keeps failing or keeps limiting the rate.
    """
    for attempt in itertools.count(1):
        answer = _ask_once(ask, waits)
        if isinstance(answer, requests.Response) and answer.status_code != 429 and answer.status_code < 500:
            return answer
        problem, asked_s, may_help = _problem_of(answer)
        wait_s = waits.before_next(attempt, asked_s) if may_help else None
        if wait_s is None:
            break
        told = f"status {answer.status_code}" if isinstance(answer, requests.Response) else "no answer"
        host = urlsplit(where).hostname or "the service"
        tell_of_retry(told, host, attempt + 1, waits.settings.max_retries + 1)
        time.sleep(wait_s)
    wanted = f" and asks to wait {asked_s:.0f} s" if asked_s >= 1 else ""
    raise ProviderError(
        f"{problem}{wanted}",
        where=where,
        todo=TRY_LATER if may_help else "check the address",
        details={"passing": may_help},
    )


def _ask_once(
    ask: Callable[[tuple[float, float]], requests.Response], waits: Waits
) -> requests.Response | requests.RequestException:
    left_s = max(waits.deadline - time.monotonic(), 0.1)
    settings = waits.settings
    try:
        with discreet_logs():
            answer = ask((min(settings.connect_timeout_s, left_s), min(settings.read_timeout_s, left_s)))
            read_whole(answer, waits.deadline)
    except requests.RequestException as error:
        return error
    return answer


def _problem_of(answer: requests.Response | requests.RequestException) -> tuple[str, float, bool]:
    """Say what went wrong, how many seconds the service asks to wait, and whether asking again may help."""
    if isinstance(answer, requests.Response):
        asked_s = retry_after_s(answer.headers.get("Retry-After"))
        if answer.status_code == 429:
            return "the service limits the rate (429)", asked_s, True
        return f"the service failed ({answer.status_code})", asked_s, True
    if isinstance(answer, requests.Timeout):
        return "the service did not answer in time", 0.0, True
    if isinstance(answer, _TEMPORARY):
        return "the connection failed", 0.0, True
    # the text of the exception may repeat the whole URL
    return f"no request can be sent there ({type(answer).__name__})", 0.0, False


class BoundedClient(SentinelHubDownloadClient):
    """The download client of the `sentinelhub` package with bounds on every wait.

    Parameters
    ----------
    config : SHConfig
        Without credentials: `tokens` has them.
    tokens : Tokens
        Shared by the clients of one provider.
    settings : ProviderSettings
        Limits; the total deadline begins now.
    """

    def __init__(self, config: SHConfig, tokens: Tokens, settings: ProviderSettings) -> None:
        super().__init__(config=config)
        self.tokens = tokens
        self.waits = Waits(settings, time.monotonic() + settings.total_deadline_s)

    def _single_download(self, request: DownloadRequest) -> DownloadResponse | None:
        """Send one request, while the library says nothing of addresses, which may hold a password."""
        with discreet_logs():
            return super()._single_download(request)

    def _do_download(self, request: DownloadRequest) -> requests.Response:
        """Send one request; every answer but a good one is an error of this package."""
        url = str(request.url)
        response, token = self._authorised(request, url)
        if response.status_code == 401:
            self.tokens.drop(token)
            response, _ = self._authorised(request, url)
        if response.status_code >= 400:
            raise self._refusal(response, plain_url(url))
        return response

    def _authorised(self, request: DownloadRequest, url: str) -> tuple[requests.Response, str]:
        headers = self.tokens.headers(self.waits)
        everything = {**SHConstants.HEADERS, **headers, **request.headers}
        method, body = request.request_type.value, request.post_values

        def _ask(limits_s: tuple[float, float]) -> requests.Response:
            return requests.request(method, url, json=body, headers=everything, timeout=limits_s, stream=True)

        return send(self.waits, plain_url(url), _ask), headers["Authorization"]

    def _refusal(self, response: requests.Response, where: str) -> ChangedetError:
        status, reason = response.status_code, self.tokens.scrub(_reason(response))
        if status == 403 and _QUOTA.search(response.text):
            return CredentialsError(
                "the quota of the account is used up (403)",
                where=where,
                todo="wait for the next month, use another account, or choose another provider",
            )
        said = f": {reason}" if reason else ""
        if status in {401, 403}:
            return CredentialsError(
                f"the account may not do this ({status}{said})",
                where=where,
                todo="check that the account belongs to this deployment",
            )
        return ProviderError(
            f"the service refused the request ({status}{said})",
            where=where,
            todo="check the URL of the service" if status == 404 else "choose another provider meanwhile",
        )


def _reason(response: requests.Response) -> str:
    """Return what the body says; its code first, since it names a used-up quota."""
    try:
        body = json_of(response)
    except requests.RequestException:
        return ""
    inner = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(inner, dict):
        return str(inner)
    texts = [inner.get(key) for key in ("code", "message", "description")]
    return " ".join(dict.fromkeys(text for text in texts if isinstance(text, str)))
