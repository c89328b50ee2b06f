"""From the bands that were found to a source: which bands, which radiometry, which grid, what to note."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from changedet.bands import REQUIRED_BANDS, SCL
from changedet.errors import CrsMismatchError
from changedet.providers.facts import Facts, Stated, stated_time, time_notes
from changedet.providers.layers import Layer, LayerSource, Reader, choose_bands, native_grid, resolution_m
from changedet.providers.local_radiometry import Stored, Witnesses, decide_radiometry
from changedet.scene import Asset, Radiometry, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odc.geo.geobox import GeoBox

_CLASS_CODES = Radiometry(nodata=0.0, source="class codes")


@dataclass(frozen=True, eq=False)
class FoundBand:
    """A band as it was found, before anything is decided about it.

    Attributes
    ----------
    stored : Stored
        Name, type, and what the file says of its numbers.
    grid : GeoBox
        Where its pixels lie.
    href : str
        Path as the user gave it.
    read : callable
        Reads a window, see `changedet.providers.layers.Layer`.
    index : int
        Band number in the file, from 1.
    variable : str or None
        Variable of a cube.
    """

    stored: Stored
    grid: GeoBox
    href: str
    read: Reader
    index: int = 1
    variable: str | None = None


def build_source(found: Sequence[FoundBand], facts: Facts, witnesses: Witnesses) -> LayerSource:
    """Make a source of the bands that were found.

    Parameters
    ----------
    found : sequence of FoundBand
        At most one for each name.
    facts : Facts
        What is known of the scene, apart from what the user says.
    witnesses : Witnesses
        Who may speak about scale and offset; its ``given.time`` wins over the time in `facts`.

    Raises
    ------
    MissingBandError
        When a needed band is not there.
    CrsMismatchError
        When the bands have different reference systems.
    """
    by_name = {band.stored.name: band for band in found}
    names = choose_bands(tuple(by_name), where=witnesses.where)
    chosen = _with_common_samples([by_name[name] for name in names])
    _check_one_crs(chosen)
    layers = tuple(_layer(band, witnesses) for band in chosen)
    grid = native_grid(layers)
    if witnesses.given.time is not None:
        facts = replace(facts, time=stated_time(witnesses.given.time, "given by the user"))
    scene = _scene(facts, grid, {layer.name: layer.asset for layer in layers})
    said = (facts.time.file,) if facts.time and facts.time.file else ()
    inputs = dict.fromkeys(Path(layer.asset.href) for layer in layers)
    return LayerSource(scene, grid, layers, (*inputs, *said))


def _scene(facts: Facts, grid: GeoBox, assets: Mapping[str, Asset]) -> Scene:
    notes = [f"scale and offset {text}" for text in _assumptions(assets)]
    notes += time_notes(facts.time) if facts.time else ()
    return Scene(
        id=facts.id or "unnamed",
        provider="local",
        level=facts.level or _level_by_bands(assets),
        platform=facts.platform or "unknown",
        time=facts.time.value if facts.time else None,
        time_source=facts.time.source if facts.time else "unknown",
        day_only=facts.time is not None and facts.time.day_only,
        processing_baseline=_baseline_text(facts.baseline),
        relative_orbit=facts.relative_orbit,
        tile=facts.tile,
        sun_elevation_deg=facts.sun_elevation_deg,
        sun_azimuth_deg=facts.sun_azimuth_deg,
        resolution_m=resolution_m(grid),
        simulated=bool(facts.simulated),
        assets=MappingProxyType(dict(assets)),
        notes=tuple(notes),
    )


def _layer(band: FoundBand, witnesses: Witnesses) -> Layer:
    is_classes = band.stored.name == SCL
    radiometry = _CLASS_CODES if is_classes else decide_radiometry(band.stored, witnesses)
    asset = Asset(band.href, band.index, band.variable, radiometry)
    return Layer(band.stored.name, band.grid, asset, band.read)


def _with_common_samples(bands: list[FoundBand]) -> list[FoundBand]:
    """Let one band of each type speak for the others: a convention holds for a scene, not for a band."""
    spokesmen: dict[str, FoundBand] = {}
    first = [band for name in REQUIRED_BANDS for band in bands if band.stored.name == name]
    for band in [*first, *(band for band in bands if band.stored.name != SCL)]:
        spokesmen.setdefault(band.stored.dtype, band)
    samples = {
        dtype: cache(band.stored.sample)
        for dtype, band in spokesmen.items()
        if band.stored.sample is not None
    }
    return [
        replace(band, stored=replace(band.stored, sample=samples.get(band.stored.dtype))) for band in bands
    ]


def _check_one_crs(bands: Sequence[FoundBand]) -> None:
    first = bands[0]
    for band in bands[1:]:
        if band.grid.crs != first.grid.crs:
            raise CrsMismatchError(
                f"bands have different reference systems ({first.grid.crs} and {band.grid.crs})",
                where=f"{first.href} and {band.href}",
                todo="give the bands of one scene, all in one reference system",
            )


def _assumptions(assets: Mapping[str, Asset]) -> list[str]:
    texts = (asset.radiometry.source for asset in assets.values() if asset.radiometry.assumed)
    return list(dict.fromkeys(texts))


def _level_by_bands(assets: Mapping[str, Asset]) -> str:
    if SCL in assets:
        return "L2A"
    return "L1C" if "B10" in assets else "unknown"


def _baseline_text(baseline: Stated | None) -> str | None:
    """Return a baseline as ``"05.09"``, however it was written."""
    if baseline is None:
        return None
    digits = str(baseline.value).strip().lstrip("Nn")
    return f"{digits[:2]}.{digits[2:]}" if len(digits) == len("0509") and digits.isdigit() else digits
