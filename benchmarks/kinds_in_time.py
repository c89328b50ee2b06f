"""How well kinds are told by behaviour in time, on made-up series and sites whose truth is known.

    python -m benchmarks.kinds_in_time                     everything, on the seeds that are held out
    python -m benchmarks.kinds_in_time --only series       series, delay, watch, quiet, floor
    python -m benchmarks.kinds_in_time --seed 1            other seeds, for work on the rules

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
from benchmarks.kinds_watched import site_report
from benchmarks.made_up_ground import (
    BANDS,
    CLOUD,
    PAVED,
    YEAR,
    Site,
    construction,
    decoy,
    maintenance,
    nothing,
)

from changedet.core.indices import compute_indices
from changedet.timeline.kinds import zone_floor
from changedet.timeline.kinds_in_time import TimeKind
from changedet.timeline.reading import ZoneReading
from changedet.timeline.types import DEFAULT_INDICES, TimelineSettings, zone_timeline
from changedet.timeline.zones import Zone

#: Seeds of the numbers that are reported; rules were looked at with others, from 1 and from 300000 on.
HELD_OUT = 590_000
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


def followed(days, values, clear, pixels, until=None, bands=BANDS):
    """The timeline of an object, as the program makes it of what was read."""
    shown = days <= (days[-1] if until is None else until)
    days, values, clear = days[shown], values[shown], clear[shown]
    indices = compute_indices(values.T, bands)
    names = tuple(name for name in DEFAULT_INDICES if name in indices)
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
    return zone_timeline(zone, read, reading, TimelineSettings(indices=names))


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


def series(seed, count=1000):
    """Kinds of objects that are followed looking back."""
    tally, wrong, exact, found_by = Counter(), Counter(), 0, Counter()
    confusion: dict[str, Counter] = {"maintenance": Counter(), "construction": Counter()}
    for number in range(count):
        event, days, values, clear, pixels = made_up_object(seed + number)
        zone = followed(days, values, clear, pixels)
        # what shows on fewer than three clear dates is asked of nobody
        enough = event.truth != "construction" or (clear & (days >= event.parts[-1][1])).sum() >= 3
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


def watch(seed, count=10):
    """Events on sites that are watched for a year: what is told, when, and as what."""
    rows, facts = [], []
    for number in range(count):
        found, about = site_report(seed + number)
        rows += [row for row in found if _seen_long_enough(row)]
        facts.append(about)
    built, kept, decoys = (
        [row for row in rows if row["truth"] == truth] for truth in ("construction", "maintenance", "decoy")
    )
    told = [row for row in built if row["alert"] is not None]
    as_built = [row for row in built if BUILDING & set(row["said"])]
    dated = [row for row in as_built if _one_of(row["interval"], row["steps"])]
    built_delays = [row["kind"] for row in as_built]
    wrong = [row for row in kept if BUILDING & set(row["said"])]
    right = [row for row in kept if _last_word(row) == TimeKind.MAINTENANCE]
    false = sum(one["false"] for one in facts) + len(wrong)
    false += sum(bool(BUILDING & set(row["said"])) for row in decoys)
    precision, recall = len(as_built) / max(len(as_built) + false, 1), len(as_built) / max(len(built), 1)
    sizes = {"4 to 8": (0, 8), "8 to 20": (8, 20), "20 to 80": (20, 99)}
    return {
        "sites": count, "km2": round(sum(one["km2"] for one in facts), 1),
        "construction": len(built), "told at all": len(told), "told as construction": len(as_built),
        "false": false, "F1 of kind and place": round(2 * precision * recall / (precision + recall), 3),
        "told at all, by pixels": {
            name: f"{sum(low < r['pixels'] <= high for r in told)} of "
            f"{sum(low < r['pixels'] <= high for r in built)}"
            for name, (low, high) in sizes.items()
        },
        "a true step in the interval": round(len(dated) / max(len(as_built), 1), 3),
        "clear dates from onset to the first listing, median": _median(row["first"] for row in built),
        "clear dates from onset to the alert, median": _median(row["alert"] for row in built),
        "clear dates from the last built surface to the kind, median": _median(built_delays),
        "maintenance": len(kept), "told or listed as maintenance": len(right),
        "told as construction instead": len(wrong),
        "maintenance told from construction, of those told": round(
            0.5 * len(right) / max(len(right) + len(wrong), 1)
            + 0.5 * len(as_built) / max(len(as_built) + _called_maintenance(built), 1), 3
        ),
        "decoys": len(decoys),
        "decoys told as construction": sum(bool(BUILDING & set(row["said"])) for row in decoys),
        "false of any kind beside events": sum(one["false of any kind"] for one in facts),
    }  # fmt: skip


def _seen_long_enough(row):
    """Whether some clear dates show what was built, or what was done."""
    return row["truth"] == "decoy" or row["shown"] >= 6


def _one_of(interval, steps):
    return any(interval[0] < date_of(step) <= interval[1] for step in steps if np.isfinite(step))


def _last_word(row):
    """What an event is called in the end: among alerts, or where it is set aside."""
    if row["said"]:
        return row["said"][-1]
    return TimeKind.MAINTENANCE if TimeKind.MAINTENANCE in row["aside"] else None


def _called_maintenance(rows):
    return sum(_last_word(row) == TimeKind.MAINTENANCE for row in rows)


def _median(values):
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def quiet(seed, count=25, size=200):
    """Sites on which nothing happens: false objects in a year, and their upper bound."""
    false = other = 0
    for number in range(count):
        _, about = site_report(seed + 10_000 + number, size, events=False)
        false, other = false + about["false"], other + about["false of any kind"]
        found = _per_area(false, other, (number + 1) * size**2 / 1e4)
        if seed == HELD_OUT:
            _keep("quiet", found)
    return found


def _per_area(false, other, km2):
    from scipy.stats import chi2

    return {
        "km2 and years": round(km2, 1),
        "false construction": false,
        "a 100 km2 and year": round(100 * false / km2, 2),
        "upper bound, 95 % one-sided": round(50 * float(chi2.ppf(0.95, 2 * false + 2)) / km2, 2),
        "false candidates of any kind": other,
        "of any kind, a 100 km2 and year": round(100 * other / km2, 1),
    }


def floor(seed, count=60):
    """How often the smallest step is found that the program states."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(seed + 20_000 + number)
        days = np.arange(0, 3 * YEAR, 5.0)
        days = days[rng.random(len(days)) < 0.5]
        site, clear = Site(rng, days), np.ones(len(days), bool)
        values = site.seen(site.cover(str(rng.choice(PAVED))), 9).astype(np.float32)
        zone = followed(days, values, clear, 9)
        if zone.baseline is None or zone.breaks:
            continue
        stated = zone_floor(zone, TimelineSettings().indices, days)
        first = len(days) - stated.dates
        values[first:] += np.float32(stated.steps["brightness"] * (1 if values.mean() < 0.2 else -1))
        later = followed(days, values, clear, 9)
        found.append(any(abs(one.change.first - first) <= 2 for one in later.breaks))
    return {"zones of built-up ground": len(found), "found at the stated floor": round(np.mean(found), 3)}


TABLES = {"series": series, "delay": delay, "watch": watch, "quiet": quiet, "floor": floor}


def _keep(name, found):
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[name] = found
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


def main(arguments=None):
    """Print what is asked for, and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=tuple(TABLES), help="one part")
    parser.add_argument("--seed", type=int, default=HELD_OUT, help="first seed")
    parser.add_argument("--count", type=int, help="objects or sites of a part")
    chosen = parser.parse_args(arguments)
    for name, make in TABLES.items():
        if chosen.only not in (None, name):
            continue
        start = time.process_time()
        found = make(chosen.seed) if chosen.count is None else make(chosen.seed, chosen.count)
        found["processor seconds"] = round(time.process_time() - start)
        print(f"{name}\n{json.dumps(found, indent=1)}\n", flush=True)
        if chosen.seed == HELD_OUT and chosen.count is None:
            _keep(name, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
