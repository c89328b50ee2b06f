"""Ways to measure how one image lies over another, each run in a process of its own.

    python -m benchmarks.registration_methods NAME FOLDER OUT REPEATS

reads reference.tif and moving.tif from FOLDER (their last band, except where a method takes files), measures,
and writes OUT (.npz): the displacement at the samples of truth.npz, seconds, peak of memory. Nothing but
NumPy and rasterio is imported before a method is, so that a method may live in an environment of its own.

Every method returns what has to be added to the position of the moving image's content, at positions of the
reference: a pair of numbers, or a function from positions on the axes to an array of shape (2, r, c).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Wanted distance of the points of the Lucas-Kanade grid: as many as ours has windows.
_TIE_POINTS = 8000
_LK_WINDOW_PX, _LK_RETURN_PX = 21, 0.5


@dataclass(frozen=True)
class Method:
    """One way.

    `from_files` methods take the two paths and a folder to write to; the others the two bands.
    `module` is what has to be importable; `largest` the largest image that it is given without being asked.
    """

    name: str
    title: str
    estimate: Callable[..., Any]
    local: bool
    module: str = "changedet"
    largest: int = 1 << 20
    from_files: bool = False


def ours_local(reference, moving):
    from changedet.core.alignment import align

    usable = np.ones(reference.shape, bool)
    return align([reference], [moving], usable, usable).field.on


def ours_global(reference, moving):
    from changedet.core.alignment import AlignmentSettings, align

    usable = np.ones(reference.shape, bool)
    field = align([reference], [moving], usable, usable, AlignmentSettings(local=False)).field
    return field.centre_px


def ours_register(reference, moving, folder):
    from changedet import register

    found = register(reference, moving, out=Path(folder) / "registered.tif", overwrite=True)
    return found.field.on


def skimage_phase(reference, moving):
    from skimage.registration import phase_cross_correlation

    # of integers it would make double precision, with twice the time and memory
    images = np.float32(reference), np.float32(moving)
    return phase_cross_correlation(*images, upsample_factor=100)[0]


def opencv_phase(reference, moving):
    import cv2

    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(np.float32(reference), np.float32(moving), window)
    return -down, -right


def opencv_phase_even(reference, moving):
    import cv2

    window = cv2.createHanningWindow(reference.shape[::-1], cv2.CV_32F)
    size = _even_transform(max(reference.shape))
    padded = [
        cv2.copyMakeBorder(
            (np.float32(image) - np.float32(image.mean())) * window,
            0, size - image.shape[0], 0, size - image.shape[1], cv2.BORDER_CONSTANT,
        )
        for image in (reference, moving)
    ]  # fmt: skip
    (right, down), _ = cv2.phaseCorrelate(*padded)
    return -down, -right


def _even_transform(size):
    import cv2

    while size % 2 or cv2.getOptimalDFTSize(size) != size:
        size += 1
    return size


def opencv_ecc(reference, moving):
    import cv2

    warp = np.eye(2, 3, dtype=np.float32)
    until = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-6)
    images = np.float32(reference), np.float32(moving)
    _, warp = cv2.findTransformECC(*images, warp, cv2.MOTION_TRANSLATION, until, None, 5)
    return -warp[1, 2], -warp[0, 2]


def eolearn_ecc(reference, moving):
    from datetime import datetime

    from eolearn.core import EOPatch, FeatureType
    from eolearn.coregistration import ECCRegistrationTask
    from sentinelhub import CRS, BBox

    patch = EOPatch(bbox=BBox((0, 0, 1, 1), CRS.WGS84), timestamps=[datetime(2020, 1, 1)])
    patch[FeatureType.DATA, "moving"] = np.float32(moving)[None, ..., None]
    patch[FeatureType.DATA_TIMELESS, "reference"] = np.float32(reference)[..., None]
    given = (FeatureType.DATA, "moving"), (FeatureType.DATA_TIMELESS, "reference")
    done = ECCRegistrationTask(*given, 0, apply_to_features=[given[0]], num_threads=2).execute(patch)
    matrix = done[FeatureType.META_INFO, "warp_matrices"][0]
    return -matrix[1][2], -matrix[0][2]


def arosics_local(reference, moving, folder):
    """Windows of 256 pixels as it has them by default, one band in memory: its fastest use."""
    from arosics import COREG_LOCAL
    from geoarray import GeoArray
    from scipy.interpolate import RBFInterpolator

    images = [GeoArray(str(path))[:, :, 2] for path in (reference, moving)]
    with rasterio.open(reference) as file:
        size, place = file.width, (file.transform.to_gdal(), file.crs.to_wkt())
    images = [GeoArray(np.ascontiguousarray(image), *place) for image in images]
    spacing = max(16, size // 56 if size > 2000 else size // 28)
    found = COREG_LOCAL(*images, grid_res=spacing, window_size=(256, 256), q=True)
    found.correct_shifts()
    points = found.CoRegPoints_table.query("OUTLIER == False and ABS_SHIFT >= 0")
    # it warps by a thin-plate spline through every point that it keeps
    spline = RBFInterpolator(
        points[["Y_IM", "X_IM"]].to_numpy(), points[["Y_SHIFT_PX", "X_SHIFT_PX"]].to_numpy(), neighbors=64
    )

    def on(rows, columns):
        places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        return spline(places).T.reshape(2, len(rows), len(columns))

    return on


def lucas_kanade_fit(reference, moving):
    """Sparse optical flow on a grid, back and forth, and the robust field of this package through it."""
    from changedet.core.displacement import fit_field

    rows, columns, shifts, usable = _lucas_kanade(reference, moving)
    fit = fit_field(rows, columns, shifts, usable, reference.shape, window_px=_LK_WINDOW_PX)
    return fit.field.on


def lucas_kanade(reference, moving):
    """Sparse optical flow on a grid, back and forth, linear between the points that come back."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

    rows, columns, shifts, usable = _lucas_kanade(reference, moving)
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)[usable]
    values = shifts[:, usable].T
    linear, nearest = LinearNDInterpolator(points, values), NearestNDInterpolator(points, values)

    def on(down, right):
        places = np.stack(np.meshgrid(down, right, indexing="ij"), axis=-1)
        found = linear(places)
        return np.moveaxis(np.where(np.isnan(found), nearest(places), found), -1, 0)

    return on


