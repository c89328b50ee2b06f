"""netCDF files, Zarr folders and xarray objects as local imagery."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from datetime import time as time_of_day
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL, canonical_name
from changedet.errors import CrsMismatchError, InputFileError
from changedet.providers.assemble import FoundBand, build_source
from changedet.providers.facts import (
    Facts,
    LocalOptions,
    Stated,
    facts_from_tags,
    facts_of_saving,
    stated_time,
)
from changedet.providers.layers import LayerSource, check_north_up
from changedet.providers.local_names import facts_from_names
from changedet.providers.local_radiometry import REFLECTANCE_MEDIAN_LIMIT, Stored, Witnesses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

_TIME_DIMENSIONS = ("time", "t", "date")
_BAND_DIMENSIONS = ("band", "bands", "variable")
_TIME_ATTRIBUTES = ("time", "time_utc", "datetime", "acquisition_time", "time_coverage_start")
_SAMPLE_PX = 512
_NO_FACTS = Facts()


@dataclass(frozen=True)
class _Plane:
    """Where one band is in a cube: a variable, and a position along its band dimension if it has one."""

    name: str
    variable: str
    position: int | None = None


def open_cube(path: Path, options: LocalOptions) -> LayerSource:
    """Open a netCDF file or a Zarr folder.

    Parameters
    ----------
    path : Path
        One date; bands are variables, or lie along a dimension named ``band``.
    options : LocalOptions
        What the user knows better.

    Raises
    ------
    InputFileError
        When it cannot be read, the library for it is not installed, or it holds several dates.
    """
    with _opened(path) as dataset:
        planes = _planes(dataset, str(path))
        found = [_found(dataset, plane, str(path)) for plane in planes]
        facts = _facts(dataset, facts_from_names(path, [])).otherwise(Facts(id=path.stem))
        loaded = [
            replace(
                band,
                read=partial(_read_file, path, plane),
                stored=replace(band.stored, sample=partial(_sample_file, path, plane)),
            )
            for band, plane in zip(found, planes, strict=True)
        ]
        return build_source(loaded, facts, Witnesses(options, baseline=facts.baseline, where=str(path)))


def open_dataset(dataset: xr.Dataset | xr.DataArray, options: LocalOptions) -> LayerSource:
    """Open an xarray object in memory.

    Parameters
    ----------
    dataset : Dataset or DataArray
        One date, with georeferencing that odc-geo understands (CF ``spatial_ref``, a ``crs`` attribute).
    options : LocalOptions
        What the user knows better.

    Raises
    ------
    InputFileError
        When it holds several dates or no band on a map grid.
    """
    where = "dataset"
    whole = _as_dataset(dataset)
    found = [_found(whole, plane, where) for plane in _planes(whole, where)]
    facts = _facts(whole).otherwise(Facts(id="dataset"))
    source = build_source(found, facts, Witnesses(options, baseline=facts.baseline, where=where))
    return replace(source, inputs=())


def _as_dataset(dataset: xr.Dataset | xr.DataArray) -> xr.Dataset:
    import xarray as xr

    if isinstance(dataset, xr.DataArray):
        return dataset.to_dataset(name="bands" if dataset.name is None else dataset.name)
    if not isinstance(dataset, xr.Dataset):
        raise InputFileError(
            f"a {type(dataset).__name__} cannot be read as imagery",
            todo="give a path, an xarray Dataset or an Image",
        )
    return _with_map_variables(dataset)


def _with_map_variables(dataset: xr.Dataset) -> xr.Dataset:
    """Make the variables that hold the reference system coordinates, and drop pointers to absent ones."""
    named = {
        name: array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
        for name, array in dataset.data_vars.items()
    }
    dataset = dataset.set_coords(
        [name for name in dict.fromkeys(named.values()) if name in dataset.data_vars]
    )
    dangling = [name for name, target in named.items() if target is not None and target not in dataset.coords]
    for name in dangling:
        array = dataset[name].copy(deep=False)
        array.attrs = {key: value for key, value in array.attrs.items() if key != "grid_mapping"}
        array.encoding = {key: value for key, value in array.encoding.items() if key != "grid_mapping"}
        dataset = dataset.assign({name: array})
    return dataset


@contextmanager
def _opened(path: Path) -> Iterator[xr.Dataset]:
    import xarray as xr

    is_zarr = path.is_dir()
    engine, library = ("zarr", "zarr") if is_zarr else ("netcdf4", "netCDF4")
    if find_spec(library) is None:
        raise InputFileError(
            f"reading this needs the library {library}",
            where=str(path),
            todo="install it with: pip install changedet[cubes]",
        )
    more: dict[str, Any] = {"consolidated": False} if is_zarr else {}
    try:
        with xr.open_dataset(
            path, engine=engine, mask_and_scale=False, decode_coords="all", **more
        ) as dataset:
            yield dataset
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, InputFileError):
            raise
        raise InputFileError(
            f"the cube cannot be read ({' '.join(str(error).split())[:160]})",
            where=str(path),
            todo="check that it is complete, or write it again",
        ) from error


def _planes(dataset: xr.Dataset, where: str) -> list[_Plane]:
    """List every band on a map grid."""
    planes: list[_Plane] = []
    for variable in map(str, dataset.data_vars):
        array = dataset[variable]
        if not _on_map(array):
            continue
        extra = [d for d in map(str, array.dims) if d not in array.odc.spatial_dims and array.sizes[d] > 1]
        if not extra:
            planes.append(_Plane(canonical_name(variable) or variable, variable))
        elif len(extra) == 1 and extra[0] in _BAND_DIMENSIONS:
            planes += _along_bands(array, variable, extra[0])
        else:
            raise _too_many(array, extra, where)
    if not planes:
        raise InputFileError(
            "there is no variable on a map grid", where=where, todo="give bands with dimensions y and x"
        )
    names = [plane.name for plane in planes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputFileError(f"two variables are band {twice[0]}", where=where, todo="keep one of them")
    return planes


def _along_bands(array: xr.DataArray, variable: str, dimension: str) -> list[_Plane]:
    labels = array.attrs.get("long_name")
    if not isinstance(labels, list | tuple) or len(labels) != array.sizes[dimension]:
        labels = array[dimension].values.tolist() if dimension in array.coords else []
    planes = []
    for position in range(array.sizes[dimension]):
        label = str(labels[position]) if labels else ""
        own = label if label and not label.isdigit() else f"band_{label or position + 1}"
        planes.append(_Plane(canonical_name(label) or own if label else own, variable, position))
    return planes


def _on_map(array: xr.DataArray) -> bool:
    import odc.geo.xr  # noqa: F401  registers the accessor

    return array.ndim >= 2 and array.odc.spatial_dims is not None


def _too_many(array: xr.DataArray, extra: list[str], where: str) -> InputFileError:
    dates = next((d for d in extra if d in _TIME_DIMENSIONS), None)
    if dates is None:
        return InputFileError(
            f"variable {array.name} has more dimensions than a map ({', '.join(extra)})",
            where=where,
            todo="select one position along each of them",
        )
    return InputFileError(
        f"this cube holds {array.sizes[dates]} dates, and a comparison needs one image of each date",
        where=where,
        todo=f"select one, for example dataset.isel({dates}=0)",
    )


def _flat(dataset: xr.Dataset, plane: _Plane) -> xr.DataArray:
    """Return the two-dimensional north-up array of one band."""
    array = dataset[plane.variable]
    if plane.position is not None:
        dimension = next(d for d in map(str, array.dims) if d in _BAND_DIMENSIONS)
        array = array.isel({dimension: plane.position})
    rows, columns = array.odc.spatial_dims
    array = array.isel({d: 0 for d in array.dims if d not in {rows, columns}}).transpose(rows, columns)
    for dimension, falling in ((rows, True), (columns, False)):
        if dimension in array.coords and array.sizes[dimension] > 1:
            first, last = array[dimension].values[[0, -1]]
            if (first < last) == falling:
                array = array.isel({dimension: slice(None, None, -1)})
    return array


def _geobox(array: xr.DataArray, where: str) -> GeoBox:
    if array.odc.crs is None or array.odc.geobox is None:
        raise CrsMismatchError(
            f"variable {array.name} has no coordinate reference system",
            where=where,
            todo="assign one, for example dataset.odc.assign_crs('EPSG:32633')",
        )
    grid: GeoBox = array.odc.geobox
    check_north_up(grid, where=where)
    return grid


def _found(dataset: xr.Dataset, plane: _Plane, href: str) -> FoundBand:
    array = _flat(dataset, plane)
    attributes = {**dataset[plane.variable].attrs, **array.attrs}
    scale = float(attributes.get("scale_factor", 1.0))
    offset = float(attributes.get("add_offset", 0.0))
    encoded = (array.encoding.get("scale_factor", 1.0), array.encoding.get("add_offset", 0.0))
    nodata = next((attributes[k] for k in ("_FillValue", "nodata", "missing_value") if k in attributes), None)
    stored = Stored(
        name=plane.name,
        dtype=array.dtype.name,
        scale=scale,
        offset=offset,
        nodata=None if nodata is None else float(nodata),
        decoded=(scale, offset) == (1.0, 0.0) and encoded != (1.0, 0.0) and array.dtype.kind == "f",
        sample=partial(_sample, array),
    )
    if (scale, offset) != (1.0, 0.0) and plane.name != SCL and _is_decoded(array):
        stored = replace(stored, decoded=True)
    return FoundBand(stored, _geobox(array, href), href, partial(_read, array), variable=plane.variable)


def _is_decoded(array: xr.DataArray) -> bool:
    """Whether numbers look like reflectance although the attributes still say how to make it of them."""
    if array.dtype.kind != "f":
        return False
    numbers = _sample(array)
    numbers = numbers[np.isfinite(numbers)]
    return bool(numbers.size) and float(np.median(numbers)) <= REFLECTANCE_MEDIAN_LIMIT


def _read(array: xr.DataArray, window: tuple[slice, slice]) -> NDArray[Any]:
    return np.asarray(array[window].values)


def _sample(array: xr.DataArray) -> NDArray[Any]:
    rows, columns = (max(1, size // _SAMPLE_PX) for size in array.shape)
    return np.asarray(array[::rows, ::columns].values)


def _read_file(path: Path, plane: _Plane, window: tuple[slice, slice]) -> NDArray[Any]:
    with _opened(path) as dataset:
        return _read(_flat(dataset, plane), window)


def _sample_file(path: Path, plane: _Plane) -> NDArray[Any]:
    with _opened(path) as dataset:
        return _sample(_flat(dataset, plane))


def _facts(dataset: xr.Dataset, names: Facts = _NO_FACTS) -> Facts:
    said = {
        str(key): str(value) for key, value in dataset.attrs.items() if isinstance(value, str | int | float)
    }
    facts = Facts(time=_time(dataset, said)).otherwise(facts_from_tags(said))
    return facts.otherwise(names).otherwise(facts_of_saving(said))


def _time(dataset: xr.Dataset, said: dict[str, str]) -> Stated | None:
    for name in _TIME_DIMENSIONS:
        if name in dataset.coords and dataset[name].size == 1 and dataset[name].dtype.kind == "M":
            stamp = dataset[name].values.reshape(()).astype("datetime64[us]")
            if not np.isnat(stamp):
                time = datetime.fromisoformat(str(stamp)).replace(tzinfo=UTC)
                # a cube of days stores each of them as its midnight
                day_only = time.time() == time_of_day()
                return Stated(time, f"coordinate {name} of the cube", day_only=day_only)
    for name in _TIME_ATTRIBUTES:
        if stated := stated_time(said.get(name, ""), f"attribute {name} of the cube"):
            return stated
    return None
