"""What a reader is told of a scene: whose it is, every acquisition in it, and how its numbers were read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.output.facts import SIMULATED_NOTE, clean, number, scene_line, when

if TYPE_CHECKING:
    from changedet.scene import Scene

#: Heads of the table that has a row for each scene that was given to a run.
INPUT_HEADS = ("Side", "Date", "Provider", "Scene", "Baseline", "Offset and its source", "Orbit")
#: Label of the row that describes every date of a composite.
COMPOSITE_LABEL = "Dates of the composite"
#: The same of a mean of passes of radar.
MEAN_LABEL = "Passes of the mean"
#: Names of providers in words; another one is called as it calls itself.
_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "earth-search": "Earth Search",
        "planetary-computer": "Planetary Computer",
        "sentinelhub": "Sentinel Hub",
        "stac": "a STAC catalogue",
        "local": "local files",
        "simulated": "simulated scenes",
    }
)
_LONGEST_ID = 240


def provider_text(name: str) -> str:
    """Return the name of a provider in words.

    Examples
    --------
    >>> provider_text("earth-search"), provider_text("archive of a friend")
    ('Earth Search', 'archive of a friend')
    """
    return _PROVIDERS.get(name, clean(name, 40))


def ids_text(scene: Scene) -> str:
    """Return the identifier of a scene, or those of all dates of a composite, the earliest first."""
    return ", ".join(clean(one.id, _LONGEST_ID) for one in scene.acquisitions)


def caption_line(scene: Scene) -> str:
    """Return where a scene is from, then sensor, level, baseline, resolution and orbit in one line."""
    provider = provider_text(scene.provider)
    return f"{provider[:1].upper()}{provider[1:]}: {scene_line(scene)}"


def span_text(dates: str) -> str:
    """Return the first and the last of dates that are separated by commas.

    Examples
    --------
    >>> span_text("2023-06-30, 2023-07-02, 2023-07-05"), span_text("2021-05-21")
    ('2023-06-30/2023-07-05', '2021-05-21')
    """
    first, *rest = dates.split(", ")
    return f"{first}/{rest[-1]}" if rest else first


def between(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Return when the ground of an object was seen before and after; of composites first and last dates.

    Parameters
    ----------
    row : mapping
        A row of the object table.

    Returns
    -------
    tuple of two str
        Such as ``("2021-05-21", "2023-06-30/2023-07-05")``.
    """
    sides = (("before_dates", "last_seen_before"), ("after_dates", "first_seen"))
    # objects of earlier versions have no dates of their own
    before, after = (span_text(clean(row[dates] or str(row[time])[:10])) for dates, time in sides)
    return before, after


def scene_rows(scene: Scene) -> tuple[tuple[str, str], ...]:
    """Return what is known of a scene as pairs of label and text, for tables.

    Parameters
    ----------
    scene : Scene
        The acquisition.

    Returns
    -------
    tuple of (str, str)
        Identifier, time and its source, platform, level, orbit, baseline, radiometry, sun, resolution, notes.
        For a composite every date besides, under `COMPOSITE_LABEL`.
    """
    radar = scene.sensor == "s1"
    label = MEAN_LABEL if radar else COMPOSITE_LABEL
    unknown = "differs between the dates" if scene.members else "not known"
    rows = [
        ("Scene", ids_text(scene)),
        ("Time", when(scene)),
        *([(label, _members(scene))] if scene.members else []),
        ("Time taken from", clean(scene.time_source)),
        ("Platform", clean(scene.platform)),
        ("Product level", clean(scene.level)),
        *(() if radar else (("Tile", clean(scene.tile or "not known")),)),
        ("Relative orbit", unknown if scene.relative_orbit is None else str(scene.relative_orbit)),
        *_of_sensor(scene, unknown),
        ("Scale and offset", "; ".join(_radiometry(scene)) or "not stated"),
        *(() if radar else (("Sun", _sun(scene)),)),
        ("Resolution", number(scene.resolution_m, 0, "m")),
        ("Provider", provider_text(scene.provider)),
        ("Imagery", SIMULATED_NOTE if scene.simulated else clean(scene.credit)),
    ]
    return tuple(rows + [("Note", clean(note, 400)) for note in scene.notes])


