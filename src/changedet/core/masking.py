"""Which pixels can be compared: classes, dilation, and spectral tests where there is no classification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from changedet.core.planes import by_rows, by_tiles, count_where, over_rows, values_where
from changedet.core.sampling import plane_median

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SceneClass(IntEnum):
    """Codes of the Sentinel-2 scene classification layer (Sen2Cor)."""

    NO_DATA = 0
    SATURATED = 1
    DARK_AREA = 2
    CLOUD_SHADOW = 3
    VEGETATION = 4
    BARE = 5
    WATER = 6
    UNCLASSIFIED = 7
    CLOUD_MEDIUM = 8
    CLOUD_HIGH = 9
    THIN_CIRRUS = 10
    SNOW = 11


#: Classes whose pixels cannot be compared at all.
UNUSABLE_CLASSES: tuple[SceneClass, ...] = (
    SceneClass.NO_DATA,
    SceneClass.SATURATED,
    SceneClass.DARK_AREA,
    SceneClass.CLOUD_SHADOW,
    SceneClass.CLOUD_MEDIUM,
    SceneClass.CLOUD_HIGH,
    SceneClass.THIN_CIRRUS,
)
#: Classes whose surroundings are not trusted either: their edges are softer than their maps.
SOFT_EDGED_CLASSES: tuple[SceneClass, ...] = (
    SceneClass.CLOUD_SHADOW,
    SceneClass.CLOUD_MEDIUM,
    SceneClass.CLOUD_HIGH,
    SceneClass.THIN_CIRRUS,
)


#: Bands without which `spectral_classes` cannot look for clouds.
CLOUD_TEST_BANDS = frozenset({"B02", "B03", "B04", "B08", "B11"})
#: Clouds, cirrus and cloud shadows are widened by this before pixels count as usable, in metres.
CLOUD_BUFFER_M = 60.0
# What speaks for a class: bits of one number.
_SNOW, _CLOUD, _CIRRUS, _DARK, _MISSING = (np.uint8(1 << bit) for bit in range(5))
# pixels of a projected grid are not quite as long on the ground as on the map
_WHOLE_PIXEL_SLACK = 0.05


def unclassified(observed: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the classes of a sensor that tells no more than where it observed, such as radar.

    Parameters
    ----------
    observed : ndarray of bool, shape (y, x)
        True where it did.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        `SceneClass.UNCLASSIFIED` where observed, else `SceneClass.NO_DATA`.

    Examples
    --------
    >>> unclassified(np.array([[True, False]])).tolist()
    [[7, 0]]
    """
    codes = np.array([SceneClass.NO_DATA, SceneClass.UNCLASSIFIED], np.uint8)
    return by_rows(lambda part: codes[part.view(np.uint8)], observed, dtype=np.uint8)


def cloud_buffer_px(pixel_size_m: float) -> int:
    """Return the width of the cloud buffer in pixels, rounded up.

    Parameters
    ----------
    pixel_size_m : float
        Spacing of the pixels in metres.

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> cloud_buffer_px(10.0), cloud_buffer_px(9.7)
    (6, 7)
    """
    return math.ceil(CLOUD_BUFFER_M / pixel_size_m - _WHOLE_PIXEL_SLACK)


@dataclass(frozen=True)
class SpectralTests:
    """Thresholds of `spectral_classes`, on top-of-atmosphere or surface reflectance 0..1.

    They are set so that streets full of bright roofs are not taken for clouds; thin cloud edges and clouds
    under about 130 m are therefore missed.

    Attributes
    ----------
    cloud_blue : float
        A cloud's core is at least this bright in the blue.
    cloud_haze : float
        Least haze-optimised difference, blue - 0.5 red, of a cloud's core (Zhang, Guindon and Cihlar 2002,
        doi:10.1016/S0034-4257(02)00034-2, in the form of Zhu and Woodcock 2012).
    edge_blue, edge_haze : float
        The same for a cloud's edge, which counts only near a core.
    core_m : float
        A core survives an opening by a disc of this diameter in metres; a roof does not.
    edge_m : float
        How far the edge may reach from the core, in metres.
    cirrus : float
        Reflectance at 1375 nm above which there is cirrus. High mountains can exceed it too.
    snow_ndsi, snow_green, snow_nir : float
        Snow is above all three (Hall, Riggs and Salomonson 1995, doi:10.1016/0034-4257(95)00137-P).
    snow_m : float
        Patches of snow narrower than this, in metres, are not told from bright roofs.
    shadow_nir, shadow_swir : float
        A cloud's shadow is darker than both.
    shadow_reach_m : float
        How far from its cloud a shadow is looked for, in metres.
    """

    cloud_blue: float = 0.25
    cloud_haze: float = 0.08
    edge_blue: float = 0.14
    edge_haze: float = 0.065
    core_m: float = 130.0
    edge_m: float = 120.0
    cirrus: float = 0.012
    snow_ndsi: float = 0.4
    snow_green: float = 0.15
    snow_nir: float = 0.11
    snow_m: float = 70.0
    shadow_nir: float = 0.15
    shadow_swir: float = 0.12
    shadow_reach_m: float = 1500.0


