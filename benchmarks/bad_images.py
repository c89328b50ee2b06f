"""Images that should not be compared: what goes wrong with a date, put on a folder of band files.

Every fault is a function of the reflectance of all bands, each in its own pixels, and of a generator of
random numbers. Fields (cloud, snow, glint) are drawn once for a date and reach every band at its resolution.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import rasterio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

#: Centre wavelengths in nanometres, by which the air and thin cloud weigh on a band.
WAVELENGTH_NM = {
    "B01": 443, "B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783, "B08": 833,
    "B8A": 865, "B09": 945, "B10": 1375, "B11": 1610, "B12": 2190,
}  # fmt: skip
#: What a fresh blanket of snow reflects (Dozier 1989, doi:10.1016/0034-4257(89)90101-6, rounded).
_SNOW = {"B08": 0.80, "B8A": 0.78, "B09": 0.6, "B10": 0.02, "B11": 0.10, "B12": 0.06}
_BAND = re.compile(r"(?:^|_)(B\d[0-9A])(?:_10m|_20m)?$")


@dataclass(frozen=True)
class Date:
    """The bands of one date.

    Attributes
    ----------
    bands : mapping of str to ndarray of float32, shape (y, x)
        Reflectance, NaN where there is none.
    rng : Generator
        For what is random.
    level : str
        "L1C" or "L2A".
    classes : ndarray of float32, shape (y, x), or None
        The producer's classification, which moves with the ground and knows nothing of what is put on it.
    """

    bands: Mapping[str, np.ndarray]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    level: str = "L2A"
    classes: np.ndarray | None = None

    @property
    def shape(self):
        """Of the finest band."""
        return max(plane.shape for plane in self.bands.values())

    def each(self, change: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
        """Every band, changed."""
        return {name: change(name, plane) for name, plane in self.bands.items()}

    def smooth(self, sigma_px: float) -> np.ndarray:
        """A random field without mean, of standard deviation 1, on the finest grid."""
        found = cv2.GaussianBlur(self.rng.standard_normal(self.shape, np.float32), (0, 0), sigma_px)
        return (found - found.mean()) / found.std()

    def index(self, first: str, second: str) -> np.ndarray:
        """The normalised difference of two bands on the finest grid."""
        one, two = (fitted(self.bands[name], self.shape) for name in (first, second))
        return np.nan_to_num((one - two) / np.maximum(one + two, 1e-3))


def fitted(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A field in the pixels of another grid over the same ground."""
    if plane.shape == shape:
        return plane
    way = cv2.INTER_AREA if shape[0] < plane.shape[0] else cv2.INTER_NEAREST
    return cv2.resize(plane.astype(np.float32), shape[::-1], interpolation=way)


def blended(date: Date, cover: np.ndarray, reflectance: Callable[[str], float]) -> dict[str, np.ndarray]:
    """The ground under something that covers a share of each pixel."""

    def over(name, plane):
        share = fitted(cover, plane.shape)
        return plane * (1 - share) + share * np.float32(reflectance(name))

    return date.each(over)


def shifted(date: Date, length_px: float) -> dict[str, np.ndarray]:
    """Content moved by so many 10 m pixels, along a direction that is no axis."""
    down, right = length_px * np.sin(0.6), length_px * np.cos(0.6)
    return _warped(date, lambda _height, _width: np.array([[1, 0, right], [0, 1, down]], np.float64))


def turned(date: Date, angle_deg: float) -> dict[str, np.ndarray]:
    """Content turned about the middle."""
    return _warped(
        date, lambda height, width: cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle_deg, 1)
    )


