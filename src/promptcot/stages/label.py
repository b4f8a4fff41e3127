"""Stage 7. Labels: math by the vote of the labeller's answers, code by unit tests its programs agree on.

The paper labels math by majority of 8 and code by 3-4 model-written tests without vetting; here an answer needs
`min_votes`, and a test what `label.vetting` asks for (PAPER section 2, notes in docs).

With `waves` the answers are drawn a few at a time, and a problem whose vote no further answer can change gets no
more. The labels are those of all `samples` (an answer with two readings, as 5% is 5 or 0.05, apart), but the answers
on disk are then no fair sample: divided problems have more of them, and the agreement of a problem that was decided
early is that of the first ones. The first wave is fair (it is drawn for every problem, whole, so short answers are not
preferred): take rates from it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from heapq import nsmallest

from promptcot.domains import get
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.records import Ballot, Problem, Reject, Rollout, Suite, Verdict
from promptcot.settings import Label
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.solving import attempt, rules_for
from promptcot.stages.suites import propose_test, suite_asks, vet_suite
from promptcot.store import Step
from promptcot.verify.vote import Equivalent, decided, tally

NAME = "label"
Attempts = dict[str, list[str | None]]  # problem id -> answers in the order of their sample index


def run(ctx: Context) -> None:
    """Attempts of the labeller, proposed tests, suites, and the labelled problems."""
    settings, style = ctx.recipe.label, ctx.recipe.templates
    assert settings is not None
    curated = ctx.load("curate", "problems", Problem)
    problems = pick(list(curated.rows()), settings.problems, ctx.recipe.run.seed)
    given = [p for p in problems if p.answer is not None or p.tests]  # came with the import (synthesize.path)
    problems = [p for p in problems if p.answer is None and not p.tests]
    code = [p for p in problems if get(p.domain, style).answer_kind == "tests"]
    attempts = draw(ctx, settings, problems, {p.id for p in code}, curated.digest)
    answers = answers_of(attempts)
    drawn = {f"attempts{n}": step.digest for n, step in enumerate(attempts, 1)}
    suites = make_suites(ctx, settings, code, answers, {"problems": curated.digest, **drawn})
    policy = {
        "min_votes": settings.min_votes, "problems": settings.problems, "weak": settings.vetting.weak,
        "needs_checker": settings.vetting.needs_checker,
    }  # fmt: skip
    labelled = ctx.table(
        NAME, "problems", Problem, lambda: with_given(given, label(problems, answers, suites, settings, style)), params=policy,
        inputs={"problems": curated.digest, **drawn, "suites": suites.digest}, version=5,
    )  # fmt: skip
    if not labelled.totals()["rows_out"]:
        raise UserError(
            f"no problem got a label: {labelled.totals()['reasons']}",
            expected=f"answers that {settings.min_votes} of {settings.samples} attempts agree on",
            do="a stronger label.model, or fewer label.min_votes; promptcot show RUN label/problems --rejects",
        )


def pick(problems: Sequence[Problem], limit: int, run_seed: int) -> Sequence[Problem]:
    """All problems, or a random `limit` of them (by a digest, so the choice is stable)."""
    if not limit or len(problems) <= limit:
        return problems
    return nsmallest(limit, problems, key=lambda p: digest([run_seed, p.id]))


# --- attempts, in waves


def draw(
    ctx: Context, settings: Label, problems: Sequence[Problem], code: set[str], source: str
) -> list[Step[Rollout]]:
    """One step of attempts per wave, and after each but the last a table of where the votes stand.

    Programs are all drawn in the first wave: the tests need every one of them.
    """
    spec = settings.model.spec()
    solve = partial(
        attempt, model=spec, params=settings.sampling.params(), style=ctx.recipe.templates, rules=ctx.recipe.programs
    )  # fmt: skip
    params = {
        "model": settings.model.key(), "sampling": settings.sampling.key(), "templates": ctx.recipe.templates,
        "samples": settings.samples, "waves": settings.waves, "problems": settings.problems,
    }  # fmt: skip
    inputs = {"problems": source, "model": model_key(spec.model)}
    steps: list[Step[Rollout]] = []
    still, first = list(problems), 0
    for wave, size in enumerate(waves := settings.waves or [settings.samples], 1):
        rows = [
            ask
            for p in still
            for ask in asks(NAME, [p], settings.samples if p.id in code else first + size)[first:]
        ]
        name = "attempts" if wave == 1 else f"attempts{wave}"
        steps.append(ctx.map(NAME, name, Rollout, rows, solve, params=params, inputs=inputs, version=3))
        if wave == len(waves):
            break
        first += size
        voting = [p for p in still if p.id not in code]
        votes = ctx.table(
            NAME, f"votes{wave}", Ballot, partial(ballots, voting, steps, wave, settings, ctx.recipe.templates),
            params={"min_votes": settings.min_votes, "samples": settings.samples},
            inputs={f"attempts{n}": step.digest for n, step in enumerate(steps, 1)}, version=2,
        )  # fmt: skip
        is_open = {b.id for b in votes.rows() if b.decision == "open"}
        still = [p for p in still if p.id in is_open]
        inputs = {**inputs, "votes": votes.digest}
    return steps


def answers_of(attempts: Sequence[Step[Rollout]]) -> Attempts:
    """The answers of every problem, in the order of their sample index; what its domain's checker refused has no vote."""
    answers: Attempts = defaultdict(list)
    for step in attempts:
        for row in step.rows():
            answers[row.problem_id].append(None if row.verdict == Verdict.INCORRECT else row.answer)
    return answers


