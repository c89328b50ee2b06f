"""Figures show themselves where a notebook asks for a picture, and stay out of pyplot."""

import sys

from tests.synthetic import make_result

from changedet.output.plate import plot


def test_a_plot_is_a_picture_for_a_notebook():
    picture = plot(make_result())._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_pyplot_is_not_touched():
    plot(make_result())
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
