"""The E-step's reward of a candidate rationale, four ways (arXiv 2509.19894, section 2).

The posterior over rationales is q*(z|c,x) = p(z,x|c) / p(x|c), and with candidates z_1..z_K drawn from
q(z|c,x) it is represented by the weights  w_k = p(z_k,x|c) / q(z_k|c,x):  E_q[w] = p(x|c), and w_k / sum w
estimates the posterior (self-normalised importance sampling). Against that yardstick:

joint   log p(x|z,c) + log p(z|c)               Eq. 5, the paper's; log w without its denominator: the log posterior
                                                up to log p(x|c), a constant of the item, so its best is the mode.
                                                A raw sum over tokens: it prefers short rationales that p finds
                                                common anyway.
iw      log p(z,x|c) - log q(z|c,x) = log w     how much more the posterior wants z than q gives it, up to the same
                                                constant. Drawing by it is the E-step of EM; q's update is then
                                                reweighted wake-sleep's wake-phase one (arXiv 1406.2751).
mean    joint / (tokens of z and x)             length no longer counts; neither does evidence.
gain    log p(x|z,c) - log p(x|c)               pointwise mutual information of z and x. log p(x|c) is one number per
                                                item, so it moves no choice; it is estimated by log mean w.

All values are natural logs. A function of one candidate takes numbers, one of an item takes a list over its K.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptcot.em.bounds import log_mean_exp


@dataclass(frozen=True)
class Scored:
    """What is known of a candidate: log q(z|c,x) from sampling, log p(z|c) and log p(x|z,c) from one pass of p."""

    logq: float
    logp_z: float
    logp_x: float
    z_tokens: int
    x_tokens: int


def joint(logp_x: float, logp_z: float) -> float:
    """R(c, x, z) = log p(x|z,c) + log p(z|c): Eq. 5, a raw sum over tokens."""
    return logp_x + logp_z


def log_weight(logp_x: float, logp_z: float, logq: float) -> float:
    """log w = log p(z,x|c) - log q(z|c,x): the importance weight of a draw from q under the posterior."""
    return logp_x + logp_z - logq


def per_token(logp_x: float, logp_z: float, tokens: int) -> float:
    """Eq. 5 divided by the tokens of z and x.

    Raises:
        ValueError: no tokens.
    """
    if tokens < 1:
        raise ValueError(f"a mean over {tokens} tokens")
    return (logp_x + logp_z) / tokens


def gain(logp_x: float, logp_x_alone: float) -> float:
    """log p(x|z,c) - log p(x|c): what knowing z tells about x."""
    return logp_x - logp_x_alone


def _joint(rows: Sequence[Scored]) -> list[float]:
    return [joint(r.logp_x, r.logp_z) for r in rows]


def _iw(rows: Sequence[Scored]) -> list[float]:
    return [log_weight(r.logp_x, r.logp_z, r.logq) for r in rows]


def _mean(rows: Sequence[Scored]) -> list[float]:
    return [per_token(r.logp_x, r.logp_z, r.z_tokens + r.x_tokens) for r in rows]


def _gain(rows: Sequence[Scored]) -> list[float]:
    alone = log_mean_exp(_iw(rows))
    return [gain(r.logp_x, alone) for r in rows]


RULES: dict[str, Callable[[Sequence[Scored]], list[float]]] = {
    "joint": _joint, "iw": _iw, "mean": _mean, "gain": _gain,
}  # fmt: skip


def rewards(rule: str, rows: Sequence[Scored]) -> list[float]:
    """The reward of each of an item's candidates under `rule`.

    Raises:
        ValueError: no candidate, or an unknown rule.
    """
    if not rows:
        raise ValueError("no candidate to reward")
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; known: {', '.join(RULES)}")
    return RULES[rule](rows)
