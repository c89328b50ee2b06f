"""The examples at the foot of each command's help."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import typer

_PERIODS = "--before 2023-05/2023-06 --after 2025-05/2025-06"
_PLACE = '--at "38.5847, 126.1079" --radius 2km'
_OWN = "--before scenes/2023-05-21 --after scenes/2025-05-26"

#: What is shown of each command: lines that can be typed as they stand.
EXAMPLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "run": (
            f"changedet run {_PLACE} {_PERIODS} --dry-run --explain",
            f"changedet run {_PLACE} {_PERIODS} --out runs/pier",
            f"changedet run --sites sites.kml {_PERIODS} --out runs/spring",
        ),
        "plan": (f"changedet plan --sites sites.kml {_PERIODS}",),
        "detect": (
            f"changedet detect {_OWN} --out runs/my-site",
            f"changedet detect {_OWN} {_PLACE} --min-area 1000m2 --json",
        ),
        "timeline": (
            'changedet timeline --at "38.5847, 126.1079" --radius 1km --during 2022/2024 --out pier',
            "changedet timeline --aoi site.geojson --during 2022/2024 --sensor both --dry-run",
        ),
        "register": (
            "changedet register --reference a.tif --moving b.tif",
            "changedet register --reference a.tif --moving b.tif --out b-on-a.tif --json",
        ),
        "demo": ("changedet demo", "changedet demo --out tour --overwrite --json"),
        "report": ("changedet report runs/pier", "changedet report runs/pier --redact-coordinates"),
        "plate": (
            "changedet plate runs/pier --object 3 --out pier-3.png",
            "changedet plate runs/pier --redact-coordinates --out public.pdf",
        ),
        "search": (
            f"changedet search {_PLACE} --period 2025-05",
            f"changedet search {_PLACE} --period 2025-05 --look --json",
        ),
        "fetch": (
            f"changedet fetch {_PLACE} --period 2025-05 --clearest 2 --out scenes",
            "changedet fetch --sites sites.kml --period 2025-05 --dry-run",
        ),
        "providers": ("changedet providers", "changedet providers --json"),
        "methods": ("changedet methods", "changedet methods --json"),
        "verify": ("changedet verify runs/pier", "changedet verify --rerun runs/pier"),
        "evaluate": (
            "changedet evaluate --pairs labelled --out evaluation",
            "changedet evaluate --pairs labelled --method cva --json",
        ),
        "train": ("changedet train --pairs labelled --out quarries.json",),
        "doctor": ("changedet doctor", "changedet doctor --offline --json"),
        "sites cut": (
            "changedet sites cut --bbox 30.1,50.0,30.9,50.6 --name Kyiv --out sites.geojson",
            "changedet sites cut --aoi province.kml --side 10km --out sites.geojson",
        ),
        "sites check": ("changedet sites check sites.kml", "changedet sites check sites.csv --radius 500m"),
        "cache ls": ("changedet cache ls", "changedet cache ls --cache /data/scenes --json"),
        "cache verify": ("changedet cache verify",),
        "cache prune": ("changedet cache prune --max-size 5GB",),
        "review run": (
            "changedet review runs/pier",
            'changedet review runs/pier --object 3 --verdict rejected --note "harvest" --reviewer Ann',
            "changedet review runs/pier --blind",
        ),
        "review status": ("changedet review status", "changedet review status --site Pier --json"),
        "review export": ("changedet review export --out verdicts.json",),
        "review import": ("changedet review import runs/pier verdicts.json",),
        "review mask": (
            'changedet review mask --site Pier --aoi quarry.geojson --reason "known quarry"',
            "changedet review mask --end 1",
        ),
        "review precision": ("changedet review precision", "changedet review precision --json"),
        "review learn": ("changedet review learn --site Pier",),
        "watch run": (
            "changedet watch --sites sites.kml --state watch.gpkg --since 2023-01",
            "changedet watch --sites sites.kml --state watch.gpkg --exit-code --quiet",
            "changedet watch --sites sites.kml --state watch.gpkg --scheduler processes --jobs 4",
        ),
        "watch status": ("changedet watch status --state watch.gpkg",),
        "watch history": ("changedet watch history Pier --state watch.gpkg --json",),
    }
)


def _foot(*lines: str) -> str:
    """Return the foot of a help; the mark before it keeps its lines as they are."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


#: At the foot of the first help: what a newcomer can type as it stands.
FIRST_STEPS = _foot("changedet demo", EXAMPLES["run"][1], "changedet run --help")


def show_examples(app: typer.Typer, above: str = "") -> None:
    """Put the examples of every command at the foot of its help, and one of each at that of their group.

    Parameters
    ----------
    app : typer.Typer
        With all its commands; it is changed.
    above : str
        Names of the groups above, each with a space behind it.
    """
    for command in app.registered_commands:
        lines = EXAMPLES.get(f"{above}{command.name}", ())
        command.epilog = _foot(*lines)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            first = f"{above}{group.name} "
            lines = tuple(lines[0] for name, lines in EXAMPLES.items() if name.startswith(first))
            usual = getattr(group.typer_instance.info.cls, "default_command", None)
            more = (f"changedet {first}{usual} --help    # all options",) if usual else ()
            group.epilog = _foot(*lines, *more)
            show_examples(group.typer_instance, first)
