"""Choices of dates that are kept, so that an interrupted run goes on with the same ones."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from changedet.access.choosing import Plan
from changedet.access.selection import Choice, Look
from changedet.access.sensor_plans import Plans
from changedet.frame import surroundings
from changedet.json_texts import parse_json
from changedet.providers.cache_files import digest_of, write_text
from changedet.radar.access import RadarPlan
from changedet.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from changedet.periods import Period
    from changedet.site import Site

#: Layout of the files.
SCHEMA = "changedet.plan/1"
#: A choice among dates to which archives may still add holds for so long.
FRESH_FOR = timedelta(hours=24)
#: Archives have what was taken longer ago than this.
SETTLED_AFTER = timedelta(days=30)
_SIDES = ("before", "after")


@dataclass(frozen=True)
class KeptPlan:
    """A plan out of the folder.

    Attributes
    ----------
    plan : Plans
        What was chosen.
    made : datetime
        When, in UTC.
    """

    plan: Plans
    made: datetime


@dataclass(frozen=True)
class PlanStore:
    """Plans in a folder, one file for each request.

    Attributes
    ----------
    folder : Path
        Made when the first plan is kept.
    """

    folder: Path

    def read(self, request: Mapping[str, Any], site: Site, *, now: datetime | None = None) -> KeptPlan | None:
        """Return the plan that was kept for a request.

        Parameters
        ----------
        request : mapping
            Everything that decides the choice, JSON-serialisable.
        site : Site
            The place; the plan carries its name.
        now : datetime, optional
            The current time when not given.

        Returns
        -------
        KeptPlan or None
            None when there is none, it cannot be understood, or it is too old for periods to which archives
            may still add.
        """
        try:
            record = parse_json(self._path(request, site).read_text(encoding="utf-8"))
            made = datetime.fromisoformat(record["made_utc"])
            if record["schema"] != SCHEMA or not _holds(record, made, now or datetime.now(UTC)):
                return None
            return KeptPlan(_plans(record, site), made)
        except (OSError, KeyError, IndexError, TypeError, ValueError, AttributeError):
            return None

    def keep(self, request: Mapping[str, Any], plan: Plans, periods: tuple[Period, Period]) -> None:
        """Keep a plan; when that is not possible, or it holds a secret, the run goes on without.

        Parameters
        ----------
        request : mapping
            As for `read`.
        plan : Plans
            What was chosen.
        periods : tuple of two Period
            Before and after; they decide how long the choice holds.
        """
        now = datetime.now(UTC)
        settled = all(period.end < now - SETTLED_AFTER for period in periods)
        record = {"schema": SCHEMA, "made_utc": now.isoformat(), "settled": settled} | _record(plan)
        plain = json.loads(json.dumps(record))
        # a link without its signature could not be followed later, and one with it is not written
        if _links(_plans(plain, plan.site)) != _links(plan):
            return
        path = self._path(request, plan.site)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(plain, indent=1, ensure_ascii=False), durable=True)

    def forget(self, request: Mapping[str, Any], site: Site) -> None:
        """Forget the plan of a request.

        Parameters
        ----------
        request : mapping
            As for `read`.
        site : Site
            The place.
        """
        with suppress(OSError):
            self._path(request, site).unlink()

    def _path(self, request: Mapping[str, Any], site: Site) -> Path:
        ground = json.loads(json.dumps(site.geometry.__geo_interface__))
        return (
            self.folder / f"{digest_of({'schema': SCHEMA, 'ground': ground, 'request': dict(request)})}.json"
        )


def _links(plan: Plans) -> list[str]:
    scenes = [*plan.optical_scenes, *plan.radar_scenes]
    bands = [scene.assets for scene in scenes] + [one.assets for scene in scenes for one in scene.granules]
    return [asset.href for assets in bands for asset in assets.values()]


def _holds(record: Mapping[str, Any], made: datetime, now: datetime) -> bool:
    # a clock that was ahead and is right again must not keep a plan for years
    return bool(record["settled"]) or abs(now - made) < FRESH_FOR


def _record(plan: Plans) -> dict[str, Any]:
    optical = {} if plan.optical is None else _optical_record(plan.optical)
    radar = {} if plan.radar is None else {"radar": plan.radar.to_dict()}
    return optical | radar | ({"notes": list(plan.notes)} if plan.notes else {})


def _optical_record(plan: Plan) -> dict[str, Any]:
    looks = {word: list(getattr(plan, word)) for word in _SIDES}
    return {
        "looks": {word: [_look_record(look) for look in side] for word, side in looks.items()},
        "chosen": {word: [looks[word].index(look) for look in getattr(plan.choice, word)] for word in _SIDES},
        "choice": {
            field.name: getattr(plan.choice, field.name)
            for field in fields(plan.choice)
            if field.name not in _SIDES
        },
    }


def _look_record(look: Look) -> dict[str, Any]:
    # pixels were needed for the choice, and it is made
    plain = (field.name for field in fields(look) if field.compare and field.name != "scene")
    shares = {name: getattr(look, name) for name in plain}
    return shares | {"scene": look.scene.to_dict()}


def _look(said: Mapping[str, Any]) -> Look:
    return Look(**(dict(said) | {"scene": Scene.from_dict(said["scene"])}))


def _plans(record: Mapping[str, Any], site: Site) -> Plans:
    optical = _plan(record, site) if "looks" in record else None
    radar = RadarPlan.from_dict(record["radar"], site) if "radar" in record else None
    if optical is None and radar is None:
        raise ValueError("a plan of nothing")
    return Plans(site, optical, radar, tuple(record.get("notes", ())))


def _plan(record: Mapping[str, Any], site: Site) -> Plan:
    looks = {word: tuple(_look(said) for said in record["looks"][word]) for word in _SIDES}
    chosen = {word: tuple(looks[word][index] for index in record["chosen"][word]) for word in _SIDES}
    rest = {name: tuple(v) if isinstance(v, list) else v for name, v in record["choice"].items()}
    choice = Choice(**chosen, **rest)
    return Plan(site, choice, looks["before"], looks["after"], surroundings(site.grid))
