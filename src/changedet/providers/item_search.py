"""Searching a STAC API: page by page, and with what was learnt of a catalogue when it was opened before."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from shapely.errors import ShapelyError

from changedet.antimeridian import footprint_outline, near, within_globe
from changedet.errors import ProviderError
from changedet.json_texts import OTHER_SHAPE
from changedet.providers.http import (
    TRY_LATER,
    be_patient,
    discreet_logs,
    json_of,
    reason_of,
    retry_policy,
    scrubbed,
)
from changedet.providers.items import time_of
from changedet.providers.stopping import stop_event
from changedet.scene import as_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pystac_client import Client

    from changedet.providers.base import SearchQuery
    from changedet.providers.items import Item
    from changedet.providers.settings import ProviderSettings

#: Items asked for in one page; larger ones make some services fail.
PAGE_SIZE = 100
#: What is raised at an item that does not say when or where it is.
UNPLACED = (*OTHER_SHAPE, ShapelyError)
#: What a library warns of is set aside for all threads at once, so that one at a time may do so.
_ONE_OPENS = threading.Lock()


@dataclass(frozen=True, eq=False)
class OpenCatalogues:
    """Catalogues that are open: the next search needs neither their front page nor a new connection.

    Each is used by one thread at a time. After a failure it is opened anew.
    """

    _idle: dict[str, list[Client]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def client(self, url: str, settings: ProviderSettings, also: frozenset[int]) -> Iterator[Client]:
        """Give an open catalogue, whose time for a search begins now.

        Parameters
        ----------
        url : str
            Root of the API.
        settings : ProviderSettings
            Retries, time-outs, deadline for the whole search.
        also : frozenset of int
            Statuses that mean "later" here.

        Yields
        ------
        pystac_client.Client
        """
        with self._lock:
            idle = self._idle.setdefault(url, [])
            client = idle.pop() if idle else None
        with stop_event() as stop:
            policy = retry_policy(settings, also, stop).new(started_s=time.monotonic())
            if client is None:
                client = _opened(url, settings, policy)
            session = _session(client)
            be_patient(session, policy)
            try:
                yield client
            except BaseException:
                session.close()
                raise
        with self._lock:
            self._idle.setdefault(url, []).append(client)

    def close(self) -> None:
        """Close what is open; a catalogue that is asked again is opened again."""
        with self._lock:
            clients = [one for idle in self._idle.values() for one in idle]
            self._idle.clear()
        for one in clients:
            _session(one).close()


def api_items(
    url: str,
    collections: tuple[str, ...],
    query: SearchQuery,
    settings: ProviderSettings,
    *,
    also: frozenset[int] = frozenset(),
    catalogues: OpenCatalogues | None = None,
) -> list[dict[str, Any]]:
    """Ask a STAC API for items, page by page.

    Parameters
    ----------
    url : str
        Root of the API.
    collections : tuple of str
        Collections to search; all when empty.
    query : SearchQuery
        Place and time; the cloud limit is left to the caller, since catalogues differ in how they take it.
    settings : ProviderSettings
        Retries, time-outs, deadline for the whole search.
    also : frozenset of int
        Statuses that mean "later" here.
    catalogues : OpenCatalogues, optional
        Keeps the catalogue open for the next search; it is closed when not given.

    Returns
    -------
    list of dict
        The items as the server wrote them.

    Raises
    ------
    ProviderError
        When the service does not answer, refuses, or answers with something else than STAC.
    """
    from pystac.errors import STACError
    from pystac_client.errors import ClientTypeError
    from pystac_client.exceptions import APIError

    kept = OpenCatalogues() if catalogues is None else catalogues
    try:
        with discreet_logs(), kept.client(url, settings, also) as client:
            return _all_pages(client, collections, query)
    except APIError as error:
        # the library sets it only where there was an answer
        status = getattr(error, "status_code", None)
        reason = f"HTTP {status}" if status else reason_of(error)
    except (*OTHER_SHAPE, ClientTypeError, STACError, RecursionError) as error:
        reason = f"the answer is not STAC: {scrubbed(str(error), 80)}"
    finally:
        if catalogues is None:
            kept.close()
    # outside of the handlers: an exception that stands behind another one may show what was sent
    raise _failed(url, reason)


def fits(item: Item, query: SearchQuery) -> bool:
    """Say whether an item lies where and when a query asks for.

    Parameters
    ----------
    item : mapping
        A STAC item.
    query : SearchQuery
        Place and time, both ends included.

    Returns
    -------
    bool
        An item without an outline lies everywhere.

    Raises
    ------
    One of `UNPLACED`
        When the item does not say when or where it is.
    """
    ground = query.site.geometry
    moment = as_utc(time_of(item))
    outline = footprint_outline(item["geometry"])
    if outline is not None and not near(outline, float(ground.centroid.x)).intersects(ground):
        return False
    return bool(query.start <= moment <= query.end)


def _opened(url: str, settings: ProviderSettings, policy: Any) -> Client:  # noqa: ANN401  # PatientRetry
    """Open a catalogue; a session that leads to none is closed."""
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO
    from pystac_client.warnings import PystacClientWarning

    asking = StacApiIO()
    be_patient(asking.session, policy)
    asking.session.hooks["response"].append(_require_features)
    patience = (settings.connect_timeout_s, settings.read_timeout_s)
    try:
        with _ONE_OPENS, warnings.catch_warnings():
            warnings.simplefilter("ignore", PystacClientWarning)
            return Client.open(url, stac_io=asking, timeout=patience)
    except BaseException:
        asking.session.close()
        raise


def _all_pages(client: Client, collections: tuple[str, ...], query: SearchQuery) -> list[dict[str, Any]]:
    from pystac_client.warnings import PystacClientWarning

    with _ONE_OPENS, warnings.catch_warnings():
        warnings.simplefilter("ignore", PystacClientWarning)
        search = client.search(
            collections=list(collections) or None,
            intersects=_outline(query),
            datetime=f"{_stamp(query.start)}/{_stamp(query.end)}",
            limit=PAGE_SIZE,
        )
    return [item for page in search.pages_as_dicts() for item in page["features"]]


def _session(client: Client) -> requests.Session:
    """Return the session of a catalogue that `_opened` opened."""
    asking: Any = client._stac_io  # the library has no other name for what it was given
    session: requests.Session = asking.session
    return session


def _require_features(answer: requests.Response, *_: object, **__: object) -> None:
    """Refuse an answer to a search that is no list of items; the library takes it for an empty one."""
    if not answer.ok or not urlsplit(answer.url).path.rstrip("/").endswith("/search"):
        return
    page = json_of(answer)
    if not isinstance(page, Mapping) or not isinstance(page.get("features"), list):
        raise requests.exceptions.InvalidJSONError("the answer is not STAC: it has no list of items")


def _failed(url: str, reason: str) -> ProviderError:
    return ProviderError(
        f"the search failed ({reason})",
        where=scrubbed(url),
        todo=TRY_LATER,
    )


def _outline(query: SearchQuery) -> dict[str, Any]:
    """Return the site as GeoJSON within -180 and 180 degrees, in two parts across the antimeridian."""
    from shapely.geometry import mapping

    return dict(mapping(within_globe(query.site.geometry)))


def _stamp(moment: Any) -> str:  # noqa: ANN401  # a datetime
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
