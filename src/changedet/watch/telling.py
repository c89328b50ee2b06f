"""Who has been given which alert: each receiver gets each alert once, whatever becomes of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from changedet.errors import ProviderError
from changedet.output import facts
from changedet.watch.alerts import GROWTH_WORDS
from changedet.watch.following import mark_delivered
from changedet.watch.geopackage import note_change, now_text
from changedet.watch.mail import Letter, post
from changedet.watch.notify import tell
from changedet.watch.state import insert, rows_of, update

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from changedet.watch.alerts import Alert
    from changedet.watch.mail import Mail
    from changedet.watch.notify import Webhook
    from changedet.watch.state import StateFile

#: What receivers are called in the state file; addresses of mail follow after it.
WEBHOOK, MAIL = "webhook", "mail to "
#: Ends the list of alerts in a letter.
_READING = (
    "Ground differs from what was usual, and still does. What happened is for you to see in the imagery."
)


@dataclass(frozen=True)
class Receivers:
    """Who is told of alerts, besides the files.

    Attributes
    ----------
    webhook : Webhook or None
        A web address.
    mail : Mail or None
        Addresses of mail.
    """

    webhook: Webhook | None = None
    mail: Mail | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called in the state file."""
        own = (WEBHOOK,) if self.webhook is not None else ()
        return own + tuple(MAIL + one for one in (self.mail.to if self.mail is not None else ()))


@dataclass(frozen=True)
class Enclosed:
    """What a letter holds besides the alerts.

    Attributes
    ----------
    lines : sequence of str
        What else is to be said, such as sites that were not observed.
    page : str
        The digest, HTML.
    """

    lines: Sequence[str] = ()
    page: str = ""


@dataclass(frozen=True)
class Untold:
    """Why receivers were not told; empty where they were, or there are none.

    Attributes
    ----------
    webhook, mail : str
        In a line.
    """

    webhook: str = ""
    mail: str = ""


def tell_receivers(
    state: StateFile, receivers: Receivers, alerts: Sequence[Alert], enclosed: Enclosed
) -> Untold:
    """Tell everybody who is to be told, and mark what everybody has.

    Parameters
    ----------
    state : StateFile
        Open for writing.
    receivers : Receivers
        Who is told.
    alerts : sequence of Alert
        Not marked as told yet.
    enclosed : Enclosed
        What letters hold besides them.

    Returns
    -------
    Untold
        What is not told now is told by the next run, to whom it has not been told.
    """
    reasons = {WEBHOOK: "", MAIL: ""}
    try:
        _tell_webhook(state, receivers.webhook, alerts)
    except ProviderError as error:
        reasons[WEBHOOK] = str(error)
    try:
        _tell_mail(state, receivers.mail, alerts, enclosed)
    except ProviderError as error:
        reasons[MAIL] = str(error)
    _mark_told(state, receivers.names, alerts)
    return Untold(reasons[WEBHOOK], reasons[MAIL])


def _tell_webhook(state: StateFile, webhook: Webhook | None, alerts: Sequence[Alert]) -> None:
    if webhook is None:
        return
    given = _given(state, WEBHOOK)

    def _mark(alert: Alert) -> None:
        with state.change() as change:
            row = {"alert_id": _number(change, alert), "receiver": WEBHOOK, "given_utc": now_text()}
            insert(change, "deliveries", row)
            note_change(change, "deliveries")

    tell(webhook, [one for one in alerts if one.key not in given], _mark)


def _tell_mail(state: StateFile, mail: Mail | None, alerts: Sequence[Alert], enclosed: Enclosed) -> None:
    """Write each address a letter; what a letter holds is fixed before it is sent."""
    if mail is None or not alerts:
        return
    letters = [
        Letter(to, number, _subject(held), [*_text(held), *enclosed.lines], enclosed.page)
        for to in mail.to
        for number, held in _letters(state, MAIL + to, alerts).items()
    ]

    def _mark(letter: Letter) -> None:
        with state.change() as change:
            update(change, "deliveries", {"given_utc": now_text()}, {"letter": letter.number})
            note_change(change, "deliveries")

    post(mail, letters, _mark)


def _letters(state: StateFile, receiver: str, alerts: Sequence[Alert]) -> dict[str, list[Alert]]:
    """Put alerts that a receiver has in no letter yet into a new one; return the ones that were not taken."""
    query = (
        "SELECT alerts.alert_key, deliveries.letter, deliveries.given_utc FROM deliveries"
        " JOIN alerts ON alerts.fid = deliveries.alert_id WHERE receiver = ? ORDER BY deliveries.fid"
    )
    known = {row["alert_key"] for row in state.rows(query, (receiver,))}
    if new := [one for one in alerts if one.key not in known]:
        number = uuid4().hex
        with state.change() as change:
            for one in new:
                row = {"alert_id": _number(change, one), "receiver": receiver, "letter": number}
                insert(change, "deliveries", row)
            note_change(change, "deliveries")
    by_key = {one.key: one for one in alerts}
    found: dict[str, list[Alert]] = {}
    for row in state.rows(query, (receiver,)):
        if row["given_utc"] is None and row["alert_key"] in by_key:
            found.setdefault(str(row["letter"]), []).append(by_key[row["alert_key"]])
    return found


def _mark_told(state: StateFile, names: Sequence[str], alerts: Sequence[Alert]) -> None:
    had = [_given(state, name) for name in names]
    keys = [one.key for one in alerts if all(one.key in given for given in had)]
    if keys:
        with state.change() as change:
            mark_delivered(change, keys)


def _given(state: StateFile, receiver: str) -> set[str]:
    rows = state.rows(
        "SELECT alerts.alert_key FROM deliveries JOIN alerts ON alerts.fid = deliveries.alert_id"
        " WHERE deliveries.receiver = ? AND deliveries.given_utc IS NOT NULL",
        (receiver,),
    )
    return {str(row["alert_key"]) for row in rows}


def _number(change: sqlite3.Connection, alert: Alert) -> int:
    return int(rows_of(change, "SELECT fid FROM alerts WHERE alert_key = ?", (alert.key,))[0]["fid"])


def _subject(alerts: Sequence[Alert]) -> str:
    if len(alerts) == 1:
        return f"{facts.clean(alerts[0].site)}: candidate of {alerts[0].kind}"
    sites = sorted({facts.clean(one.site) for one in alerts})
    return f"{len(alerts)} new candidates at {len(sites)} site(s): {', '.join(sites)}"


def _text(alerts: Sequence[Alert]) -> list[str]:
    lines = []
    for one in alerts:
        growth = GROWTH_WORDS[one.growth]
        lines += [
            f"{facts.clean(one.site)}: candidate of {one.kind}, {one.area_m2:,.0f} m2, {growth}",
            f"  first seen between {one.after_utc[:10]} and {one.by_utc[:10]}; confidence {one.confidence}",
            f"  {one.lat:.5f}, {one.lon:.5f}   MGRS {one.mgrs}   {one.dms}",
            f"  {facts.clean(one.evidence, 400)}", "",
        ]  # fmt: skip
    return [*lines, _READING, ""]
