"""``changedet demo``: the whole job on simulated imagery whose truth is known."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from changedet.cli import options  # noqa: TC001  # Typer reads the annotations at run time
from changedet.cli.bars import progress_on_terminal
from changedet.cli.console import command_line, emit, say
from changedet.errors import OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import geopandas as gpd

Samples = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--samples", help="Folder with the bundled samples; made anew beside --out when not given.",
                 metavar="DIR"),
]  # fmt: skip
_DEFAULT_OUT = Path("changedet-runs") / "demo"
#: Share of an event's area that must be flagged for it to count as found.
_FOUND_SHARE = 0.3


def demo(
    samples: Samples = None,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = 0,
    progress: options.ShowProgress = None,
) -> None:
    """Run the whole job on simulated scenes, compare the outcome with the truth, and say where to look."""
    from changedet.output.folder import check_target, save
    from changedet.output.summary import warning_texts
    from changedet.pipeline import detect

    started = datetime.now(UTC)
    folder = out or _DEFAULT_OUT
    check_target(folder, overwrite=overwrite)
    with progress_on_terminal(show=progress, quiet=quiet, verbose=verbose) as bar:
        bar.step("preparing the simulated scenes")
        with _pair_folder(samples, folder, overwrite=overwrite) as pair:
            result = replace(
                detect(pair / "before", pair / "after", progress=bar), name="Simulated demo site"
            )
            truth = compare_with_truth(result.objects, pair / "truth.geojson", pair / "decoys.geojson")
            save(result, folder, overwrite=overwrite, command=command_line(), started=started, progress=bar)
    # the text for a reader holds the warnings already
    for warning in result.warnings if as_json else ():
        say(f"changedet: warning: {warning}", quiet=quiet)
    document = {"folder": str(folder), **dict(zip(("events", "decoys", "other_objects"), truth, strict=True))}
    emit(document, _lines(document, folder, warning_texts(result)), as_json=as_json)


def compare_with_truth(
    objects: gpd.GeoDataFrame, truth: Path, decoys: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[int]]:
    """Compare flagged objects with the polygons of simulated events and decoys.

    Parameters
    ----------
    objects : GeoDataFrame
        Of a result.
    truth, decoys : Path
        GeoJSON with columns ``name`` and ``kind``.

    Returns
    -------
    events, decoys : list of dict
        One for each polygon: name, kind, area_m2, share of its area that was flagged, the objects that
        did, and the kinds they were given.
    others : list of int
        Objects that touch neither.
    """
    import geopandas as gpd

    tables = [gpd.read_file(path).to_crs(objects.crs) for path in (truth, decoys)]
    rows = [[_overlap(row, objects) for row in table.to_dict("records")] for table in tables]
    touched = {number for side in rows for row in side for number in row["objects"]}
    return rows[0], rows[1], [int(i) for i in objects["id"] if int(i) not in touched]


def _overlap(event: dict[str, Any], objects: gpd.GeoDataFrame) -> dict[str, Any]:
    shared = objects.geometry.intersection(event["geometry"]).area
    hit = objects[shared > 0]
    share = float(shared.sum() / event["geometry"].area)
    return {
        "name": str(event["name"]),
        "kind": str(event["kind"]),
        "area_m2": round(float(event["geometry"].area), 1),
        "flagged_share": round(share, 3),
        "found": share >= _FOUND_SHARE,
        "objects": [int(i) for i in hit["id"]],
        "given_kinds": sorted(set(hit["kind"])),
    }


@contextmanager
def _pair_folder(samples: Path | None, out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give the folder of the bundled pair, or make it beside the output folder; a failed run removes it."""
    from changedet.output.whole import set_aside, temporary_sibling
    from changedet.provenance import file_names
    from changedet.samples import make_pair

    if samples is not None:
        yield samples / "pair"
        return
    folder = out.with_name(f"{out.name}-sample")
    _check_pair_folder(folder, overwrite=overwrite)
    with temporary_sibling(folder.absolute()) as temporary:
        make_pair(temporary)
        _refuse_strangers(folder, set(file_names(temporary)))
        with set_aside(folder), ExitStack() as undo:
            temporary.rename(folder)
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder
            undo.pop_all()


def _check_pair_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place for the simulated scenes that is in use, before any work is done."""
    from changedet.simulator.files import holds_simulated_scenes

    if not (folder.exists() or folder.is_symlink()):
        return
    if not overwrite:
        todo = "pass --overwrite to replace it, or choose another --out"
        raise OutputExistsError("is there already", where=str(folder), todo=todo)
    if folder.is_symlink() or not holds_simulated_scenes(folder):
        raise OutputExistsError(
            "is there already and holds no simulated scenes", where=str(folder), todo="choose another --out"
        )


def _refuse_strangers(folder: Path, known: set[str]) -> None:
    """Refuse a folder with files that the simulated scenes do not have and no viewer left."""
    from changedet.provenance import strange_file

    if name := strange_file(folder, known):
        raise OutputExistsError(
            f"the folder holds what no demo wrote ({name})", where=str(folder), todo="choose another --out"
        )


def _lines(document: dict[str, Any], folder: Path, warnings: list[str]) -> list[str]:
    events = document["events"]
    found = sum(event["found"] for event in events)
    lines = [f"Simulated scenes, known truth: {found} of {len(events)} events flagged."]
    for event in events:
        mark = "flagged    " if event["found"] else "not flagged"
        given = f", given as {' / '.join(event['given_kinds'])}" if event["given_kinds"] else ""
        lines.append(
            f"  {mark}  {event['name']} ({event['kind']}): "
            f"{event['flagged_share']:.0%} of {event['area_m2']:.0f} m2{given}"
        )
    lines.append("Things that look like change and are not:")
    for decoy in document["decoys"]:
        given = " / ".join(decoy["given_kinds"]) or "left alone"
        lines.append(f"  {decoy['name']}: {given}")
    lines += [f"warning: {text}" for text in warnings]
    lines += [
        f"Objects that match neither: {len(document['other_objects'])}",
        f"Look at {folder / 'report.html'}; open {folder / 'changes.kmz'} in Google Earth Pro.",
        f"Check it with: changedet verify --rerun {folder}",
    ]
    return lines
