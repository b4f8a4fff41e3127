"""The E-step's choice among the K candidates of an item, from their rewards (`promptcot.em.rewards`).

best      the arg max (the paper).
resample  one draw k ~ softmax(reward / temperature). With the reward `iw` and temperature 1 the drawn rationale
          follows the posterior p(z|c,x) as K grows, so SFT on it is the E-step of EM in expectation, and any
          trainer can use the rows: importance weighting by resampling instead of weights in the loss.
          Tens of nats between candidates leave one of them with all the weight; a temperature above 1 tempers that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from promptcot.em.bounds import log_sum_exp


def best(rewards_K: Sequence[float]) -> int:
    """Index of the largest reward; the first one on ties, so that the choice is deterministic.

    Raises:
        ValueError: no candidate, or a reward that is not a number.
    """
    if not rewards_K:
        raise ValueError("no candidate to choose from")
    if any(math.isnan(r) for r in rewards_K):
        raise ValueError(f"a reward is NaN: {list(rewards_K)}")
    return max(range(len(rewards_K)), key=lambda i: (rewards_K[i], -i))


def weights(rewards_K: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Self-normalised weights softmax(reward / temperature).

    Raises:
        ValueError: no candidate, a NaN, or a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} is not above 0")
    scaled = [r / temperature for r in rewards_K]
    total = log_sum_exp(scaled)
    if math.isinf(total):
        raise ValueError(f"no candidate has a positive weight: {list(rewards_K)}")
    return [math.exp(v - total) for v in scaled]


def resample(rewards_K: Sequence[float], uniform: float, temperature: float = 1.0) -> int:
    """Index of one draw by `weights`, by inverse CDF at `uniform` in [0, 1)."""
    shares = weights(rewards_K, temperature)
    reached = 0.0
    for i, share in enumerate(shares):
        reached += share
        if uniform < reached:
            return i
    return best(shares)  # rounding left the sum a hair below the uniform


def choose(draw: str, rewards_K: Sequence[float], uniform: float, temperature: float = 1.0) -> int:
    """Index by `draw`: "best", or "resample" at `uniform`. Raises ValueError for another word."""
    if draw == "best":
        return best(rewards_K)
    if draw == "resample":
        return resample(rewards_K, uniform, temperature)
    raise ValueError(f"unknown draw {draw!r}; known: best, resample")


def is_open(rewards_K: Sequence[float], settled: float, temperature: float = 1.0) -> bool:
    """Whether more candidates could matter: the leader holds less than `settled` of the weight.

    Adaptive K draws the second half of the candidates only for such items. It saves tokens and is not exact:
    a further candidate might have beaten a settled leader.
    """
    return max(weights(rewards_K, temperature)) < settled
