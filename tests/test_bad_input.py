"""What goes wrong with input and output: one line, the right exit code, nothing left behind."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio._err import CPLE_AppDefinedError
from tests.runs import rewrite

from changedet.provenance import verify

SMALL = ("--at", "38.2707, 126.4994", "--radius", "400m")


@pytest.fixture
def compare(cli, sample):
    """Compares the sample's before image, or another, with a given one."""

    def run(after=sample / "after", *arguments, before=sample / "before"):
        return cli("detect", "--before", before, "--after", after, "--out", "out/run", *arguments)

    run.cli = cli
    return run


@pytest.fixture
def refused(compare, workplace):
    """Checks that a comparison is refused in one line that says what, where and what to do."""

    def check(code, *texts, after, arguments=(), before=None):
        keywords = {} if before is None else {"before": before}
        assert compare(after, *arguments, **keywords) == code, compare.cli.err
        for text in texts:
            assert text in compare.cli.error
        assert "; " in compare.cli.error, "nothing says what to do next"
        assert compare.cli.out == ""
        assert not list(workplace.iterdir()), "something was left behind"
        assert compare(after, *arguments, "--json", **keywords) == code
        document = json.loads(compare.cli.out)
        assert document["error"]["exit_code"] == code
        assert texts[0] in document["error"]["message"]

    return check


@pytest.fixture
def spoilt(sample, tmp_path):
    """A copy of the after scene, its pixels or tags changed."""

    def make(*arguments, **keywords):
        return rewrite(sample / "after", tmp_path / "spoilt", *arguments, **keywords)

    return make


def copy_of(folder, target):
    return shutil.copytree(folder, target)


def bands_alone(change):
    return lambda numbers, band: numbers if band == "SCL" else change(numbers)


class TestFiles:
    def test_a_folder_that_is_not_there(self, refused):
        refused(8, "nowhere: no such file or folder", "check the path", after="nowhere")

    def test_an_empty_folder(self, refused, tmp_path):
        (tmp_path / "empty").mkdir()
        refused(8, "empty: the folder is empty", "put one file per band in it", after=tmp_path / "empty")

    def test_a_truncated_file(self, refused, sample, tmp_path):
        folder = copy_of(sample / "after", tmp_path / "cut")
        path = next(folder.glob("*B04.tif"))
        path.write_bytes(path.read_bytes()[:5000])
        refused(8, path.name, "damaged or incomplete", "download or copy it again", after=folder)

    def test_a_file_whose_pixels_are_damaged(self, refused, sample, tmp_path):
        folder = copy_of(sample / "after", tmp_path / "cut")
        path = next(folder.glob("*B04.tif"))
        content = bytearray(path.read_bytes())
        content[3000:40000] = bytes(37000)
        path.write_bytes(content)
        refused(8, path.name, "damaged or incomplete", after=folder)

    @pytest.mark.parametrize("content", [b"hello", b"", b"\0" * 100, b"II*\0"])
    def test_a_file_that_is_no_image(self, refused, sample, tmp_path, content):
        folder = copy_of(sample / "after", tmp_path / "text")
        path = next(folder.glob("*B03.tif"))
        path.write_bytes(content)
        refused(8, path.name, after=folder)

    def test_missing_bands(self, refused, sample, tmp_path):
        folder = copy_of(sample / "after", tmp_path / "few")
        for band in ("B03", "B04"):
            next(folder.glob(f"*{band}.tif")).unlink()
        refused(8, "missing bands B03, B04 (found B02,", "add the missing ones", after=folder)

    def test_a_folder_that_may_not_be_read(self, refused, sample, tmp_path, monkeypatch):
        folder = copy_of(sample / "after", tmp_path / "locked")

        def deny(path, *_more):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("changedet.providers.local._band_files", deny)
        refused(8, "cannot be read (Permission denied)", "ask for the permission", after=folder)


