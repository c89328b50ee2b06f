"""Sentinel-2 and Sentinel-1 from Sentinel Hub, on the Copernicus Data Space or the commercial deployment.

The service renders exactly the ground that is asked for. What is asked for here of Sentinel-2 is what the
archive holds: numbers of 10 m and 20 m pixels without interpolation, one request for each acquisition.
Interpolation is then the same as for every other provider. Sentinel-1 is corrected for the terrain by the
service, on the grid that all dates share.
"""

from __future__ import annotations

import itertools
import math
import threading
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.antimeridian import promised_share
from changedet.bands import SCL
from changedet.errors import ChangedetError, NoOverlapError, ProviderError, UsageError
from changedet.json_texts import OTHER_SHAPE
from changedet.providers.base import Estimate, ProviderInfo
from changedet.providers.estimates import Budget
from changedet.providers.radar import RADAR_LEVEL
from changedet.providers.registry import require_offered
from changedet.providers.sentinel_hub_images import Fetch, KeptFetches, glance_of, image_of, marked
from changedet.providers.sentinel_hub_products import MASK, Product, product_for, product_of
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
from changedet.providers.sentinel_hub_scenes import scenes_from_features
from changedet.providers.settings import ProviderSettings, read_provider_settings
from changedet.resample import reached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
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
_PAGE = 100
#: Catalogue features that one search reads at most, for each scene wanted.
_FEATURES_PER_SCENE = 12
#: The kernel of the interpolation reaches so far, and registration moves the grid by less than the rest.
_KERNEL_M, _MARGIN_M = 40, 60
#: Below this share of the ground a footprint promises nothing.
_LEAST_PROMISE = 0.02


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
    ('s2', 's1')
    """

    name = "sentinelhub"

    def __init__(
        self, settings: ProviderSettings | None = None, options: SentinelHubOptions = SentinelHubOptions()
    ) -> None:
        self._settings = read_provider_settings(self.name) if settings is None else settings
        self._options = options
        self._lock = threading.Lock()
        self._door: tuple[Addresses, Tokens] | None = None
        self._kept = KeptFetches()
        most = options.max_processing_units
        self._budget = Budget(self._settings.max_processing_units if most is None else most, self.name)

    @property
    def info(self) -> ProviderInfo:
        """What a reader should know before choosing it."""
        where = self._addresses(None)
        return ProviderInfo(
            name=self.name,
            title="Sentinel Hub",
            sensors=("s2", "s1"),
            needs="an account: SH_CLIENT_ID and SH_CLIENT_SECRET, or a profile named in SH_PROFILE",
            endpoints=(where.catalog, where.process, where.token),
            levels=("L2A", "L1C", RADAR_LEVEL),
            displaces=True,
        )

    @property
    def processing_units(self) -> float:
        """Estimate of the processing units asked for so far."""
        return self._budget.spent

    def search(self, query: SearchQuery) -> list[Scene]:
        """Search the catalogue.

        Parameters
        ----------
        query : SearchQuery
            Sentinel-2 of either level, or Sentinel-1 (mode IW, both polarisations, high resolution).

        Returns
        -------
        list of Scene
            One for each acquisition (platform, solar day and relative orbit), sorted by time; of more than
            the limit, the newest.

        Raises
        ------
        CredentialsError
            When there is no account, or it is refused.
        ProviderError
            When the service fails.
        """
        require_offered(self.info, query)
        addresses, _ = self._opened()
        product = product_for(query)
        scenes = scenes_from_features(
            self._features(query, product, addresses),
            query.site,
            product,
            provider=self.name,
            address=addresses.process,
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
        displacement: DisplacementField | None = None,
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
        displacement : DisplacementField, optional
            On the grid, of optical scenes only: what is added to the position of the content.

        Returns
        -------
        Image
            Reflectance of at least 0: the service has no negative numbers. Of radar linear gamma nought,
            without what lies in radar shadow or layover.

        Raises
        ------
        UsageError
            When a band is not offered, radar is to be displaced, or the request would cost more than the
            limit.
        NoOverlapError
            When the scene has no data on the grid.
        CredentialsError
            When the account is refused or its quota is used up.
        ProviderError
            When the service fails, or gives nothing where the footprint promises data.

        Notes
        -----
        The service renders pixels as they are stored when the grid lies in the UTM zone of the tile; they are
        interpolated once then, here, at 10 m and at 20 m each from its own pixels. Across zones the service
        puts them onto the grid's zone before that.
        """
        product = product_of(scene)
        if product.radar and displacement is not None:
            raise UsageError("radar is not moved by a field", todo="leave the displacement out")
        names = product.bands(bands)
        fetch = self._fetched(scene, reached(grid, displacement), product.layers(names), on_received)
        return image_of(fetch, scene, names, grid, displacement)

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Have only what tells clouds rendered, in pixels of 20 m; of radar only where there is data.

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
        names = product_of(scene).glance
        fetch = self._kept.find(scene.id, names, fine)
        return glance_of(
            fetch or self._rendered(scene, fine.zoom_to(resolution=COARSE_M), names), scene, grid
        )

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
            A margin for the interpolation, and the layers that tell what can be used, are in it.
        """
        product = product_of(scene)
        if bands == (SCL,):
            whole, count = fetch_grid(grid, COARSE_M).zoom_to(resolution=COARSE_M), len(product.glance)
        else:
            whole, count = fetch_grid(grid, _MARGIN_M), len(product.layers(product.bands(bands)))
        pieces = [tile for _, tile in tiles(whole)]
        return Estimate(
            requests=len(pieces),
            megabytes=(count + 1) * (4 if product.float32 else 2) * math.prod(whole.shape) / 1e6,
            processing_units=sum(cost(tile, count, product) for tile in pieces),
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

    def _features(self, query: SearchQuery, product: Product, addresses: Addresses) -> list[dict[str, Any]]:
        from sentinelhub.api.catalog import SentinelHubCatalog
        from sentinelhub.constants import CRS
        from sentinelhub.exceptions import BaseSentinelHubException
        from sentinelhub.geometry import BBox

        catalog = SentinelHubCatalog(configuration(addresses))
        catalog.service_url, catalog.client = addresses.catalog, self._client()
        span = (query.start.replace(microsecond=0), query.end.replace(microsecond=0))
        most = query.limit * _FEATURES_PER_SCENE
        # a collection of radar brings filters of its own: IW, both polarisations, high resolution
        clouds = None if product.radar else f"eo:cloud_cover <= {100 * query.max_tile_cloud:g}"
        features: list[dict[str, Any]] = []
        for box in degree_boxes(query.site.geometry.bounds):
            try:
                pages = catalog.search(
                    collection(addresses.base, product),
                    time=span,
                    bbox=BBox(box, CRS.WGS84),
                    filter=clouds,
                    limit=_PAGE,
                )
                features += itertools.islice(pages, most)
            except (*OTHER_SHAPE, RecursionError, BaseSentinelHubException) as error:
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

    def _fetched(
        self, scene: Scene, grid: GeoBox, names: tuple[str, ...], on_received: OnReceived | None
    ) -> Fetch:
        kept = self._kept.find(scene.id, names, fetch_grid(grid, _KERNEL_M))
        if kept is not None:
            return kept
        whole = fetch_grid(grid, _MARGIN_M)
        fetch = self._rendered(scene, whole, names)
        if on_received is not None:
            on_received(fetch.planes.nbytes)
        self._kept.keep(fetch)
        return fetch

    def _rendered(self, scene: Scene, grid: GeoBox, names: tuple[str, ...]) -> Fetch:
        """Have layers rendered on a grid."""
        product, pieces = product_of(scene), list(tiles(grid))
        self._budget.spend(sum(cost(tile, len(names), product) for _, tile in pieces))
        addresses, _ = self._opened()
        asked = [process_request(scene, tile, names, addresses) for _, tile in pieces]
        answers = self._client().download(
            asked, max_threads=min(self._settings.max_parallel, len(asked)), decode_data=False
        )
        kind: type[np.generic] = np.float32 if product.float32 else np.uint16
        planes = np.zeros((len(names) + 1, *grid.shape), kind)
        for (window, tile), answer in zip(pieces, answers, strict=True):
            shape = (len(names) + 1, *tile.shape)
            planes[:, *window] = read_tiff(answer.content, shape, plain_url(addresses.process), kind)
        if not (planes[-1] > 0).any():
            raise _nothing_there(scene, grid)
        everything = (*names, MASK)
        return Fetch(product, scene.id, everything, grid, marked(planes, everything, product))


def _nothing_there(scene: Scene, grid: GeoBox) -> ProviderError | NoOverlapError:
    if promised_share((granule.footprint for granule in scene.granules), grid) > _LEAST_PROMISE:
        return ProviderError(
            "the service gave no data where the footprint promises it", where=scene.id, todo="try again later"
        )
    return NoOverlapError(
        "the scene does not cover any of the ground asked for", where=scene.id, todo="choose another scene"
    )
