"""Bounds on log p(x|c) from a few rationales, and how far to trust them.

With z_k ~ r(z) and log w_k = log p(z_k,x|c) - log r(z_k), where r is any proposal:

    ELBO     E[log w]               = E_r[log p(x|z,c)] - KL(r || p(z|c))  =  E_r[log p(z,x|c)] + H(r)
    IWAE_K   E[log (1/K) sum_k w_k]   (arXiv 1509.00519, equation 8)

    ELBO = IWAE_1 <= IWAE_K <= IWAE_{K+1} <= log p(x|c)     (E[w] = p(x|c), and log is concave)

The paper's Eq. 2 writes the bound with KL(q || p(z|c)) *and* log p(z,x|c), which counts log p(z|c) twice; the
forms above are the right ones.

A bound is as tight as its proposal, so comparing iterations by the bound under *their own* q compares proposals as
much as models: a q that collapses loosens it, and one that learns tightens it, with p unchanged. The comparison
here uses one deterministic mixture (arXiv 1511.03095; the "balance heuristic" of rendering): half of the draws from
q[t], half from the cold start q[0], and

    r = (q[t] + q[0]) / 2,    w_k = p(z_k,x|c) / r(z_k)    for the draws of both halves.

(1/K) sum w stays unbiased for p(x|c), so its log stays a bound, and each weight is at most 2 p/q[0]. The cold half
does not depend on q[t], which gives the bound a floor (checked by enumeration in tests/em/test_exact.py):

    any q[t]:                        mixed_K >= ELBO under q[0]          - log 2
    q[t] on one rationale only:      mixed_K >= IWAE_{K/2} under q[0]    - log 2

So against K draws of the cold start (iteration 0), a collapse costs at most log 2 and what half of the draws are
worth, IWAE_K - IWAE_{K/2}. Under its own q there is no floor: on one rationale it is log p(z,x|c) of that one.
Why: for a pair of draws, keep the cold one: E log(p/2r) = ELBO - E log(1 + q[t]/q[0]) >= ELBO - log 2 by Jensen,
and the mean over pairs only raises it. On one rationale z of which the cold half holds a share f, w(z) adds
p(1 + f)/(1 + q[0]) instead of p f/q[0]: a loss of at most log(1 + f/q[0]), at most log 2 in expectation.

Legend: K draws of one item; natural logs; logw is log w.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def log_sum_exp(values: Sequence[float]) -> float:
    """log sum exp, without overflow; -inf where every term is.

    Raises:
        ValueError: no values, or a NaN.
    """
    if not values:
        raise ValueError("a sum over no draws")
    if any(math.isnan(v) for v in values):
        raise ValueError(f"a log weight is NaN: {list(values)}")
    top = max(values)
    if math.isinf(top):
        return top
    return top + math.log(sum(math.exp(v - top) for v in values))


def log_mean_exp(values: Sequence[float]) -> float:
    """log of the mean of exp(values)."""
    return log_sum_exp(values) - math.log(len(values))


def elbo(logw_K: Sequence[float]) -> float:
    """One item's estimate of the ELBO: the mean log weight of draws from q. Raises ValueError without draws."""
    if not logw_K:
        raise ValueError("a mean over no draws")
    return sum(logw_K) / len(logw_K)


def iwae(logw_K: Sequence[float]) -> float:
    """One item's estimate of IWAE_K: log of the mean weight."""
    return log_mean_exp(logw_K)


def iwae_curve(logw_K: Sequence[float], sizes: Sequence[int]) -> dict[int, float]:
    """IWAE_k for smaller k from the same draws: the mean over disjoint groups of k, in order.

    The gap between the last two says how much a larger K would still find. Draws must be exchangeable (one
    proposal). Interleave the halves of a mixture first; then k must be even, or K/2, or else the groups hold more
    draws of one half and their mean is no bound. Raises ValueError for k outside 1..K.
    """
    out = {}
    for k in sizes:
        if not 1 <= k <= len(logw_K):
            raise ValueError(f"IWAE_{k} from {len(logw_K)} draws")
        groups = [logw_K[i : i + k] for i in range(0, len(logw_K) - k + 1, k)]
        out[k] = sum(map(iwae, groups)) / len(groups)
    return out


def ess(logw_K: Sequence[float]) -> float:
    """Effective sample size (sum w)^2 / sum w^2, from 1 (one draw decides) to K (all alike)."""
    return math.exp(2 * log_sum_exp(logw_K) - log_sum_exp([2 * v for v in logw_K]))


def log_mixture(logq_now: float, logq_cold: float) -> float:
    """log of (q[t] + q[0]) / 2 at one rationale, from the log-probs under both."""
    return log_mean_exp([logq_now, logq_cold])


def kl_to_prior(logq_K: Sequence[float], logp_z_K: Sequence[float]) -> float:
    """Estimate of KL(q(z|c,x) || p(z|c)) from draws of q: the mean of log q - log p. Never negative in expectation."""
    return sum(a - b for a, b in zip(logq_K, logp_z_K, strict=True)) / len(logq_K)


def kl_to_posterior(logw_K: Sequence[float]) -> float:
    """Estimate of KL(q || p(z|c,x)) = log p(x|c) - ELBO, with IWAE_K for log p(x|c): too small by the bound's gap."""
    return iwae(logw_K) - elbo(logw_K)
