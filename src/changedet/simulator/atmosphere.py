"""What lies between the simulated ground and the file: sun, shadows, clouds, haze, optics, sensor."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from changedet.bands import band
from changedet.simulator.scenery import SITE_M, fractal_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: How far clouds are simulated beyond the site, so that their shadows can fall into it, in metres.
CLOUD_MARGIN_M = 1800.0
_CLOUD_STEP_M = 20.0


@dataclass(frozen=True)
class Sun:
    """Where the sun stands.

    Attributes
    ----------
    elevation_deg : float
        Above the horizon.
    azimuth_deg : float
        Clockwise from north.
    """

    elevation_deg: float
    azimuth_deg: float

    @property
    def towards(self) -> tuple[float, float, float]:
        """Unit vector to the sun: (east, north, up)."""
        elevation, azimuth = np.deg2rad(self.elevation_deg), np.deg2rad(self.azimuth_deg)
        flat = np.cos(elevation)
        return float(flat * np.sin(azimuth)), float(flat * np.cos(azimuth)), float(np.sin(elevation))

    def shadow_m(self, height_m: float) -> tuple[float, float]:
        """Return how far (east, south) in metres the shadow of something that high falls."""
        east, north, up = self.towards
        return -east / up * height_m, north / up * height_m


def sun_position(when: datetime, latitude_deg: float, longitude_deg: float) -> Sun:
    """Return the position of the sun, good to about half a degree.

    Declination after Cooper 1969 (https://doi.org/10.1016/0038-092X(69)90047-4), equation of time as the
    usual two-term sine series.

    Parameters
    ----------
    when : datetime
        Time-zone aware.
    latitude_deg, longitude_deg : float
        North and east positive.

    Examples
    --------
    >>> noon = sun_position(datetime(2021, 6, 21, 12, 2, tzinfo=UTC), 51.5, 0.0)
    >>> round(noon.elevation_deg), round(noon.azimuth_deg)
    (62, 180)
    """
    utc = when.astimezone(UTC)
    day = utc.timetuple().tm_yday
    declination = np.deg2rad(23.45) * np.sin(2 * np.pi * (284 + day) / 365)
    season = 2 * np.pi * (day - 81) / 364
    equation_min = 9.87 * np.sin(2 * season) - 7.53 * np.cos(season) - 1.5 * np.sin(season)
    solar_hour = utc.hour + utc.minute / 60 + utc.second / 3600 + longitude_deg / 15 + equation_min / 60
    hour = np.deg2rad(15 * (solar_hour - 12))
    latitude = np.deg2rad(latitude_deg)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(hour)
    return Sun(float(np.rad2deg(np.arcsin(up))), float(np.rad2deg(np.arctan2(east, north)) % 360))


@dataclass(frozen=True)
class Weather:
    """The air of one date.

    Attributes
    ----------
    haze : float
        Reflectance that the air adds at 492 nm.
    clouds : tuple of (x, y, radius)
        Single clouds, in metres from the site's corner.
    cloud_cover : float
        Share of the sky under a field of scattered clouds, 0..1.
    cloud_base_m : float
        Height of the clouds above ground.
    """

    haze: float = 0.004
    clouds: tuple[tuple[float, float, float], ...] = ()
    cloud_cover: float = 0.0
    cloud_base_m: float = 900.0


@dataclass(frozen=True, eq=False)
class Sky:
    """Clouds above the site and a margin around it, on a coarse raster.

    Attributes
    ----------
    opacity : ndarray of float64, shape (y, x)
        0 = clear, 1 = opaque.
    brightness : ndarray of float64, shape (y, x)
        Reflectance of the cloud tops, where there are any.
    """

    opacity: NDArray[np.float64]
    brightness: NDArray[np.float64]

    def at(
        self, layer: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return a layer at the crossings of the positions `x` and `y` (metres), shape (y, x)."""
        from scipy import ndimage

        rows = (y + CLOUD_MARGIN_M) / _CLOUD_STEP_M - 0.5
        columns = (x + CLOUD_MARGIN_M) / _CLOUD_STEP_M - 0.5
        where = np.meshgrid(rows, columns, indexing="ij")
        return np.asarray(ndimage.map_coordinates(layer, where, order=1, mode="nearest"), np.float64)


def make_sky(weather: Weather, rng: np.random.Generator) -> Sky:
    """Return the clouds of one date; the shapes come from `rng`."""
    cells = round((SITE_M + 2 * CLOUD_MARGIN_M) / _CLOUD_STEP_M)
    axis = (np.arange(cells) + 0.5) * _CLOUD_STEP_M - CLOUD_MARGIN_M
    shape = (cells, cells)
    billows = fractal_noise(rng, shape, 45, 1.5, 2.9)
    tops = fractal_noise(rng, shape, 12, 1.0, 2.2)
    depth = np.full(shape, -1.0)
    for x, y, radius in weather.clouds:
        distance = np.hypot(axis[:, None] - y, axis[None, :] - x) / radius
        depth = np.maximum(depth, np.where(distance < 1.6, 1 - distance + 0.28 * billows, -1.0))
    if weather.cloud_cover > 0:
        depth = np.maximum(depth, billows - np.quantile(billows, 1 - weather.cloud_cover))
    ramp = np.clip(depth / 0.55, 0, 1)
    opacity = 0.97 * ramp**2 * (3 - 2 * ramp)
    return Sky(opacity, np.clip(0.52 + 0.22 * ramp + 0.07 * tops, 0.3, 0.95))


def haze_of_band(haze: float, name: str) -> float:
    """Return the path reflectance of a band from that at 492 nm; it falls with the wavelength.

    Examples
    --------
    >>> haze_of_band(0.01, "B02") > 2 * haze_of_band(0.01, "B8A")
    True
    """
    return float(haze * (band("B02").wavelength_nm / band(name).wavelength_nm) ** 1.8)


def cloud_of_band(name: str) -> float:
    """Return the brightness of cloud tops in a band relative to the visible ones."""
    return {"B11": 0.74, "B12": 0.60}.get(name, 1.0)


def diffuse_share(name: str) -> float:
    """Return the share of the light of a band that comes from the whole sky and reaches shadows.

    Examples
    --------
    >>> diffuse_share("B02") > diffuse_share("B08") > diffuse_share("B12")
    True
    """
    return float(0.10 + 0.20 * (band("B02").wavelength_nm / band(name).wavelength_nm) ** 2)


def sampling_weights(
    fine_m: NDArray[np.float64], centres_m: NDArray[np.float64], sigma_m: float
) -> NDArray[np.float64]:
    """Return the matrix that blurs by the optics and samples at exact positions, along one axis.

    Parameters
    ----------
    fine_m : ndarray of float64, shape (n,)
        Positions of the fine cells.
    centres_m : ndarray of float64, shape (m,)
        Positions on the ground at which the sensor looks.
    sigma_m : float
        Standard deviation of the Gaussian point spread function.

    Returns
    -------
    ndarray of float64, shape (m, n)
        Each row sums to 1.
    """
    weights = np.exp(-0.5 * ((centres_m[:, None] - fine_m[None, :]) / sigma_m) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)
