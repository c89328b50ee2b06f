"""Quality gates: what makes a pair not comparable as a whole, in words for a reader."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from changedet.core.planes import relieve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from changedet.core.normalization import Normalization
    from changedet.pairing import Pair
    from changedet.registration import Registration

#: A jump of the dark end of *every* band within these limits is a missed -1000 offset, not the ground.
OFFSET_JUMP = (0.08, 0.12)
#: Gains beyond these say that light, haze or season differ strongly between the dates.
USUAL_GAIN = (0.65, 1.55)
#: The dark end is looked for among so many pixels.
_MOST_PIXELS = 4_000_000
#: Two bands were exchanged when the correlations of each with the other exceed those with itself by so much
#: in sum. Of eight good pairs the sum is below 0.05, with near infrared exchanged above 0.5.
EXCHANGED_BY = 0.3
#: The order of the bands is looked for among so many pixels.
_ENOUGH_PIXELS = 40_000
#: Where clouds could not be looked for, one date must predict this share of the other,
#: over the ground that is predicted best.
LEAST_EXPLAINED = 0.6


def refusals(registration: Registration, pair: Pair) -> tuple[str, ...]:
    """Return why a pair must not be compared; empty when it may.

    Parameters
    ----------
    registration : Registration
        Of the pair.
    pair : Pair
        Registered, not normalised.

    Returns
    -------
    tuple of str
        One sentence for each gate that refused, each with what to do.
    """
    # bands of ground that does not lie on itself are alike by chance
    order = _order_refusal(pair) if registration.passed else ()
    return (*_registration_refusal(registration), *_offset_refusal(pair), *order)


def unlikeness(pair: Pair, explained: float) -> str:
    """Return why dates that look unlike each other are not compared; empty when they are.

    Parameters
    ----------
    pair : Pair
        Registered.
    explained : float
        Share of the variance of one date that the other predicts, see `changedet.core.prediction`.

    Returns
    -------
    str
        A sentence, when clouds could not be looked for and the dates have little in common: cloud, haze or
        a harvest over half of the scene is then as likely as change.
    """
    looked = "none" not in {pair.before.classes_source, pair.after.classes_source}
    if looked or not explained < LEAST_EXPLAINED:
        return ""
    return (
        f"not comparable: one date predicts only {max(explained, 0.0):.0%} of the other, and clouds could "
        "not be looked for, as the bands for it are missing; give blue, green, red and near infrared"
    )


def gain_warnings(normalization: Normalization) -> tuple[str, ...]:
    """Return a warning when the after image had to be scaled unusually to match the before image."""
    pairs = zip(normalization.bands, normalization.gain, strict=True)
    odd = [(band, gain) for band, gain in pairs if not USUAL_GAIN[0] <= gain <= USUAL_GAIN[1]]
    if not odd:
        return ()
    listed = ", ".join(f"{band} by {gain:.2f}" for band, gain in odd[:4])
    both_ways = min(gain for _, gain in odd) < USUAL_GAIN[0] and max(gain for _, gain in odd) > USUAL_GAIN[1]
    order = ", or its bands are in another order than stated" if both_ways else ""
    return (f"the after image was scaled strongly to match ({listed}): light, haze or season differ{order}",)


def _registration_refusal(registration: Registration) -> tuple[str, ...]:
    if registration.passed:
        return ()
    return (
        f"not comparable: {registration.reason} (registration: {registration.tie_points} tie points agree)",
    )


def _offset_refusal(pair: Pair) -> tuple[str, ...]:
    jump = offset_jump(pair)
    if jump is None:
        return ()
    date = "after" if jump > 0 else "before"
    return (
        f"not comparable: every band of the after image is {abs(jump):.2f} reflectance "
        f"{'brighter' if jump > 0 else 'darker'} at its dark end, as when the offset of processing "
        f"baseline 04.00 is missed on the {date} date; state it with --{date}-offset -0.1",
    )


def _order_refusal(pair: Pair) -> tuple[str, ...]:
    exchanged = exchanged_bands(pair)
    if not exchanged:
        return ()
    listed = " and ".join(f"{first} with {second}" for first, second in exchanged)
    return (
        f"not comparable: bands of one date are exchanged ({listed}): each looks like the other of the other "
        "date; check the order of the bands of both images",
    )


def exchanged_bands(pair: Pair) -> tuple[tuple[str, str], ...]:
    """Return which bands of one date show what others show on the other date.

    Bands that are much alike, such as blue and red, cannot be told apart by this.

    Parameters
    ----------
    pair : Pair
        Registered, not normalised.

    Returns
    -------
    tuple of (str, str)
        Names of two bands each; empty when every band looks most like itself.
    """
    step = max(1, math.isqrt(pair.before.valid.size // _ENOUGH_PIXELS))
    both = pair.before.valid[::step, ::step] & pair.after.valid[::step, ::step]
    names = pair.before.bands
    if np.count_nonzero(both) <= len(names):
        return ()
    images = (pair.before, pair.after)
    sides = [np.array([_thinned(band, step)[both] for band in image.data]) for image in images]
    centred = [side - side.mean(axis=1, keepdims=True) for side in sides]
    first, second = (side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9) for side in centred)
    alike = first @ second.T
    own = np.diag(alike)
    exchanged = np.triu(alike + alike.T - own[:, None] - own[None] > EXCHANGED_BY, 1)
    # of two bands that both look like a third, the one that looks most like it
    better = np.fmax(alike, alike.T)
    kept = exchanged & (better >= np.where(exchanged | exchanged.T, better, 0).max(axis=1)[:, None])
    return tuple((names[row], names[column]) for row, column in zip(*np.nonzero(kept), strict=True))


def _thinned(band: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    thin = band[::step, ::step].copy()
    relieve()
    return thin


def offset_jump(pair: Pair) -> float | None:
    """Return the jump of the dark end when every band jumps by about 0.1 reflectance, else None.

    Parameters
    ----------
    pair : Pair
        Not normalised.

    Returns
    -------
    float or None
        After minus before; positive when the after image is too bright.
    """
    # of a large image some rows and columns tell it as well
    step = max(1, math.isqrt(pair.before.valid.size // _MOST_PIXELS))
    both = pair.before.valid[::step, ::step] & pair.after.valid[::step, ::step]
    if not both.any():
        return None
    dark = [
        np.array([np.quantile(_thinned(band, step)[both], 0.01) for band in image.data])
        for image in (pair.before, pair.after)
    ]
    jumps = dark[1] - dark[0]
    low, high = OFFSET_JUMP
    alike = np.all((abs(jumps) > low) & (abs(jumps) < high)) and np.all(np.sign(jumps) == np.sign(jumps[0]))
    return float(np.median(jumps)) if alike and len(jumps) > 1 else None
