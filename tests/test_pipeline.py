import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from tests.runs import rewrite

import changedet as cd
from changedet import pipeline
from changedet.comparison import DetectSettings, threshold_of
from changedet.core.displacement import DisplacementField
from changedet.core.threshold import ThresholdParameters
from changedet.core.warping import shift_image
from changedet.errors import CrsMismatchError, NoOverlapError, NoUsableImageryError, UsageError
from changedet.frame import choose_frame, displaced, site_mask
from changedet.kinds import KIND_LABELS, Kind
from changedet.pairing import make_pair
from changedet.pipeline import detect, register
from changedet.providers.local import LocalOptions, open_source
from changedet.result import State
from changedet.samples import SceneSettings, simulate_pair
from changedet.site import Site

#: A corner of the simulated ground that holds three of its events.
CENTRE = "38.2707, 126.4994"


def truth_of(sample, name, grid):
    return gpd.read_file(sample / name).to_crs(grid.crs.to_wkt())


def codes_inside(state, grid, outlines):
    from rasterio.features import geometry_mask

    return state[geometry_mask(outlines, tuple(grid.shape), grid.transform, invert=True)]


def same_rasters(first, second):
    return all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        for name in ("score", "state", "kind")
    )


class TestTheSamplePair:
    def test_most_events_are_flagged(self, sample_result, sample):
        objects = sample_result.objects
        events = truth_of(sample, "truth.geojson", sample_result.grid)
        shares = [objects.intersection(g).area.sum() / g.area for g in events.geometry]
        assert sum(share >= 0.3 for share in shares) >= 4, dict(zip(events["name"], shares, strict=True))

    def test_the_kinds_of_the_events_are_among_those_given(self, sample_result, sample):
        events = truth_of(sample, "truth.geojson", sample_result.grid).set_index("name")
        for name in ("apron resurfaced", "pad cleared in the forest"):
            hit = sample_result.objects[sample_result.objects.intersects(events.geometry[name])]
            assert events["kind"][name] in set(hit["kind"])

    def test_not_much_else_is_flagged(self, sample_result, sample):
        known = [truth_of(sample, f"{n}.geojson", sample_result.grid) for n in ("truth", "decoys")]
        outlines = [g.buffer(20) for table in known for g in table.geometry]
        flagged = (sample_result.state == State.CHANGED).sum()
        explained = (codes_inside(sample_result.state, sample_result.grid, outlines) == State.CHANGED).sum()
        assert explained / flagged > 0.8

    def test_snow_on_one_date_is_not_comparable(self, sample_result, sample):
        decoys = truth_of(sample, "decoys.geojson", sample_result.grid)
        snow = decoys[decoys["kind"] == "snow"].geometry.buffer(-20)
        codes = codes_inside(sample_result.state, sample_result.grid, snow)
        seen = codes[codes != State.NOT_OBSERVED]
        assert seen.size > 100
        assert np.mean(seen == State.NOT_COMPARABLE) > 0.95

    def test_clouds_are_not_observed(self, sample_result, sample):
        codes = []
        for date in ("before", "after"):
            with rasterio.open(next((sample / date).glob("*SCL.tif"))) as file:
                codes.append(np.kron(file.read(1), np.ones((2, 2), np.uint8)))
        cloudy = np.isin(codes[0], (8, 9))
        assert cloudy.sum() > 1000
        assert (sample_result.state[cloudy] == State.NOT_OBSERVED).all()
        # the classes of the after date move with the image
        assert np.mean(sample_result.state[np.isin(codes[1], (8, 9))] == State.NOT_OBSERVED) > 0.98

    def test_the_shift_is_that_of_the_truth(self, sample_result, sample):
        wanted = json.loads((sample / "truth.json").read_text())["shift_px"]
        assert np.allclose(sample_result.registration.shift_px, wanted, atol=0.05)
        assert sample_result.registration.passed

    def test_outputs_lie_on_the_grid_of_the_before_image(self, sample_result, sample):
        with rasterio.open(next((sample / "before").glob("*B04.tif"))) as file:
            assert sample_result.grid == GeoBox(file.shape, file.transform, file.crs)
        for plane in (sample_result.score, sample_result.state, sample_result.kind):
            assert plane.shape == tuple(sample_result.grid.shape)

    def test_rasters_and_objects_agree(self, sample_result):
        changed = sample_result.state == State.CHANGED
        assert np.array_equal(changed, sample_result.kind > 0)
        assert np.isfinite(sample_result.score[changed]).all()
        assert np.isnan(sample_result.score[np.isin(sample_result.state, (2, 3, 255))]).all()
        assert sample_result.objects.area.sum() == pytest.approx(changed.sum() * 100)
        assert sample_result.objects["construction"].is_monotonic_decreasing
        assert (sample_result.objects["construction"] <= sample_result.objects["score"]).all()
        weighed, judged = sample_result.construction, np.isfinite(sample_result.score)
        assert np.array_equal(np.isfinite(weighed), judged)
        assert (weighed[judged] <= sample_result.score[judged]).all()
        assert list(sample_result.objects["id"]) == list(range(1, len(sample_result.objects) + 1))

    def test_the_inputs_are_recorded_for_a_repetition(self, sample_result, sample):
        said = sample_result.inputs
        assert said["before"]["path"] == str(sample / "before")
        assert len(said["after"]["files"]) == 11
        assert said["settings"] == DetectSettings().to_dict()
        assert sum(sample_result.state_shares.values()) == pytest.approx(1)

    def test_the_same_input_gives_the_same_result(self, sample_result, sample):
        again = detect(sample / "before", sample / "after")
        assert same_rasters(again, sample_result)
        assert again.objects.equals(sample_result.objects)


