"""The page of a watch: one HTML file that loads nothing, with what is new, what waits, what was not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from changedet.bands import NATURAL_COLOUR
from changedet.errors import InputFileError
from changedet.output import facts
from changedet.output.page import render_page
from changedet.output.picture import enlarge, outlines, stretched, to_jpeg_data_url, window
from changedet.watch.alerts import GROWTH_WORDS
from changedet.watch.arrays import read_arrays
from changedet.watch.baselines import SiteBaseline
from changedet.watch.candidates import ASIDE, PERSISTING, PROVISIONAL
from changedet.watch.following import followed_things
from changedet.watch.looking import SitePass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from changedet.watch.alerts import Alert
    from changedet.watch.running import WatchReport
    from changedet.watch.state import StateFile

#: Side of a picture in pixels of the grid, and how many pixels of the picture make one of them.
_CHIP_PX, _FACTOR = 64, 6
_MOST_PICTURES, _PICTURE_BYTES = 40, 24_000
_LINE_COLOUR = (255, 214, 0)
_NO_FLOOR = "not known: too few clear dates, or no ground that stays the same, to tell the noise from"
_BORNE_OUT = "later clear dates bear it out"
_STATUS_WORDS = {PERSISTING: "persisting", PROVISIONAL: "provisional: waits", ASIDE: "set aside"}


def digest_pictures(state: StateFile, alerts: Sequence[Alert]) -> dict[str, tuple[str, str]]:
    """Draw the ground of alerts before and now, with the outline.

    Parameters
    ----------
    state : StateFile
        Open.
    alerts : sequence of Alert
        Of any sites.

    Returns
    -------
    dict of str to tuple of str
        By ``id``, two ``data:`` addresses: the median of the history, and of the last clear dates. Without
        natural colour there is none.
    """
    found: dict[str, tuple[str, str]] = {}
    for site in dict.fromkeys(one.site for one in alerts):
        own = [one for one in alerts if one.site == site][: _MOST_PICTURES - len(found)]
        try:
            stored = read_arrays(state, site)
            base = None if stored is None else SiteBaseline.from_arrays(stored.arrays)
        except InputFileError:
            continue  # the pass at this site says so
        if base is not None and own and set(NATURAL_COLOUR) <= set(base.bands):
            found |= _pictures(state, base, own)
    return found


def digest_html(report: WatchReport, pictures: Mapping[str, tuple[str, str]]) -> str:
    """Return the page of a watch.

    Parameters
    ----------
    report : WatchReport
        What was found.
    pictures : mapping
        From `digest_pictures`.

    Returns
    -------
    str
        A complete HTML document under a policy that forbids every load.
    """
    known = _known(report)
    context = {
        "simulated": facts.SIMULATED_NOTE if any(one.simulated for one in known) else "",
        "until": report.until_utc[:10],
        "made": report.made_utc,
        "finding": _finding(report),
        "alerts": [_alert(one, pictures.get(one.id)) for one in report.alerts],
        "silent": [(facts.clean(one.site), f"{one.silent_days:.0f}", one.last[:10]) for one in report.silent],
        "failed": [(facts.clean(one.site), facts.clean(one.reason, 300)) for one in report.failures],
        "sites": [_site(one) for one in known],
        "floors": [
            (facts.clean(one.site), one.floor.sentence or _NO_FLOOR) for one in known if one.floor is not None
        ],
        "listed": [row for one in known for row in _listed(one)],
        "earlier": [
            (
                one.by_utc[:10],
                facts.clean(one.site),
                one.kind,
                _area(one.area_m2),
                one.mgrs,
                GROWTH_WORDS[one.growth],
            )
            for one in reversed(report.earlier[-100:])
        ],
        "credit": _credit(known),
    }
    return render_page("watch.html.j2", context)


def closing_lines(report: WatchReport) -> list[str]:
    """Return what a letter ends with: what was not observed, what failed, up to when, whose data.

    Parameters
    ----------
    report : WatchReport
        What was found.

    Returns
    -------
    list of str
    """
    known = _known(report)
    simulated = [facts.SIMULATED_NOTE] if any(one.simulated for one in known) else []
    failed = [f"{facts.clean(one.site)}: failed: {facts.clean(one.reason, 300)}" for one in report.failures]
    lines = [*report.silence(), *failed]
    ending = [f"Watched up to {report.until_utc[:10]}.", *simulated, _credit(known)]
    return [*lines, *([""] if lines else []), *filter(None, ending)]


def _known(report: WatchReport) -> list[SitePass]:
    return [one for one in report.passes if isinstance(one, SitePass)]


def _finding(report: WatchReport) -> str:
    count, sites, failed = len(report.alerts), len(report.passes), len(report.failures)
    told = f"{count} new candidate{'s' if count > 1 else ''}" if count else "Nothing new was flagged"
    of = f"{sites - failed} of {sites}" if failed else str(sites)
    return f"{told} at {of} watched site{'s' if sites != 1 else ''}."


def _alert(alert: Alert, pictures: tuple[str, str] | None) -> dict[str, Any]:
    return {
        "title": f"{facts.clean(alert.site)}: candidate of {alert.kind}",
        "when": f"first seen between {alert.after_utc[:10]} and {alert.by_utc[:10]}",
        "facts": [
            ("Area", _area(alert.area_m2)), ("Centre", f"{alert.lat:.5f}, {alert.lon:.5f}"),
            ("DMS", alert.dms), ("MGRS", alert.mgrs),
            ("Status", f"{alert.status}, {GROWTH_WORDS[alert.growth]}"),
            ("Confidence", alert.confidence),
        ],
        "evidence": facts.clean(alert.evidence, 400),
        "pictures": pictures or (),
    }  # fmt: skip


def _site(one: SitePass) -> tuple[str, ...]:
    return (
        facts.clean(one.site),
        one.last[:10],
        f"{one.silent_days:.0f}",
        str(len(one.taken)),
        str(len(one.left)),
        f"{one.watched_share:.0%}",
        str(len(one.of(PERSISTING))),
        str(len(one.of(PROVISIONAL))),
        str(len(one.of(ASIDE))),
    )


def _listed(one: SitePass) -> list[tuple[str, ...]]:
    return [
        (facts.clean(one.site), _STATUS_WORDS[c.status], c.kind, c.reason or _BORNE_OUT, c.evidence,
         c.by[:10], _area(c.area_m2), c.point.mgrs)
        for c in one.candidates
    ]  # fmt: skip


def _area(area_m2: float) -> str:
    return f"{area_m2:,.0f} m\u00b2"


def _credit(known: Sequence[SitePass]) -> str:
    real = [one for one in known if not one.simulated]
    years = sorted({time[:4] for one in real for time in (*one.taken, one.last)})
    notices = ["Simulated imagery; not real ground"] if len(real) < len(known) else []
    notices += [f"Contains modified Copernicus Sentinel data [{', '.join(years)}]"] if years else []
    return ". ".join(notices)


def _pictures(state: StateFile, base: SiteBaseline, alerts: Sequence[Alert]) -> dict[str, tuple[str, str]]:
    from affine import Affine
    from odc.geo.geobox import GeoBox

    grid = GeoBox(tuple(base.place["shape"]), Affine(*base.place["transform"]), base.place["crs"])
    places = [base.bands.index(name) for name in NATURAL_COLOUR]
    before, now = base.before[places], base.now()[places]
    both = np.concatenate([before.reshape(3, -1), now.reshape(3, -1)], axis=1)
    both = both[:, np.isfinite(both).all(axis=0)]
    if not both.size:
        return {}
    low, high = (float(np.percentile(both, share)) for share in (1, 99))
    drawn = [
        np.stack([stretched(plane, low, max(high, low + 1e-3)) for plane in planes], axis=-1)
        for planes in (before, now)
    ]
    things = followed_things(state, site=alerts[0].site)
    rings = [ring for one in outlines(things.to_crs(base.place["crs"]), grid) for ring in one]
    found = {}
    for alert in alerts:
        row, column = _pixel(grid, alert)
        part = window((int(grid.shape[0]), int(grid.shape[1])), row, column, _CHIP_PX)
        first, second = (_drawn(picture, part, rings) for picture in drawn)
        found[alert.id] = (first, second)
    return found


def _pixel(grid: Any, alert: Alert) -> tuple[float, float]:  # noqa: ANN401  # odc's grid
    from pyproj import Transformer

    x, y = Transformer.from_crs("EPSG:4326", str(grid.crs), always_xy=True).transform(alert.lon, alert.lat)
    column, row = ~grid.transform * (x, y)
    return float(row), float(column)


def _drawn(picture: NDArray[np.uint8], part: tuple[slice, slice], rings: list[NDArray[np.float64]]) -> str:
    import cv2

    canvas = np.ascontiguousarray(enlarge(picture[part], _FACTOR))
    corner = np.array([part[1].start, part[0].start], np.float64)
    for ring in rings:
        points = np.rint((ring - corner) * _FACTOR).astype(np.int32)
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], isClosed=True, color=_LINE_COLOUR, thickness=2)
    return to_jpeg_data_url(canvas, most_bytes=_PICTURE_BYTES)
