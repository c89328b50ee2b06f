"""Where labelled pairs lie on disk: the Onera set, folders of one's own, runs that were made already.

A reader says which sites there are and how to find the parts of each; what is missing at one site is told
when that site has its turn, so that the others are not held up.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from changedet.errors import CrsMismatchError, InputFileError, MissingInputError, UsageError
from changedet.hashing import sha256_file
from changedet.offline import VECTOR_BEGINNINGS, begins_with, offline_vectors, require_plain_vectors
from changedet.resample import crs_of, resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

#: Endings of files that hold a truth, raster before outlines.
TRUTH_ENDINGS = (".tif", ".tiff", ".geojson", ".gpkg")
_RASTERS = (".tif", ".tiff")
_UNCHANGED, _CHANGED = 1, 2
_LAYOUT = "see changedet evaluate in docs/evaluating.md for the layout"


@dataclass(frozen=True, eq=False)
class Truth:
    """What is labelled on a grid.

    Attributes
    ----------
    changed : ndarray of bool, shape (y, x)
        True where the ground is labelled as changed.
    known : ndarray of bool, shape (y, x)
        True where there is a label at all; nothing else is evaluated.
    """

    changed: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class TruthFile:
    """A file that says where the ground changed.

    Attributes
    ----------
    path : Path
        A raster, or outlines of what changed.
    coding : {"nonzero", "oscd"}
        In a raster: every number but 0 is change, "no data" is not known; or 1 is unchanged and 2 changed.
    """

    path: Path
    coding: Literal["nonzero", "oscd"] = "nonzero"

    def read(self, grid: GeoBox, own: GeoBox | None = None) -> Truth:
        """Put the labels onto a grid.

        Parameters
        ----------
        grid : GeoBox
            Grid of the result that is evaluated.
        own : GeoBox, optional
            Grid on which a raster lies that does not say so itself; `grid` when not given.

        Returns
        -------
        Truth
            On `grid`; a raster on another grid gives each pixel its nearest label, an outline the pixels
            whose centres it holds.

        Raises
        ------
        MissingInputError
            When the file is not there.
        InputFileError
            When it cannot be read, or a raster without a reference system has another size than its grid.
        """
        if not self.path.is_file():
            raise MissingInputError("no such file", where=str(self.path), todo=_LAYOUT)
        if self.path.suffix.lower() not in _RASTERS:
            return self._outlines(grid)
        labels, source = self._raster(own or grid)
        known = labels != 0
        changed = labels == _CHANGED
        if source != grid:
            codes = resample(known.astype(np.uint8) + changed, source, grid, method="nearest")
            known, changed = codes > 0, codes > 1
        return Truth(changed, known)

    def _raster(self, own: GeoBox) -> tuple[NDArray[np.uint8], GeoBox]:
        """Read the labels as 0 (not known), 1 and 2, with their grid."""
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        from changedet.providers.rasters import open_raster

        try:
            with warnings.catch_warnings():
                # a raster that says nothing of its place lies on the grid of the before image
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with open_raster(self.path) as file:
                    numbers, seen, source = file.read(1), file.dataset_mask() > 0, _grid_of(file)
        except RasterioError as error:
            raise _unreadable(self.path, error) from error
        if source is None and numbers.shape != tuple(own.shape):
            raise InputFileError(
                f"{numbers.shape[1]} x {numbers.shape[0]} labels without a reference system do not lie on "
                f"the {own.shape[1]} x {own.shape[0]} pixels of the image",
                where=str(self.path),
                todo="give labels with a reference system, or of the same size",
            )
        changed = numbers == _CHANGED if self.coding == "oscd" else np.nan_to_num(numbers) != 0
        seen = seen & np.isin(numbers, (_UNCHANGED, _CHANGED)) if self.coding == "oscd" else seen
        labels = np.where(seen, np.where(changed, _CHANGED, _UNCHANGED), 0).astype(np.uint8)
        return labels, own if source is None else source

    def _outlines(self, grid: GeoBox) -> Truth:
        from rasterio.features import rasterize

        shapes = [one for one in _read_outlines(self.path, grid) if one is not None and not one.is_empty]
        changed = np.zeros(tuple(grid.shape), np.uint8)
        if shapes:
            changed = rasterize(shapes, tuple(grid.shape), transform=grid.transform, dtype="uint8")
        return Truth(changed > 0, np.ones(tuple(grid.shape), bool))


@dataclass(frozen=True)
class LabelledSite:
    """A site with a truth, and either two images or a run that compared them.

    Attributes
    ----------
    name : str
        What tables call it.
    truth : TruthFile
        Where the ground changed.
    before, after : Path or None
        Imagery as `changedet.providers.local.open_source` reads it.
    run : Path or None
        A run folder, instead of the images.
    """

    name: str
    truth: TruthFile
    before: Path | None = None
    after: Path | None = None
    run: Path | None = None

    def inputs(self) -> dict[str, Any]:
        """Return the path and the SHA-256 digest of every file that decides the figures.

        Returns
        -------
        dict
            ``truth``, and ``before`` and ``after`` or ``run``, each a dict from path to digest.

        Raises
        ------
        InputFileError
            When the imagery cannot be opened.
        """
        from changedet.providers.local import open_source

        found: dict[str, Any] = {"truth": {str(self.truth.path): sha256_file(self.truth.path)}}
        if self.run is not None:
            return found | {"run": {str(self.run / "run.json"): sha256_file(self.run / "run.json")}}
        for word, path in (("before", self.before), ("after", self.after)):
            if path is not None:
                found[word] = {str(file): sha256_file(file) for file in open_source(path).files()}
        return found


@dataclass(frozen=True)
class SitePlace:
    """A site whose parts are looked for when it has its turn.

    Attributes
    ----------
    name : str
        What tables call it.
    find : callable
        Returns the `LabelledSite`, or raises `InputFileError` when a part is missing.
    """

    name: str
    find: Callable[[], LabelledSite]


def read_oscd(root: Path) -> list[SitePlace]:
    """List the labelled cities of the Onera Satellite Change Detection set, in its original layout.

    Daudt et al. 2018, doi:10.1109/IGARSS.2018.8518015. Labels say 1 for unchanged and 2 for urban change, and
    lie on the 10 m grid of the first image, though they do not say so.

    Parameters
    ----------
    root : Path
        Holds ``images/CITY/imgs_1``, ``images/CITY/imgs_2`` and ``train_labels`` or ``test_labels`` with
        ``CITY/cm/CITY-cm.tif``.

    Returns
    -------
    list of SitePlace
        By name; cities without labels are left out.

    Raises
    ------
    MissingInputError
        When there is no city with labels.
    """
    found = [
        SitePlace(label.parents[1].name, partial(_oscd_city, root, label))
        for folder in ("train_labels", "test_labels")
        for label in sorted((root / folder).glob("*/cm/*-cm.tif"))
    ]
    if not found:
        raise MissingInputError(
            "no labels such as train_labels/CITY/cm/CITY-cm.tif", where=str(root), todo=_LAYOUT
        )
    return sorted(found, key=lambda place: place.name)


def _oscd_city(root: Path, label: Path) -> LabelledSite:
    images = root / "images" / label.parents[1].name
    return LabelledSite(
        images.name, TruthFile(label, "oscd"), _existing(images / "imgs_1"), _existing(images / "imgs_2")
    )


def read_pairs(folder: Path) -> list[SitePlace]:
    """List the sites of a folder of pairs: ``SITE/before*``, ``SITE/after*`` and ``SITE/truth.*``.

    Parameters
    ----------
    folder : Path
        Holds one folder for each site, or is itself the folder of one.

    Returns
    -------
    list of SitePlace
        By name; folders in which nothing is called before or after are left out.

    Raises
    ------
    MissingInputError
        When there is no site.
    """
    if _has_pair(folder):
        return [SitePlace(folder.resolve().name, partial(_pair, folder))]
    found = [SitePlace(one.name, partial(_pair, one)) for one in _folders(folder) if _has_pair(one)]
    if not found:
        raise MissingInputError(
            "no pairs such as SITE/before and SITE/after", where=str(folder), todo=_LAYOUT
        )
    return found


def _has_pair(folder: Path) -> bool:
    return bool(_called(folder, "before") or _called(folder, "after"))


def _pair(folder: Path) -> LabelledSite:
    images = []
    for word in ("before", "after"):
        found = _called(folder, word)
        if len(found) != 1:
            names = " and ".join(path.name for path in found[:2])
            what = f"{names} are both called {word}" if found else f"nothing is called {word}"
            raise MissingInputError(what, where=str(folder), todo=f"give one file or folder named {word}")
        images.append(found[0])
    truth = _truth_in(folder, ("truth",))
    return LabelledSite(folder.resolve().name, truth, images[0], images[1])


def _called(folder: Path, word: str) -> list[Path]:
    """Return what a folder holds whose name begins with a word, without what viewers leave beside it."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.glob(f"{word}*") if not path.name.endswith((".aux.xml", ".ovr", ".txt")))
    return sorted(found)


