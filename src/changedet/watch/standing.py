"""How a site stood after its last pass, kept beside its arrays: a day on which nothing is new needs no array.

It is made of what counts and can be made again at any time. It is believed only as long as the arrays, the
outline, the rules, this version of the package and its code are those that it was made of.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import shapely

from changedet.coordinates import GeoPoint
from changedet.core.detection_floor import DetectionFloor
from changedet.hashing import code_digest
from changedet.json_texts import OTHER_SHAPE, parse_json
from changedet.providers.cache_files import digest_of, write_text
from changedet.timeline.kinds_in_time import Phase, TimeFinding, TimeKind
from changedet.watch.arrays import array_folder
from changedet.watch.candidates import Candidate
from changedet.watch.looking import SitePass

if TYPE_CHECKING:
    from pathlib import Path

    from changedet.watch.gathering import Place
    from changedet.watch.state import StateFile

#: Name of the file in the folder of the arrays of a site, and the form of what it holds.
STANDING_NAME, _FORM = "standing.json", 1


@dataclass(frozen=True)
class KnownSite:
    """A site of which the state file holds arrays.

    Attributes
    ----------
    site_id : int
        ``fid`` of the site.
    name : str
        As the state file calls it.
    generation : int
        The newest.
    sha256 : str
        Its digest.
    """

    site_id: int
    name: str
    generation: int
    sha256: str


def known_sites(state: StateFile, name: str | None = None) -> dict[str, KnownSite]:
    """Return the sites of which the state file holds arrays.

    Parameters
    ----------
    state : StateFile
        Open.
    name : str, optional
        This one alone; all when not given.

    Returns
    -------
    dict of str to KnownSite
        By name.
    """
    rows = state.rows(
        "SELECT sites.fid AS site_id, sites.name, arrays.generation, arrays.sha256, max(arrays.generation)"
        " FROM arrays JOIN sites ON sites.fid = arrays.site_id WHERE ?1 IS NULL OR sites.name = ?1"
        " GROUP BY sites.fid",
        (name,),
    )
    return {
        row["name"]: KnownSite(row["site_id"], row["name"], row["generation"], row["sha256"]) for row in rows
    }


def keep_standing(state: StateFile, place: Place, found: SitePass) -> None:
    """Keep how a site stands after a pass; where it cannot be kept, the next pass looks for itself.

    Parameters
    ----------
    state : StateFile
        Open.
    place : Place
        The site and the rules.
    found : SitePass
        What the pass found.
    """
    known = known_sites(state, found.site).get(found.site)
    if known is None:
        return
    path = _path(state, found.site)
    stood = replace(found, learned=0, taken=(), left=(), alerts=0)
    with contextlib.suppress(OSError):
        write_text(path, _text(stood, _key(known, place)))


def read_standing(state: StateFile, place: Place, known: KnownSite) -> SitePass | None:
    """Return how a site stood after its last pass.

    Parameters
    ----------
    state : StateFile
        Open.
    place : Place
        The site and the rules.
    known : KnownSite
        From `known_sites`.

    Returns
    -------
    SitePass or None
        With no date taken; None when it was not kept, or was made of something else.
    """
    try:
        document = parse_json(_path(state, known.name).read_text(encoding="utf-8"))
        return _site_pass(document["stood"]) if document["key"] == _key(known, place) else None
    except (OSError, shapely.errors.ShapelyError, *OTHER_SHAPE):
        return None


def _path(state: StateFile, site: str) -> Path:
    return array_folder(state.path, site) / STANDING_NAME


@cache
def _code() -> tuple[str, str]:
    return version("changedet"), code_digest()


def _key(known: KnownSite, place: Place) -> str:
    return digest_of({
        "form": _FORM, "code": _code(), "generation": known.generation,
        "arrays": known.sha256, "rules": asdict(place.rules), "outline": place.site.geometry.wkb_hex,
    })  # fmt: skip


def _text(stood: SitePass, key: str) -> str:
    """Return a pass as JSON; numbers come back as they are."""
    row = _fields(stood) | {
        "candidates": [_candidate_row(one) for one in stood.candidates],
        "floor": None if stood.floor is None else _fields(stood.floor) | {"steps": dict(stood.floor.steps)},
    }
    return json.dumps({"key": key, "stood": row}, ensure_ascii=False)


def _candidate_row(one: Candidate) -> dict[str, Any]:
    found = None if one.found is None else _fields(one.found) | {"numbers": dict(one.found.numbers)}
    return _fields(one) | {"point": _fields(one.point), "outline": one.outline.wkb_hex, "found": found}


def _fields(one: Any) -> dict[str, Any]:  # noqa: ANN401  # any dataclass
    return {each.name: getattr(one, each.name) for each in fields(one)}


def _site_pass(row: dict[str, Any]) -> SitePass:
    return SitePass(**row | {
        "taken": (), "left": (), "candidates": tuple(_candidate(one) for one in row["candidates"]),
        "floor": None if row["floor"] is None else DetectionFloor(**row["floor"]),
    })  # fmt: skip


def _candidate(row: dict[str, Any]) -> Candidate:
    found = row["found"]
    if found is not None:
        phase = None if found["phase"] is None else Phase(found["phase"])
        found = TimeFinding(**found | {"kind": TimeKind(found["kind"]), "phase": phase})
    return Candidate(**row | {
        "point": GeoPoint(**row["point"]), "outline": shapely.from_wkb(row["outline"]),
        "indices": tuple(row["indices"]), "found": found,
    })  # fmt: skip
