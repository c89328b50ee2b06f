"""Makes the corpus again: small files of every kind, written by the project and by its stand-in services.

Run it as ``python -m tests.fuzz.make_corpus`` from the root of the repository.
"""

import json
import tempfile
import zipfile
from datetime import date
from pathlib import Path
from unittest import mock

import numpy as np
from requests.adapters import HTTPAdapter
from tests.fuzz.targets import CORPUS

POINTS = (
    "38.5847, 126.1079",
    "(38.5847, 126.1079)",
    "38°35'05\"N 126°06'28\"E",
    "70°23'29\"N, 145°58'53\"W",
    "52SBH4808674659",
    "N38 35 05 E126 06 28",
    "-3.5; 122.25",
    "38.5847N 126.1079E",
    "38 35.5 N, 126 6.4 E",
    "48.5 S 69.1 W",
)
LENGTHS = ("2km", "500 m", "350", "0.5 km", "400m2", "2ha", "1 km2", "5GB", "2 MiB", "1.5TB")
PERIODS = (
    "2024",
    "2024-05",
    "2024-05-12",
    "2024-05/2024-07",
    "2024-05/..",
    "../2020",
    "2024-05-12T10:00:00Z/2024-05-13",
    "05.09",
    "N0509",
    "2023:05:14 02:07:01",
    "20161209",
    "2024-02-29T10:00:00.123456+05:30",
)
NAMES = (
    "T33TUN_20230514T100601_B02.tif",
    "S2A_MSIL2A_20230514T100601_N0509_R022_T33TUN_20230514T150000.SAFE",
    "T49QCD_20161209T031122_B8A.jp2",
    "T31TCJ_20230514T100601_SCL_20m.jp2",
    "LC08_L1TP_042034_B4.tif",
    "S2A_OPER_MSI_L1C_TL_B04.jp2",
    "MSK_CLDPRB_20m.jp2",
    "imgs_1",
    "a.tif",
)
SETTINGS = """[detect]
min-area = "400m2"
overwrite = true
[cache]
max_size = "5GB"
[providers.earth_search]
url = "https://example.org/v1"
max_retries = 2
read_timeout_s = 12.5
[providers.sentinelhub]
max_processing_units = 100.0
token_url = "https://example.org/token"
"""
KML = """<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>list</name><Folder><name>Ports</name>
<Placemark><name>Pier</name><Point><coordinates>126.1,38.5,0</coordinates></Point></Placemark>
<Folder><name>Inner</name><Placemark><name>Yard &amp; hall</name><MultiGeometry>
<Polygon><outerBoundaryIs><LinearRing>
<coordinates>10,50 10.1,50 10.1,50.1 10,50</coordinates></LinearRing></outerBoundaryIs>
<innerBoundaryIs>
<LinearRing><coordinates>10.02,50.01 10.08,50.01 10.08,50.05 10.02,50.01</coordinates>
</LinearRing></innerBoundaryIs></Polygon>
<Polygon><outerBoundaryIs><LinearRing>
<coordinates>11,50 11.1,50 11.1,50.1 11,50</coordinates></LinearRing></outerBoundaryIs></Polygon>
</MultiGeometry></Placemark></Folder></Folder></Document></kml>
"""
CSV = """name,folder,at,lat,lon,radius
Pier,Ports,"38.5847, 126.1079",,,2km
"Yard, east",Ports,,50.1,10.2,
,,52SBH4808674659,,,500m
"""
WKT = """POINT (126.1 38.5)
POLYGON ((10 50, 10.1 50, 10.1 50.1, 10 50), (10.02 50.01, 10.08 50.01, 10.08 50.05, 10.02 50.01))
MULTIPOLYGON (((11 50, 11.1 50, 11.1 50.1, 11 50)), ((12 50, 12.1 50, 12.1 50.1, 12 50)))
"""


def _put(name, content):
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _json(name, value):
    _put(name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def lists():
    """Write lists of sites of every format."""
    import geopandas as gpd
    from shapely import from_wkt

    for name, lines in (
        ("coordinates", POINTS),
        ("lengths", LENGTHS),
        ("periods", PERIODS),
        ("names", NAMES),
    ):
        _put(f"{name}.txt", "\n".join(lines) + "\n")
    _put("settings/settings.toml", SETTINGS)
    _put("kml/list.kml", KML)
    _put("csv/list.csv", CSV)
    _put("wkt/list.wkt", WKT)
    with tempfile.TemporaryDirectory() as text:
        path = Path(text) / "list.kmz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("doc.kml"), KML)
        _put("kmz/list.kmz", path.read_bytes())
        shapes = [from_wkt(line) for line in WKT.splitlines()]
        table = gpd.GeoDataFrame(
            {"name": ["Pier", "Yard", None], "folder": ["Ports", "", "x"]}, geometry=shapes, crs="EPSG:4326"
        )
        table.to_file(path.with_suffix(".geojson"), driver="GeoJSON")
        _put("geojson/list.geojson", path.with_suffix(".geojson").read_bytes())
        table.iloc[:2].to_file(path.with_suffix(".gpkg"), driver="GPKG", layer="sites", DATETIME_FORMAT="UTC")
        _put("gpkg/list.gpkg", path.with_suffix(".gpkg").read_bytes())


def products():
    """Write metadata of products and small rasters."""
    from tests.providers.files import write, write_safe

    with tempfile.TemporaryDirectory() as text:
        folder = write_safe(Path(text))
        _put("safe/MTD_MSIL2A.xml", (folder / "MTD_MSIL2A.xml").read_bytes())
        _put("safe/MTD_TL.xml", next(folder.rglob("MTD_TL.xml")).read_bytes())
        planes = np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16) + 1000
        named = ("B02", "B03", "B04", "B08")
        for label, more in (
            ("plain", {}),
            ("deflate", {"compress": "deflate", "tiled": True, "blockxsize": 16, "blockysize": 16}),
            ("nodata", {"nodata": 0, "compress": "lzw"}),
        ):
            path = write(
                Path(text) / f"{label}.tif",
                planes,
                descriptions=named,
                tags={"ACQUISITION_TIME_UTC": "2023-05-14T10:06:01Z"},
                **more,
            )
            _put(f"rasters/{label}.tif", path.read_bytes())
        path = write(Path(text) / "answer.tif", planes[:3], compress="lzw")
        _put("hub_pixels/answer.tif", path.read_bytes())


