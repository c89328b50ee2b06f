"""Reading bands over the network or from disk: several at one time, again after a failure, and checked."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from changedet.antimeridian import footprint_outline
from changedet.errors import ChangedetError, CredentialsError, InputFileError, ProviderError
from changedet.providers.http import discreet_logs, gdal_options, scrubbed
from changedet.providers.layers import Layer, check_north_up
from changedet.resample import crs_of, source_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.base import OnReceived
    from changedet.providers.settings import ProviderSettings
    from changedet.scene import Asset, Granule

#: A footprint that shares at least this much of the grid promises data there, in pixels and as a share.
_PROMISE_PX, _PROMISE_SHARE = 64, 0.05
#: Attempts at one file, whatever GDAL repeats within each of them.
_ATTEMPTS = 3
_STATUS = re.compile(r"(?:response code|error code|HTTP error code)\s*:?\s*(\d{3})")


class Signer(Protocol):
    """Opens links that need a signature."""

    def sign(self, href: str) -> str:
        """Return the link with a signature that is good for now."""

    def forget(self, href: str, refused: str = "") -> bool:
        """Drop the signature of a link; `refused`, a signed link, spares one that others have got since.

        False when the link needs no signature.
        """


class NoSigner:
    """For archives that are open to everyone."""

    def sign(self, href: str) -> str:
        """Return the link as it is."""
        return href

    def forget(self, href: str, refused: str = "") -> bool:
        """Say that there is nothing to drop."""
        return False


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads what a grid needs of remote files.

    Attributes
    ----------
    settings : ProviderSettings
        Time-outs, retries, reads at one time.
    signer : Signer
        Opens the links.
    local_files : bool
        Whether links may be paths. A server on the network must not name files of this computer.
    on_received : callable or None
        Is told the bytes of each window that was read, before compression.
    """

    settings: ProviderSettings
    signer: Signer = field(default_factory=NoSigner)
    local_files: bool = False
    on_received: OnReceived | None = None

    def fetch(
        self, granules: Sequence[Granule], names: Sequence[str], grid: GeoBox
    ) -> list[dict[str, Layer]]:
        """Read bands of granules, several at one time.

        Parameters
        ----------
        granules : sequence of Granule
            Each must have an asset for every name.
        names : sequence of str
            Canonical band names.
        grid : GeoBox
            Where the pixels are needed; only that part of each file is read.

        Returns
        -------
        list of dict
            For each granule its layers by name, with their pixels in memory; those without any pixel on the
            grid are left out.

        Raises
        ------
        ProviderError
            When a file cannot be read after all attempts, or has no data where its footprint promised some.
        CredentialsError
            When a signature is refused twice, or the link needs an account.
        """
        jobs = [(granule, name) for granule in granules for name in names]
        pool = ThreadPoolExecutor(max(1, min(self.settings.max_parallel, len(jobs))))
        failed = threading.Event()

        def _job(job: tuple[Granule, str]) -> Layer | None:
            if failed.is_set():
                # what comes of it would be thrown away
                return None
            try:
                return self._layer(job[0], job[1], grid)
            except ChangedetError:
                failed.set()
                raise

        try:
            found = list(pool.map(_job, jobs))
        finally:
            pool.shutdown(cancel_futures=True)
        layers = iter(found)
        return [{name: layer for name in names if (layer := next(layers)) is not None} for _ in granules]

    def _layer(self, granule: Granule, name: str, grid: GeoBox) -> Layer | None:
        asset = granule.assets[name]
        where = f"{granule.id}, {name}"
        found = self._with_retries(asset, grid, where)
        if found is None:
            return None
        native, numbers = found
        if self.on_received is not None:
            self.on_received(numbers.nbytes)
        if not _any_data(numbers, asset) and _promises(granule, grid):
            raise ProviderError(
                "the file has no data where its footprint promises some",
                where=where,
                todo="try again later; if it stays so, choose another date or provider",
            )
        return Layer(name, native, asset, lambda window: numbers[window])

    def _with_retries(self, asset: Asset, grid: GeoBox, where: str) -> tuple[GeoBox, NDArray[Any]] | None:
        import rasterio
        from rasterio.errors import RasterioError

        attempts = min(_ATTEMPTS, self.settings.max_retries + 1)
        until_s = time.monotonic() + self.settings.total_deadline_s
        signed_again = False
        number = 0
        while True:
            opened = self._opened(asset.href, where)
            options = gdal_options(self.settings, again=number > 0, left_s=until_s - time.monotonic())
            try:
                with discreet_logs(), rasterio.Env(**options):
                    return _read(opened, asset.index, grid, where)
            except RasterioError as error:
                status, reason = _status(error), scrubbed(str(error.__cause__ or error))
            number += 1
            if status == 403 and not signed_again and self.signer.forget(asset.href, opened):
                signed_again = True
                continue
            delay_s = self.settings.retry_delay_s * 2 ** (number - 1)
            # a file that is not there the second time will not be there the third; so with a new signature
            last = number >= attempts or (status == 404 and number > 1) or (status == 403 and signed_again)
            if last or time.monotonic() + delay_s > until_s:
                raise _unreadable(where, status, reason, signed=signed_again)
            time.sleep(delay_s)

    def _opened(self, href: str, where: str) -> str:
        """Return what GDAL opens for a link: a signed link, or a path where those are allowed."""
        scheme = urlsplit(href).scheme.lower()
        if scheme in {"http", "https"}:
            return f"/vsicurl/{self.signer.sign(href)}"
        if scheme == "s3":
            raise CredentialsError(
                "its pixels lie in a store that needs keys (s3://)",
                where=where,
                todo="choose earth-search or planetary-computer, which are open, or download it",
            )
        if self.local_files and not scheme and not href.startswith("/vsi") and Path(href).is_file():
            return href
        raise InputFileError(
            f"its link {scrubbed(href, 80)!r} cannot be followed",
            where=where,
            todo="links start with https://",
        )


