"""Requests to Sentinel Hub: what they ask for, on which ground, in how many pieces, at what cost."""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from changedet.errors import ProviderError
from changedet.providers.sentinel_hub_products import LEVEL_2A, MASK, Product, product_of
from changedet.providers.sentinel_hub_scenes import time_span
from changedet.resample import crs_of
from changedet.site import utm_grid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox
    from sentinelhub.config import SHConfig
    from sentinelhub.data_collections import DataCollection
    from sentinelhub.download.models import DownloadRequest

    from changedet.scene import Scene

#: Longest side of one process request in pixels.
LARGEST_PX = 2500
#: Pixel size of the coarser bands and of the classification, in metres.
COARSE_M = 20
#: Definitions of collections belong to the whole process.
_COLLECTIONS = threading.Lock()


@dataclass(frozen=True)
class Addresses:
    """Where the parts of one deployment are.

    Attributes
    ----------
    base, token, catalog, process : str
        URLs without a slash at the end.
    """

    base: str
    token: str
    catalog: str
    process: str


def plain_url(url: str) -> str:
    """Return a URL without user, password, query and fragment, to be shown.

    Examples
    --------
    >>> plain_url("https://me:secret@example.org:8443/api?sig=abc")
    'https://example.org:8443/api'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def estimate_processing_units(
    width: int, height: int, bands: int, *, float32: bool = False, s1: bool = False
) -> float:
    """Estimate what a process request costs, by the rules of the service.

    Parameters
    ----------
    width, height : int
        Size of the image in pixels.
    bands : int
        Input bands; ``dataMask`` is free and does not count.
    float32 : bool
        Samples of 32 bits, which cost twice as much.
    s1 : bool
        Sentinel-1 with radiometric terrain correction, which costs two and a half times as much.

    Returns
    -------
    float
        Processing units, at least 0.005.

    Examples
    --------
    >>> round(estimate_processing_units(500, 500, 8), 2)
    2.54
    >>> round(estimate_processing_units(500, 500, 2, float32=True, s1=True), 2)
    3.18
    """
    units = width * height / 512**2 * bands / 3 * (2 if float32 else 1) * (2.5 if s1 else 1)
    return max(units, 0.005)


def configuration(addresses: Addresses) -> SHConfig:
    """Return a configuration of the `sentinelhub` package that holds addresses and no credentials."""
    from sentinelhub.config import SHConfig

    # with defaults only, no file is read or written; retries are the business of the bounded client
    return SHConfig(
        use_defaults=True,
        sh_base_url=addresses.base,
        sh_token_url=addresses.token,
        max_retries=1,
        max_download_attempts=1,
    )


def collection(base: str, product: Product = LEVEL_2A) -> DataCollection:
    """Return the collection of a product on one deployment: the stock one is bound to another host."""
    from sentinelhub.data_collections import DataCollection

    stock = DataCollection[product.source]
    with _COLLECTIONS:
        if stock.service_url == base:
            return stock
        with suppress(ValueError):
            # somebody else in this process may have defined the same under another name
            return DataCollection(stock.value.derive(service_url=base))
        # names are known to the whole process, and one name cannot stand for two addresses
        name = f"CHANGEDET_{stock.name}_{hashlib.sha256(base.encode()).hexdigest()[:16]}"
        return stock.define_from(name, service_url=base)


def process_request(
    scene: Scene, grid: GeoBox, names: tuple[str, ...], addresses: Addresses
) -> DownloadRequest:
    """Make the request that renders one acquisition.

    Parameters
    ----------
    scene : Scene
        Which acquisition.
    grid : GeoBox
        The ground, at most `LARGEST_PX` pixels on each side.
    names : tuple of str
        Layers of the collection, in the order of the answer; the mask of observed pixels comes last.
    addresses : Addresses
        Whom to ask.

    Returns
    -------
    DownloadRequest
        Of the `sentinelhub` package; its answer is a GeoTIFF of what the radiometry of the product describes.

    Raises
    ------
    UsageError
        When the scene is of no product of the service.
    """
    from sentinelhub.api.process import SentinelHubRequest
    from sentinelhub.constants import CRS, MimeType
    from sentinelhub.geometry import BBox

    box, product = grid.boundingbox, product_of(scene)
    source = SentinelHubRequest.input_data(
        collection(addresses.base, product),
        time_interval=time_span(scene),
        other_args={"processing": dict(product.processing)},
    )
    request = SentinelHubRequest(
        _evalscript(names, product),
        [source],
        [SentinelHubRequest.output_response("default", MimeType.TIFF)],
        bbox=BBox((box.left, box.bottom, box.right, box.top), CRS(str(crs_of(grid).epsg))),
        size=(grid.shape[1], grid.shape[0]),
        config=configuration(addresses),
    )
    return replace(request.download_list[0], url=addresses.process)


def _evalscript(names: tuple[str, ...], product: Product) -> str:
    bands = (*names, MASK)
    # radar gives linear power, degrees and flags unless told otherwise
    units, kind = ("", "FLOAT32") if product.float32 else (', units: "DN"', "UINT16")
    listed, returned = (", ".join(f'"{b}"' for b in bands), ", ".join(f"sample.{b}" for b in bands))
    return f"""//VERSION=3
