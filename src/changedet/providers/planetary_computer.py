"""The Planetary Computer: Sentinel-2 and terrain-corrected Sentinel-1 as COGs; everyone gets signatures."""

from __future__ import annotations

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import urlsplit

from changedet.errors import ProviderError
from changedet.providers.base import ProviderInfo
from changedet.providers.http import get_json, make_session, scrubbed
from changedet.providers.items import offset_of_baseline
from changedet.providers.radar import RADAR_LEVEL
from changedet.providers.settings import ProviderSettings
from changedet.providers.stac import StacProvider, with_endpoint
from changedet.scene import as_utc

COLLECTION = "sentinel-2-l2a"
RADAR_COLLECTION = "sentinel-1-rtc"
INFO = ProviderInfo(
    name="planetary-computer",
    title="Microsoft Planetary Computer",
    sensors=("s2", "s1"),
    needs="nothing",
    endpoints=(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        "https://planetarycomputer.microsoft.com/api/sas/v1/token",
    ),
    levels=("L2A", RADAR_LEVEL),
    displaces=True,
)
#: Where the archive lies; a token is never shown to any other host.
_ARCHIVE = ".blob.core.windows.net"
#: A token is the query of a link, and nothing that could lead elsewhere.
_TOKEN = re.compile(r"[\w.~%&=+/:-]{1,4000}", re.ASCII)
#: A token with less left is replaced before it is used.
_LEAST_LEFT = timedelta(minutes=5)


def planetary_computer(settings: ProviderSettings | None = None) -> StacProvider:
    """Return the provider; its items say nothing of offsets, so the processing baseline decides.

    Parameters
    ----------
    settings : ProviderSettings, optional
        Other addresses (``url``, ``signing_url``), or other patience.
    """
    settings = settings or ProviderSettings()
    return StacProvider(
        with_endpoint(INFO, settings),
        settings,
        MappingProxyType({COLLECTION: offset_of_baseline}),
        (RADAR_COLLECTION,),
        Signatures(settings),
    )


class Signatures:
    """Tokens for the containers of the archive, kept in memory only and renewed before they end.

    Parameters
    ----------
    settings : ProviderSettings
        ``signing_url`` for another signing service, which also opens an archive on its own host; patience.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self._url = (settings.signing_url or INFO.endpoints[1]).rstrip("/")
        self._tokens: dict[str, tuple[str, datetime]] = {}
        self._failed: dict[str, tuple[float, ProviderError]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Signatures({scrubbed(self._url)!r})"

    def sign(self, href: str) -> str:
        """Return a link with a token that is good for some minutes; other hosts' links as they are.

        A signature that the link has already gives way.

        Raises
        ------
        ProviderError
            When the signing service fails.
        """
        container = self._container(href)
        if container is None:
            return href
        came_s = time.monotonic()
        with self._lock:
            token, ends = self._tokens.get(container, ("", datetime.min.replace(tzinfo=UTC)))
            if ends - datetime.now(UTC) < _LEAST_LEFT:
                token, ends = self._asked_once(container, came_s)
                self._tokens[container] = token, ends
        return f"{href.split('?')[0]}?{token}"

    def forget(self, href: str, refused: str = "") -> bool:
        """Drop the token, unless it is another one than that of the link that was refused.

        False when the link needs none, or there is none.
        """
        container = self._container(href)
        with self._lock:
            if container is None:
                return False
            token, _ = self._tokens.get(container, ("", None))
            if token and (not refused or refused.endswith(f"?{token}")):
                del self._tokens[container]
            return bool(token or refused)

    def _asked_once(self, container: str, came_s: float) -> tuple[str, datetime]:
        """Ask for a token; whoever waited while that failed for another thread does not ask as well."""
        when_s, before = self._failed.get(container, (0.0, None))
        if before is not None and when_s > came_s:
            raise ProviderError(before.what, where=before.where, todo=before.todo)
        try:
            return self._ask(container)
        except ProviderError as error:
            self._failed[container] = time.monotonic(), error
            raise

    def _container(self, href: str) -> str | None:
        """Return ``account/container`` of a link into the archive."""
        parts = urlsplit(href)
        folders = parts.path.strip("/").split("/")
        host = parts.hostname or ""
        if host.endswith(_ARCHIVE) and parts.scheme == "https":
            return f"{host.removesuffix(_ARCHIVE)}/{folders[0]}"
        own = self._settings.signing_url is not None and _place(href) == _place(self._url)
        return f"{folders[0]}/{folders[1]}" if own and len(folders) > 2 else None

    def _ask(self, container: str) -> tuple[str, datetime]:
        url = f"{self._url}/{container}"
        with make_session(self._settings) as session:
            answer = get_json(session, url, self._settings, what="a signature")
        try:
            token, ends = answer["token"], as_utc(datetime.fromisoformat(answer["msft:expiry"]))
            if _TOKEN.fullmatch(token):
                return token, ends
        except (KeyError, TypeError, ValueError):
            pass
        raise ProviderError(
            "the signing service answers in an unknown form",
            where=scrubbed(url),
            todo="choose another provider",
        )


def _place(url: str) -> str:
    """Return host and port, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()