class TestPlaces:
    def test_images_apart(self, refused, spoilt):
        folder = spoilt()
        for path in folder.glob("*.tif"):
            with rasterio.open(path, "r+") as file:
                file.transform = Affine.translation(200_000, 0) * file.transform
        refused(8, "the two images do not overlap", "give two images of the same place", after=folder)

    def test_another_reference_system(self, refused, compare, spoilt, workplace, no_plates):
        folder = spoilt()
        for path in folder.glob("*.tif"):
            with rasterio.open(path, "r+") as file:
                file.crs = "EPSG:32651"
        refused(8, "before is in EPSG:32652 and after in EPSG:32651", "pass --grid utm", after=folder)
        # 6 degrees of longitude further west the same numbers lie elsewhere
        refused(8, "do not overlap", after=folder, arguments=("--grid", "utm"))

    @pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
    def test_no_reference_system(self, refused, spoilt):
        folder = spoilt(crs=None, transform=Affine.identity())
        refused(8, "has no coordinate reference system", "use the georeferenced original", after=folder)

    def test_a_site_elsewhere(self, refused, sample):
        where = ("--at", "10, 10")
        refused(8, "lies outside the before image", after=sample / "after", arguments=where)

    def test_a_site_of_a_few_pixels(self, refused, sample):
        where = (*SMALL[:2], "--radius", "12m")
        refused(3, "pixels, and 16 are needed", "larger site", after=sample / "after", arguments=where)


class TestPixels:
    def test_all_cloud(self, refused, spoilt):
        folder = spoilt(lambda numbers, band: np.full_like(numbers, 9) if band == "SCL" else numbers)
        refused(3, "no pixel of the after image is usable: all cloud", "choose another date", after=folder)

    def test_a_constant_image(self, refused, spoilt):
        folder = spoilt(bands_alone(lambda numbers: np.full_like(numbers, 2000)))
        refused(8, "the after image is constant", "check the file and its nodata value", after=folder)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_nothing_finite(self, refused, spoilt, value):
        folder = spoilt(bands_alone(lambda numbers: np.full(numbers.shape, value, np.float32)))
        refused(8, "the after image has no data inside the compared area", "(--nodata)", after=folder)

    def test_a_few_that_are_not_finite_are_not_observed(self, compare, spoilt, workplace, no_plates):
        holes = np.random.default_rng(0).random((256, 256)) < 0.01

        def pierce(numbers):
            size = numbers.shape[1]
            return np.where(holes[:size, :size], np.inf, numbers.astype(np.float32)).astype(np.float32)

        assert compare(spoilt(bands_alone(pierce)), *SMALL) == 0
        with rasterio.open(workplace / "out" / "run" / "state.tif") as file:
            assert (file.read(1) == 2).sum() > 20

    def test_a_nodata_value_that_takes_everything(self, refused, spoilt):
        folder = spoilt(bands_alone(lambda numbers: np.full_like(numbers, 2000)))
        arguments = ("--nodata", "2000")
        refused(
            8, "has no data inside the compared area", "nodata is right", after=folder, arguments=arguments
        )

    def test_a_nodata_value_that_does_not_occur(self, compare, sample, no_plates):
        assert compare(sample / "after", *SMALL, "--nodata", "54321") == 0
        assert "candidate" in compare.cli.out


