"""``changedet doctor``: look whether this installation can do its work."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.cli.doctor_machine import machine
from changedet.cli.doctor_network import network
from changedet.cli.findings import Finding
from changedet.cli.settings import read_settings, settings_files
from changedet.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: GDAL drivers and what is lost without them.
_DRIVERS = {
    "GTiff": "GeoTIFF imagery and results",
    "COG": "cloud-optimised results",
    "JP2OpenJPEG": "Sentinel-2 SAFE products",
    "ENVI": "ENVI imagery",
    "GPKG": "GeoPackage results",
    "ESRI Shapefile": "lists of sites in shapefiles",
}
_CREDENTIALS = ("SH_CLIENT_ID", "SH_CLIENT_SECRET", "SH_PROFILE")
_VECTOR_DRIVERS = frozenset({"GPKG", "ESRI Shapefile"})


Offline = Annotated[
    bool, typer.Option("--offline", help="Do not ask the providers for a sign of life.")
]  # fmt: skip


def doctor(offline: Offline = False, cache: options.Cache = None, as_json: options.AsJson = False) -> None:
    """Check libraries, drivers, settings, network, credentials (present or not), folders, memory, clock."""
    findings = [
        *_libraries(), *_drivers(), *_optional(), *_settings(), _credentials(), *machine(cache),
        *network(offline=offline),
    ]  # fmt: skip
    width = max(len(f.check) for f in findings)
    lines = [f"{f.status:8}{f.check:{width}}  {f.detail}" for f in findings]
    failed = [f.check for f in findings if f.status == "failed"]
    lines += ["", _verdict(failed)]
    emit({"healthy": not failed, "findings": [asdict(f) for f in findings]}, lines, as_json=as_json)
    raise typer.Exit(8 if failed else 0)


def _verdict(failed: list[str]) -> str:
    if not failed:
        return "Nothing is in the way. What is missing is needed for what its line names, and nothing else."
    return f"{len(failed)} failed: {', '.join(failed)}. The line of each says what to do."


def _libraries() -> Iterator[Finding]:
    from changedet.provenance import library_versions

    for name, version in library_versions().items():
        yield Finding(name, "ok", version)


def _drivers() -> Iterator[Finding]:
    import pyogrio
    import rasterio

    with rasterio.Env() as env:
        raster = env.drivers()
    vector = pyogrio.list_drivers()
    for name, use in _DRIVERS.items():
        there = name in (vector if name in _VECTOR_DRIVERS else raster)
        detail = use if there else f"{use} will not work: reinstall rasterio and pyogrio from PyPI"
        yield Finding(f"GDAL {name}", "ok" if there else "failed", detail)


def _optional() -> Iterator[Finding]:
    from importlib.util import find_spec

    for module, extra, use in (
        ("netCDF4", "cubes", "netCDF cubes"),
        ("zarr", "cubes", "Zarr cubes"),
        ("ipykernel", "notebook", "Jupyter"),
    ):
        there = find_spec(module) is not None
        hint = use if there else f"{use}: pip install 'changedet[{extra}]'"
        yield Finding(module, "ok" if there else "missing", hint)


def _settings() -> Iterator[Finding]:
    files = settings_files()
    yield Finding("settings files", "ok", ", ".join(map(str, files)) or "none; the defaults are used")
    for command, table in read_settings().items():
        for key, value in table.items():
            yield Finding(f"{command}.{key}", "ok", f"{value} (settings file)")
    for variable in sorted(v for v in os.environ if v.startswith("CHANGEDET_")):
        secret = any(word in variable for word in ("SECRET", "TOKEN", "KEY", "PASSWORD"))
        yield Finding(variable, "ok", "set (hidden)" if secret else f"{os.environ[variable]} (environment)")


def _credentials() -> Finding:
    from changedet.providers.sentinel_hub_client import find_credentials

    check = "Sentinel Hub credentials"
    try:
        find_credentials()
    except CredentialsError as error:
        given = any(os.environ.get(name) for name in _CREDENTIALS)
        if given:
            return Finding(check, "failed", str(error))
        return Finding(check, "missing", "not set; only Sentinel Hub needs SH_CLIENT_ID and SH_CLIENT_SECRET")
    return Finding(check, "ok", "present")
