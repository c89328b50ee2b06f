"""Pairs of which most stayed as it was: the ground on which alteration detection is right."""

import numpy as np

PATCH = np.s_[6:12, 8:15]


def altered(seed=0, bands=4, size=40, noise=0.01, change=0.15):
    """Before, an after image in other light and other bands, and a patch that changed; all usable."""
    rng = np.random.default_rng(seed)
    cover = rng.standard_normal((3, size, size))
    before = np.tensordot(rng.uniform(-0.03, 0.05, (bands, 3)), cover, 1)
    before += rng.normal(0, 0.02, before.shape)
    mixing = 0.8 * np.eye(bands) + rng.uniform(-0.2, 0.2, (bands, bands))
    after = 0.3 + np.tensordot(mixing, before, 1) + rng.normal(0, noise, before.shape)
    after[(slice(None), *PATCH)] += rng.choice((-change, change), bands)[:, None, None]
    return (0.25 + before).astype(np.float32), after.astype(np.float32), np.ones((size, size), bool)
