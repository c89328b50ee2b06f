"""``changedet fetch``: fetch scenes of a place into the cache, and as files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.attempts import Failure, attempt_all, error_for_all
from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.console import emit, say
from changedet.cli.detect import choose_site, required_site
from changedet.cli.run_one import Display, cost_text
from changedet.cli.search import Limit, checked_product
from changedet.errors import ChangedetError, ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from changedet.access.fetching import SceneFile, SceneQuery
    from changedet.progress import Progress
    from changedet.providers.base import Estimate
    from changedet.providers.tracked import TrackedProvider
    from changedet.scene import Scene
    from changedet.site import Site

_PROVISIONAL = "; these dates are provisional, since the run first looks at the site, which is counted"
#: After so many scenes in a row that could not be fetched the others are not tried.
_MOST_FAILED = 3

Period = Annotated[
    Optional[str],  # noqa: UP045  # typer reads the annotation at run time
    typer.Option("--period", help="Such as 2024-05, 2024-05/2024-07 or 2024-05/.. (open).", metavar="A/B"),
]
SceneIds = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--scene", help="Only this scene, as search names it; may be repeated.", metavar="ID"),
]
Bands = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--bands", help="Such as B02,B03,B04,B08; by default all that are compared.", metavar="LIST"
    ),
]
Clearest = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--clearest", help="Of the scenes only so many, the clearest over the site.", min=1),
]
Folder = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--out", "-o", help="Also write each scene as a GeoTIFF into this folder.", metavar="DIR"),
]


def fetch(
    *,
    period: Period = None,
    scene: SceneIds = None,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    sites: options.Sites = None,
    site: options.SiteNames = None,
    provider: options.ProviderName = "earth-search",
    sensor: options.SensorName = "s2",
    level: options.LevelName = "L2A",
    max_tile_cloud: options.MaxTileCloud = 0.9,
    clearest: Clearest = None,
    bands: Bands = None,
    limit: Limit = 200,
    max_pu: options.MaxUnits = None,
    cache: options.Cache = None,
    dry_run: options.DryRun = False,
    out: Folder = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Fetch the scenes of a place and its surroundings into the cache, and as files that detect can read."""
    from changedet.access.fetching import SceneQuery
    from changedet.providers.tracked import open_tracked

    product = checked_product(sensor, level)
    query = SceneQuery(period or "", *product, max_tile_cloud, limit, tuple(scene or ()))
    query.span()
    wanted = None if bands is None else tuple(part.strip() for part in bands.split(",") if part.strip())
    task = _Task(query, clearest, wanted, out, overwrite, dry_run)
    places = _places(sites, site or [], [at, radius, bbox, aoi, name])
    display = Display(progress, quiet, verbose)
    with display.bar() as bar:
        done = _fetch_all(places, task, open_tracked(provider, cache, max_pu, bar), bar)
    _tell(done, task, as_json=as_json, quiet=quiet)


@dataclass(frozen=True)
class _Task:
    """What the options ask of every site."""

    query: SceneQuery
    clearest: int | None
    bands: tuple[str, ...] | None
    out: Path | None
    overwrite: bool
    dry_run: bool


@dataclass(frozen=True, eq=False)
class _Place:
    """A site, and where its files go below the output folder."""

    site: Site
    folder: str


def _places(path: Path | None, names: list[str], alone: list[Any]) -> list[_Place]:
    from changedet.batch import site_folders

    if path is None and not names:
        return [_Place(required_site(choose_site(*alone)), "")]
    from changedet.cli.run_sites import chosen_sites

    at, radius, bbox, aoi, name = alone
    given = {"--at": at, "--bbox": bbox, "--aoi": aoi, "--name": name}
    _, found = chosen_sites(path, names, alone=given, radius=radius)
    return [_Place(*pair) for pair in zip(found, site_folders(found), strict=True)]


def _fetch_all(
    places: Sequence[_Place], task: _Task, provider: TrackedProvider, bar: Progress
) -> list[dict[str, Any]]:
    """Fetch at every place; of several, one that fails does not stop the others."""
    from changedet.batch import site_label
    from changedet.progress import begin_site

    waiting = count(1)

    def _fetch(place: _Place) -> dict[str, Any]:
        if len(places) > 1:
            begin_site(bar, site_label(place.site), next(waiting), len(places))
        return _fetch_one(place, task, provider, bar)

    named = [(site_label(place.site), place) for place in places]
    found = [_fetch(places[0])] if len(places) == 1 else list(attempt_all(named, _fetch))
    return [_site_row(label, one) for (label, _), one in zip(named, found, strict=True)]


def _site_row(label: str, found: dict[str, Any] | Failure) -> dict[str, Any]:
    row: dict[str, Any] = {"site": label, "scenes": [], "estimate": {}, "reason": ""}
    if not isinstance(found, Failure):
        return row | found
    return row | {"scenes": found.details.get("scenes", []), "reason": found.reason, "failure": found}


