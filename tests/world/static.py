"""The same items as files on disk: one ItemCollection, or a static catalogue with a collection."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING

from tests.world.items import Item, collection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def write_item_collection(
    items: Iterable[Item], path: Path, local: Callable[[str], Path | None] | None = None
) -> Path:
    """Write all items in one JSON file; `local` turns links into files beside it."""
    features = [_localised(item, local) for item in items]
    document = {
        "type": "FeatureCollection",
        "features": features,
        "numberReturned": len(features),
        "links": [],
    }
    return _write(path, document)


def write_catalog(
    items: Iterable[Item], folder: Path, local: Callable[[str], Path | None] | None = None
) -> Path:
    """Write ``catalog.json``, one folder for each collection, and one file for each item."""
    items = [_localised(item, local) for item in items]
    names = sorted({item["collection"] for item in items})
    children = [
        {"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"} for name in names
    ]
    for name in names:
        mine = [item for item in items if item["collection"] == name]
        listed = [
            {"rel": "item", "href": f"./{item['id']}.json", "type": "application/geo+json"} for item in mine
        ]
        up = [
            {"rel": rel, "href": "../catalog.json", "type": "application/json"} for rel in ("root", "parent")
        ]
        _write(folder / name / "collection.json", collection("", name) | {"links": [*up, *listed]})
        for item in mine:
            back = [{"rel": rel, "href": "./collection.json"} for rel in ("collection", "parent")]
            back.append({"rel": "root", "href": "../catalog.json"})
            _write(folder / name / f"{item['id']}.json", item | {"links": back})
    root = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}, *children]
    about = {"type": "Catalog", "stac_version": "1.1.0", "id": "world", "description": "Simulated scenes"}
    return _write(folder / "catalog.json", about | {"links": root})


def _localised(item: Item, local: Callable[[str], Path | None] | None) -> Item:
    changed = deepcopy(item)
    for asset in changed["assets"].values():
        if local and (path := local(asset["href"])):
            asset["href"] = str(path)
    return changed


def _write(path: Path, document: Item) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path
