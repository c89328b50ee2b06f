"""Maps of layover, shadow and incidence that lie beside local radar: what they hide, and of which passes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.masking import unclassified
from changedet.providers.radar import geometry_note, seen_at_angle
from changedet.providers.rasters import read_window
from changedet.resample import resample, source_window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.rasters import RasterHeader
    from changedet.radar.types import Track
    from changedet.scene import Image

_NAME = re.compile(
    r"(?:^|[ _-])(?:(?P<bits>ls[ _-]?map)"
    r"|(?P<codes>(?:layover[ _-]?)?shadow(?:[ _-]?(?:mask|map))?|mask)"
    r"|(?P<angle>(?:local[ _-]?)?incidence[ _-]?angle(?:[ _-]?map)?|inc[ _-]?map(?:[ _-]?ell)?|lia))$",
    re.IGNORECASE,
)
_BURST = re.compile(r"T\d{3}-\d{6}-IW\d", re.IGNORECASE)
#: Codes of layover, shadow and both, whichever of the first two means which; 0 is neither, others no data.
_HIDDEN_CODES = (1, 2, 3)
#: Of the bits of GAMMA's maps the first only says that a pixel was tested; all others are layover or shadow.
_HIDDEN_BITS = 0b11110
#: No angle is larger than this in radians; one of degrees that is not larger anywhere would be a nadir view.
_MOST_RADIANS = 3.2


class MapKind(StrEnum):
    """How a map says what the radar does not see."""

    #: 0 seen, 1 to 3 layover or shadow: OPERA, ISCE, SNAP.
    CODES = "codes"
    #: Sums of bits: the ``ls_map`` of GAMMA and of HyP3.
    BITS = "bits"
    #: Angle between line of sight and ground, in degrees or radians.
    ANGLE = "angle"


def map_kind(path: Path) -> MapKind | None:
    """Tell by its name how a file maps the geometry of radar.

    Parameters
    ----------
    path : Path
        Of a raster.

    Returns
    -------
    MapKind or None
        None when its name does not end as those of such maps do.

    Examples
    --------
    >>> from pathlib import Path
    >>> map_kind(Path("S1A_IW_20230101T051200_DVP_RTC30_G_gpuned_1A2B_ls_map.tif")).value
    'bits'
    >>> map_kind(Path("S1A_IW_20230101T051200_DVP_RTC30_G_gpuned_1A2B_VV.tif")) is None
    True
    """
    found = _NAME.search(path.stem)
    return None if found is None or found.lastgroup is None else MapKind(found.lastgroup)


def name_without_map(path: Path) -> str:
    """Return what is left of the name of a map: that of its pass, where it is the map of one.

    Examples
    --------
    >>> from pathlib import Path
    >>> name_without_map(Path("T137-292319-IW2_20211119_mask.tif"))
    'T137-292319-IW2 20211119'
    """
    return " ".join(_NAME.sub("", path.stem).replace("_", " ").split())


@dataclass(frozen=True, eq=False)
class GeometryMap:
    """A map of what radar does not see.

    Attributes
    ----------
    header : RasterHeader
        Its file.
    kind : MapKind
        How it says it.
    stem : str
        From `name_without_map`.
    track : Track
        As far as names and tags state it.
    """

    header: RasterHeader
    kind: MapKind
    stem: str
    track: Track

    def holds_for(self, path: Path, track: Track) -> bool:
        """Tell whether a map that names no pass holds for the file of a pass.

        Parameters
        ----------
        path : Path
            Of the pass: in the folder of the map, or in one within it.
        track : Track
            Of the pass.

        Returns
        -------
        bool
            False also when track or burst are stated and others.
        """
        own = _BURST.search(self.header.path.stem), _BURST.search(path.stem)
        if own[0] and own[1] and own[0][0].upper() != own[1][0].upper():
            return False
        orbits = {self.track.relative_orbit, track.relative_orbit} - {None}
        states = {self.track.orbit_state, track.orbit_state} - {"unknown"}
        return len(orbits) < 2 and len(states) < 2 and path.is_relative_to(self.header.path.parent)

    def hidden(self, grid: GeoBox) -> NDArray[np.bool_]:
        """Read where radar does not see the ground.

        Parameters
        ----------
        grid : GeoBox
            Any; the nearest pixel of the map counts.

        Returns
        -------
        ndarray of bool, shape (y, x)
            False where the map says nothing.

        Raises
        ------
        InputFileError
            When the file is damaged.
        """
        window = source_window(self.header.grid, grid)
        if window is None:
            return np.zeros(tuple(grid.shape), bool)
        numbers = read_window(self.header.path, self.header.indexes[0], window).astype(np.float32)
        if self.header.nodata[0] is not None:
            numbers[numbers == self.header.nodata[0]] = np.nan
        codes = self._hides(numbers).astype(np.uint8)
        return np.asarray(resample(codes, self.header.grid[window], grid, method="nearest") > 0)

    def _hides(self, numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
        known = np.isfinite(numbers)
        whole = np.where(known, numbers, 0).astype(np.int64)
        if self.kind is MapKind.CODES:
            return np.isin(whole, _HIDDEN_CODES)
        if self.kind is MapKind.BITS:
            return np.asarray((whole & _HIDDEN_BITS) > 0)
        radians = np.nanmax(numbers, initial=0.0) <= _MOST_RADIANS
        angle_deg = np.degrees(numbers) if radians else numbers
        # an angle of just 0 is ground that nobody computed
        return np.asarray(known & (numbers != 0) & ~seen_at_angle(angle_deg))


def maps_of(
    maps: Sequence[GeometryMap], passes: Sequence[tuple[Path, str, Track]]
) -> list[tuple[GeometryMap, ...]]:
    """Say which maps hold for which files of passes.

    A map belongs to the pass whose name it has, the one in its folder before others. One that has the name
    of none, such as that of a track or of a burst, holds for all passes in its folder and in those within.

    Parameters
    ----------
    maps : sequence of GeometryMap
    passes : sequence of (Path, str, Track)
        File, name without the polarisation, and track of each.

    Returns
    -------
    list of tuple of GeometryMap
        For each file of a pass.
    """
    names = {stem for _, stem, _ in passes}
    places = {(path.parent, stem) for path, stem, _ in passes}

    def _holds(one: GeometryMap, path: Path, stem: str, track: Track) -> bool:
        folder = one.header.path.parent
        if one.stem in names:
            return one.stem == stem and (folder == path.parent or (folder, stem) not in places)
        return one.holds_for(path, track)

    return [tuple(one for one in maps if _holds(one, *each)) for each in passes]


def without_hidden(image: Image, maps: Sequence[GeometryMap]) -> Image:
    """Take from a pass what radar does not see: it is then not observed.

    Parameters
    ----------
    image : Image
        A pass.
    maps : sequence of GeometryMap
        That hold for it.

    Returns
    -------
    Image
        The same when there are no maps; else with a note of how much of its ground is hidden.
    """
    if not maps:
        return image
    hidden = np.logical_or.reduce([one.hidden(image.grid) for one in maps])
    seen = image.valid & ~hidden
    note = geometry_note(hidden, image.valid)
    scene = replace(image.scene, notes=(*image.scene.notes, *note))
    data = np.where(hidden, np.float32(np.nan), image.data)
    return replace(image, data=data, valid=seen, classes=unclassified(seen), scene=scene)