def read_runs(runs: Path, truth: Path) -> list[SitePlace]:
    """List finished runs, and where the truth of each lies.

    Parameters
    ----------
    runs : Path
        Holds run folders, at any depth to two, or is itself one.
    truth : Path
        Holds ``SITE.tif`` (or ``.geojson``, ``.gpkg``), ``SITE/truth.tif``, or ``SITE/cm/SITE-cm.tif`` as in
        the Onera set, where SITE is the path of a run below `runs`; or is one file that holds for every run.

    Returns
    -------
    list of SitePlace
        By name.

    Raises
    ------
    MissingInputError
        When there is no run.
    """
    if (runs / "run.json").is_file():
        name = runs.resolve().name
        return [SitePlace(name, partial(_run, runs, truth, name))]
    folders = sorted(path.parent for pattern in ("*", "*/*") for path in runs.glob(f"{pattern}/run.json"))
    if not folders:
        raise MissingInputError("no run folders", where=str(runs), todo="name a folder that changedet wrote")
    names = [folder.relative_to(runs).as_posix() for folder in folders]
    return [SitePlace(n, partial(_run, f, truth, n)) for n, f in zip(names, folders, strict=True)]


def _run(folder: Path, truth: Path, name: str) -> LabelledSite:
    if truth.is_file():
        return LabelledSite(name, TruthFile(truth, _coding(truth)), run=folder)
    if (onera := truth / name / "cm" / f"{name}-cm.tif").is_file():
        return LabelledSite(name, TruthFile(onera, "oscd"), run=folder)
    return LabelledSite(name, _truth_in(truth, (name, f"{name}/truth")), run=folder)


