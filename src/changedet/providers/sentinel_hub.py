"""Sentinel-2 Level-2A from Sentinel Hub, on the Copernicus Data Space or the commercial deployment.

The service renders exactly the ground that is asked for. What is asked for here is what the archive holds:
numbers of 10 m and 20 m pixels without interpolation, one request for each acquisition. Interpolation is then
the same as for every other provider. Level-1C and Sentinel-1 are not offered here.
"""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.bands import COMPARED_BANDS, SCL, SENTINEL2_BANDS, band
from changedet.core.masking import UNUSABLE_CLASSES
from changedet.errors import BudgetError, ChangedetError, NoOverlapError, ProviderError, UsageError
from changedet.providers.base import Estimate, ProviderInfo
from changedet.providers.layers import Layer, LayerSource, load_classes
from changedet.providers.registry import require_offered
from changedet.providers.sentinel_hub_requests import (
    COARSE_M,
    Addresses,
    collection,
    configuration,
    cost,
    degree_boxes,
    estimate_processing_units,
    fetch_grid,
    plain_url,
    process_request,
    read_tiff,
    tiles,
)
from changedet.providers.sentinel_hub_scenes import promised_share, scenes_from_features
from changedet.providers.settings import ProviderSettings, read_provider_settings
from changedet.resample import crs_of
from changedet.scene import Asset, Radiometry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.base import OnReceived, SearchQuery
    from changedet.providers.sentinel_hub_client import BoundedClient, Credentials, Tokens
    from changedet.scene import Image, Scene

__all__ = [
    "DEPLOYMENTS",
    "SentinelHubOptions",
    "SentinelHubProvider",
    "estimate_processing_units",
    "sentinel_hub",
]

Deployment = Literal["cdse", "commercial"]

#: Base URL and token URL of each deployment.
DEPLOYMENTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "cdse": (
            "https://sh.dataspace.copernicus.eu",
            "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token",
        ),
        "commercial": (
            "https://services.sentinel-hub.com",
            "https://services.sentinel-hub.com/auth/realms/main/protocol/openid-connect/token",
        ),
    }
)
#: Service's own cloud layer, in per cent.
CLOUD_LAYER = "CLD"

_OFFERED = tuple(one.name for one in SENTINEL2_BANDS if one.name != "B10")
#: No reflectance is stored as this number, so it can stand for "no data".
_NO_DATA = 65535
_PAGE = 100
#: Catalogue features that one search reads at most, for each scene wanted.
_FEATURES_PER_SCENE = 12
#: The kernel of the interpolation reaches so far, and registration moves the grid by less than the rest.
_KERNEL_M, _MARGIN_M = 40, 60
_KEPT_FETCHES = 4
#: A cloud layer above this speaks of cloud; the share of clear pixels above it that is worth a note.
_CLOUD_PERCENT, _CLOUD_NOTE_SHARE = 65, 0.02
#: Below this share of the ground a footprint promises nothing.
_LEAST_PROMISE = 0.02

_RADIOMETRY = Radiometry(
    scale=1e-4,
    nodata=float(_NO_DATA),
    source="numbers are 10000 times reflectance for every baseline (harmonizeValues), negative ones are 0",
)
_CODES = Radiometry(nodata=0.0, source="class codes")


@dataclass(frozen=True)
class SentinelHubOptions:
    """How Sentinel Hub is used.

    Attributes
    ----------
    deployment : {"cdse", "commercial"} or None
        Where the account belongs; None = what the profile says, else the Copernicus Data Space.
    max_processing_units : float or None
        Most units that one provider object may ask for in its life; None = what the settings say.
    credentials : Credentials or None
        None = from the environment or a profile, see
        `changedet.providers.sentinel_hub_client.find_credentials`.
    """

    deployment: Deployment | None = None
    max_processing_units: float | None = None
    credentials: Credentials | None = None


@dataclass(frozen=True, eq=False)
class _Fetch:
    """Numbers as the service gave them, on a 10 m grid whose corners are multiples of 20 m."""

    scene_id: str
    names: tuple[str, ...]
    grid: GeoBox
    planes: NDArray[np.uint16]

    def answers(self, scene_id: str, names: tuple[str, ...], needed: GeoBox) -> bool:
        """Tell whether this fetch holds what is needed now."""
        same = self.scene_id == scene_id and set(names) <= set(self.names) and self.grid.crs == needed.crs
        mine, wanted = self.grid.boundingbox, needed.boundingbox
        return (
            same
            and mine.left <= wanted.left
            and mine.bottom <= wanted.bottom
            and mine.right >= wanted.right
            and mine.top >= wanted.top
        )

    def plane(self, name: str) -> NDArray[np.uint16]:
        """Return the numbers of one layer, shape (y, x)."""
        found: NDArray[np.uint16] = self.planes[self.names.index(name)]
        return found


