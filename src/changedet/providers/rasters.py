"""Opening raster files with GDAL: headers, tags, windows, and errors that a reader can act on."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import canonical_name
from changedet.core.blocks import thread_count
from changedet.errors import CrsMismatchError, InputFileError
from changedet.offline import OFFLINE_OPTIONS, require_local, require_own_overviews
from changedet.providers.layers import check_north_up
from changedet.resample import pixel_size_m

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from rasterio.io import DatasetReader

#: Longest side of the reduced picture from which conventions are guessed, in pixels.
_SAMPLE_PX = 512
#: Larger rasters are not reduced: so many by so many parts of them are read.
_HUGE_PX, _PARTS = 2**30, 4
#: The library takes memory for a whole block, whatever the file says of its size.
_LARGEST_BLOCK_BYTES = 2**30
#: Sides of pixels that anything could have taken: a millimetre to a thousand kilometres.
_SMALLEST_PIXEL_M, _LARGEST_PIXEL_M = 1e-3, 1e6
#: Endings of files that are inputs and no rasters of GDAL's.
_NO_RASTERS = frozenset({".xml", ".txt", ".nc", ".nc4", ".cdf", ".h5"})
#: Formats whose files hold their own pixels, and virtual rasters, which are looked into before; others name
#: files of their choice in a text that only their reader understands.
DRIVERS = (
    "GTiff", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID", "ENVI", "EHdr", "HFA", "VRT", "PNG", "JPEG",
    "NITF", "PCIDSK", "AAIGrid", "SAGA", "RST", "KEA", "GPKG",
)  # fmt: skip
_ONE_OPENS = threading.Lock()
_NUMBERED = re.compile(r"\bband[ _]?(\d{1,3})\b", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class RasterHeader:
    """What a raster says without its pixels.

    Attributes
    ----------
    path : Path
        As the user gave it.
    grid : GeoBox
        North up.
    names : tuple of str
        One name for each usable band: canonical where the description is known.
    indexes : tuple of int
        Band numbers of those names, from 1; transparency bands are left out.
    dtypes : tuple of str
        Types of the stored numbers.
    scales, offsets, nodata : tuple
        As stated in the file.
    tags : mapping of str to str
        Tags of the file.
    """

    path: Path
    grid: GeoBox
    names: tuple[str, ...]
    indexes: tuple[int, ...]
    dtypes: tuple[str, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    nodata: tuple[float | None, ...]
    tags: Mapping[str, str]


def read_header(path: Path) -> RasterHeader:
    """Read the header of a raster file.

    Parameters
    ----------
    path : Path
        GeoTIFF, JPEG 2000, ENVI, VRT or whatever else GDAL reads.

    Raises
    ------
    InputFileError
        When it is not a raster, is damaged, or is rotated against its reference system.
    CrsMismatchError
        When it has no reference system.
    """
    from rasterio.enums import ColorInterp

    with open_raster(path) as dataset:
        grid = _grid(dataset, path)
        roles = zip(dataset.indexes, dataset.colorinterp, strict=True)
        indexes = tuple(i for i, role in roles if role != ColorInterp.alpha)
        at = [i - 1 for i in indexes]
        described, tags = _texts(dataset, path)
        return RasterHeader(
            path=path,
            grid=grid,
            names=band_names([described[i] for i in at], where=str(path)),
            indexes=indexes,
            dtypes=tuple(dataset.dtypes[i] for i in at),
            scales=tuple(float(dataset.scales[i]) for i in at),
            offsets=tuple(float(dataset.offsets[i]) for i in at),
            nodata=tuple(dataset.nodatavals[i] for i in at),
            tags=MappingProxyType(tags),
        )


def _texts(dataset: DatasetReader, path: Path) -> tuple[tuple[str | None, ...], dict[str, str]]:
    """Return the descriptions of the bands and the tags of a file."""
    try:
        return tuple(dataset.descriptions), dict(dataset.tags())
    except UnicodeDecodeError as error:
        raise InputFileError(
            "what it says of its bands is no text", where=str(path), todo="use an unaltered copy"
        ) from error


def read_window(path: Path, index: int, window: tuple[slice, slice]) -> NDArray[Any]:
    """Read stored numbers of one band.

    Parameters
    ----------
    path : Path
        The file.
    index : int
        Band number from 1.
    window : tuple of slice
        Rows and columns.

    Returns
    -------
    ndarray, shape (y, x)
        In the type of the file; float32 with NaN where the file has a mask of its own that says so.

    Raises
    ------
    InputFileError
        When the pixels cannot be read.
    """
    from rasterio.windows import Window

    with open_raster(path, threads=thread_count()) as dataset:
        where = Window.from_slices(*window)
        numbers: NDArray[Any] = dataset.read(index, window=where)
        if not _has_mask(dataset, index):
            return numbers
        hidden = dataset.read_masks(index, window=where) == 0
        return np.where(hidden, np.float32(np.nan), numbers.astype(np.float32))


def read_sample(path: Path, index: int) -> NDArray[Any]:
    """Read one band reduced to at most 512 x 512 pixels, as stored; of a huge one parts as they are."""
    from rasterio.windows import Window

    with open_raster(path) as dataset:
        rows, columns = dataset.shape
        if rows * columns > _HUGE_PX and not dataset.overviews(index):
            # to reduce it all of it would be read
            corners = [
                (row * rows // _PARTS, column * columns // _PARTS)
                for row, column in np.ndindex(_PARTS, _PARTS)
            ]
            size = _SAMPLE_PX // _PARTS
            return np.concatenate(
                [dataset.read(index, window=Window(x, y, size, size)).ravel() for y, x in corners]
            )
        shape = tuple(min(size, _SAMPLE_PX) for size in dataset.shape)
        sample: NDArray[Any] = dataset.read(index, out_shape=shape)
        return sample


def files_of(path: Path) -> tuple[Path, ...]:
    """List the files behind one input.

    Parameters
    ----------
    path : Path
        A raster, another file, or a folder (Zarr).

    Returns
    -------
    tuple of Path
        Every file of a folder; of a raster also what lies beside it and counts, and the local sources of a
        VRT, through VRTs of VRTs; any other file alone.

    Raises
    ------
    InputFileError
        When a raster cannot be opened.
    """
    if path.is_dir():
        return tuple(sorted(file for file in path.rglob("*") if file.is_file()))
    if path.suffix.lower() in _NO_RASTERS:
        return (path,)
    found = _with_company(path)
    waiting = list(found - {path})
    while waiting:
        try:
            fresh = _with_company(waiting.pop()) - found
        except InputFileError:
            continue  # a header or a mask beside an image is no image
        found |= fresh
        waiting += fresh
    return tuple(sorted(found))


def _with_company(path: Path) -> set[Path]:
    """Return a raster and the files that belong to it as GDAL knows them."""
    with open_raster(path) as dataset:
        return {path, *(file for name in dataset.files if (file := Path(name)).is_file())}


def band_names(descriptions: list[str | None], *, where: str) -> tuple[str, ...]:
    """Name the bands of a raster from their descriptions.

    Parameters
    ----------
    descriptions : list of str or None
        One for each band.
    where : str
        The file, for the error.

    Returns
    -------
    tuple of str
        Canonical names where the description is known. Otherwise ``band_3`` for a text around "Band 3" (such
        texts often name a file, which would make two dates differ), the description itself when it is unique,
        or ``band_1``, ``band_2``, ... by position.

    Raises
    ------
    InputFileError
        When two bands are described as the same Sentinel-2 band.

    Examples
    --------
    >>> band_names(["B4", "red edge", None, "Resize (Band 7:a.txt)"], where="a.tif")
    ('B04', 'red edge', 'band_3', 'band_7')
    """
    texts = [(text or "").strip() for text in descriptions]
    known = [canonical_name(text) if text else None for text in texts]
    twice = sorted({name for name in known if name and known.count(name) > 1})
    if twice:
        raise InputFileError(
            f"two bands are described as {twice[0]}", where=where, todo="keep one of them in the raster"
        )
    pairs = enumerate(zip(known, texts, strict=True), start=1)
    names = [name or _own_name(text, number) for number, (name, text) in pairs]
    if len(set(names)) < len(names):
        names = [name or f"band_{number}" for number, name in enumerate(known, start=1)]
    return tuple(names)


def _own_name(text: str, number: int) -> str:
    if found := _NUMBERED.search(text):
        return f"band_{int(found[1])}"
    return text or f"band_{number}"


@contextmanager
def open_raster(path: Path, *, threads: int = 1) -> Iterator[DatasetReader]:
    """Open a raster of anybody's offline; whatever GDAL says goes into our error and not to the terminal.

    Parameters
    ----------
    path : Path
        The file.
    threads : int
        How many decode its blocks, where the format lets several.

    Yields
    ------
    rasterio.DatasetReader
        Closed at the end of the block.

    Raises
    ------
    InputFileError
        When it cannot be read, or would have something else read.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError
    from rasterio.io import DatasetReader

    require_local(path)
    log = logging.getLogger("rasterio")
    silent = logging.NullHandler()
    log.addHandler(silent)
    try:
        with rasterio.Env(**OFFLINE_OPTIONS, GDAL_NUM_THREADS=threads):
            # filters belong to the process: two threads that set them aside would put back each other's
            with _ONE_OPENS, warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                # `rasterio.open` takes one format alone
                opened = DatasetReader(path, driver=list(DRIVERS))
            with opened as dataset:
                require_own_overviews(dataset.tags(ns="OVERVIEWS"), path)
                _require_blocks(dataset, path)
                yield dataset
    except RasterioError as error:
        raise _unreadable(path, error) from error
    finally:
        log.removeHandler(silent)


