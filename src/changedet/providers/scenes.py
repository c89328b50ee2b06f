"""From granules to scenes: what belongs together, what is there twice, what comes first."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from changedet.antimeridian import footprint_outline, near
from changedet.providers.facts import baseline_pair
from changedet.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from changedet.providers.items import Found
    from changedet.site import Site

#: The earth turns this far in an hour.
_DEG_PER_HOUR = 15.0
#: A collection whose name begins so holds no real imagery, which every product has to say.
SIMULATED = "simulated-"


def assemble_scenes(found: Sequence[Found], site: Site, provider: str) -> list[Scene]:
    """Make scenes of granules.

    Granules of one platform, solar day and relative orbit are one scene, and those of one pass where an item
    says which (`Found.pass_key`). Of one tile, granules whose
    datastrips start at the same time are processings of the same pixels: the highest baseline is kept, then
    the newest. Granules of different datastrips are parts of one acquisition and are all kept.

    Parameters
    ----------
    found : sequence of Found
        In any order, without those of other places.
    site : Site
        Decides solar day, zone and coverage.
    provider : str
        Name that the scenes carry.

    Returns
    -------
    list of Scene
        Sorted by time; granules in the zone of the site first, then those with least nodata, then those of
        the highest baseline.
    """
    groups: dict[tuple[str, date | str, int | None], list[Found]] = {}
    for one in found:
        key = (one.platform, one.pass_key or _solar_day(one, site), one.relative_orbit)
        groups.setdefault(key, []).append(one)
    scenes = [_scene(_in_order(_without_twins(group), site), site, provider) for group in groups.values()]
    return sorted(scenes, key=lambda scene: (str(scene.time), scene.id))


def _solar_day(one: Found, site: Site) -> date:
    return (one.granule.time + timedelta(hours=site.centroid.lon / _DEG_PER_HOUR)).date()


def acquisition_key(one: Found) -> tuple[str | None, str]:
    """Return what two processings of the same pixels have in common: tile and start of the datastrip."""
    granule = one.granule
    return granule.tile, granule.datastrip_start or granule.id


def _without_twins(group: Sequence[Found]) -> list[Found]:
    best: dict[tuple[str | None, str], Found] = {}
    for one in sorted(group, key=_newness):
        best[acquisition_key(one)] = one
    return list(best.values())


def _newness(one: Found) -> tuple[tuple[int, int], str, str]:
    return _baseline(one), one.generated or one.granule.updated or "", one.granule.id


def _baseline(one: Found) -> tuple[int, int]:
    baseline = one.granule.baseline
    return baseline_pair(baseline, where=one.granule.id) if baseline else (0, 0)


def _in_order(group: Sequence[Found], site: Site) -> list[Found]:
    epsg = site.epsg

    def _rank(one: Found) -> tuple[bool, float, tuple[int, int], str]:
        share = one.granule.nodata_share
        major, minor = _baseline(one)
        # where nobody says which are twins, the newest processing speaks for the scene
        return one.granule.epsg != epsg, 0.5 if share is None else share, (-major, -minor), one.granule.id

    return sorted(group, key=_rank)


def _scene(group: Sequence[Found], site: Site, provider: str) -> Scene:
    first = group[0]
    granules = tuple(one.granule for one in group)
    collections = dict.fromkeys(g.collection for g in granules if g.collection)
    tiles = dict.fromkeys(g.tile for g in granules if g.tile)
    assumed = {a.radiometry.source for g in granules for a in g.assets.values() if a.radiometry.assumed}
    return Scene(
        id=first.granule.id,
        provider=provider,
        level=first.level,
        platform=first.platform,
        time=min(g.time for g in granules),
        time_source="the catalogue",
        processing_baseline=first.granule.baseline,
        relative_orbit=first.relative_orbit,
        tile=" ".join(tiles) or None,
        sun_elevation_deg=_number(first.sun_elevation_deg),
        sun_azimuth_deg=_number(first.sun_azimuth_deg),
        assets=first.granule.assets,
        notes=(*first.notes, *(f"scale and offset {text}" for text in sorted(assumed))),
        collection=" ".join(collections) or None,
        orbit_state=first.orbit_state,
        granules=granules,
        coverage=_coverage(granules, site),
        tile_cloud_share=_cloud_share(group),
        simulated=any(name.startswith(SIMULATED) for name in collections),
    )


def _number(value: Any) -> float | None:  # noqa: ANN401  # out of JSON
    return None if value is None else float(value)


def _cloud_share(group: Sequence[Found]) -> float | None:
    """Return the mean of the granules, each by how much of its tile it has."""
    pairs = [
        (one.cloud_share, 1.0 - (one.granule.nodata_share or 0.0) + 1e-6)
        for one in group
        if one.cloud_share is not None
    ]
    if not pairs:
        return None
    return round(sum(share * weight for share, weight in pairs) / sum(weight for _, weight in pairs), 6)


def _coverage(granules: Sequence[Any], site: Site) -> float | None:
    import shapely

    outlines = [outline for g in granules if (outline := footprint_outline(g.footprint)) is not None]
    if not outlines:
        return None
    middle_deg = float(site.geometry.centroid.x)
    everywhere = shapely.union_all([near(one, middle_deg) for one in outlines])
    return round(float(everywhere.intersection(site.geometry).area / site.geometry.area), 6)
