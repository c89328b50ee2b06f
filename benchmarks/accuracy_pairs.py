"""The pairs of images on which accuracy is measured: labelled ones, ones without change, altered ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
from odc.geo.geobox import GeoBox
from scipy.ndimage import fourier_shift
from tests.data import data_folder

from changedet.comparison import DetectSettings
from changedet.core.prediction import PredictParameters
from changedet.evaluation.sets import read_oscd
from changedet.frame import choose_frame, site_mask
from changedet.pairing import Pair, make_pair
from changedet.pipeline import register
from changedet.providers.local import open_source
from changedet.samples import SceneSettings, simulate_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from changedet.core.optical import DetectorParameters
    from changedet.evaluation.sets import LabelledSite, Truth
    from changedet.scene import Image

ROOT = data_folder()
#: Dates of the scenes of the eo-learn set, in the order of its array, and those of them without cloud.
SUMMER_DATES = ("2015-08-20", "2015-07-31", "2015-09-09", "2015-08-30", "2015-07-11")
CLEAR_PAIRS = ((4, 3), (4, 2), (3, 2))
_SUMMER_BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
_SUMMER_BOX = (465181.05, 5079244.89, 466180.53, 5080254.63)
#: How far two images may still lie apart after registration, (row, column) in pixels.
RESIDUAL_PX = (0.15, -0.10)
_NOISE = 0.003
_MIRRORED_PX = 32
# few, so that they do not become what is normal; one at most in each row and column of cells
_PLANTED, _PLANTED_CELL_PX, _PLANTED_SIDE_PX = 4, 24, 6
#: What is planted to see whether a silent comparison is blind.
PLANTED = ("concrete", "brighter")
_BRIGHTER = 0.1
# about what weathered concrete reflects
_CONCRETE = {
    "B01": 0.16, "B02": 0.18, "B03": 0.21, "B04": 0.24, "B05": 0.25, "B06": 0.26, "B07": 0.27, "B08": 0.28,
    "B8A": 0.28, "B09": 0.28, "B10": 0.28, "B11": 0.32, "B12": 0.30,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class City:
    """A labelled pair, registered."""

    name: str
    pair: Pair
    inside: NDArray[np.bool_]
    truth: Truth


@dataclass(frozen=True)
class Varied(DetectSettings):
    """Settings in which constants of the method, which no user sets, can be set as well."""

    predict: PredictParameters = field(default_factory=PredictParameters)
    weight_of_band: tuple[tuple[str, float], ...] = ()

    def predict_parameters(self) -> PredictParameters:
        """Return the constants of the score as they were set."""
        return self.predict

    def detector_parameters(self, method: str) -> DetectorParameters:
        """Return the constants of the score as they were set, also where it is smoothed and decided on."""
        return self.predict if method == "predict" else super().detector_parameters(method)

    def weights_of(self, image: Image) -> tuple[float, ...]:
        """Return the weights of the bands, with those that were set."""
        usual = dict(zip(image.bands, super().weights_of(image), strict=True)) | dict(self.weight_of_band)
        return tuple(usual[name] for name in image.bands)


def cities(root: Path = ROOT) -> list[LabelledSite]:
    """Return the labelled cities of the Onera set; none where it is not there."""
    folder = root / "oscd"
    return [place.find() for place in read_oscd(folder)] if folder.is_dir() else []


def registered(site: LabelledSite) -> City:
    """Register a labelled pair as `changedet.detect` does, and keep it in memory."""
    sources = open_source(site.before), open_source(site.after)
    frame = choose_frame(*sources, "before", None)
    inside = site_mask(None, frame.context)
    first = sources[0].load(frame.context)
    pair = make_pair(first, sources[1].load(frame.context), inside)
    moved = register(pair, sources[1])[1]
    truth = site.truth.read(frame.grid, sources[0].grid)
    return City(site.name, make_pair(first, moved, inside), inside, truth)


def summer_scene(number: int, root: Path = ROOT) -> xr.Dataset:
    """Return one scene of seven weeks of a summer in which nothing was built."""
    import xarray as xr
    from odc.geo.xr import wrap_xr

    scenes = np.load(root / "eolearn_scenes" / "REFERENCE_SCENES.npy", mmap_mode="r")
    grid = GeoBox.from_bbox(_SUMMER_BOX, "EPSG:32633", shape=scenes.shape[1:3])
    planes = {
        name: wrap_xr(np.asarray(scenes[number, :, :, i], np.float32), grid)
        for i, name in enumerate(_SUMMER_BANDS)
    }
    return xr.Dataset(planes).assign_coords(time=np.datetime64(SUMMER_DATES[number], "ns"))


def taizhou_labels(root: Path = ROOT) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where the Landsat pair of Taizhou is labelled as changed, and as unchanged."""
    from PIL import Image as Picture

    folder = root / "landsat_taizhou"
    changed, unchanged = (
        np.asarray(Picture.open(folder / f"{name}.bmp").convert("L")) > 0 for name in ("change", "unchanged")
    )
    return changed, unchanged


