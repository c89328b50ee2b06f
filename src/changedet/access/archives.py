"""Where the imagery of a run comes from: one provider for each sensor, or one for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError
from changedet.providers.base import Estimate
from changedet.radar.types import SensorChoice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from odc.geo.geobox import GeoBox

    from changedet.progress import TotalProgress
    from changedet.providers.tracked import TrackedProvider
    from changedet.scene import Scene

#: Has radar that is corrected for the terrain, and asks for no account.
RADAR_PROVIDER = "planetary-computer"
_NOTHING = Estimate()


@dataclass(frozen=True)
class Archives:
    """The providers of a run.

    Attributes
    ----------
    optical, radar : TrackedProvider or None
        For each sensor; None for one that was not asked for. They may be one and the same.
    notes : tuple of str
        Why radar comes from another provider than the one that was named, for a reader.
    total : TotalProgress or None
        Adds up what has come in from all of them.
    """

    optical: TrackedProvider | None
    radar: TrackedProvider | None = None
    notes: tuple[str, ...] = ()
    total: TotalProgress | None = None

    @property
    def each(self) -> tuple[TrackedProvider, ...]:
        """Every provider once, the optical one first."""
        found = [one for one in (self.optical, self.radar) if one is not None]
        return tuple(found[:1] if len(found) > 1 and found[0] is found[1] else found)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Addresses that are asked; they may hold a password."""
        return tuple(address for one in self.each for address in one.info.endpoints)

    @property
    def limited(self) -> bool:
        """True when there is a limit on processing units."""
        return any(one.limited for one in self.each)

    @property
    def kept_text(self) -> str:
        """How many scenes were loaded and where from."""
        if len(self.each) < 2:
            return self.each[0].kept_text
        return "; ".join(f"{one.name}: {one.kept_text}" for one in self.each)

    def to_dict(self) -> dict[str, Any]:
        """Return what tells these archives from others, JSON-serialisable."""
        from changedet.providers.catalog import contents_digest

        contents = [contents_digest(one.info) for one in self.each]
        return {
            "endpoints": list(self.endpoints),
            "contents": contents[0] if len(contents) == 1 else contents,
        }

    def require(self, units: float) -> None:
        """Refuse what would cost more than is left of a limit.

        Parameters
        ----------
        units : float
            Processing units.

        Raises
        ------
        BudgetError
            When it would; nothing has been asked for by then.
        """
        for one in self.each:
            one.require(units)

    def begin(self, grid: GeoBox) -> None:
        """Begin with a site: forget what was counted, but not what was spent.

        Parameters
        ----------
        grid : GeoBox
            Where the scenes are going to be loaded.
        """
        if self.total is not None:
            self.total.begin()
        for one in self.each:
            one.begin(grid)

    def expect(
        self,
        optical: Iterable[Scene],
        radar: Iterable[Scene],
        grid: GeoBox,
        *,
        before: Estimate | None = None,
    ) -> Estimate:
        """Say which scenes are going to be loaded, and what that takes.

        Parameters
        ----------
        optical, radar : iterable of Scene
            All of them.
        grid : GeoBox
            Where.
        before : Estimate, optional
            What has to be asked of the optical provider before them.

        Returns
        -------
        Estimate
            What all takes together.

        Raises
        ------
        BudgetError
            When that would cost more than a limit; nothing has been asked for by then.
        """
        looks = _NOTHING if before is None else before
        if self.optical is None or self.radar is None or self.optical is self.radar:
            return self.each[0].expect([*optical, *radar], grid, before=looks)
        return self.optical.expect(optical, grid, before=looks) + self.radar.expect(radar, grid)


def open_archives(
    sensor: SensorChoice, provider: str, radar_provider: str | None, opened: Callable[[str], TrackedProvider]
) -> Archives:
    """Open the providers that the sensors need.

    Parameters
    ----------
    sensor : SensorChoice
        Which sensors are asked for.
    provider : str
        Where imagery comes from.
    radar_provider : str or None
        Where radar comes from; None = from `provider` where that has radar, else from `RADAR_PROVIDER`.
    opened : callable
        Opens a provider by its name.

    Returns
    -------
    Archives
        Nothing has been asked of any service yet.

    Raises
    ------
    UsageError
        When there is no provider of a name, or the one for radar has none.
    """
    if sensor is SensorChoice.S2:
        return Archives(opened(provider))
    first = opened(provider)
    notes: tuple[str, ...] = ()
    if radar_provider is None and "s1" not in first.info.sensors:
        notes = (f"Radar comes from {RADAR_PROVIDER}, since {provider} has none that can be compared.",)
        radar_provider = RADAR_PROVIDER
    radar = first if radar_provider in {None, provider} else opened(str(radar_provider))
    if "s1" not in radar.info.sensors:
        raise UsageError(
            f"{radar.name} has no radar", todo=f"name another --radar-provider, such as {RADAR_PROVIDER}"
        )
    return Archives(None if sensor is SensorChoice.S1 else first, radar, notes)
