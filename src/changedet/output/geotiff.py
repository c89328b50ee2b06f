"""Rasters as Cloud Optimized GeoTIFF: the score, the states, the kinds and the compared images."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import is_radar
from changedet.core.blocks import spans
from changedet.core.planes import by_rows, new_plane
from changedet.errors import InputFileError, MissingInputError, OutputError, VerificationError
from changedet.kinds import KIND_COLOURS, KIND_LABELS, Kind
from changedet.output import facts
from changedet.output.levels import TILE_PX, Planes, little_cache, write_levels
from changedet.output.scene_facts import ids_text
from changedet.result import STATE_LABELS, ChangeResult, State
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader, DatasetWriter

    from changedet.scene import Scene

#: Colours of the states in ``state.tif``, told apart also by readers with colour-vision deficiency.
STATE_COLOURS: Mapping[State, str] = MappingProxyType(
    {
        State.NOT_FLAGGED: "#f2f2f2",
        State.CHANGED: "#d55e00",
        State.NOT_OBSERVED: "#7f7f7f",
        State.NOT_COMPARABLE: "#0072b2",
        State.OUTSIDE: "#000000",
    }
)

#: Names of the two planes that follow the spectral bands in ``before.tif`` and ``after.tif``.
CLASSES_BAND = "SCL"
VALID_BAND = "valid"

_AGAIN = "make the run again"
_LONGEST_TEXT = 4000
#: From this many bytes on a raster is written tile by tile, and the faster codec is worth being unknown to
#: old readers.
_DEFLATE_BELOW_BYTES = 64_000_000


def write_cog(
    path: Path,
    array: NDArray[Any],
    grid: GeoBox,
    *,
    descriptions: Sequence[str],
    nodata: float | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
    colours: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Write an array as a Cloud Optimized GeoTIFF; the same array gives the same bytes.

    Tiles are 512 pixels wide. Overviews take the nearest pixel, so that they show measured values and codes,
    never mixtures of them.

    Parameters
    ----------
    path : Path
        File to write; one that is there already is replaced.
    array : ndarray, shape (y, x) or (band, y, x)
        Values of any type GeoTIFF knows.
    grid : GeoBox
        Where the pixels lie.
    descriptions : sequence of str
        One text for each band.
    nodata : float, optional
        The stored number that means "no data"; NaN for floating point.
    tags : mapping of str to str
        Tags of the file; control characters are taken out.
    colours : mapping of int to str
        Colour table, ``"#rrggbb"`` by code, for a raster of one band of 8 bits; empty for none. The code that
        is `nodata` becomes transparent.

    Raises
    ------
    OutputError
        When the file cannot be written (permission, full disk).
    ValueError
        When array, grid and descriptions do not fit together.

    Examples
    --------
    >>> write_cog(Path("score.tif"), score, grid, descriptions=["change score"])  # doctest: +SKIP
    """
    planes = Planes.of(array if array.ndim == 3 else array[np.newaxis])
    _write(path, planes, grid, nodata, _Said(descriptions, tags, _table(colours, nodata)))


