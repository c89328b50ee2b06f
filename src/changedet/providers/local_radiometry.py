"""From stored numbers to reflectance: who says which scale and offset, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import SENTINEL2_BANDS
from changedet.providers.facts import LocalOptions, Stated, baseline_pair
from changedet.scene import Radiometry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

#: Sentinel-2 stores reflectance times 10 000.
SENTINEL2_SCALE = 1e-4
#: Offset of Sentinel-2 products since processing baseline 04.00 (ESA product format, 2022).
SENTINEL2_OFFSET = -0.1
#: The stored number for a saturated pixel in 16-bit products.
SATURATED_NUMBER = 65535.0
#: A float image whose median is above this holds stored numbers, not reflectance.
REFLECTANCE_MEDIAN_LIMIT = 2.0
#: An integer image that never exceeds this is taken as it is.
INTEGER_REFLECTANCE_LIMIT = 1.5

_SENTINEL2_NAMES = frozenset(band.name for band in SENTINEL2_BANDS)
_FIRST_OFFSET_BASELINE = (4, 0)


@dataclass(frozen=True)
class Stored:
    """What a file says of the numbers of one band.

    Attributes
    ----------
    name : str
        Band name.
    dtype : str
        Type of the stored numbers, as NumPy calls it.
    scale, offset : float
        As in the file; 1 and 0 when it says nothing.
    nodata : float or None
        As in the file.
    decoded : bool
        True when somebody applied scale and offset already.
    sample : callable
        Returns some numbers of the image, for the cases in which a convention has to be assumed.
    """

    name: str
    dtype: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    decoded: bool = False
    sample: Callable[[], NDArray[Any]] | None = None

    @property
    def is_integer(self) -> bool:
        """True when the numbers are integers."""
        return np.dtype(self.dtype).kind in "ui"


@dataclass(frozen=True)
class Witnesses:
    """Who may speak about scale and offset, besides the file itself.

    Attributes
    ----------
    given : LocalOptions
        The user.
    product : mapping of str to Radiometry
        Metadata of the product, by band.
    baseline : Stated or None
        Processing baseline in a tag or in a name.
    where : str
        What is being read, for errors.
    """

    given: LocalOptions = field(default_factory=LocalOptions)
    product: Mapping[str, Radiometry] = field(default_factory=lambda: MappingProxyType({}))
    baseline: Stated | None = None
    where: str = ""


def decide_radiometry(stored: Stored, witnesses: Witnesses) -> Radiometry:
    """Choose scale, offset, no-data and saturation numbers for one band.

    The user is believed first, then product metadata, the file, the processing baseline, and at last a
    convention, which is marked as assumed. The date of acquisition never decides.

    Parameters
    ----------
    stored : Stored
        The band.
    witnesses : Witnesses
        Who else may know.

    Returns
    -------
    Radiometry
        With a sentence on where it came from.

    Raises
    ------
    InputFileError
        When it depends on a processing baseline that is not known.
    """
    given = witnesses.given
    if given.scale is not None and given.offset is not None:
        chosen = Radiometry(given.scale, given.offset)
    else:
        chosen = _stated(stored, witnesses) or _assumed(stored)
    nodata = _nodata(stored) if chosen.nodata is None or stored.nodata is not None else chosen.nodata
    saturated = SATURATED_NUMBER if stored.dtype == "uint16" else None
    chosen = replace(chosen, nodata=nodata, saturated=chosen.saturated or saturated)
    return _as_given(chosen, given)


def to_reflectance(numbers: NDArray[Any], radiometry: Radiometry, *, clip: bool) -> NDArray[np.float32]:
    """Turn stored numbers into reflectance.

    Parameters
    ----------
    numbers : ndarray
        As stored; never changed.
    radiometry : Radiometry
        Scale and offset; the no-data and saturated numbers become NaN before they are applied.
    clip : bool
        Whether negative reflectance becomes 0.

    Returns
    -------
    ndarray of float32, same shape
        NaN = no data, saturated, or not finite in the file.

    Examples
    --------
    >>> to_reflectance(np.array([0, 900, 2500], "u2"), Radiometry(1e-4, -0.1, nodata=0), clip=True)
    array([ nan, 0.  , 0.15], dtype=float32)
    """
    with np.errstate(over="ignore"):  # a double as no-data code may not fit; it becomes infinite, so missing
        values = numbers.astype(np.float32)
        whole = numbers.dtype.kind in "iu"  # always finite
        unusable = np.zeros(values.shape, bool) if whole else ~np.isfinite(values)
        for code in (radiometry.nodata, radiometry.saturated):
            if code is not None and np.isfinite(code):
                unusable |= numbers == (numbers.dtype.type(code) if numbers.dtype.kind == "f" else code)
    if (radiometry.scale, radiometry.offset) != (1.0, 0.0):
        values *= np.float32(radiometry.scale)
        values += np.float32(radiometry.offset)
    if clip:
        np.maximum(values, 0.0, out=values)
    values[unusable] = np.nan
    return values


def _stated(stored: Stored, witnesses: Witnesses) -> Radiometry | None:
    if stored.name in witnesses.product:
        return witnesses.product[stored.name]
    if stored.decoded:
        return Radiometry(source="scale and offset of the file, applied already")
    if (stored.scale, stored.offset) != (1.0, 0.0):
        return Radiometry(stored.scale, stored.offset, source="scale and offset stated in the file")
    if witnesses.baseline is None or not stored.is_integer or stored.name not in _SENTINEL2_NAMES:
        return None
    pair = baseline_pair(str(witnesses.baseline.value), where=witnesses.where)
    offset = SENTINEL2_OFFSET if pair >= _FIRST_OFFSET_BASELINE else 0.0
    text = f"processing baseline {pair[0]:02d}.{pair[1]:02d} ({witnesses.baseline.source}): offset {offset:g}"
    return Radiometry(SENTINEL2_SCALE, offset, source=text)


def _assumed(stored: Stored) -> Radiometry:
    numbers = stored.sample() if stored.sample else np.zeros(0, np.float32)
    numbers = numbers[np.isfinite(numbers)]
    if stored.nodata is not None:
        numbers = numbers[numbers != stored.nodata]
    if stored.is_integer:
        if stored.dtype == "uint8":
            return Radiometry(1 / 255, source="assumed: 8-bit numbers are fractions of 255", assumed=True)
        if numbers.size == 0 or numbers.max() > INTEGER_REFLECTANCE_LIMIT:
            text = "assumed: integers are reflectance times 10000 without offset"
            return Radiometry(SENTINEL2_SCALE, source=text, assumed=True)
    elif numbers.size and float(np.median(numbers)) > REFLECTANCE_MEDIAN_LIMIT:
        text = "assumed: numbers above 2 are reflectance times 10000 without offset"
        return Radiometry(SENTINEL2_SCALE, nodata=0.0, source=text, assumed=True)
    return Radiometry(source="assumed: numbers are reflectance as they stand", assumed=True)


def _nodata(stored: Stored) -> float | None:
    if stored.nodata is not None:
        return stored.nodata
    sixteen_bit = stored.dtype in {"uint16", "int16"}
    return 0.0 if stored.is_integer and (sixteen_bit or stored.name in _SENTINEL2_NAMES) else None


def _as_given(chosen: Radiometry, given: LocalOptions) -> Radiometry:
    """Put what the user says over what was found."""
    said = {
        name: value
        for name, value in (("scale", given.scale), ("offset", given.offset), ("nodata", given.nodata))
        if value is not None
    }
    if not said:
        return chosen
    words = ", ".join(f"{name} {value:g}" for name, value in said.items())
    rest = "" if {"scale", "offset"} <= set(said) else f"; otherwise {chosen.source}"
    source = f"{words} given by the user{rest}"
    # who states a scale describes the whole formula: an assumed offset of 0 is then meant
    assumed = chosen.assumed and "scale" not in said
    return replace(chosen, **said, source=source, assumed=assumed)
