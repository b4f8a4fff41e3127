"""Means with honest intervals, and comparisons on the same problems.

Two errors belong to every avg@n: the *sampling* error (same problems, new samples) and the *problem* error
(new problems of the same kind). The second is larger on small benchmarks and is the one in the interval.
Array suffixes: N problems, K samples per problem.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Z95 = 1.959963984540054
FEW = 30  # items below which the percentile bootstrap is clearly too narrow
SAME = 6  # so many equal changes are no accident: both signs alike, 2 / 2^6 < 5%


@dataclass(frozen=True)
class Estimate:
    """avg@K over N problems, all as shares in [0, 1].

    ci95: 95% interval of the mean for new problems. sampling_se: None for one sample per problem.
    problem_se: None for one problem.
    """

    mean: float
    ci95: tuple[float, float]
    sampling_se: float | None
    problem_se: float | None
    problems: int
    samples: int


@dataclass(frozen=True)
class Difference:
    """Mean of after minus before over the same problems, with its 95% interval."""

    mean: float
    ci95: tuple[float, float]
    problems: int

    @property
    def clear(self) -> bool:
        """Does the interval exclude zero?"""
        low, high = self.ci95
        return low > 0 or high < 0


def average(marks: Iterable[ArrayLike]) -> Estimate:
    """Mean accuracy over N problems, each with its own number K_i of samples that got a verdict.

    With p_i the share of correct samples of problem i: sampling SE = sqrt(sum p_i(1-p_i)/(K_i-1))/N (None when a
    problem has one sample) and problem SE = sd(p_i, ddof 1)/sqrt(N). The interval is Student's, cut to [0, 1]; where
    every problem has the same p_i that would be a point, so it is Wilson's for N trials instead.

    Raises:
        ValueError: no problems, a problem without samples, or a mark other than 0 and 1.
    """
    rows = [np.asarray(m, dtype=np.float64) for m in marks]
    if not rows or not all(r.ndim == 1 and r.size and np.isin(r, (0.0, 1.0)).all() for r in rows):
        raise ValueError("expected problems with at least one mark of 0 or 1 each")
    p_N, k_N = np.array([r.mean() for r in rows]), np.array([r.size for r in rows])
    mean, problems = float(p_N.mean()), len(rows)
    sampling = math.sqrt(float((p_N * (1 - p_N) / (k_N - 1)).sum())) / problems if k_N.min() > 1 else None
    problem = float(p_N.std(ddof=1)) / math.sqrt(problems) if problems > 1 else None
    interval = _mean_interval(mean, problem, problems)
    return Estimate(mean, interval, sampling, problem, problems, int(k_N.max()))


def _mean_interval(mean: float, se: float | None, problems: int) -> tuple[float, float]:
    if se is None or se < 1e-12:  # thirty times 1/3 have a deviation of 1e-16
        return wilson(mean * problems, problems)
    reach = _student95(problems - 1) * se
    return max(0.0, mean - reach), min(1.0, mean + reach)


def _student95(dof: int) -> float:
    """The 97.5% quantile of Student's t by its expansion in 1/dof (Abramowitz and Stegun 26.7.5).

    Within 0.003 from 5 degrees of freedom on; for fewer, the exact table.
    """
    if dof < 5:
        return (12.706, 4.303, 3.182, 2.776)[dof - 1]
    z = Z95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / dof + second / dof**2 + third / dof**3


def wilson(successes: float, trials: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share; usable at 0 and at all successes.

    Raises:
        ValueError: no trials, or successes outside 0..trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    share, slack = successes / trials, z * z / trials
    centre = (share + slack / 2) / (1 + slack)
    reach = z * math.sqrt(share * (1 - share) / trials + slack / (4 * trials)) / (1 + slack)
    return max(0.0, min(share, centre - reach)), min(
        1.0, max(share, centre + reach)
    )  # at 0 and 1 but for rounding


def pass_one(n: int, c: int, k: int) -> float:
    """Unbiased pass@k of a problem with c right among n samples: 1 - C(n-c, k)/C(n, k) (arXiv 2107.03374, equation 1).

    As a product, which does not overflow.
    """
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def bootstrap_ci(
    values_N: ArrayLike, seed: int, *, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over items.

    Raises:
        ValueError: no values, or a value that is not finite.
    """
    values = np.asarray(values_N, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("expected a non-empty list of finite numbers")
    rng = np.random.default_rng(seed)
    block = max(1, 1_000_000 // values.size)  # resamples at a time, to bound the memory
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    means = [values[rng.integers(0, values.size, (rows, values.size))].mean(axis=1) for rows in sizes]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_ci(values_N: ArrayLike, seed: int, *, shares: bool = False) -> tuple[float, float]:
    """95% interval of the mean over items: the bootstrap's and, below `FEW` items, at least Student's.

    Args:
        shares: The values are in [0, 1]. So is the interval, and where all values are equal it is Wilson's.

    Raises:
        ValueError: as `bootstrap_ci`.
    """
    values = np.asarray(values_N, dtype=np.float64)
    low, high = bootstrap_ci(values, seed)
    mean, spread = float(values.mean()), float(values.std())
    if shares and spread < 1e-12:
        return wilson(min(1.0, max(0.0, mean)) * values.size, values.size)
    if 1 < values.size < FEW:
        reach = _student95(values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
        low, high = min(low, mean - reach), max(high, mean + reach)
    return (max(0.0, low), min(1.0, high)) if shares else (low, high)


def paired_difference(
    before_N: Sequence[float] | ArrayLike,
    after_N: Sequence[float] | ArrayLike,
    seed: int,
    *,
    shares: bool = False,
) -> Difference:
    """Mean change over the same N problems, its interval over problems (`mean_ci`).

    Pairing removes what problems differ in, so it sees changes that two separate intervals hide. A few changes that are all
    equal, such as a single one, have no spread to tell from: their interval reaches to zero and as far beyond the mean. With
    `shares` it is cut to [-1, 1].

    Raises:
        ValueError: different lengths, no problems, or values that are not finite.
    """
    before, after = np.asarray(before_N, dtype=np.float64), np.asarray(after_N, dtype=np.float64)
    if before.shape != after.shape or before.ndim != 1:
        raise ValueError(
            f"before has shape {before.shape}, after {after.shape}; expected one list of problems"
        )
    change_N = after - before
    mean, interval = float(change_N.mean()), mean_ci(change_N, seed)
    if change_N.size < SAME and float(change_N.std()) < 1e-12:
        interval = min(0.0, 2 * mean), max(0.0, 2 * mean)
    if shares:
        interval = max(-1.0, interval[0]), min(1.0, interval[1])
    return Difference(mean, interval, int(change_N.size))


def sampling_interval(
    before: Sequence[ArrayLike], after: Sequence[ArrayLike], seed: int, *, resamples: int = 2000
) -> tuple[float, float]:
    """95% interval of the mean change on these very problems if both were sampled anew.

    Every problem's marks are redrawn with replacement, and the spread is stretched by sqrt(K/(K-1)), as a bootstrap
    of K values is too narrow by that factor. It is no part of `paired_difference`: the resampled problems there
    carry their sampling noise with them.

    Raises:
        ValueError: lists of different lengths, or a problem with fewer than two samples.
    """
    rng = np.random.default_rng(seed)
    change_R = np.zeros(resamples)
    centre = 0.0
    for a, b in zip(before, after, strict=True):
        for marks, sign in ((np.asarray(a, dtype=np.float64), -1.0), (np.asarray(b, dtype=np.float64), 1.0)):
            if marks.size < 2:
                raise ValueError("a problem with fewer than two samples has no sampling error")
            noise_R = rng.binomial(marks.size, marks.mean(), resamples) / marks.size - marks.mean()
            change_R += sign * noise_R * math.sqrt(marks.size / (marks.size - 1))
            centre += sign * float(marks.mean())
    low, high = np.quantile(change_R + centre, [0.025, 0.975]) / len(before)
    return float(low), float(high)
