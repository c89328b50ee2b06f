"""Providers by name: our own, and those that other packages bring along."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from changedet.errors import UsageError
from changedet.providers.settings import ProviderSettings, read_provider_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from changedet.providers.base import Provider, ProviderInfo, SearchQuery

#: Other packages name a function here that takes `ProviderSettings` and returns a `Provider`.
ENTRY_POINT_GROUP = "changedet.providers"
#: Our own, the default first: module and function, imported when used.
BUILT_IN: Mapping[str, str] = MappingProxyType(
    {
        "earth-search": "changedet.providers.earth_search:earth_search",
        "planetary-computer": "changedet.providers.planetary_computer:planetary_computer",
        "sentinelhub": "changedet.providers.sentinel_hub:sentinel_hub",
        "stac": "changedet.providers.catalog:stac",
    }
)
DEFAULT_PROVIDER = "earth-search"


def provider_names() -> tuple[str, ...]:
    """Return the names of all providers, our own first; one of ours is not replaced by another package."""
    others = sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)} - set(BUILT_IN))
    return (*BUILT_IN, *others)


def open_provider(name: str = DEFAULT_PROVIDER, settings: ProviderSettings | None = None) -> Provider:
    """Return a provider by its name.

    Parameters
    ----------
    name : str
        One of `provider_names`.
    settings : ProviderSettings, optional
        What `changedet.providers.settings.read_provider_settings` finds when not given.

    Returns
    -------
    Provider
        Nothing has been asked of any service yet.

    Raises
    ------
    UsageError
        When no provider has this name.

    Examples
    --------
    >>> from changedet.providers.settings import ProviderSettings
    >>> open_provider("earth-search", ProviderSettings()).info.needs
    'nothing'
    """
    if name not in provider_names():
        raise UsageError(f"there is no provider {name!r}", todo=f"use one of {', '.join(provider_names())}")
    settings = read_provider_settings(name) if settings is None else settings
    return _factory(name)(settings)


def require_offered(info: ProviderInfo, query: SearchQuery) -> None:
    """Refuse a search for what a provider does not have.

    Parameters
    ----------
    info : ProviderInfo
        The provider that is asked.
    query : SearchQuery
        Its sensor and level count.

    Raises
    ------
    UsageError
        Naming the providers that do have it.
    """
    if info.offers(query.sensor, query.level):
        return
    infos = [open_provider(name, ProviderSettings()).info for name in provider_names()]
    others = [one.name for one in infos if one.offers(query.sensor, query.level)]
    wanted = "Sentinel-1" if query.sensor == "s1" else f"Sentinel-2 of level {query.level}"
    raise UsageError(
        f"it has no {wanted}",
        where=info.name,
        todo=f"choose {' or '.join(others)}" if others else "see changedet providers",
    )


def _factory(name: str) -> Callable[[ProviderSettings], Provider]:
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        return cast("Callable[[ProviderSettings], Provider]", getattr(import_module(module), function))
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return cast("Callable[[ProviderSettings], Provider]", point.load())
