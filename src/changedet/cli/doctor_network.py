"""What `changedet doctor` finds about the network: each provider, what stands between, and the clock."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from changedet.cli.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

#: Seconds that a service has for a connection, and again for the first byte.
PATIENCE_S = 6.0
#: Signatures and tokens are refused when the clock is further off than this.
CLOCK_TOLERANCE = timedelta(minutes=5)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
#: Variables that name files of certificates, for Python and for GDAL.
_CERTIFICATES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "GDAL_HTTP_CAINFO")


def network(*, offline: bool) -> Iterator[Finding]:
    """Look at what stands between this machine and the providers, and ask each of them for a sign of life.

    Parameters
    ----------
    offline : bool
        Look at the settings only; nobody is asked anything.

    Yields
    ------
    Finding
        Proxies, certificates, then each host of a provider, then the clock. A host of the default provider
        that cannot be reached is a failure; that of another is missing.
    """
    yield from proxies()
    yield from certificates()
    if offline:
        yield Finding("network", "missing", "not looked at (--offline)")
        return
    hosts = provider_hosts()
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        answers = list(pool.map(reach, hosts))
    for (host, default), (finding, _) in zip(hosts.items(), answers, strict=True):
        needed = default or finding.status == "ok"
        yield Finding(f"network {host}", finding.status if needed else "missing", finding.detail)
    yield clock_of([offset for _, offset in answers if offset is not None])


def proxies() -> Iterator[Finding]:
    """Name the proxies that are set, without what may be a password."""
    from changedet.providers.http import scrubbed

    found = {name: os.environ.get(name) or os.environ.get(name.lower()) for name in _PROXIES}
    for name, address in found.items():
        if not address:
            continue
        if name != "NO_PROXY" and "://" not in address:
            todo = f"write it with http:// before it (export {name}=http://HOST:PORT)"
            yield Finding(name, "failed", f"is not an address; {todo}")
        else:
            yield Finding(name, "ok", scrubbed(address))
    if not any(found.values()):
        yield Finding("proxy", "ok", "none set; set HTTPS_PROXY if your network asks for one")


def certificates() -> Iterator[Finding]:
    """Look whether the certificates that the environment names are there."""
    for name in _CERTIFICATES:
        path = os.environ.get(name)
        if path and not Path(path).exists():
            yield Finding(name, "failed", f"{path}: no such file; correct it or unset {name}")
        elif path:
            yield Finding(name, "ok", path)


def provider_hosts() -> dict[str, bool]:
    """Return the addresses ``https://host`` that providers are asked at; True for the default provider."""
    from changedet.providers.registry import DEFAULT_PROVIDER, open_provider, provider_names

    found: dict[str, bool] = {}
    for name in provider_names():
        for endpoint in open_provider(name).info.endpoints:
            parts = urlsplit(endpoint)
            if parts.scheme in {"http", "https"} and parts.hostname:
                port = f":{parts.port}" if parts.port else ""
                host = f"{parts.scheme}://{parts.hostname}{port}"
                found[host] = found.get(host, False) or name == DEFAULT_PROVIDER
    return found


def reach(host: str) -> tuple[Finding, timedelta | None]:
    """Ask a host for a sign of life; whatever it answers will do.

    Parameters
    ----------
    host : str
        ``https://host``.

    Returns
    -------
    Finding
        With the time it took, or why it cannot be reached and what to do.
    timedelta or None
        How far the clock of this machine is ahead of the host's, where it says.
    """
    import requests

    started_s = time.perf_counter()
    try:
        with requests.Session() as session:
            answer = session.head(f"{host}/", timeout=(PATIENCE_S, PATIENCE_S), allow_redirects=False)
    except requests.RequestException as error:
        return Finding(host, "failed", _why(error, host)), None
    took_ms = (time.perf_counter() - started_s) * 1e3
    return Finding(host, "ok", f"answers after {took_ms:.0f} ms"), _ahead(answer)


def _ahead(answer: requests.Response) -> timedelta | None:
    try:
        told = parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return None
    return None if told.tzinfo is None else datetime.now(UTC) - told


def _why(error: requests.RequestException, host: str) -> str:
    """Say why a host cannot be reached, and what to do about it."""
    import requests
    from urllib3.exceptions import NameResolutionError

    from changedet.providers.http import reason_of

    name = urlsplit(host).hostname
    if isinstance(error, requests.exceptions.ProxyError):
        todo = "the proxy did not let it through: check HTTPS_PROXY and what it needs"
    elif isinstance(error, requests.exceptions.SSLError):
        todo = (
            "its certificate is not trusted: where the network opens encrypted connections, set "
            "REQUESTS_CA_BUNDLE and GDAL_HTTP_CAINFO to the file of its certificates"
        )
    elif isinstance(error, requests.Timeout):
        todo = (
            f"no answer within {PATIENCE_S:g} s: ask whether port 443 to {name} is open, or set HTTPS_PROXY"
        )
    elif isinstance(getattr(error.args[0] if error.args else None, "reason", None), NameResolutionError):
        todo = "its name is not known here: check the connection to the internet, or set HTTPS_PROXY"
    else:
        todo = f"check the connection, and whether port 443 to {name} is open"
    return f"{todo} ({reason_of(error, 100)}); your own files can be compared without a network"


def clock_of(offsets: list[timedelta]) -> Finding:
    """Compare the clock of this machine with those of the services that answered.

    Parameters
    ----------
    offsets : list of timedelta
        How far this clock is ahead of each of theirs.

    Returns
    -------
    Finding
        Failed when the middle one is beyond `CLOCK_TOLERANCE`.
    """
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not offsets:
        return Finding("clock", "ok", f"{now}; no service answered to compare it with")
    middle = sorted(offsets)[len(offsets) // 2]
    if abs(middle) > CLOCK_TOLERANCE:
        way = "ahead of" if middle > timedelta(0) else "behind"
        detail = (
            f"{now}, {abs(middle).total_seconds():.0f} s {way} the services: set it, or logins are refused"
        )
        return Finding("clock", "failed", detail)
    return Finding("clock", "ok", f"{now}, as the services have it")
