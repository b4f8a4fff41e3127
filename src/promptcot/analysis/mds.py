"""Metric multidimensional scaling: points in the plane whose distances are as close as possible to given ones.

SMACOF (de Leeuw 1977; Borg and Groenen, Modern Multidimensional Scaling, chapter 8) from Torgerson's classical solution,
so that the same distances always give the same map. Array suffixes: N points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def smacof(distance_NN: Matrix, *, eps: float = 1e-9, max_steps: int = 2000) -> tuple[Matrix, float]:
    """Points (N x 2) and Kruskal's stress-1, sqrt(sum (d - |x - y|)^2 / sum |x - y|^2) over all pairs.

    Stops when a step lowers the stress by less than `eps` of itself. The map is turned to its principal axes with the
    first point right of and above the centre: a rotation or a mirror image would say the same.

    Raises:
        ValueError: not a symmetric matrix of finite distances with a zero diagonal.
    """
    _check(distance_NN)
    points, last = torgerson(distance_NN), np.inf
    for _ in range(max_steps):
        raw = _raw_stress(distance_NN, points)
        if last - raw <= eps * max(raw, 1e-300):
            break
        points, last = _guttman(distance_NN, points), raw
    points = _oriented(points)
    scale = float((_distances(points) ** 2).sum() / 2)
    return points, float(np.sqrt(_raw_stress(distance_NN, points) / scale)) if scale else 0.0


def torgerson(distance_NN: Matrix) -> Matrix:
    """Classical scaling to two dimensions: the leading eigenvectors of the doubly centred squared distances."""
    n = len(distance_NN)
    centring = np.eye(n) - 1.0 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ (distance_NN**2) @ centring)
    order = np.argsort(values)[::-1][:2]
    plane = vectors[:, order] * np.sqrt(np.maximum(values[order], 0.0))
    return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))


def aligned(points_N2: Matrix, target_N2: Matrix) -> Matrix:
    """The points moved, turned and mirrored onto the target as well as possible (orthogonal Procrustes), not scaled."""
    centre = points_N2.mean(axis=0)
    goal = target_N2.mean(axis=0)
    left, _, right = np.linalg.svd((points_N2 - centre).T @ (target_N2 - goal))
    return np.asarray((points_N2 - centre) @ (left @ right) + goal)


def _guttman(distance_NN: Matrix, points: Matrix) -> Matrix:
    """The minimum of the function that lies above the stress and touches it at `points`."""
    between = _distances(points)
    ratio = np.divide(distance_NN, between, out=np.zeros_like(between), where=between > 0)
    weights = np.diag(ratio.sum(axis=1)) - ratio
    return np.asarray(weights @ points / len(points))


def _raw_stress(distance_NN: Matrix, points: Matrix) -> float:
    return float(((distance_NN - _distances(points)) ** 2).sum() / 2)


def _distances(points: Matrix) -> Matrix:
    return np.asarray(np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)))


def _oriented(points: Matrix) -> Matrix:
    points = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(points, full_matrices=False)
    turned = points @ axes.T
    return np.asarray(turned * np.where(turned[0] < 0, -1.0, 1.0))


def _check(distance_NN: Matrix) -> None:
    d = distance_NN
    fine = d.ndim == 2 and d.shape[0] == d.shape[1] and len(d) > 0 and np.isfinite(d).all()
    if not fine or not np.allclose(d, d.T) or np.diag(d).any() or (d < 0).any():
        raise ValueError(
            f"expected a symmetric matrix of distances with a zero diagonal, got shape {d.shape}"
        )
