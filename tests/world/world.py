"""A whole outside world on 127.0.0.1: archives, catalogues and services over the same simulated truth.

Examples
--------
    with World([quick_scene()]) as world:
        client = Client.open(world.earth_search)
        world.requests("*/search", "POST")
"""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.world import copernicus, earth_search, planetary, static
from tests.world.granules import Granule, whole
from tests.world.items import Item, Shop, collection
from tests.world.pixels import Pixels
from tests.world.plumbing import Entry, Refusal, Request, Response, Server
from tests.world.sentinel_hub import SentinelHub
from tests.world.stac_api import StacApi
from tests.world.store import Signatures, Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from tests.world.faults import Fault

    from changedet.samples_scene import SimulatedScene

EARTH_SEARCH, PLANETARY, STAC = "/earth-search/v1", "/planetary-computer/api/stac/v1", "/stac"
SIGNING, SENTINEL_HUB = "/planetary-computer/api/sas/v1/token", "/sentinel-hub"


@dataclass(frozen=True)
class Options:
    """How the world behaves: an empty last page, seconds added to each answer, granule size, token life."""

    empty_last_page: bool = False
    latency_s: float = 0.0
    granule_px: int = 768
    signature_life_s: float = 2700.0


class World:
    """Servers over the given scenes; a scene alone stands for one granule with data everywhere."""

    def __init__(
        self,
        scenes: Iterable[SimulatedScene | Granule],
        faults: Iterable[Fault] = (),
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self.granules = tuple(one if isinstance(one, Granule) else whole(one) for one in scenes)
        self.pixels = Pixels(self.options.granule_px)
        self.unique = f"w{uuid.uuid4().hex[:10]}"
        self.sentinel_hub_service = SentinelHub(self.granules, self.pixels)
        self.signatures = Signatures(tuple(planetary.CONTAINERS.values()), self.options.signature_life_s)
        self._folder = tempfile.TemporaryDirectory(prefix="world-")
        self._server = Server(self._route, self.options.latency_s)
        self._server.faults.add(*faults)
        self.store = Store(Path(self._folder.name), self.pixels, self._server.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if kind is None and self._server.problems:
            raise self._server.problems[0]

    def close(self) -> None:
        """Stop the server and remove the files."""
        self._server.close()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The root of everything."""
        return self._server.url

    @property
    def earth_search(self) -> str:
        """URL of the STAC API in Earth Search's dialect."""
        return f"{self.url}{EARTH_SEARCH}"

    @property
    def planetary_computer(self) -> str:
        """URL of the STAC API in the Planetary Computer's dialect."""
        return f"{self.url}{PLANETARY}"

    @property
    def signing(self) -> str:
        """URL below which ``/account/container`` gives tokens."""
        return f"{self.url}{SIGNING}"

    @property
    def stac(self) -> str:
        """URL of the STAC 1.1 API in the dialect of Copernicus."""
        return f"{self.url}{STAC}"

    @property
    def sentinel_hub(self) -> str:
        """Base URL of the Sentinel Hub stand-in; its token endpoint is ``/oauth/token`` below it."""
        return f"{self.url}{SENTINEL_HUB}"

    @property
    def max_in_flight(self) -> int:
        """Most requests answered at one time since `reset_log`."""
        return self._server.max_in_flight

    def requests(self, path_pattern: str = "*", method: str | None = None) -> list[Entry]:
        """Finished requests whose path fits a shell pattern, oldest first."""
        fits = [entry for entry in self._server.log if fnmatchcase(entry.request.path, path_pattern)]
        return [entry for entry in fits if method in {None, entry.request.method}]

    def reset_log(self) -> None:
        """Forget the requests so far."""
        self._server.reset_log()

    def add_faults(self, *faults: Fault) -> None:
        """Put faults in force from now on."""
        self._server.faults.add(*faults)

    def clear_faults(self) -> None:
        """Let everything work again."""
        self._server.faults.clear()

    def truth(
        self, scene: SimulatedScene, band: str, grid: GeoBox | None = None, resampling: str = "nearest"
    ) -> NDArray[np.float64]:
        """Reflectance (gamma0 for ``VV``, ``VH``; codes for ``SCL``) on a grid, else on the scene's."""
        return self.pixels.truth(scene, band).on(grid if grid is not None else scene.grid, resampling)

    def items(self, api: str) -> tuple[Item, ...]:
        """All items of one API: ``"earth-search"``, ``"planetary-computer"`` or ``"stac"``."""
        return {
            "earth-search": self._earth_search,
            "planetary-computer": self._planetary,
            "stac": self._stac,
        }[api].items

    def write_catalog(self, folder: Path, *, local: bool = False) -> Path:
        """Write the items of ``/stac`` as a static catalogue; `local` links to files instead of URLs."""
        return static.write_catalog(self._stac.items, folder, self.store.path_of if local else None)

    def write_item_collection(self, path: Path, *, local: bool = False) -> Path:
        """Write the items of ``/stac`` as one ItemCollection."""
        return static.write_item_collection(self._stac.items, path, self.store.path_of if local else None)

    @cached_property
    def _shop(self) -> Shop:
        return Shop(self.pixels, self.store.link, self.unique)

    @cached_property
    def _earth_search(self) -> StacApi:
        root = self.earth_search
        kinds = (earth_search.COLLECTION_1, earth_search.OLDER)
        found = (*earth_search.collection_1(self.granules, self._shop, root),
                 *earth_search.older(self.granules, self._shop, root))  # fmt: skip
        return StacApi("Earth Search", root, tuple(collection(root, kind) for kind in kinds), found,
                       empty_last_page=self.options.empty_last_page)  # fmt: skip

    @cached_property
    def _planetary(self) -> StacApi:
        root = self.planetary_computer
        found = (
            *planetary.optical(self.granules, self._shop, root),
            *planetary.radar(self.granules, self._shop, root),
        )
        kinds = [self._signed(root, kind) for kind in planetary.CONTAINERS]
        return StacApi("Microsoft Planetary Computer", root, tuple(kinds), found, "token", False,
                       self.options.empty_last_page, 1000)  # fmt: skip

    @cached_property
    def _stac(self) -> StacApi:
        found = tuple(copernicus.items(self.granules, self._shop, self.stac))
        kinds = (collection(self.stac, copernicus.COLLECTION, stac_version="1.1.0"),)
        return StacApi(
            "CDSE STAC", self.stac, kinds, found, "token", False, self.options.empty_last_page, 1000
        )

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
