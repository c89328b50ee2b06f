"""Stacks held by Dask stay lazy, and neither chunks nor laziness change a number."""

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from changedet.core.composite import median_composite, medoid_composite
from changedet.core.cusum import AlarmStatus
from changedet.core.index_alarms import SeriesParameters, combine_alarms, monitor_indices
from changedet.core.indices import compute_indices
from changedet.errors import InputFileError, UsageError
from changedet.scale import lazy

BANDS = ("B02", "B03", "B04", "B08", "B11")
#: Rows and columns of a chunk.
CHUNKS = st.tuples(st.integers(1, 7), st.integers(1, 9))


class TouchedError(Exception):
    """Somebody has computed."""


def forbidden(*_args, **_kwargs):
    raise TouchedError


@pytest.fixture
def nothing_is_computed():
    with dask.config.set(scheduler=forbidden):
        yield


def stack(dates=6, seed=1):
    """A stack as odc-stac loads one: a variable for each band, some pixels hidden."""
    rng = np.random.default_rng(seed)
    data = rng.uniform(0.02, 0.6, (len(BANDS), dates, 7, 9)).astype(np.float32)
    data[:, rng.random((dates, 7, 9)) < 0.3] = np.nan
    times = np.datetime64("2021-01-03", "ns") + np.arange(dates) * np.timedelta64(10, "D")
    coords = {"time": times, "y": np.arange(7.0), "x": np.arange(9.0)}
    return xr.Dataset({b: (("time", "y", "x"), d) for b, d in zip(BANDS, data, strict=True)}, coords)


def cut(dataset, chunks):
    return dataset.chunk({"time": 2, "y": chunks[0], "x": chunks[1]})


def is_lazy(dataset):
    return all(array.chunks is not None for array in dataset.data_vars.values())


def same(first, second):
    """Equal to the bit, NaN included."""
    xr.testing.assert_identical(first.drop_attrs(), second.drop_attrs())
    assert {n: a.dtype for n, a in first.items()} == {n: a.dtype for n, a in second.items()}


@settings(max_examples=5, deadline=None)
@given(CHUNKS)
def test_indices_are_those_of_the_core_however_they_are_cut(chunks):
    scenes = stack()
    found = lazy.indices(cut(scenes, chunks))
    assert is_lazy(found)
    for date in range(2):
        planes = np.stack([scenes[name].values[date] for name in BANDS])
        for name, plane in compute_indices(planes, BANDS).items():
            np.testing.assert_array_equal(found[name].values[date], plane)
    same(found.compute(), lazy.indices(scenes))


def test_bands_may_have_their_common_names():
    scenes = stack().rename(B04="red", B08="nir")
    np.testing.assert_array_equal(lazy.indices(scenes)["NDVI"], lazy.indices(stack())["NDVI"])
    with pytest.raises(InputFileError, match="no index has its bands"):
        lazy.indices(stack()[["B03"]])


@settings(max_examples=5, deadline=None)
@given(CHUNKS, st.sampled_from(["medoid", "median"]))
def test_a_composite_is_that_of_the_core_however_it_is_cut(chunks, how):
    scenes = stack()
    found = lazy.composite(cut(scenes, chunks), how=how)
    assert is_lazy(found)
    data = np.moveaxis(np.stack([scenes[name].values for name in BANDS]), 0, 1)
    core = (medoid_composite if how == "medoid" else median_composite)(data, np.isfinite(data).all(axis=1))
    computed = found.compute()
    for name, plane in zip(BANDS, core.data, strict=True):
        np.testing.assert_array_equal(computed[name].values, plane)
    np.testing.assert_array_equal(computed["date"], core.date)
    np.testing.assert_array_equal(computed["count"], core.count)
    same(computed, lazy.composite(scenes, how=how))


def test_a_mask_decides_what_a_composite_may_use():
    scenes = stack()
    first = xr.zeros_like(scenes["B04"], bool)
    first[0] = True
    found = lazy.composite(cut(scenes, (3, 3)), first)
    assert set(np.unique(found["date"].values)) == {-1, 0}
    np.testing.assert_array_equal(found["B04"].values, scenes["B04"].values[0])
    with pytest.raises(UsageError, match="there is no composite 'mean'; choose medoid or median"):
        lazy.composite(scenes, how="mean")
    with pytest.raises(InputFileError, match="there are no dates"):
        lazy.composite(scenes.isel(time=0, drop=True))


