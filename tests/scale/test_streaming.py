"""A comparison whose planes lie on disk gives what one in memory gives."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from odc.geo.geobox import GeoBox

from changedet import pipeline, resample_rows
from changedet.comparison import DetectSettings
from changedet.core import planes, prediction, sampling
from changedet.core.displacement import DisplacementField
from changedet.errors import OutputError, UsageError
from changedet.pipeline import detect
from changedet.scale import streaming
from changedet.scale.resources import Resources, resources_in_use
from changedet.scale.scratch import Scratch, _mapping_of
from changedet.scale.streaming import is_streamed, planes_within_memory
from changedet.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import geopandas as gpd

    from changedet.result import ChangeResult

TILE = GeoBox.from_bbox((300000, 0, 409800, 109800), "EPSG:32633", resolution=10, tight=True)
SMALL = TILE[:300, :300]


def same_objects(first: gpd.GeoDataFrame, second: gpd.GeoDataFrame) -> None:
    assert len(first) == len(second)
    plain = [frame.drop(columns="geometry") for frame in (first, second)]
    pd.testing.assert_frame_equal(*plain, rtol=1e-3, atol=1e-4)
    assert first.geometry.geom_equals(second.geometry).all()


def same(first: ChangeResult, second: ChangeResult, atol: float = 0.0) -> None:
    for name in ("score", "construction"):
        one, other = getattr(first, name), getattr(second, name)
        np.testing.assert_allclose(one, other, rtol=atol, atol=atol, equal_nan=True)
    np.testing.assert_array_equal(first.state, second.state)
    np.testing.assert_array_equal(first.kind, second.kind)
    for date in ("before", "after"):
        images = getattr(first, date), getattr(second, date)
        np.testing.assert_allclose(images[0].data, images[1].data, rtol=0, atol=atol, equal_nan=True)
        np.testing.assert_array_equal(images[0].valid, images[1].valid)
        np.testing.assert_array_equal(images[0].classes, images[1].classes)
    same_objects(first.objects, second.objects)
    same_objects(first.seasonal, second.seasonal)
    assert first.parameters == second.parameters
    assert first.warnings == second.warnings


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ChangeResult]:
    """Compare with every plane on disk, and everything cut into small pieces if asked."""

    def run(*given: Any, pieces: bool, **asked: Any) -> ChangeResult:
        with monkeypatch.context() as patch:
            patch.setattr(streaming, "is_streamed", lambda *_: True)
            if pieces:
                patch.setattr(planes, "_TILE_BYTES", 4 * 4 * 128 * 128)
                patch.setattr(planes, "_BLOCK_BYTES", 4 * 4 * 256 * 9)
                patch.setattr(prediction, "_TILE_BYTES", 4 * 24 * 128 * 128)
                patch.setattr(resample_rows, "_ROWS_PX", 256 * 100)
                patch.setattr(sampling, "_BRACKETED_FROM", 1000)
            return detect(*given, **asked)

    return run


class TestTheSamplePair:
    @pytest.mark.parametrize("pieces", [False, True], ids=["as usual", "in small pieces"])
    def test_all_of_it_is_the_same(self, sample, sample_result, on_disk, pieces) -> None:
        found = on_disk(sample / "before", sample / "after", pieces=pieces)
        same(found, detect(sample / "before", sample / "after"), atol=1e-5 if pieces else 0.0)
        for plane in (found.score, found.state, found.kind, found.before.data, found.after.valid):
            assert _mapping_of(plane) is not None
        assert len(found.objects) == len(sample_result.objects) > 0

    def test_images_of_the_user_are_not_written_over(self, sample, on_disk) -> None:
        earlier = on_disk(sample / "before", sample / "after", pieces=False)
        kept = earlier.before.data.copy(), earlier.after.data.copy()
        again = on_disk(earlier.before, earlier.after, pieces=False)
        assert again.normalization is not None
        np.testing.assert_array_equal(earlier.before.data, kept[0])
        np.testing.assert_array_equal(earlier.after.data, kept[1])

    def test_clouds_that_only_tests_see(self, sample, tmp_path, on_disk) -> None:
        folders = [shutil.copytree(sample / date, tmp_path / date) for date in ("before", "after")]
        for folder in folders:
            for path in folder.glob("*_SCL.tif"):
                path.unlink()
        found = on_disk(*folders, pieces=True)
        assert found.before.classes_source == "spectral tests"
        same(found, detect(*folders), atol=1e-5)

    def test_a_field_that_moves_the_after_image(self, sample, on_disk, monkeypatch) -> None:
        def bent(field: DisplacementField) -> DisplacementField:
            surface = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 4, 4))
            return DisplacementField("spline", field.shape, field.centre_px, surface=surface)

        monkeypatch.setattr(pipeline, "simplified", bent)
        given = sample / "before", sample / "after"
        settings = DetectSettings(residual_limit_px=3.0)
        same(on_disk(*given, pieces=True, settings=settings), detect(*given, settings=settings), atol=2e-5)

    @pytest.mark.parametrize(
        "settings",
        [DetectSettings(method="irmad"), DetectSettings(budget=0.03), DetectSettings(keep_seasonal=True)],
        ids=["irmad", "budget", "seasonal"],
    )
    def test_other_ways_of_asking(self, sample, on_disk, settings) -> None:
        site = Site.at("38.2707, 126.4994", radius_m=600.0) if settings.budget is None else None
        given = sample / "before", sample / "after"
        asked = {"settings": settings, "site": site}
        same(on_disk(*given, pieces=True, **asked), detect(*given, **asked), atol=1e-5)


class TestTheChoice:
    def test_what_does_not_fit_into_the_budget_goes_to_disk(self) -> None:
        budget = Resources(memory_bytes=1_500_000_000)
        assert is_streamed(TILE, 6, budget)
        assert not is_streamed(SMALL, 6, budget)
        assert not is_streamed(TILE, 6, Resources(memory_bytes=64_000_000_000))

    def test_planes_are_made_as_the_run_in_use_says(self, tmp_path: Path) -> None:
        with Resources(memory_bytes=600_000_000, scratch=tmp_path).in_use():
            assert resources_in_use().scratch == tmp_path
            with planes_within_memory(SMALL, 6):
                assert _mapping_of(planes.new_plane((4, 4), np.uint8)) is None
            with planes_within_memory(TILE, 6):
                assert _mapping_of(planes.new_plane((4, 4), np.uint8)) is not None
        assert resources_in_use().scratch is None
        assert _mapping_of(planes.new_plane((4, 4), np.uint8)) is None

    def test_a_machine_that_is_too_small_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("changedet.scale.memory.memory_of_machine_bytes", lambda: 1e9)
        with pytest.raises(UsageError, match="121 megapixels"), planes_within_memory(TILE, 6):
            pass

    def test_a_full_disk_is_said_and_nothing_is_left(
        self, sample, tmp_path, on_disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CHANGEDET_SCRATCH", str(tmp_path))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5))
        with pytest.raises(OutputError, match="does not fit"):
            on_disk(sample / "before", sample / "after", pieces=False)
        assert not list(tmp_path.iterdir())

    def test_whole_images_are_refused_as_before(self) -> None:
        with (
            Resources(memory_bytes=600_000_000).in_use(),
            pytest.raises(UsageError, match=r"restrict the .* leave out radar, .* by every method"),
            planes_within_memory(GeoBox((60000, 60000), TILE.affine, TILE.crs), 6, whole="radar"),
        ):
            pass


def test_scratch_is_given_up_when_a_comparison_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Scratch(tmp_path) as scratch:
        scratch.plane((3, 3), np.uint8)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
