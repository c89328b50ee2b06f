"""Reading bands over the network or from disk: several at one time, again after a failure, and checked."""

from __future__ import annotations

import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import requests

from changedet.antimeridian import promised_share
from changedet.errors import ChangedetError, InputFileError, ProviderError
from changedet.providers.http import (
    PASSING_STATUSES,
    TRY_LATER,
    NoRangesError,
    PatientRetry,
    discreet_logs,
    reason_of,
    retry_policy,
    scrubbed,
)
from changedet.providers.layers import Layer, check_north_up
from changedet.providers.ranges import Cursor, RemoteFile, block_ranges, fetch_range
from changedet.providers.sessions import KeptSessions
from changedet.providers.stopping import stop_event
from changedet.resample import source_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.providers.base import OnReceived
    from changedet.providers.settings import ProviderSettings
    from changedet.scene import Asset, Granule

#: A footprint that shares at least this much of the grid promises data there, in pixels and as a share.
_PROMISE_PX, _PROMISE_SHARE = 64, 0.05
#: Pixels that are read beyond what a grid needs: a shift of less is taken out without asking again.
SPARE_PX = 6
_KEPT_BYTES = 256_000_000
#: Attempts at one file that comes damaged.
_ATTEMPTS = 3
#: What GDAL calls a file of ours, see `_name_of`.
_OUR_NAME = re.compile(r"'?(?:/[^'\s]*/)?[0-9a-f]{32}\.(?:tif|jp2)'?")


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
class Window:
    """A part of a file, in memory.

    Attributes
    ----------
    whole : GeoBox
        Grid of the file.
    rows, columns : slice
        Which part.
    numbers : ndarray, shape (y, x)
        As stored.
    """

    whole: GeoBox
    rows: slice
    columns: slice
    numbers: NDArray[Any]

    def part(self, grid: GeoBox) -> tuple[GeoBox, NDArray[Any]] | None:
        """Return what another grid needs of it, and where that lies; None when it needs nothing."""
        needed = source_window(self.whole, grid)
        if needed is None:
            return None
        starts = self.rows.start, self.columns.start
        own = tuple(slice(part.start - at, part.stop - at) for part, at in zip(needed, starts, strict=True))
        return self.whole[needed], self.numbers[own]

    def covers(self, grid: GeoBox) -> bool:
        """Tell whether everything that a grid needs is here."""
        needed = source_window(self.whole, grid)
        return needed is None or all(
            own.start <= part.start and part.stop <= own.stop
            for own, part in zip((self.rows, self.columns), needed, strict=True)
        )


