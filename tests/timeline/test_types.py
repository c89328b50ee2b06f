"""Timelines of images in memory: zones, breaks, baselines, activity, and what is said of too little."""

from dataclasses import replace

import numpy as np
import pytest
from tests.timelines import GRID, HALL, HALL_PLACE, YARD, make_images, make_synthetic

from changedet.core.series_behaviour import Pattern
from changedet.errors import MissingBandError, NoOverlapError, NoUsableImageryError, UsageError
from changedet.kinds import BUILT_UP_MOST_NDVI, Kind, built_up
from changedet.output.timeline_facts import break_sentence, finding, timeline_lines, zone_sentences
from changedet.timeline.access import plan_local_series
from changedet.timeline.making import TimelineRequest
from changedet.timeline.types import TimelineSettings, index_names
from changedet.timeline.zones import object_zone, point_zone, polygon_zone


@pytest.fixture(scope="module")
def timeline():
    return make_synthetic(make_images(hidden={5, 18, 19}))


def test_zones_are_the_site_its_built_up_ground_and_what_was_asked_for(timeline):
    kinds = [one.zone.kind for one in timeline.zones]
    assert kinds == ["site", "built-up", "point"]
    built = timeline.zones[1].zone.mask
    assert built[YARD].mean() > 0.95
    # what was green on more dates than not is not built up
    assert not built[HALL].any()
    assert timeline.zones[2].zone.mask[HALL].sum() == 9


def test_the_break_lies_between_the_clear_dates_on_either_side(timeline):
    (one,) = timeline.zones[-1].breaks
    assert (one.after, one.by) == (timeline.dates[17].date, timeline.dates[20].date)
    assert (one.state, one.kind, one.over_by) == ("persisting", Kind.CONSTRUCTION, "")
    assert one.built and one.pattern == Pattern.STEP and one.share_beyond == 1.0
    assert (one.dates_before, one.dates_inside) == (17, 16)
    assert one.steps["brightness"] == pytest.approx(0.195, abs=0.02)
    assert not timeline.zones[1].breaks


def test_the_baseline_is_that_of_the_ground_before(timeline):
    zone = timeline.zones[-1]
    before, after = slice(0, 17), slice(20, None)
    units = (zone.values - zone.expected) / zone.sigma
    assert np.nanmax(np.abs(units[before])) < 4
    assert (units[after, 1] > timeline.band_sigma).all()
    usual, sigma = zone.curve(timeline.days[:3])
    np.testing.assert_allclose(usual, zone.expected[:3], rtol=1e-5)
    assert (sigma > 0).all()


def test_a_hidden_zone_says_why_and_the_others_go_on(timeline):
    zone = timeline.zones[-1]
    assert [number for number, text in enumerate(zone.reasons) if text] == [5, 18, 19]
    assert zone.reasons[5] == "cloud or shadow over it: 0% seen"
    assert np.isnan(zone.values[5]).all() and timeline.zones[1].used.all()


def test_activity_is_a_share_of_the_built_up_pixels(timeline):
    found = timeline.activity
    assert found.built_pixels == int(timeline.zones[1].zone.mask.sum())
    assert np.nanmedian(found.built_share) < 0.1
    works = make_images()
    for number in (30, 31):
        works[number].data[:, 2:8, 2:14] *= np.float32(1.6)
    busy = make_synthetic(works).activity.built_share
    assert busy[[30, 31]].min() > 0.4 > np.delete(busy, [30, 31]).max()


def test_the_dataset_has_dimensions_and_attributes(timeline):
    data = timeline.to_xarray()
    assert dict(data.sizes) == {"time": 36, "index": 3, "zone": 3}
    assert data.value.dims == ("time", "index", "zone")
    assert data.time.attrs["standard_name"] == "time"
    assert str(data.time.values[0])[:19] == "2021-03-01T02:16:01"
    assert data.attrs["Conventions"].startswith("CF-")
    assert '"kind": "construction"' in data.attrs["breaks"]
    zone = timeline.zones[-1]
    np.testing.assert_array_equal(data.value.sel(zone=zone.zone.name), zone.values)
    inside = (data.value > data.band_low) & (data.value < data.band_high)
    assert inside.sel(zone="built-up ground").mean() > 0.9


