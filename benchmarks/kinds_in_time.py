"""How well kinds are told by behaviour in time, on made-up series and sites whose truth is known.

    python benchmarks/kinds_in_time.py                     everything, on the seeds that are held out
    python benchmarks/kinds_in_time.py --only series       series, delay, watch, quiet, floor
    python benchmarks/kinds_in_time.py --seed 1            other seeds, for work on the rules

`series` follows single objects as `changedet timeline` does, looking back; `delay` does so date by date.
`watch` watches whole sites as `changedet watch` does, `quiet` sites on which nothing happens, `floor` counts
how often the smallest step is seen that the program states. Results go to `kinds_in_time.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from benchmarks.made_up_ground import (
    BANDS,
    CLOUD,
    YEAR,
    Site,
    construction,
    decoy,
    maintenance,
    nothing,
)

from changedet.core.indices import compute_indices
from changedet.kinds_in_time import TimeKind
from changedet.series_reading import ZoneReading
from changedet.series_zones import Zone
from changedet.timeline import TimelineSettings, zone_timeline

#: Seeds of the numbers that are reported; rules were looked at with others.
HELD_OUT = 90_000
RESULTS = Path(__file__).resolve().with_suffix(".json")
BUILDING = frozenset({TimeKind.CONSTRUCTION, TimeKind.ROAD})
START = datetime(2021, 1, 1, tzinfo=UTC)
_EPOCH = START.timestamp() / 86400


def made_up_object(seed):
    """An object of 4 pixels or more through 2 to 3.5 years of 24 to 150 dates; its event and its values."""
    rng = np.random.default_rng(seed)
    years, count = rng.uniform(2, 3.5), int(rng.integers(24, 151))
    cloudy = rng.uniform(0.3, 0.6)
    days = np.unique(np.round(np.sort(rng.uniform(0, years * YEAR, count)) / 2.5) * 2.5)
    clear = rng.random(len(days)) >= cloudy
    site = Site(rng, days)
    start = days[0] + np.ptp(days) * rng.uniform(0.35, 0.8)
    draw = rng.random()
    if draw < 0.35:
        event = construction(rng, start)
    elif draw < 0.55:
        event = maintenance(rng, start, days[-1])
    elif draw < 0.85:
        event = decoy(rng, start, days[clear])
    else:
        event = nothing(rng)
    pixels = int(np.exp(rng.uniform(np.log(4), np.log(120))))
    # the smaller an object is, the more of its pixels hold something else as well
    pure = 1 - rng.uniform(0.1, 0.9) / np.sqrt(pixels)
    surface = pure * event.surface(site) + (1 - pure) * site.cover(event.before)
    values = site.seen(surface, pixels)
    veil = rng.random(len(days))
    cloud, shadow = veil < site.weather.missed_cloud, veil > 1 - site.weather.missed_shadow
    opacity = rng.uniform(0.15, 0.8, len(days))[:, None]
    values = np.where(cloud[:, None], values + opacity * (CLOUD - values), values)
    values = np.where(shadow[:, None], values * (1 - 0.6 * opacity), values)
    return event, days, values.astype(np.float32), clear, pixels


def followed(days, values, clear, pixels, until=None):
    """The timeline of an object, as the program makes it of what was read."""
    shown = days <= (days[-1] if until is None else until)
    days, values, clear = days[shown], values[shown], clear[shown]
    indices = compute_indices(values.T, BANDS)
    table = np.stack(list(indices.values()), axis=1)
    table[~clear] = np.nan
    dates = tuple(
        SimpleNamespace(date=(START + timedelta(days=float(day))).date().isoformat()) for day in days
    )
    read = ZoneReading(
        table, np.zeros_like(table), clear.astype(np.float32), np.where(clear, pixels, 0),
        tuple("" if one else "cloud" for one in clear),
    )  # fmt: skip
    reading = SimpleNamespace(days=days + _EPOCH, dates=dates, index_names=tuple(indices))
    side = max(int(np.sqrt(pixels)), 1)
    zone = Zone("object", "object", np.ones((side, max(pixels // side, 1)), bool))
    return zone_timeline(zone, read, reading, TimelineSettings())


def date_of(day):
    """The calendar date of a day."""
    return (START + timedelta(days=float(day))).date().isoformat()


def _holds(interval, event):
    """Whether an interval holds a step of what was built: work that begins, goes on, or ends in a roof."""
    return any(interval[0] < date_of(start) <= interval[1] for _, start, _, _ in event.parts)


def _dated(one, event, days, clear):
    """Whether the interval, widened by one acquisition on both sides, holds such a step."""
    texts, places = [date_of(day) for day in days], np.flatnonzero(clear)
    first, last = (int(np.searchsorted(places, texts.index(text))) for text in (one.after, one.by))
    wider = places[max(first - 1, 0)], places[min(last + 1, len(places) - 1)]
    return _holds(tuple(texts[place] for place in wider), event)


def _since_work_began(zone, event):
    """Whether some break, or phase of one, began with the very first step."""
    spans = [(part.after, part.by) for one in zone.breaks for part in (one, *one.phases)]
    return any(after < date_of(event.onset) <= by for after, by in spans)


def series(seed, count=1500):
    """Kinds of objects that are followed looking back."""
    tally, wrong, exact, found_by = Counter(), Counter(), 0, Counter()
    confusion: dict[str, Counter] = {"maintenance": Counter(), "construction": Counter()}
    for number in range(count):
        event, days, values, clear, pixels = made_up_object(seed + number)
        zone = followed(days, values, clear, pixels)
        enough = (clear & (days >= event.onset)).sum() >= 3 if event.truth == "construction" else True
        if zone.baseline is None or not enough:
            tally["too little to judge"] += 1
            continue
        built = [one for one in zone.breaks if one.found.kind in BUILDING and one.state != "over"]
        tally[event.truth] += 1
        if event.truth in confusion:
            confusion[event.truth][_said(zone)] += 1
        if event.truth == "construction":
            right = [one for one in built if _dated(one, event, days, clear)]
            tally["found"] += bool(built)
            tally["dated within one acquisition"] += bool(right)
            exact += any(_holds((one.after, one.by), event) for one in built)
            tally["since work began"] += bool(built) and _since_work_began(zone, event)
            material = event.name.split(" to ")[-1]
            found_by[material] += bool(built)
            found_by[f"{material}, of"] += 1
        elif built:
            wrong[event.name.split(":")[0]] += 1
    found, false = tally["found"], sum(wrong.values())
    recall, precision = found / tally["construction"], found / max(found + false, 1)
    balanced, told = _told_apart(confusion)
    return {
        "objects": count - tally["too little to judge"],
        "too little to judge": tally["too little to judge"],
        "construction": tally["construction"], "found": found, "recall": round(recall, 3),
        "false": false, "false on": dict(wrong), "precision": round(precision, 3),
        "F1": round(2 * precision * recall / (precision + recall), 3),
        "a true step in the interval": round(exact / max(found, 1), 3),
        "a true step within one acquisition of it": round(
            tally["dated within one acquisition"] / max(found, 1), 3
        ),
        "the first step of all in an interval": round(tally["since work began"] / max(found, 1), 3),
        "decoys": tally["decoy"],
        "decoys told as construction": sum(n for name, n in wrong.items() if _is_decoy(name)),
        "maintenance told from construction, balanced": balanced, "of those told": told,
        "said of": {name: dict(one) for name, one in confusion.items()},
        "found by what was built": {
            name: f"{found_by[name]} of {found_by[f'{name}, of']}" for name in found_by if ", of" not in name
        },
    }  # fmt: skip


def _is_decoy(name):
    return not name.startswith(("resurfacing", "pit", "staging", "nothing"))


def _said(zone):
    """The strongest word on an object: construction, then maintenance, then anything else."""
    said = {one.found.kind for one in zone.breaks}
    if said & BUILDING:
        return "construction"
    said |= {one.found.kind for one in zone.passing if one.found.kind == TimeKind.MAINTENANCE}
    if TimeKind.MAINTENANCE in said:
        return "maintenance"
    return next((one.value for one in said), "nothing")


def _told_apart(confusion):
    """Balanced accuracy over all events, and over those of which either was said."""
    shares, among = [], []
    for truth, one in confusion.items():
        shares.append(one[truth] / max(one.total(), 1))
        among.append(one[truth] / max(one["construction"] + one["maintenance"], 1))
    return round(float(np.mean(shares)), 3), round(float(np.mean(among)), 3)


def delay(seed, count=60):
    """Clear dates from the onset until a break of the kind of building is first told."""
    first_told, first_kind = [], []
    for number in range(count * 4):
        event, days, values, clear, pixels = made_up_object(seed + 500_000 + number)
        later = days[clear & (days >= event.onset)]
        if event.truth != "construction" or len(later) < 8:
            continue
        first = {"told": None, "kind": None}
        built = max(start for _, start, _, _ in event.parts)
        for dates, day in enumerate(later[:40], 1):
            zone = followed(days, values, clear, pixels, day)
            near = [one for one in zone.breaks if one.by >= date_of(event.onset)]
            if near and first["told"] is None:
                first["told"] = dates
            if any(one.found.kind in BUILDING for one in near):
                first["kind"] = int((later[:dates] >= built).sum())
                break
        first_told.append(first["told"] if first["told"] is not None else np.inf)
        first_kind.append(first["kind"] if first["kind"] is not None else np.inf)
        if len(first_told) >= count:
            break
    return {
        "constructions": len(first_told),
        "clear dates from onset to the first break, median": float(np.median(first_told)),
        "clear dates from the first built surface to the kind, median": float(np.median(first_kind)),
    }


TABLES = {"series": series, "delay": delay}


def main(arguments=None):
    """Print what is asked for, and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(TABLES), help="one part")
    parser.add_argument("--seed", type=int, default=HELD_OUT, help="first seed")
    parser.add_argument("--count", type=int, help="objects or sites of a part")
    chosen = parser.parse_args(arguments)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, make in TABLES.items():
        if chosen.only not in (None, name):
            continue
        start = time.process_time()
        found = make(chosen.seed) if chosen.count is None else make(chosen.seed, chosen.count)
        found["processor seconds"] = round(time.process_time() - start)
        print(f"{name}\n{json.dumps(found, indent=1)}\n", flush=True)
        if chosen.seed == HELD_OUT and chosen.count is None:
            kept[name] = found
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
