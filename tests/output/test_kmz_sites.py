"""All sites of a list as one KMZ: it is the list that was given, with what was found beside it."""

import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pyogrio
import pytest
import shapely
from tests.output.test_kmz import through_gdal
from tests.synthetic import make_result

from changedet.batch import Fate, Outcome, site_folders, site_label
from changedet.kml import read_placemarks
from changedet.output.kmz import KML_NAMESPACE, write_kmz
from changedet.output.kmz_sites import CANDIDATES, IMAGES, write_sites_kmz
from changedet.site_lists import kml_tree, read_sites

#: Groups of the list, some in others, with their number of sites: forty in all.
GROUPS = (("Coast", 12), ("Coast / North", 9), ("Coast / North / Piers", 7), ("Inland", 11), ("", 1))


def placemark(number):
    lon, lat = 126 + 0.01 * number, 38 + 0.005 * number
    if number % 3:
        shape = f"<Point><coordinates>{lon:.4f},{lat:.4f},0</coordinates></Point>"
    else:
        ring = shapely.get_coordinates(shapely.box(lon, lat, lon + 0.01, lat + 0.008)).tolist()
        corners = " ".join(f"{x:.5f},{y:.5f}" for x, y in ring)
        shape = (
            f"<Polygon><outerBoundaryIs><LinearRing><coordinates>{corners}</coordinates></LinearRing>"
            "</outerBoundaryIs></Polygon>"
        )
    return f"<Placemark><name>Site &amp; hall no. {number} ü 서해</name>{shape}</Placemark>"


def a_list():
    """Forty placemarks in folders that lie in each other."""
    numbers = iter(range(40))
    own = {name: "".join(placemark(next(numbers)) for _ in range(count)) for name, count in GROUPS}
    piers = f"<Folder><name>Piers</name>{own['Coast / North / Piers']}</Folder>"
    north = f"<Folder><name>North</name>{own['Coast / North']}{piers}</Folder>"
    coast = f"<Folder><name>Coast</name>{own['Coast']}{north}</Folder>"
    inland = f"<Folder><name>Inland</name>{own['Inland']}</Folder>"
    return (
        f'<?xml version="1.0"?><kml xmlns="{KML_NAMESPACE}"><Document><name>Watched</name>'
        f"{coast}{inland}{own['']}</Document></kml>"
    )


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    (folder / "watched.kml").write_text(a_list(), encoding="utf-8")
    sites = read_sites(folder / "watched.kml")
    outcomes = []
    for number, (site, name) in enumerate(zip(sites, site_folders(sites), strict=True)):
        fate = (Fate.COMPLETE, Fate.COMPLETE, Fate.REFUSED, Fate.FAILED)[number % 4]
        whole = fate in {Fate.COMPLETE, Fate.REFUSED}
        found = {Fate.COMPLETE: number % 3, Fate.REFUSED: 0}.get(fate)
        outcomes.append(Outcome(site_label(site), fate, name, found, reason="" if whole else "<b>cloud</b>"))
    # three sites have files with pictures; the others show that what is missing is borne
    for number in (0, 1, 4):
        target = folder / outcomes[number].folder
        target.mkdir(parents=True)
        write_kmz(target / "changes.kmz", make_result(sites[number].name))
    path = write_sites_kmz(folder, sites, outcomes, name="Watched")
    return folder, sites, outcomes, path


def tree_of(element, namespace=f"{{{KML_NAMESPACE}}}"):
    """Folders and placemarks as nested tuples, in their order."""
    found = []
    for one in element:
        tag = one.tag.removeprefix(namespace)
        if tag == "Folder":
            found.append((one.findtext(f"{namespace}name"), tree_of(one)))
        elif tag == "Placemark":
            found.append(one.findtext(f"{namespace}name"))
    return found


def document(path):
    return kml_tree(path).find(f"{{{KML_NAMESPACE}}}Document")


def test_folders_and_names_are_those_of_the_list(batch):
    folder, sites, _, path = batch
    given, written = tree_of(document(folder / "watched.kml")), tree_of(document(path))
    assert [one[0] for one in written[-2:]] == [CANDIDATES, IMAGES]
    # a placemark that stands in no folder comes where it stood
    assert written[:-2] == given
    assert len(sites) == 40


def test_the_list_can_be_read_again_from_it(batch):
    _, sites, _, path = batch
    marks = [one for one in read_placemarks(kml_tree(path)) if not one.folder.startswith(CANDIDATES)]
    assert [(one.name, one.folder) for one in marks] == [(site.name, site.folder) for site in sites]
    for mark, site in zip(marks, sites, strict=True):
        point, area = mark.geometry.geoms
        assert area.symmetric_difference(site.geometry).area < 1e-8
        # longitude first
        assert (126 <= point.x <= 127, 38 <= point.y <= 39) == (True, True)