class TestKnownShifts:
    @pytest.mark.parametrize("shift", [(0.0, 0.0), (1.4, -0.7), (-3.25, 2.5), (0.3, 0.45)])
    def test_are_recovered_and_taken_out(self, shift):
        bands = ("B02", "B03", "B04", "B08")
        pair = simulate_pair(SceneSettings(size_px=160, bands=bands, clouds=False, after_shift_px=shift))
        before, after = pair.before.to_image(), pair.after.to_image()
        result = detect(before, after)
        assert np.allclose(result.registration.shift_px, pair.shift_px, atol=0.05)
        assert result.registration.residual_px < 0.1
        if np.hypot(*shift) < 0.1:
            return
        # ground that changed differs however well it is registered
        quiet = (
            (result.state == State.NOT_FLAGGED) & after.valid & (result.score < result.thresholds["median"])
        )
        gaps = [
            np.sqrt(np.mean((image.band("B04") - before.band("B04"))[quiet] ** 2))
            for image in (after, result.pair.after)
        ]
        assert gaps[1] < 0.9 * gaps[0]

    def test_the_grid_to_read_from_is_displaced_against_the_content(self):
        grid = GeoBox.from_bbox((0, 0, 640, 640), "EPSG:32633", resolution=10)
        x, y = displaced(grid, 2.0, -3.0).transform * (0, 0)
        assert (x, y) == (30.0, 660.0)

    def test_the_displaced_grid_moves_content_like_shift_image(self, unshifted):
        image = unshifted.before.to_image()
        grid = displaced(image.grid, 1.0, 2.0)
        moved = open_source(image).load(grid).band("B04")
        expected = shift_image(image.band("B04"), 1.0, 2.0)
        inside = np.isfinite(moved) & np.isfinite(expected)
        assert inside.mean() > 0.95
        assert np.allclose(moved[inside], expected[inside], atol=1e-5)


@pytest.fixture(scope="module")
def distorted(unshifted):
    image = unshifted.after.to_image()
    size = image.valid.shape
    # the far corners lie 1.2 pixels from where they belong
    stretch = DisplacementField("affine", size, (0.3, -0.2), np.array([[0.0, 0.004], [-0.004, 0.0]]))
    return unshifted.before.to_image(), open_source(image).load(image.grid, stretch), stretch


