"""How far apart data sets are: cosine distances of their mean sentence embeddings, with intervals, and a map.

The paper's measure (its MDS figure): e_x is the normalised all-MiniLM-L6-v2 embedding of a problem, E_D the mean over
the problems of data set D, d(A, B) = 1 - cos(E_A, E_B). The paper does not say which MDS; here it is metric SMACOF on
these distances. Means of one domain lie close together, so a map in two dimensions magnifies small differences: the
distances and their intervals are the result, the map only shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptcot.analysis.mds import Matrix, aligned, smacof

RESAMPLES = 400


def cosine_distances(means_ND: Matrix) -> Matrix:
    """1 - cos between every two of N vectors of D numbers."""
    unit = means_ND / np.linalg.norm(means_ND, axis=1, keepdims=True)
    distance = np.clip(1.0 - unit @ unit.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    return np.asarray((distance + distance.T) / 2)


def summary(vectors: Mapping[str, NDArray[Any]], seed: int, *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Distances, points on the map with the radius that holds 95% of their resamples, and stress-1.

    `distance` is the paper's. Noise in the means can only add to it: two samples of one population are some way apart.
    `corrected` takes off what resampling the texts of each set adds (2d - mean of the resampled, cut at 0), and `ci95`,
    the basic bootstrap interval (2d - quantile), goes with it. Sets that share texts vary together, so for them the
    intervals are too wide rather than too narrow.

    Args:
        vectors: By data set, its embeddings (texts x dimensions).

    Raises:
        ValueError: fewer than two data sets, or an empty one.
    """
    names = list(vectors)
    if len(names) < 2 or any(len(v) == 0 for v in vectors.values()):
        raise ValueError(
            f"expected at least two data sets with texts, got { {n: len(v) for n, v in vectors.items()} }"
        )
    means = np.array([vectors[n].mean(axis=0) for n in names], dtype=np.float64)
    distance_NN = cosine_distances(means)
    points, stress = smacof(distance_NN)
    rng = np.random.default_rng(seed)
    drawn_RNN, moved_RN = np.empty((resamples, *distance_NN.shape)), np.empty((resamples, len(names)))
    for r in range(resamples):
        again = np.array([_resampled_mean(vectors[n], rng) for n in names])
        drawn_RNN[r] = cosine_distances(again)
        where, _ = smacof(drawn_RNN[r], eps=1e-6, max_steps=100)
        moved_RN[r] = np.linalg.norm(aligned(where, points) - points, axis=1)
    radius_N = np.quantile(moved_RN, 0.95, axis=0)
    return {
        "sets": [
            {"set": n, "texts": len(vectors[n]), "x": float(x), "y": float(y), "radius95": float(radius)}
            for n, (x, y), radius in zip(names, points, radius_N, strict=True)
        ],
        "distances": [
            {"a": names[i], "b": names[j], "distance": float(distance_NN[i, j]),
             **_basic(float(distance_NN[i, j]), drawn_RNN[:, i, j])}
            for i, j in combinations(range(len(names)), 2)
        ],
        "stress": stress,
    }  # fmt: skip


def _resampled_mean(vectors: NDArray[Any], rng: np.random.Generator) -> Matrix:
    """The mean of as many texts drawn with replacement, by their counts (a matrix product instead of a copy)."""
    count = np.bincount(rng.integers(0, len(vectors), len(vectors)), minlength=len(vectors))
    return np.asarray(count @ vectors / len(vectors), dtype=np.float64)


def _basic(value: float, drawn_R: Matrix) -> dict[str, Any]:
    low, middle, high = (
        max(0.0, 2 * value - float(d))
        for d in (*np.quantile(drawn_R, [0.975]), drawn_R.mean(), *np.quantile(drawn_R, [0.025]))
    )
    return {"corrected": middle, "ci95": [low, high]}
