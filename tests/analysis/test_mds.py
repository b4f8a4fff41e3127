"""Metric scaling: exact distances come back, the map does not depend on how it was turned, and noise is not distance."""

from __future__ import annotations

import numpy as np
import pytest

from promptcot.analysis.distribution import cosine_distances, summary
from promptcot.analysis.mds import Matrix, aligned, smacof, torgerson


def between(points: Matrix) -> Matrix:
    return np.asarray(np.linalg.norm(points[:, None] - points[None], axis=-1))


def test_distances_of_points_in_the_plane_are_reproduced() -> None:
    points = np.array([[0, 0], [3, 0], [0, 4], [5, 5]], dtype=float)
    found, stress = smacof(between(points))
    assert between(found) == pytest.approx(between(points))
    assert stress == pytest.approx(0.0, abs=1e-6)


def test_a_map_is_centred_on_its_principal_axes_and_the_same_for_any_rotation() -> None:
    points = np.array([[4.0, 1], [-3, 0], [0, 2], [1, -3]])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    one, other = smacof(between(points))[0], smacof(between(points @ turn + 7))[0]
    assert one == pytest.approx(other)
    assert one.mean(axis=0) == pytest.approx([0, 0])
    assert one[:, 0].var() > one[:, 1].var()
    assert (one[0] >= 0).all()
    assert one.T @ one == pytest.approx(np.diag(np.diag(one.T @ one)))


def test_smacof_never_has_more_stress_than_where_it_starts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        distance = rng.random((6, 6)) + 0.2
        distance = (distance + distance.T) * (1 - np.eye(6))
        start = torgerson(distance)
        found, stress = smacof(distance)
        assert ((distance - between(found)) ** 2).sum() <= ((distance - between(start)) ** 2).sum() + 1e-9
        # Kruskal's stress-1, by its definition.
        assert stress**2 == pytest.approx(
            ((distance - between(found)) ** 2).sum() / (between(found) ** 2).sum()
        )


def test_an_equilateral_tetrahedron_cannot_lie_in_a_plane() -> None:
    _, stress = smacof(1.0 - np.eye(4))
    assert stress > 0.05  # six equal distances need three dimensions
    assert smacof(np.zeros((3, 3)))[1] == 0.0


@pytest.mark.parametrize(
    "bad", [[[0, 1], [2, 0]], [[1, 1], [1, 0]], [[0, np.nan], [np.nan, 0]], [[0, -1], [-1, 0]], [[0, 1]]]
)
def test_what_is_no_distance_matrix_is_refused(bad: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="symmetric"):
        smacof(np.array(bad, dtype=float))


def test_procrustes_undoes_a_rotation_a_mirror_and_a_shift() -> None:
    points = np.array([[0, 0], [3, 0], [0, 4.0]])
    moved = points @ np.array([[0.0, 1], [1, 0]]) + [5, -2]
    assert aligned(moved, points) == pytest.approx(points)


def test_cosine_distances_by_hand() -> None:
    found = cosine_distances(np.array([[1.0, 0], [0, 2], [3, 3]]))
    assert found == pytest.approx(
        np.array([[0, 1, 1 - 0.5**0.5], [1, 0, 1 - 0.5**0.5], [1 - 0.5**0.5] * 2 + [0]])
    )


def texts(rng: np.random.Generator, n: int, shift: float) -> Matrix:
    vectors = rng.normal(size=(n, 16))
    vectors[:, 0] += 3
    vectors[:, 1] += shift
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_two_samples_of_one_population_are_no_distance_apart_and_others_are() -> None:
    rng = np.random.default_rng(0)
    zero = 0
    for rep in range(12):
        a, b, c = texts(rng, 60, 0.0), texts(rng, 60, 0.0), texts(rng, 60, 2.0)
        found = {
            (d["a"], d["b"]): d for d in summary({"a": a, "b": b, "c": c}, rep, resamples=60)["distances"]
        }
        same, other = found["a", "b"], found["a", "c"]
        assert same["ci95"][0] <= same["corrected"] <= same["ci95"][1]
        assert same["distance"] > same["corrected"]  # noise only adds
        zero += same["ci95"][0] <= 0.002
        assert other["ci95"][0] > 0.01
    assert zero >= 10


def test_a_larger_sample_stands_more_firmly_on_the_map() -> None:
    rng = np.random.default_rng(1)
    sets = {"small": texts(rng, 20, 0.0), "large": texts(rng, 2000, 2.0), "other": texts(rng, 500, -2.0)}
    found = {row["set"]: row for row in summary(sets, 1, resamples=80)["sets"]}
    assert found["small"]["radius95"] > 1.5 * found["large"]["radius95"] > 0
    assert [row["texts"] for row in found.values()] == [20, 2000, 500]


def test_one_set_or_an_empty_one_has_no_map() -> None:
    rng = np.random.default_rng(0)
    for sets in ({"a": texts(rng, 3, 0)}, {"a": texts(rng, 3, 0), "b": np.zeros((0, 16))}):
        with pytest.raises(ValueError, match="at least two"):
            summary(sets, 1)