class TestFields:
    """A distortion over the image is taken out where one shift would not do."""

    def test_the_field_is_found_and_taken_out(self, distorted):
        before, after, stretch = distorted
        result = detect(before, after)
        found = result.registration
        assert found.verdict == "corrected"
        assert found.model != "translation"
        at = [np.arange(20.0, n - 20, 20) for n in before.valid.shape]
        assert np.abs(found.field.on(*at) + stretch.on(*at)).mean() < 0.05
        assert found.residual_px < 0.25
        assert found.grid == result.grid
        quiet = (result.state == State.NOT_FLAGGED) & after.valid
        gaps = [
            np.sqrt(np.median((image.band("B04") - before.band("B04"))[quiet] ** 2))
            for image in (after, result.pair.after)
        ]
        assert gaps[1] < 0.9 * gaps[0]

    def test_one_shift_only_leaves_the_rest(self, distorted):
        before, after, _ = distorted
        pair = make_pair(before, after, np.ones(before.valid.shape, bool))
        once, _ = register(pair, open_source(after), local=False)
        field, _ = register(pair, open_source(after))
        assert once.model == "translation"
        assert once.residual_px > 1.5 * field.residual_px


@pytest.fixture(scope="module", params=["predict", "cva"])
def both_ways(request, unshifted):
    images = unshifted.before.to_image(), unshifted.after.to_image()
    # what is cleared is flagged and what grows over is not: without this rule nothing tells the order
    settings = DetectSettings(method=request.param, keep_seasonal=True)
    return detect(*images, settings=settings), detect(*images[::-1], settings=settings)


class TestSwappedDates:
    def test_score_and_state_are_symmetric(self, both_ways):
        one, other = both_ways
        assert np.nanmax(np.abs(one.score - other.score)) < 1e-4
        assert np.array_equal(one.state, other.state)

    def test_kinds_are_mirrored(self, both_ways, unshifted):
        events = unshifted.truth.events.set_index("name").geometry
        for name in ("new warehouse", "new concrete road"):
            hit = [r.objects[r.objects.intersects(events[name])] for r in both_ways]
            assert KIND_LABELS[Kind.CONSTRUCTION] in set(hit[0]["kind"])
            assert KIND_LABELS[Kind.DEMOLITION] in set(hit[1]["kind"])
        codes = [set(np.unique(r.kind)) for r in both_ways]
        assert Kind.DEMOLITION not in codes[0]
        assert Kind.CONSTRUCTION not in codes[1]

    def test_a_later_before_image_is_said(self, both_ways):
        assert not any("later one" in w for w in both_ways[0].warnings)
        assert any("the before image is the later one" in w for w in both_ways[1].warnings)


@pytest.fixture(scope="module")
def cropped(sample):
    site = Site.at(CENTRE, radius_m=450, name="Crossing")
    return site, detect(sample / "before", sample / "after", site=site)


@pytest.fixture(scope="module")
def images(sample):
    return [open_source(sample / date).load() for date in ("before", "after")]


