"""Imagery that the user has: folders of band files, products, rasters, cubes, and images in memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import REQUIRED_BANDS
from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.providers.assemble import FoundBand, build_source
from changedet.providers.facts import (
    DAY_ONLY_NOTE,
    Facts,
    LocalOptions,
    facts_from_tags,
    facts_of_saving,
    stated_time,
    time_from_dates_file,
    time_notes,
)
from changedet.providers.layers import Source, observed_pixels
from changedet.providers.local_names import (
    BAND_FILE_SUFFIXES,
    NAMES_UNDERSTOOD,
    band_of_file,
    common_stem,
    facts_from_names,
)
from changedet.providers.local_radiometry import Stored, Witnesses
from changedet.providers.rasters import RasterHeader, read_header, read_sample, read_window
from changedet.providers.safe import is_safe, read_safe
from changedet.resample import pixel_size_m, resample
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.scene import Scene

__all__ = ["LocalOptions", "Source", "open_source"]

_CUBE_SUFFIXES = frozenset({".nc", ".nc4", ".cdf", ".h5", ".zarr"})
#: Pixel sizes that differ by less than this share count as the same resolution.
_SAME_RESOLUTION = 0.05
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zmetadata", ".zattrs")


#: What files of radar are called, which are compared by another sensor.
_RADAR_NAME = re.compile(r"(?<![A-Za-z0-9])(?:VV|VH)(?![A-Za-z0-9])")

_AS_STATED = LocalOptions()


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An `Image` in memory as a `Source`.

    Attributes
    ----------
    image : Image
        Never changed.
    """

    image: Image

    @property
    def scene(self) -> Scene:
        """The scene of the image."""
        return self.image.scene

    @property
    def grid(self) -> GeoBox:
        """The grid of the image."""
        return self.image.grid

    @property
    def band_count(self) -> int:
        """Number of bands of the image."""
        return len(self.image.bands)

    def files(self) -> tuple[Path, ...]:
        """Return no file: the image is in memory."""
        return ()

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Return the image on `grid` (default: its own), moved by `displacement`, a field on that grid."""
        image = self.image
        grid = image.grid if grid is None else grid
        if displacement is None and grid == image.grid:
            return image
        data = np.full((len(image.bands), *grid.shape), np.nan, np.float32)
        for plane, out in zip(image.data, data, strict=True):
            out[:] = resample(plane, image.grid, grid, method="cubic", displacement=displacement)
        moved = [
            resample(codes.astype(np.uint8), image.grid, grid, method="nearest", displacement=displacement)
            for codes in (image.classes, image.valid)
        ]
        classes, valid = moved[0].astype(np.uint8), moved[1] == 1
        valid &= observed_pixels(data, image.bands)
        return replace(image, data=data, classes=classes, valid=valid, grid=grid)


def open_source(
    source: str | Path | xr.Dataset | xr.DataArray | Image, options: LocalOptions = _AS_STATED
) -> Source:
    """Open local imagery without reading its pixels.

    Parameters
    ----------
    source : str, Path, xarray.Dataset, xarray.DataArray or Image
        A folder with one raster per band, a Sentinel-2 ``.SAFE`` folder, one raster with several bands
        (GeoTIFF, JPEG 2000, ENVI, VRT), a netCDF file, a Zarr folder, or an object in memory.
    options : LocalOptions
        What the user knows better than the files.

    Returns
    -------
    Source
        With ``scene``, ``grid`` and ``load(grid)``.

    Raises
    ------
    MissingInputError
        When there is nothing there, or nothing that looks like a band.
    MissingBandError
        When Sentinel-2 imagery lacks one of the bands a comparison needs.
    CrsMismatchError
        When the imagery has no reference system, or its bands have several.
    InputFileError
        When a file is damaged, of an unknown kind, rotated, or contradicts another.

    Examples
    --------
    >>> source = open_source("scenes/S2A_MSIL2A_20230514T020701_N0509_R003_T52SBH_20230514T050000.SAFE")
    ... # doctest: +SKIP
    >>> source.load().bands  # doctest: +SKIP
    ('B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12')
    """
    if isinstance(source, Image):
        return _open_image(source, options)
    if not isinstance(source, str | Path):
        from changedet.providers.cube import open_dataset

        return open_dataset(source, options)
    try:
        return _open_path(Path(source), options)
    except PermissionError as error:
        what, where = f"cannot be read ({error.strerror})", str(error.filename or source)
        raise InputFileError(what, where=where, todo="ask for the permission, or copy it") from error


def _open_path(path: Path, options: LocalOptions) -> Source:
    if not path.exists():
        raise MissingInputError("no such file or folder", where=str(path), todo="check the path")
    if path.suffix.lower() in _CUBE_SUFFIXES or any((path / mark).is_file() for mark in _ZARR_MARKS):
        from changedet.providers.cube import open_cube

        return open_cube(path, options)
    if not path.is_dir():
        return _open_raster(path, options)
    return _open_safe(path, options) if is_safe(path) else _open_folder(path, options)


def _open_image(image: Image, options: LocalOptions) -> Source:
    if (options.scale, options.offset, options.nodata) != (None, None, None):
        raise UsageError(
            "scale, offset and nodata do not apply to an Image, which holds reflectance already",
            where=image.scene.id,
            todo="leave them out",
        )
    stated = None if options.time is None else stated_time(options.time, "given by the user")
    if stated is None:
        return ImageSource(image)
    notes = (*(note for note in image.scene.notes if note != DAY_ONLY_NOTE), *time_notes(stated))
    scene = replace(
        image.scene, time=stated.value, time_source=stated.source, day_only=stated.day_only, notes=notes
    )
    return ImageSource(replace(image, scene=scene))


def _open_raster(path: Path, options: LocalOptions) -> Source:
    if path.suffix.lower() in {".zip", ".gz", ".tgz", ".tar"}:
        raise InputFileError("this is an archive", where=str(path), todo="unpack it and give the folder")
    if path.suffix.lower() in {".hdr", ".xml"}:
        raise InputFileError(
            "this file describes imagery but holds none",
            where=str(path),
            todo="give the data file or the product folder beside it",
        )
    band = band_of_file(path)
    header = read_header(path)
    if band is not None and len(header.names) == 1:
        raise InputFileError(
            f"this is one band ({band}) of a scene with one file per band",
            where=str(path),
            todo=f"give its folder: {path.parent}",
        )
    bands = [_found(header, position) for position in range(len(header.names))]
    facts = _facts_of_files(path, [], header)
    return build_source(bands, facts.otherwise(Facts(id=path.stem)), _witnesses(path, facts, options))


def _open_folder(folder: Path, options: LocalOptions) -> Source:
    files = _band_files(folder)
    if not files:
        raise _nothing_found(folder)
    headers = _finest(files)
    first = next((headers[name] for name in REQUIRED_BANDS if name in headers), next(iter(headers.values())))
    used = [header.path for header in headers.values()]
    facts = _facts_of_files(folder, used, first)
    stem = common_stem(used)
    # a letter or two in common is chance, not a name
    name = stem if len(stem) > 2 else folder.absolute().name
    bands = [_found(header, 0, name) for name, header in headers.items()]
    return build_source(bands, facts.otherwise(Facts(id=name)), _witnesses(folder, facts, options))


def _open_safe(folder: Path, options: LocalOptions) -> Source:
    product = read_safe(folder)
    headers = _finest([path for path in product.files if band_of_file(path)])
    if not headers:
        raise _nothing_found(folder)
    facts = product.facts.otherwise(facts_from_names(folder, []))
    bands = [_found(header, 0, name) for name, header in headers.items()]
    witnesses = replace(_witnesses(folder, facts, options), product=product.radiometry)
    source = build_source(bands, facts, witnesses)
    return replace(source, inputs=(*source.inputs, *product.metadata))


def _witnesses(path: Path, facts: Facts, options: LocalOptions) -> Witnesses:
    return Witnesses(given=options, baseline=facts.baseline, where=str(path))


def _facts_of_files(path: Path, files: Sequence[Path], header: RasterHeader) -> Facts:
    names = facts_from_names(path, files)
    dated = time_from_dates_file(path)
    if dated and names.time and dated.value.date() == names.time.value.date():
        dated = replace(names.time, source=f"{names.time.source}, agreeing with dates.txt", file=dated.file)
    tags = facts_from_tags(header.tags)
    # a product's own name identifies it better than a tag of one of its files
    facts = Facts(id=names.id).otherwise(tags).otherwise(Facts(time=dated)).otherwise(names)
    return facts.otherwise(facts_of_saving(header.tags))


def _band_files(folder: Path) -> list[Path]:
    for pattern in ("*", "R[126]0m/*"):
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and band_of_file(path))
        if found:
            return found
    return []


def _nothing_found(folder: Path) -> MissingInputError:
    inside = sorted(folder.iterdir())
    rasters = [path for path in inside if path.suffix.lower() in BAND_FILE_SUFFIXES]
    deeper = [path for path in inside if path.is_dir() and (is_safe(path) or _band_files(path))]
    if not inside:
        return MissingInputError("the folder is empty", where=str(folder), todo="put one file per band in it")
    if deeper:
        todo = f"give one of the folders inside, such as {deeper[0]}"
    elif rasters:
        todo = f"name files like {NAMES_UNDERSTOOD}, or give one raster with all bands, such as {rasters[0]}"
    else:
        todo = f"name files like {NAMES_UNDERSTOOD}"
    if any(_RADAR_NAME.search(path.stem.replace("_", " ")) for path in rasters):
        todo = "compare files of radar with --sensor s1"
    return MissingInputError("no file here has the name of a band", where=str(folder), todo=todo)


def _finest(files: Sequence[Path]) -> dict[str, RasterHeader]:
    """Open the headers and keep the finest file of each band."""
    chosen: dict[str, RasterHeader] = {}
    for path in files:
        name = band_of_file(path) or ""
        header = read_header(path)
        if name not in chosen:
            chosen[name] = header
            continue
        ratio = pixel_size_m(header.grid)[0] / pixel_size_m(chosen[name].grid)[0]
        if abs(ratio - 1) < _SAME_RESOLUTION:
            raise InputFileError(
                f"two files hold band {name} at the same resolution",
                where=f"{chosen[name].path} and {path}",
                todo="keep one of them in the folder",
            )
        if ratio < 1:
            chosen[name] = header
    return chosen


def _found(header: RasterHeader, position: int, name: str | None = None) -> FoundBand:
    index = header.indexes[position]
    stored = Stored(
        name=name or header.names[position],
        dtype=header.dtypes[position],
        scale=header.scales[position],
        offset=header.offsets[position],
        nodata=header.nodata[position],
        sample=partial(read_sample, header.path, index),
    )
    read = partial(read_window, header.path, index)
    return FoundBand(stored, header.grid, str(header.path), read, index=index)
