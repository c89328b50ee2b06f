"""Scenes of a place, one by one: finding them, loading them, and writing them as files for later."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SCL
from changedet.errors import NoUsableImageryError, OutputError, OutputExistsError, UsageError
from changedet.hashing import sha256_file
from changedet.json_texts import parse_json
from changedet.output.geotiff import CLASSES_BAND, VALID_BAND, write_cog
from changedet.periods import Period, parse_searched_period
from changedet.providers.base import SearchQuery
from changedet.providers.cache_files import digest_of, temporary, to_disk, without_secrets, write_text
from changedet.providers.cached import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from odc.geo.geobox import GeoBox

    from changedet.access.selection import Look
    from changedet.progress import Progress
    from changedet.providers.base import Level, Provider, Sensor
    from changedet.scene import Image, Scene
    from changedet.site import Site

#: Layout of the description that is written beside each file.
SCHEMA = "changedet.scene/1"
_DATE_IN_ID = re.compile(r"(?<!\d)20\d{6}(?!\d)")
_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True)
class SceneQuery:
    """Which scenes of a site are meant.

    Attributes
    ----------
    period : str
        As `changedet.periods.parse_searched_period` reads it; may be empty when `ids` say a date.
    sensor : {"s2", "s1"}
        Optical or radar.
    level : {"L2A", "L1C"}
        Processing level of Sentinel-2.
    max_tile_cloud : float
        Scenes with more cloud over their tiles are left out, 0 to 1.
    limit : int
        Most scenes; of more, the newest.
    ids : tuple of str
        Only these scenes, by their own identifier or that of a granule; all when empty.
    """

    period: str = ""
    sensor: Sensor = "s2"
    level: Level = "L2A"
    max_tile_cloud: float = 0.9
    limit: int = 200
    ids: tuple[str, ...] = ()

    def span(self) -> Period:
        """Return when to look.

        Returns
        -------
        Period
            The period; without one, from the day before the first date in the identifiers to the day after
            the last one.

        Raises
        ------
        UsageError
            When neither says a time.
        """
        if self.period:
            return parse_searched_period(self.period)
        dates = [_date_of(identifier) for identifier in self.ids]
        known = [date for date in dates if date is not None]
        if not known or len(known) < len(dates):
            raise UsageError("no period was given", todo="give --period, or --scene with a date in each name")
        day = timedelta(days=1)
        return Period(min(known) - day, max(known) + 2 * day)


def find_scenes(site: Site, query: SceneQuery, provider: Provider) -> list[Scene]:
    """Find the scenes of a site.

    Parameters
    ----------
    site : Site
        The place.
    query : SceneQuery
        Which ones.
    provider : Provider
        Where to look.

    Returns
    -------
    list of Scene
        Sorted by time; never empty.

    Raises
    ------
    NoUsableImageryError
        When there is none, or one that was named is not among them.
    UsageError
        When the provider does not have the sensor or level, or no time was given.
    """
    span = query.span()
    cloud = 1.0 if query.ids else query.max_tile_cloud
    asked = SearchQuery(site, span.start, span.end, query.sensor, cloud, query.limit, query.level)
    scenes = provider.search(asked)
    if not scenes:
        when = query.period or f"{span.start:%Y-%m-%d}/{span.end:%Y-%m-%d}"
        limited = cloud < 1
        raise NoUsableImageryError(
            f"{provider.name} has no scene of {site.name} in {when}"
            + (f" with at most {cloud:.0%} cloud over its tile" if limited else ""),
            todo=f"choose a longer period, {'a higher --max-tile-cloud, ' if limited else ''}"
            "another --provider, or check the coordinate",
        )
    return [_named(scenes, identifier) for identifier in query.ids] if query.ids else scenes


def clearest(
    site: Site,
    scenes: Sequence[Scene],
    count: int,
    provider: Provider,
    progress: Progress,
    *,
    looking: bool = True,
) -> list[Look]:
    """Look at a site on each date and keep the clearest ones; those that cannot be looked at are left out.

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene
        Of the provider.
    count : int
        How many to keep.
    provider : Provider
        Gives the classifications.
    progress : Progress
        Told about the step.
    looking : bool
        Whether classifications may be fetched; without, the cloud of the whole tile stands in where none is
        kept.

    Returns
    -------
    list of Look
        The clearest first; of equally clear ones the earlier, of one time the first by name.
    """
    from changedet.access.looking import look_at_all, look_at_kept

    if looking:
        progress.step("looking at the site on each date")
        looks = look_at_all(site, scenes, provider, progress)
    else:
        looks = look_at_kept(site, scenes, provider)
    usable = [look for look in looks if not look.rejected]
    return sorted(usable, key=lambda look: (-look.clear_share, look.scene.time_text, look.scene.id))[:count]


@dataclass(frozen=True, eq=False)
class SceneFile:
    """A scene of a place as a file.

    Attributes
    ----------
    scene : Scene
        Which one.
    grid : GeoBox
        Its pixels.
    bands : tuple of str or None
        Which bands; None = those that are compared.
    folder : Path
        Where it is written.
    """

    scene: Scene
    grid: GeoBox
    bands: tuple[str, ...] | None
    folder: Path

    @property
    def path(self) -> Path:
        """The GeoTIFF; names that had to be changed end in a digest, so that no two scenes share one."""
        own = self.scene.id
        safe = _UNSAFE.sub("-", own)
        return self.folder / (f"{safe}.tif" if safe == own else f"{safe}-{digest_of(own)[:8]}.tif")

    @property
    def description(self) -> Path:
        """What is known of it: JSON beside the GeoTIFF."""
        return self.path.with_suffix(".json")

    @property
    def key(self) -> str:
        """Digest of everything that decides its pixels."""
        return Wanted(self.scene.provider, self.scene, self.grid, self.bands).key

    def check(self, *, overwrite: bool) -> bool:
        """Say whether it is there already.

        Parameters
        ----------
        overwrite : bool
            Whether another file of that name may be replaced.

        Returns
        -------
        bool
            True when the very same scene lies there, whole.

        Raises
        ------
        OutputExistsError
            When something else has the name and may not be replaced.
        """
        try:
            said = parse_json(self.description.read_text(encoding="utf-8"))
            same = bool(said["key"] == self.key and said["sha256"] == sha256_file(self.path))
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        there = [path for path in (self.path, self.description) if path.exists()]
        if there and not same and not overwrite:
            raise OutputExistsError(
                "is there already and is not this scene of this place",
                where=str(there[0]),
                todo="choose another folder or allow overwriting (--overwrite)",
            )
        return same

    def write(self, image: Image, site: Site) -> None:
        """Write a loaded scene: reflectance (gamma nought for radar), scene classes, which pixels are usable.

        The description appears after the image, so that what has one is whole.

        Parameters
        ----------
        image : Image
            The scene on the grid.
        site : Site
            The place, for the record.

        Raises
        ------
        OutputError
            When it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.description.unlink(missing_ok=True)
            with temporary(self.folder, self.path.stem) as part:
                _write_image(part, image, site)
                to_disk(part)
                part.replace(self.path)
            record = json.dumps(self._record(image, site), indent=1, ensure_ascii=False)
            write_text(self.description, record)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            todo = "check the permission and the free space, or choose another folder"
            raise OutputError(
                error.strerror or "cannot be written", where=str(self.path), todo=todo
            ) from error

    def _record(self, image: Image, site: Site) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "version": version("changedet"),
            "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "file": self.path.name,
            "sha256": sha256_file(self.path),
            "key": self.key,
            "site": site.to_dict(),
            "bands": [*image.bands, CLASSES_BAND, VALID_BAND],
            "classes_source": image.classes_source,
            "clear_share": round(float(image.valid.mean()), 4),
            "credit": image.scene.credit,
            "scene": without_secrets(image.scene.to_dict()),
        }


