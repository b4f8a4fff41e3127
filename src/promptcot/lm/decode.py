"""The decoding loop: many samples in one batch, each with its own random stream.

Written instead of `generate()` because the E-step needs three things it does not give together: the
log-probability at T=1 of exactly what was drawn, whatever the temperature; draws that do not depend on the
batch a row happened to be in; and one prefill for the samples of the same prompt.

Rows of different rules may share a batch, join it while it runs, and leave it before they end: `draw` fills one until all
have ended, `promptcot serve` for as long as requests come.

Dimensions: B rows alive, N rows joining, U distinct prompts, T prompt length (padded on the right), V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from promptcot.lm.base import SamplingParams
from promptcot.lm.batching import joining, round_up
from promptcot.lm.kv_cache import RaggedCache, cache_for
from promptcot.lm.stopping import Stops

Warp = Callable[[None, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Rule:
    """How a token is picked (`warps` of the logits in turn; None takes the likeliest) and what ends a sample."""

    warps: Sequence[Warp] | None
    stops: Stops

    @classmethod
    def of(cls, params: SamplingParams, stops: Stops) -> Rule:
        """Temperature, then top-k, then top-p, as `generate` orders them; greedy at temperature 0."""
        if params.temperature == 0:
            return cls(None, stops)
        warps: list[Warp] = []
        if params.temperature != 1:
            warps.append(TemperatureLogitsWarper(float(params.temperature)))
        if params.top_k:
            warps.append(TopKLogitsWarper(params.top_k))
        if params.top_p < 1:
            warps.append(TopPLogitsWarper(params.top_p))
        return cls(warps, stops)


@dataclass(frozen=True)
class Job:
    """One sample to draw: prompt ids, the seed of its random stream, new tokens at most, and how they are drawn."""

    prompt: tuple[int, ...]
    seed: int
    limit: int
    rule: Rule


class Draw:
    """A sample under way.

    `text` is set only when a stop string cut it; `drawn` and `logps` cover every token drawn. The i-th token uses the
    i-th uniform of a counter-based (Philox) stream, so what is drawn depends on prompt, seed and parameters
    only: on a CPU bit for bit (the exception stands in `kv_cache`), elsewhere up to rounding, which now and then
    tips a draw.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ids: list[int] = []
        self.drawn: list[int] = []
        self.logps: list[float] = []
        self.logq, self.finish = 0.0, ""
        self.text: str | None = None
        self.stream = np.random.Generator(np.random.Philox(key=job.seed))

    @property
    def drawn_tokens(self) -> int:
        """How many tokens were drawn."""
        return len(self.drawn)

    @property
    def size(self) -> int:
        """Tokens the row can grow to, prompt included."""
        return len(self.job.prompt) + self.job.limit

    @property
    def length(self) -> int:
        """Tokens so far, prompt included."""
        return len(self.job.prompt) + self.drawn_tokens

    def take(self, token: int, logp: float) -> None:
        """Adds a drawn token, or ends the sample."""
        stops = self.job.rule.stops
        self.logq += logp
        self.drawn.append(token)
        self.logps.append(logp)
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


def draw(model: Any, jobs: Sequence[Job], batch_tokens: int) -> list[Draw]:
    """Draws one sample per job, in order. The model must be in eval mode.

    Rows that end make room for waiting ones, shortest prompts first, copies of a prompt together.
    """
    draws = [Draw(job) for job in jobs]
    waiting = deque(sorted(draws, key=_by_prompt))
    batch = Batch(model, batch_tokens)
    while waiting or batch.rows:
        new = batch.joining(waiting)
        batch.join(new)
        for _ in new:  # sorted by length: they are the first ones
            waiting.popleft()
        batch.step()
    return draws


def _by_prompt(row: Draw) -> tuple[int, tuple[int, ...]]:
    return len(row.job.prompt), row.job.prompt


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


def close_ranks(alive: Sequence[bool]) -> list[int]:
    """Which old row stands at each new place: rows that died are replaced by the last ones alive.

    Moves as few rows as possible; order is not kept.
    """
    count = sum(alive)
    movers = (i for i in range(count, len(alive)) if alive[i])
    return [i if alive[i] else next(movers) for i in range(count)]


