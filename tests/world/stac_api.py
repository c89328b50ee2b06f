"""A STAC API over a list of items: landing page, collections, search with paging, in several dialects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.world.plumbing import Refusal, Request, Response, json_response
from tests.world.search import Rules, check, pick_fields, search

if TYPE_CHECKING:
    from tests.world.items import Item

_CORE = "https://api.stacspec.org/v1.0.0"
_CONFORMANCE = [
    f"{_CORE}/core", f"{_CORE}/collections", f"{_CORE}/ogcapi-features", f"{_CORE}/item-search",
    *(f"{_CORE}/item-search#{part}" for part in ("fields", "sort", "query")),
    "https://api.stacspec.org/v1.0.0-rc.2/item-search#filter",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json", "http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class StacApi:
    """One API; `paging` is the body key that carries the place to go on from, ``"next"`` or ``"token"``.

    `counts` adds ``context`` and ``numberMatched`` to the answers. With `empty_last_page` the last page has
    a ``next`` link, too, and that leads to no items.
    """

    title: str
    root: str
    collections: tuple[Item, ...]
    items: tuple[Item, ...]
    paging: str = "next"
    counts: bool = True
    empty_last_page: bool = False
    largest_page: int = 10000

    @property
    def rules(self) -> Rules:
        """What a search may ask for."""
        return Rules(frozenset({self.paging}), self.largest_page)

    @property
    def names(self) -> frozenset[str]:
        """The collections there are."""
        return frozenset(one["id"] for one in self.collections)

    def serve(self, request: Request, path: str) -> Response:
        """Answer a request for a path below the root."""
        if path == "/search":
            if request.method != "POST":
                raise Refusal(405, "search with POST")
            return json_response(
                self._search(request.json()), headers={"content-type": "application/geo+json"}
            )
        if request.method != "GET":
            raise Refusal(405, f"{request.method} is not possible here")
        found = self._page(path.strip("/").split("/") if path.strip("/") else [])
        if found is None:
            raise Refusal(404, f"{path} not found")
        return json_response(found)

    def _page(self, parts: list[str]) -> Any:
        if not parts:
            return self._landing()
        if parts == ["conformance"]:
            return {"conformsTo": _CONFORMANCE}
        if parts == ["collections"]:
            return {"collections": list(self.collections), "links": [self._link("root", "")]}
        if parts[0] == "collections" and len(parts) == 2:
            return next((one for one in self.collections if one["id"] == parts[1]), None)
        if parts[0] == "collections" and len(parts) == 4 and parts[2] == "items":
            return next((i for i in self.items if (i["collection"], i["id"]) == (parts[1], parts[3])), None)
        return None

    def _link(self, rel: str, path: str, kind: str = "application/json") -> dict[str, Any]:
        return {"rel": rel, "type": kind, "href": f"{self.root}{path}"}

    def _landing(self) -> Item:
        return {
            "type": "Catalog", "stac_version": "1.0.0", "id": self.title.lower().replace(" ", "-"),
            "title": self.title, "description": self.title, "conformsTo": _CONFORMANCE, "stac_extensions": [],
            "links": [
                self._link("self", ""), self._link("root", ""), self._link("conformance", "/conformance"),
                self._link("data", "/collections"),
                self._link("search", "/search", "application/geo+json") | {"method": "POST"},
                *(self._link("child", f"/collections/{one['id']}") for one in self.collections),
            ],
        }  # fmt: skip

    def _search(self, body: Any) -> Item:
        check(body, self.rules, self.names)
        found = search(
            self.items, {k: v for k, v in body.items() if k != self.paging}, self.rules, self.names
        )
        limit, start = body.get("limit", 10), self._start(body.get(self.paging), found)
        page = found[start : start + limit]
        answer: Item = {"type": "FeatureCollection", "stac_version": "1.0.0", "stac_extensions": []}
        if self.counts:
            answer["context"] = {"limit": limit, "matched": len(found), "returned": len(page)}
            answer["numberMatched"] = len(found)
        answer["numberReturned"] = len(page)
        answer["features"] = [pick_fields(i, body["fields"]) if "fields" in body else i for i in page]
        answer["links"] = [self._link("root", "")]
        if page and (start + limit < len(found) or self.empty_last_page):
            answer["links"].append(self._next(body, page[-1]))
        return answer

    def _next(self, body: Item, last: Item) -> dict[str, Any]:
        place = f"{last['properties']['datetime']},{last['id']},{last['collection']}"
        if self.paging == "token":
            place = f"next:{last['collection']}:{last['id']}"
        link = self._link("next", "/search", "application/geo+json")
        return link | {"method": "POST", "merge": False, "body": body | {self.paging: place}}

    def _start(self, place: Any, found: list[Item]) -> int:
        if place is None:
            return 0
        parts = str(place).split("," if self.paging == "next" else ":")
        name = parts[1] if self.paging == "next" and len(parts) == 3 else parts[-1]
        at = [index for index, item in enumerate(found) if item["id"] == name]
        if not at:
            raise Refusal(400, f"{self.paging} {place!r} leads nowhere")
        return at[0] + 1