class TestPairs:
    def test_the_same_folder_twice(self, compare, sample, workplace, no_plates):
        assert compare(sample / "before", *SMALL) == 0
        assert "both images are the same scene" in compare.cli.out
        assert "no candidate was flagged" in compare.cli.out

    def test_later_before_earlier(self, compare, sample, no_plates):
        assert compare(sample / "before", *SMALL, before=sample / "after") == 0
        assert "warning: the before image is the later one: every kind reads backwards" in compare.cli.out

    def test_a_missed_offset(self, compare, spoilt, workplace, no_plates):
        folder = spoilt(tags={"PROCESSING_BASELINE": "03.00"})
        for path in folder.glob("*_B*.tif"):
            with rasterio.open(path, "r+") as file:
                file.offsets = (0.0,)
        assert compare(folder) == 6
        assert (
            "as when the offset of processing baseline 04.00 is missed on the after date" in compare.cli.err
        )
        assert "were not compared, because a quality gate refused them" in compare.cli.out
        record = json.loads((workplace / "out" / "run" / "run.json").read_text())
        assert record["refusals"][0].endswith("state it with --after-offset -0.1")
        assert record["counts"]["objects"] == 0
        # and the advice is good
        assert compare(folder, "--after-offset", "-0.1", "--overwrite") == 0

    def test_another_place(self, compare, spoilt, workplace, no_plates):
        folder = spoilt(lambda numbers, band: np.ascontiguousarray(numbers[:, ::-1, ::-1].transpose(0, 2, 1)))
        assert compare(folder, "--exit-code") == 6
        assert "not comparable: the windows of the images agree on no common shift" in compare.cli.err
        run = workplace / "out" / "run"
        record = json.loads((run / "run.json").read_text())
        assert "no common shift" in record["warnings"][0]
        assert record["registration"]["verdict"] == "not comparable"
        with rasterio.open(run / "state.tif") as file:
            assert set(np.unique(file.read(1))) <= {2, 3}
        assert "the windows of the images agree on no common shift" in (run / "report.html").read_text()
        assert verify(run).passed

    def test_one_band(self, cli, tmp_path, no_plates):
        rng = np.random.default_rng(1)
        coarse = np.kron(rng.integers(800, 3000, (32, 32)), np.ones((5, 5))).astype(np.uint16)
        later = coarse.copy()
        later[60:75, 60:75] = 6000
        for name, plane in (("before", coarse), ("after", later)):
            with rasterio.open(
                tmp_path / f"{name}.tif", "w", driver="GTiff", width=160, height=160, count=1, dtype="uint16",
                crs="EPSG:32652", transform=Affine(10, 0, 300_000, 0, -10, 4_200_000),
            ) as file:  # fmt: skip
                file.write(plane, 1)
        scenes = ("--before", tmp_path / "before.tif", "--after", tmp_path / "after.tif")
        assert cli("detect", *scenes, "--out", "run", "--json") == 0
        record = json.loads(cli.out)
        assert record["bands"] == ["band_1"]
        assert record["counts"]["objects_by_kind"] == {"unclassified change": 1}
        assert "the date of an image is not known" in cli.err
        assert "scale and offset assumed" in cli.err


def test_a_residual_above_the_limit(cli, sample, workplace, no_plates):
    scenes = ("--before", sample / "before", "--after", sample / "after")
    assert cli("detect", *scenes, "--out", "run", "--max-residual", "0.01") == 6
    assert "is above the limit of 0.01 px" in cli.err
    assert verify(workplace / "run").passed


