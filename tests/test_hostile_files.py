"""Files that attack: what they would swell to or lead to is neither made, read nor overwritten."""

import json
import os
import zipfile

import numpy as np
import pytest
import rasterio
from affine import Affine
from tests.fuzz.outcomes import require_plain
from tests.providers.files import BANDS_10M, numbers, write, write_folder, write_safe, write_vrt
from tests.synthetic import make_result
from tests.watch.folders import make_run

from changedet.batch import site_folders
from changedet.errors import (
    ChangedetError,
    InputFileError,
    OutputExistsError,
    VerificationError,
    plain_line,
)
from changedet.models.trained import open_model
from changedet.offline import OUTSIDE_VARIABLE
from changedet.output.timeline_folder import check_timeline_target, read_timeline_record
from changedet.provenance import read_record, verify
from changedet.providers.catalog import read_catalog
from changedet.providers.local import open_source
from changedet.result import ChangeResult
from changedet.simulator.files import holds_simulated_scenes
from changedet.site import Site
from changedet.site_lists import read_sites
from changedet.watch.state import WRITER_SUFFIX, open_state
from changedet.watch.verdict_files import read_verdict_file

SECRET = "what-lies-elsewhere"


@pytest.fixture
def refused():
    """Checks that something is refused in one plain line."""

    def check(function, *given, kind=InputFileError, match=None):
        with pytest.raises(kind, match=match) as caught:
            function(*given)
        require_plain(caught.value)
        assert SECRET not in str(caught.value)
        return caught.value

    return check


# ----------------------------------------------------------------------------------------- XML and archives


def _xml(entity, body="&x;"):
    return (
        f'<?xml version="1.0"?><!DOCTYPE a [{entity}]><kml><Placemark><name>{body}</name></Placemark></kml>'
    )


LAUGHS = "".join(f'<!ENTITY l{n} "{10 * f"&l{n - 1};"}">' for n in range(1, 12))
ENTITIES = [
    '<!ENTITY x SYSTEM "file://{secret}">',
    '<!ENTITY % p SYSTEM "file://{secret}"> %p;',
    '<!ENTITY x PUBLIC "a" "http://127.0.0.1:9/x">',
    f'<!ENTITY l0 "ha">{LAUGHS}<!ENTITY x "&l11;">',
    "",
]


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_declares_nothing(refused, tmp_path, entity, encoding):
    (tmp_path / "secret").write_text(SECRET)
    text = _xml(entity.replace("{secret}", str(tmp_path / "secret")))
    path = tmp_path / "a.kml"
    path.write_bytes(text.replace('"1.0"', f'"1.0" encoding="{encoding}"').encode(encoding))
    refused(read_sites, path, match="document type|points to data elsewhere")
    with zipfile.ZipFile(tmp_path / "a.kmz", "w") as archive:
        archive.write(path, "doc.kml")
    refused(read_sites, tmp_path / "a.kmz", match="document type|points to data elsewhere")
    product = write_safe(tmp_path)
    (product / "MTD_MSIL2A.xml").write_bytes(path.read_bytes())
    refused(open_source, product, match="document type|damaged")


def test_an_archive_that_would_swell_is_not_unpacked(refused, tmp_path):
    path = tmp_path / "a.kmz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("doc.kml", "w") as stream:
        for _ in range(66):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 10**6
    refused(read_sites, path, match="too large")
    # one that says less than it holds gives no more than it says
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    refused(read_sites, path)


def test_an_archive_of_many_entries_is_looked_through_once(refused, tmp_path):
    path = tmp_path / "a.kmz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.txt"), b"")
    refused(read_sites, path, match="holds no KML")


