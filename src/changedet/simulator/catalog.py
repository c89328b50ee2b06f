"""Simulated scenes as a catalogue on disk: an archive to search, fetch from and watch without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.providers.scenes import SIMULATED
from changedet.simulator.files import write_scene
from changedet.simulator.scene import CLOUD_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from changedet.simulator.scene import SimulatedScene

#: Of every item.
COLLECTION = f"{SIMULATED}sentinel-2-l2a"
#: The catalogue among the folders of the scenes.
CATALOG = "items.json"


def write_catalog(scenes: Iterable[SimulatedScene], folder: str | Path) -> Path:
    """Write scenes and a STAC ItemCollection that lists them.

    Parameters
    ----------
    scenes : iterable of SimulatedScene
        Each of another day; they get a folder each, named by it.
    folder : str or Path
        Made if it is not there; files of the same names are replaced.

    Returns
    -------
    Path
        The ItemCollection: the ``url`` of the provider ``stac``.

    Raises
    ------
    OutputError
        If the folder cannot be written.

    Examples
    --------
    >>> from changedet.samples import simulate_series
    >>> path = write_catalog(simulate_series(dates=40).scenes, "archive")              # doctest: +SKIP
    >>> os.environ["CHANGEDET_PROVIDERS__STAC__URL"] = str(path)                       # doctest: +SKIP
    """
    folder = Path(folder)
    items = [_item(scene, write_scene(scene, folder / f"{scene.time:%Y%m%d}")) for scene in scenes]
    path = folder / CATALOG
    document = {"type": "FeatureCollection", "features": items}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8", newline="\n")
    return path


def _item(scene: SimulatedScene, folder: Path) -> dict[str, Any]:
    import shapely

    outline = shapely.force_2d(scene.grid.extent.to_crs("EPSG:4326").geom)
    files = {path.stem.rsplit("_", 1)[-1]: path for path in sorted(folder.glob(f"{scene.stem}_*.tif"))}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": scene.id,
        "collection": COLLECTION,
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {
            "datetime": f"{scene.time:%Y-%m-%dT%H:%M:%SZ}",
            "platform": "simulated",
            "proj:code": str(scene.grid.crs),
            "s2:processing_baseline": scene.baseline,
            "sat:relative_orbit": 3,
            "eo:cloud_cover": round(100 * float(np.isin(scene.classes, CLOUD_CLASSES).mean()), 2),
            "view:sun_elevation": round(scene.sun.elevation_deg, 2),
            "view:sun_azimuth": round(scene.sun.azimuth_deg, 2),
        },
        "assets": {
            name: {"href": f"{folder.name}/{path.name}", "type": "image/tiff; application=geotiff"}
            for name, path in files.items()
        },
        "links": [],
    }
