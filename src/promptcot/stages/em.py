"""Stage 4. Expectation-Maximization (arXiv 2509.19894, section 2).

Iteration t, each line a step of `promptcot.stages.em_loop`:
  E-step   K rationales per (c,x) from q[t-1] at T=1; one pass of p[t-1] gives both terms of the reward; the chosen
           rationale (em.select, em.draw; the paper: the best under Eq. 5) trains q[t].
  M-step   rationales (em.mstep_rationale; the paper: q[t]'s greedy ones) train p[t].
  measure  on held-out (c,x): NLL(x|z,c), the bound on log p(x|c), and signs of collapse.
  decide   a gate that fires, or an iteration that does not help, ends the loop; the iteration before it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from promptcot.analysis.statistics import paired_difference
from promptcot.em.gates import GATES, Alarm, alarms, verdict
from promptcot.errors import UserError
from promptcot.records import Decision, HeldOut, Record
from promptcot.rundir import folder
from promptcot.settings import EM, Gates
from promptcot.shards import read_json
from promptcot.stages.context import Context
from promptcot.stages.em_loop import NAME, Loop
from promptcot.store import Step

WITHOUT = "no_estep"  # the arm's name in promptcot.stages.ablation


def run(ctx: Context) -> None:
    """All iterations, each step resumable on its own; the last step says which iteration is kept.

    Raises:
        UserError: it is decided already, and a gate would have done something else by the recipe as it is now.
    """
    assert ctx.recipe.em is not None
    params = {"stop": ctx.recipe.em.stop, "gates": ctx.recipe.em.gates.model_dump(mode="json")}
    if ctx.has(NAME, "decision"):  # before an iteration is run that cannot be kept
        # The header alone: a damaged table is made again below.
        made = read_json(ctx.run.path / folder(NAME) / "decision" / "step.json")["key"]["params"]
        if made != params:
            raise UserError(
                f"which iteration is kept was decided with em.gates.action={made['gates']['action']}",
                expected=f"the same as then; the recipe says {ctx.recipe.em.gates.action}",
                do="--fork NAME decides anew and keeps every step still valid",
            )
    loop = Loop(ctx, ctx.recipe.em)
    decision = decide(loop, ctx.recipe.em, ctx.recipe.run.seed)
    ctx.table(
        NAME, "decision", Decision, lambda: (1, [decision], []), params=params,
        inputs={"p": loop.model("p", decision.last).digest},
    )  # fmt: skip
    if decision.reason != "max_iterations":
        ctx.reporter.line(f"  em: {decision.detail}")
    if ctx.recipe.em.without_estep and loop.heldout:
        without_estep(ctx, max(1, decision.kept))


def without_estep(ctx: Context, iterations: int) -> None:
    """As many iterations in which q stays at the cold start and only p learns, from q's greedy rationales whatever
    `em.mstep_rationale` says: the arm `no_estep` of the ablation. Nothing later reads it; iteration 0 is shared."""
    assert ctx.recipe.em is not None
    loop = Loop(ctx, ctx.recipe.em.left_alone(), WITHOUT)
    loop.measure(0)
    for t in range(1, iterations + 1):
        loop.m_step(t)
        loop.measure(t)


def decide(loop: Loop, settings: EM, seed: int) -> Decision:
    """Run iterations until one of the rules ends them.

    Raises:
        UserError: a gate fired and `em.gates.action` is "fail".
    """
    measured = [list(loop.measure(0).rows())] if loop.heldout else []
    kept = 0
    for t in range(1, settings.iterations + 1):
        loop.e_step(t)
        loop.m_step(t)
        if not measured:
            kept = t
            continue
        measured.append(list(loop.measure(t).rows()))
        fired = collapses(measured[0], measured[t], settings.gates, seed)
        if fired and settings.gates.action != "warn":
            return _gate(t, kept, fired, settings)
        for alarm in fired:
            loop.ctx.reporter.line(f"  em: {alarm}")
        said, why = compare(measured[kept], measured[t], settings, seed)
        if settings.stop != "none" and said != "better":
            return Decision(f"em-{t}", kept, t, said, f"iteration {t} against {kept}: {why}; {_kept(kept)}")
        kept = t
    last = settings.iterations
    return Decision(f"em-{last}", kept, last, "max_iterations", f"all {last} iterations ran; {_kept(kept)}")


def compare(before: Sequence[HeldOut], after: Sequence[HeldOut], settings: EM, seed: int) -> tuple[str, str]:
    """("better" | "worse" | "converged", a sentence): paired over items by the measure that `em.stop` names."""
    name, sign = ("nll_greedy", -1.0) if settings.stop == "nll" else ("bound", 1.0)
    pairs = paired(before, after)
    a, b = ([sign * getattr(pair[i], name) for pair in pairs] for i in (0, 1))
    change = paired_difference(a, b, seed)
    low, high = change.ci95
    words = "NLL(x|z,c) fell by" if name == "nll_greedy" else "the bound on log p(x|c) rose by"
    return verdict(change.ci95), (
        f"held-out {words} {change.mean:+.2f} nats (95% interval {low:+.2f} to {high:+.2f}, {len(a)} items)"
    )


def paired(before: Sequence[HeldOut], after: Sequence[HeldOut]) -> list[tuple[HeldOut, HeldOut]]:
    """The items measured both times."""
    old = {row.item_id: row for row in before}
    return [(old[row.item_id], row) for row in after if row.item_id in old]


def collapses(before: Sequence[HeldOut], now: Sequence[HeldOut], gates: Gates, seed: int) -> list[Alarm]:
    """The gates that fire for the items measured at the cold start (`before`) and after an iteration (`now`)."""
    first, last, moves = {}, {}, {}
    for name in {gate.measure for gate in GATES.values()}:
        pairs = [(getattr(a, name), getattr(b, name)) for a, b in paired(before, now)]
        known = [(a, b) for a, b in pairs if not math.isnan(a + b)]
        first[name] = last[name] = math.nan
        if known:
            a_N, b_N = [a for a, _ in known], [b for _, b in known]
            first[name], last[name] = sum(a_N) / len(known), sum(b_N) / len(known)
            moves[name] = paired_difference(a_N, b_N, seed).ci95
    return alarms(first, last, moves, gates.model_dump(exclude={"action"}))


def kept_model(ctx: Context, role: Any) -> Step[Record]:
    """q or p of the iteration the EM kept."""
    (decision,) = ctx.load(NAME, "decision", Decision).rows()
    stage, name = ("coldstart", role) if decision.kept == 0 else (NAME, f"{role}{decision.kept}")
    return ctx.load(stage, name, Record)


def _gate(t: int, kept: int, fired: Sequence[Alarm], settings: EM) -> Decision:
    text = "; ".join(map(str, fired))
    if settings.gates.action == "fail":
        raise UserError(
            f"EM iteration {t} collapsed: {text}",
            expected="held-out rationales and problems that stay close to the cold start's (em.gates)",
            do="--fork NAME with the setting named above; or --set em.gates.action=return to keep "
            f"iteration {kept} and go on",
        )
    return Decision(f"em-{t}", kept, t, "gate", f"iteration {t}: {text}; {_kept(kept)}")


def _kept(kept: int) -> str:
    return f"kept iteration {kept}" if kept else "kept the cold start (iteration 0)"
