"""Results as layers of an online map."""

import builtins
from dataclasses import replace

import pytest
from odc.geo.geobox import GeoBox
from tests.synthetic import make_radar_alone, make_result

from changedet.errors import UsageError
from changedet.notebook.maps import ONLINE

HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def folium():
    return pytest.importorskip("folium", reason="folium is not installed")


def test_images_and_candidates_are_layers_and_it_says_that_it_is_online(folium):
    html = make_result().to_folium().get_root().render()
    assert html.count("L.imageOverlay(") == 2
    assert html.count("data:image/png;base64,") == 2
    for part in ("before 2023-05-14 02:07:01 UTC", "after 2025-05-14", "52SBH46557610", "#d55e00", ONLINE):
        assert part in html
    assert "Contains modified Copernicus Sentinel data" in html


def test_the_images_lie_where_the_grid_lies(folium):
    result = make_result()
    layer = next(c for c in result.to_folium()._children.values() if type(c).__name__ == "ImageOverlay")
    (south, west), (north, east) = layer.bounds
    assert (south + north) / 2 == pytest.approx(38.596, abs=0.003)
    assert (west + east) / 2 == pytest.approx(126.088, abs=0.005)
    assert (north - south) * 111_200 == pytest.approx(1000, rel=0.05)


def test_hostile_texts_stay_text(folium):
    result = make_result(name=HOSTILE)
    objects = result.objects.assign(confidence=HOSTILE)
    html = replace(result, objects=objects).to_folium().get_root().render()
    assert "<script>alert(1)" not in html


def test_radar_and_a_result_without_candidates_can_be_mapped(folium):
    assert "L.imageOverlay(" in make_radar_alone().to_folium().get_root().render()
    empty = make_result(boxes=[], kinds=[]).to_folium().get_root().render()
    assert "L.geoJson(" not in empty


def test_a_result_that_lies_nowhere_is_refused(folium):
    result = make_result()
    nowhere = GeoBox(result.grid.shape, result.grid.affine, None)
    images = {name: replace(getattr(result, name), grid=nowhere) for name in ("before", "after")}
    with pytest.raises(UsageError, match="no place or no pixels"):
        replace(result, grid=nowhere, **images).to_folium()


def test_without_folium_it_is_said_how_to_get_it(monkeypatch):
    usual = builtins.__import__

    def refuse(name, *rest):
        if name == "folium":
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"maps need folium; pip install 'changedet\[maps\]'"):
        make_result().to_folium()
