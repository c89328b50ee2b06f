"""Alerts as others read them: a line of JSON for each, and a feed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from changedet.errors import OutputError
from changedet.json_texts import parse_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from changedet.watch.state import StateFile

#: Form of an alert.
ALERT_SCHEMA = "changedet.alert/1"
#: Most entries of a feed.
FEED_ENTRIES = 50
#: What readers are told of how a thing goes on.
GROWTH_WORDS = MappingProxyType({"new": "just begun", "growing": "growing", "stopped": "not growing"})
_ATOM, _GEORSS = "http://www.w3.org/2005/Atom", "http://www.georss.org/georss"
_QUERY = """
SELECT alerts.alert_key, alerts.status, alerts.text, alerts.made_utc, alerts.delivered_utc,
  alerts.followed_id, sites.name AS site, followed.growth, followed.first_seen, followed.area_m2,
  objects.kind, objects.evidence, objects.lat, objects.lon, objects.dms, objects.mgrs,
  objects.last_seen_before, objects.confidence,
  (SELECT value FROM changedet_meta WHERE key = 'created_utc') AS file_created
FROM alerts
JOIN sites ON sites.fid = alerts.site_id
JOIN followed ON followed.fid = alerts.followed_id
JOIN objects ON objects.fid = (SELECT min(fid) FROM objects WHERE followed_id = alerts.followed_id)
WHERE alerts.delivered_utc IS NULL OR ?
ORDER BY alerts.fid
"""


@dataclass(frozen=True)
class Alert:
    """A persisting candidate that was told of.

    Attributes
    ----------
    id : str
        The same whenever and wherever it is told again: who has it need not take it twice.
    key : str
        In the state file.
    site : str
        Name of the site.
    status : str
        What later clear dates say: persisting.
    kind : str
        A label of `changedet.kinds`.
    text : str
        All of it in a line.
    after_utc, by_utc : str
        Times of the clear dates between which the ground changed.
    area_m2 : float
        Now.
    growth : str
        ``new``, ``growing`` or ``stopped``.
    lat, lon : float
        Of its centre, degrees.
    dms, mgrs : str
        The same in other notations.
    evidence : str
        The numbers that chose the kind.
    confidence : str
        ``low`` or ``medium``.
    made_utc : str
        When it was made.
    told : bool
        Whether it was given to everybody who is to have it.
    """

    id: str
    key: str
    site: str
    status: str
    kind: str
    text: str
    after_utc: str
    by_utc: str
    area_m2: float
    growth: str
    lat: float
    lon: float
    dms: str
    mgrs: str
    evidence: str
    confidence: str
    made_utc: str
    told: bool

    def to_dict(self) -> dict[str, Any]:
        """Return what others are given, JSON-serialisable."""
        found = asdict(self)
        del found["key"], found["told"]
        return {"schema": ALERT_SCHEMA, **found}


def read_alerts(state: StateFile, *, untold: bool = False) -> list[Alert]:
    """Return the alerts of a state file, oldest first.

    Parameters
    ----------
    state : StateFile
        Open.
    untold : bool
        Only those that have not been given to everybody yet.

    Returns
    -------
    list of Alert
    """
    return [_alert(row) for row in state.rows(_QUERY, (int(not untold),))]


def append_alerts(path: Path, alerts: Sequence[Alert]) -> int:
    """Append alerts to a file of lines of JSON; those that it holds already are not written again.

    Parameters
    ----------
    path : Path
        Made when it is not there.
    alerts : sequence of Alert
        Any.

    Returns
    -------
    int
        How many were written.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    try:
        known = _known(path)
        new = [one for one in alerts if one.id not in known]
        if not new:
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                # what a crash tore off must not swallow the next line
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            for one in new:
                stream.write(json.dumps(one.to_dict(), ensure_ascii=False, allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise OutputError(
            error.strerror or "cannot be written", where=str(path), todo="check the permission and the space"
        ) from error
    return len(new)


def feed_xml(alerts: Sequence[Alert], updated_utc: str) -> str:
    """Return a feed of the latest alerts: Atom (RFC 4287) with a GeoRSS point for each.

    Parameters
    ----------
    alerts : sequence of Alert
        Oldest first.
    updated_utc : str
        When the feed was made, ISO 8601.

    Returns
    -------
    str
        A document of XML.
    """
    ET.register_namespace("", _ATOM)
    ET.register_namespace("georss", _GEORSS)
    root = ET.Element(f"{{{_ATOM}}}feed")
    _add(root, "id", "urn:changedet:alerts")
    _add(root, "title", "Alerts of watched sites")
    _add(root, "updated", updated_utc)
    _add(_add(root, "author", ""), "name", "changedet")
    for one in reversed(alerts[-FEED_ENTRIES:]):
        entry = _add(root, "entry", "")
        _add(entry, "id", f"urn:changedet:alert:{one.id}")
        _add(entry, "title", f"{one.site}: candidate of {one.kind}")
        _add(entry, "updated", one.made_utc)
        _add(entry, "summary", one.text)
        point = ET.SubElement(entry, f"{{{_GEORSS}}}point")
        point.text = f"{one.lat:.6f} {one.lon:.6f}"
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _add(parent: ET.Element, name: str, text: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_ATOM}}}{name}")
    # what XML cannot hold would make the whole feed unreadable
    child.text = "".join(letter for letter in text if letter.isprintable())
    return child


def _known(path: Path) -> set[str]:
    found = set()
    with suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, KeyError):
                found.add(str(parse_json(line)["id"]))
    return found


def _alert(row: dict[str, Any]) -> Alert:
    named = f"{row['file_created']}|{row['site']}|{row['alert_key']}"
    return Alert(
        id=sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        key=row["alert_key"],
        after_utc=row["last_seen_before"],
        by_utc=row["first_seen"],
        told=row["delivered_utc"] is not None,
        **{
            name: row[name]
            for name in (
                "site", "status", "kind", "text", "area_m2", "growth", "lat", "lon", "dms", "mgrs",
                "evidence", "confidence", "made_utc",
            )
        },
    )  # fmt: skip