class TestOutput:
    @pytest.fixture
    def pair(self, sample):
        return ("detect", "--before", sample / "before", "--after", sample / "after", *SMALL)

    @pytest.fixture
    def unread(self, monkeypatch):
        """Fails a test that reads imagery."""

        def fail(*_arguments):
            pytest.fail("imagery was read although the output folder cannot be used")

        monkeypatch.setattr("changedet.pipeline.open_source", fail)

    @pytest.mark.usefixtures("unread")
    def test_a_parent_that_is_a_file(self, cli, pair, workplace):
        (workplace / "file").write_text("mine")
        assert cli(*pair, "--out", "file/run") == 73
        assert "nothing was written" in cli.error
        assert "is a file; choose another folder" in cli.error
        assert (workplace / "file").read_text() == "mine"

    @pytest.mark.usefixtures("unread")
    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_parent_that_may_not_be_written(self, cli, pair, workplace):
        (workplace / "locked").mkdir(mode=0o500)
        assert cli(*pair, "--out", "locked/run") == 73
        assert "Permission denied" in cli.error

    @pytest.mark.parametrize("name", ["mkdir", "rename"])
    def test_permission_that_is_refused_later(self, cli, pair, workplace, monkeypatch, no_plates, name):
        def deny(path, *_arguments, **_keywords):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(f"pathlib.Path.{name}", deny)
        assert cli(*pair, "--out", "run") == 73
        assert "run: nothing was written: Permission denied; check the permission" in cli.error
        assert not list(workplace.iterdir())

    @pytest.mark.usefixtures("unread")
    def test_a_folder_that_is_there_is_refused_before_reading(self, cli, pair, workplace):
        (workplace / "run").mkdir()
        (workplace / "run" / "mine.txt").write_text("mine")
        assert cli(*pair, "--out", "run") == 2
        assert "run: the folder exists and is not empty; choose another folder" in cli.error
        assert cli(*pair, "--out", "run", "--overwrite") == 2
        assert "the folder holds what no run wrote" in cli.error
        assert (workplace / "run" / "mine.txt").read_text() == "mine"
        assert [p.name for p in workplace.iterdir()] == ["run"]

    @pytest.mark.usefixtures("unread")
    def test_the_working_directory_is_never_replaced(self, cli, pair):
        assert cli(*pair, "--out", ".", "--overwrite") == 2
        assert "a run needs a folder of its own; name a new folder" in cli.error

    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            CPLE_AppDefinedError(3, 3, "TIFFWriteTile:Write error"),
        ],
    )
    def test_a_full_disk(self, cli, pair, workplace, monkeypatch, no_plates, error):
        usual = rasterio.open

        def fail(path, mode="r", **keywords):
            if mode == "w" and str(path).endswith("kind.tif"):
                raise error
            return usual(path, mode, **keywords)

        monkeypatch.setattr("rasterio.open", fail)
        assert cli(*pair, "--out", "run") == 73
        assert "run: nothing was written: " in cli.error
        if isinstance(error, OSError):
            assert "the disk is full; free some space" in cli.error
        assert cli.out == ""
        assert not list(workplace.iterdir())

    def test_a_full_disk_in_the_middle_keeps_the_earlier_run(
        self, cli, pair, workplace, monkeypatch, no_plates
    ):
        assert cli(*pair, "--out", "run") == 0

        def fail(*_arguments, **_keywords):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("changedet.output.folder.write_kmz", fail)
        assert cli(*pair, "--out", "run", "--overwrite") == 73
        assert "the disk is full" in cli.error
        assert [p.name for p in workplace.iterdir()] == ["run"]
        assert verify(workplace / "run").passed

    @pytest.mark.parametrize("where", ["changedet.pipeline.compare", "changedet.output.folder.write_kmz"])
    def test_a_bug_leaves_nothing_and_says_so(self, cli, pair, workplace, monkeypatch, no_plates, where):
        monkeypatch.setattr(where, lambda *_arguments, **_keywords: 1 // 0)
        assert cli(*pair, "--out", "run", "--json") == 70
        assert "this is a bug in changedet (ZeroDivisionError: " in cli.error
        assert json.loads(cli.out)["error"]["exit_code"] == 70
        assert not list(workplace.iterdir())

    def test_an_interruption_leaves_nothing(self, cli, pair, workplace, monkeypatch):
        def stop(*_arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr("changedet.output.plate.write_plates", stop)
        assert cli(*pair, "--out", "run") == 130
        assert "stopped by the user" in cli.error
        assert not list(workplace.iterdir())


class TestNames:
    HOSTILE = "../../x</script><script>alert(1)</script>\x1b[31m\x00\n\u202e=cmd|'/c calc'" + "A" * 10_000

    def test_a_hostile_name_stays_a_name(self, cli, sample, workplace, no_plates):
        scenes = ("--before", sample / "before", "--after", sample / "after", *SMALL)
        assert cli("detect", *scenes, "--name", self.HOSTILE) == 0
        (run,) = (workplace / "changedet-runs").iterdir()
        assert len(run.name) < 60
        assert not set(run.name) & set("/\\<>:\x1b\0\n ")
        assert "\x1b" not in cli.out + cli.err
        assert "\u202e" not in cli.out
        html = (run / "report.html").read_text()
        assert "<script>alert" not in html
        assert "\x1b" not in html
        assert verify(run).passed
        for name in ("changes.csv", "changes.kmz", "changes.geojson", "changes.gpkg"):
            assert (run / name).stat().st_size > 100
        with rasterio.open(run / "score.tif") as file:
            assert "\x1b" not in file.tags()["SITE"]
        assert [p.name for p in workplace.iterdir()] == ["changedet-runs"]

    def test_a_hostile_name_of_a_site_file(self, cli, sample, workplace, no_plates):
        ring = [[126.495, 38.267], [126.504, 38.267], [126.504, 38.275], [126.495, 38.267]]
        outline = {"type": "Polygon", "coordinates": [ring]}
        feature = {"type": "Feature", "properties": {"name": self.HOSTILE}, "geometry": outline}
        (workplace / "site.geojson").write_text(
            json.dumps({"type": "FeatureCollection", "features": [feature]})
        )
        scenes = ("--before", sample / "before", "--after", sample / "after")
        assert cli("detect", *scenes, "--aoi", "site.geojson", "--out", "run") == 0
        assert "\x1b" not in cli.out + cli.err
        assert "<script>alert" not in (workplace / "run" / "report.html").read_text()
