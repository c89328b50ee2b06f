"""Files of the cache: rasters of planes, records without secrets, names that appear when all is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.errors import OutputExistsError
from changedet.resample import crs_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

#: What a writer left behind is taken away when it has not grown for so long, in seconds.
STALE_AFTER_S = 3600.0

#: Ending of names under which files are written; nobody reads those.
PART = ".part"
#: Sides of the blocks of a raster, in pixels: at most, and multiples of this.
_LARGEST_BLOCK, _BLOCK_STEP = 512, 16

# a signature stands in the query, a password before the host; what is kept needs neither
_LINK = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#]*@)?(?P<rest>[^\s?#]*)[^\s]*")


@dataclass(frozen=True)
class Planes:
    """What an entry holds.

    Attributes
    ----------
    array : ndarray of float32 or uint8, shape (plane, y, x)
        Values; NaN where floats have no data.
    names : tuple of str
        One name for each plane.
    grid : GeoBox
        Where the pixels lie.
    """

    array: NDArray[Any]
    names: tuple[str, ...]
    grid: GeoBox


def without_secrets(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Return a JSON value whose links have lost user, password, query and fragment.

    Parameters
    ----------
    value : JSON value
        Mappings, sequences, texts, numbers, None.

    Returns
    -------
    JSON value
        The same, with lists for sequences.

    Examples
    --------
    >>> without_secrets({"href": "https://me:pw@host/a.tif?sig=abc", "scale": 0.0001})
    {'href': 'https://host/a.tif', 'scale': 0.0001}
    """
    if isinstance(value, str):
        return _LINK.sub(r"\g<scheme>\g<rest>", value)
    if isinstance(value, Mapping):
        return {name: without_secrets(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(part) for part in value]
    return value


def digest_of(value: Any) -> str:  # noqa: ANN401  # whatever JSON can hold
    """Return the SHA-256 digest of a JSON value; the order of keys does not matter, that of lists does.

    Parameters
    ----------
    value : JSON value
        Without NaN or infinities.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON does not know.

    Examples
    --------
    >>> digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def temporary(folder: Path, key: str) -> Iterator[Path]:
    """Give a name in a folder that nobody else has; what stands under it at the end is removed.

    Parameters
    ----------
    folder : Path
        Where the file is to be renamed in the end.
    key : str
        What the name begins with, after a dot.

    Yields
    ------
    Path
        Nothing stands there yet.
    """
    path = folder / f".{key}.{secrets.token_hex(6)}{PART}"
    try:
        yield path
    finally:
        remove(path)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse the place of a file that something else has.

    Parameters
    ----------
    path : Path
        The file that is to be made.
    overwrite : bool
        Whether a file of that name may be replaced.

    Raises
    ------
    OutputExistsError
        When there is one and it may not, or there is a folder.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        todo = "choose another name or allow overwriting (--overwrite)"
        raise OutputExistsError("is there already", where=str(path), todo=todo)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text under a name that it has only when all of it is written; what stood there is replaced.

    Parameters
    ----------
    path : Path
        Its folder has to be there.
    text : str
        Written as UTF-8, with the ends of lines that it has.
    durable : bool
        Wait until the bytes are on the disk: for what other files are believed by.

    Raises
    ------
    OSError
        When it cannot be written; nothing is left then, and what stood there stays.
    """
    with temporary(path.parent, path.name) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
        if durable:
            to_disk(part)
        part.replace(path)


def remove(path: Path) -> None:
    """Remove a file; when that is not possible, another process will.

    Parameters
    ----------
    path : Path
        It may be gone already.
    """
    with suppress(OSError):
        path.unlink()


def is_stale(path: Path) -> bool:
    """Say whether a file is older than any work in progress, `STALE_AFTER_S`; one that is gone is not.

    Parameters
    ----------
    path : Path
        Its time of modification counts.
    """
    try:
        return path.stat().st_mtime < time.time() - STALE_AFTER_S
    except OSError:
        return False


def to_disk(path: Path) -> None:
    """Wait until the bytes of a file are on the disk; a rename may survive a crash that they do not.

    Parameters
    ----------
    path : Path
        Whole by now.

    Raises
    ------
    OSError
        When the disk refuses them.
    """
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def write_raster(path: Path, planes: Planes) -> None:
    """Write planes as a GeoTIFF that is quick to write and to read.

    Parameters
    ----------
    path : Path
        Replaced when it is there.
    planes : Planes
        Floats are stored with NaN for no data.

    Raises
    ------
    OSError
        When that fails, whatever GDAL calls it.
    """
    import rasterio
    from rasterio.errors import RasterioError

    floating = planes.array.dtype.kind == "f"
    count, height, width = planes.array.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": planes.array.dtype.name, "count": count, "height": height, "width": width,
        "crs": crs_of(planes.grid).to_wkt(), "transform": planes.grid.transform, "tiled": True,
        "blockxsize": _block(width), "blockysize": _block(height), "compress": "zstd", "zstd_level": 1,
        "predictor": 3 if floating else 1, "interleave": "band", "bigtiff": "if_safer",
        "nodata": np.nan if floating else None,
    }  # fmt: skip
    try:
        with rasterio.open(path, "w", **profile) as file:
            file.write(planes.array)
            file.descriptions = planes.names
    except RasterioError as error:
        raise OSError(f"GDAL could not write it ({type(error).__name__})") from error


def _block(size: int) -> int:
    """Return a side of blocks: what a small image lacks to a large block would be compressed as well."""
    return min(_LARGEST_BLOCK, -(-size // _BLOCK_STEP) * _BLOCK_STEP)


def read_raster(path: Path) -> NDArray[Any] | None:
    """Read every plane of a raster.

    Parameters
    ----------
    path : Path
        From `write_raster`.

    Returns
    -------
    ndarray of shape (plane, y, x) or None
        None when GDAL cannot read it.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as file:
            return np.asarray(file.read())
    except RasterioError:
        return None


def stack(planes: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Stack planes of several types as float32, which holds every class code and reflectance as it is.

    Parameters
    ----------
    planes : sequence of ndarray
        Each of shape (y, x) or (band, y, x).

    Returns
    -------
    ndarray of float32, shape (plane, y, x)
        In the order given.
    """
    return np.concatenate([p.reshape(-1, *p.shape[-2:]).astype(np.float32) for p in planes])
