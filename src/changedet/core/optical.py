"""Optical change detectors by name: two images in, a change score out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from changedet.core.change_vectors import (
    CvaParameters,
    PcaDifferenceParameters,
    cva_score,
    pca_difference_score,
)
from changedet.core.index_change import (
    DIFFERENCE_INDICES,
    IndexParameters,
    TextureParameters,
    gradient_score,
    index_detector,
    texture_score,
)
from changedet.core.mad import IrMadParameters, MadParameters, mad_score
from changedet.core.pca_kmeans import PcaKmeansParameters, pca_kmeans_score
from changedet.core.planes import chosen_bands
from changedet.core.prediction import PredictParameters, predict_score
from changedet.core.rings import RingParameters, ring_score
from changedet.core.siroc import SirocParameters, siroc_score
from changedet.core.slow_features import IsfaParameters, SfaParameters, slow_feature_score
from changedet.errors import MissingBandError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray


class DetectorParameters(Protocol):
    """What every detector's parameters can say of themselves."""

    @property
    def smoothing_px(self) -> tuple[float, ...]:
        """Standard deviations of the Gaussians that smooth the score, in pixels."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable description."""


@dataclass(frozen=True)
class Detector:
    """A registered detector.

    Attributes
    ----------
    name : str
        What the command line and run.json call it.
    title : str
        One line for a reader.
    function : callable
        ``(before, after, valid, weights, parameters) -> score``.
    parameters : type
        Its parameters dataclass; the defaults are the detector's defaults. See `DetectorParameters`.
    family : str
        What it goes by: ``"prediction"``, ``"difference"``, ``"context"``, ``"index"``, ``"texture"``, ...
    source : str
        Where it was published, with a DOI if there is one.
    needs : tuple of str
        Canonical names of the bands that `function` takes, in this order; empty for any bands.
    decides_at : float or None
        The score, not smoothed, above which the method itself speaks of change; None when it gives a score
        only.
    highest : float
        The largest score that it can give: a threshold that is not below it flags nothing, ever.
    """

    name: str
    title: str
    function: Callable[..., NDArray[np.float32]]
    parameters: Callable[[], DetectorParameters]
    family: str = ""
    source: str = ""
    needs: tuple[str, ...] = ()
    decides_at: float | None = None
    highest: float = math.inf

    def require(self, bands: tuple[str, ...]) -> None:
        """Refuse images that cannot be scored.

        Parameters
        ----------
        bands : tuple of str
            Canonical names of their bands.

        Raises
        ------
        MissingBandError
            When one is missing that the detector needs; it names the bands.
        """
        if missing := [name for name in self.needs if name not in bands]:
            raise MissingBandError(
                f"{self.name} needs {', '.join(missing)}, and there is only {', '.join(bands)}",
                todo="give images with these bands, or choose another method (changedet methods lists them)",
            )

    def score(
        self,
        images: tuple[NDArray[np.float32], NDArray[np.float32]],
        valid: NDArray[np.bool_],
        bands: tuple[str, ...],
        weights: tuple[float, ...],
        parameters: DetectorParameters | None = None,
    ) -> NDArray[np.float32]:
        """Score a pair of images whose bands have names, with those bands that the detector takes.

        Parameters
        ----------
        images : tuple of two ndarrays of float32, shape (band, y, x)
            Before and after.
        valid : ndarray of bool, shape (y, x)
            True where both are usable.
        bands : tuple of str
            Canonical names, one for each band.
        weights : tuple of float
            One for each band.
        parameters : DetectorParameters, optional
            Of the detector; its defaults when left out.

        Returns
        -------
        ndarray of float32, shape (y, x)
            What `function` gives.

        Raises
        ------
        MissingBandError
            When a band is missing that the detector needs; it names the bands.

        Examples
        --------
        >>> import numpy as np
        >>> image = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
        >>> valid = np.ones((8, 8), bool)
        >>> DETECTORS["cva"].score((image, image), valid, ("B02", "B03", "B04"), (1, 1, 1)).shape
        (8, 8)
        """
        self.require(bands)
        before, after = images
        if self.needs:
            index = [bands.index(name) for name in self.needs]
            before, after = (chosen_bands(image, index) for image in images)
            weights = (1.0,) * len(index)
        return self.function(before, after, valid, weights, parameters or self.parameters())


