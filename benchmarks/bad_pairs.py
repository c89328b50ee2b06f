"""What is said of pairs that should not be compared, or only with care.

    python benchmarks/bad_pairs.py [--out FILE] [--docs] [--only PAIR] [--case NAME]

The later date of a good pair is spoilt in one way at a time and written as files, and the pair is compared
as `changedet detect` compares it. The pairs are the bundled simulated one and labelled cities (Daudt et al.
2018, doi:10.1109/IGARSS.2018.8518015) from the folder that CHANGEDET_DATA names. Counted are objects of the
kind *new construction* that lie away from everything flagged in the pair as it was: those the fault made up.
The exit code is 1 when one of them comes out with more than low confidence.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from benchmarks import bad_images as spoil  # noqa: E402
from tests.data import data_folder  # noqa: E402

from changedet.errors import ChangedetError, exit_code  # noqa: E402
from changedet.kinds import KIND_LABELS, Kind  # noqa: E402
from changedet.pipeline import detect  # noqa: E402
from changedet.result import State  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CITIES = data_folder() / "oscd" / "images"
RESULTS = HERE / "bad_pairs.json"
PAGE = HERE.parent / "docs" / "reliability.md"
#: Cities to spoil; the others are larger and say the same.
CHOSEN = ("aguasclaras", "bercy", "bordeaux", "nantes")
#: Objects within this distance of what the good pair shows are not put down to the fault.
NEAR_PX = 5
#: `exit_code` of a pair that a gate refuses.
REFUSED = 6


@dataclass(frozen=True)
class Fault:
    """One way in which a date is spoilt.

    Attributes
    ----------
    text : str
        For the table.
    change : callable
        From a `benchmarks.bad_images.Date` to the bands of the spoilt one.
    eight_bits : bool
        Whether it is stored as a stretched picture.
    """

    text: str
    change: Callable[[spoil.Date], dict[str, np.ndarray]]
    eight_bits: bool = False


def _as_it_was(date):
    return dict(date.bands)


def _shift(length_px):
    return Fault(f"shifted by {length_px:g} px", partial(spoil.shifted, length_px=length_px))


def _turn(angle_deg):
    return Fault(f"turned by {angle_deg:g}°", partial(spoil.turned, angle_deg=angle_deg))


def _cirrus(strength):
    return Fault(f"thin cirrus, {strength:g} of reflectance", partial(spoil.thin_cirrus, strength=strength))


FAULTS: dict[str, Fault] = {
    "none": Fault("as it is", _as_it_was),
    **{f"shift-{n:g}": _shift(n) for n in (0.6, 1, 2, 5, 10, 30)},
    **{f"turn-{n:g}": _turn(n) for n in (0.5, 2)},
    "turn-90": Fault("turned by 90°", spoil.quarter_turned),
    "place": Fault("another place", _as_it_was),
    "snow": Fault("snow on one date", spoil.snowed),
    **{f"cirrus-{n:g}": _cirrus(n) for n in (0.02, 0.05, 0.1)},
    "cloud": Fault("thick cloud that nobody classified", spoil.thick_cloud),
    "glint": Fault("sun glint on water", spoil.sun_glint),
    "haze": Fault("haze of varying depth", spoil.hazed),
    "offset": Fault("offset of baseline 04.00 missed", spoil.offset_missed),
    "level": Fault("Level-1C against Level-2A", spoil.other_level),
    "clip": Fault("brightest tenth cut off", spoil.clipped),
    "8-bit": Fault("stretched to 8 bits", _as_it_was, eight_bits=True),
    "order": Fault("bands in the wrong order", spoil.swapped),
    "season": Fault("another season", spoil.faded),
    "stripes": Fault("stripes of up to 6 %", spoil.striped),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is said of every pair; return 1 when one of them is believed that should not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--docs", action="store_true", help=f"put {RESULTS.name} into {PAGE.name}")
    parser.add_argument("--only", action="append", help="pair to take, such as simulated or bercy")
    parser.add_argument("--case", action="append", choices=tuple(FAULTS), help="fault to take")
    options = parser.parse_args(arguments)
    if options.docs:
        write_table(json.loads(RESULTS.read_text(encoding="utf-8")))
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for row in measure(Path(folder), options.only, options.case):
            rows.append(row)
            print(json.dumps(row, ensure_ascii=False), flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(row["made_up_medium"] or row["made_up_high"] for row in rows))


def measure(
    folder: Path, only: Sequence[str] | None, cases: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    """Yield a row for every pair and fault."""
    pairs = dict(good_pairs())
    for pair, (before, after) in pairs.items():
        if only and pair not in only:
            continue
        elsewhere = next((one[1] for name, one in pairs.items() if name != pair), after)
        untouched = detect(before, after)
        near = _near(untouched.state == State.CHANGED)
        for name, fault in FAULTS.items():
            if cases and name not in cases:
                continue
            target = folder / pair / name
            write_fault(after, target, fault, elsewhere=elsewhere if name == "place" else None)
            yield {"pair": pair, "fault": name, **outcome(before, target, near, set(untouched.warnings))}
            shutil.rmtree(target)


def good_pairs() -> Iterator[tuple[str, tuple[Path, Path]]]:
    """Yield the pairs that are spoilt: folder before, folder after."""
    samples = HERE.parent / "samples" / "pair"
    yield "simulated", (samples / "before", samples / "after")
    for city in CHOSEN:
        if (CITIES / city).is_dir():
            yield city, (CITIES / city / "imgs_1", CITIES / city / "imgs_2")


def write_fault(
    source: Path, target: Path, fault: Fault, *, seed: int = 0, elsewhere: Path | None = None
) -> None:
    """Write a spoilt copy of a date; with the content of another one if it is given."""
    date = spoil.read_date(source, seed)
    bands = fault.change(date)
    if elsewhere is not None:
        other = spoil.read_date(elsewhere, seed).bands
        bands = {name: _tiled(other.get(name, plane), plane.shape) for name, plane in date.bands.items()}
    spoil.write_date(source, target, bands, eight_bits=fault.eight_bits)


def _tiled(plane, shape):
    times = [-(-size // have) for size, have in zip(shape, plane.shape, strict=True)]
    return np.tile(plane, times)[: shape[0], : shape[1]]


def outcome(before: Path, after: Path, near: np.ndarray, usual: set[str]) -> dict[str, Any]:
    """Compare a spoilt pair and count what the fault made up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = detect(before, after)
        except ChangedetError as error:
            return _row(exit_code(error), str(error), 0)
    said = [text for text in result.warnings if text not in usual and text not in result.refusals]
    objects = result.objects
    built = objects[objects["kind"] == KIND_LABELS[Kind.CONSTRUCTION]]
    made_up = [not _touches(outline, near, result.grid) for outline in built.geometry]
    counts = Counter(built["confidence"].to_numpy()[np.array(made_up, bool)])
    return _row(
        REFUSED if result.refusals else 0,
        "; ".join(result.refusals or said),
        len(objects),
        construction=len(built),
        flagged_share=round(float((result.state == State.CHANGED).mean()), 4),
        shift_px=[round(float(part), 2) for part in result.registration.shift_px],
        **{f"made_up_{word}": int(counts[word]) for word in ("low", "medium", "high")},
    )


