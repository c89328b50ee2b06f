"""Sites: one fixed grid anywhere on the globe, and lists of sites from files of every origin."""

import json
import re
import zipfile

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Transformer

from changedet.coordinates import GeoPoint, parse_point
from changedet.errors import CoordinateError, InputFileError, MissingInputError, UsageError
from changedet.site import Site, parse_area_m2, parse_length_m, site_from_dict, utm_epsg, utm_grid
from changedet.site_lists import read_sites

DEGREES = GeoBox.from_bbox((12.5, 43.2, 12.6, 43.3), "EPSG:4326", resolution=0.0001, tight=True)
SQUARE = shapely.box(126.0, 38.0, 126.02, 38.02)
KML = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>Watch list</name>
<Placemark><name>Loose</name><Point><coordinates>10,50,0</coordinates></Point></Placemark>
<Folder><name>Ports &amp; quays</name>
 <Placemark><name>Zuwara</name><Point><coordinates>12.08,32.92,0</coordinates></Point></Placemark>
 <Placemark><name>Namp'o</name><Polygon><outerBoundaryIs><LinearRing><coordinates>
  126,38,0 126.02,38,0 126.02,38.02,0 126,38.02,0 126,38,0
 </coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>
</Folder>
<Folder><name>Mines</name>
 <Placemark><Point><coordinates>-60,-3.3</coordinates></Point></Placemark>
 <Folder><name>Closed</name>
  <Placemark><name>Old pit</name><Point><coordinates>20,51</coordinates></Point></Placemark>
 </Folder>
</Folder>
<Folder><name>Mines</name>
 <Placemark><name>Second list</name><Point><coordinates>21,51</coordinates></Point></Placemark>
