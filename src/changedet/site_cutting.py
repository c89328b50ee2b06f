"""A large area cut into sites, each of which one machine compares: how a country becomes a list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.antimeridian import unwrapped
from changedet.errors import OutputError, UsageError
from changedet.providers.cache_files import refuse_existing, write_text
from changedet.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

#: Side of the sites in metres, and how far neighbours reach into each other.
SIDE_M, OVERLAP_M = 20_000.0, 500.0
#: Sides that are cut, in metres: below it is mostly surroundings, above it is a tile of Sentinel-2.
_LEAST_SIDE_M, _MOST_SIDE_M = 1_000.0, 110_000.0
#: More sites are no list that anybody could look through.
_MOST_SITES = 100_000
#: More squares are not looked at in one zone, which a few far islands may take with nothing between them.
_MOST_SQUARES = 2_000_000
#: Width of a UTM zone, and how far beyond it an outline is followed, in degrees.
_ZONE_DEG, _BEYOND_DEG = 6.0, 1.5
#: Edges are followed in such steps when they are projected, so that they lie right within a metre.
_STEP_DEG, _STEP_M = 0.05, 2_000.0
#: Latitudes at which UTM ends.
_SOUTH_DEG, _NORTH_DEG = -80.0, 84.0
#: Digits of a degree that are kept: a centimetre.
_DIGITS = 7


def cut_area(area: Site, *, side_m: float = SIDE_M, overlap_m: float = OVERLAP_M) -> list[Site]:
    """Cut an area into sites of one size that cover it and overlap.

    The squares lie on a grid that does not depend on the area: their corners are multiples of the side in the
    UTM zone they are in. A part of an area gives the same squares, by the same names, as the whole of it, so
    that a list can be made again, larger, and runs go on where they ended. What is at most `overlap_m` wide
    lies whole within one of the sites.

    Parameters
    ----------
    area : Site
        Any outline; its name becomes the folder of the sites.
    side_m : float
        Side of a square in metres, 1 to 110 km.
    overlap_m : float
        How wide the strip is that two neighbours share, in metres; not more than half a side.

    Returns
    -------
    list of Site
        From west to east by zones, in each from south to north; squares at the edge hold what is of the area
        and no more. Never empty.

    Raises
    ------
    UsageError
        When a number is out of range, the area reaches beyond UTM, or it would be more than 100,000 sites.

    Examples
    --------
    >>> box = Site.from_bbox(30.1, 50.0, 30.6, 50.4, name="Area")
    >>> [site.name for site in cut_area(box)][:2], len(cut_area(box))
    (['36-E280-N5540', '36-E300-N5540'], 9)
    """
    import shapely

    _check(area, side_m, overlap_m)
    outline = shapely.make_valid(shapely.segmentize(area.geometry, _STEP_DEG))
    west, _, east, _ = outline.bounds
    sites: list[Site] = []
    for number in range(int((west + 180) // _ZONE_DEG), int(np.ceil((east + 180) / _ZONE_DEG))):
        sites += _sites_of_zone(_Zone(number, outline), area.name, side_m, overlap_m)
    return sites


@dataclass(frozen=True, eq=False)
class _Zone:
    """A UTM zone, counted from 180 degrees west, possibly more than once round, and an outline in degrees."""

    number: int
    outline: BaseGeometry

    @property
    def west_deg(self) -> float:
        """Where it begins."""
        return -180 + _ZONE_DEG * self.number

    @property
    def name(self) -> int:
        """The number that others call it by, 1 to 60."""
        return self.number % 60 + 1

    def part(self, beyond_deg: float) -> BaseGeometry:
        """Return the part of the outline in the zone, and so far beyond it, in metres of the zone."""
        import shapely

        strip = shapely.box(self.west_deg - beyond_deg, -90, self.west_deg + _ZONE_DEG + beyond_deg, 90)
        here = shapely.intersection(self.outline, strip)
        return shapely.make_valid(shapely.transform(here, self._transform(to_metres=True)))

    def in_degrees(self, outlines: list[BaseGeometry]) -> list[BaseGeometry]:
        """Bring outlines in metres of the zone back."""
        import shapely

        fine = shapely.segmentize(np.array(outlines, object), _STEP_M)
        back = shapely.transform(fine, self._transform(to_metres=False))
        middle_deg = self.west_deg + _ZONE_DEG / 2
        return [
            shapely.transform(unwrapped(one, middle_deg), lambda xy: np.round(xy, _DIGITS)) for one in [*back]
        ]

    def _transform(self, *, to_metres: bool) -> Any:  # noqa: ANN401  # what shapely calls
        from pyproj import Transformer

        # one zone on both sides of the equator: south of it northings are negative
        systems = "EPSG:4326", f"EPSG:{32600 + self.name}"
        transformer = Transformer.from_crs(*(systems if to_metres else systems[::-1]), always_xy=True)
        return lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))


def _check(area: Site, side_m: float, overlap_m: float) -> None:
    if not _LEAST_SIDE_M <= side_m <= _MOST_SIDE_M:
        raise UsageError(
            f"sites of {side_m:g} m are not between 1 and 110 km wide", todo="give a side such as 20km"
        )
    if not 0 <= overlap_m <= side_m / 2:
        raise UsageError(
            f"an overlap of {overlap_m:g} m is more than half the side", todo="give one such as 500m"
        )
    _, south, _, north = area.geometry.bounds
    if south < _SOUTH_DEG or north > _NORTH_DEG:
        raise UsageError(f"{area.name} reaches beyond UTM", todo="choose an area between 80 S and 84 N")
    # a lower bound of how many there will be, before any is made
    from changedet.objects import area_m2

    if (about := area_m2(area.geometry) / side_m**2) > _MOST_SITES:
        raise UsageError(
            f"{area.name} would be {about:.0f} sites, and {_MOST_SITES} are the most",
            todo="choose a larger side, or cut the area into parts",
        )


def _sites_of_zone(zone: _Zone, folder: str, side_m: float, overlap_m: float) -> list[Site]:
    """Return the sites whose square holds ground of the zone."""
    import shapely

    own, around = zone.part(0.0), zone.part(_BEYOND_DEG)
    if own.is_empty or not own.area > 0:
        return []
    if np.prod(np.ptp(np.reshape(own.bounds, (2, 2)), axis=0) / side_m) > _MOST_SQUARES:
        raise UsageError(
            f"{folder} is too far spread for sites of {side_m / 1000:g} km", todo="choose a larger side"
        )
    corners = _corners(own.bounds, side_m)
    squares = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + side_m, corners[:, 1] + side_m)
    shapely.prepare(own)
    here = shapely.intersects(own, squares)
    corners, squares = corners[here], squares[here]
    # what is only touched holds no ground
    here = shapely.area(shapely.intersection(own, squares)) > 1.0
    wide = shapely.buffer(squares[here], overlap_m / 2, join_style="mitre")
    parts = zone.in_degrees([_areas_of(part) for part in shapely.intersection(around, wide)])
    return [
        Site(_name(zone.name, corner), part, folder)
        for corner, part in zip(corners[here], parts, strict=True)
    ]


def _corners(bounds: tuple[float, float, float, float], side_m: float) -> NDArray[np.float64]:
    """Return the south-western corners of all squares that bounds touch, (square, 2)."""
    across, up = (
        side_m * np.arange(np.floor(bounds[i] / side_m), np.ceil(bounds[i + 2] / side_m)) for i in (0, 1)
    )
    return np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)


def _areas_of(part: BaseGeometry) -> BaseGeometry:
    """Leave out the points and lines at which an outline only touches a square."""
    import shapely

    pieces = shapely.get_parts(shapely.get_parts([part]))
    flat = [piece for piece in pieces if piece.geom_type in ("Polygon", "MultiPolygon")]
    return flat[0] if len(flat) == 1 else shapely.union_all(flat)


def _name(zone: int, corner: NDArray[np.float64]) -> str:
    """Name a square by its zone and its south-western corner in kilometres."""
    east, north = corner / 1000
    return f"{zone:02d}-E{east:g}-{'N' if north >= 0 else 'S'}{abs(north):g}"


def write_site_list(sites: Sequence[Site], path: str | Path, *, overwrite: bool = False) -> Path:
    """Write sites as GeoJSON, which `changedet.site_lists.read_sites` and every map program read.

    Parameters
    ----------
    sites : sequence of Site
        With their names and folders.
    path : str or Path
        Ends in ``.geojson``.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    UsageError
        When the ending is another one.
    OutputExistsError
        When the file is there and `overwrite` is False.
    OutputError
        When it cannot be written; nothing half-written is left.
    """
    path = Path(path)
    if path.suffix.lower() != ".geojson":
        raise UsageError("a list of sites is written as GeoJSON", where=str(path), todo="end it in .geojson")
    refuse_existing(path, overwrite=overwrite)
    features = ",\n".join(json.dumps(_feature(site), ensure_ascii=False) for site in sites)
    text = '{"type": "FeatureCollection", "features": [\n' + features + "\n]}\n"
    try:
        write_text(path.absolute(), text)
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or 'write error'})",
            where=str(path),
            todo="check the folder and the free space",
        ) from error
    return path


def _feature(site: Site) -> dict[str, Any]:
    described = site.to_dict()
    return {"type": "Feature", "properties": described, "geometry": described.pop("geometry")}
