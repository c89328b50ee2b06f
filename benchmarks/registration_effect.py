"""What registration does to change scores: seven labelled cities, registered well, badly and not at all.

    python benchmarks/registration_effect.py [--out FILE]

The pairs are those of Daudt et al. 2018 (doi:10.1109/IGARSS.2018.8518015), found in the folder that
CHANGEDET_DATA names. Everything but the registration is as `changedet detect` does it. A deliberate residual
is added to the displacement that was found before the one resampling there is, in a random direction and at
right angles to it. The gate that refuses badly registered pairs is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from skimage.registration import phase_cross_correlation
from sklearn.metrics import average_precision_score, roc_auc_score

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from tests.data import data_folder  # noqa: E402

from changedet.comparison import DetectSettings, compare  # noqa: E402
from changedet.core.displacement import DisplacementField  # noqa: E402
from changedet.frame import choose_frame, displaced, site_mask  # noqa: E402
from changedet.pairing import make_pair  # noqa: E402
from changedet.pipeline import register  # noqa: E402
from changedet.providers.local import open_source  # noqa: E402
from changedet.result import State  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = data_folder() / "oscd"
RESIDUALS_PX = (0.1, 0.25, 0.5, 1.0)
OURS, NONE, GLOBAL = "ours", "none", "scikit-image, one shift"
MEASURES = ("average_precision", "area_under_curve", "precision", "recall")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one row for each way of registering, and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--turns", type=int, default=2, help="directions of each deliberate residual")
    options = parser.parse_args(arguments)
    cities = sorted(path.name for path in (ROOT / "images").glob("*/"))
    if not cities:
        print(f"no labelled pairs in {ROOT}: set CHANGEDET_DATA", file=sys.stderr)
        return 1
    found = {}
    for number, city in enumerate(cities):
        found[city] = dict(City(city, number).measure(options.turns))
        print(
            city,
            {way: round(values["average_precision"], 3) for way, values in found[city].items()},
            flush=True,
        )
    means = {
        way: {name: float(np.mean([found[city][way][name] for city in cities])) for name in MEASURES}
        for way in found[cities[0]]
    }
    print(f"{'registration':<32}" + "".join(f"{name:>20}" for name in MEASURES))
    for way, values in means.items():
        print(f"{way:<32}" + "".join(f"{values[name]:>20.3f}" for name in MEASURES))
    if options.out:
        options.out.write_text(json.dumps({"cities": found, "mean": means}, indent=1) + "\n")
    return 0


class City:
    """One labelled pair."""

    def __init__(self, name: str, number: int) -> None:
        folder = ROOT / "images" / name
        self.name, self.seed = name, number
        self.sources = tuple(open_source(folder / date) for date in ("imgs_1", "imgs_2"))
        self.frame = choose_frame(self.sources[0], self.sources[1], "before", None)
        self.inside = site_mask(None, self.frame.context)
        self.before, self.after = (source.load(self.frame.context) for source in self.sources)
        with warnings.catch_warnings():
            # the labels lie on the grid of the first image and say nothing of it
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(ROOT / "train_labels" / name / "cm" / f"{name}-cm.tif") as file:
                self.labels = file.read(1) == 2

    def measure(self, turns: int) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the name of each way of registering and what the score is worth after it."""
        registration, moved = register(make_pair(self.before, self.after, self.inside), self.sources[1])
        yield OURS, self.score(moved)
        yield NONE, self.score(self.after)
        yield GLOBAL, self.score(self.moved(self.one_shift()))
        start = np.random.default_rng([self.seed, 11]).uniform(0, 2 * np.pi)
        for residual in RESIDUALS_PX:
            every = []
            for angle in start + 2 * np.pi * np.arange(turns) / turns:
                further = residual * np.sin(angle), residual * np.cos(angle)
                centre = tuple(np.add(registration.field.centre_px, further).tolist())
                every.append(self.score(self.moved(replace(registration.field, centre_px=centre))))
            yield f"ours and {residual:g} px", {k: float(np.mean([e[k] for e in every])) for k in MEASURES}

    def one_shift(self) -> DisplacementField:
        """Measure one shift over the whole image, in the red band, to 1/100 px."""
        bands = [np.nan_to_num(image.select(("B04",)).data[0]) for image in (self.before, self.after)]
        row_px, column_px = phase_cross_correlation(*bands, upsample_factor=100)[0]
        return DisplacementField("translation", bands[0].shape, (float(row_px), float(column_px)))

    def moved(self, field: DisplacementField):
        """Read the later image so that its content is moved; each pixel is interpolated once."""
        if field.model == "translation":
            grid = displaced(self.frame.context, *field.centre_px)
            return replace(self.sources[1].load(grid), grid=self.frame.context)
        return self.sources[1].load(self.frame.context, field)

    def score(self, after) -> dict[str, float]:
        """Compare, and hold the score against the labels; what was not judged ranks last."""
        pair = make_pair(self.before, after, self.inside)
        found = compare(pair, self.inside, DetectSettings(), refused=False)
        score = found.flagged.score[self.frame.window]
        ranked = np.where(np.isfinite(score), score, np.nanmin(score) - 1).ravel()
        flagged = found.state[self.frame.window] == State.CHANGED
        return {
            "average_precision": float(average_precision_score(self.labels.ravel(), ranked)),
            "area_under_curve": float(roc_auc_score(self.labels.ravel(), ranked)),
            "precision": float((flagged & self.labels).sum() / max(flagged.sum(), 1)),
            "recall": float((flagged & self.labels).sum() / max(self.labels.sum(), 1)),
        }


if __name__ == "__main__":
    sys.exit(main())
