"""``changedet search``: list the scenes of a place and a period."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit, say
from changedet.cli.detect import choose_site, required_site
from changedet.errors import NoUsableImageryError

if TYPE_CHECKING:
    from changedet.scene import Scene
    from changedet.site import Site

Period = Annotated[
    str,
    typer.Option("--period", help="Such as 2024-05, 2024-05/2024-07 or 2024-05/.. (open).", metavar="A/B"),
]
Limit = Annotated[
    int, typer.Option("--limit", help="Most scenes that are listed; of more, the newest.", min=1)
]
_HEAD = ("date", "platform", "orbit", "cloud", "cover", "baseline", "offset", "source of the offset")


def search(
    *,
    period: Period,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    provider: options.ProviderName = "earth-search",
    max_tile_cloud: options.MaxTileCloud = 0.9,
    limit: Limit = 200,
    as_json: options.AsJson = False,
) -> None:
    """List the scenes of a place and a period; no pixels are fetched."""
    from changedet.periods import parse_period
    from changedet.providers.base import SearchQuery
    from changedet.providers.registry import open_provider

    site = required_site(choose_site(at, radius, bbox, aoi, name))
    span = parse_period(period)
    query = SearchQuery(site, span.start, span.end, max_tile_cloud=max_tile_cloud, limit=limit)
    scenes = open_provider(provider).search(query)
    if not scenes:
        raise NoUsableImageryError(
            f"{provider} has no scene of {site.name} in {period} with at most {max_tile_cloud:.0%} cloud "
            "over its tile",
            todo="choose a longer period, a higher --max-tile-cloud, or another --provider",
        )
    lines = _table([_HEAD, *(_row(scene) for scene in scenes)])
    emit(_collection(site, scenes), lines, as_json=as_json)
    if not as_json:
        say(
            f"{len(scenes)} scene(s) of {site.name} from {provider}; cloud is that of the whole tile, "
            "cover is the share of the site inside the footprints"
        )


def _row(scene: Scene) -> tuple[str, ...]:
    radiometry = scene.assets["B04"].radiometry if "B04" in scene.assets else None
    return (
        scene.time_text,
        scene.platform,
        "-" if scene.relative_orbit is None else f"{scene.relative_orbit}",
        _percent(scene.tile_cloud_share),
        _percent(scene.coverage),
        scene.processing_baseline or "-",
        f"{radiometry.offset:g}" if radiometry else "-",
        f"{scene.collection or scene.provider}, {radiometry.source if radiometry else 'not stated'}",
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in padded]


def _collection(site: Site, scenes: list[Scene]) -> dict[str, Any]:
    """Return the scenes as a GeoJSON FeatureCollection, their footprints as geometries."""
    return {
        "type": "FeatureCollection",
        "site": site.to_dict(),
        "features": [
            {"type": "Feature", "id": scene.id, "geometry": _outline(scene), "properties": scene.to_dict()}
            for scene in scenes
        ],
    }


def _outline(scene: Scene) -> dict[str, Any] | None:
    import shapely
    from shapely.geometry import mapping, shape

    outlines = [shapely.make_valid(shape(dict(g.footprint))) for g in scene.granules if g.footprint]
    return dict(mapping(shapely.union_all(outlines))) if outlines else None
