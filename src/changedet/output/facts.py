"""What a reader is told, in words: the same sentences and numbers on plates, reports and in notebooks."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from changedet.kinds import KIND_LABELS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from changedet.registration import Registration
    from changedet.result import ChangeResult
    from changedet.scene import Image, Scene

#: What the absence of a flag means; it stands wherever a result is shown.
NOT_FLAGGED_NOTE = (
    "“Not flagged” means that the two images gave no reason to flag a pixel. "
    "It does not mean that nothing happened there."
)

#: Why no object of a two-date comparison has high confidence.
CONFIDENCE_NOTE = (
    "Confidence is low, medium or high by agreement and persistence. Two dates alone never give “high”: "
    "that takes further dates, or another sensor, that agree."
)

#: How the list of candidates is ordered: a heading, and what it means.
ORDER_BY_CONSTRUCTION = (
    "Candidates, most like construction first",
    "The order is that of the construction-like score: the change score times a weight of 0 to 1, high where "
    "soil lay open, plants were stripped or land was made, lower where plants stay or grow, in shadow and on "
    "water. So a field that was laid bare can stand above a roof: read the kind, not the number alone. What "
    "looks like sun glint comes last.",
)
#: The same of results that have no such score.
ORDER_BY_SCORE = (
    "Candidates, highest score first",
    "The order is that of the change score. What looks like sun glint comes last.",
)

#: What stands on every product made from simulated imagery.
SIMULATED_NOTE = "SIMULATED IMAGERY: not real ground"

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Fact:
    """One labelled value of the quality strip.

    Attributes
    ----------
    label : str
        What is stated, a few words.
    value : str
        The value with its unit.
    note : str
        Detail, or "".
    """

    label: str
    value: str
    note: str = ""


def clean(text: object, limit: int = 160) -> str:
    r"""Make a text from outside fit to be shown: one line, no control characters, clipped.

    Parameters
    ----------
    text : object
        Usually str: site names and scene identifiers come from other people's files.
    limit : int
        Longest result in characters; a longer text ends in an ellipsis.

    Returns
    -------
    str
        Without control characters and without the marks that reverse the reading direction of what follows.

    Examples
    --------
    >>> clean("Pier\x00 7\n\u202eleft")
    'Pier 7 left'
    """
    raw = str(text)[: 20 * limit]
    kept = (" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in raw if _is_visible(c))
    words = " ".join("".join(kept).split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def number(value: object, digits: int = 2, unit: str = "") -> str:
    """Write a number for a reader.

    Parameters
    ----------
    value : object
        A real number, or None.
    digits : int
        Decimal places.
    unit : str
        Written after a thin gap.

    Returns
    -------
    str
        ``"not known"`` for None, NaN and infinities.

    Examples
    --------
    >>> number(0.4251, 2, "px"), number(None), number(-0.0001, 1)
    ('0.43 px', 'not known', '0.0')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "not known"
    shown = f"{value:,.{digits}f}"
    if float(shown.replace(",", "")) == 0:
        shown = shown.lstrip("-")
    return f"{shown} {unit}" if unit else shown


def one_in(share: float) -> str:
    """Write a small share as one in so many, for a reader.

    Examples
    --------
    >>> one_in(0.0004), one_in(0.31), one_in(0.8), one_in(float("nan"))
    ('1 in 2,500', '1 in 3', 'most', 'not known how many')
    """
    if not 0 < share <= 1:
        return "not known how many"
    if share > 1 / 2:
        return "most"
    digits = -math.floor(math.log10(1 / share)) + 1
    return f"1 in {round(1 / share, min(digits, 0)):,.0f}"


def share_text(share: float) -> str:
    """Write a share (0 to 1) in per cent, never rounding something to nothing.

    Examples
    --------
    >>> share_text(0.984), share_text(0.0001), share_text(0.99999), share_text(1.0)
    ('98.4 %', 'under 0.1 %', 'over 99.9 %', '100.0 %')
    """
    if not math.isfinite(share):
        return "not known"
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{share * 100:.1f} %"


