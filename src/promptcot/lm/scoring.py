"""Log-probs of named spans from one forward pass.

Dimensions: B sequences of a batch, T padded length, K positions whose logits are needed, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from promptcot.lm.base import SpanScore
from promptcot.lm.decode import right_padded
from promptcot.lm.kv_cache import LEAST_ROWS
from promptcot.lm.layout import Layout

LENGTH_STEP = 16  # sequences are padded to a multiple of this, and only with equals
LOGITS_AT_ONCE = 2**28  # one GiB of float32: bounds B * T * V of a forward pass
COPIED_AT_ONCE = 2**26  # the same for float32 copies on a GPU, where single rows are many small kernels


def score_batch(model: Any, layouts: Sequence[Layout]) -> list[dict[str, SpanScore]]:
    """Scores of every layout, in order, from one forward pass. Model in eval mode, under inference_mode.

    Padding stands on the right, where a causal model's real tokens cannot see it: no mask is needed.
    """
    first, last = min(x.first for x in layouts), max(x.last for x in layouts)
    if first >= last:
        return [_sums(layout, torch.zeros(0), first) for layout in layouts]
    ids_BT = right_padded([x.ids[: x.last] for x in layouts], LENGTH_STEP, model.device)
    # A few more rows than needed at the ends: with fewer than four the sums could round differently.
    start = min(first - 1, ids_BT.shape[1] - LEAST_ROWS)
    kept_K = torch.arange(start, max(last - 1, start + LEAST_ROWS), device=model.device)
    logits_BKV = model(input_ids=ids_BT, use_cache=False, logits_to_keep=kept_K).logits
    wanted = slice(first - 1 - start, last - 1 - start)
    # A few rows at a time, so that the float32 copy stays small next to the logits.
    rows = 1 if model.device.type == "cpu" else max(1, COPIED_AT_ONCE // logits_BKV[0].numel())
    parts = zip(logits_BKV.split(rows), ids_BT.split(rows))
    logps = [token_logps(logits[:, wanted], ids[:, first:last]) for logits, ids in parts]
    logps_BK = torch.cat(logps).double().cpu()
    return [_sums(layout, logp_K, first) for layout, logp_K in zip(layouts, logps_BK)]


def token_logps(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """float32, shaped as `ids` [...]: log-prob of each id under its row of logits [..., V]."""
    logits = logits.float()
    return logits.gather(-1, ids[..., None]).squeeze(-1) - logits.logsumexp(-1)


def _sums(layout: Layout, logp_K: torch.Tensor, first: int) -> dict[str, SpanScore]:
    return {
        name: SpanScore(float(logp_K[start - first : end - first].sum()) if end > start else 0.0, end - start)
        for name, (start, end) in layout.spans.items()
    }
