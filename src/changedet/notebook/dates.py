"""Dates of a place to leaf through: which are read, and what is said of each."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from changedet.bands import NATURAL_COLOUR, RADAR_BANDS
from changedet.errors import NoUsableImageryError, UsageError
from changedet.output import facts
from changedet.scene import Image, Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from changedet.site import Site

#: Scenes that are read at most; each is fetched.
MOST_DATES = 24


def read_dates(site: Site, scenes: Sequence[Scene | Image], most: int = MOST_DATES) -> tuple[Image, ...]:
    """Read the bands of a natural-colour picture of scenes, from the cache where they are in it.

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene or Image
        What is loaded already is taken as it is.
    most : int
        More than this many scenes are refused rather than fetched.

    Returns
    -------
    tuple of Image
        In order of time.

    Raises
    ------
    UsageError
        When there are too many, or something is no scene.
    NoUsableImageryError
        When there is none.
    ProviderError, CredentialsError
        When imagery cannot be had.
    """
    if not scenes:
        raise NoUsableImageryError("there is no scene to look at", todo="search another period")
    if len(scenes) > most:
        raise UsageError(
            f"{len(scenes)} scenes would be fetched, {most} at most are",
            todo=f"choose some of them, such as scenes[-{most}:], or say most={len(scenes)}",
        )
    images = tuple(one if isinstance(one, Image) else site.fetch(one, bands=_bands(one)) for one in scenes)
    if len({(image.grid, image.bands) for image in images}) > 1:
        raise UsageError(
            "the images have different grids or bands", todo="load them with the same call of Site.fetch"
        )
    return tuple(sorted(images, key=lambda image: image.scene.time_text))


def _bands(scene: Scene) -> tuple[str, ...]:
    if not isinstance(scene, Scene):
        raise UsageError(
            f"not a scene but of type {type(scene).__name__}", todo="give scenes from Site.search"
        )
    if scene.sensor != "s1":
        return NATURAL_COLOUR
    return tuple(name for name in RADAR_BANDS if name in scene.assets) or RADAR_BANDS


def describe_dates(name: str, images: Sequence[Image]) -> dict[str, Any]:
    """Return what the browser says of dates.

    Parameters
    ----------
    name : str
        Of the site.
    images : sequence of Image
        In order of time.

    Returns
    -------
    dict
        JSON-serialisable.
    """
    from changedet.resample import pixel_size_m

    grid = images[0].grid
    height_m, width_m = pixel_size_m(grid)
    rows, columns = (int(size) for size in grid.shape)
    return {
        "title": f"{facts.clean(name)}: {len(images)} dates",
        "simulated": facts.SIMULATED_NOTE if any(one.scene.simulated for one in images) else "",
        "credit": ". ".join(dict.fromkeys(facts.clean(one.scene.credit) for one in images)),
        "rows": rows,
        "columns": columns,
        "aspect": columns * width_m / (rows * height_m),
        "dates": [
            {
                "time": facts.when(one.scene),
                "date": facts.clean(one.scene.date_text),
                "id": facts.clean(one.scene.id),
                "note": usable_text(one),
            }
            for one in images
        ],
    }


def usable_text(image: Image) -> str:
    """Say how much of an image can be used."""
    return f"usable {facts.share_text(float(image.valid.mean()))}"


def dates_html(name: str, images: Sequence[Image]) -> str:
    """Return dates as HTML: small pictures with one stretch, each with its date.

    Parameters
    ----------
    name : str
        Of the site.
    images : sequence of Image
        In order of time.

    Returns
    -------
    str
        Under 150 kB; loads nothing.
    """
    from changedet.notebook.parts import ALARM, FRAME, QUIET, figure, row
    from changedet.output.picture import draw_image
    from changedet.output.stretch import stretch_limits

    like = max(images, key=lambda image: float(image.valid.mean()))
    limits = stretch_limits(like, like)
    room = min(20_000, 80_000 // len(images))
    drawn = row(
        figure(
            draw_image(one, limits),
            f"{number}: {facts.when(one.scene)}",
            f"{usable_text(one)}; {facts.clean(one.scene.id, 90)}",
            one.grid,
            room,
        )
        for number, one in enumerate(images)
    )
    told = describe_dates(name, images)
    title, credit = escape(told["title"]), escape(told["credit"])
    alarm = f'<p style="{ALARM}">{escape(told["simulated"])}</p>' if told["simulated"] else ""
    return (
        f'<div style="{FRAME}">{alarm}<p><strong>{title}</strong></p>{drawn}'
        f'<p style="{QUIET}">One stretch for all dates. {credit}.</p></div>'
    )
