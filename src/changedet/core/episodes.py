"""The dates between which a series stands apart from the rest of itself, for every pixel at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from changedet.core.medians import median_of_dates
from changedet.core.sampling import MAD_TO_SPREAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Which episodes count: any, or those in which the polarisations together are darker or brighter.
Sense = Literal["any", "darker", "brighter"]


@dataclass(frozen=True)
class EpisodeParameters:
    """Parameters of `strongest_episode`.

    Attributes
    ----------
    least_dates : int
        Dates that an episode must last: one alone is weather, a ship, a bright cloud of rain.
    least_before : int
        Dates that must see the pixel before.
    least_outside : int
        Dates that must see the pixel before and after together.
    sense : str
        ``any``, ``darker`` or ``brighter``, of the mean over the polarisations.
    """

    least_dates: int = 2
    least_before: int = 3
    least_outside: int = 3
    sense: Sense = "any"

    def __post_init__(self) -> None:
        if min(self.least_dates, self.least_before, self.least_outside) < 1:
            message = (
                f"at least {self.least_dates} dates, {self.least_before} before and {self.least_outside} "
                "outside: give 1 or more of each"
            )
            raise ValueError(message)
        if self.sense not in get_args(Sense):
            message = f"the sense {self.sense!r} is unknown; give one of {', '.join(get_args(Sense))}"
            raise ValueError(message)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""
        return {
            "least_dates": self.least_dates,
            "least_before": self.least_before,
            "least_outside": self.least_outside,
            "sense": self.sense,
        }


@dataclass(frozen=True, eq=False)
class EpisodeNoise:
    """What noise alone does to a window of dates.

    Attributes
    ----------
    colour : ndarray of float64, shape (pol, pol)
        Lower triangle that makes noise of variance 1 in each polarisation from independent numbers.
    spread : ndarray of float64, shape (pol,)
        Standard deviation of each polarisation.
    fast_share : float
        Share of the variance that dates do not have in common.
    slow : ndarray of float64, shape (time, time + 1)
        For a window from a date to before another one, the variance of its mean less the mean of the series,
        by what dates have in common.
    """

    colour: NDArray[np.float64]
    spread: NDArray[np.float64]
    fast_share: float
    slow: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Episodes:
    """The outcome of `strongest_episode`.

    Attributes
    ----------
    score : ndarray of float32, shape (pixel,)
        In standard deviations of noise; 0 where no window can be judged.
    start, stop : ndarray of int16, shape (pixel,)
        The first date of the window, and the first one after it, counted with the dates that do not see the
        pixel; both 0 where no window can be judged.
    """

    score: NDArray[np.float32]
    start: NDArray[np.int16]
    stop: NDArray[np.int16]

    def holds(self, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say which dates that see a pixel its window holds.

        Parameters
        ----------
        seen : ndarray of bool, shape (time, pixel)
            Where a date sees a pixel.

        Returns
        -------
        ndarray of bool, shape (time, pixel)
        """
        number = np.arange(len(seen), dtype=np.int16)[:, None]
        return np.asarray(seen & (number >= self.start) & (number < self.stop))


def episode_noise(
    correlation: NDArray[np.float64], spread: NDArray[np.float64], in_common: NDArray[np.float64]
) -> EpisodeNoise:
    """Prepare the variances of all windows.

    Parameters
    ----------
    correlation : ndarray of float64, shape (pol, pol)
        Of the noise between polarisations; positive definite.
    spread : ndarray of float64, shape (pol,)
        Its standard deviations.
    in_common : ndarray of float64, shape (time, time)
        Covariance that dates have in common of a noise of variance 1, the same on the whole diagonal, as from
        `changedet.core.series_noise.SeriesNoise.in_common`.

    Returns
    -------
    EpisodeNoise
    """
    dates = len(in_common)
    sums = np.zeros((dates + 1, dates + 1))
    sums[1:, 1:] = in_common.cumsum(axis=0).cumsum(axis=1)
    start, stop = np.arange(dates)[:, None], np.arange(dates + 1)[None]
    inside = sums[stop, stop] - sums[start, stop] - sums[stop, start] + sums[start, start]
    beside = (sums[stop, dates] - sums[start, dates]) / dates
    length = np.maximum(stop - start, 1)
    slow = inside / length**2 - 2 * beside / length + sums[dates, dates] / dates**2
    colour = np.asarray(np.linalg.cholesky(correlation), np.float64)
    return EpisodeNoise(colour, spread, 1 - float(in_common[0, 0]), slow)