def _require_blocks(dataset: DatasetReader, path: Path) -> None:
    for (rows, columns), kind in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        if rows * columns * np.dtype(kind).itemsize > _LARGEST_BLOCK_BYTES:
            raise InputFileError(
                f"is stored in blocks of {columns} x {rows} pixels",
                where=str(path),
                todo="make a tiled copy (gdal_translate -of COG)",
            )


def _unreadable(path: Path, error: Exception) -> InputFileError:
    reason = " ".join(str(error.__cause__ or error).split())
    if "not recognized as being in a supported file format" in reason:
        return InputFileError(
            "this is not imagery that can be read",
            where=str(path),
            todo="give GeoTIFF, JPEG 2000, ENVI (data file with its .hdr beside it), VRT, netCDF or Zarr",
        )
    return InputFileError(
        f"the file is damaged or incomplete ({reason[:160]})",
        where=str(path),
        todo="download or copy it again",
    )


def _grid(dataset: DatasetReader, path: Path) -> GeoBox:
    from odc.geo.geobox import GeoBox

    if dataset.crs is None or dataset.transform.is_identity:
        raise CrsMismatchError(
            "the image has no coordinate reference system, so nobody knows where it lies",
            where=str(path),
            todo="use the georeferenced original, or assign one (gdal_edit -a_srs ... -a_ullr ...)",
        )
    epsg = dataset.crs.to_epsg()
    grid = GeoBox(dataset.shape, dataset.transform, f"EPSG:{epsg}" if epsg else dataset.crs.to_wkt())
    check_north_up(grid, where=str(path))
    _require_pixels(grid, path)
    return grid


def _require_pixels(grid: GeoBox, path: Path) -> None:
    """Refuse pixels that lie nowhere on Earth, or that nothing could have taken."""
    with np.errstate(invalid="ignore", over="ignore"):
        sides_m = pixel_size_m(grid)
    if not all(_SMALLEST_PIXEL_M <= side <= _LARGEST_PIXEL_M for side in sides_m):
        raise InputFileError(
            "its pixels are no places on Earth",
            where=str(path),
            todo="check its transform and reference system",
        )


def _has_mask(dataset: DatasetReader, index: int) -> bool:
    from rasterio.enums import MaskFlags

    flags = dataset.mask_flag_enums[index - 1]
    return MaskFlags.all_valid not in flags and MaskFlags.nodata not in flags
