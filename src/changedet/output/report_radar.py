"""The part of the report that is about radar: its pictures, its tracks, what it says of each object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from changedet.output import facts, radar_facts
from changedet.output.picture import shrink, to_jpeg_data_url
from changedet.output.radar_picture import change_band
from changedet.output.radar_rasters import seen_codes, seen_shares
from changedet.output.scene_facts import caption_line
from changedet.radar.types import SEEN_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from changedet.output.radar_picture import RadarPictures
    from changedet.radar.types import RadarEvidence
    from changedet.result import ChangeResult
    from changedet.scene import Scene

#: Longest side of a picture of radar beside optical ones; where it stands alone it is as large as they are.
LARGEST_PICTURE_PX = 900

_BYTES_PICTURE = 100_000


def radar_context(result: ChangeResult, drawn: RadarPictures | None) -> dict[str, object]:
    """Return what the template says of radar.

    Parameters
    ----------
    result : ChangeResult
        Any result.
    drawn : RadarPictures or None
        From `changedet.output.radar_picture.radar_drawn`.

    Returns
    -------
    dict
        ``radar`` is None without radar. Where radar stands alone its two dates are the main pictures, and
        are not in it.
    """
    radar = result.radar
    words: dict[str, object] = {
        "radar_sentence": radar_facts.sentence(result),
        "radar_alone": result.radar_alone,
        "picture_word": "Radar image" if result.radar_alone else "Natural-colour image",
        "quantity": "Power" if result.radar_alone else "Reflectance",
    }
    if radar is None:
        return words | {"radar": None, "how_to_read": ""}
    alone = result.radar_alone
    section = {
        "viewer": None if alone or drawn is None else _viewer(radar, drawn),
        "how_to_read": radar_facts.picture_note(drawn.limits) if drawn else "",
        "stretch": drawn.limits.text if drawn else "",
        "means": radar_facts.means_text(radar),
        "change": _url(drawn, "change") if drawn else "",
        "change_note": radar_facts.change_note(change_band(radar.before)),
        "track_heads": radar_facts.TRACK_HEADS,
        "tracks": radar_facts.track_rows(radar),
        "seen": [] if alone else _seen(result),
        "cannot": radar_facts.CANNOT_NOTE,
        "method": radar_facts.method_text(result),
    }
    return words | {"radar": section, "how_to_read": section["how_to_read"] if alone else ""}


def radar_words(result: ChangeResult, row: Mapping[Any, Any]) -> dict[str, str]:
    """Return which sensor flagged an object and what radar says of it; empty texts without radar."""
    if result.radar is None:
        return {"sensor": "", "radar": ""}
    sensor = radar_facts.sensor_text(row, tested=result.radar.tested)
    # evidence of a comparison of both says it already
    said = "radar" in str(row["evidence"])
    return {"sensor": sensor.capitalize(), "radar": "" if said else radar_facts.object_text(row)}


def picture_label(scene: Scene) -> dict[str, str]:
    """Return what stands on a picture: date and time of one acquisition, or how many dates, and which.

    Parameters
    ----------
    scene : Scene
        What is shown.

    Returns
    -------
    dict of str to str
        ``date``, and ``clock``, which narrow windows leave out.
    """
    if not scene.members:
        if scene.time is None:
            return {"date": "", "clock": scene.date_text}
        return {"date": scene.date_text, "clock": facts.when(scene)[10:]}
    count = len(scene.members)
    first, *_, last = (one.date_text for one in scene.acquisitions)
    many = f"{count} passes" if scene.sensor == "s1" else f"composite of {count} dates"
    return {"date": many, "clock": f" ({first} to {last})"}


def _viewer(radar: RadarEvidence, drawn: RadarPictures) -> dict[str, object]:
    sides = (("Before", radar.before.scene), ("After", radar.after.scene))
    return {
        "pictures": {name: _url(drawn, name) for name in ("before", "after")},
        "captions": [
            {"word": word, "time": facts.when(scene), "line": caption_line(scene), **picture_label(scene)}
            for word, scene in sides
        ],
    }


def _url(drawn: RadarPictures, name: str) -> str:
    picture = shrink(getattr(drawn, name), LARGEST_PICTURE_PX)
    return to_jpeg_data_url(picture, most_bytes=_BYTES_PICTURE)


def _seen(result: ChangeResult) -> list[tuple[str, str, str]]:
    codes = seen_codes(result)
    return [
        (SEEN_LABELS[code], facts.share_text(share), f"{int((codes == code).sum()):,}")
        for code, share in sorted(seen_shares(result).items(), reverse=True)
    ]