def strongest_episode(
    series: NDArray[np.float32],
    seen: NDArray[np.bool_],
    noise: EpisodeNoise,
    starts: NDArray[np.intp],
    parameters: EpisodeParameters = EpisodeParameters(),
) -> Episodes:
    """Find the window of dates whose mean stands most apart from the rest of the series.

    For each window the score is ``sqrt(d' C**-1 d / v)``, where ``d`` is its sum less what the mean of the
    whole series would give it, ``C`` the covariance of the polarisations and ``v`` the variance that noise
    alone would give that sum, slow noise included. Of independent noise this is the likelihood ratio of an
    epidemic change of the mean (Levin and Kline 1985, doi:10.1002/sim.4780040408), the statistic of circular
    binary segmentation (Olshen et al. 2004, doi:10.1093/biostatistics/kxh008). A window that reaches the end
    of the series is a lasting change. One that ends before has a second date to choose, for which the
    logarithm of the number of dates is taken off its squared score (Schwarz 1978,
    doi:10.1214/aos/1176344136): otherwise all that came before a lasting change would often pass for an
    episode. Where what follows such a window leaves smaller squares, that is reported instead, with the score
    of the window, and a lasting change begins where the squares are smallest: what scores most under slow
    noise need not be nearest to the dates, and least squares are (Bai 1997, doi:10.1162/003465397557132). Of
    equally strong windows the earliest one counts, and of these the shortest.

    Parameters
    ----------
    series : ndarray of float32, shape (time, pol, pixel)
        Without levels and seasons; 0 where not seen.
    seen : ndarray of bool, shape (time, pixel)
        Where the date sees the pixel in every polarisation.
    noise : EpisodeNoise
    starts : ndarray of int, shape (start,)
        Dates at which an episode may begin.
    parameters : EpisodeParameters

    Returns
    -------
    Episodes
    """
    sums, counts = _running_sums(series, seen, noise)
    pixels = series.shape[2]
    second_date = np.log(np.maximum(counts[-1], np.float32(1)))
    score, found = np.zeros(pixels, np.float32), np.zeros((2, pixels), np.int16)
    for start in starts:
        stop = start + parameters.least_dates
        if start < parameters.least_before or stop > len(series):
            continue
        strength = _strengths(sums[stop:] - sums[start], noise, parameters.sense)
        strength *= _weights(counts, int(start), stop, noise, parameters)
        strength[:-1] -= second_date
        best = strength.argmax(axis=0)
        value = np.take_along_axis(strength, best[None], axis=0)[0]
        better = value > score
        score[better], found[0, better], found[1, better] = value[better], start, best[better] + stop
    if parameters.sense == "any":
        found = _rather_lasting(sums, counts, found, np.isin(np.arange(len(series)), starts), parameters)
        found[0] = _nearest_start(sums, counts, found, starts, parameters)
    return Episodes(np.sqrt(score), found[0], found[1])


