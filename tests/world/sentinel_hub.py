"""A stand-in for Sentinel Hub: token, catalog search, and process, which renders from the truth."""

from __future__ import annotations

import base64
import json
import time
import uuid
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from tests.world.faults import Fault, answers
from tests.world.granules import optical_granules, radar_product, radar_slices, radar_start, radar_track
from tests.world.items import Item, cloud_cover, footprint, place
from tests.world.plumbing import Refusal, Request, Response, json_response
from tests.world.render import Renderer
from tests.world.search import Rules, pick_fields, search

if TYPE_CHECKING:
    from datetime import datetime

    from tests.world.granules import Granule
    from tests.world.pixels import Pixels

OPTICAL, TOP, RADAR = "sentinel-2-l2a", "sentinel-2-l1c", "sentinel-1-grd"
CATALOG = "/api/v1/catalog/1.0.0/search"
PROCESS = "/api/v1/process"

__all__ = [
    "CATALOG",
    "OPTICAL",
    "PROCESS",
    "RADAR",
    "SentinelHub",
    "quota_used_up",
    "rate_limited",
]


def rate_limited(root: str, retry_after: str | None = "50", path: str = "/api/*") -> Fault:
    """429 with ``Retry-After``, which Sentinel Hub means in milliseconds; None leaves it out."""
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return answers(f"*{root}{path}", 429, headers)


def quota_used_up(root: str) -> Fault:
    """403 as when the month's units are gone."""
    message = "Insufficient processing units or requests available in your account."
    body = {
        "error": {
            "status": 403,
            "reason": "Forbidden",
            "message": message,
            "code": "ACCESS_INSUFFICIENT_PROCESSING_UNITS",
        }
    }
    return Fault(f"*{root}/api/*", "status", 403, body=json.dumps(body).encode())


class SentinelHub:
    """The three endpoints; tokens live `token_life_s` seconds."""

    def __init__(self, granules: tuple[Granule, ...], pixels: Pixels) -> None:
        self.client_id, self.client_secret = "world-client", f"secret-{uuid.uuid4().hex[:12]}"
        self.token_life_s = 3600.0
        self._until: dict[str, float] = {}
        newest: dict[tuple[str, str, Any], Granule] = {}
        for granule in sorted(granules, key=lambda g: g.baseline):
            newest[(granule.platform, granule.tile, granule.datastrip_start)] = granule
        self._granules = tuple(newest.values())
        self._pixels = pixels
        self._renderer = Renderer(self._granules, pixels)

    def serve(self, request: Request, path: str) -> Response:
        """Answer a request for a path below the root."""
        routes = {"/oauth/token": self._token, CATALOG: self._catalog, PROCESS: self._process}
        if path not in routes:
            raise Refusal(404, f"{path} not found")
        if request.method != "POST":
            raise Refusal(405, f"{path} wants POST")
        if path != "/oauth/token" and (refused := self._unauthorised(request)):
            return refused
        return routes[path](request)

    def revoke(self) -> None:
        """Make every token given out so far worthless."""
        self._until.clear()

    def _token(self, request: Request) -> Response:
        form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return json_response({"error": "unsupported_grant_type"}, 400)
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            problem = {
                "error": "invalid_client",
                "error_description": "Invalid client or Invalid client credentials",
            }
            return json_response(problem, 401)
        claims = {"sub": uuid.uuid4().hex, "exp": int(time.time() + self.token_life_s)}
        parts = ({"alg": "none"}, claims, {"signature": "of the world"})
        token = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        self._until[token] = time.monotonic() + self.token_life_s
        return json_response(
            {"access_token": token, "expires_in": int(self.token_life_s), "token_type": "Bearer"}
        )

    def _unauthorised(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._until.get(token, 0.0) > time.monotonic():
            return None
        problem = {
            "status": 401,
            "reason": "Unauthorized",
            "message": "You are not authorized!",
            "code": "COMMON_UNAUTHORIZED",
        }
        return json_response({"error": problem}, 401)

    def _catalog(self, request: Request) -> Response:
        body = request.json()
        rules = Rules(frozenset({"next", "distinct", "filter-crs"}), 100, text_filters=True)
        if (
            not isinstance(body, dict)
            or not {"collections", "datetime"} <= set(body)
            or not {"bbox", "intersects"} & set(body)
        ):
            raise Refusal(400, "collections, datetime and bbox or intersects are needed")
        plain = {key: value for key, value in body.items() if key != "next"}
        found = search(self._items, plain, rules, frozenset({OPTICAL, TOP, RADAR}))
        start, limit = body.get("next", 0), body.get("limit", 10)
        if type(start) is not int or start < 0:
            raise Refusal(400, f"next is a number, not {start!r}")
        page = found[start : start + limit]
        context = {"limit": limit, "returned": len(page)}
        if start + limit < len(found):
            context["next"] = start + limit
        features = [pick_fields(i, body["fields"]) if "fields" in body else i for i in page]
        return json_response(
            {"type": "FeatureCollection", "features": features, "links": [], "context": context}
        )

    def _process(self, request: Request) -> Response:
        return self._renderer.answer(request.json(), request.headers.get("accept", ""))

    @cached_property
    def _items(self) -> tuple[Item, ...]:
        optical = [
            self._optical_feature(g, kind)
            for kind in (OPTICAL, TOP)
            for g in optical_granules(self._granules)
        ]
        return (*optical, *(self._radar_feature(part) for part in radar_slices(self._granules)))

    def _optical_feature(self, granule: Granule, collection: str) -> Item:
        properties = {
            "constellation": "sentinel-2", "instruments": ["msi"], "gsd": 10,
            "platform": f"sentinel-{granule.platform[1:].lower()}", "eo:cloud_cover": cloud_cover(granule),
        }  # fmt: skip
        name = granule.product if collection == OPTICAL else granule.product.replace("MSIL2A", "MSIL1C")
        return self._feature(granule, collection, name, properties, granule.scene.time)

    def _radar_feature(self, granule: Granule) -> Item:
        _, state, unit = radar_track(granule)
        properties = {
            "constellation": "sentinel-1", "instruments": ["c-sar"], "platform": f"sentinel-1{unit.lower()}",
            "sar:instrument_mode": "IW", "s1:polarization": "DV", "s1:resolution": "HIGH",
            "s1:timeliness": "NRT3h", "sat:orbit_state": state,
        }  # fmt: skip
        name = f"{radar_product(granule)}_5A1C"
        return self._feature(granule, RADAR, name, properties, radar_start(granule))

    def _feature(
        self, granule: Granule, collection: str, name: str, properties: dict[str, Any], when: datetime
    ) -> Item:
        return {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
            **place(footprint(granule, self._pixels)), "links": [],
            "properties": properties | {"datetime": f"{when:%Y-%m-%dT%H:%M:%SZ}", "proj:epsg": granule.epsg},
            "assets": {"data": {"href": f"s3://EODATA/{name}", "title": name}},
        }  # fmt: skip
