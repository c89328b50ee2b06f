"""The index of several sites: one page with a small picture of each that leads to its report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from changedet.errors import ChangedetError
from changedet.output import facts, radar_facts
from changedet.output.folder import REPORT_NAME, open_run
from changedet.output.page import render_page, write_page
from changedet.output.picture import draw_image, score_colour, shrink, to_jpeg_data_url
from changedet.output.redaction import published
from changedet.output.stretch import stretch_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from changedet.batch import Outcome
    from changedet.result import ChangeResult

#: Name of the index in the folder of a batch.
INDEX_NAME = "index.html"

_THUMBNAIL_PX = 240
# all pictures of a page together, and a single one, before they are written as text
_BYTES_OF_ALL, _MOST_BYTES, _LEAST_BYTES = 1_200_000, 9_000, 1_500


def write_index(folder: Path, outcomes: Sequence[Outcome], *, name: str) -> Path:
    """Write the index of the sites of a batch, from their run folders.

    Parameters
    ----------
    folder : Path
        Of the batch; the index is replaced when there is one.
    outcomes : sequence of Outcome
        Of every site, in the order of the list.
    name : str
        Of the list.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        When it cannot be written; nothing half-written is left.
    """
    path = folder / INDEX_NAME
    write_page(index_html(folder, outcomes, name=name), path, what="the index")
    return path


def index_html(folder: Path, outcomes: Sequence[Outcome], *, name: str) -> str:
    """Return the index as text; see `write_index`.

    Returns
    -------
    str
        A complete HTML document under a policy that forbids every load. Sites with candidates come first, by
        how far their leading candidate stands out from its own background; then the others; then those that
        have no result.
    """
    whole = [one for one in outcomes if one.whole]
    budget = max(_LEAST_BYTES, min(_MOST_BYTES, _BYTES_OF_ALL // max(1, 2 * len(whole))))
    sites = sorted((_site(folder, one, budget) for one in whole), key=_rank)
    flagged = [one["candidates"] for one in sites if one["candidates"]]
    compared = sum(not one["refused"] for one in sites)
    context = {
        "name": facts.clean(name, 120),
        "finding": (
            f"{sum(flagged):,} candidate changes were flagged at {len(flagged):,} of "
            f"{len(outcomes):,} sites; at {len(outcomes) - compared:,} nothing was compared."
        ),
        "not_flagged_note": facts.NOT_FLAGGED_NOTE,
        "simulated": _simulated(sites),
        "sites": sites,
        "without": [
            (facts.clean(one.site, 120), str(one.fate), facts.clean(one.reason or "-", 300))
            for one in outcomes
            if not one.whole
        ],
        "credits": list(dict.fromkeys(line for one in sites for line in one["credits"])),
    }
    return render_page("report_index.html.j2", context)


def _simulated(sites: Sequence[Mapping[str, Any]]) -> str:
    marked = [one["simulated"] for one in sites]
    if all(marked) and marked:
        return facts.SIMULATED_NOTE
    return f"{facts.SIMULATED_NOTE}, at {sum(marked):,} of these sites" if any(marked) else ""


def _rank(site: Mapping[str, Any]) -> tuple[bool, float]:
    return (not site["candidates"], -site["stands_out"])


def _site(folder: Path, outcome: Outcome, most_bytes: int) -> dict[str, Any]:
    said = {
        "name": facts.clean(outcome.site, 120),
        "link": quote(f"{outcome.folder}/{REPORT_NAME}"),
        "candidates": 0, "stands_out": 0.0, "simulated": False, "credits": (), "pictures": [], "facts": [],
        "finding": "", "period": "", "refused": facts.clean(outcome.reason, 300),
    }  # fmt: skip
    try:
        result = published(open_run(folder / outcome.folder))
    except ChangedetError as error:
        return said | {"refused": facts.clean(f"the run folder cannot be read: {error.what}", 300)}
    leading = result.objects.head(1)
    return said | {
        "candidates": len(result.objects),
        "stands_out": float(leading["score_mads"].iloc[0]) if len(leading) else 0.0,
        "simulated": facts.is_simulated(result),
        "credits": facts.credit_lines(result),
        "period": radar_facts.period_text(result),
        "finding": facts.finding(result),
        "facts": [(fact.label, fact.value) for fact in radar_facts.quality(result)],
        "pictures": [
            (word, to_jpeg_data_url(shrink(picture, _THUMBNAIL_PX), most_bytes=most_bytes))
            for word, picture in _pictures(result)
        ],
    }


def _pictures(result: ChangeResult) -> list[tuple[str, NDArray[Any]]]:
    """Return both dates; the change score of a run that did not keep its images."""
    before, after = result.before, result.after
    if not (before.valid.any() and after.valid.any()):
        return [("change score", score_colour(result))]
    limits = stretch_limits(before, after)
    return [("before", draw_image(before, limits)), ("after", draw_image(after, limits))]
