"""Scenes of a provider as sources: one date, or several dates that are loaded as one image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.composite import NO_DATE, medoid_composite
from changedet.core.normalization import Normalization, apply_normalization, fit_normalization
from changedet.core.registration import RELIABILITY_LIMIT, estimate_shift
from changedet.errors import InputFileError, NoUsableImageryError
from changedet.frame import displaced
from changedet.pairing import make_pair, shared_bands
from changedet.pipeline import register
from changedet.progress import Progress, Silent
from changedet.providers.local import ImageSource
from changedet.registration import RESIDUAL_LIMIT_PX
from changedet.resample import displaced_positions, room_for
from changedet.scale.memory import require_memory
from changedet.scene import Image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.composite import Composite
    from changedet.core.displacement import DisplacementField
    from changedet.pairing import Pair
    from changedet.providers.base import Provider
    from changedet.providers.layers import Source
    from changedet.registration import Registration
    from changedet.scene import Scene

_SILENT = Silent()
_TOO_LITTLE = "it shares too little clear ground with the others"
#: Obstacles that small patches of clear ground make as well as two places do.
_SCATTERED = frozenset({"no tie points", "no agreement"})
#: The least trusted way of finding clouds speaks for a composite.
_TRUST = {"none": 0, "spectral tests": 1}


@dataclass(frozen=True)
class MatchSettings:
    """How the dates of a composite are matched to its anchor.

    Attributes
    ----------
    residual_limit_px : float
        Dates with a larger registration residual are left out.
    seed : int
        Seed of the sample of the normalisation.
    """

    residual_limit_px: float = RESIDUAL_LIMIT_PX
    seed: int = 0


_DEFAULT_MATCH = MatchSettings()


@dataclass(frozen=True, eq=False)
class ProviderSource:
    """A scene of a provider as a `Source`: pixels are fetched when they are loaded.

    Attributes
    ----------
    provider : Provider
        Where it comes from.
    scene : Scene
        Which one.
    grid : GeoBox
        The site grid with its surroundings.
    """

    provider: Provider
    scene: Scene
    grid: GeoBox

    @property
    def band_count(self) -> int:
        """Number of bands that `load` returns."""
        return max(len(self.scene.assets), 1)

    def files(self) -> tuple[Path, ...]:
        """Return nothing: the pixels come from a provider, not from files."""
        return ()

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Fetch the scene onto `grid` (default: the site grid with its surroundings).

        A displacement field on that grid is handed to the provider, so that every band is interpolated once,
        from its own pixels. From one that cannot take it, and of radar, the scene is fetched with a margin
        and moved then.
        """
        wanted = self.grid if grid is None else grid
        if displacement is None:
            return self.provider.load(self.scene, wanted)
        if self.provider.info.displaces and self.scene.sensor != "s1":
            return self.provider.load(self.scene, wanted, displacement=displacement)
        return ImageSource(self.provider.load(self.scene, room_for(wanted, displacement))).load(
            wanted, displacement
        )


@dataclass(frozen=True, eq=False)
class Member:
    """One date of a composite and what brings it to the anchor.

    Attributes
    ----------
    source : ProviderSource
        The date by itself.
    shift_px : tuple of float
        (row, column) that is added to the position of its content, in pixels of the composite's own grid.
    normalization : Normalization or None
        None for the anchor.
    """

    source: ProviderSource
    shift_px: tuple[float, float] = (0.0, 0.0)
    normalization: Normalization | None = None

    def load(self, grid: GeoBox, own: GeoBox, displacement: DisplacementField | None = None) -> Image:
        """Load the date onto a grid in the place and the radiometry of the anchor, resampled once.

        Parameters
        ----------
        grid : GeoBox
            Where the pixels are to lie.
        own : GeoBox
            The grid in whose pixels the shift was measured.
        displacement : DisplacementField, optional
            On `grid`, by which the whole composite moves.
        """
        row_px, column_px = self.shift_px
        row_px *= abs(own.resolution.y / grid.resolution.y)
        column_px *= abs(own.resolution.x / grid.resolution.x)
        moved = displaced(grid, row_px, column_px) if any(self.shift_px) else grid
        return self.matched(replace(self.source.load(moved, displacement), grid=grid))

    def matched(self, image: Image) -> Image:
        """Return an image of this date in the radiometry of the anchor."""
        if self.normalization is None:
            return image
        image = image.select(self.normalization.bands)
        return replace(image, data=apply_normalization(image.data, self.normalization))


