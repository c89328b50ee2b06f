"""A result as layers of an online map; everything else in this package draws without a network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from changedet.errors import UsageError
from changedet.kinds import KIND_COLOURS
from changedet.output import facts
from changedet.output.kmz import make_overlays

if TYPE_CHECKING:
    import geopandas as gpd

    from changedet.result import ChangeResult

#: What is said on every such map.
ONLINE = (
    "This map loads its background and its scripts over the network: whoever serves them learns which place "
    "is looked at."
)
_SHOWN = {"id": "No.", "kind": "Consistent with", "confidence": "Confidence", "area": "Area", "mgrs": "MGRS"}


def folium_map(result: ChangeResult, tiles: str = "OpenStreetMap") -> Any:  # noqa: ANN401  # folium has no types
    """Make what `ChangeResult.to_folium` returns.

    Parameters
    ----------
    result : ChangeResult
        One that lies somewhere.
    tiles : str
        Background, as folium names it.

    Returns
    -------
    folium.Map

    Raises
    ------
    UsageError
        When folium is not installed, or the grid lies nowhere on Earth.
    """
    try:
        import folium
    except ImportError as error:
        raise UsageError("maps need folium", todo="pip install 'changedet[maps]'") from error
    overlays = make_overlays(result)
    if not overlays:
        raise UsageError("the result has no place or no pixels", todo="open a run that kept its images")
    drawn: Any = folium.Map(tiles=tiles, control_scale=True)
    first = overlays["before"]
    bounds = [[first.south, first.west], [first.north, first.east]]
    for name, overlay in overlays.items():
        scene = getattr(result, name).scene
        layer = folium.raster_layers.ImageOverlay(
            _decoded(overlay.png),
            bounds,
            mercator_project=True,
            pixelated=True,
            name=f"{name} {escape(facts.when(scene))}",
        )
        layer.add_to(drawn)
    if len(result.objects):
        _candidates(folium, result.objects).add_to(drawn)
    folium.LayerControl(collapsed=False).add_to(drawn)
    drawn.fit_bounds(bounds)
    drawn.get_root().html.add_child(folium.Element(f"<p>{escape(_words(result))}</p>"))
    return drawn


def _words(result: ChangeResult) -> str:
    simulated = f"{facts.SIMULATED_NOTE}. " if facts.is_simulated(result) else ""
    return f"{simulated}{facts.finding(result)} {ONLINE} {'. '.join(facts.credit_lines(result))}."


def _decoded(png: bytes) -> Any:  # noqa: ANN401  # an array for folium
    import cv2
    import numpy as np

    pixels = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))
    return pixels[..., [2, 1, 0, 3]]


def _candidates(folium: Any, objects: gpd.GeoDataFrame) -> Any:  # noqa: ANN401  # folium has no types
    shown = objects[["id", "confidence", "mgrs", "geometry"]].assign(
        kind=[facts.consistent_with(str(kind)).removeprefix("consistent with ") for kind in objects["kind"]],
        area=[facts.area_text(float(area)) for area in objects["area_m2"]],
        colour=[KIND_COLOURS[facts.kind_of(str(kind))] for kind in objects["kind"]],
    )
    # popups are read as HTML
    texts = {name: [escape(facts.clean(text)) for text in shown[name]] for name in _SHOWN}
    return folium.GeoJson(
        shown.assign(**texts).to_crs("EPSG:4326"),
        name="candidates",
        style_function=lambda one: {"color": one["properties"]["colour"], "weight": 2, "fillOpacity": 0.05},
        popup=folium.GeoJsonPopup(fields=list(_SHOWN), aliases=list(_SHOWN.values())),
    )
