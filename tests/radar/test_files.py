"""Local radar: which files are passes, of which track and date, in which unit; and errors in words."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
from tests.radar_passes import FALLING, RISING, factors, make_track_passes
from tests.synthetic import GRID

from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.pipeline import compare_radar_files
from changedet.radar.files import RadarNumbers, open_radar_files
from changedet.radar.types import Track

BUILT = np.s_[40:50, 40:52]
CHANGE = factors((BUILT, 4.0))


def write(path, planes, descriptions=(), tags=None, nodata=None, grid=GRID):
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.asarray(planes, np.float32)
    profile = {
        "driver": "GTiff", "count": len(planes), "dtype": "float32", "height": planes.shape[1],
        "width": planes.shape[2], "crs": grid.crs.to_wkt(), "transform": grid.transform, "nodata": nodata,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(planes)
        for index, text in enumerate(descriptions, start=1):
            file.set_band_description(index, text)
        file.update_tags(**(tags or {}))
    return path


def write_periods(folder, counts=(5, 3), *, tracks=(RISING,), stored=lambda power: power, change=CHANGE):
    """Folders of one file for each polarisation, a folder for each track."""
    for number, track in enumerate(tracks):
        passes = make_track_passes(track, counts, change, number)
        for word, images in (("before", passes.before), ("after", passes.after)):
            for image in images:
                for name, plane in zip(image.bands, image.data, strict=True):
                    stem = f"S1A_{image.scene.time:%Y%m%dT%H%M%S}_{name}.tif"
                    where = folder / word / f"{track.orbit_state}-{track.relative_orbit}" / stem
                    write(where, [stored(plane)])
    return folder / "before", folder / "after"


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return write_periods(tmp_path_factory.mktemp("linear"), tracks=(RISING, FALLING))


class TestWhatIsFound:
    def test_folders_are_tracks_and_pairs_of_files_are_passes(self, linear):
        found = open_radar_files(*linear).load(GRID)
        assert [one.track for one in found] == [RISING, FALLING]
        assert [(len(one.before), len(one.after)) for one in found] == [(5, 3), (5, 3)]
        scene = found[0].before[0].scene
        assert (scene.platform, scene.level, scene.date_text) == ("Sentinel-1A", "RTC", "2023-05-01")
        assert (scene.relative_orbit, scene.orbit_state) == (44, "ascending")
        assert found[0].before[0].bands == ("VV", "VH")

    def test_dates_are_in_order(self, linear):
        (first, _) = open_radar_files(*linear).load(GRID)
        times = [image.scene.time for image in first.before]
        assert times == sorted(times)
        assert open_radar_files(*linear).last_date_text == "2025-05-25"

    def test_one_file_with_described_bands_is_a_pass(self, tmp_path):
        plane = np.full(tuple(GRID.shape), 0.1)
        tags = {"ACQUISITION_TIME_UTC": "2024-01-02T03:04:05Z", "RELATIVE_ORBIT": "8",
                "ORBIT_STATE": "descending", "PLATFORM": "Sentinel-1C"}  # fmt: skip
        path = write(tmp_path / "a.tif", [plane, plane, plane], ("vv", "VH", "SCL"), tags)
        (found,) = open_radar_files(path, path).load(GRID)
        assert found.track == Track("descending", 8)
        assert found.before[0].scene.platform == "Sentinel-1C"
        assert found.before[0].scene.time_text == "2024-01-02T03:04:05Z"

    @pytest.mark.parametrize(
        ("name", "orbit"),
        [
            ("S1A_IW_GRDH_1SDV_20250731T120000_20250731T120025_060328_077F5A_rtc_VV.tif", 56),
            ("T137-292319-IW2_20211119_VV.tif", 137),
            ("track_44_2024-05-06_VV.tif", 44),
            ("44/2024-05-06_VV.tif", 44),
            ("sentinel1_town_110_t1_VV.tif", None),
            ("orbit_999_VV.tif", None),
        ],
    )
    def test_the_track_is_in_names(self, tmp_path, name, orbit):
        path = write(tmp_path / "given" / name, [np.full(tuple(GRID.shape), 0.1)])
        (found,) = open_radar_files(tmp_path / "given", path).load(GRID)[:1]
        tracks = {one.track.relative_orbit for one in open_radar_files(tmp_path / "given", path).load(GRID)}
        assert orbit in tracks
        assert found is not None

    @pytest.mark.parametrize(
        ("given", "below", "orbit"),
        [
            ("2023", "05/s1_20230512_VV.tif", None),
            ("s1", "2023/05/12/s1_20230512_VV.tif", None),
            ("2023/05", "s1_20230512_VV.tif", None),
            ("s1/2023", "44/s1_20230512_VV.tif", 44),
            ("s1", "5/s1_20230512_VV.tif", 5),
            ("s1", "2023/05/track_12/s1_20230512_VV.tif", 12),
        ],
    )
    def test_folders_of_months_and_days_are_no_tracks(self, tmp_path, given, below, orbit):
        write(tmp_path / given / below, [np.full(tuple(GRID.shape), 0.1)])
        (found,) = open_radar_files(tmp_path / given, tmp_path / given).load(GRID)
        assert found.track.relative_orbit == orbit

    def test_slices_of_one_day_are_one_pass(self, tmp_path):
        north, south = (np.full(tuple(GRID.shape), np.nan, np.float32) for _ in range(2))
        north[:50], south[50:] = 0.1, 0.2
        for name, plane in (("a", north), ("b", south)):
            write(tmp_path / "44" / f"{name}_20240506_VV.tif", [plane])
        (found,) = open_radar_files(tmp_path, tmp_path).load(GRID)
        assert len(found.before) == 1
        assert found.before[0].valid.all()

    def test_slices_of_one_name_in_two_folders_are_both_read(self, tmp_path):
        north, south = (np.full(tuple(GRID.shape), np.nan, np.float32) for _ in range(2))
        north[:50], south[50:] = 0.1, 0.2
        for name, plane in (("a", north), ("b", south)):
            for band in ("VV", "VH"):
                write(tmp_path / "44" / name / f"x_20240506_{band}.tif", [plane])
        ((image,),) = [one.before for one in open_radar_files(tmp_path, tmp_path).load(GRID)]
        assert image.bands == ("VV", "VH")
        assert image.valid.all()
        assert (image.band("VH")[0, 0], image.band("VV")[-1, -1]) == pytest.approx((0.1, 0.2))

    def test_passes_that_do_not_fit_into_memory_are_refused_before_they_are_read(self, linear, monkeypatch):
        monkeypatch.setattr("changedet.scale.memory.memory_of_machine_bytes", lambda: 1e6)
        monkeypatch.setattr("changedet.radar.files.read_window", None)
        with pytest.raises(UsageError, match="of memory"):
            open_radar_files(*linear).load(GRID)

    def test_exchanged_periods_and_passes_of_both_are_notes(self, linear):
        (note,) = open_radar_files(linear[1], linear[0]).task().notes
        assert note.startswith("the period before is the later one") and note.endswith("swap the two periods")
        notes = open_radar_files(linear[0], linear[0]).task().notes
        (same,) = (text for text in notes if "lie in both periods" in text)
        assert same.startswith("20 file(s) of radar lie in both periods, such as S1A_")
        assert open_radar_files(*linear).task().notes == ()

    def test_what_is_not_said_is_a_note(self, tmp_path):
        path = write(tmp_path / "vv.tif", [np.full(tuple(GRID.shape), 0.1)])
        notes = open_radar_files(path, path).task().notes
        assert any("do not say their date" in note for note in notes)
        assert any("do not say their track" in note for note in notes)

    def test_the_record_names_files_and_numbers(self, linear):
        said = open_radar_files(*linear, RadarNumbers("db", 2, 1)).task().inputs
        assert said["numbers"] == {"unit": "db", "scale": 2, "offset": 1}
        assert len(said["before"]["files"]) == 20
        json.dumps(dict(said))


class TestNumbers:
    def test_decibels_become_power(self):
        power = RadarNumbers("db", 30, -25).power(np.array([0.5, 1.5, 0.0], np.float32), 0.0)
        assert power[:2] == pytest.approx([0.1, 100])
        assert np.isnan(power[2])

    def test_decibels_of_nothing_are_no_data(self):
        empty = np.array([-np.inf, -9999, 0.0, -12.0], np.float32)
        assert np.isnan(RadarNumbers("db").power(empty, None)).tolist() == [True, True, True, False]
        assert RadarNumbers("db", 0.01).power(np.array([0, -1200]), None) == pytest.approx(
            [1, 0.0631], rel=1e-3
        )
        assert RadarNumbers("db", 30, -30).power(np.ones(1, np.float32), None) == pytest.approx([1])

    def test_power_is_not_taken_for_decibels(self, linear):
        files = open_radar_files(*linear, RadarNumbers("db"))
        with pytest.raises(InputFileError, match=r"no number below 0 dB.*leave --radar-unit out"):
            files.load(GRID)

    def test_linear_power_of_nothing_is_no_data(self):
        power = RadarNumbers().power(np.array([0.0, 0.2, -9999], np.float32), -9999)
        assert np.isnan(power).tolist() == [True, False, True]

    def test_the_same_ground_in_decibels_gives_the_same(self, tmp_path, linear):
        stored = write_periods(
            tmp_path, tracks=(RISING, FALLING), stored=lambda power: (10 * np.log10(power) + 25) / 30
        )
        first, second = (
            open_radar_files(*paths, numbers).load(GRID)[0].before[0].data
            for paths, numbers in ((linear, RadarNumbers()), (stored, RadarNumbers("db", 30, -25)))
        )
        assert second == pytest.approx(first, rel=1e-4)

    @pytest.mark.parametrize("wrong", [{"unit": "dB"}, {"scale": 0.0}, {"offset": float("nan")}])
    def test_what_cannot_be_is_refused(self, wrong):
        with pytest.raises(UsageError, match="radar"):
            RadarNumbers(**wrong)


class TestErrors:
    def test_nothing_there(self, tmp_path):
        with pytest.raises(MissingInputError, match="no such file or folder"):
            open_radar_files(tmp_path / "none", tmp_path)

    def test_no_polarisation(self, tmp_path):
        write(tmp_path / "image.tif", [np.ones(tuple(GRID.shape))])
        with pytest.raises(MissingInputError, match=r"whose polarisation is stated; name them \*_VV.tif"):
            open_radar_files(tmp_path, tmp_path)

    def test_decibels_taken_for_power(self, tmp_path):
        path = write(tmp_path / "a_VV.tif", [np.full(tuple(GRID.shape), -12.0)])
        with pytest.raises(InputFileError, match="decibels; pass --radar-unit db"):
            open_radar_files(path, path).load(GRID)

    def test_polarisations_that_do_not_belong_together(self, tmp_path):
        plane = [np.full(tuple(GRID.shape), 0.1)]
        write(tmp_path / "44" / "one_20240506_VV.tif", plane)
        write(tmp_path / "44" / "other_20240506_VH.tif", plane)
        with pytest.raises(InputFileError, match="do not belong together"):
            open_radar_files(tmp_path, tmp_path).load(GRID)


def test_a_result_of_radar_alone(linear):
    result = compare_radar_files(open_radar_files(*linear))
    assert result.before.bands == ("VV", "VH")
    assert list(result.objects["sensor"]) == ["radar"]
    assert result.objects["radar_db"][0] == pytest.approx(6, abs=1)
    assert result.registration.passed
    assert result.normalization is None
    assert result.detection_floor["least_change_db"] == 3.5
    assert result.inputs["radar"]["in_memory"] is False
    assert result.parameters["sensor"] == "s1"


def test_periods_of_different_seasons_are_said(linear, tmp_path):
    assert not any(
        "of the year apart" in text for text in compare_radar_files(open_radar_files(*linear)).warnings
    )
    paths = write_periods(tmp_path, (3, 1))
    for file in paths[1].rglob("*.tif"):
        file.rename(file.with_name(file.name.replace("202505", "202509")))
    warnings = compare_radar_files(open_radar_files(*paths)).warnings
    (said,) = (text for text in warnings if "of the year apart" in text)
    assert said.endswith("expect crops, wet ground, frost and snow among the candidates")


def test_dates_of_days_are_days(tmp_path):
    path = write(tmp_path / "44" / "x_20240506_VV.tif", [np.full(tuple(GRID.shape), 0.1)])
    (found,) = open_radar_files(path, path).load(GRID)
    scene = found.before[0].scene
    assert scene.day_only
    assert scene.time.date() == date(2024, 5, 6)