def area_text(area_m2: float) -> str:
    """Write an area in the unit a reader would choose.

    Examples
    --------
    >>> area_text(800.0), area_text(18000.0), area_text(2.5e6)
    ('800 m²', '1.80 ha', '2.50 km²')
    """
    if area_m2 < 10_000:
        return number(float(area_m2), 0, "m²")
    if area_m2 < 1_000_000:
        return number(area_m2 / 1e4, 2, "ha")
    return number(area_m2 / 1e6, 2, "km²")


def when(scene: Scene) -> str:
    """Write the acquisition time of a scene in UTC.

    Returns
    -------
    str
        ``"2023-05-14 02:07:01 UTC"``, ``"time unknown"``, or the first and the last date of a composite.
    """
    if scene.members:
        return scene.date_text.removeprefix("a ")
    return "time unknown" if scene.time is None else scene.time_text.replace("T", " ").replace("Z", " UTC")


def dates_text(scene: Scene) -> str:
    """Name every date of a composite, or return "" for a single date."""
    return ", ".join(clean(member.date_text, 20) for member in scene.acquisitions) if scene.members else ""


def warnings(result: ChangeResult) -> tuple[str, ...]:
    """Return the warnings of a result, of its pair and of radar, each once."""
    of_radar = () if result.radar is None else result.radar.warnings
    return tuple(dict.fromkeys((*result.warnings, *result.pair.warnings, *of_radar)))


def dates_note(scene: Scene) -> str:
    """Say how the dates of a composite, or of a mean of radar, make up a pixel; "" for a single date."""
    if not scene.members:
        return ""
    return f"{'the mean' if scene.sensor == 's1' else 'every pixel shows one'} of {dates_text(scene)}"


def is_simulated(result: ChangeResult) -> bool:
    """Return True when either date is simulated imagery, of any sensor."""
    return any(image.scene.simulated for image in _images(result))


def credit_lines(result: ChangeResult) -> tuple[str, ...]:
    """Return the licence notices of both dates, each once, before first, those of radar last."""
    return tuple(dict.fromkeys(clean(image.scene.credit) for image in _images(result)))


def _images(result: ChangeResult) -> tuple[Image, ...]:
    images = (result.before, result.after)
    return images if result.radar is None else (*images, result.radar.before, result.radar.after)


def kind_of(label: str) -> Kind:
    """Return the kind with this label, `Kind.UNCLASSIFIED` for a label that is not in the table.

    Examples
    --------
    >>> kind_of("demolition").name, kind_of("something else").name
    ('DEMOLITION', 'UNCLASSIFIED')
    """
    return next((kind for kind, known in KIND_LABELS.items() if known == label), Kind.UNCLASSIFIED)


def consistent_with(label: str) -> str:
    """Say in careful words what an object of this kind is consistent with.

    Examples
    --------
    >>> consistent_with("demolition"), consistent_with("unclassified change")
    ('consistent with demolition', 'of no clear kind')
    """
    return "of no clear kind" if kind_of(label) == Kind.UNCLASSIFIED else f"consistent with {clean(label)}"


def finding(result: ChangeResult) -> str:
    """Say in one sentence what was found, in words that do not promise more than was seen.

    Parameters
    ----------
    result : ChangeResult
        Any result, also one that a gate refused or one without objects.

    Returns
    -------
    str
        One sentence with the name, the dates, the number and the area of the candidates.
    """
    scenes = result.before.scene, result.after.scene
    period = f"between {scenes[0].date_text} and {scenes[1].date_text}"
    if all(scene.time is None for scene in scenes):
        period = "between two unknown dates"
    taken = period.replace("between", "of", 1)
    name = clean(result.name, 80)
    objects = result.objects
    if not result.registration.passed and len(objects) == 0:
        return (
            f"{name}: the images {taken} were not compared, because the registration gate refused them "
            f"({clean(result.registration.reason)}); nothing is said about change."
        )
    if result.refusals:
        return (
            f"{name}: the images {taken} were not compared, because a quality gate refused them; "
            "nothing is said about change."
        )
    if len(objects) == 0:
        return (
            f"{name}: no candidate was flagged {period}; this does not mean that nothing happened "
            f"({share_text(result.pair.clear_share)} of the site was "
            f"{'observed in both periods' if result.radar_alone else 'clear on both dates'})."
        )
    leading = objects.iloc[0]
    # a result that is to be published does not say where it is
    place = f", MGRS {clean(leading['mgrs'])}" if math.isfinite(float(leading["lat"])) else ""
    many = "1 candidate change was" if len(objects) == 1 else f"{len(objects):,} candidate changes were"
    return (
        f"{name}: {many} flagged {period}, {area_text(float(objects['area_m2'].sum()))} in all; "
        f"the leading one ({area_text(float(leading['area_m2']))}{place}) "
        f"is {consistent_with(str(leading['kind']))}."
    )


