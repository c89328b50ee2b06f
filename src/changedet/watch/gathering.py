"""New dates of a watched site: searched, looked at, loaded, and laid on the reference that is kept of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from changedet.access.looking import look_at_all
from changedet.core.alignment import AlignmentSettings, align
from changedet.core.displacement import DisplacementField
from changedet.core.medians import median_of_dates
from changedet.core.small_shift import least_squares_shift
from changedet.errors import InputFileError
from changedet.providers.local import ImageSource
from changedet.registration import simplified
from changedet.stacking import align_stack
from changedet.timeline.access import SeriesSource, frame_of_site, search_span, series_bands
from changedet.watch.folders import FolderProvider
from changedet.watch.passes import SeenScene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from changedet.frame import Frame
    from changedet.periods import Period
    from changedet.progress import Progress
    from changedet.providers.base import Searcher
    from changedet.providers.tracked import TrackedProvider
    from changedet.scene import Image, Scene
    from changedet.site import Site
    from changedet.watch.rules import WatchRules

#: The band that is matched, the first one that a date has.
_MATCHED = ("B03", "B04", "B02", "B08")
#: A shift by least squares counts when its standard error is smaller, over at least so many pixels.
_MOST_ERROR_PX, _LEAST_PIXELS = 0.05, 300


@dataclass(frozen=True)
class FoundDates:
    """What a search found that was not seen before.

    Attributes
    ----------
    kept : tuple of Scene
        What shows enough of the site, in order of time.
    left : tuple of SeenScene
        What does not, with the reason.
    unread : tuple of SeenScene
        Files of a folder that cannot be opened, with the reason; the next pass tries them again.
    """

    kept: tuple[Scene, ...]
    left: tuple[SeenScene, ...]
    unread: tuple[SeenScene, ...] = ()


@dataclass(frozen=True, eq=False)
class Place:
    """A site with where its dates come from and how they are read.

    Attributes
    ----------
    site : Site
        The place.
    provider : TrackedProvider
        Where imagery comes from.
    rules : WatchRules
        What is asked of dates.
    progress : Progress
        Told about each step.
    ahead : Searcher or None
        Knows what was searched for ahead; the provider is searched when not given.
    """

    site: Site
    provider: TrackedProvider
    rules: WatchRules
    progress: Progress
    ahead: Searcher | None = None

    @cached_property
    def frame(self) -> Frame:
        """The grid of the site inside the grid on which dates are registered."""
        return frame_of_site(self.site)


def find_dates(place: Place, span: Period, unseen: Callable[[Iterable[str]], Sequence[str]]) -> FoundDates:
    """Search a span and look at what is new in it.

    Parameters
    ----------
    place : Place
        Where.
    span : Period
        When.
    unseen : callable
        Takes identifiers of scenes, returns those that the site has not seen.

    Returns
    -------
    FoundDates
        A scene that could not be looked at is in neither list: the next pass tries it again.

    Raises
    ------
    ProviderError, CredentialsError, BudgetError
        When the provider fails, wants an account, or would cost more than the limit.
    """
    rules, progress = place.rules, place.progress
    scenes = new_scenes(place, span, unseen)
    near = [scene for scene in scenes if (scene.tile_cloud_share or 0.0) <= rules.max_tile_cloud]
    left = [
        seen_scene(scene, "cloud over nearly all of its tile; not looked at")
        for scene in scenes
        if (scene.tile_cloud_share or 0.0) > rules.max_tile_cloud
    ]
    progress.step("looking at the site")
    looks = look_at_all(place.site, near, place.provider, progress) if near else []
    kept: list[Scene] = []
    for look in looks:
        if look.rejected:
            continue
        if look.clear_share < rules.min_clear:
            cause = "no data" if look.missing_share > look.cloud_share else "cloud"
            left.append(seen_scene(look.scene, f"{cause} over the site: {look.clear_share:.0%} of it clear"))
        elif kept and kept[-1].time == look.scene.time:
            left.append(seen_scene(look.scene, f"the same time as {kept[-1].id}"))
        else:
            kept.append(look.scene)
    # refused before it is fetched when it would cost more than the limit
    place.provider.expect(kept, place.frame.context, series_bands(kept))
    return FoundDates(tuple(kept), tuple(left), unread_files(place))


def new_scenes(place: Place, span: Period, unseen: Callable[[Iterable[str]], Sequence[str]]) -> list[Scene]:
    """Search a span for what a site has not seen.

    Parameters
    ----------
    place, span, unseen
        As for `find_dates`.

    Returns
    -------
    list of Scene
        In order of time; nothing of them has been read.

    Raises
    ------
    ProviderError, CredentialsError
        When the provider fails or wants an account.
    """
    place.progress.step("searching")
    scenes = search_span(place.site, span, place.ahead or place.provider)
    new = set(unseen([scene.id for scene in scenes]))
    return [scene for scene in scenes if scene.id in new and scene.time is not None]


def unread_files(place: Place) -> tuple[SeenScene, ...]:
    """Return the files of a folder that cannot be opened, with the reason; none of a provider.

    Parameters
    ----------
    place : Place
        Where.

    Returns
    -------
    tuple of SeenScene
    """
    provider = place.provider.provider
    if not isinstance(provider, FolderProvider):
        return ()
    unreadable = provider.folder_of(place.site).unreadable
    return tuple(
        SeenScene(one.scene_id, "s2", one.date, usable=False, reason=one.reason) for one in unreadable
    )


def seen_scene(scene: Scene, reason: str = "") -> SeenScene:
    """Say in the words of the state file that a scene was used, or why not.

    Parameters
    ----------
    scene : Scene
        Any.
    reason : str
        Why it was not used; empty when it was.

    Returns
    -------
    SeenScene
    """
    return SeenScene(scene.id, scene.sensor, scene.time_text, not reason, reason)


def load_history(
    place: Place, scenes: Sequence[Scene]
) -> tuple[list[Image], NDArray[np.float32], list[SeenScene]]:
    """Load the dates of a history, registered to each other, and make the reference of the site.

    Parameters
    ----------
    place : Place
        Where.
    scenes : sequence of Scene
        In order of time.

    Returns
    -------
    images : list of Image
        On the grid of the site.
    reference : ndarray of float32, shape (y, x)
        Median of the matched band on the grid with its surroundings; NaN where no date shows the ground.
    left : list of SeenScene
        Dates that could not be read or registered, with the reason.

    Raises
    ------
    ProviderError, CredentialsError
        When the provider fails: the history is fetched again by the next pass.
    """
    frame, left = place.frame, []
    sources, bands, cropped = [], [], []
    register = place.rules.register and len(scenes) > 1
    for number, scene in enumerate(scenes):
        source = SeriesSource(place.provider, scene, frame.context)
        try:
            image = source.load()
            bands.append(_matched(image))
            sources.append(source)
            cropped += [] if register else [frame.crop(image)]
        except InputFileError as error:
            left.append(seen_scene(scene, f"cannot be read: {error.what}"))
        place.progress.advance((number + 1) / len(scenes))
    if not bands:
        return [], np.full(tuple(frame.context.shape), np.nan, np.float32), left
    if not register or len(bands) < 2:
        reference = median_of_dates(
            np.stack([np.where(one.valid, one.data[0], np.float32(np.nan)) for one in bands])
        )
        return cropped or [source.load(frame.grid) for source in sources], reference, left
    found = align_stack(bands)
    reference = np.asarray(found.stack.composite[0], np.float32)
    images = []
    for number, (source, band) in enumerate(zip(sources, bands, strict=True)):
        shift = _least_squares(reference, band) if found.reasons[number] else found.shifts_px[number]
        if shift is None:
            left.append(seen_scene(source.scene, f"could not be registered: {found.reasons[number]}"))
        else:
            images.append(source.load(frame.grid, _field(frame, shift)))
    return images, reference, left


def load_date(place: Place, scene: Scene, reference: NDArray[np.float32]) -> Image | str:
    """Load one date and lay it on the reference of its site.

    Parameters
    ----------
    place : Place
        Where.
    scene : Scene
        The date.
    reference : ndarray of float32, shape (y, x)
        As `load_history` made it: it never changes, so that every date lies the same whenever it is taken.

    Returns
    -------
    Image or str
        On the grid of the site; in words why it cannot be used.

    Raises
    ------
    ProviderError, CredentialsError
        When the provider fails: the next pass tries it again.
    """
    frame = place.frame
    source = SeriesSource(place.provider, scene, frame.context)
    try:
        image = source.load()
        if not place.rules.register:
            return frame.crop(image)
        band = _matched(image)
        shift = _least_squares(reference, band) or _by_windows(reference, band)
        if shift is None:
            return "could not be registered to the reference of the site"
        # from the image that is there: it is not asked for twice
        return ImageSource(image).load(frame.grid, _field(frame, shift))
    except InputFileError as error:
        return f"cannot be read: {error.what}"


def _matched(image: Image) -> Image:
    band = next((name for name in _MATCHED if name in image.bands), image.bands[0])
    one = image.select((band,))
    return replace(one, valid=image.valid & ~image.snow & np.isfinite(one.data[0]))


def _field(frame: Frame, shift: tuple[float, float]) -> DisplacementField | None:
    field = simplified(DisplacementField("translation", (frame.grid.shape[0], frame.grid.shape[1]), shift))
    return field if any(field.centre_px) else None


def _least_squares(reference: NDArray[np.float32], band: Image) -> tuple[float, float] | None:
    found = least_squares_shift(reference, band.data[0], np.isfinite(reference), band.valid)
    if found is None or not found.settled:
        return None
    trusted = found.error_px <= _MOST_ERROR_PX and found.pixels >= _LEAST_PIXELS
    return (found.row_px, found.column_px) if trusted else None


def _by_windows(reference: NDArray[np.float32], band: Image) -> tuple[float, float] | None:
    """Find a shift too long for least squares."""
    found = align([reference], [band.data[0]], np.isfinite(reference), band.valid, AlignmentSettings())
    if found.obstacle or found.field is None:
        return None
    row, column = found.field.centre_px
    return float(row), float(column)