def _read(opened: str, index: int, grid: GeoBox, where: str) -> tuple[GeoBox, NDArray[Any]] | None:
    import rasterio
    from odc.geo.geobox import GeoBox
    from rasterio.windows import Window

    # a virtual raster behind the link could lead anywhere
    driver = "JP2OpenJPEG" if opened.split("?")[0].lower().endswith(".jp2") else "GTiff"
    with rasterio.open(opened, driver=driver) as dataset:
        epsg = dataset.crs.to_epsg() if dataset.crs else None
        if dataset.crs is None or dataset.transform.is_identity:
            raise InputFileError(
                "its pixels are not georeferenced", where=where, todo="choose another date or provider"
            )
        native = GeoBox(dataset.shape, dataset.transform, f"EPSG:{epsg}" if epsg else dataset.crs.to_wkt())
        check_north_up(native, where=where)
        window = source_window(native, grid)
        if window is None:
            return None
        return native[window], dataset.read(index, window=Window.from_slices(*window))


def _any_data(numbers: NDArray[Any], asset: Asset) -> bool:
    nodata = asset.radiometry.nodata
    usable = np.isfinite(numbers)
    return bool((usable if nodata is None else usable & (numbers != nodata)).any())


def _promises(granule: Granule, grid: GeoBox) -> bool:
    """Tell whether the footprint covers enough of the grid that some data must be there."""
    from odc.geo.geom import Geometry
    from shapely import make_valid

    stated = footprint_outline(granule.footprint)
    if stated is None:
        return False
    outline = make_valid(Geometry(stated, "EPSG:4326").to_crs(crs_of(grid)).geom)
    shared = outline.intersection(grid.extent.geom).area / grid.extent.geom.area
    pixels = grid.shape[0] * grid.shape[1]
    return bool(shared >= _PROMISE_SHARE and shared * pixels >= _PROMISE_PX)


def _status(error: Exception) -> int | None:
    found = _STATUS.search(f"{error} {error.__cause__ or ''}")
    return int(found[1]) if found else None


def _unreadable(where: str, status: int | None, reason: str, *, signed: bool) -> ChangedetError:
    if status == 404:
        what = "the catalogue lists a file that is not there (404)"
        return ProviderError(what, where=where, todo="choose another date or provider")
    todo = "try again later, or choose another provider"
    if status == 403 and signed:
        return CredentialsError("the archive refuses a new signature, too (403)", where=where, todo=todo)
    said = f"HTTP {status}" if status else reason
    return ProviderError(f"the file could not be read ({said})", where=where, todo=todo)


def with_radiometry(layer: Layer, **changes: Any) -> Layer:  # noqa: ANN401  # fields of Radiometry
    """Return a layer whose numbers become reflectance in another way."""
    radiometry = replace(layer.asset.radiometry, **changes)
    return replace(layer, asset=replace(layer.asset, radiometry=radiometry))
