"""Scenes, images and searches show themselves in a few lines, without pixels and without links."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.synthetic import BEFORE_TIME, make_image, make_scene

from changedet.errors import UsageError
from changedet.scene import Asset, Image
from changedet.scene_list import SceneList
from changedet.site import Site

SIGNED = "https://user:word@host/B04.tif?sig=secret"


@pytest.fixture
def scenes():
    signed = {"B04": Asset(SIGNED)}
    later = BEFORE_TIME + timedelta(days=5)
    return SceneList(
        [
            make_scene(assets=signed, tile_cloud_share=0.06, coverage=1.0),
            make_scene(later, relative_orbit=None, id="<b>later</b>"),
        ]
    )


def test_a_scene_is_one_line_without_links(scenes):
    scene = scenes[0]
    assert repr(scene) == (
        f"Scene({scene.id}, 2023-05-14T02:07:01Z, Sentinel-2A L2A, local, 1 bands)"
    )  # fmt: skip
    composite = replace(scene, members=tuple(scenes))
    assert repr(composite).startswith(f"Scene({scene.id}, <b>later</b>, 2 dates, ")


def test_an_image_is_one_line_without_pixels():
    image = make_image()
    said = repr(image)
    assert "\n" not in said
    assert "array" not in said
    assert f"bands {', '.join(image.bands)}, 120 x 100 pixels, EPSG:32652, 98.4 % usable" in said
    empty = Image(image.data[:, :0, :0], image.bands, image.valid[:0, :0], image.classes[:0, :0],
                  image.grid[:0, :0], image.scene)  # fmt: skip
    assert "nothing usable" in repr(empty)


def test_a_search_is_a_list_that_shows_a_table(scenes):
    assert isinstance(scenes, list)
    assert scenes == list(scenes)
    assert [one.id for one in scenes][1] == scenes[-1].id
    head, columns, first, second = repr(scenes).splitlines()
    assert head == "2 scene(s)"
    assert columns.split() == ["date", "platform", "level", "orbit", "tile", "cloud", "covers", "id"]
    assert first.split() == [
        "0", "2023-05-14T02:07:01Z", "Sentinel-2A", "L2A", "3", "6%", "100%", scenes[0].id
    ]  # fmt: skip
    assert second.split() == ["1", "2023-05-19T02:07:01Z", "Sentinel-2A", "L2A", "<b>later</b>"]
    assert repr(SceneList()).startswith("0 scene(s)")


def test_a_notebook_gets_a_table_without_secrets_or_markup(scenes):
    html = scenes._repr_html_()
    assert html.count("<tr>") == 3
    assert "&lt;b&gt;later&lt;/b&gt;" in html
    for text in (html, repr(scenes), repr(scenes[0])):
        assert "secret" not in text
        assert "https" not in text


@pytest.mark.parametrize("wrong", ["S2X", ["S2X"], None])
def test_only_a_scene_can_be_fetched(wrong):
    site = Site.at("38.5, 126.1")
    with pytest.raises(UsageError, match="give one Scene from search"):
        site.fetch(wrong)


def test_a_search_gives_such_a_list(scenes, monkeypatch):
    monkeypatch.setattr("changedet.access.fetching.find_scenes", lambda *_: list(scenes))
    found = Site.at("38.5, 126.1").search("2023")
    assert type(found) is SceneList
    assert json.dumps([one.to_dict() for one in found])
