"""A result without what says where it is, for pictures and reports that are published.

Withheld are positions, the reference system, tiles, identifiers and paths of scenes, the time of day and the
orbit of each acquisition and the place of the sun: each of these tells the place, or most of it, by itself.
Dates, satellites, levels, areas and all that was measured stay. What the pictures show stays too: a coast, a
river or a runway can be recognised, and a published picture can be matched with the archive of its day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from changedet.errors import OutputError
from changedet.output.ground import centre, point_of
from changedet.scene import Asset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import geopandas as gpd
    from affine import Affine
    from odc.geo.geobox import GeoBox

    from changedet.coordinates import GeoPoint
    from changedet.radar.types import RadarEvidence, TrackReport
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

#: What stands in the place of what is left out.
WITHHELD = "withheld"
#: What is said to whoever publishes.
PUBLISH_NOTE = (
    "published may be the plates and the report alone: the rasters, the vectors and run.json of the folder "
    "still say where the site is"
)

#: A reference system of metres whose origin is nowhere: nothing can be turned back into coordinates.
_NOWHERE = (
    'ENGCRS["place withheld",EDATUM["place withheld"],CS[Cartesian,2],AXIS["easting (E)",east],'
    'AXIS["northing (N)",north],LENGTHUNIT["metre",1]]'
)
#: What stands in the place of a name that is a position.
_NAMELESS = "Unnamed site"
#: What a place looks like in any text: degrees with a letter, pairs of decimal degrees, MGRS, tiles, zones;
#: and what gives it away by calculation: times of day, orbits, the sun.
_PLACES = (
    r"\d°\s?[NSEW]\b",
    r"\d°\s?\d+'",
    r"(?<![\d.])-?[1-9]\d?\.\d{3,}[,;\s]+-?[1-9]\d{0,2}\.\d{3,}",
    r"\b\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z]{2}\d{4,10}\b",
    r"(?<![A-Za-z0-9])T\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2}(?![A-Za-z0-9])",
    r"\bEPSG:(?:326|327)\d\d\b",
    r"(?<!\d)20\d{6}T\d{6}",
    r"\b\d\d:\d\d:\d\d\b",
    r"\b(?:orbit|ascending|descending) \d{1,3}\b",
    r"\bsun \d+°",
)
_SHORTEST_ID = 6
#: Pictures in a page, whose letters mean nothing.
_PICTURES = re.compile(r"data:image/[^\"')\s]*")


def published(result: ChangeResult) -> ChangeResult:
    """Return what readers may see of a result: itself, or without its place where it says so."""
    return redacted(result) if result.redact_coordinates else result


def redacted(result: ChangeResult) -> ChangeResult:
    """Return a result that does not say where it is, for plates and reports.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    ChangeResult
        The same pixels and findings on a grid of metres without a place. It cannot be saved as a run folder,
        written as KMZ or brought to longitude and latitude: whatever tries raises an error.

    Raises
    ------
    CrsMismatchError
        When the grid of the result has no reference system.
    """
    from odc.geo.geobox import GeoBox

    from changedet.output.sheet import View

    height_m, width_m = View.whole(result.grid).pixel_m
    grid = GeoBox(result.grid.shape, _turned(result, width_m, height_m), _NOWHERE)
    clean = _cleaner(secrets_of(result))
    before, after = (_image(one, grid, clean) for one in (result.before, result.after))
    pair = replace(
        result.pair,
        before=_image(result.pair.before, grid, clean),
        after=_image(result.pair.after, grid, clean),
        reason=clean(result.pair.reason),
        warnings=tuple(map(clean, result.pair.warnings)),
    )
    return replace(
        result,
        name=_NAMELESS if (name := clean(result.name)) == WITHHELD else name,
        grid=grid,
        objects=_objects(result.objects, result.grid, grid, clean),
        seasonal=None if result.seasonal is None else _objects(result.seasonal, result.grid, grid, clean),
        before=before,
        after=after,
        pair=pair,
        parameters={key: _scrubbed(value, clean) for key, value in result.parameters.items()},
        warnings=tuple(map(clean, result.warnings)),
        refusals=tuple(map(clean, result.refusals)),
        registration=replace(result.registration, reason=clean(result.registration.reason)),
        inputs={"place, scenes and files": f"{WITHHELD} for publication"},
        folder=None,
        redact_coordinates=False,
        radar=None if result.radar is None else _radar(result.radar, grid, clean),
    )


def redacted_record(record: Mapping[str, Any], result: ChangeResult) -> dict[str, Any]:
    """Return what a published report may say of the record of a run.

    Parameters
    ----------
    record : mapping
        What stands in ``run.json``.
    result : ChangeResult
        What `redacted` returned.

    Returns
    -------
    dict
        Versions, limits and the digests of the files of the run; no inputs, no command, no grid.
    """
    from changedet.provenance import limits

    kept = ("schema", "software", "created_utc", "files")
    return {key: record[key] for key in kept if key in record} | {
        "inputs": dict(result.inputs),
        "limits": limits(result),
        "command": None,
    }


def secrets_of(result: ChangeResult) -> frozenset[str]:
    """Return every text that would give away where a result is, as it is written anywhere in its products.

    Parameters
    ----------
    result : ChangeResult
        Before it was redacted.

    Returns
    -------
    frozenset of str
        Positions in each form, identifiers, tiles and paths of scenes, times of day, the reference system.
    """
    found: set[str] = {str(result.grid.crs)}
    points = [centre(result.grid)] + [point_of(row) for row in _rows(result)]
    for point in points:
        found |= _forms(point) if point is not None else set()
    for scene in _all_scenes(result):
        found |= _of_scene(scene)
    return frozenset(text for text in found if len(text) >= _SHORTEST_ID)


def require_redacted(text: str, secrets: frozenset[str], where: str) -> str:
    """Refuse a text that still says where a site is.

    Parameters
    ----------
    text : str
        All the words of a plate or a report; pictures in it are skipped.
    secrets : frozenset of str
        From `secrets_of`.
    where : str
        What is refused, for the message.

    Returns
    -------
    str
        The same text.

    Raises
    ------
    OutputError
        When it holds one of the secrets, or anything that looks like a position or a tile.
    """
    found = _pattern(secrets).search(_PICTURES.sub("", text))
    if found:
        raise OutputError(
            f"nothing was written: it would still say {found.group()!r}",
            where=where,
            todo="give the site a name that says nothing of its place (--name), or publish the plates alone",
        )
    return text


def _cleaner(secrets: frozenset[str]) -> Callable[[str], str]:
    """Return what takes the secrets, and whatever looks like a place, out of a text."""
    pattern = _pattern(secrets)
    return lambda text: pattern.sub(WITHHELD, str(text))


def _pattern(secrets: frozenset[str]) -> re.Pattern[str]:
    """Return what finds the secrets, and whatever looks like a place; digits count where they stand alone."""
    known = [
        rf"(?<![0-9A-Za-z]){one}(?![0-9A-Za-z])" if one.isdecimal() else re.escape(one)
        for one in sorted(secrets, key=len, reverse=True)
    ]
    return re.compile("|".join([*known, *_PLACES]))


def _turned(result: ChangeResult, width_m: float, height_m: float) -> Affine:
    """Return the transform from pixels to metres with true north up, to whole degrees."""
    from affine import Affine

    from changedet.output.ground import north_deg

    turn = float(round(north_deg(result.grid)))
    return Affine.rotation(turn) * Affine.scale(width_m, -height_m)


def _forms(point: GeoPoint) -> set[str]:
    """Return how a point may be written; decimals are cut where further ones may follow."""
    from pyproj import Transformer

    texts = {point.dms, *point.dms.split(" "), point.mgrs, point.dd}
    zone = int((point.lon + 180) // 6 % 60) + 1
    metres = Transformer.from_crs(4326, (32600 if point.lat >= 0 else 32700) + zone, always_xy=True)
    plain = [value for value in (point.lat, point.lon) if abs(value) >= 1]
    texts |= {f"{math.trunc(value * 1e4) / 1e4:.4f}" for value in plain}
    return texts | {f"{round(value)}" for value in metres.transform(point.lon, point.lat)}


def _of_scene(scene: Scene) -> set[str]:
    texts = {scene.id, scene.tile or "", *(one.id for one in scene.granules)}
    texts |= {asset.href for asset in scene.assets.values()}
    if scene.time is not None and not scene.day_only:
        texts |= {scene.time.strftime(form) for form in ("%Y%m%dT%H%M%S", "%H:%M:%S", "%Y-%m-%dT%H:%M")}
    return texts


def _all_scenes(result: ChangeResult) -> Iterator[Scene]:
    scenes = [one.scene for one in (result.before, result.after, result.pair.before, result.pair.after)]
    if result.radar is not None:
        scenes += [result.radar.before.scene, result.radar.after.scene]
        scenes += [scene for one in result.radar.tracks for scene in (*one.before, *one.after)]
    for scene in scenes:
        yield from (scene, *scene.members)


def _rows(result: ChangeResult) -> Iterable[dict[Any, Any]]:
    tables = [result.objects] + ([] if result.seasonal is None else [result.seasonal])
    return [row for table in tables for row in table[["lat", "lon"]].to_dict("records")]


def _scene(scene: Scene, clean: Callable[[str], str]) -> Scene:
    return replace(
        scene,
        id=f"identifier {WITHHELD}",
        day_only=True,
        time_source=clean(scene.time_source),
        relative_orbit=None,
        tile=None,
        sun_elevation_deg=None,
        sun_azimuth_deg=None,
        assets={
            name: Asset(WITHHELD, radiometry=replace(a.radiometry, source=clean(a.radiometry.source)))
            for name, a in scene.assets.items()
        },
        notes=tuple(map(clean, scene.notes)),
        granules=(),
        members=tuple(_scene(member, clean) for member in scene.members),
    )


def _image(image: Image, grid: GeoBox, clean: Callable[[str], str]) -> Image:
    return replace(image, grid=grid, scene=_scene(image.scene, clean))


def _objects(
    table: gpd.GeoDataFrame, old: GeoBox, new: GeoBox, clean: Callable[[str], str]
) -> gpd.GeoDataFrame:
    """Move the outlines to the new grid, and leave out what says where they are."""
    import geopandas as gpd
    import pandas as pd

    matrix = new.transform * ~old.transform
    moved = table.geometry.affine_transform([*matrix[:2], *matrix[3:5], matrix[2], matrix[5]])
    told = {
        name: [clean(text) for text in table[name]]
        for name in ("evidence", "warnings")
        if name in table.columns
    }
    days = {name: [str(text)[:10] for text in table[name]] for name in ("first_seen", "last_seen_before")}
    blank = dict.fromkeys(("dms", "mgrs", "before_scenes", "after_scenes"), WITHHELD)
    plain = pd.DataFrame(table.drop(columns="geometry")).assign(
        lat=math.nan, lon=math.nan, **blank, **told, **days
    )
    return gpd.GeoDataFrame(plain, geometry=moved.set_crs(_NOWHERE, allow_override=True))


def _radar(radar: RadarEvidence, grid: GeoBox, clean: Callable[[str], str]) -> RadarEvidence:
    return replace(
        radar,
        grid=grid,
        before=_image(radar.before, grid, clean),
        after=_image(radar.after, grid, clean),
        tracks=tuple(_track(one, clean) for one in radar.tracks),
        warnings=tuple(map(clean, radar.warnings)),
    )


def _track(one: TrackReport, clean: Callable[[str], str]) -> TrackReport:
    return replace(
        one,
        track=replace(one.track, relative_orbit=None),
        before=tuple(_scene(scene, clean) for scene in one.before),
        after=tuple(_scene(scene, clean) for scene in one.after),
        note=clean(one.note),
    )


def _scrubbed(value: object, clean: Callable[[str], str]) -> object:
    """Clean the texts of nested mappings and sequences."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(inner, clean) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(inner, clean) for inner in value]
    return value
