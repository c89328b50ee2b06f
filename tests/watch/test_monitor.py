"""One site, pass by pass: what is told once, what is never told, and what an end at any moment costs."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from shapely.geometry import box
from tests.watch import simulated
from tests.watch.queries import unfinished_passes
from tests.watch.simulated import (
    BUILT,
    CLOUD,
    FIELD,
    FIRST,
    HALL,
    RULES,
    SINCE,
    SITE,
    SNOW,
    SOIL,
    Happening,
    SimulatedProvider,
    built,
    place_of,
    watch,
)

from changedet.errors import BudgetError, InputFileError, NoUsableImageryError, ProviderError, UsageError
from changedet.progress import Silent
from changedet.providers.base import Estimate
from changedet.providers.tracked import TrackedProvider
from changedet.watch import monitor
from changedet.watch.alerts import read_alerts
from changedet.watch.arrays import read_arrays
from changedet.watch.following import followed_things
from changedet.watch.gathering import Place
from changedet.watch.holding import hold
from changedet.watch.looking import WatchSpan
from changedet.watch.masks import add_mask
from changedet.watch.monitor import close_abandoned, watch_site
from changedet.watch.overview import site_history, watch_status
from changedet.watch.runs import site_row
from changedet.watch.state import open_state

EVERYWHERE = (slice(None), slice(None))
END = datetime(2023, 9, 1, tzinfo=UTC)


def alerts_of(path):
    with open_state(path) as state:
        return read_alerts(state)


def facts_of(path):
    """What counts of a state file, without when and by whom it was written."""
    with open_state(path) as state:
        arrays = read_arrays(state, "Pier").arrays
        things = followed_things(state).drop(columns=["geometry"]).to_dict("records")
        scenes = state.rows("SELECT scene_id, status, reason FROM scenes ORDER BY scene_id")
        objects = state.rows("SELECT kind, area_m2, first_seen, last_seen_before, followed_id FROM objects")
        told = [(one.key, one.text, one.after_utc, one.by_utc) for one in read_alerts(state)]
        return arrays, things, scenes, objects, told


def require_same(first, second):
    for ours, theirs in zip(facts_of(first)[1:], facts_of(second)[1:], strict=True):
        assert ours == theirs
    ours, theirs = facts_of(first)[0], facts_of(second)[0]
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


@pytest.fixture(scope="module")
def one_go(tmp_path_factory):
    """A hall is built in April; watched in one pass."""
    path = tmp_path_factory.mktemp("one-go") / "watch.gpkg"
    return path, watch(path, SimulatedProvider((built(),)), END)


def test_what_is_built_is_told_once_with_its_dates(one_go):
    path, found = one_go
    (alert,) = alerts_of(path)
    assert (found.alerts, alert.kind, alert.status) == (1, "new construction", "persisting")
    dates = [one.time_text for one in SimulatedProvider().scenes()]
    place = next(number for number, text in enumerate(dates) if text >= "2023-04-01")
    assert [alert.after_utc, alert.by_utc] == dates[place - 1 : place + 1]
    truth = 100 * (HALL[0].stop - HALL[0].start) * (HALL[1].stop - HALL[1].start)
    assert alert.area_m2 == pytest.approx(truth, rel=0.1)
    assert "2023-0" in alert.text and "candidate of new construction" in alert.text
    assert found.learned == 73 and found.watched_share > 0.95
    (thing,) = [one for one in found.candidates if one.status == "persisting"]
    assert thing.indices == ("NDVI", "brightness", "NDBI")


def test_many_short_passes_are_one_long_one(one_go, tmp_path):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),))
    told = []
    for until in [SINCE, *(SINCE + timedelta(days=days) for days in range(17, 243, 17)), END]:
        told.append(watch(path, provider, until).alerts)
    assert sum(told) == 1
    require_same(one_go[0], path)
    # each pass but the first searches what is new and a little before
    assert all(stop - start < timedelta(days=45) for start, stop in provider.searches[6:])
    assert provider.loads.count("date-080") == 1


def test_a_pass_without_news_fetches_nothing(one_go):
    path, provider = one_go[0], SimulatedProvider((built(),))
    found = watch(path, provider, END)
    assert (found.taken, found.alerts, found.learned, provider.loads) == ((), 0, 0, [])
    assert [one.status for one in found.candidates] == ["persisting"]


@pytest.mark.parametrize(
    "killed_in", ["prepare_arrays", "add_arrays", "add_scene", "add_objects", "add_alert"]
)
def test_who_is_killed_loses_and_doubles_nothing(one_go, tmp_path, monkeypatch, killed_in):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),))
    rng, real = np.random.default_rng(sum(map(ord, killed_in))), getattr(monitor, killed_in)
    calls = [0, int(rng.integers(1, 3 if killed_in in {"add_objects", "add_alert"} else 20))]

    def killed(*arguments, **more):
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(monitor, killed_in, killed)
    if calls[1] == 2 and killed_in == "add_alert":
        calls[1] = 1
    with pytest.raises(KeyboardInterrupt):
        watch(path, provider, END)
    with open_state(path, write=True) as state:
        assert len(unfinished_passes(state)) == 1
        assert close_abandoned(state) == 1 and not unfinished_passes(state)
        assert "interrupted" in " ".join(row["text"] for row in site_history(state, "Pier"))
    watch(path, provider, END)
    require_same_but_ids(one_go[0], path)


def require_same_but_ids(first, second):
    """Rows of a pass that was undone take numbers with them; nothing else may differ."""
    ours, theirs = facts_of(first), facts_of(second)
    assert ours[2:] == theirs[2:]
    for name in ours[0]:
        np.testing.assert_array_equal(ours[0][name], theirs[0][name], err_msg=name)


def harvests(time):
    return 190 <= time.timetuple().tm_yday <= 265


def silent_worlds():
    winter = lambda time: time.month in {12, 1, 2}  # noqa: E731
    residue = lambda time: time.day % 7 == 3  # noqa: E731
    missed_snow = lambda time: time.year == 2023 and time.month == 2  # noqa: E731
    gone = lambda time: datetime(2023, 4, 1, tzinfo=UTC) <= time < datetime(2023, 4, 22, tzinfo=UTC)  # noqa: E731
    return {
        "nothing": (),
        "a harvest in July of every year": (Happening(FIELD, SOIL, harvests),),
        "snow that is seen as snow": (Happening(EVERYWHERE, SNOW, winter, 11),),
        "snow that is missed for some weeks": (Happening(EVERYWHERE, SNOW, missed_snow),),
        "clouds that are missed on some dates": (Happening(HALL, CLOUD, residue),),
        "a decoy that comes and is taken away": (Happening(HALL, BUILT, gone),),
    }


@pytest.mark.parametrize("name", silent_worlds())
def test_what_season_and_weather_make_is_never_told(name, tmp_path):
    provider = SimulatedProvider(silent_worlds()[name])
    found = watch(tmp_path / "watch.gpkg", provider, datetime(2023, 12, 20, tzinfo=UTC))
    assert found.alerts == 0 and not alerts_of(tmp_path / "watch.gpkg")
    assert len(found.taken) > 20


def test_what_has_to_wait_is_listed_and_not_told(tmp_path):
    """Bare ground may be a harvest: a few dates that show it are not enough, as they are of a roof."""
    cleared = Happening(HALL, SOIL, lambda time: time >= datetime(2023, 4, 1, tzinfo=UTC))
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((cleared,))
    found = watch(path, provider, datetime(2023, 5, 20, tzinfo=UTC))
    assert (found.alerts, [one.status for one in found.candidates]) == (0, ["provisional"])
    assert "crops may do so" in found.candidates[0].reason
    assert watch(path, provider, END).alerts == 1


def test_a_roof_is_told_when_clear_dates_of_three_weeks_show_it(tmp_path):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),))
    first = min(one.time for one in provider.scenes() if one.time >= datetime(2023, 4, 1, tzinfo=UTC))
    assert watch(path, provider, first + timedelta(days=21)).alerts == 0
    assert watch(path, provider, first + timedelta(days=31)).alerts == 1


def test_a_thing_that_grows_stays_the_same_thing(tmp_path):
    wing = Happening(
        (slice(20, 27), slice(17, 24)), BUILT, lambda time: time >= datetime(2023, 8, 1, tzinfo=UTC)
    )
    path = tmp_path / "watch.gpkg"
    found = watch(path, SimulatedProvider((built(), wing)), datetime(2023, 11, 15, tzinfo=UTC))
    with open_state(path) as state:
        things = followed_things(state)
    assert (found.alerts, len(things)) == (1, 1)
    assert things["growth"].iloc[0] in {"growing", "stopped"} and things["sightings"].iloc[0] >= 2
    assert things["area_m2"].iloc[0] == pytest.approx(100 * 7 * 16, rel=0.1)
    assert things["first_seen"].iloc[0] < "2023-04-15"


def test_what_a_mask_covers_is_followed_and_not_told(tmp_path):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),))
    watch(path, provider, SINCE)
    with open_state(path, write=True) as state, state.change() as change:
        row = site_row(change, "Pier")
        add_mask(change, row["fid"], box(*SITE.geometry.bounds), reason="our own yard",
                 until=date(2030, 1, 1), made_by="A. Reader")  # fmt: skip
    assert watch(path, provider, END).alerts == 0
    with open_state(path) as state:
        assert len(followed_things(state)) == 1


def test_silence_is_counted_in_days_and_clouds_are_remembered(one_go, tmp_path):
    cloudy = tuple((FIRST + timedelta(days=10 * number)).date() for number in range(97, 130))
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),), cloudy=cloudy)
    found = watch(path, provider, END)
    assert found.last < "2023-09" and 0 < found.silent_days < 11
    later = watch(path, provider, datetime(2023, 10, 20, tzinfo=UTC))
    assert later.silent_days > 45 and later.taken == ()
    assert {one.reason for one in later.left} == {"cloud over the site: 0% of it clear"}
    with open_state(path) as state:
        (row,) = watch_status(state, today=date(2023, 10, 20))
    assert row["silent_days"] in {int(later.silent_days), int(later.silent_days) + 1}
    assert row["scenes"] - row["used"] == len(later.left) + len(found.left)
    assert watch(path, provider, datetime(2023, 10, 20, tzinfo=UTC)).left == ()


def test_a_date_that_comes_late_is_not_taken_and_said(tmp_path):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider()
    late = SimulatedProvider()
    all_scenes = provider.scenes()
    hidden = next(one for one in all_scenes if one.time_text >= "2023-03-01")
    provider.scenes = lambda: [one for one in all_scenes if one.id != hidden.id]
    watch(path, provider, hidden.time + timedelta(days=11))
    (left,) = watch(path, late, hidden.time + timedelta(days=11)).left
    assert (left.id, left.reason) == (hidden.id, "came after later dates had been taken")


def test_a_fault_of_the_provider_ends_the_pass_and_the_next_one_goes_on(tmp_path):
    path, provider = tmp_path / "watch.gpkg", SimulatedProvider((built(),))
    provider.faults["date-080"] = ProviderError("out of order")
    with pytest.raises(ProviderError, match="out of order"):
        watch(path, provider, END)
    with open_state(path) as state:
        (row,) = watch_status(state)
        assert row["last_outcome"] == "failed" and row["used"] == 80
    provider.faults["date-080"] = InputFileError("is torn")
    found = watch(path, provider, END)
    assert [one.reason for one in found.left] == ["cannot be read: is torn"]
    assert found.alerts == 1


def test_what_cannot_be_watched_is_refused_in_words(one_go, tmp_path):
    with pytest.raises(NoUsableImageryError, match=r"2 usable date.*longer --history"):
        watch(tmp_path / "a.gpkg", SimulatedProvider(), END, since=FIRST + timedelta(days=15))
    with pytest.raises(UsageError, match="before it begins"):
        WatchSpan(END, SINCE)
    larger = replace(SITE, geometry=SITE.geometry.buffer(0.001))
    with (
        open_state(one_go[0], write=True) as state,
        pytest.raises(UsageError, match="another one than before"),
    ):
        watch_site(state, place_of(SimulatedProvider(), site=larger), WatchSpan(SINCE, END))


def test_dates_are_laid_on_the_reference_of_the_site(tmp_path, monkeypatch):
    rules = replace(RULES, register=True)
    path, moved = tmp_path / "watch.gpkg", []
    real = simulated.SimulatedProvider.load

    def shifted(self, scene, grid, bands=simulated.SERIES_BANDS, **more):
        image = real(self, scene, grid, bands, **more)
        if scene.time < SINCE:
            return image
        moved.append(scene.id)
        return replace(image, data=np.roll(image.data, 1, axis=2))

    monkeypatch.setattr(simulated.SimulatedProvider, "load", shifted)
    provider = SimulatedProvider(step_days=59)
    found = watch(path, provider, datetime(2023, 10, 1, tzinfo=UTC), rules=rules)
    assert moved and found.taken and found.alerts == 0
    assert not [one for one in found.candidates if one.status == "persisting"]


def test_one_watch_at_a_time_and_the_second_is_told_who(tmp_path):
    from changedet.errors import StateBusyError

    path = tmp_path / "watch.gpkg"
    with (
        hold(path),
        pytest.raises(StateBusyError, match="is being watched by process") as said,
        hold(path, wait_s=0),
    ):
        pass
    assert said.value.details["pid"]
    with hold(path, wait_s=0):
        pass


def test_a_limit_on_costs_holds_before_anything_is_fetched(tmp_path):
    provider = SimulatedProvider()
    provider.estimate = lambda *_: Estimate(processing_units=1.0)
    place = Place(SITE, TrackedProvider(provider, Silent(), 20.0), RULES, Silent())
    with open_state(tmp_path / "w.gpkg", write=True) as state, pytest.raises(BudgetError):
        watch_site(state, place, WatchSpan(SINCE, END))
    assert provider.loads == []
