"""Which share of what was flagged the reviewers accepted, by site, kind and period, and how sure that is."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError
from changedet.watch.geopackage import day_of
from changedet.watch.runs import objects_of
from changedet.watch.verdicts import Verdict, history, latest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from changedet.watch.state import StateFile

#: Periods by which rows can be told apart, with the letters of a day that name them.
PERIODS: Mapping[str, int] = {"year": 4, "month": 7, "all": 0}
#: What the row of all kinds of a site is called.
ALL_KINDS = "all kinds"
_COVERAGE = 0.95


def wilson_interval(successes: int, trials: int, coverage: float = _COVERAGE) -> tuple[float, float]:
    """Return the score interval of a share.

    Unlike the share plus and minus its standard error it stays within 0 and 1 and is honest for few trials.

    Parameters
    ----------
    successes : int
        From 0 to `trials`.
    trials : int
        How many were judged; 0 gives an interval that says nothing.
    coverage : float
        How often intervals made so hold the true share, between 0 and 1.

    Returns
    -------
    tuple of two float
        Lower and upper end.

    Raises
    ------
    UsageError
        When there are more successes than trials, or fewer than none.

    Notes
    -----
    Wilson 1927, doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> tuple(round(end, 3) for end in wilson_interval(8, 10))
    (0.49, 0.943)
    """
    if not 0 <= successes <= trials or not 0 < coverage < 1:
        raise UsageError(f"{successes} of {trials} is no share", todo="give counts of one sample")
    if trials == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    share, weight = successes / trials, z * z / trials
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


def precision_rows(state: StateFile, *, site: str = "", by: str = "year") -> list[dict[str, Any]]:
    """Return the precision of what was flagged, as far as it was judged.

    Of several verdicts on an object the last one counts; verdicts that carry over from another run do not
    count again. Those who are unsure stand apart: they are in neither half of the share. Reviewers mostly
    judge what ranks first, so that the share speaks of what was judged and not of all that was flagged.

    Parameters
    ----------
    state : StateFile
        Open.
    site : str
        Of this site only.
    by : str
        ``year``, ``month`` or ``all``: period of the after image.

    Returns
    -------
    list of dict
        ``site``, ``kind`` (`ALL_KINDS` for their sum), ``period``, ``flagged``, ``accepted``, ``rejected``,
        ``unsure``, ``blind`` (verdicts given blind), ``disputed`` (objects on which the last verdicts of two
        reviewers differ), ``precision`` (accepted / (accepted + rejected), None when nothing was judged) and
        ``interval`` (95 %, from `wilson_interval`); by site, kind and period.

    Raises
    ------
    UsageError
        When the period is none of these.
    """
    if by not in PERIODS:
        raise UsageError(f"{by[:40]!r} is no period", todo=f"say {', '.join(PERIODS)}")
    told = history(state, site=site)
    last = {row["object_id"]: row for row in latest(told).to_dict("records")}
    disputed = _disputed(told.to_dict("records"))
    counts: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for one in objects_of(state, site=site).to_dict("records"):
        period = _period(str(one["first_seen"]), by)
        words = ["flagged"]
        if said := last.get(one["fid"]):
            words += [said["verdict"], *(["blind"] if said["blind"] else [])]
        words += ["disputed"] if one["fid"] in disputed else []
        for kind in (one["kind"], ALL_KINDS):
            counts[one["site"], kind, period].update(words)
    keys = sorted(counts, key=lambda key: (key[0], key[1] == ALL_KINDS, key[1], key[2]))
    return [_row(key, counts[key]) for key in keys]


def _row(key: tuple[str, str, str], counts: Counter[str]) -> dict[str, Any]:
    accepted, rejected = counts[Verdict.ACCEPTED], counts[Verdict.REJECTED]
    judged = accepted + rejected
    names = ("flagged", *(word.value for word in Verdict), "blind", "disputed")
    return {
        **dict(zip(("site", "kind", "period"), key, strict=True)),
        **{name: counts[name] for name in names},
        "precision": accepted / judged if judged else None,
        "interval": list(wilson_interval(accepted, judged)) if judged else None,
    }


def _period(first_seen: str, by: str) -> str:
    if by == "all":
        return "all"
    day = day_of(first_seen)
    return day.isoformat()[: PERIODS[by]] if day else "unknown"


def _disputed(told: list[dict[str, Any]]) -> set[int]:
    """Return the objects on which reviewers do not agree, each by what they said last."""
    said: dict[int, dict[str, str]] = defaultdict(dict)
    for row in told:
        said[row["object_id"]][row["reviewer"]] = row["verdict"]
    return {number for number, words in said.items() if len(set(words.values())) > 1}
