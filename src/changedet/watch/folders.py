"""Sites whose imagery is files that the analyst has: what lies in a folder is dates, what appears is new."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from changedet.errors import InputFileError, MissingBandError, MissingInputError
from changedet.providers.base import Estimate, ProviderInfo
from changedet.timeline.access import dated_sources

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.displacement import DisplacementField
    from changedet.providers.base import OnReceived, SearchQuery
    from changedet.providers.layers import Source
    from changedet.scene import Image, Scene
    from changedet.site import Site
    from changedet.timeline.access import LeftOut

#: What imagery of a folder is said to come from.
LOCAL = "local"


@dataclass(frozen=True, eq=False)
class DatedFolder:
    """The dates in one folder.

    Attributes
    ----------
    path : Path
        With one folder or one file for each date.
    prefix : str
        What names of its scenes begin with: sites may have files of the same name.
    """

    path: Path
    prefix: str = ""

    @cached_property
    def _found(self) -> tuple[dict[str, Source], list[LeftOut]]:
        sources, left = dated_sources(self.path)
        by_name: dict[str, Source] = {}
        for one in sources:
            # two products of one name are two dates all the same
            name = f"{self.prefix}{one.scene.id}"
            by_name[f"{name} {one.scene.time_text}" if name in by_name else name] = one
        return by_name, left

    @property
    def sources(self) -> dict[str, Source]:
        """The dates by the name of their scene."""
        return self._found[0]

    @property
    def unreadable(self) -> list[LeftOut]:
        """What cannot be opened or does not say its date."""
        return self._found[1]


@dataclass(frozen=True, eq=False)
class FolderProvider:
    """A folder of dated scenes as a provider: no network, nothing is kept, nothing costs anything.

    Attributes
    ----------
    folder : Path
        With a folder for each site by its name, or dates that show all sites, or both.
    """

    folder: Path
    _folders: dict[Path, DatedFolder] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """As the state file and summaries call it."""
        return LOCAL

    @property
    def info(self) -> ProviderInfo:
        """What a reader should know of it."""
        return ProviderInfo(LOCAL, "Files in a folder", ("s2",), "nothing", (), displaces=True)

    def search(self, query: SearchQuery) -> list[Scene]:
        """Return the dates of a site in a span.

        Parameters
        ----------
        query : SearchQuery
            Where and when.

        Returns
        -------
        list of Scene
            In order of time; files that do not reach the site are none of its dates.

        Raises
        ------
        MissingInputError
            When there is no such folder.
        """
        held = self.folder_of(query.site)
        scenes = [
            replace(one.scene, id=name)
            for name, one in held.sources.items()
            if one.scene.time is not None and query.start <= one.scene.time <= query.end
            and _reaches(one.grid, query.site)
        ]  # fmt: skip
        return sorted(scenes, key=lambda scene: (scene.time_text, scene.id))[-query.limit :]

    def folder_of(self, site: Site) -> DatedFolder:
        """Return the folder in which the dates of a site lie; it is looked through once.

        Raises
        ------
        MissingInputError
            When there is no such folder.
        """
        if not self.folder.is_dir():
            raise MissingInputError("no such folder", where=str(self.folder), todo="check the path")
        names = [part for part in (f"{site.folder}/{site.name}", site.name) if _is_plain(part)]
        name = next((one for one in names if (self.folder / one).is_dir()), "")
        held = DatedFolder(self.folder / name, f"{name}/" if name else "")
        return self._folders.setdefault(held.path, held)

    def load(
        self,
        scene: Scene,
        grid: GeoBox,
        bands: tuple[str, ...] | None = None,
        *,
        on_received: OnReceived | None = None,  # nothing comes over a line
        displacement: DisplacementField | None = None,
    ) -> Image:
        """Read a date onto a grid; of the bands that are asked for those that it has.

        Raises
        ------
        MissingBandError
            When it has none of them.
        InputFileError
            When a file is damaged, or has gone.
        """
        image = self._source(scene).load(grid, displacement)
        names = image.bands if bands is None else tuple(name for name in bands if name in image.bands)
        if not names:
            raise MissingBandError(
                f"has none of the bands {', '.join(bands or ())}", where=scene.id, todo="name its bands so"
            )
        kept = image if names == image.bands else image.select(names)
        return replace(kept, scene=replace(kept.scene, id=scene.id))

    def classes(self, scene: Scene, grid: GeoBox) -> NDArray[np.uint8]:
        """Return what each pixel of a date shows, shape (y, x)."""
        return self._source(scene).load(grid).classes

    def estimate(self, scene: Scene, grid: GeoBox, bands: tuple[str, ...] | None = None) -> Estimate:
        """Return that reading takes nothing of a service."""
        return Estimate()

    def _source(self, scene: Scene) -> Source:
        for held in self._folders.values():
            if scene.id in held.sources:
                return held.sources[scene.id]
        raise InputFileError("is in the folder no longer", where=scene.id, todo="put it back")


def _is_plain(part: str) -> bool:
    """Whether the name of a site can be that of a folder below: it must not lead elsewhere."""
    return all(step not in {"", ".", ".."} and "\\" not in step for step in part.split("/"))


def _reaches(grid: GeoBox, site: Site) -> bool:
    from changedet.resample import crs_of
    from changedet.watch.geopackage import to_lonlat

    ground = to_lonlat(grid.extent.geom, str(crs_of(grid).to_wkt()))
    return bool(ground.intersects(to_lonlat(site.geometry, "EPSG:4326")))