class TestSites:
    def test_pixels_outside_are_outside(self, cropped):
        site, result = cropped
        mask = site_mask(site, result.grid)
        assert (result.state[~mask] == State.OUTSIDE).all()
        assert not (result.state[mask] == State.OUTSIDE).any()
        assert result.name == "Crossing"

    def test_the_grid_is_cropped_and_its_pixels_are_those_of_the_image(self, cropped, sample_result):
        result, whole = cropped[1].grid, sample_result.grid
        assert result.shape[0] in range(89, 95)
        corner = ~whole.transform * (result.transform * (0, 0))
        assert np.allclose(corner, np.round(corner), atol=1e-6)

    def test_a_triangle_leaves_out_what_lies_in_its_box(self, sample):
        import shapely

        square = Site.at(CENTRE, radius_m=500).geometry
        corners = np.array(square.minimum_rotated_rectangle.exterior.coords)[:3]
        site = Site("Triangle", shapely.Polygon(corners))
        result = detect(sample / "before", sample / "after", site=site)
        share = np.mean(result.state == State.OUTSIDE)
        assert 0.4 < share < 0.6
        assert all(np.isnan(result.score[result.state == State.OUTSIDE]))

    def test_a_site_elsewhere_is_refused(self, sample):
        with pytest.raises(NoOverlapError, match=r"Elsewhere: the site \(centre 10.00000, 10.0"):
            detect(sample / "before", sample / "after", site=Site.at("10, 10", name="Elsewhere"))

    def test_a_site_of_a_few_pixels_is_refused_for_its_size(self, sample):
        with pytest.raises(
            NoUsableImageryError, match=r"the site has only \d pixels, and 16 are needed; give a larger"
        ):
            detect(sample / "before", sample / "after", site=Site.at(CENTRE, radius_m=12))

    def test_a_small_site_is_compared_with_the_help_of_its_surroundings(self, sample, sample_result):
        result = detect(sample / "before", sample / "after", site=Site.at(CENTRE, radius_m=120))
        assert result.registration.passed
        assert result.registration.shift_px == sample_result.registration.shift_px
        assert result.parameters["context_pixels"] == list(sample_result.grid.shape)
        assert max(result.grid.shape) < 30

    def test_what_is_found_does_not_depend_on_the_site(self, cropped, sample_result):
        result = cropped[1]
        inner = result.grid.extent.geom.buffer(-100)
        inside = sample_result.objects[sample_result.objects.within(inner)]
        assert len(inside) > 0
        assert set(result.objects["mgrs"]) >= set(inside["mgrs"])

    def test_ground_beyond_the_image_was_not_observed(self, sample, sample_result):
        box = sample_result.grid.extent.to_crs("EPSG:4326").boundingbox
        site = Site.from_bbox(box.left - 0.01, box.bottom + 0.005, box.left + 0.01, box.top - 0.005)
        result = detect(sample / "before", sample / "after", site=site)
        column = round((~result.grid.transform * (sample_result.grid.transform * (0, 0)))[0])
        beyond = result.state[:, : column - 1]
        assert column > 50
        assert set(np.unique(beyond)) <= {State.NOT_OBSERVED, State.OUTSIDE}
        assert result.pair.clear_share < 0.55
        assert any("of the site has no imagery" in warning for warning in result.warnings)

    def test_no_site_is_everything(self):
        grid = GeoBox.from_bbox((0, 0, 50, 70), "EPSG:32633", resolution=10)
        assert site_mask(None, grid).shape == (7, 5)
        assert site_mask(None, grid).all()


class TestGrids:
    def test_utm_of_a_utm_image_on_the_raster_is_the_same(self, sample, sample_result):
        result = detect(sample / "before", sample / "after", settings=DetectSettings(grid="utm"))
        assert result.grid == sample_result.grid
        assert same_rasters(result, sample_result)

    def test_another_system_is_refused_and_works_on_the_utm_grid(self, unshifted):
        before, after = unshifted.before.to_image(), unshifted.after.to_image()
        elsewhere = GeoBox.from_bbox(
            after.grid.extent.to_crs("EPSG:32651").boundingbox, "EPSG:32651", resolution=10
        )
        moved = open_source(after).load(elsewhere)
        with pytest.raises(CrsMismatchError, match=r"EPSG:32652 and after in EPSG:32651; pass --grid utm"):
            detect(before, moved)
        result = detect(before, moved, settings=DetectSettings(grid="utm"))
        assert result.registration.passed
        assert np.hypot(*result.registration.shift_px) < 0.1
        assert len(result.objects) > 0
        assert str(result.grid.crs) == "EPSG:32652"

    def test_images_apart_do_not_overlap(self, unshifted):
        before = unshifted.before.to_image()
        far = replace(before, grid=before.grid.translate_pix(5000, 0))
        with pytest.raises(NoOverlapError, match="do not overlap; give two images of the same place"):
            choose_frame(open_source(before), open_source(far), "before", None)


