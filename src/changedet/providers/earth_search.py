"""Earth Search: Sentinel-2 Level-2A as open COGs, without any account."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from changedet.providers.base import ProviderInfo
from changedet.providers.items import Item, offset_by_flag, offset_of_baseline, stated_offset
from changedet.providers.settings import ProviderSettings
from changedet.providers.stac import StacProvider, with_endpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from changedet.scene import Radiometry

#: Everything in one processing, with an offset that is stated and meant; it has gaps.
COLLECTION_1 = "sentinel-2-c1-l2a"
#: For what the first lacks; states an offset that was applied already.
OLDER = "sentinel-2-l2a"
INFO = ProviderInfo(
    name="earth-search",
    title="Earth Search (Element 84, AWS open data)",
    sensors=("s2",),
    needs="nothing",
    endpoints=("https://earth-search.aws.element84.com/v1",),
    displaces=True,
)
#: By this the service says that it was asked too often.
_THROTTLED = frozenset({403})


def earth_search(settings: ProviderSettings | None = None) -> StacProvider:
    """Return the provider; collection 1 first, the older collection for what that lacks.

    Parameters
    ----------
    settings : ProviderSettings, optional
        Another address, or other patience.
    """
    settings = settings or ProviderSettings()
    rules = MappingProxyType({COLLECTION_1: _as_written, OLDER: offset_by_flag})
    return StacProvider(with_endpoint(INFO, settings), settings, rules, later=_THROTTLED)


def _as_written(item: Item, asset: Mapping[str, Any]) -> Radiometry:
    return stated_offset(item, asset) or offset_of_baseline(item, asset)
