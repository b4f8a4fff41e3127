"""The paper's EM figure and the estimator grid: several arms over the same cold start, data and random streams.

Arms of the figure (arXiv 2509.19894, the figure of NLL over training; our reading where the paper is silent):
  with_estep      the recipe's own rule
  no_estep        q stays at the cold start; its greedy rationales keep training p, whatever the recipe's M-step takes
  init_rationale  no EM: p goes on with the annotators' rationales, as many steps and at the same rate
  init_plain      no rationale at all: p(x|c) from the base model by the same cold start, then as many steps again
Other arms are named `select-draw-mstep`, e.g. iw-resample-selected. "figure" and "grid" stand for lists of arms, and
`NAME@N` runs N iterations instead of em.iterations ("grid@1"). No gate and no stop rule ends an arm: a curve that ends early
cannot be compared.
"""

from __future__ import annotations

import math
from dataclasses import fields
from functools import partial
from itertools import product

from pydantic import ValidationError

from promptcot.errors import UserError
from promptcot.ids import row_id
from promptcot.records import Candidate, HeldOut, Record, Reject, Triple, from_row
from promptcot.settings import EM
from promptcot.stages.coldstart import train
from promptcot.stages.context import Context, model_key
from promptcot.stages.em_loop import NAME, Loop
from promptcot.store import Step

FIGURE = ("with_estep", "no_estep", "init_rationale", "init_plain")
GRID = tuple(
    f"{select}-best-{mstep}"
    for select, mstep in product(("joint", "iw", "mean", "gain"), ("greedy", "selected", "resample"))
)
PRESETS = {"figure": FIGURE, "grid": GRID}


def arms(em: EM) -> dict[str, int]:
    """The arms of `em.ablation` with their iterations, presets spelled out; of an arm named twice the longer counts.

    Raises:
        UserError: what follows an "@" is no number.
    """
    found: dict[str, int] = {}
    for entry in em.ablation or ["figure"]:
        name, at, count = entry.partition("@")
        if at and not (count.isdecimal() and int(count)):
            raise UserError(
                f"em.ablation: {entry!r}", expected="NAME@N with a number of iterations, as grid@1"
            )
        for arm in PRESETS.get(name, (name,)):
            found[arm] = max(found.get(arm, 0), int(count) if at else em.iterations)
    return found


def settings_of(arm: str, em: EM) -> EM:
    """The EM settings of an arm.

    Raises:
        UserError: no such arm, or one that the recipe's sampling rules out.
    """
    if arm in FIGURE:
        return em.model_copy(update={"estep": True}) if arm == "with_estep" else em.left_alone()
    try:
        select, draw, mstep = arm.split("-")
        return EM.model_validate(
            {**em.model_dump(), "select": select, "draw": draw, "mstep_rationale": mstep, "estep": True}
        )
    except ValueError as e:
        if isinstance(e, ValidationError) and not e.errors()[0]["loc"]:  # of the settings together
            raise UserError(f"em.ablation: arm {arm!r}: {e.errors()[0]['msg']}") from None
        raise UserError(
            f"em.ablation: unknown arm {arm!r}",
            expected=f"{', '.join(PRESETS)}, {', '.join(FIGURE)}, or select-draw-mstep "
            "(joint|iw|mean|gain - best|resample - greedy|selected|resample)",
        ) from None


def run(ctx: Context) -> None:
    """All arms, all iterations; each step resumable, shared ones done once."""
    em = ctx.recipe.em
    assert em is not None
    for arm, iterations in arms(em).items():
        ctx.reporter.line(f"  arm {arm}")
        settings = settings_of(arm, em).model_copy(update={"iterations": iterations})
        if arm == "init_plain":
            _plain(ctx, settings)
            continue
        loop = Loop(ctx, settings, arm)
        loop.measure(0)
        for t in range(1, settings.iterations + 1):
            if arm == "init_rationale":
                loop.fit_on("p", t, loop.items, None, loop.source, settings.p_training or settings.training)
            else:
                loop.e_step(t)
                loop.m_step(t)
            loop.measure(t)


def _plain(ctx: Context, settings: EM) -> None:
    """p(x|c) without a rationale: the same cold start and the same further steps, with an empty z."""
    cold = ctx.recipe.coldstart
    assert cold is not None
    triples = ctx.load("annotate", "triples", Triple)
    rows = [t for t in triples.rows() if t.split == "train"]
    fn = partial(
        train, role="p", triples=rows, spec=cold.base.spec(), settings=cold.training,
        style=ctx.recipe.templates, z_ids=[()] * len(rows),
    )  # fmt: skip
    params = {**cold.key(), "templates": ctx.recipe.templates, "rationale": False}
    inputs = {"triples": triples.digest, "base": model_key(cold.base.spec().model)}
    (start,) = ctx.artifacts(NAME, [("init_plain.p0", fn, params, inputs)])
    loop = Loop(ctx, settings, "init_plain", {"p": start, "q": ctx.load("coldstart", "q", Record)})
    _measure_plain(loop, 0)
    for t in range(1, settings.iterations + 1):
        rule = settings.p_training or settings.training
        loop.fit_on("p", t, loop.items, [()] * len(loop.items), loop.source, rule)
        _measure_plain(loop, t)


def _measure_plain(loop: Loop, t: int) -> Step[HeldOut]:
    """NLL(x|c) and log p(x|c) itself, exactly: without a z there is nothing to bound."""
    empty = [
        Candidate(row_id(NAME, 1, [i.id], f"plain{t}"), i.id, 0, "", [], "stop", 0.0, 0.0, 0.0, 0, 0)
        for i in loop.heldout
    ]
    scored = loop.score(f"h{t}_scores", empty, t, loop.source)

    def build() -> tuple[int, list[HeldOut], list[Reject]]:
        rows = [_exact(c, loop.by_id[c.item_id].domain, t) for c in scored.rows()]
        return len(rows), rows, []

    return loop.ctx.table(
        NAME, f"{loop.prefix}h{t}_heldout", HeldOut, build, params={}, inputs={"scores": scored.digest}
    )


def _exact(c: Candidate, domain: str, t: int) -> HeldOut:
    unknown = {f.name: math.nan for f in fields(HeldOut) if f.type == "float"}
    whole = c.logp_x + c.logp_z
    known = {"nll_greedy": -c.logp_x, "joint": whole, "bound": whole, "bound_half": whole, "elbo": whole}
    return from_row(
        HeldOut, {"id": c.id, "item_id": c.item_id, "domain": domain, "iteration": t, **unknown, **known}
    )