def write_rasters(result: ChangeResult, folder: Path, *, images: bool) -> list[Path]:
    """Write the rasters of a result.

    Parameters
    ----------
    result : ChangeResult
        What is written.
    folder : Path
        An existing folder. It receives ``score.tif`` and, where the result has it, ``construction.tif``
        (float32, NaN = not judged), ``state.tif`` (uint8 codes
        of `State`, nodata 255 outside the site) and ``kind.tif`` (uint8 codes of `Kind`; nodata 0, so that
        only objects are drawn over a map).
    images : bool
        Also write ``before.tif`` and ``after.tif``: float32 reflectance of the compared bands, or linear
        gamma nought of radar, followed by the scene classes (``SCL``) and by ``valid`` (1 = usable).

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    tags = common_tags(result)
    write_cog(
        folder / "score.tif",
        result.score.astype(np.float32, copy=False),
        result.grid,
        descriptions=["change score"],
        nodata=np.nan,
        tags=tags | {"UNITS": "none (a rank: higher = more surprising; NaN = not judged)"},
    )
    names = ["score.tif"]
    if result.construction is not None:
        names.append("construction.tif")
        write_cog(
            folder / names[-1],
            result.construction.astype(np.float32, copy=False),
            result.grid,
            descriptions=["construction-like change score"],
            nodata=np.nan,
            tags=tags | {"UNITS": "none (the change score times 0 to 1; NaN = not judged)"},
        )
    write_codes(folder / "state.tif", result.state, result.grid, tags, _STATES)
    write_codes(folder / "kind.tif", result.kind, result.grid, tags, _KINDS)
    names += ["state.tif", "kind.tif"]
    if images:
        write_image(folder / "before.tif", result.before, tags)
        write_image(folder / "after.tif", result.after, tags)
        names += ["before.tif", "after.tif"]
    return [folder / name for name in names]


def read_raster(path: Path) -> tuple[NDArray[Any], GeoBox, tuple[str, ...]]:
    """Read a raster of a run folder.

    Parameters
    ----------
    path : Path
        A file that `write_cog` made.

    Returns
    -------
    planes : ndarray, shape (band, y, x)
        As stored.
    grid : GeoBox
        Where the pixels lie.
    descriptions : tuple of str
        One for each band.

    Raises
    ------
    MissingInputError
        When the file is not there.
    InputFileError
        When it is damaged.
    """
    import rasterio
    from odc.geo.geobox import GeoBox
    from rasterio.errors import RasterioError

    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo=_AGAIN)
    try:
        # a virtual raster of this name could lead anywhere
        with little_cache(), rasterio.open(path, driver="GTiff") as file:
            names = tuple(text or "" for text in file.descriptions)
            planes = new_plane((file.count, *file.shape), file.dtypes[0])
            for rows, strip in _strips(file):
                planes[:, rows] = strip
            return planes, GeoBox.from_rio(file), names
    except RasterioError as error:
        raise InputFileError(f"damaged ({str(error)[:120]})", where=str(path), todo=_AGAIN) from error


def stored_bytes(folder: Path) -> float:
    """Return how much memory the rasters of a run folder take, by their headers; 0 for what is no raster.

    Parameters
    ----------
    folder : Path
        That `write_rasters` filled.

    Returns
    -------
    float
        Bytes.
    """
    import rasterio
    from rasterio.errors import RasterioError

    total = 0.0
    for path in folder.glob("*.tif"):
        with suppress(RasterioError), rasterio.open(path, driver="GTiff") as file:
            total += float(file.count) * file.height * file.width * np.dtype(file.dtypes[0]).itemsize
    return total


def _strips(file: DatasetReader) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Read all bands of a file, some rows at a time."""
    from rasterio.windows import Window

    for rows in spans(file.height, TILE_PX):
        yield rows, file.read(window=Window.from_slices(rows, slice(0, file.width)))


def read_image(path: Path, bands: tuple[str, ...], scene: Scene, source: str, grid: GeoBox) -> Image:
    """Read an image of a run folder.

    Parameters
    ----------
    path : Path
        A file that `write_image` made, or one that was not kept: the image is then all NaN.
    bands : tuple of str
        What the record says that it holds.
    scene : Scene
        What the pixels are.
    source : str
        What made the classes.
    grid : GeoBox
        Where the pixels should lie.

    Returns
    -------
    Image
        As it was written.

    Raises
    ------
    InputFileError
        When the file is damaged.
    VerificationError
        When it has other bands or another grid.
    """
    if not path.exists():
        shape = tuple(grid.shape)
        # nothing takes no room
        data = np.broadcast_to(np.float32(np.nan), (len(bands), *shape))
        nothing = np.broadcast_to(np.uint8(0), shape)
        return Image(data, bands, np.broadcast_to(np.False_, shape), nothing, grid, scene, source)
    planes, own_grid, names = read_raster(path)
    if own_grid != grid or names != (*bands, CLASSES_BAND, VALID_BAND):
        raise VerificationError("does not fit the other files", where=str(path), todo=_AGAIN)
    classes = by_rows(lambda plane: plane.astype(np.uint8), planes[-2], dtype=np.uint8)
    valid = by_rows(lambda plane: plane == 1, planes[-1], dtype=np.bool_)
    return Image(planes[:-2], bands, valid, classes, grid, scene, source)


