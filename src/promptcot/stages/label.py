"""Stage 7. Labels: math by the vote of the labeller's answers, code by unit tests its programs agree on.

The paper labels math by majority of 8 and code by 3-4 model-written tests without vetting; here an answer needs
`min_votes`, and a test's output is what at least `min_votes` programs print (PAPER section 2, notes in docs).
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
from promptcot.ids import digest, row_seed
from promptcot.lm.base import EngineSpec, Prompt
from promptcot.records import Ask, Problem, Reject, Rollout, Suite, SuiteAsk, UnitTest
from promptcot.runner.worker import Worker
from promptcot.settings import Label, Rules
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.solving import attempt, limits, rules_for
from promptcot.store import Step
from promptcot.verify.answers import equivalent
from promptcot.verify.sandbox import run_program
from promptcot.verify.suites import parse_test, vet
from promptcot.verify.vote import tally

NAME = "label"


def run(ctx: Context) -> None:
    """Attempts of the labeller, proposed tests, suites, and the labelled problems."""
    settings, style = ctx.recipe.label, ctx.recipe.templates
    assert settings is not None
    curated = ctx.load("curate", "problems", Problem)
    problems = pick(list(curated.rows()), settings.problems, ctx.recipe.run.seed)
    spec = settings.model.spec()
    inputs = {"problems": curated.digest, "model": model_key(spec.model)}
    params = {**settings.key(), "templates": style, "programs": ctx.recipe.programs.key()}
    solve = partial(
        attempt, model=spec, params=settings.sampling.params(), style=style, rules=ctx.recipe.programs
    )  # fmt: skip
    attempts = ctx.map(
        NAME, "attempts", Rollout, asks(NAME, problems, settings.samples), solve, params=params, inputs=inputs
    )
    code = [p for p in problems if get(p.domain, style).answer_kind == "tests"]
    write = partial(propose_test, model=spec, settings=settings, style=style)
    tests = ctx.map(
        NAME,
        "tests",
        Rollout,
        asks(f"{NAME}-tests", code, settings.tests),
        write,
        params=params,
        inputs=inputs,
    )
    vetting = partial(vet_suite, settings=settings, rules=rules_for(ctx, code))
    suites = ctx.map(
        NAME, "suites", Suite, suite_asks(code, attempts, tests), vetting, params=params,
        inputs={"attempts": attempts.digest, "tests": tests.digest},
    )  # fmt: skip
    labelled = ctx.table(
        NAME, "problems", Problem, lambda: label(problems, attempts, suites, settings, style), params=params,
        inputs={**inputs, "attempts": attempts.digest, "suites": suites.digest}, version=2,
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


def propose_test(
    worker: Worker, rows: list[Ask], *, model: EngineSpec, settings: Label, style: str
) -> list[Rollout | Reject]:
    """One unit test per call, as JSON; what does not parse is rejected with the reason."""
    engine = worker.engine(model)
    prompts = [
        Prompt(row_seed(worker.seed, r.id), messages=get(r.domain, style).test_messages(r.problem))
        for r in rows
    ]
    out: list[Rollout | Reject] = []
    for row, sample in zip(rows, engine.sample(prompts, settings.sampling.params()), strict=True):
        test = parse_test(sample.text)
        if isinstance(test, str):
            out.append(Reject(row.id, test, sample.text[:200]))
        else:
            answer = json.dumps({"input": test.input, "output": test.output})
            out.append(
                Rollout(
                    row.id,
                    row.of,
                    row.domain,
                    row.sample,
                    sample.text,
                    len(sample.ids),
                    sample.finish,
                    answer,
                    "",
                    "",
                )
            )
    return out


def suite_asks(problems: Sequence[Problem], attempts: Step[Rollout], tests: Step[Rollout]) -> list[SuiteAsk]:
    """Per code problem the labeller's programs and the distinct proposed inputs."""
    programs: dict[str, list[str]] = defaultdict(list)
    proposed: dict[str, dict[str, UnitTest]] = defaultdict(dict)
    for row in attempts.rows():
        if row.domain == "code" and row.answer is not None:
            programs[row.problem_id].append(row.answer)
    for row in tests.rows():
        test = UnitTest(**json.loads(row.answer or "{}"))
        proposed[row.problem_id].setdefault(test.input, test)
    return [SuiteAsk(p.id, programs[p.id], list(proposed[p.id].values())) for p in problems]


