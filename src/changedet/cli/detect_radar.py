"""Which sensors ``changedet detect`` compares, and the local files of radar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from changedet.errors import UsageError
from changedet.radar.types import SensorChoice

if TYPE_CHECKING:
    from pathlib import Path

    from changedet.radar.files import RadarFiles


@dataclass(frozen=True)
class RadarOptions:
    """What the options say of radar.

    Attributes
    ----------
    sensor : SensorChoice
        Which sensors are compared.
    paths : tuple of two (Path or None)
        Radar before and after, for both sensors.
    unit : str
        Unit of what is stored.
    scale, offset : float
        ``value = number * scale + offset``, taken before the unit.
    """

    sensor: SensorChoice
    paths: tuple[Path | None, Path | None]
    unit: str
    scale: float
    offset: float

    def open(self, before: Path, after: Path) -> RadarFiles | None:
        """Find the radar that is compared; None when none is.

        Parameters
        ----------
        before, after : Path
            What ``--before`` and ``--after`` say: radar, when it is compared alone.

        Raises
        ------
        UsageError
            When the options contradict each other.
        MissingInputError, InputFileError
            When there is no radar, or it cannot be used.
        """
        from changedet.radar.files import RadarNumbers, open_radar_files

        given = [name for name, path in zip(_NAMES, self.paths, strict=True) if path is not None]
        if self.sensor is not SensorChoice.BOTH and given:
            raise UsageError(
                f"{' and '.join(given)} without --sensor both",
                todo="add --sensor both; with --sensor s1 give radar as --before and --after",
            )
        numbers = RadarNumbers(self.unit, self.scale, self.offset)  # type: ignore[arg-type]  # checked there
        if self.sensor is SensorChoice.S2:
            if numbers != RadarNumbers():
                raise UsageError("radar has a unit, and none is compared", todo="add --sensor s1 or both")
            return None
        if self.sensor is SensorChoice.S1:
            return open_radar_files(before, after, numbers)
        first, second = self.paths
        if first is None or second is None:
            raise UsageError(
                "--sensor both needs radar of both periods", todo="give --radar-before and --radar-after"
            )
        return open_radar_files(first, second, numbers)


_NAMES = ("--radar-before", "--radar-after")
