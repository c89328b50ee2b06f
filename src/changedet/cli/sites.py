"""``changedet sites``: read a list of sites and say what is wrong with it; cut an area into one."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.cli.detect import radius_of
from changedet.cli.sections import PlainGroup

if TYPE_CHECKING:
    from changedet.site import Site

app = typer.Typer(help="Work with lists of sites.", cls=PlainGroup, rich_markup_mode=None)

SiteFile = Annotated[Path, typer.Argument(help="KML, KMZ, GeoJSON, GPKG, CSV or WKT.", metavar="FILE")]
Side = Annotated[str, typer.Option("--side", help="Side of a square, 1km to 110km.", metavar="LENGTH")]
Overlap = Annotated[
    str,
    typer.Option("--overlap", help="How wide the strip is that neighbours share: what is narrower lies whole "
                 "in one of them.", metavar="LENGTH"),
]  # fmt: skip
SiteList = Annotated[Path, typer.Option("--out", "-o", help="GeoJSON file to write.", metavar="FILE")]
#: A site beyond this is watched better in parts, in square kilometres.
_LARGE_KM2 = 2500.0


@app.callback()
def _root() -> None:
    """Work with lists of sites."""


@app.command("check")
def check(file: SiteFile, radius: options.Radius = None, as_json: options.AsJson = False) -> None:
    """Read a list of sites and print what was understood, with anything that looks wrong."""
    from changedet.site_lists import read_sites

    sites = read_sites(file, radius_m=radius_of(radius))
    shared = {name for name, count in Counter(site.name for site in sites).items() if count > 1}
    rows = [_describe(site, shared) for site in sites]
    lines = [f"{len(sites)} site(s) in {file}"]
    for row in rows:
        group = f"{row['folder']} / " if row["folder"] else ""
        lines.append(
            f"{group}{row['name']}: {row['dd']}  {row['dms']}  {row['mgrs']}  {row['area_km2']:.2f} km2"
        )
        lines += [f"  warning: {warning}" for warning in row["warnings"]]
    emit({"file": str(file), "sites": rows}, lines, as_json=as_json)


@app.command("cut")
def cut(
    *,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    side: Side = "20km",
    overlap: Overlap = "500m",
    out: SiteList,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Cut an area into a list of square sites that cover it and overlap, for --sites."""
    from changedet.cli.detect import choose_site, required_site
    from changedet.objects import area_m2
    from changedet.site import parse_length_m
    from changedet.site_cutting import cut_area, write_site_list

    area = required_site(choose_site(at, radius, bbox, aoi, name))
    sites = cut_area(area, side_m=parse_length_m(side), overlap_m=parse_length_m(overlap))
    path = write_site_list(sites, out, overwrite=overwrite)
    of_km2 = area_m2(area.geometry) / 1e6
    lines = [
        f"{len(sites)} site(s) cover the {of_km2:,.0f} km2 of {area.name}: {path}",
        f"what they will take: changedet plan --sites {shlex.quote(str(path))} --before A/B --after A/B",
    ]
    said = {"file": str(path), "area": area.name, "area_km2": round(of_km2, 4), "sites": len(sites)}
    emit(said, lines, as_json=as_json)


def _describe(site: Site, shared_names: set[str]) -> dict[str, Any]:
    from changedet.objects import area_m2

    centre = site.centroid
    area_km2 = area_m2(site.geometry) / 1e6
    warnings = []
    if site.name in shared_names:
        warnings.append("another site has the same name")
    if area_km2 > _LARGE_KM2:
        warnings.append(f"larger than {_LARGE_KM2:g} km2: cut it into parts (changedet sites cut)")
    if not site.geometry.is_valid:
        warnings.append("the outline crosses itself")
    return {
        "name": site.name,
        "folder": site.folder,
        "lat": round(centre.lat, 6),
        "lon": round(centre.lon, 6),
        "dd": centre.dd,
        "dms": centre.dms,
        "mgrs": centre.mgrs,
        "area_km2": round(area_km2, 4),
        "warnings": warnings,
    }