def _warped(date: Date, matrix) -> dict[str, np.ndarray]:
    def warp(plane, way=cv2.INTER_CUBIC):
        # the same metres in every band: a shift is shorter in larger pixels
        scale = plane.shape[0] / date.shape[0]
        moves = matrix(*plane.shape)
        if not np.any(moves[:, :2] - np.eye(2)):
            moves = moves * np.array([[1, 1, scale], [1, 1, scale]])
        there = np.isfinite(plane).astype(np.float32)
        moved, seen = (
            cv2.warpAffine(part, moves, plane.shape[::-1], flags=flags, borderMode=border)
            for part, flags, border in (
                (np.nan_to_num(plane), way, cv2.BORDER_REFLECT_101),
                (there, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT),
            )
        )
        return np.where(seen > 0.999, moved, np.float32(np.nan))

    found = date.each(lambda _name, plane: warp(plane))
    return found if date.classes is None else {**found, "SCL": warp(date.classes, cv2.INTER_NEAREST)}


def quarter_turned(date: Date) -> dict[str, np.ndarray]:
    """A square middle turned by 90 degrees, the rest as it was."""

    def turn(plane):
        side = min(plane.shape)
        out = plane.copy()
        out[:side, :side] = np.rot90(plane[:side, :side])
        return out

    found = date.each(lambda _name, plane: turn(plane))
    return found if date.classes is None else {**found, "SCL": turn(date.classes)}


def snowed(date: Date) -> dict[str, np.ndarray]:
    """Snow over three quarters of what is not water, patchy at its rim."""
    cover = np.clip(1.5 * (date.smooth(20) + 0.67) + 0.3 * date.smooth(2), 0, 0.95)
    cover[date.index("B03", "B08") > 0] = 0
    return blended(date, cover, lambda name: _SNOW.get(name, 0.9))


def thin_cirrus(date: Date, strength: float) -> dict[str, np.ndarray]:
    """High ice cloud that adds light where it hangs, least in the shortwave infrared."""
    cover = strength * np.clip(0.6 + 0.5 * date.smooth(25), 0, 2)
    weight = {"B11": 0.6, "B12": 0.4, "B10": 1.0}
    return date.each(
        lambda name, plane: (
            plane * (1 - fitted(cover, plane.shape))
            + fitted(cover, plane.shape) * np.float32(weight.get(name, 1.0))
        )
    )


def thick_cloud(date: Date) -> dict[str, np.ndarray]:
    """Clouds of 100 to 600 m over a sixth of the image, their shadows beside them."""
    depth = date.smooth(9) + 0.4 * date.smooth(3)
    cover = np.clip(2.5 * (depth - 1.0), 0, 0.97)
    shadow = np.roll(cover, (25, -18), (0, 1)) * (1 - cover)
    dark = date.each(lambda name, plane: plane * (1 - np.float32(0.6) * fitted(shadow, plane.shape)))
    infrared = {"B11": 0.40, "B12": 0.30}
    return blended(
        Date(dark, date.rng),
        cover,
        lambda name: infrared.get(name, 0.65 if WAVELENGTH_NM[name] < 700 else 0.7),
    )


def sun_glint(date: Date) -> dict[str, np.ndarray]:
    """Water that mirrors the sun in patches, much the same in every band."""
    water = cv2.GaussianBlur((date.index("B03", "B08") > 0).astype(np.float32), (0, 0), 1)
    glint = water * np.clip(0.12 + 0.12 * date.smooth(6) + 0.05 * date.smooth(1), 0, 0.6)
    return date.each(lambda name, plane: plane + fitted(glint, plane.shape))


def hazed(date: Date) -> dict[str, np.ndarray]:
    """Aerosol of varying depth: light added in the blue, contrast lost."""
    depth = np.clip(0.5 + 0.35 * date.smooth(40), 0.05, 1.5)

    def through(name, plane):
        weight = (492 / WAVELENGTH_NM[name]) ** 1.3
        thick = fitted(depth, plane.shape) * np.float32(weight)
        return plane * np.exp(-np.float32(0.25) * thick) + np.float32(0.10) * thick

    return date.each(through)


def offset_missed(date: Date) -> dict[str, np.ndarray]:
    """The offset of processing baseline 04.00, not taken off."""
    return date.each(lambda _name, plane: plane + np.float32(0.1))