def registration_text(result: ChangeResult) -> str:
    """Say how far the after image was moved and what was left, in one sentence without a full stop."""
    if result.radar_alone:
        return f"none but of satellites that lay apart; between both periods {residual_text(result)}"
    registration = result.registration
    moved = "corrected" if registration.applied else "measured but not corrected"
    return f"{shift_text(registration)} {moved}, {residual_text(result)}"


def residual_text(result: ChangeResult) -> str:
    """Say what displacement was left and what follows, in words without a full stop."""
    registration = result.registration
    return (
        f"residual {number(registration.residual_px, 2, 'px')} = {number(registration.residual_m, 1, 'm')}, "
        f"limit {number(registration.limit_px, 2, 'px')}: {verdict_text(registration)}"
    )


def shift_text(registration: Registration) -> str:
    """Say how far, which way, and whether everywhere by the same.

    Parameters
    ----------
    registration : Registration
        Any.

    Returns
    -------
    str
        Such as "shift 0.52 px (4.2 m north, 3.1 m east)".
    """
    north, east = registration.shift_m
    length = math.hypot(*registration.shift_px)
    extent = max(registration.extent_px)
    varies = f", varying by up to {number(extent, 2, 'px')} over the image" if extent > 0 else ""
    return (
        f"shift {number(length, 2, 'px')} ({_towards(north, 'north', 'south')}, "
        f"{_towards(east, 'east', 'west')}{varies})"
    )


def verdict_text(registration: Registration) -> str:
    """Return the verdict, with the reason when the images are not comparable."""
    reason = clean(registration.reason)
    return f"{clean(registration.verdict)} ({reason})" if reason else clean(registration.verdict)


def shown_text(result: ChangeResult) -> str:
    """Say what was done to the images before they were drawn, in one sentence without a full stop."""
    if result.radar_alone:
        return "Both images are drawn as they were loaded, without smoothing"
    done = ["registered to the before image"] if result.registration.applied else []
    done += ["matched to it in reflectance"] if result.normalization is not None else []
    if not done:
        return "Both images are drawn as they were loaded, without smoothing"
    return f"The after image is drawn as it was compared ({' and '.join(done)}), without smoothing"


def floor_text(result: ChangeResult) -> str:
    """Say what is too small or too faint to have been flagged, or "" when the floor was not measured."""
    area = result.detection_floor.get("min_area_m2")
    contrast = result.detection_floor.get("contrast_reflectance")
    parts = []
    if area is not None and math.isfinite(area):
        parts.append(f"smaller than {area_text(float(area))}")
    if contrast is not None and math.isfinite(contrast):
        parts.append(f"fainter than {number(float(contrast), 3)} in reflectance")
    decibels = result.detection_floor.get("least_change_db")
    if decibels is not None and math.isfinite(decibels):
        parts.append(f"fainter than {number(float(decibels), 1)} dB to radar")
    return f"Changes {' or '.join(parts)} are below the detection floor of this pair" if parts else ""


def quality(result: ChangeResult) -> tuple[Fact, ...]:
    """Return the figures that tell how far a comparison can be trusted.

    Parameters
    ----------
    result : ChangeResult
        Any result.

    Returns
    -------
    tuple of Fact
        Clear shares, gaps of season, sun and orbit, registration, normalisation.
    """
    pair, registration = result.pair, result.registration
    orbit = {True: "same relative orbit", False: "different relative orbits", None: "orbits not known"}
    return (
        Fact(
            "Clear on both dates",
            share_text(pair.clear_share),
            f"before {share_text(pair.clear_share_before)}, after {share_text(pair.clear_share_after)}",
        ),
        season_fact(result),
        Fact(
            "Sun gap",
            _signed(pair.sun_elevation_gap_deg),
            f"in elevation; azimuth {_signed(pair.sun_azimuth_gap_deg)}; {orbit[pair.same_orbit]}",
        ),
        *_registration(registration),
        _normalisation(result),
    )


