"""What a comparison found: scores, states, objects, and everything needed to check them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from changedet.bands import is_radar

if TYPE_CHECKING:
    from collections.abc import Mapping

    import geopandas as gpd
    import numpy as np
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from changedet.core.normalization import Normalization
    from changedet.notebook.explore import StillView
    from changedet.notebook.widget import Explorer
    from changedet.pairing import Pair
    from changedet.radar.types import RadarEvidence
    from changedet.registration import Registration
    from changedet.scene import Image


class State(IntEnum):
    """What is known of a pixel. "Not flagged" never means that nothing happened there."""

    NOT_FLAGGED = 0
    CHANGED = 1
    NOT_OBSERVED = 2
    NOT_COMPARABLE = 3
    OUTSIDE = 255


#: What each state is called wherever a reader sees it.
STATE_LABELS: Mapping[State, str] = MappingProxyType(
    {
        State.NOT_FLAGGED: "not flagged",
        State.CHANGED: "flagged as changed",
        State.NOT_OBSERVED: "not observed (cloud, shadow or no data)",
        State.NOT_COMPARABLE: "not comparable (a quality gate refused)",
        State.OUTSIDE: "outside the site",
    }
)


@dataclass(frozen=True, eq=False)
class ChangeResult:
    """The outcome of comparing two dates.

    Attributes
    ----------
    name : str
        Name of the site or of the comparison.
    grid : GeoBox
        Grid of every raster below.
    score : ndarray of float32, shape (y, x)
        Change score, unitless, higher = more surprising; a rank, not a probability. NaN = not judged.
    state : ndarray of uint8, shape (y, x)
        `State` codes.
    kind : ndarray of uint8, shape (y, x)
        `changedet.kinds.Kind` codes of the objects, 0 elsewhere.
    objects : GeoDataFrame
        One row per object in the CRS of the grid, what looks most like construction first;
        columns in `changedet.objects.COLUMNS`.
    before, after : Image
        The bands that were compared: `after` registered to `before` and normalised.
    pair : Pair
        The images as loaded.
    registration : Registration
        Shift, residual, verdict.
    normalization : Normalization or None
        None when the gate refused the pair before it could be normalised.
    parameters : mapping
        Method and parameters, JSON-serialisable.
    thresholds : mapping of str to float
        ``seed`` and ``grow`` in units of the score, infinite when nothing may be flagged, with ``median`` and
        ``mad`` of the background, NaN when they are not known.
    detection_floor : mapping of str to float
        Smallest area in square metres and the reflectance contrast that could have been flagged.
    warnings : tuple of str
        What a reader of the result should know.
    inputs : mapping
        What was given to `detect`, so that the run can be repeated; JSON-serialisable.
    folder : Path or None
        The run folder, when the result was saved or opened.
    refusals : tuple of str
        Why quality gates refused the comparison; empty when they passed it.
    construction : ndarray of float32, shape (y, x), or None
        The score times a weight of 0 to 1 that says how far the change looks like construction
        (`changedet.core.construction`), which ranks the objects; NaN where the score is. None in what
        earlier versions wrote.
    seasonal : GeoDataFrame or None
        Like `objects`: what stands out and is consistent with season, plants or moisture alone
        (`changedet.seasonal`), so that it is listed and not flagged. None where nothing was looked for.
    radar : RadarEvidence or None
        What radar says of the site, where it was asked; None where only optical images were compared.
    redact_coordinates : bool
        True when plates and reports are to be published without what says where the site is. The data are
        whole: rasters, vectors and ``run.json`` have their coordinates.
    """

    name: str
    grid: GeoBox
    score: NDArray[np.float32]
    state: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    objects: gpd.GeoDataFrame
    before: Image
    after: Image
    pair: Pair
    registration: Registration
    normalization: Normalization | None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    detection_floor: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    folder: Path | None = None
    refusals: tuple[str, ...] = ()
    construction: NDArray[np.float32] | None = None
    radar: RadarEvidence | None = None
    seasonal: gpd.GeoDataFrame | None = None
    redact_coordinates: bool = False

    @property
    def state_shares(self) -> dict[str, float]:
        """Share of the site's pixels in each state, by label; the shares add up to 1."""
        counts = self.state_counts
        inside = self.state.size - counts[State.OUTSIDE]
        return {STATE_LABELS[s]: count / max(inside, 1) for s, count in counts.items() if s != State.OUTSIDE}

    @cached_property
    def state_counts(self) -> Mapping[State, int]:
        """How many pixels are in each state; counted once."""
        import numpy as np

        from changedet.core.blocks import row_blocks

        found = np.zeros(256, np.int64)
        for rows in row_blocks((self.state.shape[0], self.state.shape[1]), 1):
            found += np.bincount(self.state[rows].ravel(), minlength=256)
        return MappingProxyType({state: int(found[state]) for state in State})

    @property
    def radar_alone(self) -> bool:
        """True when the compared images are radar: `before` and `after` hold power, not reflectance."""
        return self.radar is not None and is_radar(self.before.bands)

    def plot(self) -> Figure:
        """Draw before, after and candidates as a matplotlib figure.

        Returns
        -------
        matplotlib.figure.Figure
            Not yet shown; it carries the dates, the credit and the number of candidates.
        """
        from changedet.output.plate import plot

        return plot(self)

    def explore(
        self,
        *,
        state_file: str | Path | None = None,
        reviewer: str = "",
        blind: bool = False,
        site_name: str = "",
    ) -> Explorer | StillView:
        """Look at the result in a notebook: swipe, blink, threshold, candidates, verdicts; without a network.

        Parameters
        ----------
        state_file : str or Path, optional
            State file that keeps the verdicts, as ``changedet review`` does; without one they stay in the
            notebook, as ``verdicts`` of the widget. Wants a result that was saved or opened.
        reviewer : str
            Who judges; can be written in the widget too.
        blind : bool
            Show kind, score and confidence of a candidate only after the verdict on it.
        site_name : str
            What the state file calls the site; the name of the run when not given.

        Returns
        -------
        Explorer or StillView
            A widget where anywidget is installed (``pip install "changedet[jupyter]"``), else a still view
            that says so.

        Raises
        ------
        UsageError
            When a state file is named and the result has no run folder.
        InputFileError, StateBusyError
            When the state file cannot be used.

        Examples
        --------
        >>> view = cd.open_run("runs/pier").explore(reviewer="A. Reader")   # doctest: +SKIP
        >>> view.threshold = 0.12                                           # doctest: +SKIP
        >>> view.objects[["kind", "area_m2"]], view.verdicts                # doctest: +SKIP
        """
        from changedet.notebook.explore import explore_result

        return explore_result(
            self, state_file=state_file, reviewer=reviewer, blind=blind, site_name=site_name
        )

    def to_folium(self, tiles: str = "OpenStreetMap") -> Any:  # noqa: ANN401  # folium has no types
        """Put both images and the candidates on an online map.

        This is the one view that needs a network: whoever serves the background and the scripts of the map
        learns which place is looked at. `explore` and `report` load nothing.

        Parameters
        ----------
        tiles : str
            Background, as folium names it.

        Returns
        -------
        folium.Map
            With layers to switch, and a popup for each candidate.

        Raises
        ------
        UsageError
            When folium is not installed (``pip install "changedet[maps]"``), or the result has no place.

        Examples
        --------
        >>> result.to_folium().save("map.html")                             # doctest: +SKIP
        """
        from changedet.notebook.maps import folium_map

        return folium_map(self, tiles)

    def to_xarray(self) -> xr.Dataset:
        """Return score, state, kind and both images as a Dataset with CF georeferencing.

        Returns
        -------
        xarray.Dataset
            ``score`` and, where it is known, ``construction`` (y, x) float32 with NaN where not judged,
            ``state`` and ``kind`` (y, x) uint8,
            ``before`` and ``after`` (band, y, x) float32 reflectance; it opens in rioxarray, odc-geo and
            hvPlot.
        """
        import xarray as xr
        from odc.geo.xr import wrap_xr

        dataset = xr.Dataset(
            {
                "score": wrap_xr(self.score, self.grid, nodata=float("nan")),
                "state": wrap_xr(self.state, self.grid, nodata=int(State.OUTSIDE)),
                "kind": wrap_xr(self.kind, self.grid, nodata=0),
            },
            attrs={
                "title": self.name,
                "before_scene_id": ", ".join(one.id for one in self.before.scene.acquisitions),
                "before_time_utc": self.before.scene.time_text,
                "after_scene_id": ", ".join(one.id for one in self.after.scene.acquisitions),
                "after_time_utc": self.after.scene.time_text,
            },
        )
        if self.construction is not None:
            dataset["construction"] = wrap_xr(self.construction, self.grid, nodata=float("nan"))
        for name, image in (("before", self.before), ("after", self.after)):
            planes = [wrap_xr(band, self.grid, nodata=float("nan")) for band in image.data]
            dataset[name] = xr.concat(planes, dim=xr.Variable("band", list(image.bands)))
        return dataset

    def save(self, folder: str | Path, *, overwrite: bool = False, keep_images: bool | None = None) -> Path:
        """Write the run folder: rasters, vectors, KMZ, plates, report and provenance.

        Parameters
        ----------
        folder : str or Path
            Made if it is not there.
        overwrite : bool
            Replace a run folder of that name.
        keep_images : bool, optional
            Also write ``before.tif`` and ``after.tif``; when not given, for grids of less than 25 million
            pixels.

        Returns
        -------
        Path
            The run folder.

        Raises
        ------
        OutputExistsError
            When the folder is there and `overwrite` is False.
        OutputError
            When it cannot be written; nothing half-written is left.
        """
        from changedet.output.folder import save

        return save(self, folder, overwrite=overwrite, keep_images=keep_images)

    def report(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        redact_coordinates: bool | None = None,
        timeline: str | Path | None = None,
    ) -> Path:
        """Write the self-contained HTML report alone.

        Parameters
        ----------
        path : str or Path
            The HTML file; its folder has to exist.
        overwrite : bool
            Replace a file of that name.
        redact_coordinates : bool, optional
            Leave out what says where the site is; when not given, as the result has it.
        timeline : str or Path, optional
            Folder of a timeline of the same site, of which the report is to tell.

        Returns
        -------
        Path
            The same.

        Raises
        ------
        OutputExistsError
            When the file is there and `overwrite` is False.
        UsageError
            When the timeline is of another place, or the place is to be withheld.
        OutputError
            When it cannot be written.
        """
        from changedet.output.folder import write_report_again

        shown = self._shown(redact_coordinates)
        return write_report_again(shown, path, overwrite=overwrite, timeline=timeline)

    def plate(
        self,
        path: str | Path = "plate.png",
        *,
        number: int = 0,
        redact_coordinates: bool | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write one captioned plate for publication, at 300 dots per inch.

        Parameters
        ----------
        path : str or Path
            Ends in ``.png`` or ``.pdf``; its folder has to exist.
        number : int
            The ``id`` of the object to show; 0 for the overview of the site.
        redact_coordinates : bool, optional
            Leave out what says where the site is; when not given, as the result has it.
        overwrite : bool
            Replace a file of that name.

        Returns
        -------
        Path
            The file; the same result gives the same bytes.

        Raises
        ------
        UsageError
            When the name ends in something else, or there is no such object.
        OutputExistsError
            When the file is there and `overwrite` is False.
        OutputError
            When it cannot be written.
        """
        from changedet.output.folder import write_plate_again

        return write_plate_again(self._shown(redact_coordinates), path, number=number, overwrite=overwrite)

    def _shown(self, redact: bool | None) -> ChangeResult:
        """Return the result with or without its coordinates on what is written of it."""
        return self if redact is None else replace(self, redact_coordinates=redact)

    @classmethod
    def open(cls, folder: str | Path) -> ChangeResult:
        """Open a run folder that `save` wrote.

        Parameters
        ----------
        folder : str or Path
            With its ``run.json``.

        Returns
        -------
        ChangeResult
            As it was saved.
        """
        from changedet.output.folder import open_run

        return open_run(Path(folder))

    def __repr__(self) -> str:
        from changedet.output.summary import result_text

        return result_text(self)

    def _repr_html_(self) -> str:
        from changedet.notebook.repr import result_html

        return result_html(self)
