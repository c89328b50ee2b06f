"""``changedet sites``: read a list of sites and say what is wrong with it."""

from __future__ import annotations

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


def _describe(site: Site, shared_names: set[str]) -> dict[str, Any]:
    from changedet.objects import area_m2

    centre = site.centroid
    area_km2 = area_m2(site.geometry) / 1e6
    warnings = []
    if site.name in shared_names:
        warnings.append("another site has the same name")
    if area_km2 > _LARGE_KM2:
        warnings.append(f"larger than {_LARGE_KM2:g} km2: cut it into parts")
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
