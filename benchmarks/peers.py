"""The same results by other libraries: what somebody in a hurry would take instead.

What is imported here is imported when it is used; none of it is needed by the package.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
from scipy import ndimage


def installed(package):
    """Whether a package can be imported, or a program of that name is there."""
    return not package or find_spec(package) is not None or which(package) is not None


def magnitude_numexpr(before, after, _, factors):
    """Length of the standardised change vector by numexpr, all cores, one pass over the memory."""
    import numexpr

    names = {}
    terms = []
    for band, (x, y, fx, fy, added) in enumerate(zip(before, after, *factors, strict=True)):
        names |= {f"x{band}": x, f"y{band}": y}
        for name, number in (("fx", fx), ("fy", fy), ("c", added)):
            names[f"{name}{band}"] = np.float32(number)
        terms.append(f"(x{band}*fx{band} + y{band}*fy{band} + c{band})**2")
    return numexpr.evaluate(f"sqrt({' + '.join(terms)})", local_dict=names)


def magnitude_numba(before, after, _, factors):
    """The same, compiled for all cores."""
    return _compiled_magnitude()(before, after, *(np.float32(factor) for factor in factors))


@cache
def _compiled_magnitude():
    import numba

    @numba.njit(parallel=True, fastmath=True)
    def magnitude(before, after, fx, fy, added):
        bands, rows, columns = before.shape
        out = np.empty((rows, columns), np.float32)
        for row in numba.prange(rows):
            total = np.zeros(columns, np.float32)
            for band in range(bands):
                x, y = before[band, row], after[band, row]
                for column in range(columns):
                    value = x[column] * fx[band] + y[column] * fy[band] + added[band]
                    total[column] += value * value
            out[row] = np.sqrt(total)
        return out

    return magnitude


#: The programs of the Orfeo ToolBox that compute with bands, and find alterations of them.
BAND_MATH, ALTERATIONS = "otbcli_BandMath", "otbcli_MultivariateAlterationDetector"


def magnitude_otb(before, after, _, factors):
    """The same by the Orfeo ToolBox, from files to a file: it knows no arrays."""
    terms = [
        f"(im1b{band}*{fx:.9g} + im2b{band}*{fy:.9g} + {added:.9g})^2"
        for band, (fx, fy, added) in enumerate(zip(*factors, strict=True), start=1)
    ]
    expression = f"sqrt({' + '.join(terms)})".replace("+ -", "- ")
    return _by_files(BAND_MATH, before, after, lambda paths: ["-il", *paths, "-exp", expression])[0]


def alterations_otb(before, after, _):
    """Alterations of a pair by the Orfeo ToolBox, from files to a file; the squares summed in NumPy."""
    found = _by_files(ALTERATIONS, before, after, lambda paths: ["-in1", paths[0], "-in2", paths[1]])
    variances = found.reshape(len(found), -1).var(axis=1, dtype=np.float64).astype(np.float32)
    return np.einsum("byx,byx,b->yx", found, found, 1 / variances)


def _by_files(program, before, after, inputs):
    """Write both dates, let a program of the Orfeo ToolBox work, and read what it wrote."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        paths = [str(Path(folder) / f"{name}.tif") for name in ("before", "after", "found")]
        for path, image in zip(paths, (before, after), strict=False):
            bands, height, width = image.shape
            with rasterio.open(
                path, "w", driver="GTiff", count=bands, height=height, width=width, dtype="float32"
            ) as file:
                file.write(image)
        command = [program, *inputs(paths[:2]), "-out", paths[2], "float"]
        subprocess.run(command, check=True, capture_output=True)
        with rasterio.open(paths[2]) as file:
            return file.read()


def median_bottleneck(stack):
    """`bottleneck.nanmedian`."""
    import bottleneck

    return bottleneck.nanmedian(stack, axis=0)


def median_numba(stack):
    """Insertion into a sorted handful, pixel by pixel, compiled for all cores."""
    return _compiled_median()(stack)


@cache
def _compiled_median():
    import numba

    @numba.njit(parallel=True)
    def median(stack):
        dates, rows, columns = stack.shape
        out = np.empty((rows, columns), np.float32)
        for row in numba.prange(rows):
            found = np.empty(dates, np.float32)
            for column in range(columns):
                count = 0
                for date in range(dates):
                    value = stack[date, row, column]
                    if not np.isnan(value):
                        place = count
                        while place > 0 and found[place - 1] > value:
                            found[place] = found[place - 1]
                            place -= 1
                        found[place] = value
                        count += 1
                if count == 0:
                    out[row, column] = np.nan
                else:
                    sum_of_two = found[(count - 1) // 2] + found[count // 2]
                    out[row, column] = sum_of_two * np.float32(0.5)
        return out

    return median


def median_xarray(stack, valid):
    """`xarray.DataArray.median`, which is `numpy.nanmedian`."""
    import xarray as xr

    dates = xr.DataArray(stack, dims=("time", "band", "y", "x"))
    return dates.where(xr.DataArray(valid, dims=("time", "y", "x"))).median("time")


def smooth_scipy(score, valid, sigmas):
    """Normalised Gaussians by `scipy.ndimage.gaussian_filter`."""
    filled, weight = np.where(valid, score, 0), valid.astype(np.float32)
    blurred = [
        ndimage.gaussian_filter(filled, s) / np.maximum(ndimage.gaussian_filter(weight, s), 1e-6)
        for s in sigmas
    ]
    return np.where(valid, np.prod(blurred, axis=0) ** (1 / len(sigmas)), np.nan)


def objects_skimage(grow, seed, score):
    """Groups by `skimage.measure`."""
    from skimage.measure import label, regionprops_table

    table = regionprops_table(
        label(grow, connectivity=2),
        np.dstack([score, seed]),
        properties=("area", "intensity_max"),
        extra_properties=(_lower_median,),
    )
    keep = (table["area"] >= 5) & (table["intensity_max-1"] > 0)
    return table["area"][keep], table["_lower_median-0"][keep]


def _lower_median(mask, score):
    return np.quantile(score[mask], 0.5, method="lower")


def phase_correlation(reference, moving, *_):
    """One band at a time, as it takes one; it knows no unusable pixels unless it forgoes sub-pixels."""
    from skimage.registration import phase_cross_correlation

    shifts = [
        phase_cross_correlation(a, b, upsample_factor=50, normalization=None)[0]
        for a, b in zip(reference, moving, strict=True)
    ]
    return np.median(shifts, axis=0)


def _positions(plane, field):
    row_px, column_px = field.on(*(np.arange(length, dtype=np.float64) for length in plane.shape))
    rows, columns = np.indices(plane.shape, np.float32, sparse=True)
    return rows - row_px, columns - column_px


def warp_scipy(plane, field):
    """Move by a field with `scipy.ndimage.map_coordinates`, cubic splines."""
    return ndimage.map_coordinates(plane, _positions(plane, field), order=3, mode="mirror")


def warp_skimage(plane, field):
    """Move by a field with `skimage.transform.warp`, cubic."""
    from skimage.transform import warp

    return warp(plane, np.stack(_positions(plane, field)), order=3, mode="symmetric", preserve_range=True)
