"""Pairs of images that an alignment must refuse, and pairs that it must accept, each with its shift."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from scipy import ndimage
from tests.core import pairs

from changedet.core.alignment import align

SHIFT_PX = 8.0
NOISE = 8.0


@dataclass(frozen=True, eq=False)
class Case:
    """Two images (one band) and the shift to find; None when the pair must be refused."""

    reference: np.ndarray
    moving: np.ndarray
    shift_px: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Bench:
    """What a kind of pair is made from."""

    rng: np.random.Generator
    shape: tuple[int, int]
    real: bool

    def ground(self):
        maker = pairs.photographed if self.real else pairs.made_up
        return maker(self.shape, int(self.rng.integers(2**31)))

    def see(self, ground, shift_px=(0.0, 0.0), turn_deg=0.0):
        """One band of a ground whose content has to move by the shift."""
        rows, columns = np.mgrid[: self.shape[0], : self.shape[1]].astype(np.float32)
        middle = [(length - 1) / 2 for length in self.shape]
        y, x = rows - middle[0], columns - middle[1]
        sine, cosine = np.sin(np.deg2rad(turn_deg)), np.cos(np.deg2rad(turn_deg))
        there = (
            cosine * y - sine * x + middle[0] + shift_px[0],
            sine * y + cosine * x + middle[1] + shift_px[1],
        )
        return self.noisy(ground.seen(*there)[0])

    def noisy(self, image):
        return (image + self.rng.normal(0, NOISE, self.shape)).clip(1, 65535).astype(np.float32)

    def shift(self):
        return tuple(float(one) for one in self.rng.uniform(-SHIFT_PX, SHIFT_PX, 2))

    def seen_twice(self):
        ground, shift_px = self.ground(), self.shift()
        return self.see(ground), self.see(ground, shift_px), shift_px

    def blobs(self, share, scale_px):
        return pairs.blobs(self.shape, share, scale_px, self.rng)

    def soft_noise(self, sigma_px):
        noise = cv2.GaussianBlur(self.rng.standard_normal(self.shape).astype(np.float32), (0, 0), sigma_px)
        return noise / noise.std()

    def cloudy(self, image, mask):
        """Clouds have structure of every size, and a soft hem."""
        top = 3500 + 400 * self.soft_noise(8) + 150 * self.soft_noise(2.5)
        cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)
        return (image * (1 - cover) + top * cover).astype(np.float32)


def other_place(bench):
    return Case(bench.see(bench.ground()), bench.see(bench.ground()))


def all_cloud(bench):
    everywhere = np.ones(bench.shape, bool)
    clear = bench.see(bench.ground())
    dates = [bench.cloudy(clear, everywhere) for _ in range(2)]
    if bench.rng.random() < 0.5:
        dates[0] = clear
    return Case(*dates)


def sea(bench):
    """Swell of a wavelength and a direction, glint that brightens one side, and foam; not the same twice."""
    slope = np.linspace(0, 1, bench.shape[1], dtype=np.float32)
    length_px, angle = bench.rng.uniform(4, 25), bench.rng.uniform(0, np.pi)

    def date():
        swell = _narrow(bench, length_px * bench.rng.uniform(0.9, 1.1), angle + bench.rng.normal(0, 0.1))
        foam = 400 * (bench.soft_noise(0.8) > 3.3)
        return bench.noisy(250 + 15 * bench.soft_noise(3) + 12 * swell * (1 + 3 * slope) + 500 * slope + foam)

    return Case(date(), date())


def rotated(bench):
    ground = bench.ground()
    return Case(bench.see(ground), bench.see(ground, bench.shift(), 2.0 * bench.rng.choice([-1, 1])))


def stripes(bench):
    return _pattern(bench, bench.rng.uniform(5, 14), crossed=False)


def checks(bench):
    return _pattern(bench, bench.rng.uniform(8, 20), crossed=True)


def rows_of_greenhouses(bench):
    """Roofs and alleys to every side, with dirt of their own on each date."""
    shift_px, roofs = bench.shift(), _greenhouses(bench)
    return Case(*(bench.noisy(roofs(shift) + 10 * bench.soft_noise(2)) for shift in ((0, 0), shift_px)))


def greenhouses_on_bare_ground(bench):
    """The same rows, but bare ground without texture around a block of them."""
    shift_px, roofs = bench.shift(), _greenhouses(bench)
    size = [bench.rng.uniform(0.25, 0.6) * length for length in bench.shape]
    corner = [
        bench.rng.uniform(0.1 * length, 0.9 * length - one)
        for length, one in zip(bench.shape, size, strict=True)
    ]
    rows, columns = np.mgrid[: bench.shape[0], : bench.shape[1]].astype(np.float32)

    def date(shift):
        y, x = rows + shift[0] - corner[0], columns + shift[1] - corner[1]
        edge = np.clip(np.minimum.reduce([y, x, size[0] - y, size[1] - x]) + 0.5, 0, 1)
        return bench.noisy(1500 + (roofs(shift) - 1500) * edge)

    return Case(date((0, 0)), date(shift_px))


def constant(bench):
    flat = np.full(bench.shape, 700, np.float32)
    return Case(flat, bench.see(bench.ground()) if bench.rng.random() < 0.5 else flat)


def noise(bench):
    return Case(*(bench.rng.normal(800, 50, bench.shape).astype(np.float32) for _ in range(2)))


def plain(bench):
    return Case(*bench.seen_twice())


def season(bench):
    """Every field becomes brighter or darker on its own; in many the contrast is reversed."""
    reference, moving, shift_px = bench.seen_twice()
    knots = [max(4, length // 20) for length in bench.shape]
    field = bench.rng.integers(0, 40, knots).astype(np.float32)
    field = cv2.resize(field, bench.shape[::-1], interpolation=cv2.INTER_NEAREST)
    field = ndimage.shift(field, np.negative(shift_px), order=0, mode="nearest").astype(int)
    gain, offset = bench.rng.uniform((-1.2, -200), (1.2, 600), (40, 2)).T
    mean = moving.mean()
    moving = np.maximum(mean + (moving - mean) * gain[field] + offset[field], 1)
    return Case(reference, moving.astype(np.float32), shift_px)


def reversed_contrast(bench):
    reference, moving, shift_px = bench.seen_twice()
    return Case(reference, np.float32(3500) - moving, shift_px)


def snow(bench):
    reference, moving, shift_px = bench.seen_twice()
    white = 7000 + 0.3 * moving + 80 * bench.soft_noise(1.5)
    return Case(reference, np.where(bench.blobs(0.35, 60), white, moving).astype(np.float32), shift_px)


def heavy_clouds(bench):
    """40 to 60 % of one date and a fifth of the other, and nobody says where."""
    reference, moving, shift_px = bench.seen_twice()
    reference = bench.cloudy(reference, bench.blobs(0.2, 90))
    return Case(reference, bench.cloudy(moving, bench.blobs(bench.rng.uniform(0.4, 0.6), 90)), shift_px)


def haze(bench):
    reference, moving, shift_px = bench.seen_twice()
    moving = 0.35 * moving + 1500 + 150 * bench.soft_noise(12) + bench.rng.normal(0, NOISE, bench.shape)
    return Case(reference, moving.astype(np.float32), shift_px)


def two_dates(bench):
    """A piece of both dates of a city, years apart."""
    return _piece(bench, farthest_px=0)


def two_dates_further_apart(bench):
    """The same, cut out at another place on the second date."""
    return _piece(bench, farthest_px=20)


REFUSED = {
    "different places": other_place,
    "all cloud, on one date or both": all_cloud,
    "sea with swell, glint and foam": sea,
    "turned by 2 degrees": rotated,
    "stripes": stripes,
    "chequered field": checks,
    "rows of greenhouses": rows_of_greenhouses,
    "greenhouses on bare ground": greenhouses_on_bare_ground,
    "constant": constant,
    "noise": noise,
}
ACCEPTED = {
    "nothing but a shift": plain,
    "season: contrast of each field": season,
    "reversed contrast": reversed_contrast,
    "snow on a third": snow,
    "clouds on 40 to 60 %, no mask": heavy_clouds,
    "haze": haze,
}
#: These need real imagery.
ACCEPTED_REAL = {
    "two real dates": two_dates,
    "two real dates and a shift": two_dates_further_apart,
}


def make_case(kind, number, shape=(400, 400), *, real=False):
    """The same kind, number and shape always give the same pair."""
    made = (REFUSED | ACCEPTED | ACCEPTED_REAL)[kind]
    return made(Bench(np.random.default_rng([*kind.encode(), number, *shape]), shape, real))


@cache
def _city(name):
    """Both dates of a city in B04, and the field between them as B02 shows it as a whole."""
    dates = [[pairs.read_city(name, date, band) for date in (1, 2)] for band in ("B04", "B02")]
    height, width = np.min([image.shape for images in dates for image in images], axis=0)
    dates = [[image[:height, :width] for image in images] for images in dates]
    usable = [(first > 0) & (second > 0) for first, second in zip(*dates, strict=True)]
    found = align(dates[1][:1], dates[1][1:], *usable)
    if found.field is None:
        raise ValueError(f"{name}: {found.obstacle}")
    return *dates[0], found.field


def _piece(bench, farthest_px):
    first, second, field = _city(str(bench.rng.choice(pairs.cities())))
    size = [
        min(length, whole - 2 * farthest_px) for length, whole in zip(bench.shape, first.shape, strict=True)
    ]
    top, left = (
        int(bench.rng.integers(farthest_px, whole - length - farthest_px + 1))
        for whole, length in zip(first.shape, size, strict=True)
    )
    more = bench.rng.integers(-farthest_px, farthest_px + 1, 2)
    axes = (
        np.linspace(start, start + length - 1, 30) for start, length in zip((top, left), size, strict=True)
    )
    shift_px = np.median(field.on(*axes), axis=(1, 2)) + more
    reference, moving = (
        image[row : row + size[0], column : column + size[1]].astype(np.float32)
        for image, row, column in ((first, top, left), (second, top + more[0], left + more[1]))
    )
    return Case(reference, moving, (float(shift_px[0]), float(shift_px[1])))


def _narrow(bench, length_px, angle):
    """Noise of about one wavelength and one direction, deviation 1."""
    rows, columns = np.fft.fftfreq(bench.shape[0])[:, None], np.fft.rfftfreq(bench.shape[1])
    centre = np.sin(angle) / length_px, np.cos(angle) / length_px
    away = np.minimum(*(np.hypot(rows - s * centre[0], columns - s * centre[1]) for s in (1, -1)))
    spectrum = np.fft.rfft2(bench.rng.standard_normal(bench.shape)) * np.exp(-((away * length_px * 5) ** 2))
    waves = np.fft.irfft2(spectrum, s=bench.shape)
    return waves / waves.std()


def _pattern(bench, period_px, *, crossed):
    angle = bench.rng.uniform(0, np.pi)

    def date(shift_px):
        return bench.noisy(900 + 250 * _bars(bench.shape, shift_px, period_px, angle, crossed=crossed))

    return Case(date((0, 0)), date(bench.rng.uniform(0, 20, 2)))


def _greenhouses(bench):
    """Rows a few pixels apart, cut by paths at a larger distance."""
    period, length, angle = bench.rng.uniform(3, 9), bench.rng.uniform(25, 60), bench.rng.uniform(0, np.pi)

    def image(shift_px):
        rows = _bars(bench.shape, shift_px, period, angle)
        paths = _bars(bench.shape, shift_px, length, angle + np.pi / 2, share=0.06)
        return 1800 + 500 * rows - 600 * (paths + 1)

    return image


def _bars(shape, shift_px, period_px, angle, *, share=0.5, crossed=False):
    """Bars of -1 and 1 as pixels see them, each made of 4 x 4 samples and softened by the lens."""
    fine = 4
    rows, columns = (np.arange(fine * length, dtype=np.float32) / fine for length in shape)
    way = np.sin(angle) * (rows[:, None] + shift_px[0]) + np.cos(angle) * (columns + shift_px[1])
    bars = np.where((way / period_px) % 1 < share, 1.0, -1.0)
    if crossed:
        across = np.cos(angle) * (rows[:, None] + shift_px[0]) - np.sin(angle) * (columns + shift_px[1])
        bars = (bars + np.where((across / period_px) % 1 < share, 1.0, -1.0)) / 2
    soft = cv2.GaussianBlur(bars.astype(np.float32), (0, 0), 0.5 * fine)
    return cv2.resize(soft, shape[::-1], interpolation=cv2.INTER_AREA)