def sentinel_hub(settings: ProviderSettings) -> SentinelHubProvider:
    """Return the provider that Sentinel Hub is: credentials are looked for when something is asked.

    Parameters
    ----------
    settings : ProviderSettings
        Addresses and patience; the URL decides the deployment, the Copernicus Data Space when not given.

    Returns
    -------
    SentinelHubProvider
        Nothing has been asked of the service yet.
    """
    return SentinelHubProvider(settings)


class SentinelHubProvider:
    """Searches the catalogue of Sentinel Hub and has it render acquisitions; a `Provider`.

    An account is needed as soon as something is asked for, not before. What was fetched last is kept, so that
    loading a scene again on a slightly displaced grid costs nothing.

    Parameters
    ----------
    settings : ProviderSettings, optional
        Addresses and patience; those of ``[providers.sentinelhub]`` when not given.
    options : SentinelHubOptions, optional
        Deployment, credentials and the limit on processing units.

    Examples
    --------
    >>> SentinelHubProvider(ProviderSettings()).info.sensors
    ('s2',)
    """

    name = "sentinelhub"

    def __init__(
        self, settings: ProviderSettings | None = None, options: SentinelHubOptions = SentinelHubOptions()
    ) -> None:
        self._settings = read_provider_settings(self.name) if settings is None else settings
        self._options = options
        self._lock = threading.Lock()
        self._door: tuple[Addresses, Tokens] | None = None
        self._kept: list[_Fetch] = []
        self._units = 0.0

    @property
    def info(self) -> ProviderInfo:
        """What a reader should know before choosing it."""
        where = self._addresses(None)
        return ProviderInfo(
            name=self.name,
            title="Sentinel Hub",
            sensors=("s2",),
            needs="an account: SH_CLIENT_ID and SH_CLIENT_SECRET, or a profile named in SH_PROFILE",
            endpoints=(where.catalog, where.process, where.token),
        )

    @property
    def processing_units(self) -> float:
        """Estimate of the processing units asked for so far."""
        return self._units

    def search(self, query: SearchQuery) -> list[Scene]:
        """Search the catalogue.

        Parameters
        ----------
        query : SearchQuery
            Optical only.

        Returns
        -------
        list of Scene
            One for each acquisition (platform, solar day and relative orbit), sorted by time; of more than
            the limit, the newest.

        Raises
        ------
        UsageError
            When radar is asked for.
        CredentialsError
            When there is no account, or it is refused.
        ProviderError
            When the service fails.
        """
        require_offered(self.info, query)
        addresses, _ = self._opened()
        assets = {name: Asset(addresses.process, variable=name, radiometry=_RADIOMETRY)
                  for name in COMPARED_BANDS}  # fmt: skip
        assets[SCL] = Asset(addresses.process, variable=SCL, radiometry=_CODES)
        found = self._features(query, addresses)
        scenes = scenes_from_features(
            found,
            query.site,
            MappingProxyType(assets),
            provider=self.name,
            where=plain_url(addresses.catalog),
        )
        return scenes[-query.limit :]

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,
    ) -> Image:
        """Have an acquisition rendered and put it onto a grid.

        Parameters
        ----------
        scene : Scene
            From `search`.
        grid : GeoBox
            Any grid.
        bands : tuple of str, optional
            Canonical names; all that are compared when not given.
        on_received : callable, optional
            Is told the bytes of what was rendered, before compression.

        Returns
        -------
        Image
            Reflectance of at least 0: the service has no negative numbers.

        Raises
        ------
        UsageError
            When a band is not offered, or the request would cost more than the limit.
        NoOverlapError
            When the scene has no data on the grid.
        CredentialsError
            When the account is refused or its quota is used up.
        ProviderError
            When the service fails, or gives nothing where the footprint promises data.
        """
        names = COMPARED_BANDS if bands is None else tuple(bands)
        if strange := [name for name in names if name not in _OFFERED]:
            raise UsageError(
                f"band {', '.join(strange)} is not offered by this provider",
                where=self.name,
                todo=f"choose among {', '.join(_OFFERED)}",
            )
        fetch = self._fetched(scene, grid, (*names, SCL, CLOUD_LAYER), on_received)
        # pixels of 20 m nest in the grid only in the zone they were made in
        epsg = crs_of(fetch.grid).epsg
        nested = all(one.epsg == epsg for one in scene.granules)
        layers = tuple(_layer(fetch, name, nested) for name in (*names, SCL))
        noted = replace(scene, notes=(*scene.notes, *_cloud_notes(fetch)))
        return LayerSource(noted, fetch.grid, layers).load(grid)

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Have only the scene classification rendered, in pixels of 20 m.

        Parameters
        ----------
        scene : Scene
            From `search`.
        grid : GeoBox
            Any grid.

        Returns
        -------
        ndarray of uint8, shape (y, x)
            `SceneClass` codes, 0 = no data.

        Raises
        ------
        NoOverlapError, UsageError, CredentialsError, ProviderError
            As by `load`.
        """
        fine = fetch_grid(grid, COARSE_M)
        kept = self._kept_for(scene, (SCL,), fine)
        if kept is not None:
            return load_classes(_layer(kept, SCL, nested=False), grid)
        coarse = fine.zoom_to(resolution=COARSE_M)
        planes = self._rendered(scene, coarse, (SCL,))
        return load_classes(_as_layer(SCL, coarse, planes[0]), grid)

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Say what `load` would take, without asking anybody.

        Parameters
        ----------
        scene : Scene
            From `search`.
        grid : GeoBox
            Where the scene would be loaded.
        bands : tuple of str, optional
            As for `load`; ``("SCL",)`` for what `classes` takes.

        Returns
        -------
        Estimate
            A margin for the interpolation and two layers for clouds are in it.
        """
        if bands == (SCL,):
            whole, count = fetch_grid(grid, COARSE_M).zoom_to(resolution=COARSE_M), 1
        else:
            whole, count = fetch_grid(grid, _MARGIN_M), len(COMPARED_BANDS if bands is None else bands) + 2
        pieces = [tile for _, tile in tiles(whole)]
        return Estimate(
            requests=len(pieces),
            megabytes=count * 2 * math.prod(whole.shape) / 1e6,
            processing_units=sum(cost(tile, count) for tile in pieces),
        )

    def _addresses(self, credentials: Credentials | None) -> Addresses:
        """Decide whom to ask: settings, then the deployment named, then the profile, then Copernicus."""
        own, profile = self._settings, credentials.base_url if credentials else ""
        named = DEPLOYMENTS[self._options.deployment][0] if self._options.deployment else ""
        base = (own.url or named or profile or DEPLOYMENTS["cdse"][0]).rstrip("/")
        known = dict(DEPLOYMENTS.values())
        token = own.token_url or known.get(base, "")
        if not token and credentials and base == profile.rstrip("/"):
            token = credentials.token_url or DEPLOYMENTS["commercial"][1]
        return Addresses(
            base=base,
            token=token or f"{base}/oauth/token",
            catalog=(own.catalog_url or f"{base}/api/v1/catalog/1.0.0").rstrip("/"),
            process=(own.process_url or f"{base}/api/v1/process").rstrip("/"),
        )

    def _opened(self) -> tuple[Addresses, Tokens]:
        from changedet.providers.sentinel_hub_client import Tokens, find_credentials

        with self._lock:
            if self._door is None:
                who = self._options.credentials or find_credentials()
                addresses = self._addresses(who)
                self._door = (addresses, Tokens(addresses.token, who))
            return self._door

    def _client(self) -> BoundedClient:
        from changedet.providers.sentinel_hub_client import BoundedClient

        addresses, tokens = self._opened()
        return BoundedClient(configuration(addresses), tokens, self._settings)

    def _features(self, query: SearchQuery, addresses: Addresses) -> list[dict[str, Any]]:
        from sentinelhub.api.catalog import SentinelHubCatalog
        from sentinelhub.constants import CRS
        from sentinelhub.exceptions import BaseSentinelHubException
        from sentinelhub.geometry import BBox

        catalog = SentinelHubCatalog(configuration(addresses))
        catalog.service_url, catalog.client = addresses.catalog, self._client()
        span = (query.start.replace(microsecond=0), query.end.replace(microsecond=0))
        most = query.limit * _FEATURES_PER_SCENE
        features: list[dict[str, Any]] = []
        for box in degree_boxes(query.site.geometry.bounds):
            try:
                pages = catalog.search(
                    collection(addresses.base),
                    time=span,
                    bbox=BBox(box, CRS.WGS84),
                    filter=f"eo:cloud_cover <= {100 * query.max_tile_cloud:g}",
                    limit=_PAGE,
                )
                features += itertools.islice(pages, most)
            except (LookupError, TypeError, AttributeError, ValueError, BaseSentinelHubException) as error:
                if isinstance(error, ChangedetError):
                    raise
                kind = type(error).__name__
            else:
                continue
            raise ProviderError(
                f"the answer of the catalogue is not understood ({kind})",
                where=plain_url(addresses.catalog),
                todo="check the URL of the catalogue",
            )
        return features

    def _kept_for(self, scene: Scene, names: tuple[str, ...], needed: GeoBox) -> _Fetch | None:
        with self._lock:
            return next((one for one in self._kept if one.answers(scene.id, names, needed)), None)

    def _fetched(
        self, scene: Scene, grid: GeoBox, names: tuple[str, ...], on_received: OnReceived | None
    ) -> _Fetch:
        kept = self._kept_for(scene, names, fetch_grid(grid, _KERNEL_M))
        if kept is not None:
            return kept
        whole = fetch_grid(grid, _MARGIN_M)
        fetch = _Fetch(scene.id, names, whole, self._rendered(scene, whole, names))
        if on_received is not None:
            on_received(fetch.planes.nbytes)
        with self._lock:
            self._kept = [fetch, *self._kept][:_KEPT_FETCHES]
        return fetch

    def _rendered(self, scene: Scene, grid: GeoBox, names: tuple[str, ...]) -> NDArray[np.uint16]:
        """Have bands rendered on a grid, shape (band, y, x); no data is `_NO_DATA`, 0 in codes."""
        pieces = list(tiles(grid))
        self._spend(sum(cost(tile, len(names)) for _, tile in pieces))
        addresses, _ = self._opened()
        asked = [process_request(scene, tile, names, addresses) for _, tile in pieces]
        answers = self._client().download(
            asked, max_threads=min(self._settings.max_parallel, len(asked)), decode_data=False
        )
        planes = np.zeros((len(names) + 1, *grid.shape), np.uint16)
        for (window, tile), answer in zip(pieces, answers, strict=True):
            shape = (len(names) + 1, *tile.shape)
            planes[:, *window] = read_tiff(answer.content, shape, plain_url(addresses.process))
        observed = planes[-1] > 0
        if not observed.any():
            raise _nothing_there(scene, grid)
        for index, name in enumerate(names):
            planes[index][~observed] = 0 if name in {SCL, CLOUD_LAYER} else _NO_DATA
        return planes[:-1]

    def _spend(self, units: float) -> None:
        most = self._options.max_processing_units
        if most is None:
            most = self._settings.max_processing_units
        with self._lock:
            total = self._units + units
            if most is not None and total > most:
                raise BudgetError(
                    f"this would take {total:.3g} processing units in all, and the limit is {most:g}",
                    where=self.name,
                    todo="raise the limit (--max-pu), or choose a smaller site or fewer bands",
                    details={"processing_units": total, "max_processing_units": most},
                )
            self._units = total


