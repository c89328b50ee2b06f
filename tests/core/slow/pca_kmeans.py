"""Principal components and two means of windows, one pixel at a time in float64, from the paper's steps."""

import numpy as np


def window(image, row, column, side, average):
    """The window whose pixel number side // 2 lies on the pixel; the average where there is none."""
    found = []
    for i in range(side):
        for j in range(side):
            r, c = row + i - side // 2, column + j - side // 2
            inside = 0 <= r < image.shape[0] and 0 <= c < image.shape[1] and np.isfinite(image[r, c])
            found.append(image[r, c] if inside else average[i * side + j])
    return np.array(found)


def changed(difference, side, components):
    """True where the window belongs to the cluster with the greater mean difference."""
    blocks = []
    for r in range(0, difference.shape[0] - side + 1, side):
        for c in range(0, difference.shape[1] - side + 1, side):
            block = difference[r : r + side, c : c + side].astype(float).ravel()
            if np.isfinite(block).all():
                blocks.append(block)
    average = np.mean(blocks, axis=0)
    variances, vectors = np.linalg.eig(np.atleast_2d(np.cov(np.array(blocks).T)))
    strongest = np.real(vectors[:, np.argsort(-np.real(variances))[:components]])
    places = list(zip(*np.nonzero(np.isfinite(difference)), strict=True))
    features = {p: strongest.T @ (window(difference, *p, side, average) - average) for p in places}
    mean = np.mean([difference[p] for p in places])
    label = {p: int(difference[p] > mean) for p in places}
    for _ in range(100):
        centres = [np.mean([features[p] for p in places if label[p] == k], axis=0) for k in (0, 1)]
        now = {
            p: int(np.sum((features[p] - centres[1]) ** 2) < np.sum((features[p] - centres[0]) ** 2))
            for p in places
        }
        if now == label:
            break
        label = now
    means = [np.mean([difference[p] for p in places if label[p] == k]) for k in (0, 1)]
    out = np.zeros(difference.shape, bool)
    for p in places:
        out[p] = label[p] == int(means[1] >= means[0])
    return out