@dataclass(frozen=True, eq=False)
class CompositeSource:
    """Several dates as one `Source`: every pixel is the whole observation of one of them.

    Which date gives a pixel is decided once, on `grid`. On another grid the same dates are read anew and the
    decision is kept, so that registering the composite moves it and does not remake it.

    Attributes
    ----------
    scene : Scene
        The anchor with the other dates as `Scene.members`.
    grid : GeoBox
        The site grid with its surroundings.
    members : tuple of Member
        The anchor first.
    image : Image
        The composite on `grid`.
    date : ndarray of int16, shape (y, x)
        Index of the member that gave each pixel of `grid`; `changedet.core.composite.NO_DATE` for none.
    """

    scene: Scene
    grid: GeoBox
    members: tuple[Member, ...]
    image: Image
    date: NDArray[np.int16]

    @property
    def band_count(self) -> int:
        """Number of bands that `load` returns."""
        return len(self.image.bands)

    def files(self) -> tuple[Path, ...]:
        """Return nothing: the pixels come from a provider, not from files."""
        return ()

    def load(self, grid: GeoBox | None = None, displacement: DisplacementField | None = None) -> Image:
        """Give the composite on `grid` (default: its own); on other pixels the dates are read again.

        Parameters
        ----------
        grid : GeoBox, optional
            Any grid.
        displacement : DisplacementField, optional
            On that grid, by which the content moves.

        Returns
        -------
        Image
            Where a pixel's own date cannot be used on the new grid, the medoid of those that can.

        Raises
        ------
        ProviderError, CredentialsError
            When a date cannot be fetched.
        """
        grid = self.grid if grid is None else grid
        if displacement is None and grid == self.grid:
            return self.image
        window = _window(self.grid, grid)
        if displacement is None and window is not None:
            return _cropped(self.image, window, grid)
        images = [
            member.load(grid, self.grid, displacement).select(self.image.bands) for member in self.members
        ]
        date = _moved(self.date, self.grid, grid, displacement)
        return replace(compose(images, date)[0], scene=self.scene)