def _write_image(path: Path, image: Image, site: Site) -> None:
    planes = np.concatenate(
        [image.data, image.classes[np.newaxis], image.valid[np.newaxis]], axis=0, dtype=np.float32
    )
    write_cog(
        path,
        planes,
        image.grid,
        descriptions=[*image.bands, CLASSES_BAND, VALID_BAND],
        nodata=np.nan,
        tags=_tags(image, site),
    )


def _tags(image: Image, site: Site) -> dict[str, str]:
    """Return what `changedet detect` reads of a raster, and what a reader in a GIS should know."""
    scene = image.scene
    said = {
        "SITE": site.name,
        "SCENE_ID": scene.id,
        "ACQUISITION_TIME_UTC": None if scene.time is None else scene.time_text,
        "PLATFORM": scene.platform,
        "LEVEL": scene.level,
        "PROCESSING_BASELINE": scene.processing_baseline,
        "RELATIVE_ORBIT": scene.relative_orbit,
        "ORBIT_STATE": scene.orbit_state if scene.sensor == "s1" else None,
        "TILE": scene.tile,
        "SUN_ELEVATION_DEG": scene.sun_elevation_deg,
        "SUN_AZIMUTH_DEG": scene.sun_azimuth_deg,
        "SIMULATED": "yes" if scene.simulated else None,
        "CREDIT": scene.credit,
        "TIFFTAG_COPYRIGHT": scene.credit,
        "UNITS": f"reflectance or linear gamma nought, then {SCL} (classes) and {VALID_BAND} (1 = usable)",
        "TIFFTAG_SOFTWARE": f"changedet {version('changedet')}",
    }
    return {name: str(value) for name, value in said.items() if value is not None}


def _date_of(identifier: str) -> datetime | None:
    found = _DATE_IN_ID.search(identifier)
    try:
        return datetime.strptime(found[0], "%Y%m%d").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _named(scenes: Sequence[Scene], identifier: str) -> Scene:
    for scene in scenes:
        if identifier in {scene.id, *(granule.id for granule in scene.granules)}:
            return scene
    raise NoUsableImageryError(
        f"there is no scene {identifier!r} of this place",
        todo=f"take one that changedet search lists, such as {scenes[-1].id}",
    )