class Batch:
    """Rows being decoded, their cache and the logits of their next token. The model must be in eval mode.

    `batch_tokens` bounds rows * largest size. Rows join when enough are waiting to be worth a prefill
    (`promptcot.lm.batching.joining`), but with `patience` not later than so many tokens after the last that joined.
    """

    def __init__(self, model: Any, batch_tokens: int, patience: int | None = None) -> None:
        self.model, self.batch_tokens, self.patience = model, batch_tokens, patience
        self.cache, self._steps = cache_for(model), 0  # since rows joined
        self.rows: list[Draw] = []
        self.logits_BV = torch.zeros(0)

    def joining(self, waiting: Sequence[Draw]) -> list[Draw]:
        """The waiting rows that should join now: the first ones that the cache can take in together."""
        if not isinstance(self.cache, RaggedCache):
            waiting = [row for row in waiting if not self.rows and row.length == waiting[0].length]
        at_once = self.patience is not None and self._steps >= self.patience
        sizes = [row.size for row in self.rows]
        count = joining((row.size for row in waiting), sizes, self.batch_tokens, at_once)
        return list(islice(waiting, count))

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def join(self, rows: Sequence[Draw]) -> None:
        """Prefills `rows`, those of one padded length together, and adds them behind the others.

        The longest come first. All are announced to the cache, with the tokens the largest can grow to.
        """
        if not rows:
            return
        step, largest = self.cache.prefill_step, max(row.size for row in (*self.rows, *rows))
        room, self._steps = len(self.rows) + len(rows), 0
        if self.patience is not None:  # more will come: growing copies the cache, so it grows by doubling
            room = max(room, min(1 << (room - 1).bit_length(), self.batch_tokens // largest))
        for _, group in groupby(
            sorted(rows, key=_by_prompt)[::-1], key=lambda row: round_up(row.length, step)
        ):
            new = list(group)
            prefilled, logits_NV, rows_N = _prefill(self.model, [row.job.prompt for row in new], step)
            self.cache.join(prefilled, rows_N, len(self.rows), (room, largest))
            self.logits_BV = torch.cat([self.logits_BV, logits_NV]) if self.rows else logits_NV
            self.rows += new

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> list[Draw]:
        """Draws one token more for every row; returns those that ended, which leave."""
        self._steps += 1
        tokens_B, logps_B = self._pick()
        for row, token, logp in zip(self.rows, tokens_B.tolist(), logps_B.tolist(), strict=True):
            row.take(token, logp)
        ended = [row for row in self.rows if row.finish]
        tokens_B = self._let_go(tokens_B)
        if self.rows:
            self.logits_BV = self.cache.step(tokens_B, [row.length - 1 for row in self.rows])
        return ended

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def drop(self, rows: Collection[Draw]) -> None:
        """Lets `rows` leave before they have ended."""
        for row in rows:
            row.finish = "dropped"
        self.logits_BV = self._let_go(self.logits_BV)

    def _pick(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The next token of every row, and its log-prob."""
        device = self.model.device
        uniforms_B = torch.tensor(
            [row.stream.random() for row in self.rows], dtype=torch.float64, device=device
        )
        places: dict[Rule, list[int]] = {}
        for i, row in enumerate(self.rows):
            places.setdefault(row.job.rule, []).append(i)
        if len(places) == 1:
            return pick(self.logits_BV, uniforms_B, next(iter(places)).warps)
        tokens_B = torch.zeros(len(self.rows), dtype=torch.long, device=device)
        logps_B = torch.zeros(len(self.rows), device=device)
        for rule, alike in places.items():
            at = torch.tensor(alike, device=device)
            tokens_B[at], logps_B[at] = pick(self.logits_BV[at], uniforms_B[at], rule.warps)
        return tokens_B, logps_B

    def _let_go(self, of_rows: torch.Tensor) -> torch.Tensor:
        """Lets go of the rows that have ended; what is left of `of_rows`, which has an entry for each row."""
        order = close_ranks([not row.finish for row in self.rows])
        if len(order) == len(self.rows):
            return of_rows
        self.rows = [self.rows[i] for i in order]
        self.cache.select(order)
        return of_rows[torch.tensor(order, dtype=torch.long, device=self.model.device)]


def _prefill(
    model: Any, prompts: Sequence[tuple[int, ...]], step: int
) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """One pass over the distinct prompts, whose lengths are one when rounded up to `step`.

    Padding stands on the right, where a causal model's real tokens cannot see it.

    Returns:
        The cache of the distinct prompts, next-token logits [N, V] of all prompts, and each one's row [N].
    """
    distinct = list(dict.fromkeys(prompts))
    place = {prompt: i for i, prompt in enumerate(distinct)}
    rows_N = torch.tensor([place[prompt] for prompt in prompts], device=model.device)
    cache = DynamicCache(config=model.config)
    ids_UT = right_padded(distinct, step, model.device)
    padded = ids_UT.shape[1]
    last_places = torch.arange(padded - step, padded, device=model.device)  # every prompt ends in one of them
    out = model(input_ids=ids_UT, past_key_values=cache, use_cache=True, logits_to_keep=last_places)
    ends_N = torch.tensor([len(prompt) - 1 - (padded - step) for prompt in prompts], device=model.device)
    return cache, out.logits[rows_N, ends_N], rows_N


def right_padded(rows: Sequence[tuple[int, ...]], step: int, device: Any) -> torch.Tensor:
    """Ids [rows, T], filled up with zeros behind each row; T is a multiple of `step`."""
    padded = round_up(max(map(len, rows)), step)
    return torch.tensor([row + (0,) * (padded - len(row)) for row in rows], device=device)