def _detector(
    name: str,
    title: str,
    how: tuple[Any, Any],
    said: tuple[str, str],
    *,
    needs: tuple[str, ...] = (),
    decides_at: float | None = None,
    highest: float = math.inf,
) -> Detector:
    """Return a detector: `how` is its function and parameters, `said` its family and source."""
    return Detector(name, title, *how, *said, needs, decides_at, highest)


_ENTRIES = (
    _detector(
        "predict",
        "what neither date predicts of the other, where the local pattern changed",
        (predict_score, PredictParameters),
        ("prediction", "after Theiler and Perkins 2006, and Schaum and Stocker 1997"),
    ),
    _detector(
        "cva",
        "change vector analysis of standardised bands",
        (cva_score, CvaParameters),
        ("difference", "Bovolo and Bruzzone 2007, doi:10.1109/TGRS.2006.885408"),
    ),
    _detector(
        "pca-difference",
        "principal part of the difference of standardised bands",
        (pca_difference_score, PcaDifferenceParameters),
        ("difference", "Singh 1989, doi:10.1080/01431168908903939"),
    ),
    _detector(
        "rings",
        "what rings of ground round a pixel do not predict of it, in either direction",
        (ring_score, RingParameters),
        ("context", "after Kondmann et al. 2022, doi:10.1109/TGRS.2021.3130842"),
    ),
    _detector(
        "mad",
        "differences of the best correlated combinations of bands",
        (mad_score, MadParameters),
        ("alteration", "Nielsen, Conradsen and Simpson 1998, doi:10.1016/S0034-4257(97)00162-4"),
    ),
    _detector(
        "irmad",
        "mad, fitted again and again to what it leaves unaltered",
        (mad_score, IrMadParameters),
        ("alteration", "Nielsen 2007, doi:10.1109/TIP.2006.888195"),
    ),
    _detector(
        "sfa",
        "differences of the slowest combinations of standardised bands",
        (slow_feature_score, SfaParameters),
        ("alteration", "Wu, Du and Zhang 2014, doi:10.1109/TGRS.2013.2266673"),
    ),
    _detector(
        "isfa",
        "sfa, fitted again and again to what it leaves unaltered",
        (slow_feature_score, IsfaParameters),
        ("alteration", "Wu, Du and Zhang 2014, doi:10.1109/TGRS.2013.2266673"),
    ),
    _detector(
        "siroc",
        "votes of many neighbourhoods on what each does not predict of a pixel",
        (siroc_score, SirocParameters),
        ("context", "Kondmann et al. 2022, doi:10.1109/TGRS.2021.3130842"),
        decides_at=0.5,
        highest=1.0,
    ),
    _detector(
        "pca-kmeans",
        "two clusters of windows described by principal components",
        (pca_kmeans_score, PcaKmeansParameters),
        ("clusters", "Celik 2009, doi:10.1109/LGRS.2009.2025059"),
        decides_at=1.0,
    ),
    *(
        _detector(
            f"{name}-difference",
            f"difference of {name.upper()}, less its median",
            (index_detector(name), IndexParameters),
            ("index", index.source),
            needs=index.bands,
        )
        for name, index in DIFFERENCE_INDICES.items()
    ),
    _detector(
        "gradient-difference",
        "difference of the lengths of the gradients: edges that came or went",
        (gradient_score, IndexParameters),
        ("texture", "Scharr 2000, doi:10.11588/heidok.00000962"),
    ),
    _detector(
        "texture-difference",
        "difference of the standard deviations in a window",
        (texture_score, TextureParameters),
        ("texture", "Haralick, Shanmugam and Dinstein 1973, doi:10.1109/TSMC.1973.4309314"),
    ),
)

#: Every optical detector by name.
DETECTORS: Mapping[str, Detector] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
