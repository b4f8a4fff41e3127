"""What the EM asks of models, one model per step: draw rationales, score them under p, score them under a q.

One model per step lets a large run hold a single model in memory, and makes every table a function of (model digest,
token ids): another selection rule finds the candidates and their scores finished and costs no model time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from promptcot.domains import get
from promptcot.domains.sequences import Item, p_parts, q_parts, split_completion
from promptcot.em.rejects import Bounds, reject_reason
from promptcot.errors import UserError
from promptcot.ids import row_seed
from promptcot.lm.base import Engine, EngineSpec, Failure, Part, Prompt, Sample, SpanScore
from promptcot.records import Ask, Candidate, Posed, Problem, Reject, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import EM

GREEDY = -1  # the sample index of a greedy rationale


def fitting(
    worker: Worker, rows: list[Triple], *, model: EngineSpec, max_tokens: int, style: str
) -> list[Triple | Reject]:
    """The items that fit the context together with any rationale of up to `max_tokens`, under both models.

    Checked once and up front, so that one long problem neither ends a run nor is cut.
    """
    engine = worker.engine(model)
    out: list[Triple | Reject] = []
    for row in rows:
        item = _item(row, style)
        longest = max(sum(len(p.ids) for p in parts(item, (), engine.encode)) for parts in (p_parts, q_parts))
        needed = longest + max_tokens
        fits = needed <= engine.max_context
        detail = f"{needed} tokens with a rationale of {max_tokens}; the context has {engine.max_context}"
        out.append(row if fits else Reject(row.id, "context", detail))
    return out


def sample(
    worker: Worker, rows: list[Ask], *, q: EngineSpec, settings: EM, style: str, keep_all: bool
) -> list[Candidate | Reject]:
    """z ~ q(z|c,x) with log q (index GREEDY: the likeliest); nothing is scored.

    Candidates are drawn by `em.sampling`, and those not worth scoring are rejected. Held-out rationales (`keep_all`) are
    measured as they come and drawn plainly: log q is the log-prob at T=1, and a bound needs draws from that q.
    """
    engine = worker.engine(q)
    limits = Bounds(settings.max_repetition, settings.max_copy, settings.min_length, settings.max_length)
    encode = cache(engine.encode)  # the candidates of an item share its texts
    out: dict[str, Candidate | Reject] = {}
    for greedy in (True, False):
        mine = [r for r in rows if (r.sample == GREEDY) == greedy]
        if not mine:
            continue
        stop = get(mine[0].domain, style).layout.q_end
        prompts = [Prompt(row_seed(worker.seed, r.id), ids=encode(_item(r, style).cx_text)) for r in mine]
        sampling = settings.plain if keep_all else settings.sampling
        params = sampling.params(stop, greedy=greedy, logq=True)
        for row, drawn in zip(mine, engine.sample(prompts, params), strict=True):
            if isinstance(drawn, Failure):
                out[row.id] = drawn.reject(row.id)
                continue
            reason = None if keep_all else reject_reason(
                drawn.ids, drawn.text, row.problem, drawn.finish, limits, len(encode(row.rationale))
            )  # fmt: skip
            out[row.id] = Reject(row.id, reason, drawn.text[:200]) if reason else Candidate(
                id=row.id, item_id=row.of, sample=row.sample, rationale=drawn.text, z_ids=list(drawn.ids),
                finish=drawn.finish, logq=_logq(drawn, engine), logp_z=0.0, logp_x=0.0,
                z_tokens=len(drawn.ids), x_tokens=0,
            )  # fmt: skip
    return [out[r.id] for r in rows]


def _logq(drawn: Sample, engine: Engine) -> float:
    if drawn.logq is None:
        raise UserError(
            f"the engine {engine.name} does not say how likely its samples are",
            expected="the log-prob of every sampled token, the terminator's included: the EM's log q(z|c,x)",
            do="sample with vLLM, `promptcot serve`, or in process (engine: transformers)",
        )
    return drawn.logq


def score(worker: Worker, rows: list[Posed], *, p: EngineSpec, style: str) -> list[Candidate | Reject]:
    """Both terms of the reward, log p(z|c) and log p(x|z,c), from one forward pass of p."""

    def parts(row: Posed, encode: Any) -> Sequence[Part]:
        return p_parts(_item(row.item, style), row.candidate.z_ids, encode)

    return [
        s.reject(row.id) if isinstance(s, Failure) else replace(
            row.candidate, logp_z=s["z"].logp, logp_x=s["x"].logp, z_tokens=s["z"].tokens, x_tokens=s["x"].tokens
        )
        for row, s in zip(rows, _scores(worker, rows, p, parts), strict=True)
    ]  # fmt: skip


def rescore(worker: Worker, rows: list[Posed], *, q: EngineSpec, style: str) -> list[Candidate | Reject]:
    """log q(z|c,x) of given rationales under another q than the one that drew them.

    A rationale that ran into the length limit has no terminator, here as when it was drawn. Otherwise it is the terminator as
    the tokenizer writes it, while the log q of a draw is that of the tokens that ended it. Where the terminator is a text
    (`promptcot2`) these can differ, and bounds err upwards then (docs/method.md); under `compact` they are one token.
    """

    def parts(row: Posed, encode: Any) -> Sequence[Part]:
        whole = q_parts(_item(row.item, style), row.candidate.z_ids, encode)
        return whole if row.candidate.finish == "stop" else (whole[0], Part("z", tuple(row.candidate.z_ids)))

    return [
        s.reject(row.id) if isinstance(s, Failure) else replace(row.candidate, logq=s["z"].logp)
        for row, s in zip(rows, _scores(worker, rows, q, parts), strict=True)
    ]


def _scores(
    worker: Worker, rows: Sequence[Posed], model: EngineSpec, parts: Callable[[Posed, Any], Sequence[Part]]
) -> Iterable[dict[str, SpanScore] | Failure]:
    """One score per row; equal sequences (a collapsing q repeats itself) are scored once."""
    engine = worker.engine(model)
    encode = cache(engine.encode)  # the candidates of an item share its texts
    keys = [(row.item.id, tuple(row.candidate.z_ids), row.candidate.finish) for row in rows]
    distinct = dict(zip(keys, rows, strict=True))
    found = dict(zip(distinct, engine.score([parts(row, encode) for row in distinct.values()]), strict=True))
    return [found[key] for key in keys]


def write(
    worker: Worker, rows: list[Ask], *, p: EngineSpec, settings: EM, style: str
) -> list[Problem | Reject]:
    """One completion (z, x) ~ p(z, x | c) per item; an empty problem where it has not the right form."""
    engine = worker.engine(p)
    domains = [get(r.domain, style) for r in rows]
    prompts = [
        Prompt(row_seed(worker.seed, r.id), ids=engine.encode(d.generator_prompt(r.concepts, r.level)))
        for r, d in zip(rows, domains, strict=True)
    ]
    params = replace(
        settings.sampling.params(domains[0].layout.x_end), max_tokens=settings.training.max_tokens
    )
    out: list[Problem | Reject] = []
    for row, domain, drawn in zip(rows, domains, engine.sample(prompts, params), strict=True):
        if isinstance(drawn, Failure):
            out.append(drawn.reject(row.id))
            continue
        made = split_completion(domain, drawn.text) if drawn.finish == "stop" else "no_terminator"
        rationale, problem = ("", "") if isinstance(made, str) else made
        out.append(Problem(row.id, row.domain, row.level, row.concepts, rationale, problem))
    return out


def _item(row: Any, style: str) -> Item:
    """The (c, x) of an Ask or a Triple."""
    return Item(get(row.domain, style), row.level, row.concepts, row.problem)