def records():
    """Write records of runs, verdicts, models and state files."""
    from tests.models.test_trained import make_model
    from tests.watch.folders import make_run

    from changedet.watch.state import open_state
    from changedet.watch.verdicts import Judgement, Verdict, record

    with tempfile.TemporaryDirectory() as text:
        run = make_run(Path(text) / "run", images=True)
        _put("run_record/run.json", (run / "run.json").read_bytes())
        one = {
            "number": 1,
            "verdict": "accepted",
            "reviewer": "A. Reader",
            "note": "seen",
            "blind": False,
            "time_utc": "2026-01-01T00:00:00Z",
        }
        _json(
            "verdicts/verdicts.json",
            {
                "schema": "changedet.verdicts/1",
                "objects_sha256": "0" * 64,
                "verdicts": [one, one | {"number": 2}],
            },
        )
        file = Path(text) / "state.gpkg"
        record(file, run, 1, Judgement(next(iter(Verdict)), "A. Reader"))
        with open_state(file, write=True) as opened:
            opened._connection.execute("PRAGMA journal_mode = DELETE")
            opened._connection.execute("VACUUM")
        _put("state/state.gpkg", file.read_bytes())
        model = make_model().save(Path(text) / "model.json")
        _put("models/model.json", model.read_bytes())


def answers():
    """Write what the stand-in services answer, cut to a few items."""
    from tests.providers.remote_world import query_of, small_world
    from tests.world.granules import quick_scene

    told = {}
    sent = HTTPAdapter.send

    def _listening(self, request, **limits):
        answer = sent(self, request, **limits)
        answer.content  # noqa: B018  # reads it
        told[request.url] = answer.content
        return answer

    day = quick_scene(date(2023, 5, 16))
    with small_world([day]) as world, mock.patch.object(HTTPAdapter, "send", _listening):
        from tests.providers.test_secrets import opened

        for name in ("earth-search", "planetary-computer", "sentinelhub"):
            for sensor in ("s2",) if name == "earth-search" else ("s2", "s1"):
                told.clear()
                opened(world, name).search(query_of(day, sensor=sensor))
                found = next(
                    json.loads(body) for url, body in told.items() if url.split("?")[0].endswith("/search")
                )
                folder = "hub_catalogue" if name == "sentinelhub" else "stac_items"
                _json(f"{folder}/{name}-{sensor}.json", found | {"features": found["features"][:2]})
                if folder == "stac_items":
                    _json(
                        f"stac_catalogue/{name}-{sensor}.json",
                        {"type": "FeatureCollection", "features": found["features"][:1]},
                    )
    _json(
        "hub_tokens/token.json", {"access_token": "abc.def.ghi", "expires_in": 3600, "token_type": "Bearer"}
    )
    _json(
        "hub_errors/error.json",
        {
            "error": {
                "status": 400,
                "reason": "Bad Request",
                "message": "no such collection",
                "code": "COMMON_BAD_PAYLOAD",
            }
        },
    )
    _json(
        "hub_errors/plain.json",
        {"code": 403, "description": "Insufficient processing units", "message": "quota"},
    )
    _json("signatures/token.json", {"msft:expiry": "2030-01-01T00:00:00Z", "token": "st=2026&sig=abc%3D"})


def cached():
    """Write a sidecar of the cache and a record of a timeline."""
    from changedet.providers.cache_files import digest_of

    body = {
        "schema": "changedet.cache/1",
        "key": "0" * 64,
        "stored_utc": "2026-01-01T00:00:00+00:00",
        "data": {"name": f"{'0' * 64}.{'1' * 16}.tif", "bytes": 10, "sha256": "2" * 64},
        "content": {"bands": ["B02"]},
    }
    from tests.synthetic import GRID
    from tests.timelines import make_images, make_synthetic

    from changedet.output.timeline_folder import timeline_record

    said = timeline_record(make_synthetic(make_images(24, 30, built_at=14, hidden={5})))
    ground = {"crs": str(GRID.crs), "transform": list(GRID.affine)[:6], "shape": list(GRID.shape)}
    thin = said | {
        "dates": said["dates"][:2],
        "grid": ground,
        "files": {"timeline.png": {"sha256": "0" * 64, "bytes": 0}},
    }
    _json("timeline_record/timeline.json", thin)
    _json("sidecars/sidecar.json", body | {"sha256": digest_of(body)})


if __name__ == "__main__":
    for make in (lists, products, records, answers, cached):
        make()