</Folder>
</Document></kml>"""
LINE = json.dumps({"type": "Feature", "properties": {"name": "Road 4"},
                   "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}})  # fmt: skip
KML_SITES = [
    ("Loose", ""), ("Zuwara", "Ports & quays"), ("Namp'o", "Ports & quays"), ("21MSU12", "Mines"),
    ("Old pit", "Mines / Closed"), ("Second list", "Mines"),
]  # fmt: skip


def labels(sites):
    return [(site.name, site.folder) for site in sites]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path, error=InputFileError):
    """The one line with which a file is refused."""
    with pytest.raises(error) as caught:
        read_sites(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


# --- one site ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.floats(-79, 83), st.floats(-180, 180), st.floats(100, 5000))
def test_the_grid_is_snapped_and_holds_the_square_wherever_the_site_is(lat, lon, radius_m):
    site = Site.at(GeoPoint(lat, lon), radius_m=radius_m)
    grid = site.grid
    left, bottom, right, top = grid.extent.boundingbox
    assert {v % 20 for v in (left, bottom, right, top)} == {0}
    assert (grid.transform.a, grid.transform.e) == (10, -10)
    # the outline is drawn in degrees, so its sides bulge a little
    slack = 40 + radius_m * 0.01
    for side in (right - left, top - bottom):
        assert 2 * radius_m - 0.1 <= side <= 2 * radius_m + slack
    outline = Geometry(site.geometry, "EPSG:4326").to_crs(grid.crs).boundingbox
    assert left <= outline.left + 1e-6
    assert top >= outline.top - 1e-6
    assert abs(site.centroid.lat - lat) < 1e-3


def test_the_grid_is_the_same_every_time():
    text = "38.5847, 126.1079"
    assert Site.at(text).grid == Site.at(text, name="again").grid
    assert tuple(Site.at(text, radius_m=2000).grid.shape) == (402, 402)


def test_a_site_without_a_name_is_called_by_its_grid_reference():
    assert Site.at("38.5847, 126.1079").name == parse_point("38.5847, 126.1079").mgrs
    assert Site.at("38.5847, 126.1079", name="Dock").name == "Dock"
    assert Site.from_bbox(126, 38, 126.02, 38.02).name == GeoPoint(38.01, 126.01).mgrs


@pytest.mark.parametrize(
    ("lat", "lon", "epsg"),
    [
        (38.58, 126.1, 32652), (-3.3, -60.0, 32721), (0.0, 0.0, 32631), (-0.001, -0.001, 32730),
        (50, 180.0, 32660), (50, -180.0, 32601), (84.0, 5.9, 32631), (-80.0, 6.0, 32732), (60.5, 5.0, 32631),
    ],
)  # fmt: skip
def test_utm_zones(lat, lon, epsg):
    assert utm_epsg(GeoPoint(lat, lon)) == epsg


@pytest.mark.parametrize("lat", [84.01, 90.0, -80.01, -90.0])
def test_the_poles_are_refused(lat):
    with pytest.raises(UsageError, match="outside UTM; choose a site between 80 S and 84 N"):
        Site.at(GeoPoint(lat, 10.0))


@pytest.mark.parametrize("lon", [179.999, -179.999, 180.0, -180.0])
def test_a_site_on_the_antimeridian_does_not_span_the_globe(lon):
    site = Site.at(GeoPoint(-16.8, lon), radius_m=2000)
    west, _, east, _ = site.geometry.bounds
    assert east - west < 0.05
    assert abs(site.centroid.lon - lon) % 360 < 1e-3 or abs(site.centroid.lon - lon) % 360 > 359.999
    assert max(site.grid.shape) <= 404


@pytest.mark.parametrize("radius_m", [0, -5, float("nan"), float("inf"), 200_001])
def test_impossible_radii_are_refused(radius_m):
    with pytest.raises(UsageError, match=r"radius .* give it with its unit, such as 2km"):
        Site.at("38, 126", radius_m=radius_m)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((126.1, 38.0, 126.0, 38.1), "is empty, and across the antimeridian 359.9 degrees wide; give W,S"),
        ((126.0, 38.1, 126.1, 38.0), "is empty"),
        ((126.0, 38.0, 126.0, 38.1), "is empty"),
        ((float("nan"), 38.0, 126.0, 38.1), "is empty"),
        ((38.0, 126.0, 38.1, 126.1), "is longitude first"),
        ((126.0, 38.0, 190.0, 38.1), "longitude 190"),
    ],
)
def test_impossible_boxes_are_refused(box, message):
    with pytest.raises(UsageError, match=message):
        Site.from_bbox(*box)


def test_the_grid_of_a_box_covers_it():
    site = Site.from_bbox(126.0, 38.0, 126.05, 38.02, name="Bay")
    bounds = Geometry(SQUARE, "EPSG:4326").to_crs(site.grid.crs).boundingbox
    left, bottom, _, top = site.grid.extent.boundingbox
    assert left <= bounds.left < left + 20
    assert bottom <= bounds.bottom
    assert top >= bounds.top


@pytest.mark.parametrize("box", [(128.5, 38.0, 129.5, 38.5), (-60.0, -34.0, -56.0, -33.0)])
def test_the_grid_of_a_large_box_covers_its_curved_edges(box):
    west, south, east, north = box
    site = Site.from_bbox(*box)
    along = np.linspace(0, 1, 2001)
    lon = np.concatenate([west + (east - west) * along] * 2)
    lat = np.repeat([south, north], along.size)
    x, y = Transformer.from_crs(4326, site.grid.crs.to_epsg(), always_xy=True).transform(lon, lat)
    bounds = site.grid.boundingbox
    assert bounds.left <= x.min() < bounds.left + 20
    assert bounds.bottom - 0.1 <= y.min() < bounds.bottom + 20
    assert bounds.top - 20 < y.max() <= bounds.top + 0.1
    assert bounds.right - 20 < x.max() <= bounds.right


def test_a_site_survives_json():
    site = Site("Bay", SQUARE, "Ports")
    again = site_from_dict(json.loads(json.dumps(site.to_dict())))
    assert (again.name, again.folder) == ("Bay", "Ports")
    assert again.geometry.equals(SQUARE)
    assert again.grid == site.grid
    assert site_from_dict({"name": "x", "geometry": site.to_dict()["geometry"]}).folder == ""


@pytest.mark.parametrize(
    ("text", "metres"), [("2km", 2000), ("500 m", 500), ("350", 350), (" 1.5 km ", 1500), ("0", 0)]
)
def test_lengths(text, metres):
    assert parse_length_m(text) == metres


@pytest.mark.parametrize(
    ("text", "square_metres"), [("400m2", 400), ("2ha", 20_000), ("1 km2", 1e6), ("70", 70), ("0.5 ha", 5000)]
)
def test_areas(text, square_metres):
    assert parse_area_m2(text) == square_metres


@pytest.mark.parametrize("text", ["", "km", "-2km", "2 miles", "2km2", "1e3", "2,5km", "nan", "2km 3"])
def test_what_is_no_length(text):
    with pytest.raises(UsageError, match="not a length; write it like 2km or 500m"):
        parse_length_m(text)


@pytest.mark.parametrize("text", ["", "ha", "-2ha", "2km", "4 acres", "inf"])
def test_what_is_no_area(text):
    with pytest.raises(UsageError, match="not an area; write it like 400m2 or 2ha"):
        parse_area_m2(text)


@given(st.text(max_size=30))
def test_any_text_is_a_length_and_an_area_or_a_usage_error(text):
    for parse in (parse_length_m, parse_area_m2):
        try:
            assert parse(text) >= 0
        except UsageError as error:
            assert "\n" not in str(error)


# --- KML and KMZ ------------------------------------------------------------------------------------


def test_kml_keeps_names_folders_and_order(tmp_path):
    sites = read_sites(write(tmp_path, "list.kml", KML))
    expected = [*KML_SITES]
    expected[3] = (GeoPoint(-3.3, -60.0).mgrs, "Mines")
    assert labels(sites) == expected
    assert sites[2].geometry.equals(SQUARE)
    assert near_point(sites[1], 32.92, 12.08)


@pytest.mark.parametrize(
    "body",
    [
        "<Document>{}</Document>",
        "{}",
        "<Document><name/><Folder>{}</Folder></Document>",
    ],
)
def test_kml_of_any_shape_is_read(tmp_path, body):
    mark = "<Placemark><name>Pier</name><Point><coordinates>126.1,38.5,0</coordinates></Point></Placemark>"
    text = f'<kml xmlns="http://www.opengis.net/kml/2.2">{body.format(mark)}</kml>'
    assert labels(read_sites(write(tmp_path, "plain.kml", text))) == [("Pier", "")]


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        ("", "the placemark 'Pier' has no point and no polygon"),
        ("<Point><coordinates>38.5,126.1</coordinates></Point>", "'Pier': latitude 126.1 is outside"),
        (
            "<Point><coordinates>126,1;38,5</coordinates></Point>",
            "coordinates of the placemark 'Pier' cannot",
        ),
        ("<Point><coordinates> </coordinates></Point>", "coordinates of the placemark 'Pier' cannot"),
    ],
)
def test_a_placemark_that_is_no_site_is_named(tmp_path, inside, words):
    text = (
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Placemark><name>Pier</name>{inside}</Placemark></kml>'
    )
    with pytest.raises(InputFileError) as caught:
        read_sites(write(tmp_path, "bad.kml", text))
    assert words in str(caught.value)


def near_point(site, lat, lon):
    return abs(site.centroid.lat - lat) < 1e-4 and abs(site.centroid.lon - lon) < 1e-4


def test_the_only_folder_of_a_kml_is_kept(tmp_path):
    text = (
        KML[: KML.index("<Folder><name>Mines")].replace(
            "<Placemark><name>Loose", "<Folder><name>One</name><Placemark><name>Loose", 1
        )
        + "</Folder></Document></kml>"
    )
    assert {site.folder for site in read_sites(write(tmp_path, "one.kml", text))} == {
        "One",
        "One / Ports & quays",
    }


@pytest.mark.parametrize(
    "names",
    [
        ["doc.kml"],
        ["My sites.KML"],
        ["files/old.kml", "main.kml"],
        ["a.kml", "doc.kml"],
        ["../../x.kml"],
        ["/etc/doc.kml"],
    ],
)
def test_kmz_reads_its_main_file_whatever_it_is_called(tmp_path, names):
    path = tmp_path / "sites.kmz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("files/icon.png", b"\x89PNG")
        for name in names[:-1]:
            archive.writestr(name, KML.replace("Zuwara", "another"))
        archive.writestr(names[-1], KML)
    before = sorted(tmp_path.rglob("*"))
    assert [site.name for site in read_sites(path)][:2] == ["Loose", "Zuwara"]
    assert sorted(tmp_path.rglob("*")) == before


def test_kmz_without_kml_damaged_or_swelling_is_refused(tmp_path):
    path = tmp_path / "sites.kmz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    assert "holds no KML file" in refusal(path)
    assert "damaged KMZ" in refusal(write(tmp_path, "no.kmz", b"PK\x03\x04 nothing"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("doc.kml", b" " * (65 * 2**20))
    assert "too large" in refusal(path)


ENTITIES = '<!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE kml [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("doctype", [ENTITIES, EXTERNAL, '<!DOCTYPE kml SYSTEM "http://example.org/x.dtd">'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_document_type_is_refused_before_any_entity_is_read(tmp_path, doctype, encoding):
    text = KML.replace("<kml", doctype + "<kml", 1).replace("Loose", "&a;").replace("UTF-8", encoding)
    message = refusal(write(tmp_path, "bomb.kml", text.encode(encoding)))
    assert "document type declaration" in message
    with zipfile.ZipFile(tmp_path / "bomb.kmz", "w") as archive:
        archive.writestr("doc.kml", text.encode(encoding))
    assert "document type declaration" in refusal(tmp_path / "bomb.kmz")


# --- other files ------------------------------------------------------------------------------------


def test_geojson_points_and_polygons(tmp_path):
    rows = {"name": ["Point", "Area", None, 7], "folder": ["A", None, "", "B"]}
    shapes = [shapely.Point(10, 50), SQUARE, shapely.Point(11, 50), shapely.Point(12, 50)]
    frame = gpd.GeoDataFrame(rows, geometry=shapes, crs=4326)
    frame.to_file(tmp_path / "sites.geojson", driver="GeoJSON")
    sites = read_sites(tmp_path / "sites.geojson")
    assert labels(sites) == [("Point", "A"), ("Area", ""), (GeoPoint(50, 11).mgrs, ""), ("7", "B")]
    assert sites[1].geometry.equals(SQUARE)
    assert tuple(sites[0].grid.shape) == (402, 402)


def test_geojson_without_names_is_named_by_place_never_nan(tmp_path):
    text = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
        for name, geometry in [(5, {"type": "Point", "coordinates": [10, 50]}),
                               (None, {"type": "Point", "coordinates": [11, 50]}), ("gone", None),
                               ("Pier", {"type": "Point", "coordinates": [12, 50]})]
    ]}  # fmt: skip
    sites = read_sites(write(tmp_path, "a.geojson", json.dumps(text)))
    assert [site.name for site in sites] == ["5", GeoPoint(50, 11).mgrs, "Pier"]


def test_geopackage_layers_are_folders_and_any_crs_becomes_degrees(tmp_path):
    path = tmp_path / "sites.gpkg"
    frame = gpd.GeoDataFrame({"Name": ["Dock"]}, geometry=[SQUARE], crs=4326).to_crs(32652)
    frame.to_file(path, layer="first")
    assert labels(read_sites(path)) == [("Dock", "")]
    frame.to_file(path, layer="second")
    sites = read_sites(path)
    assert labels(sites) == [("Dock", "first"), ("Dock", "second")]
    assert sites[0].geometry.equals_exact(SQUARE, 1e-7)


def test_a_table_without_geometry_in_a_geopackage_is_passed_over(tmp_path):
    path = tmp_path / "sites.gpkg"
    frame = gpd.GeoDataFrame({"Name": ["Dock"]}, geometry=[SQUARE], crs=4326)
    frame.to_file(path, layer="first")
    pyogrio.write_dataframe(pd.DataFrame({"note": ["x"]}), path, layer="notes", driver="GPKG", append=True)
    assert labels(read_sites(path)) == [("Dock", "")]


CSV = """name,at,lat,lon,radius,folder
Dock,"38.5847, 126.1079",,,500m,Ports
,,38.5,126.25,,
"Two
lines",52SBH4808674659,,,1 km,Ports
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_columns(tmp_path, encoding):
    sites = read_sites(write(tmp_path, "sites.csv", CSV.encode(encoding)))
    assert labels(sites) == [("Dock", "Ports"), (GeoPoint(38.5, 126.25).mgrs, ""), ("Two\nlines", "Ports")]
    assert [site.grid.shape.x for site in sites] == [102, 402, 202]


