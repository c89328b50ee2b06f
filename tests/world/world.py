"""A whole outside world on 127.0.0.1: archives, catalogues and services over the same simulated truth.

The servers run in a process of their own (see `tests.world.host`), as the real ones do.

Examples
--------
    with World([quick_scene()]) as world:
        client = Client.open(world.earth_search)
        world.requests("*/search", "POST")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from tests.world import pixels
from tests.world.granules import Granule, whole
from tests.world.host import host
from tests.world.service import EARTH_SEARCH, PLANETARY, SENTINEL_HUB, SIGNING, STAC, Options, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    import pytest
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from tests.world.faults import Fault
    from tests.world.items import Item
    from tests.world.plumbing import Entry

    from changedet.simulator.scene import SimulatedScene

__all__ = ["Options", "World", "without_proxies"]


def without_proxies(patch: pytest.MonkeyPatch) -> None:
    """Servers of this machine are asked directly, whatever the environment says."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        patch.delenv(name, raising=False)


class World:
    """Servers over the given scenes; a scene alone stands for one granule with data everywhere.

    Parts of the servers (`store`, `signatures`, `sentinel_hub_service`) are reached by their names: reading,
    calling and setting of their attributes takes place in the other process.
    """

    def __init__(
        self,
        scenes: Iterable[SimulatedScene | Granule],
        faults: Iterable[Fault] = (),
        options: Options | None = None,
    ) -> None:
        self.options = options or Options()
        self.granules = tuple(one if isinstance(one, Granule) else whole(one) for one in scenes)
        self.pixels = pixels.Pixels(self.options.granule_px)
        self._items: dict[str, tuple[Item, ...]] = {}
        self._host = host()
        plan = Plan(self.granules, tuple(faults), self.options, self.pixels.cloud_percent)
        self._number, self.url, self.unique = self._host.ask("open", plan)
        self._closed = False
        self.store, self.signatures, self.sentinel_hub_service = (
            Remote(self, name) for name in ("store", "signatures", "sentinel_hub_service")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        problems = self.close()
        if kind is None and problems:
            raise problems[0]

    def close(self) -> tuple[BaseException, ...]:
        """Stop the server and remove the files; what went wrong in it is handed back."""
        if self._closed:
            return ()
        self._closed = True
        found: tuple[BaseException, ...] = self._host.ask("close", self._number)
        return found

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call a method of the service in the other process."""
        return self._host.ask("call", self._number, name, arguments)

    def get(self, name: str) -> Any:
        """An attribute in the other process; a function comes back as one that is called there."""
        called, value = self._host.ask("get", self._number, name)
        return (lambda *arguments: self.ask(name, *arguments)) if called else value

    def set(self, name: str, value: Any) -> None:
        """Set an attribute in the other process."""
        self._host.ask("set", self._number, name, value)

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
        return int(self.get("server.max_in_flight"))

    def requests(self, path_pattern: str = "*", method: str | None = None) -> list[Entry]:
        """Finished requests whose path fits a shell pattern, oldest first."""
        found: list[Entry] = self.ask("requests", path_pattern, method)
        return found

    def reset_log(self) -> None:
        """Forget the requests so far."""
        self.ask("server.reset_log")

    def add_faults(self, *faults: Fault) -> None:
        """Put faults in force from now on."""
        self.ask("server.faults.add", *faults)

    def clear_faults(self) -> None:
        """Let everything work again."""
        self.ask("server.faults.clear")

    def truth(
        self, scene: SimulatedScene, band: str, grid: GeoBox | None = None, resampling: str = "nearest"
    ) -> NDArray[np.float64]:
        """Reflectance (gamma0 for ``VV``, ``VH``; codes for ``SCL``) on a grid, else on the scene's."""
        return self.pixels.truth(scene, band).on(grid if grid is not None else scene.grid, resampling)

    def items(self, api: str) -> tuple[Item, ...]:
        """All items of one API: ``"earth-search"``, ``"planetary-computer"`` or ``"stac"``.

        They are copies, the same ones each time; `publish` makes the API serve them as they are now.
        """
        if api not in self._items:
            self._items[api] = self.ask("items", api)
        return self._items[api]

    def publish(self, api: str) -> None:
        """Have an API serve the items as the test has changed them."""
        self.ask("publish", api, self.items(api))

    def write_catalog(self, folder: Path, *, local: bool = False) -> Path:
        """Write the items of ``/stac`` as a static catalogue; `local` links to files instead of URLs."""
        found: Path = self.ask("write_catalog", folder.absolute(), local)
        return found

    def write_item_collection(self, path: Path, *, local: bool = False) -> Path:
        """Write the items of ``/stac`` as one ItemCollection."""
        found: Path = self.ask("write_item_collection", path.absolute(), local)
        return found


class Remote:
    """A part of the service, by its name."""

    def __init__(self, world: World, name: str) -> None:
        self.__dict__.update(_world=world, _name=name)

    def __getattr__(self, name: str) -> Any:
        return self._world.get(f"{self._name}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        self._world.set(f"{self._name}.{name}", value)
