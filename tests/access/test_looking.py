"""Looking at a site on many dates: several at one time, and one spoilt date does not end the rest."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.synthetic import make_scene

from changedet.access.looking import cost_of_looks, look_at_all, look_at_kept
from changedet.errors import BudgetError, CredentialsError, NoOverlapError, ProviderError
from changedet.progress import Silent
from changedet.providers.base import Estimate
from changedet.providers.stopping import stop_event
from changedet.site import Site

SITE = Site.at("38.58, 126.11", radius_m=300)
GONE = ProviderError("the catalogue lists a file that is not there (404)", where="scene-1, SCL")


class Archive:
    """Gives clear classes, or the error that stands for a scene; holds the looks that are kept."""

    name = "archive"

    def __init__(self, errors=None, kept=()):
        self.errors, self.kept, self.asked = errors or {}, kept, []

    def classes(self, scene, grid):
        self.asked.append(scene.id)
        if scene.id in self.errors:
            raise self.errors[scene.id]
        return np.full(tuple(grid.shape), 4, np.uint8)

    def estimate(self, scene, grid, bands=None):
        return Estimate() if scene.id in self.kept else Estimate(3, 0.5, 1.0)


def scenes(count, **more):
    return [make_scene(id=f"scene-{number}", **more) for number in range(count)]


def test_one_spoilt_date_is_left_out_with_its_reason():
    archive = Archive({"scene-1": GONE, "scene-2": NoOverlapError("the scene does not cover any ground")})
    looks = look_at_all(SITE, scenes(4), archive, Silent())
    assert [look.scene.id for look in looks] == [f"scene-{n}" for n in range(4)]
    assert [look.clear_share for look in looks] == [1.0, 0.0, 0.0, 1.0]
    assert looks[1].rejected == "the catalogue lists a file that is not there (404)"
    assert looks[2].to_dict()["rejected"] == "the scene does not cover any ground"
    assert looks[0].to_dict()["rejected"] is None


def test_when_nothing_can_be_looked_at_the_first_error_stands_for_all():
    archive = Archive({"scene-0": GONE, "scene-1": ProviderError("later")})
    with pytest.raises(ProviderError, match="not there") as caught:
        look_at_all(SITE, scenes(2), archive, Silent())
    assert caught.value is GONE


@pytest.mark.parametrize("final", [CredentialsError("refused"), BudgetError("too much")])
def test_what_concerns_all_dates_ends_the_run(final):
    with pytest.raises(type(final)):
        look_at_all(SITE, scenes(3), Archive({"scene-1": final}), Silent())


def test_nothing_to_look_at():
    assert look_at_all(SITE, [], Archive(), Silent()) == []


def test_looks_overlap_but_not_beyond_what_the_settings_allow(workplace, monkeypatch):
    monkeypatch.setenv("CHANGEDET_PROVIDERS__ARCHIVE__MAX_PARALLEL", "3")
    together, lock, inside, most = threading.Barrier(3, timeout=10), threading.Lock(), set(), []

    class Slow(Archive):
        def classes(self, scene, grid):
            with lock:
                inside.add(scene.id)
                most.append(len(inside))
            together.wait()
            with lock:
                inside.discard(scene.id)
            return super().classes(scene, grid)

    shares = []

    class Listener(Silent):
        def advance(self, share):
            shares.append(share)

    assert len(look_at_all(SITE, scenes(6), Slow(), Listener())) == 6
    assert max(most) == 3
    assert shares == pytest.approx([n / 6 for n in range(1, 7)])


def test_an_interruption_stops_what_is_under_way():
    """The first look is done and the user interrupts; the others would wait for a server without end."""
    waiting, stopped = threading.Barrier(4, timeout=10), []

    class Hanging(Archive):
        def classes(self, scene, grid):
            with stop_event() as stop:
                waiting.wait()
                if scene.id != "scene-0":
                    stopped.append(stop.wait(10))
            return super().classes(scene, grid)

    class Interrupting(Silent):
        def advance(self, share):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at_all(SITE, scenes(4), Hanging(), Interrupting())
    assert stopped == [True, True, True]


def test_without_looking_only_what_is_kept_is_read():
    archive = Archive(kept={"scene-1"})
    two = scenes(2, tile_cloud_share=0.25)
    first, second = look_at_kept(SITE, two, archive)
    assert archive.asked == ["scene-1"]
    assert (first.clear_share, first.cloud_share, first.measured) == (0.75, 0.25, False)
    assert (second.clear_share, second.measured) == (1.0, True)
    assert cost_of_looks(SITE, (first, second), archive) == Estimate(3, 0.5, 1.0)
    assert first.to_dict()["measured"] is False


def test_radar_needs_no_look():
    scene = replace(make_scene(), platform="Sentinel-1A", level="RTC", coverage=0.97)
    archive = Archive()
    for look in (*look_at_kept(SITE, [scene], archive), *look_at_all(SITE, [scene], archive, Silent())):
        assert (look.clear_share, look.measured) == (0.97, True)
    assert archive.asked == []
