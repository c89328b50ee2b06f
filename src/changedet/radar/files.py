"""Local files of radar: which of them are passes, of which track and date, and in which unit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.bands import RADAR_BANDS
from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.hashing import sha256_file
from changedet.providers.facts import facts_from_tags, stated_time
from changedet.providers.layers import Layer, resolution_m
from changedet.providers.local_names import BAND_FILE_SUFFIXES
from changedet.providers.radar import RADAR_LEVEL, fuse_radar, gamma_nought, relative_orbit
from changedet.providers.rasters import RasterHeader, read_header, read_window
from changedet.radar.geometry import GeometryMap, MapKind, map_kind, maps_of, name_without_map, without_hidden
from changedet.radar.types import RadarInput, RadarPasses, RadarSettings, Track
from changedet.scale.memory import require_memory
from changedet.scene import Asset, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.facts import Stated
    from changedet.providers.layers import Reader
    from changedet.scene import Image

Unit = Literal["linear", "db"]

#: How files are named, for error texts.
NAMES_UNDERSTOOD = "*_VV.tif and *_VH.tif, or one file with bands described as VV and VH"

_POLARISATION = re.compile(r"(?<![A-Za-z0-9])(VV|VH)(?![A-Za-z0-9])", re.IGNORECASE)
_TIME = re.compile(r"(?<!\d)((?:19|20)\d{6}T\d{6})(?!\d)")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?([01]\d)[-_]?([0-3]\d)(?!\d)")
_PRODUCT = re.compile(
    r"S1(?P<unit>[A-D])_\w{2}_.*?_(?P<start>\d{8}T\d{6})_\d{8}T\d{6}_(?P<orbit>\d{6})", re.IGNORECASE
)
_PLATFORM = re.compile(r"(?<![A-Za-z0-9])S(?:entinel-?)?1(?P<unit>[A-D])(?![A-Za-z0-9])", re.IGNORECASE)
_STATE = re.compile(r"(?<![A-Za-z])(?P<word>asc|desc)(?:ending)?(?![A-Za-z])", re.IGNORECASE)
_ORBIT = re.compile(
    r"(?<![A-Za-z0-9])(?:[TR](?P<short>\d{3})|(?:track|orbit|relorb|asc|desc|ascending|descending)"
    r"[- ]?(?P<long>\d{1,3}))(?!\d)",
    re.IGNORECASE,
)
#: Folders whose names are numbers: a year, and months or days within it, which are no tracks.
_YEAR, _OF_A_DATE = re.compile(r"(?:19|20)\d\d"), re.compile(r"0?[1-9]|[12]\d|3[01]")
_LAST_ORBIT = 175
#: Share of stored numbers below 0 from which they cannot be power.
_MOST_NEGATIVE = 0.01
#: Polarisations are held with less for each pixel than the images for which memory is reckoned.
_PLANES_PER_BAND = 8
#: Numbers that must be there before it is said that none of them is a decibel: a few may all be bright.
_LEAST_DECIBELS = 100


@dataclass(frozen=True)
class RadarNumbers:
    """How stored numbers become power: ``value = number * scale + offset``, linear or in decibels.

    Attributes
    ----------
    unit : {"linear", "db"}
        What the value is.
    scale, offset : float
        Taken first.
    """

    unit: Unit = "linear"
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.unit not in ("linear", "db"):
            raise UsageError(f"unknown unit of radar {self.unit!r}", todo="choose linear or db")
        if not (np.isfinite([self.scale, self.offset]).all() and self.scale != 0):
            raise UsageError("the scale of radar must not be 0, and scale and offset must be numbers")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {"unit": self.unit, "scale": self.scale, "offset": self.offset}

    def power(self, numbers: NDArray[Any], nodata: float | None) -> NDArray[np.float32]:
        """Turn stored numbers into linear power.

        Parameters
        ----------
        numbers : ndarray
            As stored.
        nodata : float or None
            The number that means "no data"; power of 0 always does, minus infinity of decibels with it, and
            decibels of just 0 that are stored as fractions and not scaled.

        Returns
        -------
        ndarray of float32, same shape
            NaN = no data.

        Examples
        --------
        >>> RadarNumbers("db", 30, -25).power(np.array([0.5, 0.0]), 0.0).round(3).tolist()
        [0.10000000149011612, nan]
        """
        values = numbers.astype(np.float64) * self.scale + self.offset
        if self.unit == "db":
            # fractions hardly ever make just 0 dB; whole or scaled numbers may
            plain = np.issubdtype(numbers.dtype, np.floating) and (self.scale, self.offset) == (1, 0)
            values = np.where(plain & (values == 0), 0, 10 ** (values / 10))
        power = values.astype(np.float32)
        power[power == 0] = np.nan
        if nodata is not None and not np.isnan(nodata):
            power[numbers == nodata] = np.nan
        return power


_LINEAR, _DEFAULT_SETTINGS = RadarNumbers(), RadarSettings()


@dataclass(frozen=True, eq=False)
class RadarFile:
    """One raster and what it says of itself: polarisations by name, geometry, satellite, time; its maps."""

    header: RasterHeader
    bands: Mapping[str, int]
    track: Track
    platform: str
    time: Stated | None
    stem: str
    simulated: bool
    maps: tuple[GeometryMap, ...] = ()


def open_radar_files(
    before: Path,
    after: Path,
    numbers: RadarNumbers = _LINEAR,
    settings: RadarSettings = _DEFAULT_SETTINGS,
) -> RadarFiles:
    """Find the passes in local files, without reading their pixels.

    A file is a pass, or one polarisation of it when its name holds VV or VH; a folder is searched with all
    folders in it. Dates are in the tags or names of files. The track is in the tags, in the name of the
    product, or in that of the file or of a folder round it, such as ``ascending-44``, ``track_44`` or
    ``44``: files of which nothing says it are taken as passes of one unknown track. Slices of one track and
    date are one pass.

    Parameters
    ----------
    before, after : Path
        A raster, or a folder of rasters, terrain corrected.
    numbers : RadarNumbers
        Unit, scale and offset of what is stored.
    settings : RadarSettings
        How the passes are compared.

    Returns
    -------
    RadarFiles
        With a grid and all that a comparison needs.

    Raises
    ------
    MissingInputError
        When there is nothing there.
    InputFileError
        When a file is damaged or its polarisation is not stated.
    """
    sides = find_radar_files(before), find_radar_files(after)
    return RadarFiles((before, after), sides, numbers, settings)


@dataclass(frozen=True, eq=False)
class RadarFiles:
    """Local radar of two periods.

    Attributes
    ----------
    given : tuple of two Path
        As the user gave them.
    sides : tuple of two tuples
        What was found, before and after.
    numbers : RadarNumbers
        Unit, scale and offset.
    settings : RadarSettings
        How it is compared.
    """

    given: tuple[Path, Path]
    sides: tuple[tuple[RadarFile, ...], tuple[RadarFile, ...]]
    numbers: RadarNumbers
    settings: RadarSettings

    @property
    def grid(self) -> GeoBox:
        """Grid of the first file before."""
        return self.sides[0][0].header.grid

    @property
    def last_date_text(self) -> str:
        """Latest date after, or "unknown date"."""
        dates = [one.time.value for one in self.sides[1] if one.time]
        return f"{max(dates):%Y-%m-%d}" if dates else "unknown date"

    def task(self) -> RadarInput:
        """Return what a comparison takes in."""
        said: dict[str, Any] = {"in_memory": False, "numbers": self.numbers.to_dict()}
        for word, path, files in zip(("before", "after"), self.given, self.sides, strict=True):
            headers = [header for one in files for header in (one.header, *(m.header for m in one.maps))]
            used = dict.fromkeys(header.path for header in headers)
            said[word] = {"path": str(path), "files": {str(one): sha256_file(one) for one in used}}
        return RadarInput(self.load, self.settings, MappingProxyType(said), self.notes())

    def load(self, grid: GeoBox) -> tuple[RadarPasses, ...]:
        """Read the passes of each track onto a grid.

        Parameters
        ----------
        grid : GeoBox
            Any.

        Returns
        -------
        tuple of RadarPasses
            Also of tracks that have passes in one period only.

        Raises
        ------
        InputFileError
            When a file is damaged, holds decibels where power is expected or power where decibels are, or
            does not reach the grid.
        UsageError
            When the passes do not fit into memory.
        """
        planes = sum(len(one.bands) for side in self.sides for one in side)
        require_memory(grid, -(-planes // _PLANES_PER_BAND))
        tracks = sorted({one.track for side in self.sides for one in side}, key=lambda track: track.label)
        return tuple(
            RadarPasses(track, *(self._images(side, track, grid) for side in self.sides)) for track in tracks
        )

    def scenes(self, track: Track) -> tuple[Scene, ...]:
        """Return the passes of a track before, in order of time, without reading a pixel."""
        found = [_scene(files, self._slices(files)) for files in _passes(self.sides[0], track)]
        return tuple(sorted(found, key=lambda scene: (scene.time_text, scene.id)))

    def _images(self, side: Sequence[RadarFile], track: Track, grid: GeoBox) -> tuple[Image, ...]:
        loaded = [self._image(files, grid) for files in _passes(side, track)]
        return tuple(sorted(loaded, key=lambda image: (image.scene.time_text, image.scene.id)))

    def _slices(self, files: Sequence[RadarFile]) -> dict[str, dict[str, Layer]]:
        slices: dict[str, dict[str, Layer]] = {}
        for one in files:
            own = slices.setdefault(one.stem, {})
            if own.keys() & one.bands.keys():
                # another slice, in another folder under the same name
                own = slices.setdefault(f"{one.stem} {one.header.path.parent.name}", {})
            for name, index in one.bands.items():
                own[name] = self._layer(one, name, index)
        return slices

    def _image(self, files: Sequence[RadarFile], grid: GeoBox) -> Image:
        slices = self._slices(files)
        names = tuple(b for b in RADAR_BANDS if all(b in layers for layers in slices.values()))
        if not names:
            raise InputFileError(
                "VV and VH of one pass come from different files that do not belong together",
                where=str(files[0].header.path),
                todo=f"name them {NAMES_UNDERSTOOD}",
            )
        image = fuse_radar(list(slices.values()), names, _scene(files, slices), grid)
        return without_hidden(image, list(dict.fromkeys(found for one in files for found in one.maps)))

    def _layer(self, one: RadarFile, name: str, index: int) -> Layer:
        radiometry = gamma_nought(None, f"local file, {self.numbers.unit}")
        asset = Asset(str(one.header.path), index, radiometry=radiometry)
        return Layer(name, one.header.grid, asset, _reader(one, index, self.numbers))

    def notes(self) -> tuple[str, ...]:
        """Return what a reader should know of dates, tracks and the order of the periods."""
        files = [one for side in self.sides for one in side]
        notes = list(_order_notes(self.sides))
        if any(one.time is None for one in files):
            notes.append(
                "some files of radar do not say their date: write it in their names, such as "
                "pier_20240102_VV.tif"
            )
        if any(one.track.relative_orbit is None for one in files):
            notes.append(
                "some files of radar do not say their track: they are taken as passes of one, which they may "
                "not be"
            )
        return tuple(notes)


def _order_notes(sides: Sequence[Sequence[RadarFile]]) -> Iterator[str]:
    """Say what is wrong with the order of both periods: exchanged, or with passes in common."""
    first, second = ([one.time.value for one in side if one.time] for side in sides)
    if first and second and min(first) > max(second):
        yield "the period before is the later one: brighter and darker read backwards; swap the two periods"
    earlier = {one.header.path.resolve() for one in sides[0]}
    common = sorted(one.header.path.name for one in sides[1] if one.header.path.resolve() in earlier)
    if common:
        yield (
            f"{len(common)} file(s) of radar lie in both periods, such as {common[0]}: a pass cannot differ "
            "from itself; leave each in one period"
        )


def find_radar_files(path: Path) -> tuple[RadarFile, ...]:
    """Find the rasters that say they are radar, as `open_radar_files` reads each period."""
    if not path.exists():
        raise MissingInputError("there is no such file or folder", where=str(path), todo="check the path")
    paths = [path] if path.is_file() else sorted(
        one for one in path.rglob("*") if one.suffix.lower() in BAND_FILE_SUFFIXES and one.name[0] != "."
    )  # fmt: skip
    passes = [one for one in paths if map_kind(one) is None]
    files = [one for one in (_read(file, path) for file in passes) if one is not None]
    if not files:
        raise MissingInputError(
            "no file of radar whose polarisation is stated",
            where=str(path),
            todo=f"name them {NAMES_UNDERSTOOD}",
        )
    maps = [_read_map(file, path) for file in paths if file not in passes]
    found = maps_of(maps, [(one.header.path, one.stem, one.track) for one in files])
    return tuple(replace(one, maps=own) for one, own in zip(files, found, strict=True))


def _read_map(path: Path, given: Path) -> GeometryMap:
    """Read what a map of layover, shadow or incidence says of itself."""
    kind, header = map_kind(path), read_header(path)
    track = _track(header.tags, _PRODUCT.search(path.stem), _names_round(path, given))
    return GeometryMap(header, kind or MapKind.CODES, name_without_map(path), track)


def _read(path: Path, given: Path) -> RadarFile | None:
    """Read what a file says; None when nothing says that it is radar."""
    header = read_header(path)
    bands: dict[str, int] = {}
    for name, index in zip(header.names, header.indexes, strict=True):
        if said := _POLARISATION.search(name.replace("_", " ")):
            bands.setdefault(said[1].upper(), index)
    text = path.stem.replace("_", " ")
    if not bands and len(header.indexes) == 1 and (named := _POLARISATION.search(text)):
        bands = {named[1].upper(): header.indexes[0]}
    if not bands:
        return None
    parts = _names_round(path, given)
    facts = facts_from_tags(header.tags)
    product = _PRODUCT.search(path.stem)
    return RadarFile(
        header=header,
        bands=MappingProxyType(bands),
        track=_track(header.tags, product, parts),
        platform=facts.platform or _platform(product, parts),
        time=facts.time or _time(path.stem, product),
        stem=" ".join(_POLARISATION.sub("", text).split()) if len(bands) == 1 else text,
        simulated=bool(facts.simulated),
    )


def _names_round(path: Path, given: Path) -> tuple[str, ...]:
    """Return the name of a file and of the folders round it, the nearest first; without months and days."""
    folders = path.relative_to(given).parts[:-1] if given.is_dir() else ()
    named = [*given.resolve().parent.parts, given.name, *folders]
    kept, in_year = [], False
    for name in named:
        dated = in_year and _OF_A_DATE.fullmatch(name)
        in_year = bool(_YEAR.fullmatch(name) or dated)
        kept.append("" if dated else name)
    return (path.stem, *reversed(kept[-len(folders) - 1 :]))


def _track(tags: Mapping[str, str], product: re.Match[str] | None, parts: Sequence[str]) -> Track:
    """Return the track by tags, then the name of the product, then those of the file and its folders."""
    said = {key.upper(): str(value).strip().lower() for key, value in tags.items()}
    state = said.get("ORBIT_STATE") or next(
        (f"{w['word']}ending" for p in parts if (w := _search(_STATE, p))), ""
    )
    orbit = facts_from_tags(tags).relative_orbit
    if orbit is None and product:
        start = stated_time(product["start"], "")
        if start:
            orbit = relative_orbit(product["unit"].upper(), int(product["orbit"]), start.value)
    if orbit is None:
        orbit = next((number for part in parts if (number := _orbit_of(part)) is not None), None)
    return Track(state.lower() if state.lower() in ("ascending", "descending") else "unknown", orbit)


def _orbit_of(part: str) -> int | None:
    """Return the relative orbit that a name states, or that the whole name of a folder is."""
    found = _search(_ORBIT, part)
    digits = (found["short"] or found["long"]) if found else part if part.isdigit() else ""
    return int(digits) if digits and 1 <= int(digits) <= _LAST_ORBIT else None


def _search(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return pattern.search(text.replace("_", " "))


def _platform(product: re.Match[str] | None, parts: Sequence[str]) -> str:
    if product:
        return f"Sentinel-1{product['unit'].upper()}"
    found = next((match for part in parts if (match := _search(_PLATFORM, part))), None)
    return f"Sentinel-1{found['unit'].upper()}" if found else "unknown"


def _time(stem: str, product: re.Match[str] | None) -> Stated | None:
    if product:
        return stated_time(product["start"], "name of the product")
    if found := _TIME.search(stem):
        return stated_time(found[1], "name of the file")
    if found := _DAY.search(stem):
        return stated_time("-".join(found.groups()), "name of the file")
    return None


def _passes(side: Sequence[RadarFile], track: Track) -> list[list[RadarFile]]:
    """Return the files of each pass of a track: those of one day, else those of one name."""
    groups: dict[str, list[RadarFile]] = {}
    for one in side:
        if one.track == track:
            stem = f"{one.header.path.parent} {one.stem}"
            groups.setdefault(f"{one.time.value:%Y%m%d}" if one.time else stem, []).append(one)
    return list(groups.values())


def _reader(one: RadarFile, index: int, numbers: RadarNumbers) -> Reader:
    path = one.header.path
    nodata = one.header.nodata[one.header.indexes.index(index)]

    def _read_power(window: tuple[slice, slice]) -> NDArray[np.float32]:
        stored = read_window(path, index, window)
        power = numbers.power(stored, nodata)
        if numbers.unit == "linear" and (power < 0).mean() > _MOST_NEGATIVE:
            raise InputFileError(
                "power below 0: these numbers are decibels", where=str(path), todo="pass --radar-unit db"
            )
        known = power[np.isfinite(power)]
        if numbers.unit == "db" and known.size >= _LEAST_DECIBELS and known.min() >= 1:
            raise InputFileError(
                "no number below 0 dB: ground does not send back all the power it gets, so that these are no "
                "decibels",
                where=str(path),
                todo="leave --radar-unit out, or give --radar-scale and --radar-offset as well",
            )
        return power

    return _read_power


def _scene(files: Sequence[RadarFile], slices: Mapping[str, Mapping[str, Layer]]) -> Scene:
    first = files[0]
    time, assets = first.time, next(iter(slices.values()))
    return Scene(
        id=next(iter(slices)).replace(" ", "_"),
        provider="local",
        level=RADAR_LEVEL,
        platform=first.platform,
        time=time.value if time else None,
        time_source=time.source if time else "unknown",
        day_only=bool(time and time.day_only),
        relative_orbit=first.track.relative_orbit,
        resolution_m=resolution_m(first.header.grid),
        simulated=any(one.simulated for one in files),
        assets=MappingProxyType({name: layer.asset for name, layer in assets.items()}),
        orbit_state=None if first.track.orbit_state == "unknown" else first.track.orbit_state,
    )
