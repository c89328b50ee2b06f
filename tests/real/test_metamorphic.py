"""What changes a real pair without changing the ground does not change what is flagged."""

import pytest
from benchmarks import metamorphic

CITY = metamorphic.CITIES / "bercy"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CITY.is_dir(), reason="no labelled pairs: set CHANGEDET_DATA to what holds oscd/"),
]


@pytest.fixture(scope="module")
def found():
    return dict(metamorphic.measure(CITY))


@pytest.mark.parametrize("change", metamorphic.TEXTS)
def test_what_is_flagged_stays(found, change):
    assert found[change] >= metamorphic.BAR, found
