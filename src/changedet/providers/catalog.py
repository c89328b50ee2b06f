"""Any STAC API, and catalogues and collections of items on disk: the provider ``stac``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from changedet.errors import InputFileError, MissingInputError, UsageError
from changedet.json_texts import OTHER_SHAPE, parse_json
from changedet.providers.base import ProviderInfo
from changedet.providers.http import scrubbed
from changedet.providers.item_search import UNPLACED, api_items, fits
from changedet.providers.items import Found, Item, OffsetRule, any_offset
from changedet.providers.radar import RADAR_LEVEL
from changedet.providers.settings import ProviderSettings
from changedet.providers.stac import StacProvider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from changedet.providers.base import SearchQuery
    from changedet.providers.remote import Reader

#: As options and settings call it.
NAME = "stac"
_NEEDS = "the address of a STAC API, or a catalogue on disk: set url in [providers.stac]"
_TITLE = "any STAC API, or a STAC catalogue on disk"
#: Files of one catalogue that are looked into.
_MOST_FILES = 20_000
#: Bytes of one of them: some thousand items.
_MOST_BYTES = 64 * 1024**2


@dataclass(frozen=True, eq=False)
class Catalog(StacProvider):
    """A STAC API nobody knows in advance, or a file; every item may be of another dialect."""

    @property
    def path(self) -> Path | None:
        """The file or folder, None for an API."""
        place = self.settings.url or ""
        return None if urlsplit(place).scheme in {"http", "https"} else Path(place)

    def _items(self, query: SearchQuery) -> Iterable[Item]:
        if not self.settings.url:
            raise UsageError(
                "the provider stac has no catalogue",
                todo="set url in [providers.stac] of changedet.toml, or CHANGEDET_PROVIDERS__STAC__URL",
            )
        if self.path is not None and "://" in self.settings.url:
            raise UsageError(
                "the catalogue cannot be reached in this way",
                where=scrubbed(self.settings.url),
                todo="give a link that starts with https://, or the path of a file",
            )
        if self.path is not None:
            return [item for item in read_catalog(self.path) if _fits(item, query)]
        return api_items(self.settings.url, (), query, self.settings, catalogues=self.catalogues)

    def _rule(self, item: Item) -> OffsetRule:
        return any_offset

    def _preferred(self, found: Sequence[Found]) -> list[Found]:
        return list(found)

    def _reader(self) -> Reader:
        return replace(super()._reader(), local_files=self.path is not None)


def stac(settings: ProviderSettings | None = None) -> Catalog:
    """Return the provider for the catalogue that the settings name.

    Parameters
    ----------
    settings : ProviderSettings, optional
        ``url`` is the root of an API, or the path of a catalogue, a folder with one, or a collection of
        items; without it only `info` can be used.
    """
    settings = settings or ProviderSettings()
    endpoints = (settings.url,) if settings.url else ()
    levels = ("L2A", RADAR_LEVEL)
    return Catalog(
        ProviderInfo(NAME, _TITLE, ("s2", "s1"), _NEEDS, endpoints, levels, displaces=True), settings
    )


def read_catalog(path: Path) -> list[dict[str, Any]]:
    """Read every item of a catalogue on disk.

    Parameters
    ----------
    path : Path
        ``catalog.json``, ``collection.json``, a folder with one of them, an item, or an ItemCollection.
        Links to other files are followed, links to the network are not.

    Returns
    -------
    list of dict
        Items, in the order of the links; links to pixels that are relative become paths.

    Raises
    ------
    MissingInputError
        When the file is not there.
    InputFileError
        When it is no STAC.
    """
    if path.is_dir():
        names = (path / name for name in ("catalog.json", "collection.json"))
        path = next((name for name in names if name.is_file()), path / "catalog.json")
    items: list[dict[str, Any]] = []
    waiting, seen = [path], {path.resolve()}
    while waiting:
        current = waiting.pop(0)
        fresh, below = _contents(current)
        items += fresh
        for path in below:
            if path.resolve() not in seen and len(seen) < _MOST_FILES:
                seen.add(path.resolve())
                waiting.append(path)
    return items


def contents_digest(info: ProviderInfo) -> str:
    """Return what changes when a catalogue on disk does.

    Parameters
    ----------
    info : ProviderInfo
        Of any provider.

    Returns
    -------
    str
        SHA-256 digest of every item; "" for what is asked over the network.

    Raises
    ------
    MissingInputError, InputFileError
        As by `read_catalog`.
    """
    places = [place for place in info.endpoints if info.name == NAME and not urlsplit(place).scheme]
    if not places:
        return ""
    text = json.dumps([read_catalog(Path(place)) for place in places], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _document(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), todo="check the path of the catalogue")
    if path.stat().st_size > _MOST_BYTES:
        raise InputFileError(
            f"is larger than {_MOST_BYTES >> 20} MB",
            where=str(path),
            todo="cut it into several files of a catalogue",
        )
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(
            f"cannot be read as JSON ({str(error)[:80]})", where=str(path), todo="give a STAC file"
        ) from error
    if not isinstance(found, dict):
        raise InputFileError("is no STAC", where=str(path), todo="give a catalogue or ItemCollection")
    return found


def _contents(path: Path) -> tuple[list[dict[str, Any]], list[Path]]:
    """Return the items of a file, and the files that it links to."""
    document = _document(path)
    kind = str(document.get("type"))
    try:
        if kind == "FeatureCollection":
            return [_with_paths(item, path) for item in document.get("features", ())], []
        if kind == "Feature":
            return [_with_paths(document, path)], []
        if kind in {"Catalog", "Collection"}:
            return [], _below(document, path)
    except (*OTHER_SHAPE, OSError):
        pass
    raise InputFileError("is no STAC", where=str(path), todo="give a catalogue or ItemCollection")


def _below(document: dict[str, Any], path: Path) -> list[Path]:
    links = [link for link in document.get("links", ()) if str(link.get("rel")) in {"child", "item"}]
    hrefs = [str(link.get("href", "")) for link in links]
    return [path.parent / href for href in hrefs if href and not urlsplit(href).scheme]


def _with_paths(item: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return an item whose relative links to pixels start where its file is."""
    assets = dict(item.get("assets", {}))
    for key, asset in assets.items():
        href = str(asset.get("href", ""))
        if href and not urlsplit(href).scheme:
            assets[key] = asset | {"href": str(path.parent / href)}
    return item | {"assets": assets}


def _fits(item: Item, query: SearchQuery) -> bool:
    try:
        return fits(item, query)
    except UNPLACED as error:
        raise InputFileError(
            f"the item {item.get('id')!r} has no time or place", todo="correct the catalogue"
        ) from error
