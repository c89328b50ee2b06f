"""``changedet search``: list the scenes of a place and a period."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit, say
from changedet.cli.detect import choose_site, required_site
from changedet.cli.tables import table
from changedet.errors import NoUsableImageryError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from changedet.access.selection import Look
    from changedet.investigation import Investigation
    from changedet.providers.base import Level, Sensor
    from changedet.scene import Scene
    from changedet.site import Site

#: Columns that only ``-v`` shows; the first is longer than all others together.
_SOURCE, _SUN = "source of the offset", "sun"
#: Where a line would become longer, identifiers and reasons stand below it.
_LONGEST_LINE = 119
Period = Annotated[
    str,
    typer.Option("--period", help="Such as 2024-05, 2024-05/2024-07 or 2024-05/.. (open).", metavar="A/B"),
]
Limit = Annotated[
    int, typer.Option("--limit", help="Most scenes that are listed; of more, the newest.", min=1)
]
Near = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--near", help="Date of the partner: shows how far apart in the year each date lies.",
                 metavar="DATE"),
]  # fmt: skip
LookAt = Annotated[
    bool,
    typer.Option("--look", help="Look at the site on each date: reads the classifications, nothing else."),
]


def search(
    *,
    period: Period,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    provider: options.ProviderName = "earth-search",
    sensor: options.SensorName = "s2",
    level: options.LevelName = "L2A",
    max_tile_cloud: options.MaxTileCloud = 0.9,
    min_clear: options.MinClear = 0.8,
    max_season_gap: options.MaxSeasonGap = 45,
    near: Near = None,
    look: LookAt = False,
    max_pu: options.MaxUnits = None,
    cache: options.Cache = None,
    limit: Limit = 200,
    as_json: options.AsJson = False,
    verbose: options.Verbose = 0,
) -> None:
    """List the scenes of a place and a period, and why some would not be used; no reflectance is fetched."""
    from changedet.access.fetching import SceneQuery, find_scenes
    from changedet.access.selection import SelectionRules
    from changedet.investigation import AccessOptions, Investigation
    from changedet.progress import Silent
    from changedet.providers.tracked import open_tracked

    site = required_site(choose_site(at, radius, bbox, aoi, name))
    rules = SelectionRules(min_clear_share=min_clear, max_season_gap_days=max_season_gap)
    access = AccessOptions(rules, max_tile_cloud, cache, max_pu)
    if near is not None:
        _moment(near)
    # which of both dates comes first is no matter here
    asked = Investigation(period, period, provider, access=access)
    query = SceneQuery(period, *checked_product(sensor, level), max_tile_cloud=1.0, limit=limit)
    opened = open_tracked(provider, cache, max_pu, Silent())
    scenes = find_scenes(site, query, opened)
    looks: dict[str, Look] = {}
    if look:
        from changedet.access.looking import look_at_all

        looks = {one.scene.id: one for one in look_at_all(site, scenes, opened, Silent())}
    listed = [_listed(scene, asked, near, looks.get(scene.id)) for scene in scenes]
    lines = [] if as_json else _lines(listed, verbose=verbose > 0)
    _print(site, listed, asked, lines)


def checked_product(sensor: str, level: str) -> tuple[Sensor, Level]:
    """Return sensor and level as the package knows them.

    Raises
    ------
    UsageError
        When it does not know them.
    """
    sensors: dict[str, Sensor] = {"s2": "s2", "s1": "s1"}
    levels: dict[str, Level] = {"L2A": "L2A", "L1C": "L1C"}
    if sensor.lower() not in sensors:
        raise UsageError(f"there is no sensor {sensor!r}", where="--sensor", todo="use s2 or s1")
    if level.upper() not in levels:
        raise UsageError(f"there is no level {level!r}", where="--level", todo="use L2A or L1C")
    return sensors[sensor.lower()], levels[level.upper()]


@dataclass(frozen=True)
class _Listed:
    """A scene in the list."""

    scene: Scene
    gap_days: int | None
    look: Look | None
    rejected: str

    def row(self) -> dict[str, str]:
        """Return the cells by the heads of their columns."""
        scene = self.scene
        shown = scene.assets.get("B04") or scene.assets.get("VV")
        radiometry = shown.radiometry if shown else None
        seen = self.look if self.look and not self.look.rejected else None
        return {
            "date": re.sub(r":\d\dZ$", "Z", scene.time_text),
            "sat": scene.platform.replace("Sentinel-", "S"),
            "orbit": "-" if scene.relative_orbit is None else f"{scene.relative_orbit}",
            "cloud": _percent(scene.tile_cloud_share),
            "cover": _percent(scene.coverage),
            _SUN: "-" if scene.sun_elevation_deg is None else f"{scene.sun_elevation_deg:.0f}",
            "gap": "-" if self.gap_days is None else f"{self.gap_days}",
            "clear": _percent(seen.clear_share if seen else None),
            "snow": _percent(seen.snow_share if seen else None),
            "baseline": scene.processing_baseline or "-",
            "offset": f"{radiometry.offset:g}" if radiometry and scene.sensor != "s1" else "-",
            "why rejected": self.rejected or "-",
            "id": scene.id,
            _SOURCE: f"{scene.collection or scene.provider}, "
            f"{radiometry.source if radiometry else 'not stated'}",
        }

    def feature(self) -> dict[str, Any]:
        """Return it as a GeoJSON Feature; `changedet.scene.Scene.from_dict` reads its properties."""
        found = None
        if self.look is not None and not self.look.rejected:
            found = {name: v for name, v in self.look.to_dict().items() if name.endswith("_share")}
        said = {"season_gap_days": self.gap_days, "rejected": self.rejected or None, "over_the_site": found}
        properties = self.scene.to_dict() | said
        return {"type": "Feature", "id": self.scene.id, "geometry": _outline(self.scene),
                "properties": properties}  # fmt: skip


def _listed(scene: Scene, asked: Investigation, near: str | None, look: Look | None) -> _Listed:
    from changedet.access.candidates import MIN_COVERAGE
    from changedet.pairing import season_gap_days

    rules, reasons = asked.access.rules, []
    gap = None if near is None else season_gap_days(scene.time, _moment(near))
    if scene.coverage is not None and scene.coverage < MIN_COVERAGE:
        reasons.append("does not cover the site")
    if (scene.tile_cloud_share or 0.0) > asked.access.max_tile_cloud:
        reasons.append("too cloudy over the tile")
    if look is not None and look.rejected:
        reasons.append(f"cannot be looked at: {look.rejected}")
    elif look is not None and look.clear_share < rules.min_clear_share:
        reasons.append("too cloudy over the site")
    if gap is not None and gap > rules.max_season_gap_days:
        reasons.append("season gap")
    return _Listed(scene, gap, look, ", ".join(reasons))


def _moment(text: str) -> datetime:
    from changedet.periods import parse_period

    period = parse_period(text)
    return period.start + (period.end - period.start) / 2


def _lines(listed: list[_Listed], *, verbose: bool) -> list[str]:
    """Return the scenes as a table; a column in which nothing stands says nothing and is left out."""
    rows = [one.row() for one in listed]
    more = () if verbose else (_SOURCE, _SUN)
    heads = [head for head in rows[0] if head not in more and any(row[head] != "-" for row in rows)]
    lines = table([heads, *([row[head] for head in heads] for row in rows)])
    if verbose or max(map(len, lines)) <= _LONGEST_LINE:
        return lines
    below = [head for head in heads if head in {"why rejected", "id"}]
    above = [head for head in heads if head not in below]
    head, *others = table([above, *([row[head] for head in above] for row in rows)])
    lines = [head]
    for line, row in zip(others, rows, strict=True):
        told = (row[head] for head in reversed(below) if row[head] != "-")
        lines += [line, "  ".join(["", *told])]
    return lines


def _print(site: Site, listed: list[_Listed], asked: Investigation, lines: list[str]) -> None:
    """Print lines, or without any the document."""
    as_json = not lines
    document = _collection(site, listed)
    usable = sum(not one.rejected for one in listed)
    if usable:
        emit(document, lines, as_json=as_json)
        if not as_json:
            clouds = "" if listed[0].scene.sensor == "s1" else "cloud is that of the whole tile, "
            say(
                f"{len(listed)} scene(s) of {site.name} from {asked.provider}, {usable} of use; {clouds}"
                "cover is the share of the site inside the footprints"
            )
        return
    if not as_json:
        emit(document, lines, as_json=False)
    raise NoUsableImageryError(
        f"none of {len(listed)} scene(s) of {site.name} from {asked.provider} is of use "
        f"({', '.join(dict.fromkeys(one.rejected for one in listed))})",
        todo="choose a longer period, a higher --max-tile-cloud, or another --provider",
        details=document,
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _collection(site: Site, listed: list[_Listed]) -> dict[str, Any]:
    """Return the scenes as a GeoJSON FeatureCollection, their footprints as geometries."""
    return {
        "type": "FeatureCollection",
        "site": site.to_dict(),
        "features": [one.feature() for one in listed],
    }


def _outline(scene: Scene) -> dict[str, Any] | None:
    import shapely
    from shapely.geometry import mapping, shape

    outlines = [shapely.make_valid(shape(dict(g.footprint))) for g in scene.granules if g.footprint]
    return dict(mapping(shapely.union_all(outlines))) if outlines else None
