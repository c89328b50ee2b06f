"""What runs in the process of the worlds: the servers of one world and everything behind them."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.world import copernicus, earth_search, planetary, static
from tests.world.granules import optical_granules
from tests.world.items import Item, Shop, collection
from tests.world.pixels import Pixels
from tests.world.plumbing import Entry, Refusal, Request, Response, Server
from tests.world.sentinel_hub import SentinelHub
from tests.world.stac_api import StacApi
from tests.world.store import Shelf, Signatures, Store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.world.faults import Fault
    from tests.world.granules import Granule

EARTH_SEARCH, PLANETARY, STAC = "/earth-search/v1", "/planetary-computer/api/stac/v1", "/stac"
SIGNING, SENTINEL_HUB = "/planetary-computer/api/sas/v1/token", "/sentinel-hub"
_APIS = {"earth-search": "_earth_search", "planetary-computer": "_planetary", "stac": "_stac"}


@dataclass(frozen=True)
class Options:
    """Behaviour of a world: an empty last page, seconds added to each answer, granules, token life, tiles."""

    empty_last_page: bool = False
    latency_s: float = 0.0
    granule_px: int = 768
    signature_life_s: float = 2700.0
    block_px: int = 256


@dataclass(frozen=True, eq=False)
class Plan:
    """What a service is made of."""

    granules: tuple[Granule, ...]
    faults: tuple[Fault, ...]
    options: Options
    cloud_percent: Mapping[int, int]


class Service:
    """The servers of one world; `tests.world.world.World` is its remote control."""

    def __init__(self, plan: Plan, shelf: Shelf) -> None:
        self.options = plan.options
        self.granules = plan.granules
        self.pixels = Pixels(self.options.granule_px, plan.cloud_percent)
        self.unique = f"w{uuid.uuid4().hex[:10]}"
        self.sentinel_hub_service = SentinelHub(self.granules, self.pixels)
        self.signatures = Signatures(tuple(planetary.CONTAINERS.values()), self.options.signature_life_s)
        self._folder = tempfile.TemporaryDirectory(prefix="world-")
        self.server = Server(self._route, self.options.latency_s)
        self.server.faults.add(*plan.faults)
        self.store = Store(
            Path(self._folder.name), self.pixels, self.server.url, shelf, self.options.block_px
        )

    def close(self) -> tuple[BaseException, ...]:
        """Stop the server and remove the files; what went wrong in it is handed back."""
        self.server.close()
        self._folder.cleanup()
        return tuple(self.server.problems)

    def requests(self, path_pattern: str, method: str | None) -> list[Entry]:
        """Finished requests whose path fits a shell pattern, oldest first."""
        fits = [entry for entry in self.server.log if fnmatchcase(entry.request.path, path_pattern)]
        return [entry for entry in fits if method in {None, entry.request.method}]

    def items(self, api: str) -> tuple[Item, ...]:
        """All items of one API."""
        found: StacApi = getattr(self, _APIS[api])
        return found.items

    def publish(self, api: str, items: tuple[Item, ...]) -> None:
        """Serve these items instead of those that one API had."""
        setattr(self, _APIS[api], replace(getattr(self, _APIS[api]), items=items))

    def write_catalog(self, folder: Path, local: bool) -> Path:
        """Write the items of ``/stac`` as a static catalogue."""
        return static.write_catalog(self._stac.items, folder, self.store.path_of if local else None)

    def write_item_collection(self, path: Path, local: bool) -> Path:
        """Write the items of ``/stac`` as one ItemCollection."""
        return static.write_item_collection(self._stac.items, path, self.store.path_of if local else None)

    @cached_property
    def _shop(self) -> Shop:
        return Shop(self.pixels, self.store.link, self.unique)

    @cached_property
    def _earth_search(self) -> StacApi:
        root = f"{self.server.url}{EARTH_SEARCH}"
        kinds = (earth_search.COLLECTION_1, earth_search.OLDER)
        seen = optical_granules(self.granules)
        found = (*earth_search.collection_1(seen, self._shop, root),
                 *earth_search.older(seen, self._shop, root))  # fmt: skip
        return StacApi("Earth Search", root, tuple(collection(root, kind) for kind in kinds), found,
                       empty_last_page=self.options.empty_last_page)  # fmt: skip

    @cached_property
    def _planetary(self) -> StacApi:
        root = f"{self.server.url}{PLANETARY}"
        found = (
            *planetary.optical(self.granules, self._shop, root),
            *planetary.radar(self.granules, self._shop, root),
        )
        kinds = [self._signed(root, kind) for kind in planetary.CONTAINERS]
        return StacApi("Microsoft Planetary Computer", root, tuple(kinds), found, "token", False,
                       self.options.empty_last_page, 1000)  # fmt: skip

    @cached_property
    def _stac(self) -> StacApi:
        root = f"{self.server.url}{STAC}"
        found = tuple(copernicus.items(optical_granules(self.granules), self._shop, root))
        kinds = (collection(root, copernicus.COLLECTION, stac_version="1.1.0"),)
        return StacApi("CDSE STAC", root, kinds, found, "token", False, self.options.empty_last_page, 1000)

    def _signed(self, root: str, kind: str) -> dict[str, Any]:
        account, container = planetary.CONTAINERS[kind].split("/")
        return collection(root, kind, **{"msft:storage_account": account, "msft:container": container})

    def _route(self, request: Request) -> Response:
        path = request.path
        apis = ((EARTH_SEARCH, "_earth_search"), (PLANETARY, "_planetary"), (STAC, "_stac"))
        for root, name in apis:
            if path == root or path.startswith(f"{root}/"):
                api: StacApi = getattr(self, name)
                return api.serve(request, path.removeprefix(root).rstrip("/"))
        if path.startswith(f"{SIGNING}/"):
            return self.signatures.issue(path.removeprefix(f"{SIGNING}/"))
        if path.startswith(f"{SENTINEL_HUB}/"):
            return self.sentinel_hub_service.serve(request, path.removeprefix(SENTINEL_HUB))
        if any(path.startswith(f"/{one}/") for one in self.signatures.containers):
            return self.signatures.check(request) or self.store.serve(request)
        if path.startswith(f"/{self.unique}/"):
            return self.store.serve(request)
        raise Refusal(404, f"{path} not found")