def common_tags(result: ChangeResult) -> dict[str, str]:
    """Return the tags that every raster of a result carries: site, scenes, times, credit, software."""
    before, after = result.before.scene, result.after.scene
    software = f"changedet {version('changedet')}"
    return {
        "SITE": result.name,
        "BEFORE_SCENE": before.id,
        "BEFORE_TIME_UTC": _times(before),
        "AFTER_SCENE": after.id,
        "AFTER_TIME_UTC": _times(after),
        "CREDIT": "; ".join(facts.credit_lines(result)),
        "TIFFTAG_COPYRIGHT": "; ".join(facts.credit_lines(result)),
        "TIFFTAG_SOFTWARE": software,
    }


def _times(scene: Scene) -> str:
    """Return the time of a scene, or those of all dates of a composite."""
    return ", ".join(one.time_text for one in scene.acquisitions)


def legend(labels: Mapping[int, str]) -> str:
    """Return the legend of a raster of codes as one line.

    Examples
    --------
    >>> legend({0: "no object", 1: "new construction"})
    '0 = no object; 1 = new construction'
    """
    return "; ".join(f"{code} = {label}" for code, label in labels.items())


@dataclass(frozen=True)
class Codes:
    """Meaning and colour of each code of a raster, and the code that is drawn transparent."""

    labels: Mapping[int, str]
    colours: Mapping[int, str]
    nodata: int


_STATES = Codes(
    {int(s): label for s, label in STATE_LABELS.items()},
    {int(s): colour for s, colour in STATE_COLOURS.items()},
    int(State.OUTSIDE),
)
_KINDS = Codes(
    {int(k): label for k, label in KIND_LABELS.items()},
    {int(k): colour for k, colour in KIND_COLOURS.items()},
    int(Kind.NONE),
)


def write_codes(
    path: Path, array: NDArray[np.uint8], grid: GeoBox, tags: Mapping[str, str], codes: Codes
) -> None:
    """Write a raster of codes, with their legend and their colours; see `write_cog`."""
    text = legend(codes.labels)
    own = {"UNITS": "codes", "LEGEND": text}
    write_cog(
        path,
        array,
        grid,
        descriptions=[text],
        nodata=codes.nodata,
        tags={**tags, **own},
        colours=codes.colours,
    )


def write_image(path: Path, image: Image, tags: Mapping[str, str]) -> None:
    """Write the bands of an image, its scene classes and which pixels are usable; see `write_cog`."""
    unit = "linear gamma nought" if is_radar(image.bands) else "reflectance"
    scene = image.scene
    own = {
        "SCENE": ids_text(scene),
        "PROVIDER": scene.provider,
        "TIME_UTC": _times(scene),
        "PLATFORM": scene.platform,
        "LEVEL": scene.level,
        "CLASSES_SOURCE": image.classes_source,
        "UNITS": f"{unit} (unitless), then {CLASSES_BAND} (scene classes) and {VALID_BAND} (1 = usable)",
    }
    bands = [*image.bands, CLASSES_BAND, VALID_BAND]
    _write(path, _planes_of(image), image.grid, np.nan, _Said(bands, {**tags, **own}, {}))


