"""Spectral bands: canonical names, roles and native resolution, in one table.

Canonical names are those of Sentinel-2 (``B02``, ``B8A``, ...). Common names of other catalogues
(``blue``, ``nir08``, ...) are understood on input and translated here and nowhere else.
Wavelengths: ESA Sentinel-2 Spectral Response Functions, document COPE-GSEG-EOPG-TN-15-0007.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True)
class Band:
    """One spectral band of Sentinel-2 MSI.

    Attributes
    ----------
    name : str
        Canonical name, e.g. ``"B04"``.
    common_name : str
        Name used by STAC catalogues, e.g. ``"red"``.
    wavelength_nm : float
        Centre wavelength in nanometres.
    resolution_m : int
        Native ground sampling distance in metres: 10, 20 or 60.
    change_weight : float
        Weight of the band in the optical change score for built-up change at 10 m. The visible bands
        detect, the others explain (Daudt et al. 2018 data, measured on labelled city pairs): all bands
        predict what is usual, and only those with a weight are asked what is not.
    """

    name: str
    common_name: str
    wavelength_nm: float
    resolution_m: int
    change_weight: float


#: Sentinel-2 MSI, in order of wavelength.
SENTINEL2_BANDS: tuple[Band, ...] = (
    Band("B01", "coastal", 442.7, 60, 0.0),
    Band("B02", "blue", 492.4, 10, 1.0),
    Band("B03", "green", 559.8, 10, 1.0),
    Band("B04", "red", 664.6, 10, 1.0),
    Band("B05", "rededge1", 704.1, 20, 0.3),
    Band("B06", "rededge2", 740.5, 20, 0.0),
    Band("B07", "rededge3", 782.8, 20, 0.0),
    Band("B08", "nir", 832.8, 10, 0.0),
    Band("B8A", "nir08", 864.7, 20, 0.0),
    Band("B09", "nir09", 945.1, 60, 0.0),
    Band("B10", "cirrus", 1373.5, 60, 0.0),
    Band("B11", "swir16", 1613.7, 20, 0.0),
    Band("B12", "swir22", 2202.4, 20, 0.0),
)

#: Name of the scene classification layer of Level-2A products.
SCL = "SCL"

#: Bands that a comparison uses when both dates have them, in this order.
COMPARED_BANDS: tuple[str, ...] = tuple(b.name for b in SENTINEL2_BANDS if b.resolution_m <= 20)

#: Bands without which an optical comparison is refused.
REQUIRED_BANDS: tuple[str, ...] = ("B02", "B03", "B04", "B08")

#: Polarisations of Sentinel-1 over land: sent vertically, received vertically and horizontally.
RADAR_BANDS: tuple[str, str] = ("VV", "VH")

#: The three bands of a natural-colour picture, red first.
NATURAL_COLOUR: tuple[str, str, str] = ("B04", "B03", "B02")

_BY_NAME = {b.name: b for b in SENTINEL2_BANDS}
_BY_COMMON_NAME = {b.common_name: b.name for b in SENTINEL2_BANDS}
#: Texts that begin like a common name and mean another band, whose number they do not tell.
_OTHER_COLOUR = re.compile(r"rededge|nirnarrow")
_CODE = re.compile(r"^B0?(8A|[1-9]|1[0-2])$", re.IGNORECASE)


def band(name: str) -> Band:
    """Return the table row of a canonical band name.

    Parameters
    ----------
    name : str
        For example ``"B8A"``.

    Returns
    -------
    Band
        Its row of `SENTINEL2_BANDS`.

    Raises
    ------
    KeyError
        If `name` is not a canonical Sentinel-2 band name.

    Examples
    --------
    >>> band("B8A").resolution_m
    20
    """
    return _BY_NAME[name]


def canonical_name(text: str) -> str | None:
    """Translate a band's name in a file or catalogue to the canonical one.

    Parameters
    ----------
    text : str
        ``"B4"``, ``"B04"``, ``"b8a"``, ``"red"``, ``"scl"``, ``"B04_10m"``, ``"B4 (665 nm)"``, ...

    Returns
    -------
    str or None
        The canonical name, ``"SCL"``, or None when the text names no known band.

    Examples
    --------
    >>> canonical_name("red"), canonical_name("B8a"), canonical_name("B04_10m"), canonical_name("mask")
    ('B04', 'B8A', 'B04', None)
    >>> canonical_name("red edge 1"), canonical_name("red edge")
    ('B05', None)
    """
    joined = re.sub(r"[\s_-]", "", text).lower()
    if joined in _BY_COMMON_NAME:
        return _BY_COMMON_NAME[joined]
    if _OTHER_COLOUR.match(joined):
        return None
    word = re.split(r"[\s_(,;:-]", text.strip(), maxsplit=1)[0]
    if word.upper() == SCL:
        return SCL
    if found := _CODE.match(word):
        code = found.group(1).upper()
        return "B8A" if code == "8A" else f"B{int(code):02d}"
    return _BY_COMMON_NAME.get(word.lower())


#: How bands may be weighted, see `change_weights`.
BAND_WEIGHTS: tuple[str, ...] = ("auto", "built-up", "equal")
#: Pixels up to this size show single buildings; on larger ones built-up change is a change of cover.
_BUILT_UP_PIXEL_M = 20.0


def change_weights(
    names: tuple[str, ...], scheme: str = "built-up", pixel_m: float = 10.0
) -> tuple[float, ...]:
    """Return the weight of each band in the optical change score.

    Parameters
    ----------
    names : tuple of str
        Canonical band names.
    scheme : {"auto", "built-up", "equal"}
        ``"built-up"``: the table, which leans on the visible bands; a band that is not in the table (another
        sensor's) gets weight 1, as nothing is known against it. ``"equal"``: all alike. ``"auto"``:
        built-up on pixels of up to 20 m, where roofs and pavements show, and equal on larger ones, where
        change is a change of cover.
    pixel_m : float
        Side of a pixel in metres, for ``"auto"``.

    Returns
    -------
    tuple of float
        One weight for each name, in the same order; all 1 where the scheme would leave none.

    Raises
    ------
    ValueError
        When the scheme is not known.

    Examples
    --------
    >>> change_weights(("B04", "B08", "thermal"))
    (1.0, 0.0, 1.0)
    >>> change_weights(("B04", "B08"), "auto", pixel_m=30.0)
    (1.0, 1.0)
    """
    if scheme not in BAND_WEIGHTS:
        message = f"unknown band weights {scheme!r}: choose one of {', '.join(BAND_WEIGHTS)}"
        raise ValueError(message)
    if scheme == "equal" or (scheme == "auto" and pixel_m > _BUILT_UP_PIXEL_M):
        return (1.0,) * len(names)
    weights = tuple(_BY_NAME[n].change_weight if n in _BY_NAME else 1.0 for n in names)
    return weights if any(weights) else (1.0,) * len(names)


def is_radar(bands: Collection[str]) -> bool:
    """Tell whether bands are polarisations of radar and nothing else.

    Examples
    --------
    >>> is_radar(("VV", "VH")), is_radar(("VV",)), is_radar(("B02", "VV")), is_radar(())
    (True, True, False, False)
    """
    return bool(bands) and set(bands) <= set(RADAR_BANDS)