def other_level(date: Date) -> dict[str, np.ndarray]:
    """Level-1C where the other date is Level-2A, or the other way round: the clean air added or taken off."""

    def through(name, plane):
        path = np.float32(0.085 * (492 / WAVELENGTH_NM[name]) ** 4)
        passes = np.float32(1 - 0.25 * (492 / WAVELENGTH_NM[name]) ** 2)
        if date.level == "L1C":
            return np.maximum((plane - path) / passes, np.float32(0.001))
        return plane * passes + path

    return date.each(through)


def clipped(date: Date) -> dict[str, np.ndarray]:
    """The brightest tenth of every band cut off, as where numbers run out of their type."""
    return date.each(lambda _name, plane: np.minimum(plane, np.float32(np.nanquantile(plane, 0.9))))


def faded(date: Date) -> dict[str, np.ndarray]:
    """Another season: leaves gone where there were any, fields ploughed."""
    leaves = np.clip((date.index("B08", "B04") - 0.25) / 0.4, 0, 1) * np.clip(
        0.8 + 0.3 * date.smooth(12), 0, 1
    )
    soil = {"B02": 0.09, "B03": 0.11, "B04": 0.14, "B08": 0.22, "B11": 0.28, "B12": 0.22}
    return blended(date, leaves, lambda name: soil.get(name, 0.09 + 0.13 * (WAVELENGTH_NM[name] - 492) / 400))


def striped(date: Date) -> dict[str, np.ndarray]:
    """Columns whose detectors are off by up to 6 %, another row of them in every band."""

    def stripe(_name, plane):
        gains = 1 + 0.03 * np.clip(date.rng.standard_normal(plane.shape[1]), -2, 2)
        return plane * gains.astype(np.float32)

    return date.each(stripe)


def swapped(date: Date) -> dict[str, np.ndarray]:
    """Bands in the wrong order: blue for red, near infrared for green."""
    names = {"B02": "B04", "B04": "B02", "B03": "B08", "B08": "B03"}
    return {name: date.bands[names.get(name, name)] for name in date.bands}


def read_date(folder: Path, seed: int) -> Date:
    """The bands of a folder of band files in reflectance, and its classes."""
    bands, classes = {}, None
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            stored = file.read(1).astype(np.float32)
            scale, offset = _coding(file)
        if (name := band_of(path)) is not None:
            bands[name] = np.where(
                stored > 0, stored * np.float32(scale) + np.float32(offset), np.float32(np.nan)
            )
        elif path.stem.endswith("_SCL"):
            classes = stored
    return Date(bands, np.random.default_rng(seed), "L1C" if classes is None else "L2A", classes)


def _coding(file):
    """Scale and offset of the stored numbers; what the cities leave unsaid is reflectance times 10000."""
    return (file.scales[0] if file.scales[0] != 1 else 1e-4), file.offsets[0]


def band_of(path: Path) -> str | None:
    """The band that a file name speaks of."""
    found = _BAND.search(path.stem)
    return found[1] if found else None


def write_date(
    source: Path, target: Path, bands: Mapping[str, np.ndarray], *, eight_bits: bool = False
) -> None:
    """Write other numbers into copies of the files of a date; what is no band is copied as it is."""
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.tif")):
        name = band_of(path)
        with rasterio.open(path) as file:
            profile, stored, tags = file.profile, file.read(), file.tags()
            scales, offsets, coding = file.scales, file.offsets, _coding(file)
        if name in bands:
            stored[0] = _numbers(bands[name], coding, eight_bits=eight_bits)
        elif "SCL" in bands and path.stem.endswith("_SCL"):
            stored[0] = np.nan_to_num(bands["SCL"])
        if eight_bits:
            profile |= {"dtype": "uint8", "nodata": 0}
        with rasterio.open(target / path.name, "w", **profile) as file:
            file.write(stored.astype(profile["dtype"]))
            if not eight_bits:
                file.update_tags(**tags)
                file.scales, file.offsets = scales, offsets


def _numbers(plane, coding, *, eight_bits):
    if eight_bits:
        low, high = np.nanquantile(plane, (0.02, 0.98))
        found = 1 + 254 * np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
    else:
        found = np.clip(np.rint((plane - coding[1]) / coding[0]), 1, 65535)
    return np.nan_to_num(found)
