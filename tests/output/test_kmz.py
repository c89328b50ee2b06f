import xml.etree.ElementTree as ET
import zipfile
from dataclasses import replace
from datetime import timedelta

import cv2
import numpy as np
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from tests.synthetic import GRID, make_image, make_result

from changedet.errors import OutputError
from changedet.kinds import KIND_COLOURS, KIND_LABELS, Kind
from changedet.output.kmz import KML_NAMESPACE, make_overlays, write_kmz

#: Wheels of pyogrio hold the driver of archives since 0.11.
through_gdal = pytest.mark.skipif("LIBKML" not in pyogrio.list_drivers(), reason="GDAL without LIBKML")
#: Order of the children of each element in the schema of KML 2.2; those that are not here are not used.
FEATURE = ["name", "open", "Snippet", "description", "TimeSpan", "styleUrl", "Style", "ExtendedData"]
ORDER = {
    "Document": [*FEATURE, "GroundOverlay", "Folder"],
    "Folder": [*FEATURE, "Placemark"],
    "Placemark": [*FEATURE, "Polygon", "MultiGeometry"],
    "GroundOverlay": [*FEATURE, "drawOrder", "Icon", "LatLonBox"],
    "TimeSpan": ["begin", "end"],
    "Style": ["LineStyle", "PolyStyle", "BalloonStyle"],
    "LineStyle": ["color", "width"],
    "Polygon": ["tessellate", "outerBoundaryIs", "innerBoundaryIs"],
    "LatLonBox": ["north", "south", "east", "west"],
}
HOSTILE = "</name><script>alert(1)</script> & ]]> \x00\x1b\u202e $[description]"


def tag(name):
    return f"{{{KML_NAMESPACE}}}{name}"


def kml(path):
    with zipfile.ZipFile(path) as archive:
        return ET.fromstring(archive.read("doc.kml"))


def texts(root, *names):
    return [e.text for e in root.iterfind(".//" + "/".join(tag(n) for n in names))]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("kmz") / "changes.kmz"
    result = make_result()
    write_kmz(path, result)
    return result, path


def placemarks(path):
    frames = {}
    for layer, _ in pyogrio.list_layers(path):
        frame = pyogrio.read_dataframe(path, layer=layer)
        frames[layer] = frame[frame.geometry.notna() & frame["Name"].str.match(r"\d+\. ")]
    return {layer: frame for layer, frame in frames.items() if len(frame)}


def test_elements_stand_in_the_order_of_the_schema(written):
    root = kml(written[1])
    assert root.tag == tag("kml")
    seen = set()
    for element in root.iter():
        name = element.tag.removeprefix(f"{{{KML_NAMESPACE}}}")
        assert element.tag.startswith(f"{{{KML_NAMESPACE}}}")
        if name in ORDER:
            children = [c.tag.removeprefix(f"{{{KML_NAMESPACE}}}") for c in element]
            assert children == sorted(children, key=ORDER[name].index)
            seen.add(name)
    assert seen == set(ORDER)


@through_gdal
def test_gdal_reads_the_outlines_where_they_are(written):
    result, path = written
    found = placemarks(path)
    assert list(found) == ["new construction", "ground clearing or earthworks", "water change"]
    wanted = result.objects.to_crs(4326)
    for (layer, frame), row in zip(found.items(), wanted.itertuples(), strict=True):
        assert frame["Name"].tolist() == [f"{row.id}. {layer}"]
        outline = shapely.force_2d(frame.geometry.iloc[0])
        assert outline.contains(shapely.Point(row.lon, row.lat))
        assert outline.symmetric_difference(row.geometry).area < 3e-4 * row.geometry.area
        assert frame["mgrs"].tolist() == [row.mgrs]


def test_styles_are_the_colours_of_the_kinds(written):
    root = kml(written[1])
    styles = {s.get("id"): s for s in root.iter(tag("Style"))}
    assert set(texts(root, "Placemark", "styleUrl")) == {f"#{name}" for name in styles}
    colour = KIND_COLOURS[Kind.CONSTRUCTION]
    line = styles["kind-1"].find(f"{tag('LineStyle')}/{tag('color')}").text
    assert line == f"ff{colour[5:7]}{colour[3:5]}{colour[1:3]}"
    fill = styles["kind-1"].find(f"{tag('PolyStyle')}/{tag('color')}").text
    assert 0 < int(fill[:2], 16) < 128