@pytest.mark.parametrize(
    "name", ["../../x.kml", "/x.kml", "C:\\x.kml", "a/../../../x.kml", "x" * 5000 + ".kml"]
)
def test_names_in_an_archive_lead_nowhere(tmp_path, name):
    path = tmp_path / "in" / "a.kmz"
    path.parent.mkdir()
    body = (
        "<kml><Placemark><name>Pier</name><Point><coordinates>10,50</coordinates></Point></Placemark></kml>"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), body)
    assert [site.name for site in read_sites(path)] == ["Pier"]
    assert {one.name for one in tmp_path.rglob("*")} == {"in", "a.kmz"}


def test_folders_of_folders_have_an_end(refused, tmp_path):
    path = tmp_path / "a.kml"
    path.write_text("<kml>" + "<Folder><name>x</name>" * 20_000 + "</Folder>" * 20_000 + "</kml>")
    refused(read_sites, path)
    # names that would be repeated for every placemark below them
    inner = "<Placemark><Point><coordinates>10,50</coordinates></Point></Placemark>" * 300
    name = "y" * 50_000
    path.write_text("<kml>" + f"<Folder><name>{name}</name>" * 60 + inner + "</Folder>" * 60 + "</kml>")
    sites = read_sites(path)
    assert sum(len(site.folder) for site in sites) < 10**7


# ----------------------------------------------------------------------------------------- names of sites

BAD_NAMES = [
    "../../x", "/etc/cron.d/x", "a/../../b", "..", ".", "...", "\0", "a\0b", "CON", "nul.txt",
    "COM1", "x" * 10_000,
    "\u202egnp.exe", "~root", "$(id)", "`id`", "; rm -rf /", "a\nb", "\x1b[2J", "C:\\x",
    "\\\\host\\x", "-rf", " ", "\ud800",
]  # fmt: skip
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("group", ["", "g", *BAD_NAMES[:3]])
def test_a_site_name_is_a_folder_inside(name, group, tmp_path):
    outline = Site.at("50, 10", radius_m=500).geometry
    (found,) = site_folders([Site(name, outline, group)])
    for part in found.split("/"):
        assert part not in {"", ".", ".."}
        assert part.isprintable()
        assert part.split(".")[0].lower() not in RESERVED
        assert len(part.encode("utf-8")) < 200
        assert not part.startswith(("-", "~"))
    (tmp_path / found).mkdir(parents=True)
    assert (tmp_path / found).resolve().is_relative_to(tmp_path)


# ----------------------------------------------------------------------------------------- rasters


@pytest.fixture
def elsewhere(tmp_path):
    """A raster in another folder, of numbers that nothing else has."""
    array = np.full((96, 96), 7777, np.uint16)
    return write(tmp_path / "elsewhere" / "private.tif", array)


@pytest.fixture
def home(tmp_path):
    return write_folder(tmp_path / "home")


def _band(home, name="B04"):
    return next(home.glob(f"*_{name}.tif"))


def _values(folder):
    image = open_source(folder).load()
    return np.unique(np.round(image.data[np.isfinite(image.data)] * 10_000))


def test_a_virtual_raster_stays_in_its_folder(refused, home, elsewhere, monkeypatch):
    path = _band(home)
    for source in (
        elsewhere,
        "../elsewhere/private.tif",
        f"<!-- -->{elsewhere}",
        f"./{os.pardir}/elsewhere/private.tif",
    ):
        path.unlink(missing_ok=True)
        write_vrt(path, source)
        refused(open_source, home, match="outside of its folder; build it beside its sources, or set")
    monkeypatch.setenv(OUTSIDE_VARIABLE, "1")
    write_vrt(path, elsewhere)
    assert 7777 in _values(home)


@pytest.mark.parametrize(
    "source",
    ["vrt://{path}", "/vsigzip/{path}", "/vsizip/{path}", "/vsisubfile/0_100,{path}",
    "/vsistdin/", "GTIFF_DIR:1:{path}",
     "NETCDF:{path}:x", "\\\\host\\share\\a.tif", "file:{path}", "PG:host=127.0.0.1 dbname=x",
     "", "x" * 5000],
)  # fmt: skip
def test_a_virtual_raster_names_files_and_nothing_else(refused, home, elsewhere, source):
    path = _band(home)
    path.unlink()
    write_vrt(path, source.format(path=elsewhere))
    refused(open_source, home, match="no file here|on the network")


