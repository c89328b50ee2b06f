"""What notebooks show of a site, a scene, a list of scenes and a timeline."""

import re
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
import shapely
from tests.synthetic import BEFORE_TIME, make_scene
from tests.timelines import make_synthetic

from changedet.scene_list import SceneList
from changedet.site import Site

HOSTILE = "</script><script>alert(1)</script>\u202e\x1b[31m"
LIMIT = 150_000


@cache
def timeline():
    return make_synthetic()


def shown(thing):
    """The HTML of something, which has to be small, whole and offline."""
    html = thing._repr_html_()
    assert len(html.encode()) < LIMIT
    assert not re.search(r"https?:|<script|<link|url\(", html)
    for tag in ("div", "table", "tr", "td", "th", "p", "svg"):
        assert len(re.findall(rf"<{tag}[ >]", html)) == html.count(f"</{tag}>"), tag
    assert not re.search(r"[^-]color:#", html), "a colour of text would not follow light and dark"
    return html


def test_a_site_tells_where_it_is_and_how_large():
    html = shown(Site.at("38.5847, 126.1079", radius_m=2000, name="pier"))
    for part in ("pier", "38.58470, 126.10790", "52SBH48087465", "15.99 km²", "402 x 402 pixels of 10 m"):
        assert part in html
    assert "EPSG:32652" in html


def test_the_sketch_has_the_proportions_of_the_site_and_a_bar_of_a_round_length():
    site = Site.from_bbox(126.0, 38.0, 126.02, 38.03, name="tall")
    html = shown(site)
    width, height = (int(v) for v in re.search(r'width="(\d+)" height="(\d+)"', html).groups())
    rows, columns = site.grid.shape
    assert (height - 22 - 28) / (width - 28) == pytest.approx(rows / columns, rel=0.02)
    assert re.search(r">500 m</text>", html)


def test_a_coast_of_many_corners_is_drawn_with_few():
    outline = shapely.Point(126.0, 38.0).buffer(0.02, quad_segs=20_000)
    assert len(shown(Site("coast", outline))) < 20_000


def test_a_hole_in_a_site_stays_a_hole():
    ring = shapely.Point(126.0, 38.0).buffer(0.02).difference(shapely.Point(126.0, 38.0).buffer(0.01))
    html = shown(Site("ring", ring))
    assert re.search(r'd="(M[^"]*)"', html).group(1).count("Z") == 2
    assert 'fill-rule="evenodd"' in html


def test_a_scene_tells_what_its_report_tells_and_no_link():
    scene = make_scene()
    html = shown(scene)
    for part in (scene.id, "2023-05-14 02:07:01 UTC", "Sentinel-2A", "05.09", "elevation 67.1", "B02"):
        assert part in html
    assert "scenes/B02.tif" not in html
    assert "SIMULATED IMAGERY" in shown(make_scene(simulated=True))


def test_a_long_list_of_scenes_is_cut_and_what_is_left_is_counted():
    scenes = SceneList(make_scene(BEFORE_TIME + timedelta(days=n)) for n in range(500))
    html = shown(scenes)
    assert html.count("<tr>") == 121
    assert "and 380 more" in html
    many = make_scene(members=tuple(scenes[:40]))
    assert "…" in shown(SceneList([many]))


def test_a_timeline_shows_its_finding_and_its_plot():
    html = shown(timeline())
    assert "consistent with new construction" in html
    assert "36 dates, 2021-03-01 to 2023-07-24" in html
    assert html.count("data:image/jpeg;base64,") == 1
    assert "SIMULATED IMAGERY" in html


@pytest.mark.parametrize(
    "thing",
    [
        lambda: Site.at("38.5847, 126.1079", name=HOSTILE),
        lambda: replace(Site.at("38.5847, 126.1079", name="a"), folder=HOSTILE),
        lambda: make_scene(id=HOSTILE, platform=HOSTILE, notes=(HOSTILE,)),
        lambda: SceneList([make_scene(id=HOSTILE, platform=HOSTILE)]),
        lambda: replace(timeline(), name=HOSTILE, warnings=(HOSTILE,)),
        lambda: Site.at("38.5847, 126.1079", name="x" * 10_000),
    ],
)
def test_hostile_names_stay_text(thing):
    html = shown(thing())
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert len(html) < LIMIT
