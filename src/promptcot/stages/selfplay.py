"""Stage 8. Self-play: the solver attempts labelled problems; right and wrong attempts make pairs for DPO.

`drop_rule` has both readings of the difficulty filter (PAPER section 5): the paper drops a problem solved in at
least half of the rollouts, the release only above half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.errors import UserError
from promptcot.ids import row_id, row_seed
from promptcot.lm.base import EngineSpec
from promptcot.records import Pair, Problem, Reject, Rollout, Verdict
from promptcot.runner.worker import Worker
from promptcot.settings import Preference, SelfPlay
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.solving import attempt, rules_for
from promptcot.store import Step

NAME = "selfplay"


def run(ctx: Context) -> None:
    """Per round: rollouts of the current solver on fresh problems, pairs, DPO."""
    settings = ctx.recipe.selfplay
    assert settings is not None
    labelled = ctx.load("label", "problems", Problem)
    problems = list(labelled.rows())
    for r in range(1, settings.rounds + 1):
        one_round(ctx, settings, labelled.digest, problems[r - 1 :: settings.rounds], r)


def solver(ctx: Context, round_: int) -> str:
    """The solver's weights after `round_` rounds (0: as it was)."""
    assert ctx.recipe.selfplay is not None
    return ctx.artifact_path(NAME, f"solver{round_}") if round_ else ctx.recipe.selfplay.model.model


def one_round(ctx: Context, settings: SelfPlay, source: str, problems: Sequence[Problem], r: int) -> None:
    """Rollouts, pairs and training of round r."""
    style = ctx.recipe.templates
    spec = settings.model.spec(solver(ctx, r - 1))
    inputs = {"problems": source, "model": model_key(spec.model)}
    play = partial(
        attempt, model=spec, params=settings.sampling.params(), style=style, rules=rules_for(ctx, problems)
    )
    rollouts = ctx.map(
        NAME, f"rollouts{r}", Rollout, asks(NAME, problems, settings.rollouts, r), play,
        params={"rollouts": settings.rollouts, "rounds": settings.rounds, "sampling": settings.sampling.key(),
                "templates": style, "programs": ctx.recipe.programs.key()},
        inputs=inputs, version=2,
    )  # fmt: skip
    rules = {
        "drop_at": settings.drop_at,
        "drop_rule": settings.drop_rule,
        "pairs": settings.pairs_per_problem,
    }
    pairs = ctx.table(
        NAME, f"pairs{r}", Pair, lambda: pair_up(problems, rollouts, settings, ctx.recipe.run.seed),
        params=rules, inputs={"rollouts": rollouts.digest},
    )  # fmt: skip
    rows = list(pairs.rows())
    if not rows:
        raise UserError(
            f"no pairs in round {r}: {pairs.totals()['reasons']}",
            expected="problems with right and wrong attempts",
            do="more problems, a higher selfplay.drop_at, or another temperature",
        )
    fit = partial(train, pairs=rows, spec=spec, settings=settings.training, style=style)
    ctx.artifacts(
        NAME,
        [
            (
                f"solver{r}",
                fit,
                {**settings.training.key(), "templates": style},
                {"pairs": pairs.digest, **inputs},
            )
        ],
    )


def pair_up(
    problems: Sequence[Problem], rollouts: Step[Rollout], settings: SelfPlay, run_seed: int
) -> tuple[int, list[Pair], list[Reject]]:
    """Pairs of a right and a wrong attempt; a problem without one is rejected with the reason.

    Rows in are problems; the pairs of one problem count as its one output (`rows_in` says how many were paired).
    """
    groups: dict[str, list[Rollout]] = defaultdict(list)
    for row in rollouts.rows():
        groups[row.problem_id].append(row)
    pairs: list[Pair] = []
    rejects: list[Reject] = []
    for p in problems:
        made = pairs_of(p, groups[p.id], settings, run_seed)
        if isinstance(made, Reject):
            rejects.append(made)
        else:
            pairs += made
    return len(pairs) + len(rejects), pairs, rejects


def pairs_of(
    p: Problem, attempts: Sequence[Rollout], settings: SelfPlay, run_seed: int
) -> list[Pair] | Reject:
    """Up to `pairs_per_problem` distinct (right, wrong) pairs, matched at random; only finished attempts."""
    right = [a for a in attempts if a.verdict == Verdict.CORRECT]
    wrong = [
        a for a in attempts if a.verdict in (Verdict.INCORRECT, Verdict.NO_ANSWER) and a.finish == "stop"
    ]
    attempts = [a for a in attempts if a.verdict != Verdict.UNSCORED]
    if not attempts:
        return Reject(p.id, "unscored")
    solved = len(right) / len(attempts)
    too_easy = solved >= settings.drop_at if settings.drop_rule == "at" else solved > settings.drop_at
    if too_easy:
        return Reject(p.id, "too_easy", f"{len(right)} of {len(attempts)}")
    if not right:
        return Reject(p.id, "never_solved", f"0 of {len(attempts)}")
    if not wrong:
        return Reject(p.id, "no_wrong_attempt", f"{len(right)} of {len(attempts)}")
    import random

    rng = random.Random(row_seed(run_seed, p.id))
    count = min(settings.pairs_per_problem, max(len(right), len(wrong)))
    chosen = _spread(rng, right, count)
    rejected = _spread(rng, wrong, count)
    texts = {(a.text, b.text) for a, b in zip(chosen, rejected, strict=True)}
    return [
        Pair(row_id(NAME, 1, [p.id], None, n), p.id, p.domain, p.problem, a, b)
        for n, (a, b) in enumerate(sorted(texts))
    ]


def _spread(rng: Any, rows: Sequence[Rollout], count: int) -> list[Rollout]:
    """`count` rows in random order, every row once before any repeats."""
    order: list[Rollout] = []
    while len(order) < count:
        order += rng.sample(list(rows), len(rows))
    return order[:count]


def train(
    worker: Worker, out: Path, *, pairs: Sequence[Pair], spec: EngineSpec, settings: Preference, style: str
) -> dict[str, Any]:
    """DPO from the solver the rollouts came from, which is also the reference."""
    from promptcot.lm.load import model_path
    from promptcot.train.dpo import TextPair, dpo

    engine = worker.engine(spec)
    end = engine.decode(engine.end_ids)
    texts = [
        TextPair(
            engine.decode(engine.chat_ids(get(p.domain, style).solve_messages(p.prompt))),
            p.chosen + end,
            p.rejected + end,
        )
        for p in pairs
    ]
    return dpo(out, texts, model_path(spec.model), spec.dtype, settings, worker.seed)