def test_capitals_and_comments_hide_no_source(refused, home, elsewhere):
    path = _band(home)
    path.unlink()
    text = write_vrt(path, elsewhere).read_text()
    for spoilt in (
        text.replace("SourceFilename", "sOURCEfILENAME"),
        text.replace("<SourceFilename", "< SourceFilename").replace("</Source", "</ Source"),
        text.replace(str(elsewhere), f"<![CDATA[{elsewhere}]]>"),
        text.replace("/elsewhere/", "&#47;elsewhere&#x2f;"),
    ):
        path.write_text(spoilt)
        refused(open_source, home)


def test_a_computed_virtual_raster_is_no_image(refused, home):
    path = _band(home)
    path.unlink()
    text = write_vrt(path, "x.tif").read_text()
    path.write_text(text.replace("<VRTDataset", '<VRTDataset subClass="VRTProcessedDataset"'))
    refused(open_source, home, match="computes its pixels")


def test_overviews_elsewhere_are_not_read(refused, tmp_path, elsewhere):
    path = write(
        tmp_path / "home" / "a.tif",
        np.stack([numbers(band, 10) for band in BANDS_10M]),
        descriptions=BANDS_10M,
    )
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(elsewhere))
    with rasterio.open(path) as file:
        assert str(elsewhere) in file.files, "the attack works without care"
    refused(open_source, path, match="overviews read from another file; make a copy")


@pytest.mark.parametrize("name", ["{}.aux.xml", "{}.ovr", "{}.msk"])
def test_what_lies_beside_a_raster_leads_nowhere(refused, home, elsewhere, name):
    path = _band(home)
    beside = home / name.format(path.name)
    if name.endswith("xml"):
        notes = f'<MDI key="OVERVIEW_FILE">{elsewhere}</MDI>'
        beside.write_text(f'<PAMDataset><Metadata domain="OVERVIEWS">{notes}</Metadata></PAMDataset>')
    else:
        write_vrt(beside, elsewhere, size=48)
    refused(open_source, home)


def test_plain_notes_beside_a_raster_do_no_harm(home):
    _band(home).with_name(_band(home).name + ".aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>"
    )
    assert open_source(home).load().valid.any()


def test_a_raster_that_claims_more_than_there_is_takes_no_memory(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("changedet.scale.resources.memory_of_machine_bytes", lambda: 16e9)
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "count": 4, "dtype": "uint16", "crs": "EPSG:32633",
               "SPARSE_OK": True, "BIGTIFF": "YES",
               "tiled": True, "blockxsize": 512, "blockysize": 512, "height": 2**17, "width": 2**17,
               "transform": Affine(10, 0, 300000, 0, -10, 9_000_000)}  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.descriptions = BANDS_10M
    assert path.stat().st_size < 10**7
    refused(lambda: open_source(path).load(), match="131072 x 131072 pixels take 309 GB of memory")


def test_a_header_that_lies_about_its_size_is_refused(refused, tmp_path):
    path = write(
        tmp_path / "a.tif", np.stack([numbers(band, 10) for band in BANDS_10M]), descriptions=BANDS_10M
    )
    data = bytearray(path.read_bytes())
    first = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[first : first + 2], "little")):
        at = first + 2 + 12 * entry
        if int.from_bytes(data[at : at + 2], "little") in {256, 257}:
            data[at + 2 : at + 4] = (4).to_bytes(2, "little")
            data[at + 8 : at + 12] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(data)
    refused(lambda: open_source(path).load(), kind=ChangedetError)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_cut_raster_is_refused(refused, home, share):
    path = _band(home)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(lambda: open_source(home).load())


# ----------------------------------------------------------------------------------------- run folders


