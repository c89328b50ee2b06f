"""The files of the archives: made when first asked for, served with ranges, some only with a signature."""

from __future__ import annotations

import hashlib
import pickle
import re
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.world.pixels import GAMMA0_NODATA, Layer, Pixels, added, write_cog
from tests.world.plumbing import Refusal, Request, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.world.granules import Granule

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Shelf:
    """Files that were made once, by what is in them: most worlds are over the same few scenes."""

    def __init__(self, most_bytes: int = 100_000_000) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The file kept under a key, made now if there is none."""
        with self._lock:
            found = self._kept[key] if key in self._kept else make()
            self._kept[key] = found
            self._kept.move_to_end(key)
            while sum(map(len, self._kept.values())) > self._most_bytes:
                self._kept.popitem(last=False)
            return found


@dataclass(frozen=True, eq=False)
class _File:
    path: Path
    body: bytes
    tag: str


class Store:
    """Maps paths of the server to layers or ready bytes."""

    def __init__(self, folder: Path, pixels: Pixels, url: str, shelf: Shelf, block_px: int = 256) -> None:
        self.folder, self.pixels, self.url, self.shelf = folder, pixels, url, shelf
        self.block_px = block_px
        self._things: dict[str, Layer | bytes] = {}
        self._written: dict[tuple[Granule, str, int, str], _File] = {}
        self._digests: dict[Granule, str] = {}
        self._lock = threading.Lock()

    def link(self, path: str, thing: Layer | bytes) -> str:
        """Offer a thing under a path and return its URL."""
        self._things[f"/{path}"] = thing
        return f"{self.url}/{path}"

    def file(self, layer: Layer) -> Path:
        """The GeoTIFF of a layer on disk; written now if it was not."""
        return self._file(layer).path

    def path_of(self, href: str) -> Path | None:
        """The file behind one of this store's URLs, None where there is none."""
        thing = self._things.get(href.removeprefix(self.url))
        return self.file(thing) if isinstance(thing, Layer) else None

    def serve(self, request: Request) -> Response:
        """Answer HEAD and GET, whole or a range."""
        if request.method not in {"GET", "HEAD"}:
            raise Refusal(405, "files can only be read")
        thing = self._things.get(request.path)
        if thing is None:
            return Response(
                404, b"<Error><Code>NoSuchKey</Code></Error>", {"content-type": "application/xml"}
            )
        if isinstance(thing, Layer):
            file, kind = self._file(thing), COG_TYPE
            body, tag = file.body, file.tag
        else:
            body, kind, tag = thing, "application/octet-stream", _digest(thing)
        headers = {"content-type": kind, "accept-ranges": "bytes", "etag": f'"{tag}"',
                   "last-modified": "Fri, 01 Mar 2024 00:00:00 GMT"}  # fmt: skip
        if "range" in request.headers and request.method == "GET":
            return _part(request.headers["range"], body, headers)
        return Response(200, body, headers)

    def _file(self, layer: Layer) -> _File:
        key = (layer.granule, layer.name, layer.resolution_m, layer.flavour)
        with self._lock:
            if key not in self._written:
                path = self.folder / f"{len(self._written):04d}_{layer.name}.tif"
                body = self.shelf.get(self._contents(layer), lambda: self._cog(layer))
                path.write_bytes(body)
                self._written[key] = _File(path, body, _digest(body))
            return self._written[key]

    def _cog(self, layer: Layer) -> bytes:
        values, grid = self.pixels.stored(layer)
        path = self.folder / f"made-{uuid.uuid4().hex}.tif"
        nodata = GAMMA0_NODATA if layer.flavour == "gamma0" else 0
        write_cog(path, values, grid, nodata, self.block_px)
        body = path.read_bytes()
        path.unlink()
        return body

    def _contents(self, layer: Layer) -> str:
        """What decides on the bytes of a layer."""
        if layer.granule not in self._digests:
            self._digests[layer.granule] = _digest(pickle.dumps(layer.granule))
        # flavours are names for the number that is added, but for those that hold something else
        stored = layer.flavour if layer.flavour in {"codes", "gamma0"} else added(layer)
        parts = (self._digests[layer.granule], layer.name, layer.resolution_m, stored,
                 self.pixels.size_px, self.pixels.cloud_percent, self.block_px)  # fmt: skip
        return repr(parts)


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _part(asked: str, body: bytes, headers: dict[str, str]) -> Response:
    found = _RANGE.fullmatch(asked)
    if not found or asked == "bytes=-":
        raise Refusal(400, f"range {asked!r} is not understood")
    first, last = found.groups()
    start = int(first) if first else max(0, len(body) - int(last))
    stop = min(len(body), int(last) + 1) if first and last else len(body)
    if start >= stop:
        return Response(416, b"", {"content-range": f"bytes */{len(body)}"})
    return Response(
        206, body[start:stop], headers | {"content-range": f"bytes {start}-{stop - 1}/{len(body)}"}
    )


class Signatures:
    """Signed access as on Azure: a token opens one container until it ends; without one pixels answer 403."""

    def __init__(self, containers: tuple[str, ...], life_s: float = 2700.0) -> None:
        self.containers, self.life_s = containers, life_s
        self._until: dict[str, tuple[str, datetime]] = {}

    def issue(self, container: str) -> Response:
        """Answer with a new token for ``account/container``."""
        if container not in self.containers:
            raise Refusal(404, f"no such account and container: {container}")
        until = datetime.now(UTC) + timedelta(seconds=self.life_s)
        secret, text = uuid.uuid4().hex, f"{until:%Y-%m-%dT%H:%M:%SZ}"
        self._until[secret] = (container, until)
        end = text.replace(":", "%3A")
        token = f"st=2024-01-01T00%3A00%3A00Z&se={end}&sp=rl&sv=2024-05-04&sr=c&sig={secret}%3D"
        return json_response({"msft:expiry": text, "token": token})

    def expire(self) -> None:
        """Make every token given out so far worthless."""
        self._until.clear()

    def check(self, request: Request) -> Response | None:
        """The refusal that a request for a signed file deserves, None when it may pass."""
        container = next((c for c in self.containers if request.path.startswith(f"/{c}/")), "")
        granted, until = self._until.get(request.query.get("sig", "").rstrip("="), ("", datetime.now(UTC)))
        if granted == container and datetime.now(UTC) < until:
            return None
        code = "AuthenticationFailed" if "sig" in request.query else "PublicAccessNotPermitted"
        return Response(
            403, f"<Error><Code>{code}</Code></Error>".encode(), {"content-type": "application/xml"}
        )
