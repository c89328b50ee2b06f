"""``changedet plan``: what a list of sites is going to take, before anything runs."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from changedet.cli import options  # noqa: TC001  # typer reads the annotations at run time
from changedet.cli.console import emit
from changedet.cli.run_one import Display
from changedet.cli.tables import table

if TYPE_CHECKING:
    from changedet.investigation import Investigation, Planned
    from changedet.scale.planning import ListPlan
    from changedet.site import Site

_LABELS = {
    "scenes": "scenes",
    "requests": "requests",
    "gigabytes": "to fetch",
    "processing_units": "processing units",
    "core_hours": "processor time",
    "disk_gigabytes": "disk",
}
#: Units in which less than one of another is told, and how many of them make one.
_SMALLER = MappingProxyType({"GB": (1000.0, "MB"), "h": (60.0, "min")})
_MOST_REASONS = 3
Sample = Annotated[
    int,
    typer.Option("--sample", help="Search at so many sites of a longer list, drawn by chance, always the "
                 "same ones.", min=2, metavar="N"),
]  # fmt: skip
Every = Annotated[bool, typer.Option("--all", help="Search at every site.")]


def plan(
    *,
    before: options.BeforePeriod,
    after: options.AfterPeriod,
    at: options.At = None,
    radius: options.Radius = None,
    bbox: options.Bbox = None,
    aoi: options.Aoi = None,
    name: options.Name = None,
    sites: options.Sites = None,
    site: options.SiteNames = None,
    sample: Sample = 40,
    every: Every = False,
    sensor: options.ComparedSensors = "s2",
    provider: options.ProviderName = "earth-search",
    radar_provider: options.RadarProviderName = None,
    radar_dates: options.RadarDates = 12,
    min_clear: options.MinClear = 0.8,
    max_season_gap: options.MaxSeasonGap = 45,
    max_dates: options.MaxDates = 5,
    max_tile_cloud: options.MaxTileCloud = 0.9,
    cache: options.Cache = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Say what a run would take at all sites of a list: scenes, bytes, costs, processor time, disk."""
    from changedet.cli.run import asked_of_radar, asked_sites, rules_of
    from changedet.investigation import AccessOptions, Investigation

    sensors, radar = asked_of_radar(sensor, radar_provider, radar_dates)
    rules = rules_of(min_clear, max_season_gap, max_dates)
    # what would be refused is to be seen here
    access = AccessOptions(rules, max_tile_cloud, cache, max_processing_units=float("inf"))
    asked = Investigation(
        before, after, provider, access=access, sensor=sensors, radar=radar, radar_provider=radar_provider
    )
    _, chosen = asked_sites(sites, site, (at, radius, bbox, aoi, name))
    found = _planned(chosen, asked, None if every else sample, Display(progress, quiet, verbose))
    emit(_document(found), _lines(found), as_json=as_json)


def _planned(sites: tuple[Site, ...], asked: Investigation, sample: int | None, display: Display) -> ListPlan:
    from changedet.scale.planning import plan_list, sampled

    with display.bar() as bar:
        archives = asked.open(bar)
        count, done = len(sampled(sites, sample)), 0

        def _plan(site: Site) -> Planned:
            nonlocal done
            done += 1
            bar.step(f"searching at site {done} of {count}")
            return asked.plan(site, archives, looking=False)

        return plan_list(sites, _plan, sample=sample)


def _document(found: ListPlan) -> dict[str, Any]:
    from dataclasses import asdict

    from changedet.scale.planning import SiteCosts
    from changedet.scale.resources import processors

    return found.to_dict() | {"measured_costs": asdict(SiteCosts()), "processors": processors()}


def _lines(found: ListPlan) -> list[str]:
    from changedet.scale.planning import SOURCES
    from changedet.scale.resources import processors

    rows = [("what", "in all", "between", "from")]
    for name, total in found.totals.items():
        unit, source = SOURCES[name]
        low, value, high = (_amount(one, unit) for one in (total.low, total.value, total.high))
        rows.append((_LABELS[name], value, "-" if total.low == total.high else f"{low} and {high}", source))
    how = "all" if found.searched == found.sites else f"{found.searched} of {found.sites}"
    lines = [
        *table(rows),
        "",
        f"Estimates, from a search at {how} site(s). Only a run looks at the ground, and may choose others.",
    ]
    if found.searched < found.sites:
        lines.append(
            "The intervals hold in 95 of 100 cases if the others are like those (--all searches all)."
        )
    count = processors()
    hours = _amount(found.totals["core_hours"].value / count, "h")
    lines.append(f"With the {count} processor(s) of this machine: {hours}, waiting for services left out.")
    if found.lacking:
        lines.append(f"{sum(found.lacking.values())} of {found.searched} site(s) have nothing to compare:")
        reasons = list(found.lacking.items())[:_MOST_REASONS]
        lines += [f"  {count} x {reason}" for reason, count in reasons]
    return lines


def _amount(value: float, unit: str) -> str:
    """Spell an amount, in the smaller unit where the larger one would be a small fraction."""
    smaller = _SMALLER.get(unit)
    if smaller is not None and 0 < value < 1:
        factor, unit = smaller
        value = max(round(value * factor, 1), 0.1)
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    """Spell a number with three figures, or whole."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