def _rather_lasting(
    sums: NDArray[np.float32],
    counts: NDArray[np.float32],
    found: NDArray[np.int16],
    may_start: NDArray[np.bool_],
    parameters: EpisodeParameters,
) -> NDArray[np.int16]:
    """Take all after a window for the change where that leaves smaller squares.

    All between the first few dates and a lasting change differs from the rest nearly as much as what follows
    it.
    """
    pixel, (start, stop), dates = np.arange(found.shape[1]), found, len(sums) - 1
    counts = np.broadcast_to(counts, (dates + 1, len(pixel)))
    whole = counts[-1]

    def explained(first: NDArray[np.int16], after: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return what a window takes off the sum of squares."""
        inside = counts[after, pixel] - counts[first, pixel]
        return _explained(sums[after, :, pixel] - sums[first, :, pixel], inside, whole)

    ends = np.minimum(stop, dates - 1)
    rest = whole - counts[ends, pixel]
    lasting = (stop > 0) & (stop < dates) & may_start[ends] & (rest >= parameters.least_dates)
    lasting &= whole - rest >= parameters.least_outside
    end = np.full_like(stop, dates)
    lasting &= explained(ends, end) > explained(start, stop) - np.log(np.maximum(whole, 1))
    return np.stack([np.where(lasting, ends, start), np.where(lasting, end, stop)])


def _nearest_start(
    sums: NDArray[np.float32],
    counts: NDArray[np.float32],
    found: NDArray[np.int16],
    starts: NDArray[np.intp],
    parameters: EpisodeParameters,
) -> NDArray[np.int16]:
    """Return the starts of windows: of lasting ones those that leave the smallest squares."""
    dates, whole = len(sums) - 1, counts[-1]
    nearest, most = found[0].copy(), np.zeros(found.shape[1], np.float32)
    lasting = found[1] == dates
    for start in starts:
        inside = whole - counts[start]
        enough = (inside >= parameters.least_dates) & (counts[start] >= parameters.least_outside)
        enough &= counts[start] >= parameters.least_before
        explained = _explained((sums[-1] - sums[start]).T, inside, whole)
        better = lasting & enough & (explained > most)
        most[better], nearest[better] = explained[better], start
    return np.asarray(nearest)


def _explained(
    total: NDArray[np.float32], inside: NDArray[np.float32], whole: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what windows with these sums (pixel, pol) and dates take off the sum of squares."""
    spread = inside * (1 - inside / np.maximum(whole, np.float32(1)))
    return np.asarray(np.square(total).sum(axis=1) / np.maximum(spread, np.float32(0.5)))


def episode_steps(
    series: NDArray[np.float32], seen: NDArray[np.bool_], found: Episodes
) -> NDArray[np.float32]:
    """Return by how much episodes differ from the rest of their series.

    Parameters
    ----------
    series, seen
        As in `strongest_episode`.
    found : Episodes

    Returns
    -------
    ndarray of float32, shape (pol, pixel)
        Mean inside the window less mean outside, in the unit of the series; 0 where there is no window.
    """
    inside = found.holds(seen)
    means: list[NDArray[np.float32]] = [
        np.einsum("tn,tpn->pn", part.astype(np.float32), series)
        / np.maximum(np.count_nonzero(part, axis=0), 1).astype(np.float32)
        for part in (inside, seen & ~inside)
    ]
    return np.asarray(np.where(inside.any(axis=0), means[0] - means[1], np.float32(0)))


def restlessness(
    series: NDArray[np.float32],
    seen: NDArray[np.bool_],
    found: Episodes,
    steps: NDArray[np.float32],
    spread: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return by how much more a pixel moves, besides its episode, than is usual.

    Water, fields and roads move more than the ground in general, and their scores mean less.

    Parameters
    ----------
    series, seen
        As in `strongest_episode`.
    found : Episodes
    steps : ndarray of float32, shape (pol, pixel)
        As from `episode_steps`.
    spread : ndarray of float64, shape (pol,)
        The usual standard deviation.

    Returns
    -------
    ndarray of float32, shape (pixel,)
        Root mean square over the polarisations of the median absolute deviation, as a standard deviation,
        over the usual one; at least 1.
    """
    inside = found.holds(seen)
    total = np.zeros(series.shape[2], np.float32)
    for pol, usual in enumerate(spread):
        rest = np.where(seen, series[:, pol] - steps[pol] * inside, np.float32(np.nan))
        deviation = _median_of_dates(np.abs(rest - _median_of_dates(rest)))
        total += np.square(np.nan_to_num(deviation) * np.float32(MAD_TO_SPREAD / usual))
    return np.asarray(np.maximum(np.sqrt(total / np.float32(len(spread))), np.float32(1)))


def _median_of_dates(series: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(median_of_dates(series[:, None], threads=1)[0])


def _running_sums(
    series: NDArray[np.float32], seen: NDArray[np.bool_], noise: EpisodeNoise
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return running sums of what each date adds in independent units, and of the dates that see a pixel.

    Of the dates a single column when all see all.
    """
    whiten = np.linalg.inv(noise.colour) / noise.spread
    white = np.einsum("qp,tpn->tqn", whiten.astype(np.float32), series, optimize=True)
    here = np.ones((len(seen), 1), np.float32) if seen.all() else seen.astype(np.float32)
    mean = np.where(seen[:, None], white, 0).sum(axis=0) / np.maximum(here.sum(axis=0), np.float32(1))
    white = (white - mean) * here[:, None]
    sums = np.zeros((len(series) + 1, *series.shape[1:]), np.float32)
    counts = np.zeros((len(series) + 1, here.shape[1]), np.float32)
    np.cumsum(white, axis=0, out=sums[1:])
    np.cumsum(here, axis=0, out=counts[1:])
    return sums, counts


def _strengths(total: NDArray[np.float32], noise: EpisodeNoise, sense: Sense) -> NDArray[np.float32]:
    """Return squared lengths of sums (stop, pol, pixel), nothing where they go the other way."""
    strength: NDArray[np.float32] = np.einsum("wpn,wpn->wn", total, total)
    if sense != "any":
        back = (noise.spread @ noise.colour).astype(np.float32)
        towards = np.einsum("p,wpn->wn", back, total)
        strength *= towards < 0 if sense == "darker" else towards > 0
    return strength


def _weights(
    counts: NDArray[np.float32], start: int, stop: int, noise: EpisodeNoise, parameters: EpisodeParameters
) -> NDArray[np.float32]:
    """Return one over the variance of each window (stop, pixel), nothing where it holds too little."""
    inside, before, whole = counts[stop:] - counts[start], counts[start], counts[-1]
    variance: NDArray[np.float32] = (
        inside * (1 - inside / np.maximum(whole, np.float32(1))) * np.float32(noise.fast_share)
    )
    variance += inside * inside * noise.slow[start, stop:, None].astype(np.float32)
    enough = (inside >= parameters.least_dates) & (whole - inside >= parameters.least_outside)
    enough &= before >= parameters.least_before
    weight = np.zeros_like(variance)
    np.divide(1, variance, out=weight, where=enough & (variance > 0))
    return weight
