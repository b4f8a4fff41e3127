"""Drawing, scoring and measuring with models in memory: the package's engine, metered.

Dimensions: N items, K draws of an item. Log-probs are natural-log sums; the models are in the engine's dtype, bfloat16
on a GPU, so numbers compare within one run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from emgpu.data import STYLE, Example
from emgpu.device import Meter, causal
from emgpu.sizes import Size
from promptcot.analysis.statistics import paired_difference
from promptcot.domains import get
from promptcot.domains.sequences import p_parts, q_parts
from promptcot.em import bounds
from promptcot.em.rewards import Scored, log_weight
from promptcot.ids import row_seed
from promptcot.lm.base import Part, Prompt, SamplingParams, SpanScore
from promptcot.lm.transformers import TransformersEngine

END = get("math", STYLE).layout.q_end  # the same in every domain


@dataclass(frozen=True)
class Draw:
    """A rationale of an item and its log-prob under the q that drew it, terminator included."""

    ids: tuple[int, ...]
    text: str
    finish: str
    logq: float


@dataclass(frozen=True)
class Point:
    """What the held-out items say of one arm at one iteration; one number per item.

    nll: -log p(x|z,c) for the greedy z of the arm's q. bound: log of the mean of p(z,x|c) / r(z) over its draws, r the
    half-and-half mixture of that q and the cold start's (`promptcot.em.bounds`), or log p(x|c) itself without a z.
    """

    nll_N: list[float]
    bound_N: list[float]

    def facts(self, start: Point, sources: Sequence[str], seed: int) -> dict[str, Any]:
        """Means, changes since `start` with 95% intervals (paired bootstrap over items), means by source."""
        out: dict[str, Any] = {"items": len(self.nll_N)}
        for name, now, then in (
            ("nll", self.nll_N, start.nll_N),
            ("bound", self.bound_N, start.bound_N),
        ):
            change = paired_difference(then, now, seed)
            out[name] = sum(now) / len(now)
            out[f"{name}_change"], out[f"{name}_change_ci95"] = change.mean, list(change.ci95)
            for source in sorted(set(sources)):
                mine = [v for v, s in zip(now, sources, strict=True) if s == source]
                out[f"{name}_{source}"] = sum(mine) / len(mine)
        return out


class Lab:
    """One tokenizer, two meters, and what is asked of q and p."""

    def __init__(self, tokenizer: Any, size: Size, dtype: torch.dtype, seed: int) -> None:
        self.tokenizer, self.size, self.dtype, self.seed = tokenizer, size, dtype, seed
        self.sampling, self.scoring = Meter("sampling"), Meter("scoring")
        self.last: tuple[Any, TransformersEngine] | None = None
        self.known: dict[
            str, tuple[int, ...]
        ] = {}  # ids by text: the same few texts are asked for again and again

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a text; its markers become single tokens."""
        if text not in self.known:
            self.known[text] = tuple(
                self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
            )
        return self.known[text]

    def engine(self, model: Any) -> TransformersEngine:
        """An engine on a copy of `model` in the lab's dtype; the last one is kept."""
        if self.last is None or self.last[0] is not model:
            copied = copy.deepcopy(model).eval()
            for (
                weight
            ) in copied.parameters():  # only weights: the rotary frequencies stay float32, as in training
                weight.data = weight.data.to(self.dtype)
            self.last = (
                model,
                TransformersEngine.from_model(copied, self.tokenizer, batch_tokens=self.size.engine_tokens),
            )
        return self.last[1]

    def warm_up(self, model: Any, items: Sequence[Example]) -> None:
        """A first draw and score, so that loading kernels is in no rate."""
        self.logq(model, items, self.draw(model, items, [0], "warm-up"))
        self.sampling, self.scoring = Meter("sampling"), Meter("scoring")

    # q

    def draw(self, q: Any, items: Sequence[Example], samples: Sequence[int], kind: str) -> list[list[Draw]]:
        """[N][K] draws from q(z|c,x) at T=1; `kind` and the sample's index name its random stream."""
        return self._draw(
            q, items, samples, kind, SamplingParams(max_tokens=self.size.sample_tokens, stop=(END,))
        )

    def greedy(self, q: Any, items: Sequence[Example]) -> list[Draw]:
        """[N] likeliest rationales of q, token by token."""
        params = SamplingParams(temperature=0.0, max_tokens=self.size.sample_tokens, stop=(END,))
        return [row[0] for row in self._draw(q, items, [0], "greedy", params)]

    def _draw(
        self, q: Any, items: Sequence[Example], samples: Sequence[int], kind: str, params: SamplingParams
    ) -> list[list[Draw]]:
        engine = self.engine(q)
        ids_N = [self.encode(x.item.cx_text) for x in items]
        prompts = [
            Prompt(row_seed(self.seed, f"{kind}:{x.key}:{k}"), ids=ids)
            for x, ids in zip(items, ids_N, strict=True)
            for k in samples
        ]
        start = time.perf_counter()
        drawn = engine.sample(prompts, params)
        seconds = time.perf_counter() - start
        new = [len(d.ids) + (d.finish == "stop") for d in drawn]
        attended = sum(n * d.prompt_tokens + n * (n + 1) // 2 for n, d in zip(new, drawn, strict=True))
        self.sampling.add(sum(new), attended, seconds)
        rows = [Draw(d.ids, d.text, d.finish, d.logq or 0.0) for d in drawn]
        return [rows[i : i + len(samples)] for i in range(0, len(rows), len(samples))]

    def logq(self, q: Any, items: Sequence[Example], draws_NK: Sequence[Sequence[Draw]]) -> list[list[float]]:
        """[N][K] log-probs of given rationales under q; one that hit the length limit has no terminator."""

        def parts(x: Example, d: Draw) -> Sequence[Part]:
            whole = q_parts(x.item, d.ids, self.encode)
            return whole if d.finish == "stop" else (whole[0], Part("z", d.ids))

        return [
            [s["z"].logp for s in row]
            for row in self._score(
                q, [[parts(x, d) for d in row] for x, row in zip(items, draws_NK, strict=True)]
            )
        ]

    # p

    def under_p(
        self, p: Any, items: Sequence[Example], draws_NK: Sequence[Sequence[Draw]]
    ) -> list[list[Scored]]:
        """[N][K] candidates with log p(z|c) and log p(x|z,c), both from one pass of p."""
        parts = [
            [p_parts(x.item, d.ids, self.encode) for d in row] for x, row in zip(items, draws_NK, strict=True)
        ]
        return [
            [
                Scored(d.logq, s["z"].logp, s["x"].logp, s["z"].tokens, s["x"].tokens)
                for d, s in zip(row, scores, strict=True)
            ]
            for row, scores in zip(draws_NK, self._score(p, parts), strict=True)
        ]

    def _score(
        self, model: Any, parts_NK: Sequence[Sequence[Sequence[Part]]]
    ) -> list[list[dict[str, SpanScore]]]:
        engine = self.engine(model)
        flat = [parts for row in parts_NK for parts in row]
        lengths = [sum(len(p.ids) for p in parts) for parts in flat]
        start = time.perf_counter()
        scores = iter(engine.score(flat))
        self.scoring.add(sum(lengths), causal(lengths), time.perf_counter() - start)
        return [[next(scores) for _ in row] for row in parts_NK]

    # measurement

    def measure(
        self, p: Any, items: Sequence[Example], greedy_N: Sequence[Draw], draws_NK: Sequence[Sequence[Draw]],
        other_NK: Sequence[Sequence[float]] | None,
    ) -> Point:  # fmt: skip
        """One point of a curve.

        Args:
            draws_NK: Draws of the arm's q, or of it and of the cold start's, half and half.
            other_NK: Their log-probs under the other of the two; None where all come from one q.
        """
        both = self.under_p(p, items, [[g, *row] for g, row in zip(greedy_N, draws_NK, strict=True)])
        bound = []
        for n, (_, *rows) in enumerate(both):
            logr = [r.logq for r in rows]
            if other_NK is not None:
                logr = [bounds.log_mixture(a, b) for a, b in zip(logr, other_NK[n], strict=True)]
            bound.append(
                bounds.iwae([log_weight(r.logp_x, r.logp_z, b) for r, b in zip(rows, logr, strict=True)])
            )
        return Point([-row[0].logp_x for row in both], bound)

    def measure_plain(self, p: Any, items: Sequence[Example]) -> Point:
        """The same for a p that was trained without rationales: both are log p(x|c), exactly."""
        rows = [row[0] for row in self.under_p(p, items, [[Draw((), "", "stop", 0.0)]] * len(items))]
        return Point([-r.logp_x for r in rows], [r.logp_x + r.logp_z for r in rows])
