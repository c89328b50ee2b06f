"""Providers that speak STAC: searching a catalogue, and loading what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from changedet.antimeridian import footprint_outline
from changedet.bands import COMPARED_BANDS, RADAR_BANDS, SCL
from changedet.errors import MissingBandError, NoUsableImageryError, ProviderError, UsageError
from changedet.providers.estimates import estimate_files
from changedet.providers.fusion import decide_offsets, fuse, fuse_classes
from changedet.providers.item_search import UNPLACED, OpenCatalogues, api_items, fits
from changedet.providers.items import Found, Item, OffsetRule, Refusals, Unusable, read_item
from changedet.providers.radar import fuse_radar, fuse_radar_classes, read_radar_item
from changedet.providers.registry import require_offered
from changedet.providers.remote import KeptWindows, NoSigner, Reader, Signer
from changedet.providers.scenes import acquisition_key, assemble_scenes
from changedet.providers.search_ahead import query_for_all
from changedet.providers.sessions import KeptSessions
from changedet.resample import reached

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.providers.base import Estimate, OnReceived, ProviderInfo, SearchQuery
    from changedet.providers.search_ahead import Found as FoundScenes
    from changedet.providers.settings import ProviderSettings
    from changedet.scene import Granule, Image, Scene


@dataclass(frozen=True, eq=False)
class StacProvider:
    """A STAC API and the archive behind it.

    Attributes
    ----------
    info : ProviderInfo
        What it is; the first endpoint is the API.
    settings : ProviderSettings
        Patience.
    rules : mapping of str to callable
        By collection, in the order of preference, the rule for scale and offset. An acquisition that a
        collection has is not looked for in those after it.
    radar : tuple of str
        Collections of Sentinel-1, corrected for the terrain.
    signer : Signer
        Opens links to pixels.
    later : frozenset of int
        Statuses by which this service says "later" to a search, beside the usual ones.
    kept : KeptWindows
        What was read last.
    catalogues : OpenCatalogues
        Stay open from search to search.
    sessions : KeptSessions
        Their connections serve one file after the other.
    """

    info: ProviderInfo
    settings: ProviderSettings
    rules: Mapping[str, OffsetRule] = field(default_factory=lambda: MappingProxyType({}))
    radar: tuple[str, ...] = ()
    signer: Signer = field(default_factory=NoSigner)
    later: frozenset[int] = frozenset()
    kept: KeptWindows = field(default_factory=KeptWindows, repr=False)
    catalogues: OpenCatalogues = field(default_factory=OpenCatalogues, repr=False)
    sessions: KeptSessions = field(default_factory=KeptSessions, repr=False)

    @property
    def name(self) -> str:
        """As options and settings call it."""
        return self.info.name

    def search(self, query: SearchQuery) -> list[Scene]:
        """Find scenes.

        Parameters
        ----------
        query : SearchQuery
            What to look for.

        Returns
        -------
        list of Scene
            Sorted by time, without those above the cloud limit; none when the catalogue has nothing.

        Raises
        ------
        UsageError
            When this provider does not have the sensor.
        NoUsableImageryError
            When the catalogue has items, and none of them can be used; the message says why.
        ProviderError
            When the service fails.
        """
        require_offered(self.info, query)
        return self._scenes(self._items(query), query)

    def search_together(self, queries: Sequence[SearchQuery]) -> list[FoundScenes]:
        """Find the scenes of several sites near each other by one question.

        Parameters
        ----------
        queries : sequence of SearchQuery
            At least one, of one sensor and level.

        Returns
        -------
        list
            For each query what `search` returns, or the error that it raises.

        Raises
        ------
        UsageError
            When this provider does not have the sensor.
        ProviderError
            When the service fails, or an item does not say when and where it is.
        """
        require_offered(self.info, queries[0])
        items = list(self._items(query_for_all(queries)))
        found: list[FoundScenes] = []
        for query in queries:
            try:
                found.append(self._scenes([one for one in items if self._fits(one, query)], query))
            except NoUsableImageryError as error:
                found.append(error)
        return found

    def _fits(self, item: Item, query: SearchQuery) -> bool:
        """Whether a catalogue that is asked for one site alone would name an item."""
        try:
            # of a span of time a catalogue may think in another way
            moment = item["properties"]["datetime"]
            if moment is not None:
                return fits(item, query)
        except UNPLACED:
            pass
        raise ProviderError("an item does not say when or where it is", where=self.name)

    def _scenes(self, items: Iterable[Item], query: SearchQuery) -> list[Scene]:
        refusals = Refusals()
        found = list(self._readable(items, query, refusals))
        if refusals.reasons and not found:
            raise NoUsableImageryError(
                f"nothing that was found can be used ({refusals})",
                where=self.name,
                todo="choose another period or provider",
            )
        scenes = assemble_scenes(self._preferred(found), query.site, self.name)
        clear = [s for s in scenes if (s.tile_cloud_share or 0.0) <= query.max_tile_cloud and s.coverage != 0]
        return clear[-query.limit :]

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,
        displacement: DisplacementField | None = None,
    ) -> Image:
        """Read a scene onto a grid.

        Parameters
        ----------
        scene : Scene
            From `search`, also after it was written down and read again.
        grid : GeoBox
            Any grid; bands are resampled once (cubic), the scene classification is taken from the nearest
            pixel.
        bands : tuple of str, optional
            Canonical names; every band that is compared when not given.
        on_received : callable, optional
            Is told the bytes of each window that was read.
        displacement : DisplacementField, optional
            On the grid, of optical scenes only: what is added to the position of the content, in the same
            interpolation.

        Returns
        -------
        Image
            float32 reflectance, or linear gamma nought of radar (bilinear). A pixel comes whole from one
            granule; it is invalid where a band is missing. Its scene states the offsets that were used, also
            where only the pixels could tell.

        Raises
        ------
        MissingBandError
            When the scene lacks a band that was asked for.
        NoOverlapError
            When it does not reach the grid.
        ProviderError, CredentialsError
            When a file cannot be read.
        UsageError
            When radar is to be displaced.
        """
        names = self._names(scene, bands)
        reader = replace(self._reader(), on_received=on_received)
        if scene.sensor == "s1":
            if displacement is not None:
                raise UsageError("radar is not moved by a field", todo="leave the displacement out")
            return fuse_radar(reader.fetch(scene.granules, names, grid), names, scene, grid)
        layers = reader.fetch(scene.granules, (*names, SCL), reached(grid, displacement))
        settled, decided = decide_offsets(scene, layers, names)
        return fuse(decided, names, settled, grid, displacement)

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Read only the scene classification onto a grid, shape (y, x); 0 = no data.

        Radar has none: its pixels are `changedet.core.masking.SceneClass.UNCLASSIFIED` where VV has data.
        """
        if scene.sensor == "s1":
            slices = self._reader().fetch(scene.granules, RADAR_BANDS[:1], grid)
            return fuse_radar_classes(slices, grid)
        return fuse_classes(self._reader().fetch(scene.granules, (SCL,), grid), grid)

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Say what `load` would take.

        Parameters
        ----------
        scene, grid, bands
            As for `load`; ``("SCL",)`` for what `classes` takes.

        Returns
        -------
        Estimate
            Nobody is asked.
        """
        radar = scene.sensor == "s1"
        beside = () if radar else (SCL,)
        if bands == (SCL,):
            return estimate_files(scene.granules, beside or RADAR_BANDS[:1], grid)
        return estimate_files(scene.granules, (*self._names(scene, bands), *beside), grid)

    def _reader(self) -> Reader:
        return Reader(self.settings, self.signer, kept=self.kept, sessions=self.sessions)

    def _items(self, query: SearchQuery) -> Iterable[Item]:
        collections = self.radar if query.sensor == "s1" else tuple(self.rules)
        return api_items(
            self.info.endpoints[0], collections, query, self.settings, also=self.later,
            catalogues=self.catalogues,
        )  # fmt: skip

    def _rule(self, item: Item) -> OffsetRule:
        rule = self.rules.get(str(item.get("collection")))
        if rule is None:
            raise Unusable("it stands in a collection that was not asked for")
        return rule

    def _readable(self, items: Iterable[Item], query: SearchQuery, refusals: Refusals) -> Iterator[Found]:
        for item in items:
            if not isinstance(item, Mapping):
                refusals.add("it is no STAC item")
                continue
            try:
                found = read_radar_item(item) if query.sensor == "s1" else read_item(item, self._rule(item))
                _require_place(found.granule)
                yield found
            except Unusable as reason:
                refusals.add(str(reason))

    def _preferred(self, found: Sequence[Found]) -> list[Found]:
        """Leave out what an earlier collection has, by tile and start of the datastrip."""
        kept: list[Found] = []
        for collection in (*self.rules, *self.radar):
            had = {acquisition_key(one) for one in kept}
            own = [one for one in found if one.granule.collection == collection]
            kept += [one for one in own if acquisition_key(one) not in had]
        return kept

    def _names(self, scene: Scene, bands: tuple[str, ...] | None) -> tuple[str, ...]:
        if not scene.granules:
            raise UsageError(
                f"the scene {scene.id} names no granules", todo="search for it again with this provider"
            )
        shared = set.intersection(*(set(granule.assets) for granule in scene.granules))
        radar = scene.sensor == "s1"
        usual = RADAR_BANDS if radar else COMPARED_BANDS
        names = tuple(b for b in usual if b in shared) if bands is None else bands
        missing = [name for name in (*names, *(() if radar else (SCL,))) if name not in shared]
        if missing:
            chosen = bands is not None and SCL not in missing
            others = f"choose among {', '.join(sorted(shared - {SCL}))}"
            raise MissingBandError(
                f"the catalogue has no {', '.join(missing)}",
                where=scene.id,
                todo=others if chosen else "choose another date",
            )
        return names


def _require_place(granule: Granule) -> None:
    """Refuse an item whose footprint is none, before anything is computed with it."""
    import numpy as np
    from shapely import get_coordinates
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    try:
        with np.errstate(invalid="ignore"):
            corners = get_coordinates(shape(dict(granule.footprint)))
        if not np.isfinite(corners).all():
            raise Unusable("its footprint lies nowhere")
        footprint_outline(granule.footprint)
    except (ShapelyError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise Unusable(f"its footprint cannot be understood ({type(error).__name__})") from error


def with_endpoint(info: ProviderInfo, settings: ProviderSettings) -> ProviderInfo:
    """Return what a provider is, with the address of the settings in place of its own."""
    if settings.url is None:
        return info
    return replace(info, endpoints=(settings.url.rstrip("/"), *info.endpoints[1:]))
