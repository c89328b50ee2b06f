"""Sites whose imagery is files: what appears in the folder is a new date, what cannot be read is said."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import rasterio
from tests.watch.simulated import RULES, SINCE, SITE, SimulatedProvider, built

from changedet.cli import run as command
from changedet.errors import InputFileError, MissingBandError, MissingInputError
from changedet.frame import Frame
from changedet.progress import Silent
from changedet.providers.base import SearchQuery
from changedet.providers.tracked import TrackedProvider
from changedet.site import Site
from changedet.timeline.access import SERIES_BANDS
from changedet.watch.folders import FolderProvider
from changedet.watch.looking import WatchSpan
from changedet.watch.running import WatchRequest, run_watch

LAST = datetime(2023, 7, 20, tzinfo=UTC)
FOURTEEN_DAYS = replace(RULES, overlap_days=400.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A raster for each of 62 dates; a hall is built in April of the third year."""
    folder = tmp_path_factory.mktemp("files")
    provider = SimulatedProvider((built(),), step_days=15, last=LAST)
    for scene in provider.scenes():
        image = provider.load(scene, SITE.grid.pad(8, 8))
        write(folder / f"T52SBH_{scene.time:%Y%m%dT%H%M%S}.tif", image)
    return sorted(folder.iterdir())


def write(path, image, bands=SERIES_BANDS):
    grid = image.grid
    profile = {"driver": "GTiff", "height": grid.shape[0], "width": grid.shape[1], "count": len(bands),
               "dtype": "float32", "crs": str(grid.crs), "transform": grid.transform}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **profile) as target:
        target.write(image.data[: len(bands)])
        target.descriptions = bands


def look(folder, images, until=LAST, sites=(SITE,)):
    request = WatchRequest(folder / "w.gpkg", folder / "out", WatchSpan(SINCE, until), FOURTEEN_DAYS)
    return run_watch(sites, request, TrackedProvider(FolderProvider(images), Silent()), Silent())


def put(files, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for path in files:
        shutil.copy(path, folder)
    return folder


def test_files_that_appear_are_new_dates_and_nothing_is_told_twice(files, tmp_path):
    images = put(files[:55], tmp_path / "images")
    first = look(tmp_path, images)
    assert first.failures == [] and not first.alerts and first.passes[0].learned == 49
    assert first.lines() == ["Pier: no usable image for 118 days, since 2023-03-24"]
    put(files[55:], images)
    (tmp_path / "images" / "T52SBH_20230719T021601.tif").write_bytes(b"still being copied")
    report = look(tmp_path, images)
    (alert,) = report.alerts
    assert [alert.after_utc[:10], alert.by_utc[:10]] == ["2023-03-24", "2023-04-08"]
    assert alert.kind == "new construction" and alert.area_m2 == pytest.approx(6300, rel=0.1)
    (said,) = [one for one in report.passes[0].left if one.id == "T52SBH_20230719T021601.tif"]
    assert "cannot be" in said.reason or "not" in said.reason
    again = look(tmp_path, images)
    assert not again.alerts and again.passes[0].taken == ()


def test_a_date_that_comes_late_is_said(files, tmp_path):
    images = put([*files[:50], *files[53:56]], tmp_path / "images")
    look(tmp_path, images)
    put(files[50:51], images)
    (left,) = look(tmp_path, images).passes[0].left
    assert left.reason == "came after later dates had been taken" and left.time.startswith("2023-01-2")


def test_each_site_may_have_a_folder_with_files_of_the_same_names(files, tmp_path):
    east = replace(Site.at("38.27033, 126.60", radius_m=240, name="Quay"), folder="Harbour")
    provider = SimulatedProvider(step_days=15, last=LAST)
    grid = replace_grid(east)
    for path, scene in zip(files[-3:], provider.scenes()[-3:], strict=True):
        image = provider.load(scene, SITE.grid.pad(8, 8))
        write(tmp_path / "Harbour" / "Quay" / path.name, replace(image, grid=grid))
    put(files[-2:], tmp_path / "Pier")
    held = FolderProvider(tmp_path)
    query = SearchQuery(SITE, SINCE, LAST, 1.0, limit=10)
    pier, quay = held.search(query), held.search(replace(query, site=east))
    assert [one.id.split("/")[0] for one in pier] == ["Pier"] * 2
    assert [one.id.rpartition("/")[0] for one in quay] == ["Harbour/Quay"] * 3
    assert held.load(quay[-1], east.grid, ("B08", "B02")).bands == ("B08", "B02")
    assert held.load(pier[-1], SITE.grid).scene.id == pier[-1].id
    assert held.classes(pier[-1], SITE.grid).shape == tuple(SITE.grid.shape)
    assert held.estimate(pier[-1], SITE.grid).requests == 0 and held.info.offers("s2", "L2A")
    # dates of the whole folder do not reach the other site
    shared = FolderProvider(put(files[-2:], tmp_path / "shared"))
    assert len(shared.search(query)) == 2 and shared.search(replace(query, site=east)) == []


def replace_grid(site):
    return Frame(site.grid, site.grid.pad(8, 8), (slice(None), slice(None))).context


def test_names_of_sites_lead_nowhere_else(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").mkdir()
    for name in ("../secret", "..", "a/../../secret", "/etc", "..\\secret"):
        assert FolderProvider(tmp_path / "in").folder_of(replace(SITE, name=name)).path == tmp_path / "in"


def test_what_is_not_there_is_said(files, tmp_path):
    with pytest.raises(MissingInputError, match="no such folder"):
        FolderProvider(tmp_path / "none").folder_of(SITE)
    held = FolderProvider(put(files[-1:], tmp_path / "images"))
    (scene,) = held.search(SearchQuery(SITE, SINCE, LAST, 1.0, limit=10))
    with pytest.raises(MissingBandError, match="none of the bands B05"):
        held.load(scene, SITE.grid, ("B05",))
    with pytest.raises(InputFileError, match="is in the folder no longer"):
        held.load(replace(scene, id="gone"), SITE.grid)
    (failure,) = look(tmp_path, tmp_path / "none").failures
    assert "no such folder" in failure.reason


def test_the_command_reads_a_folder(files, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.csv").write_text('name,at,radius\nPier,"38.27033, 126.49796",240m\n', encoding="utf-8")
    put(files, tmp_path / "images")
    line = ["watch", "--sites", "sites.csv", "--images", "images", "--no-register", "--since", "2023-01"]
    assert command([*line, "--until", "2023-07-20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (alert,) = document["alerts"]
    assert [alert["after_utc"][:10], alert["by_utc"][:10]] == ["2023-03-24", "2023-04-08"]
    assert document["silent"] == [] and document["sites"][0]["simulated"] is False
    assert command([*line[:-2], "--until", "2023-09-30"]) == 0
    assert capsys.readouterr().out.startswith("Pier: no usable image for ")