def test_csv_column_names_are_read_in_any_case_and_spacing(tmp_path):
    (site,) = read_sites(write(tmp_path, "sites.csv", "\ufeff Name , LAT, Lon\nPier, 38.5 , 126.25\n"))
    assert site.name == "Pier"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('x,"126.1, 38.5",', "line 6: latitude 126.1 is outside"),
        ("x,nowhere,", "line 6: 'nowhere': not a coordinate"),
        ('x,"38.5, 126.1",far', "line 6: 'far': not a length"),
        ('x,"38.5, 126.1",0', "line 6: radius 0 m is not between 5 m and 200 km; give it with its unit"),
        ('x,"89, 126.1",', "line 6: latitude 89 is outside UTM"),
        ("x", "line 6: ',': not a coordinate"),
    ],
)
def test_a_bad_csv_row_names_its_line(tmp_path, row, message):
    text = 'name,at,radius\n"two\nlines","38.5, 126.1",2km\n\nz,"38.5, 126.1",\n' + row + "\n"
    assert message in refusal(write(tmp_path, "sites.csv", text))


def test_csv_without_the_columns_says_what_it_needs(tmp_path):
    message = refusal(write(tmp_path, "sites.csv", "name;lat;lon\nx;38;126\n"))
    assert "has no column at, nor lat and lon (it has name;lat;lon)" in message
    assert "commas" in message