class TestGates:
    def test_an_unrelated_place_is_not_compared(self, unshifted):
        before, after = unshifted.before.to_image(), unshifted.after.to_image()
        other = replace(after, data=np.ascontiguousarray(after.data[:, ::-1, ::-1].transpose(0, 2, 1)))
        result = detect(before, other)
        assert result.registration.verdict == "not comparable"
        assert result.registration.obstacle in {"no agreement", "no tie points"}
        assert not result.registration.applied
        assert len(result.objects) == 0
        assert set(np.unique(result.state)) <= {State.NOT_COMPARABLE, State.NOT_OBSERVED}
        assert "not comparable: the windows of the images agree on no common shift" in result.refusals[0]
        assert result.refusals[0] in result.warnings
        assert result.normalization is None
        assert np.isnan(result.score).all()

    def test_a_residual_above_the_limit_is_not_compared(self, sample):
        result = detect(sample / "before", sample / "after", settings=DetectSettings(residual_limit_px=0.01))
        assert result.registration.verdict == "not comparable"
        assert "is above the limit of 0.01 px" in result.refusals[0]
        assert len(result.objects) == 0

    @pytest.mark.parametrize(("date", "word"), [("after", "brighter"), ("before", "darker")])
    def test_a_missed_offset_is_recognised_and_named(self, unshifted, date, word):
        images = {"before": unshifted.before.to_image(), "after": unshifted.after.to_image()}
        images[date] = replace(images[date], data=images[date].data + np.float32(0.1))
        result = detect(images["before"], images["after"])
        assert len(result.refusals) == 1
        assert f"of the after image is 0.10 reflectance {word}" in result.refusals[0]
        assert result.refusals[0].endswith(f"state it with --{date}-offset -0.1")
        assert (result.state != State.CHANGED).all()

    def test_a_jump_of_one_band_alone_is_no_missed_offset(self, unshifted):
        before, after = unshifted.before.to_image(), unshifted.after.to_image()
        data = after.data.copy()
        data[0] += 0.1
        assert detect(before, replace(after, data=data)).refusals == ()

    def test_the_same_image_twice_flags_nothing_and_says_so(self, unshifted):
        image = unshifted.before.to_image()
        result = detect(image, image)
        assert len(result.objects) == 0
        assert result.registration.shift_px == (0.0, 0.0)
        assert (result.state == State.NOT_FLAGGED).all()
        assert any("both images are the same scene" in w for w in result.warnings)


class TestInMemory:
    def test_images_give_the_objects_of_files(self, sample, images):
        from_files = detect(sample / "before", sample / "before")
        from_images = detect(images[0], images[0])
        assert same_rasters(from_files, from_images)

    def test_images_of_the_pair_find_what_files_do(self, images, sample_result):
        result = detect(*images)
        # classes at 20 m were put on the 10 m grid before they were moved: edges of clouds differ a little
        assert np.mean(result.state == sample_result.state) > 0.98
        shared = result.objects.union_all().intersection(sample_result.objects.union_all())
        assert shared.area > 0.95 * sample_result.objects.area.sum()
        assert result.inputs["before"] == {
            "path": None,
            "in_memory": True,
            "options": {"scale": None, "offset": None, "nodata": None, "time": None},
        }

    def test_datasets_are_understood(self, images, sample_result):
        sets = []
        for image in images:
            sets.append(image.to_xarray().rename(classes="SCL").drop_vars("valid"))
        options = [LocalOptions(scale=1.0, offset=0.0, time=image.scene.time) for image in images]
        result = detect(sets[0], sets[1], before_options=options[0], after_options=options[1])
        assert result.inputs["after"]["in_memory"]
        assert np.allclose(result.registration.shift_px, sample_result.registration.shift_px, atol=0.1)
        apron = sample_result.objects.geometry.iloc[0]
        assert result.objects.intersection(apron).area.sum() > 0.8 * apron.area

    def test_arguments_are_left_as_they_were(self, images):
        kept = [image.data.copy() for image in images]
        detect(*images)
        assert all(np.array_equal(i.data, k, equal_nan=True) for i, k in zip(images, kept, strict=True))