@through_gdal
def test_gdal_reads_it_without_a_warning(batch):
    layers = [name for name, _ in pyogrio.list_layers(batch[3])]
    names = [name for layer in layers for name in pyogrio.read_dataframe(batch[3], layer=layer)["Name"]]
    assert sum(str(name).startswith("Site & hall no.") for name in names) == 40


def test_candidates_and_pictures_are_those_of_the_sites(batch):
    _, sites, _, path = batch
    for heading in (CANDIDATES, IMAGES):
        folders = dict(one for one in tree_of(document(path)) if isinstance(one, tuple))
        labels = [(group[0], [inner[0] for inner in group[1]]) for group in folders[heading]]
        assert labels == [("Coast", [sites[0].name, sites[1].name, sites[4].name])]
    with zipfile.ZipFile(path) as archive:
        names, text = set(archive.namelist()), archive.read("doc.kml").decode()
        pictures = {name: archive.read(name) for name in names if name != "doc.kml"}
    named = [word for word in ET.fromstring(text).iter() if word.tag.endswith("href")]
    assert {one.text for one in named} <= names
    assert len({one.text for one in named}) == 6
    assert 'img src="images/001-object-1-before.jpg"' in text.replace("&lt;", "<")
    assert all(data.startswith((b"\x89PNG", b"\xff\xd8")) for data in pictures.values())
    assert "http" not in text.replace(KML_NAMESPACE, "").replace("https://", "http://")


def test_what_came_of_a_site_stands_in_its_balloon(batch):
    root = document(batch[3])
    marks = {e.findtext(f"{{{KML_NAMESPACE}}}name"): e for e in root.iter(f"{{{KML_NAMESPACE}}}Placemark")}
    said = [marks[site.name].findtext(f"{{{KML_NAMESPACE}}}description") for site in batch[1]]
    styles = [marks[site.name].findtext(f"{{{KML_NAMESPACE}}}styleUrl") for site in batch[1]]
    assert said[1].startswith("<p>1 flagged.</p><p>Report: ")
    assert "does not mean that nothing happened" in said[0]
    assert said[3] == "<p>Failed.</p><p>&lt;b&gt;cloud&lt;/b&gt;</p>"
    assert styles[:4] == ["#site-quiet", "#site-flagged", "#site-quiet", "#site-unknown"]


def test_bytes_repeat_and_a_damaged_file_costs_only_its_site(batch, tmp_path):
    folder, sites, outcomes, path = batch
    first = path.read_bytes()
    assert write_sites_kmz(folder, sites, outcomes, name="Watched").read_bytes() == first
    for number in (0, 1):
        target = tmp_path / outcomes[number].folder
        target.mkdir(parents=True)
        data = (folder / outcomes[number].folder / "changes.kmz").read_bytes()
        (target / "changes.kmz").write_bytes(data if number else b"PK damaged")
    again = write_sites_kmz(tmp_path, sites, outcomes, name="Watched")
    (heading, groups) = tree_of(document(again))[-2]
    assert (heading, groups[0][1][0][0], len(groups[0][1])) == (CANDIDATES, sites[1].name, 1)


def test_without_a_file_of_any_site_there_is_none(batch, tmp_path):
    assert write_sites_kmz(tmp_path, batch[1], batch[2], name="Watched") is None
    assert list(tmp_path.iterdir()) == []


def test_pictures_in_balloons_are_both_dates_of_the_object(tmp_path):
    import cv2

    result = make_result(boxes=[(30, 42, 40, 55)], kinds=[1])
    write_kmz(tmp_path / "a.kmz", result)
    with zipfile.ZipFile(tmp_path / "a.kmz") as archive:
        before, after = (
            cv2.imdecode(np.frombuffer(archive.read(f"images/object-1-{name}.jpg"), np.uint8), 1)
            for name in ("before", "after")
        )
        text = archive.read("doc.kml").decode()
    middle = tuple(slice(side // 2 - 3, side // 2 + 3) for side in before.shape[:2])
    assert after[middle].mean() > before[middle].mean() + 50
    assert text.count("object-1-") == 2
    empty = replace(result.before, data=np.full_like(result.before.data, np.nan))
    write_kmz(tmp_path / "b.kmz", replace(result, before=empty))
    with zipfile.ZipFile(tmp_path / "b.kmz") as archive:
        assert "img src" not in archive.read("doc.kml").decode()