function setup() {{
  return {{input: [{{bands: [{listed}]{units}}}],
          output: {{bands: {len(bands)}, sampleType: "{kind}"}}}};
}}
function evaluatePixel(sample) {{ return [{returned}]; }}
"""


def read_tiff(
    content: bytes, shape: tuple[int, ...], where: str, kind: type[np.generic] = np.uint16
) -> NDArray[Any]:
    """Read an answer.

    Parameters
    ----------
    content : bytes
        A GeoTIFF.
    shape : tuple of int
        (band, y, x) as asked for.
    where : str
        Who sent it, for errors.
    kind : type
        Type of the samples.

    Returns
    -------
    ndarray, shape (band, y, x)
        As stored.

    Raises
    ------
    ProviderError
        When it is damaged, or has another shape or type.
    """
    from rasterio.errors import RasterioError
    from rasterio.io import MemoryFile

    try:
        with MemoryFile(content) as memory, memory.open() as source:
            planes = np.asarray(source.read())
    except (RasterioError, ValueError):
        planes = np.empty(0, np.uint8)
    if planes.shape != shape or planes.dtype != np.dtype(kind):
        raise ProviderError(
            f"the image is damaged, or not the one asked for ({len(content)} bytes)",
            where=where,
            todo="try again",
        )
    return planes


def fetch_grid(grid: GeoBox, margin_m: int) -> GeoBox:
    """Return the 10 m grid that covers another with a margin; corners are multiples of 20 m.

    Parameters
    ----------
    grid : GeoBox
        In UTM, whose zone is kept, or in any other reference system.
    margin_m : int
        Least width of the margin in metres.

    Returns
    -------
    GeoBox
        In UTM.
    """
    from odc.geo.geobox import GeoBox

    epsg = crs_of(grid).epsg
    home = grid if epsg is not None and epsg // 100 in {326, 327} else utm_grid(grid)
    box = home.boundingbox
    left, bottom = (math.floor((v - margin_m) / COARSE_M) * COARSE_M for v in (box.left, box.bottom))
    right, top = (math.ceil((v + margin_m) / COARSE_M) * COARSE_M for v in (box.right, box.top))
    return GeoBox.from_bbox((left, bottom, right, top), home.crs, resolution=10, tight=True)


def tiles(grid: GeoBox) -> Iterator[tuple[tuple[slice, slice], GeoBox]]:
    """Cut a grid into pieces that the service renders; yields (rows, columns) and the piece."""
    height, width = grid.shape
    for top, left in itertools.product(range(0, height, LARGEST_PX), range(0, width, LARGEST_PX)):
        window = (slice(top, min(top + LARGEST_PX, height)), slice(left, min(left + LARGEST_PX, width)))
        yield window, grid[window]


def cost(tile: GeoBox, bands: int, product: Product = LEVEL_2A) -> float:
    """Return the estimate of `estimate_processing_units` for so many bands of a product on a grid."""
    height, width = tile.shape
    return estimate_processing_units(width, height, bands, float32=product.float32, s1=product.radar)


def degree_boxes(bounds: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
    """Return bounds in degrees as boxes of which none crosses the antimeridian."""
    west, south, east, north = bounds
    turn = -360.0 if west >= 180 else 360.0 if west < -180 else 0.0
    west, east = west + turn, east + turn
    if east <= 180:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]