def test_the_page_of_kinds_says_rule_numbers_floor_and_what_passes():
    images = make_images(built_at=99)
    for number in (12, 13, 14, 15):
        images[number].data[:, YARD[0], YARD[1]] = np.float32([0.09, 0.13, 0.18, 0.24, 0.30, 0.26])[
            :, None, None
        ]
    images[30].data[:, YARD[0], YARD[1]] = np.float32(0.6)
    found = make_synthetic(images, points=("38.27168, 126.49750",))
    zone = found.zones[-1]
    (one,) = zone.breaks
    assert one.found.kind.value == "maintenance" and one.state == "over"
    assert "consistent with maintenance or activity" in break_sentence(one)
    assert one.to_dict()["decided_by"]["rule"] == "works that were filled again"
    (cloud,) = [part for part in zone.passing if part.found.kind.value == "cloud"]
    assert cloud.dates == 1 and cloud.by == found.dates[30].date
    lines = "\n".join(timeline_lines(found))
    assert f"remnant of cloud ({cloud.by})" in lines
    assert "Detection floor of maintenance, from the noise of" in lines


def test_few_dates_give_values_alone_and_say_so():
    found = make_synthetic(make_images(6))
    zone = found.zones[-1]
    assert zone.baseline is None and not zone.breaks and zone.used.all()
    assert zone.notes[0].startswith("only 6 date(s) show it, of 8 that a baseline takes")
    assert "Only 6 date(s) show it" in str(found)
    assert "Too few clear dates to look for breaks: nothing is said about change." in finding(found)
    assert "No persisting break" not in finding(found)


def test_a_change_of_the_last_dates_is_provisional():
    found = make_synthetic(make_images(built_at=34))
    (one,) = found.zones[-1].breaks
    assert one.state == "provisional" and not one.built
    assert "provisional: so far 2 clear date(s) show it" in break_sentence(one)
    last = make_synthetic(make_images(built_at=35)).zones[-1]
    assert not last.breaks
    assert "lie outside the band: provisional, look again" in last.notes[-1]


def test_less_than_a_year_and_a_half_calls_nothing_persisting():
    found = make_synthetic(make_images(30, 12, built_at=18))
    assert any("season and change cannot be told apart" in text for text in found.warnings)
    assert {one.state for one in found.zones[-1].breaks} <= {"provisional", "over"}
    assert "No persisting break" in finding(found)


def test_what_is_taken_away_again_is_over():
    images = make_images(built_at=99)
    for number in range(12, 18):
        images[number].data[:, HALL[0], HALL[1]] = np.float32(0.25)
    (one,) = make_synthetic(images).zones[-1].breaks
    assert (one.state, one.built) == ("over", False)
    assert "it showed until" in break_sentence(one) and "no longer on" in break_sentence(one)


def test_an_index_without_bands_is_left_out_or_refused():
    images = [image.select(("B04", "B08")) for image in make_images()]
    found = make_synthetic(images, indices=("NDVI", "NDBI"))
    assert found.indices == ("NDVI",) and found.warnings[0] == "no NDBI: the images lack B11"
    assert found.chips is None
    with pytest.raises(MissingBandError, match=r"no NDBI: the images lack B11; ask for NDVI, NIR"):
        make_synthetic(images, indices=("NDBI",))


def test_words_never_promise(timeline):
    text = "\n".join(timeline_lines(timeline) + [s for zone in timeline.zones for s in zone_sentences(zone)])
    assert "consistent with new construction" in text
    for word in ("confirmed", "no change", "probab"):
        assert word not in text.lower()


