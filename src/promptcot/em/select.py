"""The E-step's choice among K candidates (PAPER section 1; DESIGN: select and draw).

Legend: one list per item over its K candidates; all values are natural-log sums.
"""

from __future__ import annotations

from collections.abc import Sequence


def joint(logp_x: float, logp_z: float) -> float:
    """R(c, x, z) = log p(x|z,c) + log p(z|c): the paper's Eq. 5, a raw sum over tokens (arXiv 2509.19894)."""
    return logp_x + logp_z


def best(rewards: Sequence[float]) -> int:
    """Index of the largest reward; the first one on ties, so that the choice is deterministic.

    Raises:
        ValueError: no candidate, or a reward that is not a number.
    """
    if not rewards:
        raise ValueError("no candidate to choose from")
    if any(r != r for r in rewards):
        raise ValueError(f"a reward is NaN: {list(rewards)}")
    return max(range(len(rewards)), key=lambda i: (rewards[i], -i))