def usable_from_classes(classes: NDArray[np.uint8], *, dilation_px: int) -> NDArray[np.bool_]:
    """Return which pixels can be compared, from a scene classification.

    Parameters
    ----------
    classes : ndarray of uint8, shape (y, x)
        `SceneClass` codes. Snow stays usable here: whether it matters depends on the other date.
    dilation_px : int
        Clouds, cirrus and cloud shadows are widened by this many pixels.

    Returns
    -------
    ndarray of bool, shape (y, x)
        True where usable.

    Examples
    --------
    >>> usable_from_classes(np.array([[4, 9, 4, 4]], np.uint8), dilation_px=1)
    array([[False, False, False,  True]])
    """
    unusable, soft = (_any_of(codes) for codes in (UNUSABLE_CLASSES, SOFT_EDGED_CLASSES))

    def _tile(wide: NDArray[np.uint8]) -> NDArray[np.bool_]:
        edges = soft[wide]
        usable = ~unusable[wide]
        return usable & ~_dilate(edges, dilation_px) if dilation_px > 0 and edges.any() else usable

    return by_tiles(_tile, classes, halo_px=max(dilation_px, 0), dtype=bool)


def _any_of(codes: tuple[SceneClass, ...]) -> NDArray[np.bool_]:
    """Return a table that tells of every number of 8 bits whether it is one of some classes."""
    return np.isin(np.arange(256), codes)


def spectral_classes(
    data: NDArray[np.float32],
    bands: tuple[str, ...],
    *,
    sun_elevation_deg: float | None = None,
    sun_azimuth_deg: float | None = None,
    pixel_size_m: float = 10.0,
    tests: SpectralTests = SpectralTests(),
) -> NDArray[np.uint8]:
    """Classify clouds, cirrus, cloud shadows and snow where a product brings no classification.

    The cloud test follows the potential cloud pixels of Fmask (Zhu and Woodcock 2012,
    doi:10.1016/j.rse.2011.10.028): white, hazy, bright, not snow, not vegetation, near infrared not far
    below the short-wave infrared. Only groups wide enough not to be a roof count. Shadows are dark pixels
    on the far side of a cloud from the sun.

    Parameters
    ----------
    data : ndarray of float32, shape (band, y, x)
        Reflectance 0..1; NaN = no data.
    bands : tuple of str
        Canonical names. Without B02, B03, B04, B08 and B11 nothing can be tested; B10 adds cirrus.
    sun_elevation_deg, sun_azimuth_deg : float or None
        Sun position; without an azimuth shadows are looked for all round a cloud.
    pixel_size_m : float
        Spacing of the grid in metres.
    tests : SpectralTests
        Thresholds.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        `NO_DATA`, `CLOUD_HIGH`, `THIN_CIRRUS`, `CLOUD_SHADOW`, `SNOW` or `UNCLASSIFIED`.
    """
    reach_px = 2 + math.ceil((2 * max(tests.core_m, tests.snow_m) + tests.edge_m) / pixel_size_m)
    work = partial(_signs, bands, tests, pixel_size_m)
    signs = by_tiles(work, data, halo_px=reach_px, dtype=np.uint8)
    cloud = by_rows(lambda part: part & _CLOUD > 0, signs, dtype=np.uint8)
    if not any(over_rows(np.any, cloud)):
        return by_rows(_classes_of, signs, dtype=np.uint8, out=signs)
    reach = _shadow_reach(cloud, sun_elevation_deg, sun_azimuth_deg, pixel_size_m, tests)
    return by_rows(_classes_of, signs, reach, dtype=np.uint8, out=signs)