def open_scenes(
    provider: Provider,
    scenes: Sequence[Scene],
    grid: GeoBox,
    *,
    match: MatchSettings = _DEFAULT_MATCH,
    progress: Progress = _SILENT,
) -> Source:
    """Open one scene, or several as one.

    The other dates of a composite are registered to the first and matched to its reflectance on the ground
    that is clear on both, or on both it and a date that is matched to the first already. One that cannot be
    is left out, and the notes of the scene say so.

    Parameters
    ----------
    provider : Provider
        Where they come from.
    scenes : sequence of Scene
        At least one, the anchor first.
    grid : GeoBox
        The site grid with its surroundings. Of a composite the pixels on it are fetched at once.
    match : MatchSettings
        What a date must keep to be used.
    progress : Progress
        Is told how many dates are done.

    Returns
    -------
    Source
        A `ProviderSource` for a single scene, a `CompositeSource` for several.

    Raises
    ------
    ProviderError, CredentialsError
        When a date cannot be fetched.
    UsageError
        When the dates do not fit into memory.
    """
    sources = [ProviderSource(provider, scene, grid) for scene in scenes]
    if len(sources) == 1:
        return sources[0]
    # every date is held twice while they are put together
    require_memory(grid, sources[0].band_count * len(sources) // 2)
    members, images, notes = _gathered(sources, match, progress)
    image, composite = compose(images)
    scene = composite_scene([one.scene for one in images], [*_told(images, composite), *notes])
    return CompositeSource(scene, grid, tuple(members), replace(image, scene=scene), composite.date)


def _gathered(
    sources: Sequence[ProviderSource], match: MatchSettings, progress: Progress
) -> tuple[list[Member], list[Image], list[str]]:
    """Load all dates that can be matched; say which cannot."""
    anchor = sources[0].load()
    members, images = [Member(sources[0])], [anchor.select(shared_bands(anchor, anchor))]
    waiting, reasons = list(sources[1:]), {}
    while waiting:
        left = []
        for source in waiting:
            # what shares no clear ground with the anchor may share some with a date that is matched to it
            reference = compose(images)[0] if len(images) > 1 else images[0]
            try:
                member, image = _matched(source, reference, match)
            except (NoUsableImageryError, InputFileError) as error:
                left.append(source)
                reasons[source.scene.id] = error.what
                continue
            members.append(member)
            images.append(image)
            progress.advance(len(images) / len(sources))
        if len(left) == len(waiting):
            break
        waiting = left
    notes = [
        f"{one.scene.date_text} was left out of the composite: {reasons[one.scene.id]}" for one in waiting
    ]
    return members, images, notes


def _matched(source: ProviderSource, reference: Image, match: MatchSettings) -> tuple[Member, Image]:
    """Register a date and match its reflectance; raises an error that says why it cannot be."""
    moving = source.load()
    try:
        pair = make_pair(reference, moving, np.ones(reference.valid.shape, bool))
    except NoUsableImageryError as error:
        raise NoUsableImageryError(_TOO_LITTLE) from error
    if pair.after.bands != reference.bands:
        lacking = ", ".join(band for band in reference.bands if band not in pair.after.bands)
        raise NoUsableImageryError(f"it lacks {lacking}")
    # a date gives its pixels where the anchor shows nothing, and a field is not known there: see
    # docs/registration.md, "Dates of a composite"
    registration, moved = register(pair, source, match.residual_limit_px, local=False)
    shift_px = registration.shift_px
    if not registration.passed:
        shift_px, moved = _measured_as_a_whole(registration, pair, source)
    moved = moved.select(reference.bands)
    common = reference.valid & moved.valid
    normalization = fit_normalization(reference.data, moved.data, common, reference.bands, seed=match.seed)
    if not normalization.invariant_share:
        raise NoUsableImageryError(_TOO_LITTLE)
    member = Member(source, shift_px, normalization)
    return member, member.matched(moved)


def _measured_as_a_whole(
    registration: Registration, pair: Pair, source: ProviderSource
) -> tuple[tuple[float, float], Image]:
    """Move a date whose common ground is too scattered for tie points, and measure the whole of it again."""
    failed = NoUsableImageryError(f"it could not be registered ({registration.reason})")
    if registration.obstacle not in _SCATTERED:
        raise failed
    first, second = (image.select(image.bands[:4]) for image in (pair.before, pair.after))
    shift = estimate_shift(first.data, second.data, first.valid, second.valid)
    if shift.reliability < RELIABILITY_LIMIT:
        raise failed
    shift_px = shift.row_px, shift.column_px
    moved = replace(source.load(displaced(pair.before.grid, *shift_px)), grid=pair.before.grid)
    second = moved.select(first.bands)
    left = estimate_shift(first.data, second.data, first.valid, second.valid)
    if left.reliability < RELIABILITY_LIMIT or left.length_px > registration.limit_px:
        raise failed
    return shift_px, moved


def compose(images: Sequence[Image], preferred: NDArray[np.int16] | None = None) -> tuple[Image, Composite]:
    """Make one image of several that lie on one grid in one radiometry.

    Parameters
    ----------
    images : sequence of Image
        With the same bands; the anchor first.
    preferred : ndarray of int16, shape (y, x), optional
        Index of the image that is to give a pixel wherever it is usable there, instead of the medoid.

    Returns
    -------
    image : Image
        Medoid of the usable observations of each pixel. Where none is usable, the anchor shows through, or
        the first image with data, and the pixel is not valid. The scene is that of the anchor.
    composite : Composite
        Which image gave each pixel and how many were usable.
    """
    valid = np.stack([image.valid for image in images])
    if preferred is not None:
        indexes = np.arange(len(images), dtype=np.int16)[:, np.newaxis, np.newaxis]
        wanted = valid & (preferred == indexes)
        valid = np.where(wanted.any(axis=0), wanted, valid)
    composite = medoid_composite(np.stack([image.data for image in images]), valid)
    data, classes = composite.data.copy(), images[0].classes.copy()
    unseen = composite.date == NO_DATE
    for index, image in enumerate(images):
        np.copyto(classes, image.classes, where=composite.date == index)
        blank = unseen & np.isnan(data).any(axis=0)
        np.copyto(data, image.data, where=blank)
        np.copyto(classes, image.classes, where=blank)
    known = min((image.classes_source for image in images), key=lambda source: _TRUST.get(source, 2))
    anchor = images[0]
    image = Image(data, anchor.bands, ~unseen, classes, anchor.grid, anchor.scene, known)
    return image, composite


def composite_scene(scenes: Sequence[Scene], notes: Sequence[str] = ()) -> Scene:
    """Describe several acquisitions as one scene.

    Parameters
    ----------
    scenes : sequence of Scene
        The anchor first.
    notes : sequence of str
        What a reader should know of the composite.

    Returns
    -------
    Scene
        With the time and the sun of the anchor; what differs between the dates is not stated. A single scene
        stays what it is, but for the notes.
    """
    anchor = scenes[0]
    if len(scenes) == 1:
        # a scene out of a record has them already
        return replace(anchor, notes=tuple(dict.fromkeys((*anchor.notes, *notes))))
    own = [f"{scene.date_text}: {note}" for scene in scenes for note in scene.notes]
    same_orbit = len({scene.relative_orbit for scene in scenes}) == 1
    same_baseline = len({scene.processing_baseline for scene in scenes}) == 1
    return replace(
        anchor,
        id=f"{anchor.id} and {len(scenes) - 1} more",
        time_source=f"{anchor.time_source}; of the anchor of {len(scenes)} dates",
        platform=", ".join(sorted({scene.platform for scene in scenes})),
        relative_orbit=anchor.relative_orbit if same_orbit else None,
        processing_baseline=anchor.processing_baseline if same_baseline else None,
        simulated=any(scene.simulated for scene in scenes),
        members=tuple(scenes),
        notes=(*notes, *own),
    )


def _told(images: Sequence[Image], composite: Composite) -> list[str]:
    """Say which date gave how much, in one sentence without a full stop; nothing of a single date."""
    if len(images) == 1:
        return []
    seen = max(int((composite.date != NO_DATE).sum()), 1)
    shares = [float((composite.date == index).sum() / seen) for index in range(len(images))]
    told = sorted((image.scene.date_text, share) for image, share in zip(images, shares, strict=True))
    parts = ", ".join(f"{date} ({share:.0%})" for date, share in told)
    return [
        f"composite of {len(images)} dates: each pixel shows one of {parts}, registered and matched in "
        f"reflectance to {images[0].scene.date_text}"
    ]


def _window(own: GeoBox, grid: GeoBox) -> tuple[slice, slice] | None:
    """Return where a grid lies inside another one, None unless it has the very same pixels."""
    from affine import Affine

    if own.crs != grid.crs:
        return None
    relative = ~own.affine * grid.affine
    column, row = round(relative.c), round(relative.f)
    if not relative.almost_equals(Affine.translation(column, row), precision=1e-6):
        return None
    rows, columns = slice(row, row + grid.shape[0]), slice(column, column + grid.shape[1])
    inside = min(row, column) >= 0 and rows.stop <= own.shape[0] and columns.stop <= own.shape[1]
    return (rows, columns) if inside else None


def _cropped(image: Image, window: tuple[slice, slice], grid: GeoBox) -> Image:
    return replace(
        image,
        data=image.data[:, *window],
        valid=image.valid[window],
        classes=image.classes[window],
        grid=grid,
    )


def _moved(
    date: NDArray[np.int16], own: GeoBox, grid: GeoBox, displacement: DisplacementField | None
) -> NDArray[np.int16]:
    """Return which date gave the nearest pixel of the composite's own grid; `NO_DATE` beyond it."""
    moved = np.full(tuple(grid.shape), NO_DATE, np.int16)
    if own.crs != grid.crs:
        return moved
    positions = displaced_positions(own, grid, displacement)(slice(0, grid.shape[0]))
    rows, columns = (np.rint(axis).astype(np.int64) for axis in positions)
    inside = (rows >= 0) & (rows < own.shape[0]) & (columns >= 0) & (columns < own.shape[1])
    moved[inside] = date[rows[inside], columns[inside]]
    return moved
