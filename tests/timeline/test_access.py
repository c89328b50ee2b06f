"""Which bands a series takes of an archive."""

from datetime import UTC, datetime

import pytest

from changedet.scene import Asset, Granule, Scene
from changedet.timeline.access import SERIES_BANDS, series_bands

TIME = datetime(2024, 5, 1, tzinfo=UTC)


def scene(*offered):
    granules = tuple(
        Granule(
            f"granule-{number}", "made up", None, TIME, assets={name: Asset(f"{name}.tif") for name in names}
        )
        for number, names in enumerate(offered)
    )
    return Scene("made-up", "made up", "L2A", "made up", TIME, granules=granules)


@pytest.mark.parametrize(
    ("scenes", "lacks"),
    [
        ([scene()], False),
        ([scene(())], False),
        ([scene(SERIES_BANDS)], False),
        ([scene((*SERIES_BANDS, "SCL")), scene(SERIES_BANDS[:-1])], True),
        ([scene(SERIES_BANDS, SERIES_BANDS[:-1])], True),
    ],
)
def test_a_series_goes_without_b12_where_an_archive_has_none(scenes, lacks):
    assert series_bands(scenes) == (SERIES_BANDS[:-1] if lacks else SERIES_BANDS)


def test_what_a_series_cannot_do_without_is_asked_for_all_the_same():
    assert "B11" in series_bands([scene(("B02", "B03", "B04", "B08"))])