def _signs(
    bands: tuple[str, ...], tests: SpectralTests, pixel_size_m: float, data: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return what speaks for each class, bit by bit."""
    signs = np.where(np.isnan(data).all(axis=0), _MISSING, np.uint8(0))
    if not set(bands) >= CLOUD_TEST_BANDS:
        return signs
    plane = {name: np.nan_to_num(data[i]) for i, name in enumerate(bands)}
    signs[_is_snow(plane, tests, pixel_size_m)] |= _SNOW
    signs[_is_cloud(plane, tests, pixel_size_m)] |= _CLOUD
    if "B10" in plane:
        signs[plane["B10"] > tests.cirrus] |= _CIRRUS
    water = plane["B03"] > plane["B08"]
    signs[(plane["B08"] < tests.shadow_nir) & (plane["B11"] < tests.shadow_swir) & ~water] |= _DARK
    return signs


def _classes_of(signs: NDArray[np.uint8], reach: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Read classes from what speaks for them; the last word counts."""
    classes = np.full(signs.shape, SceneClass.UNCLASSIFIED, np.uint8)
    snow, cloud = signs & _SNOW > 0, signs & _CLOUD > 0
    classes[snow] = SceneClass.SNOW
    classes[cloud & ~snow] = SceneClass.CLOUD_HIGH
    classes[(signs & _CIRRUS > 0) & ~cloud] = SceneClass.THIN_CIRRUS
    if reach is not None:
        classes[reach & (signs & _DARK > 0) & ~cloud] = SceneClass.CLOUD_SHADOW
    classes[signs & _MISSING > 0] = SceneClass.NO_DATA
    return classes


@dataclass(frozen=True)
class PairTests:
    """Thresholds of `recheck_clouds`, in reflectance.

    Attributes
    ----------
    blue_rise : float
        A cloud is brighter in the blue than the same ground on the other date by at least this.
    nir_drop : float
        A cloud's shadow is darker in the near infrared than on the other date by at least this.
    roof_pixels : int
        A group of cloud pixels larger than this is left alone: where both dates have a deck of cloud, the one
        need not be brighter than the other.
    same_texture : float
        Where both dates have cloud pixels, they are a roof only if the blue of the two dates is correlated
        more than this inside the group: a roof looks the same twice, two clouds do not.
    """

    blue_rise: float = 0.08
    nir_drop: float = 0.04
    roof_pixels: int = 2500
    same_texture: float = 0.7


def recheck_clouds(
    classes: NDArray[np.uint8],
    other_classes: NDArray[np.uint8],
    date: tuple[NDArray[np.float32], NDArray[np.float32]],
    other: tuple[NDArray[np.float32], NDArray[np.float32]],
    tests: PairTests = PairTests(),
) -> NDArray[np.uint8]:
    """Take back clouds and shadows of `spectral_classes` that another date of the same ground contradicts.

    Clouds brighten the blue and come and go, bright roofs stay (the idea of Hagolle et al. 2010,
    doi:10.1016/j.rse.2010.03.002); shadows darken the near infrared, lakes and asphalt stay dark.

    Parameters
    ----------
    classes, other_classes : ndarray of uint8, shape (y, x)
        `SceneClass` codes of one date and of the other. What is cloud there too is taken back only when it
        looks the same; shadow that is shadow there too is left alone.
    date, other : tuple of two ndarrays of float32, shape (y, x)
        Blue and near-infrared reflectance of that date and of the other one; NaN = no data.
    tests : PairTests
        Thresholds.

    Returns
    -------
    ndarray of uint8, shape (y, x)
        The classes, with `UNCLASSIFIED` where a cloud or shadow was taken back.
    """
    if not any(over_rows(lambda part: bool(_is_doubtful(part).any()), classes)):
        return classes
    cloud = by_rows(lambda part: part == SceneClass.CLOUD_HIGH, classes, dtype=bool)
    labels = np.asarray(cv2.connectedComponents(cloud.view(np.uint8), connectivity=8)[1], np.int32)
    levels = [_usual_difference(date[i], other[i], classes) for i in (0, 1)]
    roof = _roofs(labels, cloud, other_classes, (date[0], other[0], levels[0]), tests)

    def _taken_back(
        part: NDArray[np.uint8],
        there: NDArray[np.uint8],
        groups: NDArray[np.int32],
        nir: NDArray[np.float32],
        other_nir: NDArray[np.float32],
    ) -> NDArray[np.bool_]:
        shadow = (part == SceneClass.CLOUD_SHADOW) & ~_is_doubtful(there)
        return np.asarray(roof[groups] | (shadow & (_relative(nir, other_nir, levels[1]) > -tests.nir_drop)))

    gone = by_rows(_taken_back, classes, other_classes, labels, date[1], other[1], dtype=bool)
    # where no cloud is left, nothing throws the shadows
    alone = not count_where(lambda part, back: (part == SceneClass.CLOUD_HIGH) & ~back, classes, gone)
    return by_rows(partial(_taken, alone), classes, gone, dtype=np.uint8)


def _is_doubtful(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((classes == SceneClass.CLOUD_HIGH) | (classes == SceneClass.CLOUD_SHADOW))


def _taken(no_shadows: bool, classes: NDArray[np.uint8], gone: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Take back classes where they are gone, and every shadow if there are none."""
    gone = gone | (classes == SceneClass.CLOUD_SHADOW) if no_shadows else gone
    return np.where(gone, np.uint8(SceneClass.UNCLASSIFIED), classes)


def _roofs(
    labels: NDArray[np.int32],
    cloud: NDArray[np.bool_],
    other_classes: NDArray[np.uint8],
    blue: tuple[NDArray[np.float32], NDArray[np.float32], np.float32],
    tests: PairTests,
) -> NDArray[np.bool_]:
    """Tell which groups of cloud pixels are roofs, by number; what is not cloud (0) is none."""
    group, there, date, other = (
        values_where(cloud, plane) for plane in (labels, other_classes, blue[0], blue[1])
    )
    count = 1 + int(group.max(initial=0))
    size = np.maximum(np.bincount(group, minlength=count), 1)
    mean_rise = np.bincount(group, weights=_relative(date, other, blue[2]), minlength=count) / size
    overlaps = np.bincount(group[_is_doubtful(there)], minlength=count) > 0
    alike = _component_correlations(group, date, other, count) > tests.same_texture
    roof = (mean_rise < tests.blue_rise) & (size <= tests.roof_pixels) & (alike | ~overlaps)
    roof[0] = False
    return roof


def _component_correlations(
    labels: NDArray[np.int32], first: NDArray[np.float32], second: NDArray[np.float32], count: int
) -> NDArray[np.float64]:
    """Correlate two images inside each component; 0 where one of them does not vary."""
    known = np.isfinite(first) & np.isfinite(second)
    group, x, y = labels[known], first[known].astype(np.float64), second[known].astype(np.float64)

    def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(group, weights=values, minlength=count) / size

    size = np.maximum(np.bincount(group, minlength=count), 1)
    mean_x, mean_y = _mean(x), _mean(y)
    dx, dy = x - mean_x[group], y - mean_y[group]
    scale = np.sqrt(_mean(dx * dx) * _mean(dy * dy))
    return np.asarray(np.where(scale > 0, _mean(dx * dy) / np.where(scale > 0, scale, 1), 0.0), np.float64)


def _usual_difference(
    date: NDArray[np.float32], other: NDArray[np.float32], classes: NDArray[np.uint8]
) -> np.float32:
    """Median difference of two dates over ground without cloud and shadow, 0 where there is none."""

    def _clear(
        part: NDArray[np.float32], there: NDArray[np.float32], codes: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        difference = part - there
        return np.asarray(difference[np.isfinite(difference) & ~_is_doubtful(codes)])

    return np.float32(np.nan_to_num(plane_median(_clear, date, other, classes)))


def _relative(
    date: NDArray[np.float32], other: NDArray[np.float32], level: np.float32
) -> NDArray[np.float32]:
    """Difference of two dates less a level, 0 where either has no data."""
    difference = date - other
    return np.where(np.isfinite(difference), difference - level, np.float32(0))


def _is_snow(
    plane: dict[str, NDArray[np.float32]], tests: SpectralTests, pixel_size_m: float
) -> NDArray[np.bool_]:
    green, nir, swir = plane["B03"], plane["B08"], plane["B11"]
    snow_index = (green - swir) / np.maximum(green + swir, np.float32(1e-3))
    snow = (snow_index > tests.snow_ndsi) & (green > tests.snow_green) & (nir > tests.snow_nir)
    return _open(np.asarray(snow, np.bool_), tests.snow_m / pixel_size_m)


def _is_cloud(
    plane: dict[str, NDArray[np.float32]], tests: SpectralTests, pixel_size_m: float
) -> NDArray[np.bool_]:
    blue, green, red, nir, swir = (plane[b] for b in ("B02", "B03", "B04", "B08", "B11"))
    mean = np.maximum((blue + green + red) / 3, np.float32(1e-3))
    whiteness = (abs(blue - mean) + abs(green - mean) + abs(red - mean)) / mean
    haze = blue - np.float32(0.5) * red
    snow_index = (green - swir) / np.maximum(green + swir, np.float32(1e-3))
    vegetation_index = (nir - red) / np.maximum(nir + red, np.float32(1e-3))
    like_cloud = (whiteness < 0.7) & (snow_index < 0.8) & (vegetation_index < 0.8) & (nir > 0.75 * swir)
    core = like_cloud & (blue > tests.cloud_blue) & (haze > tests.cloud_haze)
    core = _open(core, tests.core_m / pixel_size_m)
    edge = like_cloud & (blue > tests.edge_blue) & (haze > tests.edge_haze)
    return np.asarray(core | (edge & _dilate(core, round(tests.edge_m / pixel_size_m))), np.bool_)


def _shadow_reach(
    cloud: NDArray[np.uint8],
    sun_elevation_deg: float | None,
    sun_azimuth_deg: float | None,
    pixel_size_m: float,
    tests: SpectralTests,
) -> NDArray[np.bool_]:
    """Where the shadow of a cloud of unknown height may fall: a streak away from the sun.

    A pixel is a cloud where it is 1.
    """
    step = 4  # worked out on every fourth pixel: shadows are far larger
    if min(cloud.shape) < step:
        return np.ones(cloud.shape, np.bool_)
    coarse = cv2.resize(np.asarray(cloud), None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    length = round(tests.shadow_reach_m / (pixel_size_m * step))
    if sun_elevation_deg is not None:
        # cloud tops seldom exceed 8 km; a high sun keeps their shadows close
        length = min(
            length, round(8000 / np.tan(np.radians(max(sun_elevation_deg, 5))) / (pixel_size_m * step))
        )
    spread = np.zeros(coarse.shape, np.uint8)
    if sun_azimuth_deg is None:
        spread[_dilate(coarse > 0, max(length, 1))] = 1
    else:
        angle = np.radians(sun_azimuth_deg + 180.0)  # shadows point away from the sun
        kernel = np.zeros((2 * length + 1, 2 * length + 1), np.uint8)
        tip = round(length - length * float(np.cos(angle))), round(length + length * float(np.sin(angle)))
        cv2.line(kernel, (length, length), (tip[1], tip[0]), 1, thickness=1)
        # dilation takes the neighbour at an offset, so the streak's kernel is turned round
        spread[:] = cv2.dilate(coarse, np.ascontiguousarray(kernel[::-1, ::-1]), borderValue=0)
    full = cv2.resize(spread, (cloud.shape[1], cloud.shape[0]), interpolation=cv2.INTER_NEAREST)
    return by_tiles(lambda wide: _dilate(wide > 0, step), full, halo_px=step, dtype=bool)


def _disc(diameter_px: float) -> NDArray[np.uint8]:
    size = max(round(diameter_px) | 1, 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)


def _dilate(region: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(region.astype(np.uint8), _disc(2 * radius_px + 1), borderValue=0) > 0)


def _open(region: NDArray[np.bool_], diameter_px: float) -> NDArray[np.bool_]:
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, _disc(diameter_px))
    return np.asarray(opened > 0)