def _lucas_kanade(reference, moving):
    import cv2

    spacing = max(12.0, np.sqrt(reference.size / _TIE_POINTS))
    rows, columns = (
        np.linspace(_LK_WINDOW_PX, length - 1 - _LK_WINDOW_PX, int((length - 42) / spacing))
        for length in reference.shape
    )
    first, second = _bytes(reference), _bytes(moving)
    points = np.stack(np.meshgrid(columns, rows), axis=-1).astype(np.float32).reshape(-1, 1, 2)
    options = {"winSize": (_LK_WINDOW_PX, _LK_WINDOW_PX), "maxLevel": 3}
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, points, None, **options)
    back, again, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, **options)
    returned = np.hypot(*(back - points)[:, 0].T) < _LK_RETURN_PX
    usable = (found.ravel() > 0) & (again.ravel() > 0) & returned
    raster = len(rows), len(columns)
    shifts = -(there - points)[:, 0, ::-1].T.reshape(2, *raster).astype(np.float64)
    return rows, columns, shifts, usable.reshape(raster)


def dis_flow(reference, moving):
    """Dense inverse search (medium)."""
    import cv2

    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found = flow.calc(_bytes(reference), _bytes(moving), None)

    def on(rows, columns):
        return -np.moveaxis(found[np.ix_(rows.astype(int), columns.astype(int))], -1, 0)[::-1]

    return on


def _bytes(image):
    low, high = np.percentile(image[::7, ::7], (1, 99))
    return np.clip((np.float32(image) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)


METHODS = (
    Method("ours", "changedet, field", ours_local, True),
    Method("ours global", "changedet, one shift", ours_global, False),
    Method("ours file", "changedet register, 3 bands read and written", ours_register, True, from_files=True),
    Method("skimage", "scikit-image phase correlation x100", skimage_phase, False, "skimage", 5490),
    Method("cv2 phase", "OpenCV phaseCorrelate", opencv_phase, False, "cv2", 5490),
    Method("cv2 phase even", "OpenCV phaseCorrelate, even size", opencv_phase_even, False, "cv2", 5490),
    Method("ecc", "OpenCV findTransformECC", opencv_ecc, False, "cv2", 5490),
    Method("eo-learn", "eo-learn ECCRegistrationTask", eolearn_ecc, False, "eolearn", 1098),
    Method("lk fit", "Lucas-Kanade grid, our fit", lucas_kanade_fit, True),
    Method("lk", "Lucas-Kanade grid alone", lucas_kanade, True, "cv2"),
    Method("dis", "DIS optical flow, medium", dis_flow, True, "cv2", 5490),
    Method("arosics", "AROSICS COREG_LOCAL", arosics_local, True, "arosics", 5490, from_files=True),
)


def run(method: Method, folder: Path, repeats: int) -> dict[str, Any]:
    """Measure with one method; the shortest of some times counts."""
    paths = folder / "reference.tif", folder / "moving.tif"
    axis = np.load(folder / "truth.npz")["axis"].astype(np.float64)
    start = time.perf_counter()
    bands = None if method.from_files else [_last_band(path) for path in paths]
    read_s = time.perf_counter() - start
    seconds, cpu, found = [], [], None
    with tempfile.TemporaryDirectory() as scratch:
        for _ in _turns(repeats, seconds):
            start, busy = time.perf_counter(), time.process_time()
            found = method.estimate(*paths, scratch) if bands is None else method.estimate(*bands)
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - busy)
    peak_mb = _peak_mb()
    shift = (
        found(axis, axis)
        if callable(found)
        else np.reshape(found, (2, 1, 1)) + np.zeros((1, *[len(axis)] * 2))
    )
    return {
        "shift_px": np.asarray(shift, np.float32),
        "seconds": min(seconds),
        "cpu_seconds": min(cpu),
        "read_s": read_s,
        "peak_mb": peak_mb,
    }


def _turns(repeats: int, seconds: list[float]) -> Iterator[int]:
    """Count up; what takes longer than ten seconds is not repeated."""
    for turn in range(repeats):
        if seconds and seconds[-1] > 10:
            return
        yield turn


def _last_band(path: Path) -> np.ndarray:
    with rasterio.open(path, num_threads=2) as file:
        return file.read(file.count)


def _peak_mb() -> float:
    """Most memory that this process held, libraries included."""
    status = Path("/proc/self/status")
    if status.exists():
        # what getrusage says on Linux may be the memory of the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    name, folder, out, repeats = sys.argv[1:]
    method = next(method for method in METHODS if method.name == name)
    np.savez(out, **run(method, Path(folder), int(repeats)))


if __name__ == "__main__":
    main()
