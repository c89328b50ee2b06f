"""What the benchmark of kinds in time counts, on few objects; and real fields, where nothing was built."""

import numpy as np
import pytest
from benchmarks import kinds_in_time
from benchmarks.kinds_watched import WatchedSite
from tests.data import data_folder

DATA = data_folder()
FIELDS = sorted((DATA / "s2_l2a_timeseries").glob("*.nc"))
#: Bands of the series of fields.
BANDS = ("B02", "B03", "B04", "B08")


def test_construction_is_found_and_no_decoy_is_taken_for_it():
    found = kinds_in_time.series(31_000, 40)
    assert found["recall"] > 0.6 and found["false"] == 0
    assert found["decoys"] > 5 and found["decoys told as construction"] == 0
    assert found["a true step within one acquisition of it"] >= 0.9
    assert found["of those told"] > 0.8


def test_the_benchmark_notices_what_is_wrong():
    wrong, none = kinds_in_time.Counter(construction=4), kinds_in_time.Counter(nothing=4)
    said = {"maintenance": wrong, "construction": none}
    assert kinds_in_time._told_apart(said) == (0.0, 0.0)
    event = kinds_in_time.construction(np.random.default_rng(0), 100.0, "meadow")
    assert kinds_in_time._holds((kinds_in_time.date_of(99), kinds_in_time.date_of(101)), event)
    assert not kinds_in_time._holds((kinds_in_time.date_of(20), kinds_in_time.date_of(90)), event)


def test_sites_are_the_same_for_the_same_seed_and_things_do_not_touch():
    first, second = WatchedSite(3, 64), WatchedSite(3, 64)
    np.testing.assert_array_equal(first.image(0).data, second.image(0).data)
    share = np.stack([part > 0 for _, part, _ in first.painted])
    assert len(share) > 4 and share.sum(axis=0).max() == 1


def real_objects(path, side=6):
    """Squares of a real series of fields, grey in the visible bands: what is bare then reads as built.

    The files have red and near infrared only. With blue and green taken for red, colour cannot tell soil from
    concrete, and time alone has to.
    """
    xarray = pytest.importorskip("xarray")
    with xarray.open_dataset(path) as cube:
        days = cube.t.values.astype("datetime64[D]").astype(np.float64)
        seen = np.isin(cube.SCL.values, (4, 5, 6))
        red, infrared = (cube[name].values.astype(np.float32) for name in ("B04", "B08"))
    planes = np.stack([red, red, red, infrared], axis=-1)
    planes = planes / np.float32(10_000) if np.nanmedian(planes) > 2 else planes
    for row in range(0, red.shape[1] - side, 2 * side):
        for column in range(0, red.shape[2] - side, 2 * side):
            part = (slice(None), slice(row, row + side), slice(column, column + side))
            clear = (seen[part] & np.isfinite(planes[part]).all(axis=-1)).mean(axis=(1, 2)) > 0.9
            yield days, np.median(np.nan_to_num(planes[part]), axis=(1, 2)), clear


@pytest.mark.skipif(not FIELDS, reason="real series are not there")
@pytest.mark.parametrize("path", FIELDS, ids=lambda path: path.stem[-10:])
def test_no_construction_is_told_of_real_fields(path):
    objects = list(real_objects(path))[:8]
    assert objects
    zones = [
        kinds_in_time.followed(days - days[0], values, clear, 36, bands=BANDS)
        for days, values, clear in objects
    ]
    built = [one for zone in zones for one in zone.breaks if one.found.kind in kinds_in_time.BUILDING]
    # less than a year of dates: whatever is read from grey ground stays provisional
    assert not [one.to_dict() for one in built if one.state == "persisting"]
    assert len(built) <= 1
