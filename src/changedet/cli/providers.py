"""``changedet providers``: who can be asked for imagery, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit

if TYPE_CHECKING:
    from changedet.providers.base import ProviderInfo


def providers(as_json: options.AsJson = False) -> None:
    """List the providers of imagery, with what each needs; nobody is asked anything."""
    from changedet.providers.cache_files import without_secrets
    from changedet.providers.registry import DEFAULT_PROVIDER, open_provider, provider_names

    found = [open_provider(name).info for name in provider_names()]
    lines = []
    for info in found:
        mark = " (default)" if info.name == DEFAULT_PROVIDER else ""
        lines.append(
            f"{info.name}{mark}: {info.title}; sensors {', '.join(info.sensors)}; "
            f"levels {', '.join(info.levels)}; needs {info.needs}"
        )
        lines += [f"  {address}" for address in without_secrets(info.endpoints)]
    emit({"providers": [_described(info) for info in found]}, lines, as_json=as_json)


def _described(info: ProviderInfo) -> dict[str, Any]:
    from changedet.providers.cache_files import without_secrets
    from changedet.providers.registry import DEFAULT_PROVIDER

    return {
        "name": info.name,
        "title": info.title,
        "sensors": list(info.sensors),
        "levels": list(info.levels),
        "needs": info.needs,
        "endpoints": without_secrets(info.endpoints),
        "default": info.name == DEFAULT_PROVIDER,
    }
