"""From a solver's attempts to what it learns from: which attempts count, pairs, right turns, and a round's figures.

Pure functions of rows. Labels never get into a training text: a prompt is the problem as it stands, and an answer is
what the solver wrote.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import TypeVar

from promptcot.analysis.outcomes import solve_rates
from promptcot.domains import get
from promptcot.domains.form import malformed
from promptcot.ids import row_id, row_seed
from promptcot.records import Ask, Pair, Problem, Record, Reject, Rollout, Round, Seed, Trace, Verdict
from promptcot.settings import SelfPlay
from promptcot.verify.answers import equivalent
from promptcot.verify.difficulty import decide, decide_early
from promptcot.verify.vote import accept, tally

NAME = "selfplay"
R = TypeVar("R", bound=Record)
Posed = Problem | Seed
Groups = dict[str, list[Rollout]]


def by_problem(rollouts: Iterable[Rollout]) -> Groups:
    """The attempts at every problem, in order."""
    groups: Groups = defaultdict(list)
    for row in rollouts:
        groups[row.problem_id].append(row)
    return groups


def side(a: Rollout, prompt: str, settings: SelfPlay) -> bool | None:
    """True for a right attempt, False for a wrong one, None for one that says nothing (`selfplay.form`, `.wrong`).

    An unscored attempt is neither, whatever else holds. One that was cut off is wrong only if the recipe asks for it:
    nobody knows what it would have answered.
    """
    if a.verdict in (Verdict.UNSCORED, ""):
        return None
    if a.verdict == Verdict.CORRECT:
        return None if malformed(a.text, settings.form, prompt) else True
    if settings.wrong == "any":
        return False
    silent = a.verdict == Verdict.NO_ANSWER and settings.wrong == "answered"
    if a.finish != "stop" or silent or malformed(a.text, settings.form, prompt):
        return None
    return False


def counts(attempts: Sequence[Rollout]) -> tuple[int, int]:
    """(right, scored)."""
    return (
        sum(a.verdict == Verdict.CORRECT for a in attempts),
        sum(a.verdict != Verdict.UNSCORED for a in attempts),
    )


def needs_more(p: Posed, attempts: Sequence[Rollout], left: int, settings: SelfPlay) -> bool:
    """Can the `left` attempts to come still matter, for the filter or (with early=decided) for what training needs?"""
    right, scored = counts(attempts)
    decided = decide_early(right, scored, left, settings.drop_at, settings.drop_rule)
    if settings.early == "dropped" or decided is None:
        return decided != "too_easy"
    return decided == "kept" and not enough(p, attempts, settings)


def enough(p: Posed, attempts: Sequence[Rollout], settings: SelfPlay) -> bool:
    """Do these attempts hold all that training takes from this problem?"""
    # Turns of one text make one row.
    right, wrong = ({a.text for a in turns} for turns in split(p, attempts, settings))
    if settings.method == "grpo":
        return True
    if settings.method == "sft":
        return len(right) >= settings.traces_per_problem
    assert isinstance(settings.pairs_per_problem, int)
    return bool(right and wrong) and max(len(right), len(wrong)) >= settings.pairs_per_problem


def split(p: Posed, attempts: Sequence[Rollout], settings: SelfPlay) -> tuple[list[Rollout], list[Rollout]]:
    """The right and the wrong attempts to learn from."""
    sides = [side(a, p.problem, settings) for a in attempts]
    right = [a for a, s in zip(attempts, sides, strict=True) if s is True]
    return right, [a for a, s in zip(attempts, sides, strict=True) if s is False]


def filtered(p: Posed, attempts: Sequence[Rollout], settings: SelfPlay) -> Reject | None:
    """Why the difficulty filter drops this problem; None if it is kept."""
    right, scored = counts(attempts)
    decision = decide(right, scored, settings.drop_at, settings.drop_rule)
    return None if decision == "kept" else Reject(p.id, decision, f"{right} of {scored}")


Made = Callable[[Posed, Sequence[Rollout], SelfPlay, int], "list[R] | Reject"]


def table(
    problems: Sequence[Posed], rollouts: Iterable[Rollout], settings: SelfPlay, run_seed: int, make: Made[R]
) -> tuple[int, list[R], list[Reject]]:
    """What `make` makes of every problem that the filter keeps; the others are rejected with the reason.

    Rows in are problems; the rows of one problem count as its one output.
    """
    groups = by_problem(rollouts)
    rows: list[R] = []
    rejects: list[Reject] = []
    for p in problems:
        made = filtered(p, groups[p.id], settings) or make(p, groups[p.id], settings, run_seed)
        if isinstance(made, Reject):
            rejects.append(made)
        else:
            rows += made
    return len(rows) + len(rejects), rows, rejects


def pairs_of(p: Posed, attempts: Sequence[Rollout], settings: SelfPlay, run_seed: int) -> list[Pair] | Reject:
    """Distinct (right, wrong) pairs, matched at random, as many as `pairs_per_problem` and the caps say."""
    right, wrong = split(p, attempts, settings)
    if not right or not wrong:
        return Reject(
            p.id, "no_wrong_attempt" if right else "no_right_turn", f"{len(right)} and {len(wrong)}"
        )
    rng = random.Random(row_seed(run_seed, p.id))
    how = settings.pairs_per_problem
    if how == "all":
        matched = list(product(right, wrong))
    else:
        count = min(len(right), len(wrong)) if how == "min" else min(how, max(len(right), len(wrong)))
        matched = list(zip(_spread(rng, right, count), _spread(rng, wrong, count), strict=True))
    texts = sorted({(a.text, b.text, b.finish != "stop") for a, b in matched})
    if len(texts) < settings.min_pairs:
        return Reject(p.id, "few_pairs", f"{len(texts)} of {settings.min_pairs}")
    if 0 < settings.max_pairs < len(texts):
        texts = sorted(rng.sample(texts, settings.max_pairs))
    return [
        Pair(row_id(NAME, 1, [p.id], None, n), p.id, p.domain, p.problem, *row) for n, row in enumerate(texts)
    ]


def traces_of(
    p: Posed, attempts: Sequence[Rollout], settings: SelfPlay, run_seed: int
) -> list[Trace] | Reject:
    """Up to `traces_per_problem` different right turns (rejection sampling)."""
    turns = {a.text: a for a in split(p, attempts, settings)[0]}
    if not turns:
        return Reject(p.id, "no_right_turn")
    rng = random.Random(row_seed(run_seed, p.id))
    chosen = rng.sample(sorted(turns), min(len(turns), settings.traces_per_problem))
    return [
        Trace(row_id(NAME, 2, [p.id], None, n), p.id, p.domain, p.problem, text, turns[text].tokens)
        for n, text in enumerate(sorted(chosen))
    ]


def task_of(p: Posed, attempts: Sequence[Rollout], settings: SelfPlay, run_seed: int) -> list[Ask] | Reject:
    """The problem as GRPO asks it, with what its attempts are judged by."""
    ident = row_id(NAME, 3, [p.id])
    return [Ask(ident, p.id, 0, p.domain, p.level, list(p.concepts), p.problem, p.answer, list(p.tests))]


def _spread(rng: random.Random, rows: Sequence[Rollout], count: int) -> list[Rollout]:
    """`count` rows in random order, every row once before any repeats."""
    order: list[Rollout] = []
    while len(order) < count:
        order += rng.sample(list(rows), len(rows))
    return order[:count]


def figures(
    r: int, problems: Sequence[Posed], rollouts: Sequence[Rollout], settings: SelfPlay, rows: int,
    track: tuple[float, float, float, float], style: str,
) -> Round:  # fmt: skip
    """What round r was: the filter, what it saved, how the attempts agree with the labels, and the tracked measure."""
    groups = by_problem(rollouts)
    found = [filtered(p, groups[p.id], settings) for p in problems]
    reasons = [f.reason if f else "kept" for f in found]
    votes = [against(p, groups[p.id], style) for p in problems]
    first = (settings.waves or [settings.rollouts])[
        0
    ]  # later waves skip the easy ones: a mean over all is biased
    rates = list(solve_rates(a for a in rollouts if a.sample < first).values())
    return Round(
        f"selfplay-{r}", r, len(problems), len(problems) * settings.rollouts, len(rollouts),
        sum(a.verdict == Verdict.UNSCORED for a in rollouts), sum(a.finish != "stop" for a in rollouts),
        reasons.count("kept"), reasons.count("too_easy"), reasons.count("never_solved"), rows,
        sum(rates) / len(rates) if rates else float("nan"),
        sum(v is not None for v in votes), sum(v is True for v in votes), *track,
    )  # fmt: skip


def against(p: Posed, attempts: Sequence[Rollout], style: str) -> bool | None:
    """Do most attempts agree on an answer that is not the label? None where they agree on nothing, or there is no vote
    (programs, and domains whose checker takes any right answer).

    A strong solver that is sure of another answer is evidence against the label.
    """
    if p.answer is None or get(p.domain, style).check is not None:
        return None
    vote = tally([a.answer for a in attempts], equivalent)
    if not accept(vote, min_votes=2, min_share=0.5, min_margin=1):
        return None
    return not equivalent(p.answer, vote.winner)