def test_registering_images_that_lie_on_each_other_moves_nothing():
    found = make_synthetic(make_images(10, 60), register=True)
    for one in found.dates:
        assert max(map(abs, one.shift_px)) < 0.25
    assert {one.how for one in found.dates} <= {
        "tie points, all dates together", "least squares on the median of the others",
    }  # fmt: skip


def test_names_of_indices_are_read_in_any_case():
    assert index_names("NDVI, ndvi,BSI") == ("NDVI", "BSI")
    with pytest.raises(UsageError, match=r"there is no index 'evi'; use some of ndvi"):
        index_names("evi")
    with pytest.raises(UsageError, match="there is no index"):
        index_names(" , ")
    with pytest.raises(UsageError, match="no index, or a band of no width"):
        replace(TimelineSettings(), band_sigma=0)


def test_zones_outside_or_unreadable_are_refused(tmp_path):
    from shapely.geometry import box

    with pytest.raises(NoOverlapError, match="the point lies outside the site"):
        point_zone("38.9, 126.5", GRID)
    with pytest.raises(NoOverlapError, match="lies outside the site"):
        polygon_zone("far", box(0, 0, 10, 10), GRID)
    with pytest.raises(UsageError, match="write it as RUNFOLDER:ID"):
        object_zone("runs/pier", GRID)
    left, top = 281000, 4239000
    sliver = polygon_zone("sliver", box(left + 51, top - 59, left + 53, top - 57), GRID)
    assert sliver.mask.sum() == 1 and sliver.window == (slice(5, 6), slice(5, 6))


def test_objects_of_an_earlier_run_are_followed(tmp_path):
    from tests.synthetic import make_result

    from changedet.output.folder import save

    result = make_result()
    folder = save(result, tmp_path / "run", keep_images=False)
    number = int(result.objects["id"].iloc[0])
    zone = object_zone(f"{folder}:{number}", result.grid)
    area = float(result.objects.geometry.iloc[0].area)
    assert zone.kind == "object" and zone.mask.sum() * 100 == pytest.approx(area, rel=0.5)
    with pytest.raises(UsageError, match=r"there is no object 99 \(there are: "):
        object_zone(f"{folder}:99", result.grid)


def test_a_request_needs_a_span_or_a_folder():
    with pytest.raises(UsageError, match="no span of time was given; give --during"):
        TimelineRequest()
    with pytest.raises(UsageError, match="not within 0 and 1"):
        TimelineRequest("2024", min_clear=2.0)
    with pytest.raises(UsageError, match="no place was given"):
        TimelineRequest("2024").plan(None)


def test_clouds_on_every_date_leave_nothing():
    images = [replace(image, valid=np.zeros_like(image.valid)) for image in make_images(4)]
    with pytest.raises(NoUsableImageryError, match=r"none of 4 date\(s\) can be used"):
        make_synthetic(images, register=True)


def test_green_ground_is_not_built_up():
    values = {"NDVI": 0.1, "NDWI": -0.1, "NIR": 0.25, "redness": 0.05, "brightness": 0.2}
    typical = {name: np.float32([value] * 3) for name, value in values.items()}
    greenest = np.float32([0.2, BUILT_UP_MOST_NDVI, np.nan])
    assert built_up(typical, greenest).tolist() == [True, False, False]
    assert not built_up({"NDVI": typical["NDVI"]}, greenest).any()


def test_folders_without_dates_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        plan_local_series(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match="no dated scene in this folder"):
        plan_local_series(tmp_path)
    (tmp_path / "20240105.tif").write_bytes(b"no raster")
    with pytest.raises(FileNotFoundError, match=r"no dated scene in this folder \(of 20240105.tif: .+\)"):
        plan_local_series(tmp_path)


def test_the_place_of_the_hall_is_where_it_says():
    zone = point_zone(HALL_PLACE, GRID)
    rows, columns = zone.window
    assert HALL[0].start < rows.start and rows.stop < HALL[0].stop
    assert HALL[1].start < columns.start and columns.stop < HALL[1].stop