def test_balloons_say_what_a_reader_needs(written):
    result, path = written
    first, second, _ = texts(kml(path), "Placemark", "description")
    for text in (
        "consistent with new construction", "1.80 ha", "2025-05-14T02:07:01Z", "2023-05-14T02:07:01Z",
        "1 of 3, by likeness to construction", result.objects["mgrs"][0], "NDVI 0.62 to 0.11",
        result.before.scene.id, result.after.scene.id, "Contains modified Copernicus Sentinel data [2023]",
    ):  # fmt: skip
        assert text in first
    assert "2 of 3, by likeness to construction" in second
    assert "does not mean that nothing happened" in texts(kml(path), "Document", "description")[0]


def test_pictures_carry_time_and_scene_and_follow_each_other(written):
    result, path = written
    before, after = kml(path).iter(tag("GroundOverlay"))
    assert before.find(tag("name")).text == f"Before: 2023-05-14 02:07:01 UTC, {result.before.scene.id}"
    assert after.find(tag("name")).text == f"After: 2025-05-14 02:07:01 UTC, {result.after.scene.id}"
    assert texts(before, "TimeSpan", "begin") == ["2023-05-14T02:07:01Z"]
    assert texts(before, "TimeSpan", "end") == texts(after, "TimeSpan", "begin") == ["2025-05-14T02:07:01Z"]
    assert texts(after, "TimeSpan", "end") == []
    with zipfile.ZipFile(path) as archive:
        for overlay in (before, after):
            data = archive.read(texts(overlay, "Icon", "href")[0])
            assert data.startswith(b"\x89PNG")


def test_pictures_lie_where_the_pixels_are():
    result = make_result(boxes=[], kinds=[])
    data = np.full_like(result.after.data, 0.1)
    data[:, 50:60, 90:100] = 0.6
    result = replace(result, after=replace(result.after, data=data))
    overlay = make_overlays(result)["after"]
    picture = cv2.imdecode(np.frombuffer(overlay.png, np.uint8), cv2.IMREAD_UNCHANGED)
    bright = (picture[..., :3].min(axis=-1) > 200) & (picture[..., 3] == 255)
    rows, columns = np.nonzero(bright)
    lon = overlay.west + (columns.mean() + 0.5) / picture.shape[1] * (overlay.east - overlay.west)
    lat = overlay.north - (rows.mean() + 0.5) / picture.shape[0] * (overlay.north - overlay.south)
    x, y = GRID.transform * (95.0, 55.0)
    found = shapely.Point(lon, lat)
    wanted = shapely.Point(GRID.crs.transformer_to_crs(CRS("EPSG:4326"))(x, y))
    assert found.distance(wanted) < 5e-5