def test_a_run_folder_reads_its_own_rasters_and_tables_alone(refused, tmp_path, elsewhere):
    run = make_run(tmp_path / "run", images=True)
    ChangeResult.open(run)
    kept = (run / "score.tif").read_bytes()
    (run / "score.tif").unlink()
    write_vrt(run / "score.tif", elsewhere)
    refused(ChangeResult.open, run)
    (run / "score.tif").write_bytes(kept)
    (run / "changes.gpkg").write_text('<OGRVRTDataSource><OGRVRTLayer name="changes"/></OGRVRTDataSource>')
    refused(ChangeResult.open, run)


def test_a_record_names_no_file_outside(refused, tmp_path):
    run = make_run(tmp_path / "run")
    (tmp_path / "secret").write_text(SECRET)
    record = json.loads((run / "run.json").read_text())
    for name in (
        "../secret",
        str(tmp_path / "secret"),
        "a/../../secret",
        "..\\secret",
        "C:/secret",
        "a\0b",
        "",
    ):
        spoilt = record | {"files": record["files"] | {name: {"sha256": "0" * 64, "bytes": 1}}}
        (run / "run.json").write_text(json.dumps(spoilt))
        refused(verify, run, kind=VerificationError, match="outside the folder")
    (run / "link").symlink_to(tmp_path / "secret")
    (run / "run.json").write_text(json.dumps(record | {"files": {"link": {"sha256": "0" * 64, "bytes": 1}}}))
    refused(verify, run, kind=VerificationError, match="outside the folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_not_waited_for(refused, tmp_path):
    run = make_run(tmp_path / "run")
    (run / "changes.gpkg").unlink()
    os.mkfifo(run / "changes.gpkg")
    record = json.loads((run / "run.json").read_text())
    promised = {"changes.gpkg": {"sha256": "0" * 64, "bytes": 1}}
    (run / "run.json").write_text(json.dumps(record | {"files": promised}))
    refused(verify, run, kind=VerificationError, match="is no file; do not trust this folder")


# ----------------------------------------------------------------------------------------- nested documents

BOMBS = [b"[" * 100_000, b'{"a":' * 50_000, b'{"schema": ' + b"[" * 5000 + b"]" * 5000 + b"}"]
READERS = {
    "verdicts": (read_verdict_file, "verdicts.json", InputFileError, "no file of verdicts"),
    "model": (open_model, "model.json", InputFileError, "is no model that can be used"),
    "catalogue": (read_catalog, "catalog.json", InputFileError, "cannot be read as JSON"),
    "timeline": (
        lambda path: read_timeline_record(path.parent),
        "timeline.json",
        VerificationError,
        "damaged",
    ),
    "run": (lambda path: read_record(path.parent), "run.json", VerificationError, "damaged"),
}


@pytest.mark.parametrize("bomb", BOMBS, ids=["lists", "objects", "inside"])
@pytest.mark.parametrize("reader", READERS)
def test_a_document_nested_too_deeply_is_refused(refused, tmp_path, reader, bomb):
    read, name, kind, said = READERS[reader]
    (tmp_path / name).write_bytes(bomb)
    error = refused(read, tmp_path / name, kind=kind, match=f"{said}.*nested too deeply")
    assert not isinstance(error.__context__ and error.__context__.__context__, RecursionError)


@pytest.mark.parametrize("bomb", BOMBS, ids=["lists", "objects", "inside"])
def test_a_nested_document_is_neither_a_simulation_nor_a_timeline(tmp_path, bomb):
    (tmp_path / "truth.json").write_bytes(bomb)
    assert not holds_simulated_scenes(tmp_path)
    (tmp_path / "timeline.json").write_bytes(bomb)
    with pytest.raises(OutputExistsError, match="holds what no timeline wrote"):
        check_timeline_target(tmp_path, overwrite=True)


@pytest.mark.parametrize("number", ["1" * 20, "1" * 5000])
def test_a_number_of_many_digits_hides_no_link(refused, tmp_path, number):
    path = tmp_path / "a.geojson"
    link = '{"type": "link", "properties": {"href": "http://127.0.0.1:9/x", "type": "proj4"}}'
    path.write_text(f'{{"type": "FeatureCollection", "n": {number}, "crs": {link}, "features": []}}')
    refused(read_sites, path, match="points to data elsewhere")


# ----------------------------------------------------------------------------------------- links as outputs


@pytest.fixture
def kept(tmp_path):
    """Files elsewhere that have to stay as they are; checked at the end."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a.txt", "run.json", "report.html", "score.tif"):
        (folder / name).write_text(SECRET)
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("a.txt", "run.json", "report.html", "score.tif"), SECRET
    )


@pytest.fixture
def saved(no_plates, tmp_path):
    return make_result().save(tmp_path / "run")


def test_a_link_in_the_place_of_a_run_folder_is_not_followed(kept, tmp_path, refused, saved):
    link = tmp_path / "link"
    link.symlink_to(kept, target_is_directory=True)
    for overwrite in (False, True):
        refused(lambda: make_result().save(link, overwrite=overwrite), kind=OutputExistsError)  # noqa: B023
    link.unlink()
    # also not to a run folder: another one than was named would go
    link.symlink_to(saved, target_is_directory=True)
    refused(
        lambda: make_result().save(link, overwrite=True),
        kind=OutputExistsError,
        match="is a link to a folder",
    )
    assert verify(saved).passed


@pytest.mark.parametrize("name", ["score.tif", "report.html", "run.json"])
def test_a_linked_file_of_a_run_folder_is_replaced_and_not_written_through(kept, saved, name):
    content = (saved / name).read_bytes()
    (saved / name).unlink()
    (saved / name).symlink_to(kept / name)
    if name == "run.json":
        with pytest.raises((OutputExistsError, InputFileError)):
            make_result().save(saved, overwrite=True)
        return
    make_result().save(saved, overwrite=True)
    assert not (saved / name).is_symlink()
    assert (saved / name).read_bytes()[:20] == content[:20]


def test_a_linked_folder_in_a_run_folder_stops_the_overwriting(kept, saved):
    (saved / "plates" / "overview.png").unlink()
    (saved / "plates").rmdir()
    (saved / "plates").symlink_to(kept, target_is_directory=True)
    with pytest.raises(OutputExistsError, match="holds what no run wrote"):
        make_result().save(saved, overwrite=True)


@pytest.mark.parametrize("name", ["report.html", "plate.png"])
def test_single_files_are_not_written_through_links(kept, tmp_path, refused, name):
    link = tmp_path / name
    link.symlink_to(kept / "report.html")
    result = make_result()
    write = result.report if name.endswith("html") else result.plate
    refused(
        lambda: write(link, overwrite=True), kind=OutputExistsError, match="is a link to a file elsewhere"
    )


def test_who_writes_is_not_signed_through_a_link(kept, tmp_path):
    file = tmp_path / "state.gpkg"
    file.with_name(file.name + WRITER_SUFFIX).symlink_to(kept / "a.txt")
    with open_state(file, write=True) as state, state.change():
        pass


# ----------------------------------------------------------------------------------------- one line


@pytest.mark.parametrize(
    "text", ["a\nb\r\tc", "\x1b[31m", "x\u202ey", "\ud800", "\x00", "z" * 10**6, ("ab\n" * 10**5)]
)
def test_every_message_is_one_printable_line(text):
    error = ChangedetError(text, where=text, todo=text)
    require_plain(error)
    assert str(error).count("\n") == 0


def test_names_in_scripts_that_join_letters_stay_as_they_are():
    assert plain_line("\u0646\u0645\u200c\u062e") == "\u0646\u0645\u200c\u062e"
    assert plain_line("a" * 500 + "end", 100).endswith("end")
    assert len(plain_line("a" * 500, 100)) <= 100
