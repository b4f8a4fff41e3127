"""Log-probs of named spans; a context that several sequences begin with goes through the model once.

The candidates of a problem share what stands before their first scored token, a third of p's tokens and two
thirds of q's. So that token is where every sequence is cut: the head, which is context, is run once into a
key/value cache, and the tail attends to it. Each is padded by its own length alone, and a head shared by one
sequence is cut like one shared by eight: company changes no bit of a score on a CPU. A model that does not
keep all keys and values (sliding windows, linear attention) gets empty heads and reads whole sequences.

Dimensions: B sequences of a batch, U distinct heads, H padded length of heads, T of tails, K positions whose
logits are needed, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from promptcot.lm.base import SpanScore
from promptcot.lm.batching import scoring_batches
from promptcot.lm.decode import right_padded
from promptcot.lm.kv_cache import LEAST_ROWS, keeps_all
from promptcot.lm.layout import Layout

LENGTH_STEP = 16  # heads and tails are padded to a multiple of this, and only with equals
LOGITS_AT_ONCE = 2**28  # one GiB of float32: bounds B * T * V of a forward pass
COPIED_AT_ONCE = 2**26  # the same for float32 copies on a GPU, where single rows are many small kernels


@dataclass(frozen=True)
class _Row:
    """A sequence cut in two: the head is context, the tail ends with the last scored token."""

    layout: Layout
    cut: int

    @property
    def head(self) -> tuple[int, ...]:
        return self.layout.ids[: self.cut]

    @property
    def tail(self) -> tuple[int, ...]:
        return self.layout.ids[self.cut : self.layout.last]


def score_all(model: Any, layouts: Sequence[Layout], batch_tokens: int) -> list[dict[str, SpanScore]]:
    """Scores of every layout, in order. Model in eval mode, under inference_mode.

    Args:
        model: Causal language model.
        layouts: What to score.
        batch_tokens: Padded tokens in one pass at most, of heads and of tails.
    """
    scores = [{name: SpanScore(0.0, 0) for name in x.spans} for x in layouts]
    cut = keeps_all(model)
    rows = {i: _Row(x, x.first - 1 if cut else 0) for i, x in enumerate(layouts) if x.first < x.last}
    sharers: dict[tuple[int, ...], list[int]] = {}
    for i, row in rows.items():
        sharers.setdefault(row.head, []).append(i)
    heads = list(sharers)
    for some in scoring_batches([len(head) for head in heads], batch_tokens, LENGTH_STEP):
        known = _Heads(model, [heads[u] for u in some])
        members = [i for u in some for i in sharers[heads[u]]]
        for batch in scoring_batches([len(rows[i].tail) for i in members], batch_tokens, LENGTH_STEP):
            places = [members[b] for b in batch]
            for i, found in zip(places, _score_batch(model, [rows[i] for i in places], known)):
                scores[i] = found
    return scores


class _Heads:
    """Keys and values of distinct heads, whose lengths are one when rounded up to LENGTH_STEP."""

    def __init__(self, model: Any, heads: Sequence[tuple[int, ...]]) -> None:
        self.model = model
        self.place = {head: u for u, head in enumerate(heads)}
        self.cache: Any = None
        if heads[0]:
            self.cache = DynamicCache(config=model.config)
            ids_UH = right_padded(heads, LENGTH_STEP, model.device)
            model.base_model(input_ids=ids_UH, past_key_values=self.cache, use_cache=True)

    def before(self, rows: Sequence[_Row], tail: int) -> dict[str, Any]:
        """What a pass over the tails of `rows`, padded to `tail` tokens, needs to know of their heads."""
        if self.cache is None:
            return {"use_cache": False}  # padding stands on the right, where no real token sees it: no mask
        device = self.model.device
        places_B = torch.tensor([self.place[row.head] for row in rows], device=device)
        lengths_B = torch.tensor([row.cut for row in rows], device=device)
        cache = DynamicCache(config=self.model.config)
        for i, layer in enumerate(self.cache.layers):
            cache.update(layer.keys[places_B], layer.values[places_B], i)
        return {
            "past_key_values": cache,
            "use_cache": True,
            "position_ids": lengths_B[:, None] + torch.arange(tail, device=device),
            "attention_mask": _mask(lengths_B, cache.get_seq_length(), tail, self.model.dtype),
        }


def _mask(lengths_B: torch.Tensor, head: int, tail: int, dtype: torch.dtype) -> torch.Tensor:
    """[B, 1, T, H + T] to add to the attention scores: hides a head's padding, and in the tail what comes later."""
    device = lengths_B.device
    padding_BTH = (torch.arange(head, device=device) >= lengths_B[:, None])[:, None].expand(-1, tail, -1)
    later_TT = torch.ones(tail, tail, dtype=torch.bool, device=device).triu(1)
    hidden = torch.cat([padding_BTH, later_TT.expand(len(lengths_B), -1, -1)], dim=-1)
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill(hidden, torch.finfo(dtype).min)[
        :, None
    ]


def _score_batch(model: Any, rows: Sequence[_Row], heads: _Heads) -> list[dict[str, SpanScore]]:
    """Scores of every row, in order, from one pass over their tails."""
    # In the tail's own counting: scored tokens lie from `first` to `last`.
    first, last = min(x.layout.first - x.cut for x in rows), max(len(x.tail) for x in rows)
    ids_BT = right_padded([x.tail for x in rows], LENGTH_STEP, model.device)
    # A few more rows than needed at the ends: with fewer than four the sums could round differently.
    start = min(first - 1, ids_BT.shape[1] - LEAST_ROWS)
    kept_K = torch.arange(start, max(last - 1, start + LEAST_ROWS), device=model.device)
    logits_BKV = model(input_ids=ids_BT, logits_to_keep=kept_K, **heads.before(rows, ids_BT.shape[1])).logits
    wanted = slice(first - 1 - start, last - 1 - start)
    # A few rows at a time, so that the float32 copy stays small next to the logits.
    at_once = 1 if model.device.type == "cpu" else max(1, COPIED_AT_ONCE // logits_BKV[0].numel())
    parts = zip(logits_BKV.split(at_once), ids_BT.split(at_once))
    logps_BK = torch.cat([token_logps(logits[:, wanted], ids[:, first:last]) for logits, ids in parts])
    return [_sums(row, logp_K, first) for row, logp_K in zip(rows, logps_BK.double().cpu())]


def token_logps(logits: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """float32, shaped as `ids` [...]: log-prob of each id under its row of logits [..., V]."""
    logits = logits.float()
    return logits.gather(-1, ids[..., None]).squeeze(-1) - logits.logsumexp(-1)


def _sums(row: _Row, logp_K: torch.Tensor, first: int) -> dict[str, SpanScore]:
    offset = row.cut + first
    return {
        name: SpanScore(
            float(logp_K[start - offset : end - offset].sum()) if end > start else 0.0, end - start
        )
        for name, (start, end) in row.layout.spans.items()
    }
