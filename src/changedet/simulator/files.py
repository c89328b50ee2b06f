"""Writes simulated scenes and their truth the way a provider would deliver them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL
from changedet.errors import OutputError
from changedet.json_texts import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.samples import SceneSettings, SimulatedScene, Truth

_NOTICE = "Simulated by changedet.samples. The place, the objects and the events exist nowhere."


def write_scene(scene: SimulatedScene, folder: str | Path) -> Path:
    """Write a simulated scene as one GeoTIFF per band and one for the scene classification.

    Bands are uint16 at their own resolution with nodata 0, and carry scale and offset as GDAL knows them;
    the tags of each file say when, where and how the scene was taken, and that it is simulated. Files of the
    same names are replaced. The same scene gives the same bytes.

    Parameters
    ----------
    scene : SimulatedScene
        What to write.
    folder : str or Path
        Made if it is not there.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    folder = Path(folder)
    tags = {
        "ACQUISITION_TIME_UTC": f"{scene.time:%Y-%m-%dT%H:%M:%SZ}",
        "PLATFORM": "simulated",
        "PROCESSING_BASELINE": scene.baseline,
        "LEVEL": "L2A",
        "SUN_ELEVATION_DEG": f"{scene.sun.elevation_deg:.2f}",
        "SUN_AZIMUTH_DEG": f"{scene.sun.azimuth_deg:.2f}",
        "RELATIVE_ORBIT": "3",
        "TILE": "T52SBH",
        "SCENE_ID": scene.id,
        "SIMULATED": "yes",
        "TIFFTAG_IMAGEDESCRIPTION": _NOTICE,
    }
    with _writing(folder):
        for name, numbers in scene.numbers.items():
            _write_raster(
                folder / f"{scene.stem}_{name}.tif", numbers, scene.grid, tags, (1e-4, scene.offset)
            )
        _write_raster(folder / f"{scene.stem}_{SCL}.tif", scene.classes, scene.grid, tags, (1.0, 0.0))
    return folder


def write_label_raster(truth: Truth, grid: GeoBox, path: Path) -> None:
    """Write the event labels (uint8; 0 = no event) on the grid, with the legend in the tags.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    legend = {f"EVENT_{row.id}": row.name for row in truth.events.itertuples(index=False)}
    with _writing(path.parent):
        _write_raster(path, truth.labels, grid, {"SIMULATED": "yes", **legend}, None)


def write_truth(truth: Truth, facts: Mapping[str, object], settings: SceneSettings, folder: Path) -> Path:
    """Write ``truth.geojson``, ``decoys.geojson`` (both in longitude and latitude) and ``truth.json``.

    Returns
    -------
    Path
        The GeoJSON of the events.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    document = {"notice": _NOTICE, **facts, "settings": asdict(settings)}
    with _writing(folder):
        path = folder / "truth.geojson"
        _write_text(path, _geojson(truth.events))
        _write_text(folder / "decoys.geojson", _geojson(truth.decoys))
        _write_text(folder / "truth.json", json.dumps(document, indent=2, default=str) + "\n")
    return path


def holds_simulated_scenes(folder: Path) -> bool:
    """Return True for a folder whose ``truth.json`` says that `write_truth` wrote it."""
    try:
        document = parse_json((folder / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("notice") == _NOTICE


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        message = "the simulated scenes cannot be written there"
        raise OutputError(message, where=str(folder), todo="choose a folder that can be written") from error


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_raster(
    path: Path,
    values: NDArray[Any],
    grid: GeoBox,
    tags: Mapping[str, str],
    scaling: tuple[float, float] | None,
) -> None:
    import rasterio

    step = grid.shape[0] // values.shape[0]
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": values.dtype,
        "crs": str(grid.crs),
        "transform": grid.transform * grid.transform.scale(step),
        "compress": "deflate",
        "zlevel": 9,
        "predictor": 2,
    }
    if scaling is not None:
        profile["nodata"] = 0
    with rasterio.open(path, "w", **profile) as target:
        target.write(values, 1)
        target.update_tags(**tags)
        target.set_band_description(1, path.stem.rsplit("_", 1)[-1])
        if scaling is not None and values.dtype == np.uint16:
            target.scales, target.offsets = (scaling[0],), (scaling[1],)


def _geojson(frame: gpd.GeoDataFrame) -> str:
    import shapely

    features = []
    for row in frame.to_crs(4326).itertuples(index=False):
        outline = shapely.transform(row.geometry, lambda points: np.round(points, 7))
        fields = {"id": row.id, "name": row.name, "kind": row.kind, "date": row.date}
        fields |= {"end_date": row.end_date or None, "pixels": row.pixels, "simulated": True}
        geometry = shapely.geometry.mapping(shapely.orient_polygons(outline))
        features.append({"type": "Feature", "properties": fields, "geometry": geometry})
    return json.dumps({"type": "FeatureCollection", "features": features}, indent=1) + "\n"