@dataclass(frozen=True)
class Season:
    """A simulated pair on which nothing happens but the season."""

    seed: int
    before: date
    gap_days: int
    later_years: int

    @property
    def after(self) -> date:
        """The later date."""
        return self.before + timedelta(365 * self.later_years + self.gap_days)

    def images(self) -> tuple[Image, Image]:
        """Simulate both scenes: other light, haze and noise, another position on the grid, no cloud."""
        settings = SceneSettings(seed=self.seed, clouds=False, before=self.before, after=self.after)
        pair = simulate_pair(settings)
        if len(pair.truth.events) or len(pair.truth.decoys):
            raise ValueError(f"something happens between {self.before} and {self.after}")
        return pair.before.to_image(), pair.after.to_image()


def shifted(image: Image, shift_px: tuple[float, float]) -> Image:
    """Move the content of an image by a fraction of a pixel, (row, column), losing hardly any detail."""
    rows, columns = (slice(_MIRRORED_PX, _MIRRORED_PX + size) for size in image.valid.shape)
    planes = []
    for plane in image.data:
        seen = np.isfinite(plane)
        filled = np.where(seen, plane, np.nanmedian(plane))
        wide = np.pad(filled.astype(np.float64), _MIRRORED_PX, mode="reflect")
        moved = np.fft.ifft2(fourier_shift(np.fft.fft2(wide), shift_px)).real[rows, columns]
        planes.append(np.where(seen, np.maximum(moved, 0), np.nan))
    return replace(image, data=np.stack(planes).astype(np.float32))


def noisy(image: Image, seed: int, sigma: float = _NOISE) -> Image:
    """Add the noise of a sensor."""
    noise = np.random.default_rng([seed, 1]).normal(0, sigma, image.data.shape)
    return replace(image, data=np.maximum(image.data + noise, 0).astype(np.float32))


def other_light(image: Image, seed: int) -> Image:
    """Give every band a gain of 0.9 to 1.1 and an offset of up to 0.01 of its own."""
    rng = np.random.default_rng([seed, 2])
    gain, offset = rng.uniform(0.9, 1.1, len(image.bands)), rng.uniform(-0.01, 0.01, len(image.bands))
    data = image.data * gain[:, None, None] + offset[:, None, None]
    return replace(image, data=np.maximum(data, 0).astype(np.float32))


def same_ground(image: Image, seed: int) -> Image:
    """Return an image again, in another light, with noise, and not quite where it was."""
    return noisy(other_light(shifted(image, RESIDUAL_PX), seed), seed)


def planted(image: Image, seed: int, what: str) -> tuple[Image, NDArray[np.int32]]:
    """Put squares of 60 m into an image, to see that a comparison which is silent is not blind.

    "concrete" is what is built; "brighter" adds as much to every band, which a prediction may take for haze.
    Returns the image and, where a square lies, its number from 1.
    """
    rng = np.random.default_rng([seed, 3])
    labels = np.zeros(image.valid.shape, np.int32)
    rows, columns = (rng.permutation(size // _PLANTED_CELL_PX)[:_PLANTED] for size in labels.shape)
    for number, corner in enumerate(zip(rows, columns, strict=True), 1):
        row, column = (_PLANTED_CELL_PX * int(cell) + _PLANTED_CELL_PX // 3 for cell in corner)
        labels[row : row + _PLANTED_SIDE_PX, column : column + _PLANTED_SIDE_PX] = number
    planes = [
        np.where(labels > 0, plane + _BRIGHTER if what == "brighter" else _CONCRETE[name], plane)
        for name, plane in zip(image.bands, image.data, strict=True)
    ]
    return replace(image, data=np.stack(planes).astype(np.float32)), labels


def on_plain_grid(image: Image) -> Image:
    """Put an image onto a square grid of 10 m, so that it can be turned."""
    return replace(image, grid=_plain_grid(image.valid.shape))


def turned(image: Image) -> Image:
    """Turn an image on a plain grid by 90 degrees."""
    data, valid, classes = (
        np.ascontiguousarray(np.rot90(plane, axes=(-2, -1)))
        for plane in (image.data, image.valid, image.classes)
    )
    return replace(image, data=data, valid=valid, classes=classes, grid=_plain_grid(valid.shape))


def alterations(before: Image, after: Image, seed: int) -> Iterator[tuple[str, tuple[Image, Image], bool]]:
    """Yield what should not matter to a comparison: its name, both images, and whether they are turned."""
    brighter = replace(after, data=after.data * np.float32(1.2))
    yield "the later date 20 % brighter", (before, brighter), False
    yield "the later date moved by half a pixel", (before, shifted(after, (0.5, -0.5))), False
    yield "noise of 0.003 on both dates", (noisy(before, seed), noisy(after, seed + 1000)), False
    yield "both dates turned by 90 degrees", (turned(before), turned(after)), True


def _plain_grid(shape: tuple[int, ...]) -> GeoBox:
    rows, columns = shape
    corner = (300_000.0, 4_000_000.0)
    box = (corner[0], corner[1] - 10.0 * rows, corner[0] + 10.0 * columns, corner[1])
    return GeoBox.from_bbox(box, "EPSG:32631", resolution=10, tight=True)
