"""How ``changedet plan`` spells amounts; what it estimates is tested with the list of sites."""

import pytest

from changedet.cli.plan import _amount


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0063, "GB", "6.3 MB"),
        (0.0000001, "GB", "0.1 MB"),
        (12.34, "GB", "12.3 GB"),
        (1234.5, "GB", "1,234 GB"),
        (0.25, "h", "15 min"),
        (0.0013, "h", "0.1 min"),
        (2.0, "h", "2 h"),
        (0, "GB", "0 GB"),
        (72, "", "72"),
        (0.4, "", "0.4"),
    ],
)
def test_small_amounts_are_told_in_smaller_units(value, unit, said):
    assert _amount(value, unit) == said