def years(columns=5):
    """Three years of two indices; the pixels of one column change in the third."""
    days = np.arange(0, 1096, 12)
    rng = np.random.default_rng(4)
    shape = (2, len(days), 3, columns)
    season = 0.1 * np.cos(2 * np.pi * days / 365.25)[:, None, None]
    values = (0.5 + season + rng.normal(0, 0.02, shape)).astype(np.float32)
    values[:, days >= 900, :, 1] -= np.float32(0.3)
    values[:, rng.random(shape[1:]) < 0.3] = np.nan
    times = np.datetime64("2020-01-01", "ns") + days * np.timedelta64(1, "D")
    return xr.Dataset(
        {name: (("time", "y", "x"), plane) for name, plane in zip(("NDVI", "NIR"), values, strict=True)},
        {"time": times},
    )


@pytest.mark.parametrize("chunks", [(1, 2), (3, 5), (2, 1)])
def test_alarms_are_those_of_the_core_however_they_are_cut(chunks):
    series = years()
    found = lazy.alarms(cut(series, chunks), "2022-01-01")
    assert is_lazy(found)
    computed = found.compute()
    days = (series["time"].values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    values = np.stack([series[name].values for name in ("NDVI", "NIR")])
    until = float((np.datetime64("2022-01-01") - np.datetime64("1970-01-01")) / np.timedelta64(1, "D"))
    core = combine_alarms(
        monitor_indices(values, days, until), ("NDVI", "NIR"), SeriesParameters().least_indices
    )
    for name in computed.data_vars:
        np.testing.assert_array_equal(computed[name].values, getattr(core, name), err_msg=name)
    same(computed, lazy.alarms(series, "2022-01-01"))
    status = computed["status"].values
    assert (status[:, 1] == AlarmStatus.PERSISTING).all()
    assert found.attrs["indices"] == ["NDVI", "NIR"]


def test_nothing_is_computed_before_somebody_asks(nothing_is_computed):
    scenes = cut(stack(), (3, 4))
    found = [lazy.indices(scenes), lazy.composite(scenes), lazy.alarms(cut(years(), (2, 2)), "2022-01-01")]
    # from bands to indices to alarms, all of it still to be done
    found.append(lazy.alarms(lazy.indices(scenes)[["NDVI"]], "2021-02-10"))
    assert all(is_lazy(one) for one in found)
    with pytest.raises(TouchedError):
        found[-1].compute()


def test_a_series_without_a_history_is_refused_before_anything_is_read(nothing_is_computed):
    with pytest.raises(ValueError, match="no date lies before 2020-01-01; begin later"):
        lazy.alarms(cut(years(), (2, 2)), "2020-01-01")
    with pytest.raises(InputFileError, match="there are no dates"):
        lazy.alarms(xr.Dataset({"NDVI": ("x", [1.0])}), "2020-01-01")


def test_where_a_site_lies_stays_with_it():
    scenes = cut(stack().assign_coords(spatial_ref=32652), (3, 3))
    for found in (lazy.indices(scenes), lazy.composite(scenes)):
        assert int(found["spatial_ref"]) == 32652
        np.testing.assert_array_equal(found["x"], scenes["x"])


def test_a_function_of_ones_own_and_dimensions_of_its_own():
    scenes = cut(stack(), (2, 3))["B04"]
    shares = lambda dates: (np.nanmean(dates, axis=0)[None], np.isfinite(dates).sum(axis=0))  # noqa: E731
    mean, count = lazy.map_pixels(
        shares, scenes.fillna(0), over=[("time",)], gives=[("part",), ()], dtypes=[np.float32, int],
        sizes={"part": 1},
    )  # fmt: skip
    assert mean.dims == ("part", "y", "x")
    assert count.dims == ("y", "x")
    assert (count.values == 6).all()
