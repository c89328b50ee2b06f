"""A provider that counts: what has come in, what was kept from before, and what it costs."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from changedet.bands import SCL
from changedet.progress import Received, TransferProgress
from changedet.providers.base import Estimate
from changedet.providers.cached import open_cached
from changedet.providers.estimates import Budget
from changedet.providers.settings import read_provider_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.progress import Progress
    from changedet.providers.base import OnReceived, Provider, ProviderInfo, SearchQuery
    from changedet.scene import Image, Scene

#: A comparison needs so many scenes at least.
_LEAST_SCENES = 2
_NOTHING = Estimate()


class TrackedProvider:
    """Stands before a provider and counts; a `Provider`.

    Parameters
    ----------
    provider : Provider
        Asked for everything; usually one with a cache.
    progress : Progress
        Is told what has come in, when it is a `TransferProgress`.
    max_processing_units : float, optional
        Most that all work together may cost; no limit when not given.

    Examples
    --------
    >>> from changedet.progress import Silent
    >>> from changedet.providers.registry import open_provider
    >>> from changedet.providers.settings import ProviderSettings
    >>> tracked = TrackedProvider(open_provider("earth-search", ProviderSettings()), Silent())
    >>> tracked.kept_text
    '0 scenes'
    """

    def __init__(
        self, provider: Provider, progress: Progress, max_processing_units: float | None = None
    ) -> None:
        self.provider = provider
        self._progress = progress
        self._lock = threading.Lock()
        self._budget = Budget(max_processing_units, provider.name)
        self._needed: GeoBox | None = None
        self._least = _LEAST_SCENES
        self._forget()

    def _forget(self) -> None:
        self._expected: dict[str, int] = {}
        self._loaded: set[str] = set()
        self._fetched: set[str] = set()
        self._bytes = 0

    @property
    def name(self) -> str:
        """Name of the provider behind."""
        return self.provider.name

    @property
    def info(self) -> ProviderInfo:
        """What the provider behind says of itself."""
        return self.provider.info

    @property
    def kept_text(self) -> str:
        """How many scenes were loaded and where from, such as ``2 scenes: 1 fetched, 1 kept from before``."""
        count, fetched = len(self._loaded), len(self._fetched)
        head = f"{count} scene{'' if count == 1 else 's'}"
        return f"{head}: {fetched} fetched, {count - fetched} kept from before" if count else head

    @property
    def limited(self) -> bool:
        """True when there is a limit on processing units."""
        return self._budget.limit is not None

    def require(self, units: float) -> None:
        """Refuse what would cost more than is left of the limit.

        Parameters
        ----------
        units : float
            Processing units.

        Raises
        ------
        BudgetError
            When it would; nothing has been asked for by then.
        """
        self._budget.require(units)

    def begin(self, grid: GeoBox, scenes: int = _LEAST_SCENES) -> None:
        """Begin with a site: forget what was counted, but not what was spent.

        Parameters
        ----------
        grid : GeoBox
            Where the scenes are going to be loaded.
        scenes : int
            So many scenes on this grid have to be affordable before the first look is paid for.
        """
        self._needed, self._least = grid, scenes
        self._forget()

    def expect(
        self,
        scenes: Iterable[Scene],
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        before: Estimate = _NOTHING,
    ) -> Estimate:
        """Say which scenes are going to be loaded, so that what comes in can be put in relation.

        Parameters
        ----------
        scenes : iterable of Scene
            All of them.
        grid, bands
            As for `load`.
        before : Estimate
            What has to be asked for before them.

        Returns
        -------
        Estimate
            What all takes together.

        Raises
        ------
        BudgetError
            When that would cost more than the limit; nothing has been asked for by then.
        """
        total = before
        for scene in scenes:
            estimate = self.estimate(scene, grid, bands)
            self._expected[scene.id] = round(estimate.megabytes * 1e6)
            total += estimate
        self._budget.require(total.processing_units)
        return total

    def search(self, query: SearchQuery) -> list[Scene]:
        """Ask the provider behind for scenes."""
        return self.provider.search(query)

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,
        displacement: DisplacementField | None = None,
    ) -> Image:
        """Load a scene onto a grid and count what comes in.

        Parameters
        ----------
        scene, grid, bands
            As for the provider behind.
        on_received : callable, optional
            Is told too.
        displacement : DisplacementField, optional
            As for the provider behind.

        Returns
        -------
        Image
            As the provider behind gives it.
        """
        estimate = self.estimate(scene, grid, bands)
        with self._lock:
            self._expected.setdefault(scene.id, round(estimate.megabytes * 1e6))
        pieces: list[int] = []

        def _count(size: int) -> None:
            pieces.append(size)
            with self._lock:
                self._bytes += size
                self._tell()
            if on_received is not None:
                on_received(size)

        more = {} if displacement is None else {"displacement": displacement}
        image = self.provider.load(scene, grid, bands, on_received=_count, **more)
        with self._lock:
            self._loaded.add(scene.id)
            if pieces:
                self._fetched.add(scene.id)
                # what is kept by the provider costs nothing, so that it is counted when something came in
                self._budget.correct(estimate.processing_units)
            self._tell()
        return image

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Load the scene classes alone, shape (y, x).

        Parameters
        ----------
        scene, grid
            As for the provider behind.

        Returns
        -------
        ndarray of uint8, shape (y, x)
            Codes of the scene classification.

        Raises
        ------
        BudgetError
            When the comparison for which the look is taken could not be paid for.
        """
        cost = self.estimate(scene, grid, (SCL,)).processing_units
        if not cost:
            return self.provider.classes(scene, grid)
        rest = 0.0
        if self._needed is not None:
            rest = self._least * self.estimate(scene, self._needed).processing_units
        # looks are taken at one time: what one is going to cost must not be had by another
        self._budget.spend(cost, needed_after=rest)
        with ExitStack() as after_failure:
            after_failure.callback(self._budget.correct, -cost)
            found = self.provider.classes(scene, grid)
            after_failure.pop_all()
            return found

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Say what `load` would take, as the provider behind says it."""
        return self.provider.estimate(scene, grid, bands)

    def _tell(self) -> None:
        expected = max(sum(self._expected.values()), self._bytes)
        if expected and isinstance(self._progress, TransferProgress):
            scenes = len(self._loaded | set(self._expected))
            self._progress.received(Received(len(self._loaded), scenes, self._bytes, expected))


def open_tracked(
    name: str, cache: Path | None, max_processing_units: float | None, progress: Progress
) -> TrackedProvider:
    """Open a provider with the cache before it, and count what comes in.

    Parameters
    ----------
    name : str
        As `changedet.providers.registry.open_provider` takes it.
    cache : Path or None
        Folder that keeps loaded scenes; None = the user's cache folder.
    max_processing_units : float or None
        Most processing units that may be asked for; None = what the settings say.
    progress : Progress
        Is told what has come in.

    Returns
    -------
    TrackedProvider
        Nothing has been asked of any service yet.

    Raises
    ------
    UsageError
        When there is no provider of this name.
    """
    cached = open_cached(name, cache, max_processing_units=max_processing_units)
    most = max_processing_units
    if most is None:
        most = read_provider_settings(name).max_processing_units
    return TrackedProvider(cached, progress, most)
