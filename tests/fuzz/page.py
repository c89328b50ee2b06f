"""Puts the figures of the last runs into docs/reliability.md: ``python -m tests.fuzz.page``."""

import json
from pathlib import Path

from tests.fuzz.runner import RESULTS
from tests.fuzz.targets import TARGETS

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
START, END = "<!-- fuzz -->", "<!-- end -->"
#: What the parsers read, for people.
READ = {
    "coordinates": "coordinates",
    "lengths": "lengths, areas, sizes in bytes",
    "periods": "periods, dates, processing baselines",
    "kml": "lists of sites: KML",
    "kmz": "lists of sites: KMZ",
    "geojson": "lists of sites: GeoJSON",
    "csv": "lists of sites: CSV",
    "wkt": "lists of sites: WKT",
    "gpkg": "lists of sites: GeoPackage",
    "settings": "settings files",
    "run_record": "`run.json`: verify, open, run again",
    "verdicts": "files of verdicts",
    "stac_items": "answers of STAC searches, both sensors",
    "stac_catalogue": "STAC catalogues on disk",
    "safe": "metadata of Sentinel-2 products",
    "hub_catalogue": "Sentinel Hub: catalogue, both sensors",
    "hub_pixels": "Sentinel Hub: pixels",
    "hub_tokens": "Sentinel Hub: tokens",
    "hub_errors": "Sentinel Hub: refusals, six statuses",
    "signatures": "Planetary Computer: signatures",
    "sidecars": "records of the cache",
    "models": "trained models",
    "rasters": "GeoTIFF, header and pixels",
    "names": "names of local files",
    "state": "state files",
    "timeline_record": "`timeline.json`",
}


def table(found):
    """The figures as a table, one parser a row."""
    lines = [
        "| what is read | cases | accepted | refused | failures | CPU time | slowest case |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in TARGETS:
        if name in found:
            row = found[name]
            lines.append(
                f"| {READ[name]} | {row['cases']:,} | {row['values']:,} | {row['refused']:,} "
                f"| {row['failures']} | {row['seconds']:.0f} s | {row['slowest_ms'] / 1000:.1f} s |"
            )
    rows = [found[name] for name in TARGETS if name in found]
    failures = sum(row["failures"] for row in rows)
    lines.append(f"| all | {sum(row['cases'] for row in rows):,} | | | {failures} | | |")
    return "\n".join(lines)


def renewed(text, found):
    """The page with the table of these figures."""
    head, rest = text.split(START, 1)
    return f"{head}{START}\n\n{table(found)}\n\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
