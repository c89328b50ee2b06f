"""Answers a process request of Sentinel Hub: checks it strictly and renders what it asks for."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile
from tests.world import evalscript
from tests.world.granules import optical_granules, radar_slices, radar_start
from tests.world.items import cloud_cover
from tests.world.pixels import Pixels, native_resolution
from tests.world.plumbing import Refusal, Response

from changedet.bands import SCL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from tests.world.granules import Granule

LARGEST_PX = 2500
#: How far a radar image that was not orthorectified is off, in pixels.
UNCORRECTED_PX = 6

_CRS = re.compile(r"http://www\.opengis\.net/def/crs/(?:EPSG/0/(\d+)|OGC/1\.3/(CRS84))")
_KEYS = {
    "": {"input", "output", "evalscript"},
    "input": {"bounds", "data"},
    "bounds": {"properties", "bbox"},
    "data": {"type", "id", "dataFilter", "processing"},
    "optical dataFilter": {"timeRange", "maxCloudCoverage", "mosaickingOrder"},
    "radar dataFilter": {"timeRange", "mosaickingOrder", "acquisitionMode", "polarization", "resolution",
                         "orbitDirection", "timeliness"},
    "optical processing": {"harmonizeValues", "upsampling", "downsampling"},
    "radar processing": {"upsampling", "downsampling", "orthorectify", "backCoeff", "demInstance",
                         "speckleFilter"},
    "output": {"width", "height", "resx", "resy", "responses"},
}  # fmt: skip


_TERRAIN_LAYERS = frozenset({"shadowMask", "localIncidenceAngle"})
_BACK_COEFFICIENTS = {"BETA0", "SIGMA0_ELLIPSOID", "GAMMA0_ELLIPSOID", "GAMMA0_TERRAIN"}
_DEMS = {"MAPZEN", "COPERNICUS", "COPERNICUS_30", "COPERNICUS_90"}


@dataclass(frozen=True, eq=False)
class _Job:
    radar: bool
    grid: GeoBox
    granules: tuple[Granule, ...]
    script: evalscript.Evalscript
    processing: Mapping[str, Any]


class Renderer:
    """Renders granules on any grid."""

    def __init__(self, granules: tuple[Granule, ...], pixels: Pixels) -> None:
        self._granules, self._pixels = granules, pixels
        self._slices = radar_slices(granules)

    def answer(self, payload: Any, accept: str) -> Response:
        """A GeoTIFF, or a tar of several; 400 for whatever is not understood."""
        job, names = self._read(payload)
        files = {}
        for output in job.script.outputs:
            planes = [_typed(self._band(job, name), output.sample_type) for name in output.bands]
            files[output.identifier] = _tiff(np.stack(planes), job.grid)
        if missing := [name for name in names if name not in files]:
            raise Refusal(400, f"the evalscript has no output {', '.join(missing)}")
        wanted = "image/tiff" if len(names) == 1 else "application/x-tar"
        if accept not in {wanted, "*/*"}:
            raise Refusal(400, f"{len(names)} responses come as {wanted}, not {accept!r}")
        body = files[names[0]] if len(names) == 1 else _tar({name: files[name] for name in names})
        return Response(200, body, {"content-type": wanted, "x-processingunits-spent": f"{_units(job):.6f}"})

    def _read(self, payload: Any) -> tuple[_Job, list[str]]:
        _known(payload, "")
        source, output = _known(payload.get("input"), "input"), _known(payload.get("output"), "output")
        if not isinstance(source.get("data"), list) or len(source["data"]) != 1:
            raise Refusal(400, "input.data is a list of one")
        data = _known(source["data"][0], "data")
        bands = self._bands(data.get("type"))
        radar = data["type"] == "sentinel-1-grd"
        kind = "radar" if radar else "optical"
        chosen = self._choose(_known(data.get("dataFilter", {}), f"{kind} dataFilter"), radar)
        script = evalscript.read(payload.get("evalscript") or "", bands)
        processing = _known(data.get("processing", {}), f"{kind} processing")
        if radar:
            _check_radar(script, processing)
        grid = _grid(_known(source.get("bounds"), "bounds"), output)
        return _Job(radar, grid, chosen, script, processing), _responses(output)

    def _bands(self, collection: Any) -> frozenset[str]:
        simulated = frozenset({name for g in self._granules for name in g.scene.numbers} | {"dataMask"})
        known = {
            "sentinel-2-l2a": simulated - {"B10"} | {SCL, "CLD"},
            "sentinel-2-l1c": simulated,
            "sentinel-1-grd": _TERRAIN_LAYERS | {"VV", "VH", "dataMask"},
        }
        if collection not in known:
            raise Refusal(400, f"collection {collection!r} is unknown")
        return known[collection]

    def _choose(self, rules: Mapping[str, Any], radar: bool) -> tuple[Granule, ...]:
        span = rules.get("timeRange")
        if not isinstance(span, dict) or set(span) != {"from", "to"}:
            raise Refusal(400, "dataFilter.timeRange with from and to is needed")
        start, stop = (datetime.fromisoformat(span[key]) for key in ("from", "to"))
        if radar:
            found = [g for g in self._slices if start <= radar_start(g) <= stop]
        else:
            found = [g for g in optical_granules(self._granules) if start <= g.scene.time <= stop]
            found = [g for g in found if cloud_cover(g) <= rules.get("maxCloudCoverage", 100)]
        order = rules.get("mosaickingOrder", "mostRecent")
        if order not in {"mostRecent", "leastRecent", "leastCC"}:
            raise Refusal(400, f"mosaickingOrder {order!r} is unknown")
        if order == "leastCC":
            return tuple(sorted(found, key=cloud_cover))
        return tuple(sorted(found, key=lambda g: g.scene.time, reverse=order == "mostRecent"))

    def _band(self, job: _Job, name: str) -> NDArray[np.float64]:
        if name == "dataMask":
            return np.isfinite(self._fused(job, "VV" if job.radar else SCL)).astype(np.float64)
        values = self._fused(job, name)
        if name in {SCL, "CLD"} or job.radar:
            return np.nan_to_num(values)
        if job.script.units[name] == "DN":
            values = np.rint(values * 1e4)
        elif job.script.units[name] not in {"REFLECTANCE", "default"}:
            raise Refusal(400, f"units {job.script.units[name]} of {name} are unknown")
        return np.nan_to_num(values)

    def _fused(self, job: _Job, name: str) -> NDArray[np.float64]:
        out = np.full(tuple(job.grid.shape), np.nan)
        smooth = str(job.processing.get("upsampling", "NEAREST")).lower()
        for granule in job.granules:
            if job.radar:
                raster = self._pixels.radar_ground(granule, name)
            else:
                raster = self._pixels.raster(granule, name, native_resolution(name))
            values = raster.on(_where(job), "nearest" if name in {SCL, "CLD"} else smooth)
            if not job.radar and name not in {SCL, "CLD"}:
                stored = 0.0 if job.processing.get("harmonizeValues", True) else granule.stored_offset / 1e4
                values = np.maximum(values + stored, 0)
            out = np.where(np.isnan(out), values, out)
        return out


def _check_radar(script: evalscript.Evalscript, processing: Mapping[str, Any]) -> None:
    """Refuse what the service refuses, and 16-bit samples of power, which would all be 0."""
    right = processing.get("orthorectify", False)
    coefficient = processing.get("backCoeff", "GAMMA0_ELLIPSOID")
    if type(right) is not bool:
        raise Refusal(400, f"orthorectify is true or false, not {right!r}")
    if coefficient not in _BACK_COEFFICIENTS:
        raise Refusal(400, f"backCoeff {coefficient!r} is unknown")
    if processing.get("demInstance", "COPERNICUS_30") not in _DEMS:
        raise Refusal(400, f"demInstance {processing['demInstance']!r} is unknown")
    if coefficient == "GAMMA0_TERRAIN" and not (right and "demInstance" in processing):
        raise Refusal(400, "GAMMA0_TERRAIN needs orthorectify and demInstance")
    if (wanted := _TERRAIN_LAYERS & set(script.units)) and not right:
        raise Refusal(400, f"{', '.join(sorted(wanted))} needs orthorectify")
    if strange := set(script.units.values()) - {"default", "LINEAR_POWER"}:
        raise Refusal(400, f"units {', '.join(sorted(strange))} are not rendered here")
    for output in script.outputs:
        if {"VV", "VH"} & set(output.bands) and output.sample_type != "FLOAT32":
            raise Refusal(400, f"power does not fit into samples of {output.sample_type}")


def _known(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, f"{what or 'the body'} is not an object")
    if strange := sorted(set(value) - _KEYS[what]):
        raise Refusal(400, f"unknown key in {what.split()[-1] if what else 'the body'}: {', '.join(strange)}")
    return value


def _grid(bounds: Mapping[str, Any], output: Mapping[str, Any]) -> GeoBox:
    found = _CRS.fullmatch(str(bounds.get("properties", {}).get("crs", "")))
    box = bounds.get("bbox")
    if not found or not isinstance(box, list) or len(box) != 4 or not (box[0] < box[2] and box[1] < box[3]):
        raise Refusal(400, f"bounds are not understood: {dict(bounds)}")
    width, height = output.get("width"), output.get("height")
    if "resx" in output and width is None:
        width, height = (round((box[i + 2] - box[i]) / output[key]) for i, key in enumerate(("resx", "resy")))
    if type(width) is not int or type(height) is not int or min(width, height) < 1:
        raise Refusal(400, f"output has no usable width and height: {dict(output)}")
    if max(width, height) > LARGEST_PX:
        raise Refusal(400, f"width and height are 1 to {LARGEST_PX}, not {width} x {height}")
    step = ((box[2] - box[0]) / width, (box[3] - box[1]) / height)
    transform = Affine(step[0], 0, box[0], 0, -step[1], box[3])
    return GeoBox((height, width), transform, f"EPSG:{found.group(1) or 4326}")


def _responses(output: Mapping[str, Any]) -> list[str]:
    names = []
    for one in output.get("responses") or [{"identifier": "default", "format": {"type": "image/tiff"}}]:
        if set(one) != {"identifier", "format"} or one["format"].get("type") != "image/tiff":
            raise Refusal(400, f"response {one!r} is not rendered here")
        names.append(str(one["identifier"]))
    return names


def _where(job: _Job) -> GeoBox:
    if not job.radar or job.processing.get("orthorectify"):
        return job.grid
    return GeoBox(
        job.grid.shape, Affine.translation(-UNCORRECTED_PX * 10, 0) * job.grid.transform, job.grid.crs
    )


def _typed(values: NDArray[np.float64], sample_type: str) -> NDArray[np.generic]:
    if sample_type == "FLOAT32":
        return values.astype(np.float32)
    kind = np.uint8 if sample_type == "UINT8" else np.uint16
    return np.clip(np.rint(values), 0, np.iinfo(kind).max).astype(kind)


def _tiff(planes: NDArray[np.generic], grid: GeoBox) -> bytes:
    profile = {"driver": "GTiff", "count": planes.shape[0], "height": planes.shape[1],
               "width": planes.shape[2], "dtype": planes.dtype.name, "crs": str(grid.crs),
               "transform": grid.transform, "compress": "deflate"}  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(planes)
        return bytes(memory.getbuffer())


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in files.items():
            about = tarfile.TarInfo(f"{name}.tif")
            about.size = len(body)
            archive.addfile(about, io.BytesIO(body))
    return out.getvalue()


def _units(job: _Job) -> float:
    height, width = job.grid.shape
    bands = len([name for name in job.script.units if name != "dataMask"])
    wide = 2 if any(output.sample_type == "FLOAT32" for output in job.script.outputs) else 1
    corrected = 2.5 if job.radar and "TERRAIN" in str(job.processing.get("backCoeff")) else 1.0
    return float(max(0.005, height * width / 512**2 * bands / 3 * wide * corrected))