def _fetch_one(place: _Place, task: _Task, provider: TrackedProvider, bar: Progress) -> dict[str, Any]:
    from changedet.access.fetching import SceneFile, find_scenes
    from changedet.frame import surroundings

    bar.step("searching")
    grid = surroundings(place.site.grid)
    provider.begin(grid, scenes=1)
    scenes = find_scenes(place.site, task.query, provider)
    scenes, looks = _narrowed(place.site, scenes, task, provider, bar)
    folder = (task.out or Path()) / place.folder
    files = [SceneFile(scene, grid, task.bands, folder) for scene in scenes]
    there = [task.out is not None and file.check(overwrite=task.overwrite) for file in files]
    missing = [file for file, kept in zip(files, there, strict=True) if not kept]
    estimate = provider.expect([file.scene for file in missing], grid, task.bands, before=looks)
    failed: dict[str, ChangedetError] = {}
    if not task.dry_run:
        bar.step("fetching")
        failed = _load_all(missing, place.site, task, provider)
    rows = [_row(file, kept, task, failed) for file, kept in zip(files, there, strict=True)]
    if failed:
        raise _some_failed(list(failed.values()), rows)
    return {
        "scenes": rows,
        "estimate": estimate.to_dict(),
        "cost": cost_text(estimate) + (_PROVISIONAL if looks.requests else ""),
        "fetched": provider.kept_text,
    }


def _narrowed(
    site: Site, scenes: list[Scene], task: _Task, provider: TrackedProvider, bar: Progress
) -> tuple[list[Scene], Estimate]:
    """Keep the clearest scenes where that is asked; say what the looks take that a dry run leaves out."""
    from changedet.access.fetching import clearest
    from changedet.access.looking import cost_of_looks, look_at_kept
    from changedet.providers.base import Estimate

    if task.clearest is None:
        return scenes, Estimate()
    found = clearest(site, scenes, task.clearest, provider, bar, looking=not task.dry_run)
    looks = look_at_kept(site, scenes, provider) if task.dry_run else []
    return [look.scene for look in found], cost_of_looks(site, looks, provider)


def _load_all(
    files: Sequence[SceneFile], site: Site, task: _Task, provider: TrackedProvider
) -> dict[str, ChangedetError]:
    """Fetch scenes; return what went wrong with single ones, by their names."""
    from changedet.access.looking import SPOILT

    failed: dict[str, ChangedetError] = {}
    in_a_row = 0
    for file in files:
        if in_a_row == _MOST_FAILED:
            # then it is the service
            failed[file.scene.id] = ProviderError(f"not tried after {in_a_row} in a row failed")
            continue
        try:
            image = provider.load(file.scene, file.grid, task.bands)
        except SPOILT as error:
            failed[file.scene.id] = error
            in_a_row += 1
            continue
        in_a_row = 0
        if task.out is not None:
            file.write(image, site)
    return failed


def _some_failed(errors: list[ChangedetError], rows: list[dict[str, Any]]) -> ChangedetError:
    """Return the first error, as one that stands for all of them."""
    first = errors[0]
    if len(rows) == 1:
        return first
    return type(first)(
        f"{len(errors)} of {len(rows)} scene(s) could not be fetched, the first: {first.what}",
        where=first.where,
        todo=f"{first.todo}; the same command again goes on with those that are missing".lstrip("; "),
        details={"scenes": rows},
    )


def _row(file: SceneFile, kept: bool, task: _Task, failed: Mapping[str, ChangedetError]) -> dict[str, Any]:
    scene: Scene = file.scene
    error = failed.get(scene.id)
    written = task.out is not None and not task.dry_run and error is None
    return {
        "id": scene.id,
        "time_utc": scene.time_text,
        "tile_cloud_share": scene.tile_cloud_share,
        "file": str(file.path) if written else None,
        "written_before": kept,
        "reason": str(error) if error else "",
    }


def _tell(done: list[dict[str, Any]], task: _Task, *, as_json: bool, quiet: bool) -> None:
    failures = [row.pop("failure") for row in done if row["reason"]]
    document = {"dry_run": task.dry_run, "sites": done}
    lines = []
    for row in done:
        head = f"{row['site']}: " + (row["reason"] or f"{len(row['scenes'])} scene(s)")
        lines.append(f"{head}, would take {row['cost']}" if task.dry_run and not row["reason"] else head)
        lines += [f"  {one['time_utc']}  {one['file'] or one['id']}" for one in row["scenes"]]
        if not task.dry_run and not row["reason"]:
            before = sum(one["written_before"] for one in row["scenes"])
            also = f", {before} file(s) were there already" if before else ""
            say(f"{row['site']}: {row['fetched']}{also}", quiet=quiet)
    if not failures or not as_json:
        emit(document, lines, as_json=as_json)
    if failures:
        raise error_for_all(failures, len(done), "scenes", document)