def _of_sensor(scene: Scene, unknown: str) -> tuple[tuple[str, str], ...]:
    if scene.sensor == "s1":
        return (("Direction of flight", clean(scene.orbit_state or "not known", 40)),)
    return (("Processing baseline", clean(scene.processing_baseline or unknown)),)


def _sun(scene: Scene) -> str:
    if scene.sun_elevation_deg is None:
        return "not known"
    return f"elevation {number(scene.sun_elevation_deg, 1)}°, azimuth {number(scene.sun_azimuth_deg, 1)}°"


def input_rows(inputs: Mapping[str, Any]) -> tuple[list[tuple[str, ...]], dict[str, Any]]:
    """Take the scenes out of what was given to a run.

    Parameters
    ----------
    inputs : mapping
        ``inputs`` of ``run.json``; of fetched imagery each side has a list of ``scenes``.

    Returns
    -------
    rows : list of tuple of str
        One for each scene, by side and time, with the cells of `INPUT_HEADS`.
    left : dict
        Everything else, but for what a trained model was trained on: that is pages of digests, and stands in
        the record.
    """
    rows: list[tuple[str, ...]] = []
    left = dict(inputs)
    if isinstance(model := inputs.get("model"), Mapping):
        left["model"] = {key: value for key, value in model.items() if key != "provenance"}
    for side in ("before", "after"):
        given = inputs.get(side)
        if not isinstance(given, Mapping) or not isinstance(scenes := given.get("scenes"), list | tuple):
            continue
        listed = [one for one in scenes if isinstance(one, Mapping)]
        rows += [_input_row(side, one) for one in sorted(listed, key=lambda one: str(one.get("time_utc")))]
        left[side] = {key: value for key, value in given.items() if key != "scenes"}
    return rows, left


def _input_row(side: str, scene: Mapping[str, Any]) -> tuple[str, ...]:
    orbit = scene.get("relative_orbit")
    return (
        side,
        clean(scene.get("time_utc") or "unknown", 20)[:10],
        provider_text(str(scene.get("provider", ""))),
        clean(scene.get("id", ""), _LONGEST_ID),
        clean(scene.get("processing_baseline") or "not known", 20),
        _offsets(scene.get("bands")),
        "not known" if orbit is None else clean(orbit, 20),
    )


def _offsets(bands: object) -> str:
    """Say each offset once, and who said so; the codes of the classification have none that matters."""
    listed = bands.items() if isinstance(bands, Mapping) else ()
    texts = [
        f"{one['offset']:+g}{' (assumed)' if one.get('assumed') else ''}, from {clean(one.get('source', ''))}"
        for name, one in listed
        if name != "SCL" and isinstance(one, Mapping) and isinstance(one.get("offset"), int | float)
    ]
    return "; ".join(dict.fromkeys(texts)) or "not stated"


def _members(scene: Scene) -> str:
    """Describe each date of a composite, the earliest first; of a mean time and satellite."""
    if scene.sensor == "s1":
        return "; ".join(
            when(one) if one.platform == "unknown" else f"{when(one)} {clean(one.platform, 40)}"
            for one in scene.acquisitions
        )
    return " | ".join(
        f"{when(one)}: {clean(one.id, _LONGEST_ID)}, {scene_line(one)}; "
        f"{'; '.join(_radiometry(one)) or 'not stated'}"
        for one in scene.acquisitions
    )


def _radiometry(scene: Scene) -> list[str]:
    """One line for each way in which bands were scaled, naming the bands when there are several ways."""
    groups: dict[str, list[str]] = {}
    for name, asset in scene.assets.items():
        r = asset.radiometry
        assumed = " (assumed)" if r.assumed else ""
        text = f"number * {r.scale:g} {r.offset:+g}{assumed}, from {clean(r.source)}"
        groups.setdefault(text, []).append(name)
    if len(groups) == 1:
        return list(groups)
    return [f"{', '.join(map(clean, names))}: {text}" for text, names in groups.items()]