class KeptWindows:
    """Windows that were read last: the same scene is read again on a grid that registration moved a little.

    Parameters
    ----------
    most_bytes : int
        Beyond this the oldest go.
    """

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int], Window] = {}

    def find(self, asset: Asset, grid: GeoBox) -> Window | None:
        """Return a window of a file that covers a grid, None when there is none."""
        with self._lock:
            window = self._kept.get((asset.href, asset.index))
        return window if window is not None and window.covers(grid) else None

    def keep(self, asset: Asset, window: Window) -> None:
        """Remember a window, and forget the oldest ones that have no room any more."""
        with self._lock:
            self._kept.pop((asset.href, asset.index), None)
            self._kept[asset.href, asset.index] = window
            taken = sum(one.numbers.nbytes for one in self._kept.values())
            for key in list(self._kept):
                if taken <= self._most_bytes:
                    break
                taken -= self._kept.pop(key).numbers.nbytes


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
    kept : KeptWindows
        What was read before is not asked for again.
    sessions : KeptSessions
        Their connections are used again.
    """

    settings: ProviderSettings
    signer: Signer = field(default_factory=NoSigner)
    local_files: bool = False
    on_received: OnReceived | None = None
    kept: KeptWindows = field(default_factory=KeptWindows)
    sessions: KeptSessions = field(default_factory=KeptSessions)

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
            When a file cannot be read after all attempts, or has no data where its footprint promised some;
            when its signature is refused twice, or its link needs keys. Other files may be open.
        """
        jobs = [(granule, name) for granule in granules for name in names]
        failed = threading.Event()

        def _job(job: tuple[Granule, str], stop: threading.Event) -> Layer | None:
            if failed.is_set():
                # what comes of it would be thrown away
                return None
            try:
                return self._layer(job[0], job[1], grid, stop)
            except ChangedetError:
                failed.set()
                raise

        pool = ThreadPoolExecutor(max(1, min(self.settings.max_parallel, len(jobs))))
        try:
            # also when the user interrupts: what is under way ends with the answer that it waits for
            with stop_event() as stop:
                found = list(pool.map(lambda job: _job(job, stop), jobs))
        finally:
            pool.shutdown(cancel_futures=True)
        layers = iter(found)
        return [{name: layer for name in names if (layer := next(layers)) is not None} for _ in granules]

    def _layer(self, granule: Granule, name: str, grid: GeoBox, stop: threading.Event) -> Layer | None:
        asset = granule.assets[name]
        where = f"{granule.id}, {name}"
        kept = self.kept.find(asset, grid)
        window = self._with_retries(asset, grid, where, stop) if kept is None else kept
        if window is None:
            return None
        if kept is None and self.on_received is not None:
            self.on_received(window.numbers.nbytes)
        found = window.part(grid)
        if found is None:
            return None
        native, numbers = found
        if not _any_data(numbers, asset) and _promises(granule, grid):
            raise ProviderError(
                "the file has no data where its footprint promises some",
                where=where,
                todo="try again later; if it stays so, choose another date or provider",
            )
        if kept is None:
            # not before: what breaks a promise is asked for again the next time
            self.kept.keep(asset, window)
        return Layer(name, native, asset, lambda window: numbers[window])

    def _with_retries(self, asset: Asset, grid: GeoBox, where: str, stop: threading.Event) -> Window | None:
        from rasterio.errors import RasterioError

        attempts = min(_ATTEMPTS, self.settings.max_retries + 1)
        started_s = time.monotonic()
        policy = retry_policy(self.settings, stop=stop).new(started_s=started_s)
        signed_again = False
        number = 0
        while True:
            link = self._followed(asset.href, where)
            try:
                with discreet_logs():
                    return self._read(link, asset.index, grid, where, policy)
            except (RasterioError, requests.RequestException) as error:
                failure = _Failure.of(error)
            number += 1
            if failure.status == 403 and not signed_again and self.signer.forget(asset.href, link):
                signed_again = True
                continue
            delay_s = self.settings.retry_delay_s * 2 ** (number - 1)
            late = time.monotonic() + delay_s > started_s + self.settings.total_deadline_s
            if late or failure.final(number, attempts) or stop.wait(delay_s):
                raise _unreadable(where, failure, signed=signed_again)

    def _followed(self, href: str, where: str) -> str:
        """Return where a link leads: the link, signed, or a path where those are allowed."""
        scheme = urlsplit(href).scheme.lower()
        if scheme in {"http", "https"}:
            return self.signer.sign(href)
        if scheme == "s3":
            raise ProviderError(
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

    def _read(self, link: str, index: int, grid: GeoBox, where: str, policy: PatientRetry) -> Window | None:
        if not urlsplit(link).scheme:
            return _read_window(link, None, index, grid, where)
        patience = self.settings.connect_timeout_s, self.settings.read_timeout_s
        with self.sessions.session(policy) as session:
            file = RemoteFile(lambda start, stop: fetch_range(session, link, start, stop, patience))
            try:
                return _read_window(_name_of(link), file, index, grid, where)
            finally:
                if file.failure is not None:
                    # GDAL only knows that bytes were missing
                    raise file.failure


@dataclass(frozen=True)
class _Failure:
    """Why a file could not be read.

    Attributes
    ----------
    status : int or None
        What the server answered; None when it did not, or when what came is damaged.
    reason : str
        In words, without secrets.
    damaged : bool
        True when the answer came and cannot be used.
    lasting : bool
        True when it will be so later, too.
    """

    status: int | None
    reason: str
    damaged: bool
    lasting: bool = False

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        """Describe an exception of the HTTP client or of the raster library."""
        if not isinstance(error, requests.RequestException):
            said = _OUR_NAME.sub("the file", str(error.__cause__ or error))
            return cls(None, scrubbed(said), damaged=True)
        status = None if error.response is None else error.response.status_code
        reason = reason_of(error)
        damaged = isinstance(error, requests.exceptions.ContentDecodingError)
        return cls(status, reason, damaged, lasting=isinstance(error, NoRangesError))

    def final(self, number: int, attempts: int) -> bool:
        """Tell whether another attempt, after so many, would be of no use."""
        if self.status in PASSING_STATUSES or (self.status is None and not self.damaged):
            # the client has been patient already
            return True
        # a file that is not there the second time will not be there the third
        return number >= attempts or (self.status is not None and number > 1)


def _name_of(link: str) -> str:
    """Return what GDAL is told: no link, and another name for every file that is open."""
    suffix = ".jp2" if urlsplit(link).path.lower().endswith(".jp2") else ".tif"
    return f"{uuid.uuid4().hex}{suffix}"


def _read_window(name: str, file: RemoteFile | None, index: int, grid: GeoBox, where: str) -> Window | None:
    """Read what a grid needs of a file on disk, or of one that is fetched, and a little more."""
    import rasterio
    import rasterio.windows
    from odc.geo.geobox import GeoBox

    def _only(asked: str, mode: str = "rb") -> Cursor:  # rasterio names both
        # GDAL looks for files beside it, too
        if file is None or Path(asked).name != name:
            raise FileNotFoundError(asked)
        return Cursor(file)

    # a virtual raster behind the link could lead anywhere
    driver = "JP2OpenJPEG" if name.lower().endswith(".jp2") else "GTiff"
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(name, driver=driver, opener=None if file is None else _only) as dataset,
    ):
        epsg = dataset.crs.to_epsg() if dataset.crs else None
        if dataset.crs is None or dataset.transform.is_identity:
            raise InputFileError(
                "its pixels are not georeferenced", where=where, todo="choose another date or provider"
            )
        native = GeoBox(dataset.shape, dataset.transform, f"EPSG:{epsg}" if epsg else dataset.crs.to_wkt())
        check_north_up(native, where=where)
        needed = source_window(native, grid)
        if needed is None:
            return None
        rows, columns = (
            slice(max(part.start - SPARE_PX, 0), min(part.stop + SPARE_PX, size))
            for part, size in zip(needed, native.shape, strict=True)
        )
        if file is not None:
            file.want(block_ranges(dataset, index, (rows, columns)))
        numbers = dataset.read(index, window=rasterio.windows.Window.from_slices(rows, columns))
        return Window(native, rows, columns, numbers)


