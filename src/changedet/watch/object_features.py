"""What objects are compared by: few numbers, each with a name and a meaning.

They come from the columns of the candidates, from their outline, and, where the run kept its images, from the
indices inside. What is not known is left out, and is neither for nor against anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.core.indices import compute_indices
from changedet.kinds import KIND_LABELS, Kind
from changedet.watch.geopackage import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import geopandas as gpd
    from shapely.geometry.base import BaseGeometry

#: Grows when a feature is computed in another way, so that a model of the old ones is refused.
FEATURES_VERSION = 1
#: Indices whose medians inside an object are features, see `changedet.core.indices`.
INDEX_NAMES: tuple[str, ...] = ("NDVI", "BSI", "MNDWI", "brightness")
_KINDS = tuple(label for kind, label in KIND_LABELS.items() if kind is not Kind.NONE)

#: Every feature, and what it says to a reader.
FEATURES: Mapping[str, str] = {
    "area": "area, log10 of square metres",
    "score": "score, robust standard deviations above the background",
    "construction": "share of the score that looks like construction",
    "rarity": "rarity among windows of its size, -log10 of their share",
    "elongation": "length over width of the smallest box round it, log2",
    "fill": "share of that box that it fills",
    "season_sin": "day of the year of the after image, sine",
    "season_cos": "day of the year of the after image, cosine",
    **{f"{name} {side}": f"median {name} inside on the {side} image" for name in INDEX_NAMES
       for side in ("before", "after")},
    **{f"kind: {label}": f"1 when its kind is {label}, else 0" for label in _KINDS},
}  # fmt: skip


def object_features(objects: gpd.GeoDataFrame, folder: Path) -> list[dict[str, float]]:
    """Return the features of the objects of a run.

    Parameters
    ----------
    objects : GeoDataFrame
        As `changedet.output.vector.read_gpkg` returns them, in the CRS of the run.
    folder : Path
        The run folder; ``before.tif`` and ``after.tif`` are used where they are there.

    Returns
    -------
    list of dict of str to float
        One for each object, by names of `FEATURES`; what is not known is left out.
    """
    rows = objects.to_dict("records")
    seen = [_inside(folder / f"{side}.tif", objects, side) for side in ("before", "after")]
    return [
        _finite(_of_columns(row) | _of_shape(row["geometry"]) | before | after)
        for row, before, after in zip(rows, *seen, strict=True)
    ]


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in values.items() if math.isfinite(value)}


def _of_columns(row: Mapping[str, Any]) -> dict[str, float]:
    found = {
        "area": math.log10(max(row["area_m2"], 1.0)),
        "score": row["score_mads"],
        "construction": row["construction"] / row["score"] if row["score"] else math.nan,
        "rarity": -math.log10(max(row["context_share"], 1e-6)),
    }
    if (day := day_of(str(row["first_seen"]))) is not None:
        angle = 2 * math.pi * day.timetuple().tm_yday / 365.25
        found |= {"season_sin": math.sin(angle), "season_cos": math.cos(angle)}
    return found | {f"kind: {label}": float(row["kind"] == label) for label in _KINDS}


def _of_shape(outline: BaseGeometry) -> dict[str, float]:
    import shapely

    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(outline))
    if len(corners) < 4:
        return {}
    sides = np.hypot(*np.diff(corners[:3], axis=0).T)
    width, length = float(sides.min()), float(sides.max())
    if width <= 0:
        return {}
    return {"elongation": math.log2(length / width), "fill": float(outline.area) / (width * length)}


def _inside(path: Path, objects: gpd.GeoDataFrame, side: str) -> list[dict[str, float]]:
    """Return the medians of the indices inside each object, nothing where the image was not kept."""
    import rasterio
    from rasterio.errors import RasterioError, WindowError
    from rasterio.features import geometry_mask, geometry_window

    nothing: list[dict[str, float]] = [{} for _ in range(len(objects))]
    if not path.is_file() or not nothing:
        return nothing
    try:
        with rasterio.open(path, driver="GTiff") as file:
            names = [text or "" for text in file.descriptions]
            wanted = [i for i, name in enumerate(names, 1) if name.startswith("B")]
            bands = tuple(names[i - 1] for i in wanted)
            for place, outline in enumerate(objects.geometry):
                window = geometry_window(file, [outline])
                data = file.read(wanted, window=window).astype(np.float32)
                frame = file.window_transform(window)
                inside = geometry_mask([outline], data.shape[1:], frame, invert=True)
                nothing[place] = _medians(data[:, inside], bands, side)
    except (RasterioError, WindowError):
        return [{} for _ in range(len(objects))]
    return nothing


def _medians(
    pixels: np.ndarray[Any, np.dtype[np.float32]], bands: tuple[str, ...], side: str
) -> dict[str, float]:
    usable = pixels[:, np.isfinite(pixels).all(axis=0)]
    if not usable.size:
        return {}
    indices = compute_indices(usable, bands)
    return {f"{name} {side}": float(np.median(indices[name])) for name in INDEX_NAMES if name in indices}
