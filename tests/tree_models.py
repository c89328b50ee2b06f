"""Small models for tests, trained on what a result flagged: they remember it, and that is all."""

from types import MappingProxyType

import numpy as np

from changedet.bands import change_weights
from changedet.core.change_features import change_features, fingerprint
from changedet.models.growing import grow_trees
from changedet.models.trained import TrainedModel
from changedet.models.training import TrainingSettings

PROVENANCE = {
    "sites": [{"site": "Pier", "inputs": {"truth": {"pier.tif": "0" * 64}}}, {"site": "Hall"}],
    "cross_validation": {"pooled": {"f1": 0.512}},
}
SENTENCE = (
    "The score is that of a model trained on 2 labelled site(s) (Pier, Hall); at sites it had not seen its "
    "F1 was 0.51, all pixels together. It finds what is like its labels."
)


def model_of(before, after, valid, changed, bands, *, provenance=PROVENANCE):
    """Train a few trees on a pair and the pixels that count as changed in it."""
    weights = change_weights(bands)
    images = np.nan_to_num(before), np.nan_to_num(after)
    features, labels = change_features(*images, valid, bands, weights)[:, valid], changed[valid]
    taken = labels | (np.arange(labels.size) % max(1, labels.size // 5000) == 0)
    samples = [(features[:, taken], labels[taken])]
    trees = grow_trees(samples, TrainingSettings(rounds=10, smallest_leaf=10))
    grow, seed = (value - trees.floor for value in (0.0, 1.0))
    return TrainedModel(
        trees, bands, weights, (1.0,), seed, grow, fingerprint(bands, weights), MappingProxyType(provenance)
    )
