"""Looking at a site on many dates: what each scene shows of it, from the scene classification alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from changedet.access.selection import look_at, look_at_nothing, look_at_radar, rejected_look
from changedet.bands import SCL
from changedet.core.masking import cloud_buffer_px
from changedet.errors import InputFileError, ProviderError
from changedet.frame import site_mask
from changedet.providers.base import Estimate
from changedet.providers.settings import read_provider_settings
from changedet.providers.stopping import StopGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.access.selection import Look
    from changedet.progress import Progress
    from changedet.providers.base import Provider
    from changedet.scene import Scene
    from changedet.site import Site

#: What spoils a single scene: the others may be whole.
SPOILT = (ProviderError, InputFileError)
#: Classification is looked at in pixels of this size, in metres: that is what it is made of.
_LOOK_M = 20.0


def look_at_all(site: Site, scenes: Sequence[Scene], provider: Provider, progress: Progress) -> list[Look]:
    """Measure what each scene shows of a site, from its classification alone; radar sees through clouds.

    As many classifications are read at one time as the settings of the provider allow (``max_parallel``).

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene
        Of the provider.
    provider : Provider
        Gives the classifications, also to several threads at one time.
    progress : Progress
        Told which share is done.

    Returns
    -------
    list of Look
        In the order of the scenes. One whose classification cannot be read is a rejected look.

    Raises
    ------
    ProviderError, InputFileError
        When none of the scenes can be looked at: the error of the first.
    CredentialsError, BudgetError
        When the account is refused, or the limit on costs reached.
    """
    ground, group = _Ground.of(site), StopGroup()

    def _tried(scene: Scene) -> tuple[Look, ProviderError | InputFileError | None]:
        try:
            with group.member():
                return ground.look(scene, provider), None
        except SPOILT as error:
            return rejected_look(scene, error.what), error

    pool = ThreadPoolExecutor(max(1, min(read_provider_settings(provider.name).max_parallel, len(scenes))))
    found = []
    try:
        for one in pool.map(_tried, scenes):
            found.append(one)
            progress.advance(len(found) / len(scenes))
    finally:
        # after an error that ends the run, or an interruption, nobody waits for the other looks
        group.stop()
        pool.shutdown(cancel_futures=True)
    errors = [error for _, error in found if error is not None]
    if errors and len(errors) == len(found):
        raise errors[0]
    return [look for look, _ in found]


def look_at_kept(site: Site, scenes: Sequence[Scene], provider: Provider) -> list[Look]:
    """Say what is known of a site on each date without fetching anything.

    Parameters
    ----------
    site : Site
        The place.
    scenes : sequence of Scene
        Of the provider.
    provider : Provider
        One with a cache says by its estimate what is kept.

    Returns
    -------
    list of Look
        In the order of the scenes. Without a kept classification a look is not measured, and the cloud of the
        whole tile stands in.
    """
    ground = _Ground.of(site)
    looks = []
    for scene in scenes:
        if scene.sensor != "s1" and provider.estimate(scene, ground.grid, (SCL,)).requests:
            looks.append(look_at_nothing(scene))
        else:
            looks.append(ground.look(scene, provider))
    return looks


def cost_of_looks(site: Site, looks: Sequence[Look], provider: Provider) -> Estimate:
    """Say what looking at a site takes on the dates on which nobody has.

    Parameters
    ----------
    site : Site
        The place.
    looks : sequence of Look
        Those that are measured take nothing.
    provider : Provider
        Says what a classification takes.

    Returns
    -------
    Estimate
        Of all together.
    """
    ground = _Ground.of(site)
    missing = [look.scene for look in looks if not look.measured]
    return sum((provider.estimate(scene, ground.grid, (SCL,)) for scene in missing), Estimate())


@dataclass(frozen=True, eq=False)
class _Ground:
    """The pixels of a site in which clouds are measured."""

    grid: GeoBox
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, site: Site) -> _Ground:
        """Return the ground of a site in the pixels of a classification."""
        grid = site.grid.zoom_to(resolution=_LOOK_M)
        return cls(grid, site_mask(site, grid))

    def look(self, scene: Scene, provider: Provider) -> Look:
        """Look at the site on one date; radar sees through clouds, so that nothing is read."""
        if scene.sensor == "s1":
            return look_at_radar(scene)
        classes = provider.classes(scene, self.grid)
        return look_at(scene, classes, self.inside, buffer_px=cloud_buffer_px(_LOOK_M))
