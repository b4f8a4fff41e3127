"""Log-probs of named spans from one forward pass.

Dimensions: B sequences of a batch, T padded length, K positions whose logits are needed, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from promptcot.lm.base import SpanScore
from promptcot.lm.layout import Layout

LOGITS_AT_ONCE = 2**28  # one GiB of float32: bounds B * T * V of a forward pass


def score_batch(model: Any, layouts: Sequence[Layout]) -> list[dict[str, SpanScore]]:
    """Scores of every layout, in order, from one forward pass. Model in eval mode, under inference_mode.

    Padding stands on the right, where a causal model's real tokens cannot see it: no mask is needed.
    """
    first, last = min(x.first for x in layouts), max(x.last for x in layouts)
    if first >= last:
        return [_sums(layout, torch.zeros(0), first) for layout in layouts]
    ids_BT = _right_padded([x.ids[:last] for x in layouts], model.device)
    wanted_K = torch.arange(first - 1, last - 1, device=model.device)
    logits_BKV = model(input_ids=ids_BT, use_cache=False, logits_to_keep=wanted_K).logits
    targets_BK = ids_BT[:, first:last]
    # Row by row, so that the float32 copy stays small next to the logits.
    logps = [token_logps(logits, ids) for logits, ids in zip(logits_BKV, targets_BK)]
    logps_BK = torch.stack(logps).double().cpu()
    return [_sums(layout, logp_K, first) for layout, logp_K in zip(layouts, logps_BK)]


def token_logps(logits_KV: torch.Tensor, ids_K: torch.Tensor) -> torch.Tensor:
    """float32 [K]: log-prob of each id under its row of logits."""
    logits_KV = logits_KV.float()
    return logits_KV.gather(-1, ids_K[:, None]).squeeze(-1) - logits_KV.logsumexp(-1)


def _sums(layout: Layout, logp_K: torch.Tensor, first: int) -> dict[str, SpanScore]:
    return {
        name: SpanScore(float(logp_K[start - first : end - first].sum()) if end > start else 0.0, end - start)
        for name, (start, end) in layout.spans.items()
    }


def _right_padded(rows: Sequence[tuple[int, ...]], device: Any) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + (0,) * (longest - len(row)) for row in rows], device=device)