def season_fact(result: ChangeResult) -> Fact:
    """Return how far both dates lie apart in the year, and in time."""
    days = result.pair.days_apart
    apart = "time between them not known" if days is None else f"{days_text(days)} apart"
    return Fact("Season gap", days_text(result.pair.season_gap_days), apart)


def _registration(registration: Registration) -> tuple[Fact, Fact]:
    extent = max(registration.extent_px)
    directions = (
        f"{_towards(registration.shift_m[0], 'north', 'south')}, "
        f"{_towards(registration.shift_m[1], 'east', 'west')}"
    )
    kept, dropped = registration.tie_points, registration.tie_points_dropped
    return (
        Fact(
            "Shift " + ("corrected" if registration.applied else "not corrected"),
            number(math.hypot(*registration.shift_px), 2, "px"),
            directions + (f"; varies by up to {number(extent, 2, 'px')}" if extent > 0 else ""),
        ),
        Fact(
            "Residual shift",
            number(registration.residual_px, 2, "px"),
            f"{number(registration.residual_m, 1, 'm')}; limit {number(registration.limit_px, 2, 'px')}; "
            f"{kept:,} tie points agree{f', {dropped:,} do not' if dropped else ''}; "
            f"verdict: {verdict_text(registration)}",
        ),
    )


def _normalisation(result: ChangeResult) -> Fact:
    done = result.normalization
    if done is None or not done.error:
        return Fact("Normalisation", "not done", "the pair was refused before it")
    worst = max(range(len(done.error)), key=lambda i: done.error[i])
    return Fact(
        "Normalisation error",
        f"up to {number(done.error[worst], 3)}",
        f"reflectance, band {clean(done.bands[worst])}; gain {min(done.gain):.2f} to {max(done.gain):.2f}",
    )


def scene_line(scene: Scene) -> str:
    """Return sensor, level, baseline, resolution and orbit of a scene in one short line."""
    parts = [
        f"{_kind_of_dates(scene)} of {dates_text(scene)}" if scene.members else "",
        clean(scene.platform, 40) if scene.platform != "unknown" else "platform unknown",
        f"level {clean(scene.level, 20)}",
        f"{number(scene.resolution_m, 0, 'm')} pixels",
        f"baseline {clean(scene.processing_baseline, 10)}" if scene.processing_baseline else "",
        f"orbit {scene.relative_orbit}" if scene.relative_orbit is not None else "",
        f"sun {number(scene.sun_elevation_deg, 0)}°" if scene.sun_elevation_deg is not None else "",
    ]
    return ", ".join(p for p in parts if p)


def _kind_of_dates(scene: Scene) -> str:
    return "mean" if scene.sensor == "s1" else "composite"


def flatten(value: object, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Turn nested parameters into pairs of dotted name and text, in their own order.

    Examples
    --------
    >>> list(flatten({"method": "predict", "predict": {"trim": 0.85}, "bands": ["B02", "B03"]}))
    [('method', 'predict'), ('predict.trim', '0.85'), ('bands', 'B02, B03')]
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}.{clean(key, 60)}" if prefix else clean(key, 60))
    elif isinstance(value, list | tuple):
        yield prefix, clean(", ".join(_plain(v) for v in value), 400)
    else:
        yield prefix, clean(_plain(value), 400)


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "none" if value is None else "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _towards(metres: float, positive: str, negative: str) -> str:
    if not math.isfinite(metres):
        return "not known"
    return f"{number(abs(metres), 1, 'm')} {positive if metres >= 0 else negative}"


def days_text(days: int | None) -> str:
    """Write a number of days for a reader."""
    if days is None:
        return "not known"
    return "1 day" if abs(days) == 1 else f"{days:,} days"


def _signed(degrees: float | None) -> str:
    return "not known" if degrees is None else f"{degrees:+.1f}°"


def _is_visible(character: str) -> bool:
    return character not in _BIDI_CONTROLS and unicodedata.category(character) not in {"Cs", "Co", "Cn"}