def _planes_of(image: Image) -> Planes:
    """Return the bands of an image, its scene classes and which pixels are usable as planes of one type."""
    count, rows, columns = image.data.shape

    def read(part: slice, step: int) -> NDArray[np.float32]:
        """Return some rows of all of them."""
        found = (image.data, image.classes[np.newaxis], image.valid[np.newaxis])
        return np.concatenate([plane[:, part, ::step] for plane in found], axis=0, dtype=np.float32)

    sources = image.data, image.classes, image.valid
    return Planes((count + 2, rows, columns), np.dtype(np.float32), read, sources)


@dataclass(frozen=True)
class _Said:
    """What a file says of its bands."""

    descriptions: Sequence[str]
    tags: Mapping[str, str]
    table: Mapping[int, tuple[int, int, int, int]]

    def say(self, file: DatasetWriter) -> None:
        """Write it down."""
        file.descriptions = tuple(facts.clean(text, _LONGEST_TEXT) for text in self.descriptions)
        file.update_tags(**{key: facts.clean(text, _LONGEST_TEXT) for key, text in self.tags.items()})
        if self.table:
            file.write_colormap(1, self.table)
        if roles := _colour_interpretation(self.descriptions):
            file.colorinterp = roles

    def say_of_level(self, file: DatasetWriter, step: int) -> None:
        """Write down what belongs to the image; an overview has the colours alone."""
        if step == 1:
            self.say(file)
        elif self.table:
            file.write_colormap(1, self.table)


def _write(path: Path, planes: Planes, grid: GeoBox, nodata: float | None, said: _Said) -> None:
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    if planes.shape != (len(said.descriptions), *grid.shape):
        message = (
            f"planes {planes.shape}, grid {tuple(grid.shape)} and {len(said.descriptions)} descriptions "
            "disagree"
        )
        raise ValueError(message)
    try:
        if planes.nbytes >= _DEFLATE_BELOW_BYTES:
            predictor = 3 if np.issubdtype(planes.dtype, np.floating) else 1
            more = {"nodata": nodata, "predictor": predictor, "interleave": "pixel"}
            write_levels(path, planes, grid, more, said.say_of_level)
            return
        with rasterio.open(path, "w", **_creation_options(planes, grid, nodata)) as file:
            file.write(planes.whole())
            said.say(file)
    except (RasterioError, CPLE_BaseError, OSError) as error:
        todo = "check the free space and the permission"
        raise OutputError(f"raster cannot be written ({error})", where=str(path), todo=todo) from error


def _creation_options(planes: Planes, grid: GeoBox, nodata: float | None) -> dict[str, Any]:
    floating = np.issubdtype(planes.dtype, np.floating)
    return {
        "driver": "COG",
        "count": planes.shape[0],
        "height": planes.shape[1],
        "width": planes.shape[2],
        "dtype": planes.dtype,
        "crs": grid.crs.to_wkt() if grid.crs else None,
        "transform": grid.transform,
        "nodata": nodata,
        "compress": "DEFLATE",
        "level": 6,
        # differences of neighbours help reflectances and hurt codes
        "predictor": "YES" if floating else "NO",
        "blocksize": TILE_PX,
        "overview_resampling": "NEAREST",
        "bigtiff": "IF_SAFER",
    }


def _table(colours: Mapping[int, str], nodata: float | None) -> dict[int, tuple[int, int, int, int]]:
    """Return the colour table as GDAL takes it, transparent where there is no data."""
    table = {}
    for code, colour in colours.items():
        red, green, blue = bytes.fromhex(colour.removeprefix("#"))
        table[code] = (red, green, blue, 0 if code == nodata else 255)
    return table


def _colour_interpretation(descriptions: Sequence[str]) -> list[Any]:
    """Tell readers which bands make a natural-colour picture; empty when not all three are there."""
    from rasterio.enums import ColorInterp

    roles = {"B04": ColorInterp.red, "B03": ColorInterp.green, "B02": ColorInterp.blue}
    if not set(roles) <= set(descriptions):
        return []
    return [roles.get(text, ColorInterp.undefined) for text in descriptions]