def vet_suite(worker: Worker, rows: list[SuiteAsk], *, settings: Label, rules: Rules) -> list[Suite | Reject]:
    """Run every program on every proposed input; keep the tests whose output enough of them agree on."""
    return [_vet_one(row, settings, rules) for row in rows]


def _vet_one(row: SuiteAsk, settings: Label, rules: Rules) -> Suite | Reject:
    if not row.tests:
        return Reject(row.id, "no_test_proposed")
    if len(row.programs) < settings.min_votes:
        return Reject(row.id, "too_few_programs", f"{len(row.programs)} programs")
    inputs = [t.input for t in row.tests]
    outputs = {program: stable_outputs(program, inputs, rules) for program in set(row.programs)}
    by_test = [[outputs[program][i] for program in row.programs] for i in range(len(inputs))]
    vetted = vet(list(row.tests), by_test, min_votes=settings.min_votes)
    kept = [v for v in vetted if v.decision != "dropped"]
    if len(kept) < settings.min_tests:
        return Reject(row.id, "too_few_tests", ", ".join(sorted({v.reason for v in vetted if v.reason})))
    return Suite(
        id=row.id, tests=[v.test for v in kept], proposed=len(row.tests),
        confirmed=sum(v.decision == "confirmed" for v in kept),
        relabelled=sum(v.decision == "relabelled" for v in kept),
        programs=len(row.programs), votes=min(v.votes for v in kept), margin=min(v.margin for v in kept),
    )  # fmt: skip


def stable_outputs(program: str, inputs: Sequence[str], rules: Rules) -> list[str | None]:
    """What a program prints for each input; None where it fails or where another hash seed changes it."""
    first, second = (
        [
            r.stdout if r.status == "ok" else None
            for r in run_program(program, inputs, limits(rules), sandbox=rules.sandbox, hash_seed=seed)
        ]
        for seed in (0, 1)
    )
    return [a if a == b else None for a, b in zip(first, second, strict=True)]


def label(
    problems: Sequence[Problem], attempts: Step[Rollout], suites: Step[Suite], settings: Label, style: str
) -> tuple[int, list[Problem], list[Reject]]:
    """Join the evidence to the problems; without an accepted label a problem is rejected."""
    answers: dict[str, list[str | None]] = defaultdict(list)
    for row in attempts.rows():
        answers[row.problem_id].append(row.answer)
    by_suite = {s.id: s for s in suites.rows()}
    why = {r.id: r for r in suites.rejects()}
    kept: list[Problem] = []
    rejects: list[Reject] = []
    for p in problems:
        if get(p.domain, style).answer_kind == "tests":
            made = _with_suite(p, by_suite.get(p.id), why)
        else:
            made = _with_vote(p, answers[p.id], settings)
        (rejects if isinstance(made, Reject) else kept).append(made)  # type: ignore[arg-type]
    return len(problems), kept, rejects


def _with_suite(p: Problem, suite: Suite | None, why: dict[str, Reject]) -> Problem | Reject:
    if suite is None:
        return Reject(p.id, why[p.id].reason, why[p.id].detail)
    return replace(
        p, tests=suite.tests, label_votes=suite.votes, label_samples=suite.programs, label_margin=suite.margin,
        label_histogram=json.dumps({"confirmed": suite.confirmed, "relabelled": suite.relabelled}),
    )  # fmt: skip


def _with_vote(p: Problem, answers: Sequence[str | None], settings: Label) -> Problem | Reject:
    vote = tally(answers, equivalent)
    if not vote.valid:
        return Reject(p.id, "no_answer")
    if vote.winner is None or vote.votes < settings.min_votes:
        return Reject(p.id, "no_majority", f"{vote.votes} of {vote.samples}: {vote.histogram}")
    return replace(
        p, answer=vote.winner, label_votes=vote.votes, label_samples=vote.samples, label_margin=vote.margin,
        label_histogram=json.dumps(vote.histogram),
    )  # fmt: skip
