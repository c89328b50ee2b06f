"""From features of Sentinel Hub's catalogue to scenes: one for each acquisition of a site."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.errors import ProviderError
from changedet.json_texts import OTHER_SHAPE, parse_geometry
from changedet.providers.items import Found, share_of, text_of
from changedet.providers.radar import radar_found
from changedet.providers.scenes import assemble_scenes
from changedet.scene import Granule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from changedet.providers.sentinel_hub_products import Product
    from changedet.scene import Asset, Scene
    from changedet.site import Site

_PRODUCT = re.compile(
    r"S2(?P<unit>[A-Z])_MSIL(?:1C|2A)_\d{8}T\d{6}_N(?P<baseline>\d{4})_R(?P<orbit>\d{3})_(?P<tile>T\w{5})_(?P<made>\d{8}T\d{6})"
)
#: Tiles of one pass are timed apart by less than this; another pass comes much later.
_PASS_SLACK = timedelta(minutes=1)


def scenes_from_features(
    features: Iterable[Mapping[str, Any]],
    site: Site,
    product: Product,
    *,
    provider: str,
    address: str,
    where: str,
) -> list[Scene]:
    """Group catalogue features to acquisitions, see `changedet.providers.scenes.assemble_scenes`.

    Parameters
    ----------
    features : iterable of mapping
        GeoJSON features as the catalogue gives them; one that comes twice counts once.
    site : Site
        Features whose footprint does not cover any of it are left out.
    product : Product
        What the service renders of them, the same for every scene.
    provider : str
        Name that the scenes carry.
    address : str
        Where it is rendered.
    where : str
        Address of the catalogue, for errors.

    Returns
    -------
    list of Scene
        Sorted by time.

    Raises
    ------
    ProviderError
        When a feature lacks what every feature has.
    """
    assets, problem = product.assets(address), ""
    try:
        every = [_found(feature, product, assets) for feature in features]
    except OTHER_SHAPE as error:
        problem = type(error).__name__
    if problem:
        raise ProviderError(
            f"the catalogue describes a scene in a way that is not understood ({problem})",
            where=where,
            todo="choose another provider meanwhile",
        )
    once = {one.granule.id: one for one in every}
    return [scene for scene in assemble_scenes(list(once.values()), site, provider) if scene.coverage]


def time_span(scene: Scene) -> tuple[datetime, datetime]:
    """Return the interval in UTC that holds all granules of a scene and no other pass."""
    times = [granule.time for granule in scene.granules] or [scene.time or datetime.now(UTC)]
    return min(times) - _PASS_SLACK, max(times) + _PASS_SLACK


def _found(feature: Mapping[str, Any], product: Product, assets: Mapping[str, Asset]) -> Found:
    if parse_geometry(feature["geometry"]).is_empty:
        raise ValueError("a footprint is empty")
    if product.radar:
        return radar_found(feature, assets, product.notes)
    about, name = feature["properties"], str(feature["id"])
    said = _PRODUCT.match(name)
    epsg, platform = about.get("proj:epsg"), about.get("platform")
    granule = Granule(
        id=name,
        collection=text_of(feature.get("collection")),
        tile=said["tile"] if said else None,
        time=datetime.fromisoformat(about["datetime"]),
        baseline=f"{said['baseline'][:2]}.{said['baseline'][2:]}" if said else None,
        updated=said["made"] if said else None,
        epsg=None if epsg is None else int(epsg),
        footprint=MappingProxyType(dict(feature["geometry"])),
        assets=assets,
    )
    return Found(
        granule=granule,
        platform=f"Sentinel-2{said['unit']}" if said else str(platform or "unknown").title(),
        relative_orbit=int(said["orbit"]) if said else about.get("sat:relative_orbit"),
        cloud_share=share_of(about.get("eo:cloud_cover")),
        generated=said["made"] if said else "",
        level=product.level,
        notes=product.notes,
    )
