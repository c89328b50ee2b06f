"""Spectral indices, vectorised, with denominators kept away from zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Planes = Mapping[str, "NDArray[np.float32]"]

_SMALLEST = np.float32(1e-3)


def normalised_difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``(first - second) / (first + second)``; NaN stays NaN.

    Parameters
    ----------
    first, second : ndarray of float32, same shape
        Reflectance.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1 where both are at least 0; 0 where both are 0.

    Examples
    --------
    >>> normalised_difference(np.float32([0.4, 0.0]), np.float32([0.1, 0.0])).tolist()
    [0.6000000238418579, 0.0]
    """
    return np.asarray((first - second) / np.maximum(first + second, _SMALLEST), np.float32)


def ndvi(planes: Planes) -> NDArray[np.float32]:
    """Normalised difference vegetation index, B08 and B04 (Rouse et al. 1974).

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B08"], planes["B04"])


def ndbi(planes: Planes) -> NDArray[np.float32]:
    """Normalised difference built-up index, B11 and B08.

    Zha, Gao and Ni 2003, doi:10.1080/01431160304987.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B11"], planes["B08"])


def bsi(planes: Planes) -> NDArray[np.float32]:
    """Bare soil index, B11 + B04 against B08 + B02 (Rikimaru, Roy and Miyatake 2002).

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B11"] + planes["B04"], planes["B08"] + planes["B02"])


def mndwi(planes: Planes) -> NDArray[np.float32]:
    """Compute the modified normalised difference water index, B03 and B11.

    Xu 2006, doi:10.1080/01431160600589179.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B03"], planes["B11"])


def ndwi(planes: Planes) -> NDArray[np.float32]:
    """Normalised difference water index, B03 and B08 (McFeeters 1996, doi:10.1080/01431169608948714).

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B03"], planes["B08"])


def nbr(planes: Planes) -> NDArray[np.float32]:
    """Normalised burn ratio, B08 and B12: low where ground was burnt or cleared (Key and Benson 2006).

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B08"], planes["B12"])


def ndti(planes: Planes) -> NDArray[np.float32]:
    """Normalised difference tillage index, B11 and B12: low over minerals, high over plants, living or dead.

    Van Deventer et al. 1997: near 2.2 um cellulose and the water in leaves absorb, fired clay and concrete do
    not.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B11"], planes["B12"])


def baei(planes: Planes) -> NDArray[np.float32]:
    """Built-up area extraction index, (B04 + 0.3) / (B03 + B11).

    Bouzekri, Lasbet and Lachehab 2015, doi:10.1007/s12524-015-0460-6.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        Not bounded, and very large over dark water; NaN stays NaN.
    """
    below = np.maximum(planes["B03"] + planes["B11"], _SMALLEST)
    return np.asarray((planes["B04"] + np.float32(0.3)) / below, np.float32)


def redness(planes: Planes) -> NDArray[np.float32]:
    """Normalised difference of red and blue: high over soils, near zero over concrete and metal.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        -1 to 1; NaN stays NaN.
    """
    return normalised_difference(planes["B04"], planes["B02"])


def brightness(planes: Planes) -> NDArray[np.float32]:
    """Mean of the three visible bands.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        Reflectance.
    """
    return np.asarray((planes["B02"] + planes["B03"] + planes["B04"]) / np.float32(3), np.float32)


def near_infrared(planes: Planes) -> NDArray[np.float32]:
    """Return the near-infrared reflectance itself, B08.

    Parameters
    ----------
    planes : mapping of str to ndarray of float32
        Reflectance by canonical band name.

    Returns
    -------
    ndarray of float32, same shape
        Reflectance.
    """
    return planes["B08"]


#: Every index by the name that evidence uses, with the bands it needs.
INDICES: Mapping[str, tuple[Callable[[Planes], NDArray[np.float32]], frozenset[str]]] = MappingProxyType(
    {
        "NDVI": (ndvi, frozenset({"B04", "B08"})),
        "NDBI": (ndbi, frozenset({"B08", "B11"})),
        "BSI": (bsi, frozenset({"B02", "B04", "B08", "B11"})),
        "MNDWI": (mndwi, frozenset({"B03", "B11"})),
        "NDWI": (ndwi, frozenset({"B03", "B08"})),
        "NDTI": (ndti, frozenset({"B11", "B12"})),
        "redness": (redness, frozenset({"B02", "B04"})),
        "brightness": (brightness, frozenset({"B02", "B03", "B04"})),
        "NIR": (near_infrared, frozenset({"B08"})),
    }
)


def compute_indices(data: NDArray[np.float32], bands: tuple[str, ...]) -> dict[str, NDArray[np.float32]]:
    """Compute every index whose bands are there.

    Parameters
    ----------
    data : ndarray of float32, shape (band, y, x)
        Reflectance 0..1.
    bands : tuple of str
        Canonical band names.

    Returns
    -------
    dict of str to ndarray of float32, shape (y, x)
    """
    planes = dict(zip(bands, data, strict=True))
    return {name: function(planes) for name, (function, needs) in INDICES.items() if needs <= planes.keys()}
