"""The Codeforces rating of a model by DeepCoder's protocol (the paper's), from snapshots of contest standings.

Every contest gives one rating: the one at which a human would be expected to take the model's place. The model's
score counts the attempt that first solved a problem and no time, whereas humans lose points by the minute; and the
408 problems come with their sample tests only. Both bias it upward: it is an "Elo on sample tests".
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from promptcot.analysis.statistics import bootstrap_ci
from promptcot.errors import UserError
from promptcot.evals.standings import Contest

ATTEMPT_POINTS = 50
ATTEMPT_PENALTY = 10
# Sizes of the two tables in use, which give different percentiles for the same rating.
TABLES = {89_352: "DeepCoder's ratings_2024", 717_421: "CodeElo's sorted_ratings"}


@dataclass(frozen=True)
class Ratings:
    """Human ratings, sorted, and what the table is called."""

    name: str
    values: Sequence[float]

    def percentile(self, rating: float) -> float:
        """Share of the table below `rating`, in percent, to one decimal."""
        return round(bisect_left(self.values, float(rating)) / len(self.values) * 100, 1)


@dataclass(frozen=True)
class Elo:
    """rating: unweighted mean over contests. se, ci95: bootstrap over contests (None, None for fewer than two).

    contests: rating in each. of: how many contests the problems come from. skipped: contest -> why it has no rating.
    """

    rating: float
    percentile: float | None
    table: str | None
    se: float | None
    ci95: tuple[float, float] | None
    contests: dict[int, int]
    of: int
    skipped: dict[int, str]


def read_ratings(path: str | Path) -> Ratings:
    """A table of human ratings: a JSON object {rating: users}, or a JSON list of ratings.

    Raises:
        UserError: it is neither.
    """
    try:
        data = json.loads(Path(path).read_bytes())
        counts = data.items() if isinstance(data, dict) else ((r, 1) for r in data)
        values = sorted(float(r) for r, users in counts for _ in range(int(users)))
    except (OSError, ValueError, TypeError) as e:
        raise UserError(
            f"cannot read the ratings in '{path}': {e}", expected='{"1500": 12, ...} or [1500, ...]'
        ) from None
    if not values:
        raise UserError(f"'{path}' holds no ratings")
    return Ratings(TABLES.get(len(values), f"{Path(path).name} ({len(values):,} users)"), values)


def contest_rating(
    contest: Contest, solved: Mapping[str, Sequence[bool]], attempts: int | None = None
) -> int:
    """The rating in one contest: step by step the protocol's integer bisection, which fixes the last digit.

    Args:
        solved: Problem ("1971A") -> whether each attempt solved it, in the order they were made.
        attempts: Only the first that many count.
    """
    score, penalty = contest_score(contest, solved, attempts)
    rank = contest.rank(score, penalty)
    old_N = np.asarray(contest.old_ratings, dtype=np.float64)
    low, high = 0, int(old_N.max()) + 100
    while high - low > 1:
        middle = (low + high) // 2
        seed = 1.0 + float((1.0 / (1.0 + 10.0 ** ((middle - old_N) / 400.0))).sum())
        if seed < rank:
            high = middle
        else:
            low = middle
    return low


def contest_score(
    contest: Contest, solved: Mapping[str, Sequence[bool]], attempts: int | None = None
) -> tuple[float, float]:
    """(points, penalty): full points less 50 for every attempt before the first that solves a problem, or, in
    contests without points, 1 point and a penalty of 10 for each."""
    score = penalty = 0.0
    for problem, points in contest.problems:
        marks = list(solved.get(problem, ()))[:attempts]
        if True not in marks:
            continue
        failed = marks.index(True)
        if points is None:
            score += 1
            penalty += ATTEMPT_PENALTY * failed
        else:
            score += max(0.0, points - ATTEMPT_POINTS * failed)
    return score, penalty


def estimate(
    solved: Mapping[str, Sequence[bool]],
    contests: Mapping[int, Contest | str],
    ratings: Ratings | None,
    attempts: int | None = None,
    seed: int = 0,
) -> Elo:
    """The rating over all contests.

    Args:
        solved: As for `contest_rating`.
        contests: Every contest the problems come from; a text says why one cannot be used.
        ratings: For the percentile.
        seed: Of the bootstrap.

    Raises:
        UserError: no contest can be used.
    """
    found = {n: contest_rating(c, solved, attempts) for n, c in contests.items() if not isinstance(c, str)}
    skipped = {n: why for n, why in contests.items() if isinstance(why, str)}
    if not found:
        raise UserError(f"no contest can be used: {skipped}")
    values = np.asarray(list(found.values()), dtype=np.float64)
    mean = float(values.mean())
    many = len(found) > 1
    return Elo(
        rating=mean, percentile=ratings.percentile(mean) if ratings else None,
        table=ratings.name if ratings else None, se=_bootstrap_se(values, seed) if many else None,
        ci95=bootstrap_ci(values, seed) if many else None, contests=found, of=len(contests), skipped=skipped,
    )  # fmt: skip


def _bootstrap_se(values: Any, seed: int, resamples: int = 2000) -> float:
    rng = np.random.default_rng(seed)
    return float(values[rng.integers(0, values.size, (resamples, values.size))].mean(axis=1).std(ddof=1))


def by_contest(problems: Sequence[str]) -> dict[int, list[str]]:
    """The problems of each contest: "1971A" belongs to 1971.

    Raises:
        UserError: a name without a number in front.
    """
    out: dict[int, list[str]] = defaultdict(list)
    for name in problems:
        number = name[: len(name) - len(name.lstrip("0123456789"))]
        if not number or number == name:
            raise UserError(
                f"the problem {name!r} has no contest",
                expected="names such as 1971A: contest and index",
                do="--ids FILE (a JSON list of names in the order of the evaluation file)",
            )
        out[int(number)].append(name)
    return dict(sorted(out.items()))
