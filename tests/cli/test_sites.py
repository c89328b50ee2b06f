import json

import pytest

from changedet.errors import UsageError

CSV = "name,lat,lon\nHarbour,38.5,126.1\nHarbour,39.0,125.7\n"
BOW_TIE = "POLYGON((0 0, 0.01 0.01, 0.01 0, 0 0.005, 0 0))"


def test_what_was_understood_is_printed(cli, workplace):
    (workplace / "sites.csv").write_text("name,lat,lon\nHarbour,38.5847,126.1079\nPier,39.0,125.7\n")
    assert cli("sites", "check", "sites.csv") == 0
    lines = cli.out.splitlines()
    assert lines[0] == "2 site(s) in sites.csv"
    assert lines[1].startswith("Harbour: 38.58")
    assert "N" in lines[1]
    assert "52S" in lines[1]
    assert lines[1].endswith("km2")
    assert cli.err == ""


def test_doubled_names_are_noticed(cli, workplace):
    (workplace / "sites.csv").write_text(CSV)
    assert cli("sites", "check", "sites.csv") == 0
    assert cli.out.count("  warning: another site has the same name") == 2


def test_large_and_crossing_outlines_are_noticed(cli, workplace):
    for name, text in (("huge", "POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))"), ("bow", BOW_TIE)):
        (workplace / f"{name}.wkt").write_text(text)
    assert cli("sites", "check", "huge.wkt", "--json") == 0
    site = json.loads(cli.out)["sites"][0]
    assert site["warnings"] == ["larger than 2500 km2: cut it into parts (changedet sites cut)"]
    assert site["area_km2"] == pytest.approx(49_200, rel=0.01)
    assert site["lat"] == pytest.approx(1.0, abs=0.01)
    assert cli("sites", "check", "bow.wkt") == 0
    assert cli.out.endswith("  warning: the outline crosses itself\n")


def test_only_the_sites_that_share_a_name_are_warned_of(cli, workplace):
    rows = "".join(f"{name},{38 + i / 100},126\n" for i, name in enumerate("ABACA"))
    (workplace / "sites.csv").write_text("name,lat,lon\n" + rows)
    assert cli("sites", "check", "sites.csv", "--json") == 0
    warned = {
        s["name"] for s in json.loads(cli.out)["sites"] if "another site has the same name" in s["warnings"]
    }
    assert warned == {"A"}


def test_the_document_has_every_notation(cli, workplace):
    (workplace / "sites.csv").write_text(CSV)
    assert cli("sites", "check", "sites.csv", "--json") == 0
    document = json.loads(cli.out)
    assert document["file"] == "sites.csv"
    first = document["sites"][0]
    assert set(first) == {"name", "folder", "lat", "lon", "dd", "dms", "mgrs", "area_km2", "warnings"}
    assert (first["lat"], first["lon"]) == pytest.approx((38.5, 126.1), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "content"),
    [("gone.csv", None), ("empty.csv", ""), ("x.docx", "text"), ("bad.kml", "<kml"), ("bad.geojson", "{"),
     ("swapped.csv", "name,lat,lon\nA,126.1,38.5\n")],
)  # fmt: skip
def test_lists_that_cannot_be_read_are_one_line(cli, workplace, name, content):
    if content is not None:
        (workplace / name).write_text(content)
    code = cli("sites", "check", name)
    assert code in (2, 8)
    assert cli.error
    assert cli.out == ""


def test_sites_alone_says_how_to_go_on(cli):
    assert cli("sites") == 2
    assert "Missing command; see changedet sites --help" in cli.error


def test_a_radius_is_the_size_of_the_points_of_a_list(cli, workplace):
    text = "name,lat,lon,radius\nA,38.5,126.1,\nB,38.6,126.1,500m\n"
    (workplace / "sites.csv").write_text(text)
    assert cli("sites", "check", "sites.csv", "--radius", "1km", "--json") == 0
    areas = [round(site["area_km2"], 1) for site in json.loads(cli.out)["sites"]]
    assert areas == [4.0, 1.0]
    assert cli("sites", "check", "sites.csv", "--radius", "far") == 2


def test_a_radius_in_the_settings_holds_for_lists_too(workplace):
    from changedet.cli.run_sites import chosen_sites

    (workplace / "sites.csv").write_text('name,at\nA,"38.5, 126.1"\n')
    _, (site,) = chosen_sites(workplace / "sites.csv", [], alone={"--at": None}, radius="500m")
    assert tuple(site.grid.shape) in {(100, 100), (102, 102), (100, 102), (102, 100)}
    with pytest.raises(UsageError, match="--sites contradicts --bbox and --name"):
        chosen_sites(
            workplace / "sites.csv",
            [],
            alone={"--at": None, "--bbox": "1,2,3,4", "--name": "x"},
            radius="1km",
        )


@pytest.mark.parametrize("name", ["sites.kml", "sites.wkt", "sites.geojson"])
def test_every_format_of_points_takes_the_radius(workplace, name):
    from changedet.site_lists import read_sites

    point = {"type": "Point", "coordinates": [126.1, 38.5]}
    feature = {"type": "Feature", "properties": {}, "geometry": point}
    texts = {
        "sites.kml": "<kml><Placemark><Point><coordinates>126.1,38.5</coordinates></Point></Placemark></kml>",
        "sites.wkt": "POINT (126.1 38.5)",
        "sites.geojson": json.dumps({"type": "FeatureCollection", "features": [feature]}),
    }
    (workplace / name).write_text(texts[name])
    (site,) = read_sites(workplace / name, radius_m=500)
    assert 98 <= min(site.grid.shape) <= max(site.grid.shape) <= 104