def ballots(
    voting: Sequence[Problem], attempts: Sequence[Step[Rollout]], wave: int, settings: Label, style: str
) -> tuple[int, list[Ballot], list[Reject]]:
    """Where each vote stands: decided, whatever the samples still to come say, or open."""
    answers = answers_of(attempts)
    out = []
    for p in voting:
        vote = tally(answers[p.id], get(p.domain, style).same)
        certain = decided(vote, settings.samples - vote.samples, settings.min_votes)
        decision = {None: "open", True: "accepted", False: "refused"}[certain]
        out.append(Ballot(p.id, wave, vote.samples, vote.votes, vote.margin, decision))
    return len(voting), out, []


# --- suites


def make_suites(
    ctx: Context, settings: Label, code: list[Problem], answers: Attempts, inputs: dict[str, str]
) -> Step[Suite]:
    """Proposed tests, and what vetting by the labeller's programs left of them."""
    spec, style = settings.model.spec(), ctx.recipe.templates
    write = partial(propose_test, model=spec, settings=settings, style=style)
    params = {
        "model": settings.model.key(), "sampling": settings.sampling.key(), "templates": style,
        "tests": settings.tests, "problems": settings.problems,
    }  # fmt: skip
    tests = ctx.map(
        NAME, "tests", Rollout, asks(f"{NAME}-tests", code, settings.tests), write, params=params,
        inputs={"problems": inputs["problems"], "model": model_key(spec.model)}, version=3,
    )  # fmt: skip
    evidence = {k: v for k, v in settings.vetting.key().items() if k not in ("weak", "needs_checker")}
    programs = {p.id: [a for a in answers[p.id] if a is not None] for p in code}
    vetting = partial(vet_suite, settings=settings, rules=rules_for(ctx, code))
    return ctx.map(
        NAME, "suites", Suite, suite_asks(code, programs, tests), vetting,
        params={**evidence, "min_tests": settings.min_tests, "programs": ctx.recipe.programs.key()},
        inputs={**inputs, "tests": tests.digest}, version=3,
    )  # fmt: skip


# --- labels


def label(
    problems: Sequence[Problem], answers: Attempts, suites: Step[Suite], settings: Label, style: str
) -> tuple[int, list[Problem], list[Reject]]:
    """Join the evidence to the problems; without an accepted label a problem is rejected."""
    by_suite: dict[str, Suite | Reject] = {s.id: s for s in suites.rows()}
    by_suite |= {r.id: r for r in suites.rejects()}
    kept: list[Problem] = []
    rejects: list[Reject] = []
    for p in problems:
        if get(p.domain, style).answer_kind == "tests":
            made = with_suite(p, by_suite[p.id], settings)
        else:
            made = with_vote(p, answers[p.id], settings, get(p.domain, style).same)
        (rejects if isinstance(made, Reject) else kept).append(made)  # type: ignore[arg-type]
    return len(problems), kept, rejects


def with_given(
    given: list[Problem], made: tuple[int, list[Problem], list[Reject]]
) -> tuple[int, list[Problem], list[Reject]]:
    """The table with the problems that needed no label in front; they have no votes to show."""
    rows_in, kept, rejects = made
    return rows_in + len(given), given + kept, rejects


def with_suite(p: Problem, suite: Suite | Reject, settings: Label) -> Problem | Reject:
    """The problem with its tests, unless a flag of theirs rules it out."""
    if isinstance(suite, Reject):
        return suite
    fatal = {"too_few_tests": True, "needs_checker": settings.vetting.needs_checker == "drop",
             "weak": settings.vetting.weak == "drop"}  # fmt: skip
    for flag in suite.flags:
        if fatal[flag]:
            return Reject(p.id, flag, f"of {suite.proposed} tests dropped: {suite.dropped}; {suite.mutants_killed} of "
                          f"{suite.mutants} mutants caught")  # fmt: skip
    return replace(
        p, tests=suite.tests, label_votes=suite.votes, label_samples=suite.programs, label_margin=suite.margin,
        label_histogram=json.dumps({"confirmed": suite.confirmed, "relabelled": suite.relabelled}),
        label_flags=suite.flags, mutants=suite.mutants, mutants_killed=suite.mutants_killed,
    )  # fmt: skip


def with_vote(
    p: Problem, answers: Sequence[str | None], settings: Label, same: Equivalent
) -> Problem | Reject:
    """The problem with the winner of the vote, if it has the votes."""
    vote = tally(answers, same)
    if not vote.valid:
        return Reject(p.id, "no_answer")
    if vote.winner is None or vote.votes < settings.min_votes:
        return Reject(p.id, "no_majority", f"{vote.votes} of {vote.samples}: {vote.histogram}")
    return replace(
        p, answer=vote.winner, label_votes=vote.votes, label_samples=vote.samples, label_margin=vote.margin,
        label_histogram=json.dumps(vote.histogram),
    )  # fmt: skip
