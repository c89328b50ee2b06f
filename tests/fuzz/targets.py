"""Every parser that reads what strangers write, as a function of bytes."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.fuzz import mutators, readers

CORPUS = Path(__file__).with_name("corpus")

_PLACES = (
    "N",
    "S",
    "E",
    "W",
    "°",
    "'",
    '"',
    ",",
    ";",
    " ",
    "-",
    "+",
    "52SBH",
    "91",
    "181",
    "59.999",
    "60",
    "(",
    "]",
    "\u2032",
)
_DATES = (
    "/",
    "..",
    "-",
    "T",
    ":",
    "Z",
    "+00:00",
    "2024",
    "02",
    "29",
    "00",
    "9999",
    "0000",
    "W01",
    ".5",
    "24:00",
    "-23:59",
)
_LENGTHS = ("km", "m", "km2", "ha", "m2", "GB", "KiB", " ", ".", "0", "1", "9" * 20)
_KML = (
    "<Placemark>",
    "</Placemark>",
    "<Folder>",
    "</Folder>",
    "<name>x</name>",
    "<Point>",
    "<Polygon>",
    "<MultiGeometry>",
    "<coordinates>181,91</coordinates>",
    "<coordinates>1,nan</coordinates>",
    "<LinearRing>",
    ",",
    "1e400",
    *mutators.XML,
)
_CSV = (
    "at",
    "lat",
    "lon",
    "name",
    "folder",
    "radius",
    ",",
    '"',
    "\n",
    "\r\n",
    '""',
    ";",
    "2km",
    "=cmd()",
    "1,2",
    "\0",
)
_WKT = (
    "POINT (1 2)",
    "POLYGON ((0 0, 1 0, 1 1, 0 0))",
    "EMPTY",
    "Z",
    "M",
    "(",
    ")",
    ",",
    "nan",
    "inf",
    "SRID=4326;",
    "\n",
    "GEOMETRYCOLLECTION (",
    "CIRCULARSTRING",
    "1e400",
    "((((",
)
_SAFE = (
    "<BOA_ADD_OFFSET band_id='x'>1</BOA_ADD_OFFSET>",
    "²",
    "0" * 5000,
    "nan",
    "-inf",
    "1e400",
    "<PROCESSING_BASELINE>99.99",
    "<SENSING_ORBIT_NUMBER>",
    "²</SENSING_ORBIT_NUMBER>",
    "<Mean_Sun_Angle/>",
    *mutators.XML,
)
_TOML = (
    "[",
    "]",
    "[[",
    "]]",
    "=",
    '"',
    "'''",
    "#",
    "\n",
    "providers",
    "earth-search",
    "url",
    "max_retries = 1e3",
    "inf",
    "nan",
    "2024-01-01",
    "{",
    "}",
    "detect.",
    "\\u0000",
    "[cache]\nmax_size = 1",
    "x = " + "[" * 3000,
)
_NAMES = (
    "T33TUN",
    "_20230514T100601",
    "_B02",
    "B8A",
    "S2A_MSIL2A_",
    "N0509",
    "_R022_",
    "LC08_",
    ".tif",
    ".jp2",
    "_10m",
    "SCL",
    "S1A_",
    "20231399T999999",
    "_OPER_",
    "/",
    "\u0665",
)


@dataclass(frozen=True)
class Target:
    """A parser: its name, how its seeds are spoilt, and what reads the bytes in a folder."""

    name: str
    kind: str
    read: Callable[[bytes, Path], object]
    words: tuple[str, ...] = ()


TARGETS = {
    one.name: one
    for one in (
        Target("coordinates", "text", readers.coordinates, _PLACES),
        Target("lengths", "text", readers.lengths, _LENGTHS),
        Target("periods", "text", readers.periods, _DATES),
        Target("kml", "text", readers.site_list(".kml"), _KML),
        Target("kmz", "zip", readers.site_list(".kmz"), _KML),
        Target("geojson", "json", readers.site_list(".geojson")),
        Target("csv", "text", readers.site_list(".csv"), _CSV),
        Target("wkt", "text", readers.site_list(".wkt"), _WKT),
        Target("gpkg", "bytes", readers.site_list(".gpkg")),
        Target("settings", "text", readers.settings, _TOML),
        Target("run_record", "json", readers.run_record),
        Target("verdicts", "json", readers.verdicts),
        Target("stac_items", "json", readers.stac_items),
        Target("stac_catalogue", "json", readers.stac_catalogue),
        Target("safe", "text", readers.safe, _SAFE),
        Target("hub_catalogue", "json", readers.hub_catalogue),
        Target("hub_pixels", "bytes", readers.hub_pixels),
        Target("hub_tokens", "json", readers.hub_tokens),
        Target("hub_errors", "json", readers.hub_errors),
        Target("signatures", "json", readers.signatures),
        Target("sidecars", "json", readers.sidecars),
        Target("models", "json", readers.models),
        Target("rasters", "bytes", readers.rasters),
        Target("names", "text", readers.names, _NAMES),
        Target("state", "bytes", readers.state),
        Target("timeline_record", "json", readers.timeline_record),
    )
}


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Return the seeds of a target: its files, or the lines of its one text."""
    lines = CORPUS / f"{name}.txt"
    if lines.is_file():
        return tuple(line.encode() for line in lines.read_text(encoding="utf-8").splitlines())
    found = tuple(path.read_bytes() for path in sorted((CORPUS / name).iterdir()))
    assert found, name
    return found


@cache
def _documents(name: str) -> tuple[object, ...]:
    return tuple(json.loads(text) for text in seeds(name))


def make_case(target: Target, seed: int, number: int) -> bytes:
    """Return case number so and so: the same bytes on every machine."""
    rng = random.Random(f"{target.name}/{seed}/{number}")
    if target.kind == "json":
        return mutators.spoil_json(rng, rng.choice(_documents(target.name)))
    given = rng.choice(seeds(target.name))
    if target.kind == "zip":
        return mutators.spoil_zip(rng, given, rng.choice(seeds("kml")), target.words)
    if target.kind == "text":
        return mutators.spoil_text(rng, given, target.words)
    return mutators.spoil_bytes(rng, given)


__all__ = ["CORPUS", "TARGETS", "Target", "make_case", "seeds"]