def _coding(path: Path) -> Literal["nonzero", "oscd"]:
    return "oscd" if path.name.endswith("-cm.tif") else "nonzero"


def _truth_in(folder: Path, stems: Sequence[str]) -> TruthFile:
    candidates = [folder / f"{stem}{ending}" for stem in stems for ending in TRUTH_ENDINGS]
    found = [path for path in candidates if path.is_file()]
    if not found:
        named = " or ".join(f"{stem}.tif, .geojson or .gpkg" for stem in stems)
        raise MissingInputError(f"no truth: {named} is missing", where=str(folder), todo=_LAYOUT)
    return TruthFile(found[0], _coding(found[0]))


def only_sites(places: Sequence[SitePlace], names: Sequence[str]) -> list[SitePlace]:
    """Keep the sites that were named.

    Parameters
    ----------
    places : sequence of SitePlace
        All there are.
    names : sequence of str
        Names; all are kept when empty.

    Returns
    -------
    list of SitePlace
        In the order of `places`.

    Raises
    ------
    UsageError
        When there is no site of a name.
    """
    known = [place.name for place in places]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no site {name!r}", todo=f"take one such as {', '.join(known[:3])}")
    return [place for place in places if not names or place.name in names]


def _folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise MissingInputError("no such folder", where=str(folder), todo=_LAYOUT)
    return (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise MissingInputError("no such folder", where=str(path), todo=_LAYOUT)
    return path


def _grid_of(file: Any) -> GeoBox | None:  # noqa: ANN401  # rasterio ships no types
    from odc.geo.geobox import GeoBox

    return None if file.crs is None else GeoBox(file.shape, file.transform, file.crs)


def _read_outlines(path: Path, grid: GeoBox) -> Any:  # noqa: ANN401  # geopandas ships no types
    import geopandas as gpd
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    require_plain_vectors(begins_with(path), VECTOR_BEGINNINGS, where=str(path))
    try:
        with offline_vectors():
            layers = pyogrio.list_layers(path)
            table = gpd.read_file(path, layer=layers[0][0])
    except (DataSourceError, DataLayerError, IndexError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(layers) > 1:
        names = " and ".join(str(layer[0]) for layer in layers)
        raise InputFileError(f"holds several layers ({names})", where=str(path), todo="keep one of them")
    if table.crs is None:
        raise CrsMismatchError("the outlines have no reference system", where=str(path), todo="write one")
    return table.geometry.to_crs(crs_of(grid).to_wkt())


def _unreadable(path: Path, error: Exception) -> InputFileError:
    said = " ".join(str(error).split())[:120]
    return InputFileError(f"cannot be read ({said})", where=str(path), todo="check that it opens in QGIS")