def _nothing_there(scene: Scene, grid: GeoBox) -> ProviderError | NoOverlapError:
    if promised_share(scene, grid) > _LEAST_PROMISE:
        return ProviderError(
            "the service gave no data where the footprint promises it", where=scene.id, todo="try again later"
        )
    return NoOverlapError(
        "the scene does not cover any of the ground asked for", where=scene.id, todo="choose another scene"
    )


def _layer(fetch: _Fetch, name: str, nested: bool) -> Layer:
    values = fetch.plane(name)
    if nested and (name == SCL or band(name).resolution_m > 10):
        return _as_layer(name, fetch.grid.zoom_to(resolution=COARSE_M), values[::2, ::2])
    return _as_layer(name, fetch.grid, values)


def _as_layer(name: str, grid: GeoBox, values: NDArray[np.uint16]) -> Layer:
    radiometry = _CODES if name == SCL else _RADIOMETRY
    return Layer(name, grid, Asset("", variable=name, radiometry=radiometry), lambda window: values[window])


def _cloud_notes(fetch: _Fetch) -> tuple[str, ...]:
    """Say where the classification sees none of the cloud that the service's other layer sees."""
    clear = (fetch.plane(SCL) > 0) & ~np.isin(fetch.plane(SCL), UNUSABLE_CLASSES)
    if not clear.any():
        return ()
    share = float((fetch.plane(CLOUD_LAYER)[clear] >= _CLOUD_PERCENT).mean())
    if share < _CLOUD_NOTE_SHARE:
        return ()
    return (f"{share:.0%} of what the scene classification calls clear is cloud by the layer {CLOUD_LAYER}",)