@pytest.mark.parametrize("name", ["sites.wkt", "sites.txt"])
def test_wkt_lines(tmp_path, name):
    text = f"\ufeff{SQUARE.wkt}\n\nPOINT (10 50)\nPOLYGON EMPTY\n"
    sites = read_sites(write(tmp_path, name, text))
    assert len(sites) == 2
    assert sites[0].geometry.equals(SQUARE)
    assert near_point(sites[1], 50, 10)


# --- files that are no lists ------------------------------------------------------------------------


def test_missing_files_and_folders(tmp_path):
    assert "no such file; check the path" in refusal(tmp_path / "gone.kml", MissingInputError)
    assert "a folder, not a file; name a file in it" in refusal(tmp_path, MissingInputError)
    with pytest.raises(MissingInputError):
        read_sites("/vsicurl/http://example.org/sites.kml")


@pytest.mark.parametrize("suffix", ["kml", "kmz", "geojson", "json", "csv", "gpkg", "wkt", "shp"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff\xfe\x80" * 50, b"{}", b"<", b"POINT (1"])
def test_empty_files_and_garbage_are_refused_in_one_line(tmp_path, suffix, content):
    refusal(write(tmp_path, f"sites.{suffix}", content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.kml", "<kml><Document></Document>", "not well-formed KML"),
        ("a.kml", '<?xml version="1.0" encoding="no-such"?><kml/>', "KML"),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', "holds no site; add at least one"),
        ("a.geojson", '{"type": "Point", "coordinates": [500, 50]}', "longitude 500 is outside"),
        ("a.wkt", "POLYGON ((0 0, 1", "cannot be read as a list of sites"),
        ("a.wkt", "POINT (500000 4000000)", "latitude 4e\\+06 is outside"),
        ("a.wkt", "POLYGON EMPTY", "holds no site"),
        ("a.csv", "at\n" + "x" * 200_000, "field larger than field limit"),
        ("a.csv", "at\n", "holds no site"),
        ("a.csv", b"at\n\xff\xfe", "cannot be read as a list of sites"),
        ("a.tif", "II*", "is not a list of sites by its name; use KML"),
        ("noname", KML, "is not a list of sites by its name"),
        ("a.geojson", '<OGRVRTDataSource><OGRVRTLayer name="x"/></OGRVRTDataSource>', "is not what"),
        (
            "a.gpkg",
            "\ufeff\n <OGRVRTDataSource/>",
            "is not what its name says; use GeoJSON, GPKG or Shapefile",
        ),
        ("a.geojson", " " * 100_000 + "<OGRVRTDataSource/>", "is not what its name says"),
        ("a.json", '{"x": "<OGRVRTDataSource/>"}', "points to data elsewhere; give the data themselves"),
        ("a.kml", "<kml><OGRVRTDataSource/></kml>", "points to data elsewhere"),
        ("a.wkt", "LINESTRING (1 2, 3 4)", "is a LineString without area; sites are points or areas; draw"),
        ("a.wkt", "MULTIPOINT (1 2, 3 4)", "is a MultiPoint without area"),
        ("a.wkt", "POLYGON ((1 2, 3 4, 1 2, 1 2))", "is a Polygon without area"),
        ("a.geojson", LINE, "Road 4 is a LineString without area"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, message):
    assert re.search(message, refusal(write(tmp_path, name, content)))


def test_a_file_too_large_for_a_list_is_not_read(tmp_path):
    path = tmp_path / "huge.geojson"
    with path.open("wb") as stream:
        stream.truncate(65 * 2**20)
    assert "too large" in refusal(path)


def test_a_point_that_is_no_coordinate_is_a_coordinate_error():
    with pytest.raises(CoordinateError):
        Site.at("here")


def test_names_are_never_the_text_of_a_missing_value(tmp_path):
    rows = {"name": [np.nan, "Quay"]}
    frame = gpd.GeoDataFrame(rows, geometry=[shapely.Point(10, 50), shapely.Point(11, 50)], crs=4326)
    frame.to_file(tmp_path / "sites.gpkg")
    assert [site.name for site in read_sites(tmp_path / "sites.gpkg")] == [GeoPoint(50, 10).mgrs, "Quay"]


def test_the_utm_grid_covers_the_image_and_is_the_grid_of_a_site():
    grid = utm_grid(DEGREES)
    assert grid.crs.to_epsg() == 32633
    assert all(value % 20 == 0 for value in grid.boundingbox)
    assert (grid.transform.a, grid.transform.e) == (10, -10)
    assert grid.extent.buffer(0.01).contains(DEGREES.extent.to_crs(grid.crs, resolution=0.005))
    assert not grid[3:-3, 3:-3].extent.contains(DEGREES.extent.to_crs(grid.crs))


def test_a_site_grid_is_its_own_utm_grid():
    grid = Site.at("38.5847, 126.1079", radius_m=500).grid
    assert utm_grid(grid) == grid
    assert utm_grid(grid.translate_pix(0.5, 0)) != grid
