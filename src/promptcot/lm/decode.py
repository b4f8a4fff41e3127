"""The decoding loop: many samples in one batch, each with its own random stream.

Written instead of `generate()` because the E-step needs three things it does not give together: the
log-probability at T=1 of exactly what was drawn, whatever the temperature; draws that do not depend on the
batch a row happened to be in; and one prefill for the samples of the same prompt.

Dimensions: B rows alive, U distinct prompts, T prompt length (padded on the left), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from promptcot.lm.base import SamplingParams
from promptcot.lm.kv_cache import expand
from promptcot.lm.stopping import Stops

Warp = Callable[[None, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Job:
    """One sample to draw: prompt ids, the seed of its random stream, new tokens at most."""

    prompt: tuple[int, ...]
    seed: int
    limit: int


@dataclass
class Draw:
    """A sample under way. `text` is set only when a stop string cut it; `logq` covers every token drawn."""

    job: Job
    ids: list[int] = field(default_factory=list)
    logq: float = 0.0
    drawn_tokens: int = 0
    finish: str = ""
    text: str | None = None

    def take(self, token: int, logp: float, stops: Stops) -> None:
        """Adds a drawn token, or ends the sample."""
        self.logq += logp
        self.drawn_tokens += 1
        if token in stops.ids:
            self.finish = "stop"
            return
        self.ids.append(token)
        if (cut := stops.cut(self.ids)) is not None:
            kept, self.text = cut
            del self.ids[kept:]
            self.finish = "stop"
        elif self.drawn_tokens == self.job.limit:
            self.finish = "length"


def draw(model: Any, jobs: Sequence[Job], params: SamplingParams, stops: Stops) -> list[Draw]:
    """Draws one sample per job, in order. The model must be in eval mode and the caller in inference mode.

    The i-th token of a job uses the i-th uniform of its own stream, so what a row draws depends on its
    prompt, seed and parameters only (up to rounding in the model's batched arithmetic).
    """
    draws = [Draw(job) for job in jobs]
    warps = _warps(params)
    uniforms_NB = _uniforms(jobs).to(model.device)
    slots_B = torch.arange(len(jobs), device=model.device)
    batch = _Batch(model, [job.prompt for job in jobs])
    alive = draws
    while True:
        tokens_B, logps_B = pick(batch.logits_BV, uniforms_NB[batch.step, slots_B], warps)
        for row, token, logp in zip(alive, tokens_B.tolist(), logps_B.tolist()):
            row.take(token, logp, stops)
        order = close_ranks([not row.finish for row in alive])
        if not order:
            return draws
        if len(order) < len(alive):
            alive = [alive[i] for i in order]
            keep = torch.tensor(order, device=model.device)
            tokens_B, slots_B = tokens_B[keep], slots_B[keep]
            batch.select(keep)
        batch.advance(tokens_B)


def pick(
    logits_BV: torch.Tensor, uniforms_B: torch.Tensor, warps: Sequence[Warp] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token per row, by inverse CDF of the warped distribution, and its log-prob without warping.

    Args:
        logits_BV: Logits of the model, any float type; all arithmetic is float32, the CDF float64.
        uniforms_B: float64 in [0, 1).
        warps: Applied in turn to the logits; None takes the likeliest token.
    """
    logits_BV = logits_BV.float()
    tokens_B = logits_BV.argmax(-1) if warps is None else _invert(_cdf(logits_BV, warps), uniforms_B)
    logps_B = logits_BV.gather(-1, tokens_B[:, None]).squeeze(-1) - logits_BV.logsumexp(-1)
    return tokens_B, logps_B


def _cdf(logits_BV: torch.Tensor, warps: Sequence[Warp]) -> torch.Tensor:
    for warp in warps:
        logits_BV = warp(None, logits_BV)
    return torch.softmax(logits_BV, dim=-1).cumsum(-1, dtype=torch.float64)


def _invert(cdf_BV: torch.Tensor, uniforms_B: torch.Tensor) -> torch.Tensor:
    # The first entry above the target belongs to a token of positive probability; staying below the
    # total keeps a uniform next to 1 from running past the last such token.
    total_B = cdf_BV[:, -1]
    target_B = torch.minimum(uniforms_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    return torch.searchsorted(cdf_BV, target_B[:, None], right=True).squeeze(-1)


def _warps(params: SamplingParams) -> list[Warp] | None:
    """Temperature, then top-k, then top-p, as `generate` orders them; None for greedy."""
    if params.temperature == 0:
        return None
    warps: list[Warp] = []
    if params.temperature != 1:
        warps.append(TemperatureLogitsWarper(float(params.temperature)))
    if params.top_k:
        warps.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        warps.append(TopPLogitsWarper(params.top_p))
    return warps


def _uniforms(jobs: Sequence[Job]) -> torch.Tensor:
    """float64 [N, B]: column b is the counter-based (Philox) stream of job b."""
    steps = max(job.limit for job in jobs)
    columns = [np.random.Generator(np.random.Philox(key=job.seed)).random(steps) for job in jobs]
    return torch.from_numpy(np.stack(columns, axis=1))


def close_ranks(alive: Sequence[bool]) -> list[int]:
    """Which old row stands at each new place: rows that died are replaced by the last ones alive.

    Moves as few rows as possible; order is not kept.
    """
    count = sum(alive)
    movers = (i for i in range(count, len(alive)) if alive[i])
    return [i if alive[i] else next(movers) for i in range(count)]


class _Batch:
    """Rows being decoded: cache, padding mask and the logits of the next token."""

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> None:
        """Prefills each distinct prompt once, computing the logits of its last position only."""
        distinct = list(dict.fromkeys(prompts))
        place = {prompt: i for i, prompt in enumerate(distinct)}
        self.model, self.step = model, 0
        self.cache = DynamicCache(config=model.config)
        ids_UT, pads_U = _left_padded(distinct, model.device)
        self.length = ids_UT.shape[1]
        self.pads_B = pads_U if bool(pads_U.any()) else None
        self.logits_BV = self._forward(ids_UT)
        rows = torch.tensor([place[prompt] for prompt in prompts], device=model.device)
        expand(self.cache, rows)
        self.logits_BV = self.logits_BV[rows]
        self.pads_B = None if self.pads_B is None else pads_U[rows]

    def select(self, keep: torch.Tensor) -> None:
        """Row i becomes row keep[i]."""
        self.cache.batch_select_indices(keep)
        self.pads_B = None if self.pads_B is None else self.pads_B[keep]

    def advance(self, tokens_B: torch.Tensor) -> None:
        """Feeds one token per row."""
        self.step += 1
        self.length += 1
        self.logits_BV = self._forward(tokens_B[:, None])

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        padding = {} if self.pads_B is None else _padding(self.pads_B, self.length, ids.shape[1])
        out = self.model(
            input_ids=ids, past_key_values=self.cache, use_cache=True, logits_to_keep=1, **padding
        )
        logits: torch.Tensor = out.logits[:, -1]
        return logits


def _left_padded(prompts: Sequence[tuple[int, ...]], device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids [U, T] and the number of padding places [U] in front of each prompt."""
    longest = max(map(len, prompts))
    ids_UT = torch.tensor([(0,) * (longest - len(p)) + p for p in prompts], device=device)
    return ids_UT, torch.tensor([longest - len(p) for p in prompts], device=device)


def _padding(pads: torch.Tensor, length: int, new: int) -> dict[str, torch.Tensor]:
    """Mask over all `length` places and true positions of the last `new` ones, per row."""
    places = torch.arange(length, device=pads.device)
    true_positions = (places[length - new :] - pads[:, None]).clamp(min=0)
    return {"attention_mask": (places >= pads[:, None]).long(), "position_ids": true_positions}
