"""What one interpolation is worth, and whether the dates of a composite should follow a field.

    python benchmarks/registration_pixels.py

The first table moves bands of 20 m onto a displaced grid of 10 m in one step and in two, of waves whose truth
is a formula and of real ground whose truth is finer than the band. The second one hides a part of the first
date of labelled cities (Daudt et al. 2018, doi:10.1109/IGARSS.2018.8518015, in the folder that CHANGEDET_DATA
names), measures on the rest, and compares under the hidden part with the field of the whole images.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from scipy import ndimage

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from benchmarks.registration_effect import ROOT, City  # noqa: E402

from changedet.core.displacement import DisplacementField  # noqa: E402
from changedet.pairing import make_pair  # noqa: E402
from changedet.pipeline import register  # noqa: E402
from changedet.resample import resample, room_for  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PERIODS_M = (80, 120, 170, 240, 400)
CITIES = ("aguasclaras", "nantes", "pisa", "beihai", "cupertino", "bordeaux")
#: The optics of a band of 20 m, in pixels of 10 m.
BLUR_PX = 1.0
#: Pixels beside the edge that are not compared; every so many pixels fields are.
_EDGE_PX, _EVERY_PX = 16, 4


def main() -> int:
    """Print both tables."""
    print(f"{'ground':<16}{'one step':>12}{'two steps':>12}   RMSE over deviation")
    for name, shape, at in grounds():
        print(f"{name:<16}" + "".join(f"{error:>12.4f}" for error in interpolated(shape, at)), flush=True)
    print(f"\n{'city':<14}{'hidden':<10}{'one shift, px':>16}{'chosen, px':>12}  model")
    for number, name in enumerate(CITIES if (ROOT / "images").is_dir() else ()):
        for row in hidden(City(name, number)):
            print(f"{name:<14}{row[0]:<10}{row[1]:>16.3f}{row[2]:>12.3f}  {row[3]}", flush=True)
    return 0


def grounds() -> Iterator[tuple[str, tuple[int, int], Callable]]:
    """Yield a name, a shape in pixels of 10 m, and a function of rows and columns that is the truth."""
    for period_m in PERIODS_M:
        turn = 20 * np.pi / period_m
        yield f"wave {period_m} m", (120, 120), lambda r, c, t=turn: np.sin(t * r) * np.cos(t * c + 0.4)
    for number, name in enumerate(("beihai", "cupertino", "bercy") if (ROOT / "images").is_dir() else ()):
        plane = City(name, number).before.select(("B04",)).data[0]
        whole = np.nan_to_num(plane[: plane.shape[0] // 2 * 2, : plane.shape[1] // 2 * 2])
        spline = ndimage.spline_filter(ndimage.gaussian_filter(whole.astype(float), BLUR_PX), 3)
        yield name, whole.shape, lambda r, c, s=spline: ndimage.map_coordinates(s, [r, c], prefilter=False)


def interpolated(shape: tuple[int, int], at: Callable) -> tuple[float, float]:
    """Return the errors of moving a band of 20 m in one step and in two."""
    height, width = shape
    fine = GeoBox(shape, Affine(10, 0, 0, 0, -10, 10 * height), "EPSG:32633")
    coarse = GeoBox((height // 2, width // 2), Affine(20, 0, 0, 0, -20, 10 * height), fine.crs)
    surface = np.random.default_rng(0).uniform(-0.8, 0.8, (2, 5, 5))
    field = DisplacementField("spline", shape, (0.3, -0.4), surface=surface)
    down, right = np.mgrid[:height, :width] - field.on(*(np.arange(size, dtype=float) for size in shape))
    rows, columns = np.mgrid[: height // 2, : width // 2]
    band = at(2 * rows + 0.5, 2 * columns + 0.5).astype(np.float32)
    room = room_for(fine, field)
    one = resample(band, coarse, fine, displacement=field)
    two = resample(resample(band, coarse, room), room, fine, displacement=field)
    inner = np.s_[_EDGE_PX:-_EDGE_PX, _EDGE_PX:-_EDGE_PX]
    off = [(moved - at(down, right))[inner] for moved in (one, two)]
    first, second = (float(np.sqrt(np.nanmean(part**2)) / band.std()) for part in off)
    return first, second


def hidden(city: City) -> Iterator[tuple[str, float, float, str]]:
    """Yield what is hidden, the errors there of one shift and of what is chosen, and its model."""
    truth = field_of(city, np.zeros(city.inside.shape, bool), local=True)[1]
    for name, part in parts(city.before.valid.shape, city.seed).items():
        found = [field_of(city, part, local=local) for local in (False, True)]
        here = part[::_EVERY_PX, ::_EVERY_PX]
        errors = [float(np.sqrt(((field - truth) ** 2).sum(axis=0)[here].mean())) for _, field in found]
        yield name, errors[0], errors[1], found[1][0]


def field_of(city: City, part: np.ndarray, *, local: bool) -> tuple[str, np.ndarray]:
    """Register with a part of the first date hidden; return the model and the field on a raster."""
    before = replace(city.before, valid=city.before.valid & ~part)
    pair = make_pair(before, city.after, city.inside)
    field = register(pair, city.sources[1], local=local)[0].field
    return field.model, field.on(*(np.arange(0, size, _EVERY_PX, dtype=float) for size in field.shape))


def parts(shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """Return what is hidden: a half, the lower part, a corner, patches."""
    down, right = np.mgrid[: shape[0], : shape[1]] / np.array(shape)[:, None, None]
    patches = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 40)
    return {
        "left": right < 0.5,
        "below": down > 0.6,
        "corner": (down > 0.5) & (right > 0.5),
        "patches": patches > np.quantile(patches, 0.6),
    }


if __name__ == "__main__":
    sys.exit(main())