class TestSettings:
    def test_they_survive_a_round_trip(self):
        settings = DetectSettings("cva", ThresholdParameters(7.0, 3.0), 900.0, "utm", 0.3, 5)
        assert DetectSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings

    @pytest.mark.parametrize(
        ("wrong", "text"),
        [
            ({"method": "magic"}, "unknown method 'magic'; choose one of .*predict"),
            ({"grid": "wgs84"}, "unknown grid 'wgs84'; choose before or utm"),
            ({"min_area_m2": -1.0}, "must not be negative"),
            ({"residual_limit_px": 0.0}, "must be positive"),
        ],
    )
    def test_wrong_ones_are_refused_at_once(self, wrong, text):
        with pytest.raises(UsageError, match=text):
            DetectSettings(**wrong)

    @pytest.mark.parametrize(
        "data", [{}, {"threshold": {}, "colour": 1}, {"threshold": {"seed_mads": "x", "y": 1}}]
    )
    def test_damaged_descriptions_are_refused(self, data):
        with pytest.raises(UsageError, match="settings cannot be understood"):
            DetectSettings.from_dict(data)

    def test_one_number_sets_both_thresholds_in_their_usual_ratio(self):
        default, double = ThresholdParameters(), threshold_of(2 * ThresholdParameters().seed_mads)
        assert double.grow_mads == pytest.approx(2 * default.grow_mads)

    def test_larger_objects_only(self, sample, sample_result):
        result = detect(sample / "before", sample / "after", settings=DetectSettings(min_area_m2=5000.0))
        assert 0 < len(result.objects) < len(sample_result.objects)
        assert result.objects["area_m2"].min() > 4900
        assert result.detection_floor["min_area_m2"] == 5000.0

    def test_a_higher_threshold_flags_less(self, sample, sample_result):
        result = detect(
            sample / "before", sample / "after", settings=DetectSettings(threshold=threshold_of(14))
        )
        flagged = [(r.state == State.CHANGED).sum() for r in (result, sample_result)]
        assert 0 < flagged[0] < flagged[1]
        assert (
            result.detection_floor["contrast_reflectance"]
            > sample_result.detection_floor["contrast_reflectance"]
        )

    def test_the_other_detector_finds_the_largest_events(self, sample, sample_result):
        result = detect(sample / "before", sample / "after", settings=DetectSettings(method="cva"))
        apron = sample_result.objects.geometry.iloc[0]
        assert result.objects.intersection(apron).area.sum() > 0.3 * apron.area
        assert result.parameters["detector"] != sample_result.parameters["detector"]


def test_the_steps_are_told_in_order(unshifted):
    class Steps:
        names, shares = [], []

        def step(self, name):
            self.names.append(name)

        def advance(self, share):
            self.shares.append(share)

    detect(unshifted.before.to_image(), unshifted.after.to_image(), progress=Steps())
    assert Steps.names == ["reading the images", "registering", "comparing", "describing the objects"]
    assert Steps.shares == [0.5]


def test_fewer_bands_do(sample, tmp_path):
    folders = [rewrite(sample / date, tmp_path / date) for date in ("before", "after")]
    for folder in folders:
        for path in folder.glob("*.tif"):
            if path.stem[-3:] not in ("B02", "B03", "B04", "B08"):
                path.unlink()
    result = detect(*folders)
    assert result.before.bands == ("B02", "B03", "B04", "B08")
    assert len(result.objects) > 3
    assert result.before.classes_source == "none"
    assert any("clouds were not looked for" in warning for warning in result.warnings)


def test_the_public_names_are_those_of_the_pipeline():
    assert cd.detect is pipeline.detect
    assert set(KIND_LABELS) == set(Kind)