def _any_data(numbers: NDArray[Any], asset: Asset) -> bool:
    nodata = asset.radiometry.nodata
    usable = np.isfinite(numbers)
    return bool((usable if nodata is None else usable & (numbers != nodata)).any())


def _promises(granule: Granule, grid: GeoBox) -> bool:
    """Tell whether the footprint covers enough of the grid that some data must be there."""
    shared = promised_share([granule.footprint], grid)
    pixels = grid.shape[0] * grid.shape[1]
    return shared >= _PROMISE_SHARE and shared * pixels >= _PROMISE_PX


def _unreadable(where: str, failure: _Failure, *, signed: bool) -> ChangedetError:
    if failure.status == 404:
        what = "the catalogue lists a file that is not there (404)"
        return ProviderError(what, where=where, todo="choose another date or provider")
    todo = TRY_LATER
    if failure.status == 403 and signed:
        # one file may be withdrawn where the others are open
        return ProviderError("the archive refuses a new signature, too (403)", where=where, todo=todo)
    if failure.lasting:
        todo = "choose another provider, or download the file"
    said = f"HTTP {failure.status}" if failure.status else failure.reason
    passing = not failure.lasting and not failure.damaged
    details = {"passing": passing}
    return ProviderError(f"the file could not be read ({said})", where=where, todo=todo, details=details)