def test_pixels_without_data_are_transparent():
    result = make_result()
    data = result.before.data.copy()
    data[:, :, :60] = np.nan
    overlay = make_overlays(replace(result, before=replace(result.before, data=data)))["before"]
    alpha = cv2.imdecode(np.frombuffer(overlay.png, np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
    assert (alpha[:, :50] == 0).all()
    assert (alpha[20:80, 70:110] == 255).all()


def test_a_grid_across_the_antimeridian_makes_a_narrow_picture():
    grid = GeoBox.from_bbox((710000, 5000000, 760000, 5050000), "EPSG:32660", resolution=500, tight=True)
    image = make_image(grid=grid)
    overlay = make_overlays(make_result(boxes=[], kinds=[], grid=grid, before=image, after=image))["before"]
    assert 0 < overlay.east - overlay.west < 1
    assert overlay.west < 180 < overlay.east
    alpha = cv2.imdecode(np.frombuffer(overlay.png, np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
    assert (alpha == 255).mean() > 0.8


def test_large_pictures_are_made_smaller():
    grid = GeoBox.from_bbox((300000, 4000000, 300400, 4024000), "EPSG:32652", resolution=10, tight=True)
    image = make_image(grid=grid)
    overlay = make_overlays(make_result(boxes=[], kinds=[], grid=grid, before=image, after=image))["before"]
    picture = cv2.imdecode(np.frombuffer(overlay.png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert max(picture.shape) == 2048


@through_gdal
def test_holes_and_parts_are_kept(tmp_path):
    result = make_result()
    outer = shapely.box(246500, 4276000, 246600, 4276100)
    shape = outer.difference(shapely.box(246530, 4276030, 246560, 4276060))
    both = shapely.MultiPolygon([shape, shapely.box(246700, 4276000, 246750, 4276050)])
    objects = result.objects.copy()
    objects.loc[0, "geometry"] = both
    write_kmz(tmp_path / "a.kmz", replace(result, objects=objects))
    back = placemarks(tmp_path / "a.kmz")["new construction"].geometry.iloc[0]
    assert len(back.geoms) == 2
    assert sorted(len(part.interiors) for part in back.geoms) == [0, 1]


def test_no_objects_give_pictures_only(tmp_path):
    write_kmz(tmp_path / "a.kmz", make_result(boxes=[], kinds=[]))
    root = kml(tmp_path / "a.kmz")
    assert len(list(root.iter(tag("GroundOverlay")))) == 2
    assert list(root.iter(tag("Folder"))) == []
    assert "no candidate was flagged" in texts(root, "Document", "description")[0]


def test_without_pixels_there_are_outlines_only(tmp_path):
    result = make_result()
    empty = replace(result.before, data=np.full_like(result.before.data, np.nan))
    write_kmz(tmp_path / "a.kmz", replace(result, before=empty))
    with zipfile.ZipFile(tmp_path / "a.kmz") as archive:
        assert archive.namelist() == ["doc.kml"]
    assert len(list(kml(tmp_path / "a.kmz").iter(tag("Placemark")))) == 3


@pytest.mark.parametrize("after_days", [None, -10, 0])
def test_time_spans_never_run_backwards(tmp_path, after_days):
    result = make_result()
    before = result.before.scene
    time = None if after_days is None else before.time + timedelta(days=after_days)
    after = replace(result.after, scene=replace(result.after.scene, time=time))
    write_kmz(tmp_path / "a.kmz", replace(result, after=after))
    root = kml(tmp_path / "a.kmz")
    assert texts(root, "TimeSpan", "end") == []
    assert len(texts(root, "TimeSpan", "begin")) == (1 if time is None else 2)


@through_gdal
def test_hostile_texts_stay_texts(tmp_path):
    result = make_result(name=HOSTILE)
    objects = result.objects.assign(evidence=HOSTILE, warnings=HOSTILE)
    scene = replace(result.after.scene, id=HOSTILE)
    result = replace(result, objects=objects, after=replace(result.after, scene=scene))
    write_kmz(tmp_path / "a.kmz", result)
    root = kml(tmp_path / "a.kmz")
    raw = ET.tostring(root, encoding="unicode")
    assert "<script" not in raw
    assert not set(raw) & {"\x00", "\x1b", "\u202e"}
    assert root.find(f"{tag('Document')}/{tag('name')}").text.startswith("</name><script>alert(1)")
    for description in texts(root, "Placemark", "description"):
        assert "<script" not in description
        assert "&lt;script&gt;" in description
        assert "$[" not in description
    assert placemarks(tmp_path / "a.kmz")


@settings(max_examples=15, deadline=None)
@given(name=st.text(max_size=40))
def test_any_name_gives_well_formed_kml(tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / "any.kmz"
    result = make_result(name=name)
    empty = replace(result.before, data=np.full_like(result.before.data, np.nan))
    write_kmz(path, replace(result, before=empty))
    assert kml(path).find(tag("Document")) is not None


def test_bytes_repeat(tmp_path):
    for name in ("a.kmz", "b.kmz"):
        write_kmz(tmp_path / name, make_result())
    assert (tmp_path / "a.kmz").read_bytes() == (tmp_path / "b.kmz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.kmz") as archive:
        assert archive.namelist()[0] == "doc.kml"
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_unknown_kinds_are_unclassified(tmp_path):
    result = make_result()
    write_kmz(tmp_path / "a.kmz", replace(result, objects=result.objects.assign(kind="something else")))
    assert texts(kml(tmp_path / "a.kmz"), "Folder", "name") == [KIND_LABELS[Kind.UNCLASSIFIED]]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(OutputError, match=r"a\.kmz: cannot be written .*; check the free space"):
        write_kmz(tmp_path / "no" / "a.kmz", make_result())
