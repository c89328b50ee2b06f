"""The core on xarray: stacks of dates that may be held by Dask, from odc-stac for example, and stay lazy.

Every function here works pixel by pixel, so that neither the chunks nor the workers that compute them change
the result: it equals that of the core on the same arrays in memory. Nothing is computed before somebody
asks for values. What needs statistics of a whole image (normalisation, thresholds, registration) is not
here, but in `changedet.detect` and `changedet.site.Site.timeline`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import canonical_name
from changedet.core.composite import median_composite, medoid_composite
from changedet.core.index_alarms import SeriesParameters, combine_alarms, monitor_indices
from changedet.core.indices import INDICES
from changedet.errors import InputFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

_COMPOSITES = {"medoid": medoid_composite, "median": median_composite}
_EPOCH, _DAY = np.datetime64("1970-01-01", "ns"), np.timedelta64(1, "D")
#: What `alarms` says of each pixel, besides the numbers of `changedet.core.index_alarms.IndexAlarms`.
_ALARMS: tuple[tuple[str, type[np.generic]], ...] = (
    ("status", np.uint8), ("said_by", np.uint32), ("leading", np.int8), ("alarm_day", np.float32),
    ("after_day", np.float32), ("by_day", np.float32), ("size", np.float32),
)  # fmt: skip


def map_pixels(
    function: Callable[..., Any],
    *arrays: xr.DataArray,
    over: Sequence[Sequence[str]],
    gives: Sequence[Sequence[str]] = ((),),
    dtypes: Sequence[Any] = (np.float32,),
    sizes: dict[str, int] | None = None,
) -> tuple[xr.DataArray, ...]:
    """Apply a function of the core to every pixel of arrays that may be lazy.

    Parameters
    ----------
    function : callable
        Takes NumPy arrays whose first dimensions are those of `over`, followed by those of the pixels; gives
        one array, or a tuple of them, whose first dimensions are those of `gives`. A pixel of what it gives
        must depend on that pixel alone.
    *arrays : DataArray
        With equal coordinates; lazy ones are cut into chunks along the pixels only, as they come.
    over : sequence of sequence of str
        For each array the dimensions that the function needs whole, such as ``("time",)``.
    gives : sequence of sequence of str
        For each result the dimensions that come before those of the pixels.
    dtypes : sequence of dtype
        For each result.
    sizes : dict of str to int, optional
        Of dimensions that only results have.

    Returns
    -------
    tuple of DataArray
        Lazy where any array is; the dimensions of `gives` first.

    Examples
    --------
    >>> import xarray as xr
    >>> stack = xr.DataArray(np.arange(12.0).reshape(3, 2, 2), dims=("time", "y", "x")).chunk({"x": 1})
    >>> (found,) = map_pixels(lambda dates: dates.max(axis=0), stack, over=[("time",)], dtypes=[float])
    >>> found.chunks, found.values.tolist()
    (((2,), (1, 1)), [[8.0, 9.0], [10.0, 11.0]])
    """
    import xarray as xr

    whole = [
        array.chunk(dict.fromkeys(names, -1)) if array.chunks is not None else array
        for array, names in zip(arrays, over, strict=True)
    ]
    found = xr.apply_ufunc(
        partial(_on_block, function, tuple(map(len, over)), tuple(map(len, gives))),
        *whole,
        input_core_dims=[list(names) for names in over],
        output_core_dims=[list(names) for names in gives],
        join="exact",
        dask="parallelized",
        output_dtypes=list(dtypes),
        dask_gufunc_kwargs={"output_sizes": sizes or {}},
    )
    results = found if isinstance(found, tuple) else (found,)
    return tuple(one.transpose(*names, ...) for one, names in zip(results, gives, strict=True))


def _on_block(
    function: Callable[..., Any],
    needed: tuple[int, ...],
    given: tuple[int, ...],
    *blocks: NDArray[Any],
) -> Any:  # noqa: ANN401  # one array or several
    """Call the function on a block, whose own dimensions xarray puts last."""
    front = [
        np.ascontiguousarray(np.moveaxis(block, range(-count, 0), range(count)))
        for block, count in zip(blocks, needed, strict=True)
    ]
    found = function(*front)
    results = found if isinstance(found, tuple) else (found,)
    back = tuple(
        np.moveaxis(one, range(count), range(-count, 0)) for one, count in zip(results, given, strict=True)
    )
    return back if len(back) > 1 else back[0]


def indices(scenes: xr.Dataset) -> xr.Dataset:
    """Compute every index whose bands are there, as `changedet.core.indices.compute_indices` does.

    Parameters
    ----------
    scenes : Dataset
        A variable for each band, in reflectance, of any dimensions; bands by their names or common names
        (``B04`` or ``red``).

    Returns
    -------
    Dataset
        A variable for each index (``NDVI`` and so on), float32; lazy where the bands are.

    Raises
    ------
    InputFileError
        When no index has its bands.
    """
    bands = _bands(scenes)
    found: dict[str, xr.DataArray] = {}
    for name, (function, needs) in INDICES.items():
        if needs <= bands.keys():
            names = sorted(needs)
            of_planes = partial(_index_of_planes, function, names)
            planes = [bands[one] for one in names]
            (found[name],) = map_pixels(of_planes, *planes, over=[()] * len(names))
    if not found:
        raise InputFileError(
            "no index has its bands", where=f"bands {', '.join(bands)}", todo="load red and near infrared"
        )
    return scenes[[]].assign(found)


def _index_of_planes(
    function: Callable[..., NDArray[np.float32]], names: list[str], *planes: NDArray[Any]
) -> NDArray[np.float32]:
    plain = (np.asarray(plane, np.float32) for plane in planes)
    return function(dict(zip(names, plain, strict=True)))


def composite(scenes: xr.Dataset, valid: xr.DataArray | None = None, *, how: str = "medoid") -> xr.Dataset:
    """Make one image of several dates.

    Parameters
    ----------
    scenes : Dataset
        A variable for each band, with the dimension ``time`` and two of the pixels.
    valid : DataArray of bool, optional
        Where a date can be used; where all bands are finite when not given.
    how : {"medoid", "median"}
        As `changedet.core.composite.medoid_composite` or `changedet.core.composite.median_composite`.

    Returns
    -------
    Dataset
        The bands without ``time``, float32, with ``date`` (which one a pixel comes from; -1: none) and
        ``count`` (how many can be used), int16; lazy where the scenes are.

    Raises
    ------
    UsageError
        When there is no such way.
    InputFileError
        When the scenes have no dates.
    """
    if how not in _COMPOSITES:
        raise UsageError(f"there is no composite {how!r}", todo=f"choose {' or '.join(_COMPOSITES)}")
    names = [str(name) for name, array in scenes.data_vars.items() if "time" in array.dims]
    if not names:
        raise InputFileError("there are no dates", where="dimension time", todo="give a stack of dates")
    stack = scenes[names].to_dataarray("band").astype(np.float32)
    usable = stack.notnull().all("band") if valid is None else valid
    data, date, count = map_pixels(
        partial(_composite_of_block, how),
        stack,
        usable,
        over=[("time", "band"), ("time",)],
        gives=[("band",), (), ()],
        dtypes=[np.float32, np.int16, np.int16],
    )
    bands = data.to_dataset("band")[names]
    return bands.assign(date=date, count=count)


def _composite_of_block(
    how: str, stack: NDArray[np.float32], usable: NDArray[np.bool_]
) -> tuple[NDArray[Any], ...]:
    found = _COMPOSITES[how](stack, np.asarray(usable, bool))
    return found.data, found.date, found.count


def alarms(
    series: xr.Dataset, history_until: str, *, parameters: SeriesParameters | None = None
) -> xr.Dataset:
    """Learn what is usual for each pixel and find since when it differs, as watching does.

    Parameters
    ----------
    series : Dataset
        A variable for each index, such as from `indices`, with the dimension ``time`` (ascending) and two of
        the pixels; NaN where a date does not see a pixel.
    history_until : str
        Dates before this day are the history, such as ``"2023-01-01"``.
    parameters : SeriesParameters, optional
        What is usual, and what is an alarm.

    Returns
    -------
    Dataset
        The fields of `changedet.core.index_alarms.IndexAlarms`, in days since 1970; lazy where the series is.
        Its attribute ``indices`` names what `said_by` and `leading` count.

    Raises
    ------
    InputFileError
        When the series has no dates.
    ValueError
        When no date lies before `history_until`, or dates do not ascend.
    """
    import xarray as xr

    settings = SeriesParameters() if parameters is None else parameters
    names = [str(name) for name, array in series.data_vars.items() if "time" in array.dims]
    if not names:
        raise InputFileError("there are no dates", where="dimension time", todo="give a series of dates")
    days = (series["time"].values.astype("datetime64[ns]") - _EPOCH) / _DAY
    until = float((np.datetime64(history_until, "ns") - _EPOCH) / _DAY)
    if not (days < until).any():
        message = f"no date lies before {history_until}; begin later, or load earlier dates"
        raise ValueError(message)
    values = series[names].to_dataarray("index").astype(np.float32)
    found = map_pixels(
        partial(_alarms_of_block, days, until, tuple(names), settings),
        values,
        over=[("index", "time")],
        gives=[()] * len(_ALARMS),
        dtypes=[dtype for _, dtype in _ALARMS],
    )
    fields = dict(zip((name for name, _ in _ALARMS), found, strict=True))
    return xr.Dataset(fields, attrs={"indices": names, "history_until": history_until})


def _alarms_of_block(
    days: NDArray[np.float64],
    until: float,
    names: tuple[str, ...],
    parameters: SeriesParameters,
    values: NDArray[np.float32],
) -> tuple[NDArray[Any], ...]:
    # chunks are computed side by side, so that one thread has one of them
    states = monitor_indices(values, days, until, None, parameters, 1)
    found = combine_alarms(states, names, parameters.least_indices)
    return tuple(getattr(found, name) for name, _ in _ALARMS)


def _bands(scenes: xr.Dataset) -> dict[str, xr.DataArray]:
    """Return the bands by their canonical names."""
    named = {canonical_name(str(name)): array for name, array in scenes.data_vars.items()}
    return {name: array for name, array in named.items() if name is not None}