def _row(code: int, said: str, objects: int, **more: Any) -> dict[str, Any]:
    blank = {"construction": 0, "made_up_low": 0, "made_up_medium": 0, "made_up_high": 0}
    return {"exit_code": code, "said": said, "objects": objects, **blank, **more}


def _near(flagged: np.ndarray) -> np.ndarray:
    return cv2.dilate(flagged.astype(np.uint8), np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)) > 0


def _touches(outline, near, grid) -> bool:
    from rasterio.features import geometry_mask

    return bool((near & ~geometry_mask([outline], near.shape, grid.transform, all_touched=True)).any())


def write_table(rows: list[dict[str, Any]]) -> None:
    """Put the table into the page, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, "bad pairs", table(rows)), encoding="utf-8")


def replaced(text: str, mark: str, part: str) -> str:
    """A document with other content between a mark and the next end."""
    start, end = f"<!-- {mark} -->", "<!-- end -->"
    head, rest = text.split(start, 1)
    return f"{head}{start}\n\n{part}\n\n{end}{rest.split(end, 1)[1]}"


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each fault, all pairs together."""
    lines = [
        "| later date | refused | construction made up: low, medium, high confidence | what is said |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, fault in FAULTS.items():
        found = [row for row in rows if row["fault"] == name]
        if not found:
            continue
        refused = sum(row["exit_code"] != 0 for row in found)
        made_up = ", ".join(str(sum(row[f"made_up_{w}"] for row in found)) for w in ("low", "medium", "high"))
        lines.append(f"| {fault.text} | {refused} of {len(found)} | {made_up} | {_said(found)} |")
    return "\n".join(lines)


def _said(found: list[dict[str, Any]]) -> str:
    texts = [row["said"].split("; ")[0] for row in found if row["said"]]
    shown = max(texts, key=texts.count, default="")
    return shown.replace("|", "/") or "nothing more than of the good pair"


if __name__ == "__main__":
    sys.exit(main())
