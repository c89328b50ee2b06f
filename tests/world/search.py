"""A strict item search: what is not understood is refused with 400, so that a slip cannot pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import shapely
from tests.world import cql2
from tests.world.plumbing import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.world.items import Item

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_KEYS = frozenset({"collections", "ids", "bbox", "intersects", "datetime", "limit", "query", "filter",
                   "filter-lang", "sortby", "fields"})  # fmt: skip


@dataclass(frozen=True, eq=False)
class Rules:
    """What a dialect allows: extra keys of the body, and the largest page."""

    extra: frozenset[str]
    largest_page: int = 10000
    text_filters: bool = False


def search(items: Iterable[Item], body: Any, rules: Rules, collections: frozenset[str]) -> list[Item]:
    """All items that the body asks for, in order; limit and paging are not looked at."""
    items = list(items)
    check(body, rules, collections)
    known = frozenset({"id", "collection"}).union(*(item["properties"] for item in items))
    found = [item for item in items if all(test(item) for test in _tests(body, known, rules))]
    found.sort(key=lambda item: (item["properties"]["datetime"], item["id"]), reverse=True)
    for rule in reversed(_sorting(body.get("sortby", []), known)):
        found.sort(key=lambda item, name=rule[0]: cql2.value_of(item, name), reverse=rule[1])  # type: ignore[misc]
    return found


def check(body: Any, rules: Rules, collections: frozenset[str]) -> None:
    """Refuse a body with unknown keys, unknown collections or a limit that is none."""
    if not isinstance(body, dict):
        raise Refusal(400, "the body is not an object")
    if strange := sorted(set(body) - _KEYS - rules.extra):
        raise Refusal(400, f"unknown key in the body: {', '.join(strange)}")
    if strange := sorted(set(_texts(body.get("collections", []), "collections")) - collections):
        raise Refusal(400, f"unknown collection: {', '.join(strange)}")
    limit = body.get("limit", 10)
    if type(limit) is not int or not 1 <= limit <= rules.largest_page:
        raise Refusal(400, f"limit is 1 to {rules.largest_page}, not {limit!r}")
    if "bbox" in body and "intersects" in body:
        raise Refusal(400, "bbox and intersects exclude each other")


def pick_fields(item: Item, fields: Any) -> Item:
    """The item with only the fields that were asked for."""
    if not isinstance(fields, dict) or set(fields) - {"include", "exclude"}:
        raise Refusal(400, f"fields is an object of include and exclude, not {fields!r}")
    include, exclude = (_texts(fields.get(key, []), "fields") for key in ("include", "exclude"))
    tops = {"type", "stac_version", "id", "collection", *(name.split(".")[0] for name in include)}
    kept = {key: value for key, value in item.items() if not include or key in tops}
    for member in ("properties", "assets"):
        inner = {name.split(".", 1)[1] for name in include if name.startswith(f"{member}.")}
        if inner and member not in include:
            kept[member] = {key: value for key, value in item[member].items() if key in inner}
        outer = {name.split(".", 1)[1] for name in exclude if name.startswith(f"{member}.")}
        if outer and member in kept:
            kept[member] = {key: value for key, value in kept[member].items() if key not in outer}
    return {key: value for key, value in kept.items() if key not in exclude or key in {"id", "type"}}


def _tests(body: Mapping[str, Any], known: frozenset[str], rules: Rules) -> list[cql2.Test]:
    tests: list[cql2.Test] = []
    if "collections" in body:
        tests.append(lambda item: item["collection"] in body["collections"])
    if "ids" in body:
        wanted = _texts(body["ids"], "ids")
        tests.append(lambda item: item["id"] in wanted)
    if "bbox" in body or "intersects" in body:
        tests.append(_touches(_box(body["bbox"]) if "bbox" in body else _shape(body["intersects"])))
    if "datetime" in body:
        tests.append(_during(body["datetime"]))
    if "query" in body:
        tests.append(cql2.from_query(body["query"], known))
    if "filter" in body:
        tests.append(_filter(body, known, rules))
    return tests


def _filter(body: Mapping[str, Any], known: frozenset[str], rules: Rules) -> cql2.Test:
    language = body.get("filter-lang", "cql2-json")
    if language == "cql2-json":
        return cql2.from_json(body["filter"], known)
    if language == "cql2-text" and rules.text_filters and isinstance(body["filter"], str):
        return cql2.from_text(body["filter"], known)
    raise Refusal(400, f"filter-lang {language!r} is not supported here")


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Refusal(400, f"{what} is a list of texts, not {value!r}")
    return value


def _box(value: Any) -> shapely.Geometry:
    usable = isinstance(value, list) and len(value) in {4, 6}
    if not usable or not all(isinstance(v, int | float) and abs(v) <= 10000 for v in value):
        raise Refusal(400, f"bbox is four or six numbers, not {value!r}")
    west, south, east, north = value if len(value) == 4 else (*value[:2], *value[3:5])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise Refusal(400, f"bbox is not in degrees: {value!r}")
    if west <= east:
        whole: shapely.Geometry = shapely.box(west, south, east, north)
        return whole
    return shapely.MultiPolygon([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])


def _shape(value: Any) -> shapely.Geometry:
    try:
        found: shapely.Geometry = shapely.geometry.shape(value)
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refusal(400, f"intersects is not a GeoJSON geometry: {error}") from error
    return found


def _touches(area: shapely.Geometry) -> Callable[[Mapping[str, Any]], bool]:
    return lambda item: bool(shapely.intersects(shapely.geometry.shape(item["geometry"]), area))


def _during(value: Any) -> Callable[[Mapping[str, Any]], bool]:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) not in {1, 2} or not all(
        _TIME.fullmatch(p) or (p in {"", ".."} and len(parts) == 2) for p in parts
    ):
        raise Refusal(400, f"datetime {value!r} is neither a time nor an interval of RFC 3339 times")
    if set(parts) <= {"", ".."}:
        raise Refusal(400, f"datetime {value!r} is open on both sides")
    start, stop = (None if p in {"", ".."} else datetime.fromisoformat(p) for p in (parts[0], parts[-1]))
    if start and stop and start > stop:
        raise Refusal(400, f"datetime {value!r} ends before it starts")

    def test(item: Mapping[str, Any]) -> bool:
        when = datetime.fromisoformat(item["properties"]["datetime"])
        return (start is None or start <= when) and (stop is None or when <= stop)

    return test


def _sorting(value: Any, known: frozenset[str]) -> list[tuple[str, bool]]:
    rules = []
    for rule in value if isinstance(value, list) else [value]:
        if (
            not isinstance(rule, dict)
            or set(rule) != {"field", "direction"}
            or rule["direction"] not in {"asc", "desc"}
        ):
            raise Refusal(400, f"sortby is a list of field and direction, not {rule!r}")
        if rule["field"].removeprefix("properties.") not in known:
            raise Refusal(400, f"cannot sort by {rule['field']!r}")
        rules.append((rule["field"], rule["direction"] == "desc"))
    return rules
