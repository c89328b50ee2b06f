"""The files of the archives: made when first asked for, served with ranges, some only with a signature."""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.world.pixels import GAMMA0_NODATA, Layer, Pixels, write_cog
from tests.world.plumbing import Refusal, Request, Response, json_response

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world.granules import Granule

COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Store:
    """Maps paths of the server to layers or ready bytes."""

    def __init__(self, folder: Path, pixels: Pixels, url: str) -> None:
        self.folder, self.pixels, self.url = folder, pixels, url
        self._things: dict[str, Layer | bytes] = {}
        self._written: dict[tuple[Granule, str, int, str], Path] = {}
        self._lock = threading.Lock()

    def link(self, path: str, thing: Layer | bytes) -> str:
        """Offer a thing under a path and return its URL."""
        self._things[f"/{path}"] = thing
        return f"{self.url}/{path}"

    def file(self, layer: Layer) -> Path:
        """The GeoTIFF of a layer on disk; written now if it was not."""
        key = (layer.granule, layer.name, layer.resolution_m, layer.flavour)
        with self._lock:
            if key not in self._written:
                path = self.folder / f"{len(self._written):04d}_{layer.name}.tif"
                values, grid = self.pixels.stored(layer)
                write_cog(path, values, grid, GAMMA0_NODATA if layer.flavour == "gamma0" else 0)
                self._written[key] = path
            return self._written[key]

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
        body = self.file(thing).read_bytes() if isinstance(thing, Layer) else thing
        kind = COG_TYPE if isinstance(thing, Layer) else "application/octet-stream"
        tag = hashlib.sha256(body).hexdigest()[:32]
        headers = {"content-type": kind, "accept-ranges": "bytes", "etag": f'"{tag}"',
                   "last-modified": "Fri, 01 Mar 2024 00:00:00 GMT"}  # fmt: skip
        if "range" in request.headers and request.method == "GET":
            return _part(request.headers["range"], body, headers)
        return Response(200, body, headers)


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
