"""Attempts at problems, shared by labels, self-play and evaluation: sample, extract, judge."""

from __future__ import annotations

from collections.abc import Sequence

from promptcot.domains import get
from promptcot.domains.base import Domain
from promptcot.evals.tasks import Task
from promptcot.ids import row_seed
from promptcot.lm.base import EngineSpec, Failure, Prompt, SamplingParams, draw
from promptcot.records import Ask, Problem, Reject, Rollout, Seed, Verdict
from promptcot.runner.worker import Worker
from promptcot.settings import Rules
from promptcot.stages.context import Context
from promptcot.verify.answers import compare
from promptcot.verify.programs import check_program
from promptcot.verify.sandbox import Limits, choose


def rules_for(ctx: Context, rows: Sequence[Seed | Problem | Task]) -> Rules:
    """The recipe's rules with the back end that this run uses, if there are programs to run at all.

    The driver chooses, before any work is done, and the workers may not choose anew: the same run never runs in
    two ways without a word. The steps' headers name the back end.

    Raises:
        UserError: there is no sandbox here, or a package is missing, with what to do.
    """
    rules = ctx.recipe.programs
    if not any(get(row.domain, ctx.recipe.templates).answer_kind == "tests" for row in rows):
        return rules
    backend = choose(rules.sandbox, tuple(rules.packages))
    ctx.run.facts["program_runner"] = str(backend)
    return rules.model_copy(update={"sandbox": backend.name})


def limits(rules: Rules) -> Limits:
    """The recipe's limits for one program."""
    return Limits(
        wall_s=rules.wall_s,
        cpu_s=rules.wall_s + 1,
        memory_mb=rules.memory_mb,
        output_bytes=rules.output_kb * 1024,
        packages=tuple(rules.packages),
    )


def attempt(
    worker: Worker, rows: list[Ask], *, model: EngineSpec, params: SamplingParams, style: str, rules: Rules
) -> list[Rollout | Reject]:
    """One attempt per row. Rows that can be judged (`judgeable`) get a verdict; the others keep an empty one."""
    engine = worker.engine(model)
    domains = [get(r.domain, style) for r in rows]
    prompts = [
        Prompt(row_seed(worker.seed, r.id), messages=d.solve_messages(r.problem))
        for r, d in zip(rows, domains, strict=True)
    ]
    out: list[Rollout | Reject] = []
    for row, domain, sample in zip(rows, domains, draw(engine, prompts, params), strict=True):
        if isinstance(sample, Failure):
            out.append(sample.reject(row.id))
            continue
        answer = domain.answer(sample.text) if sample.finish == "stop" else None
        verdict, reason = judge(domain, row, sample.text, answer, sample.finish, rules)
        out.append(
            Rollout(
                id=row.id, problem_id=row.of, domain=row.domain, sample=row.sample, text=sample.text,
                tokens=sample.tokens, finish=sample.finish, answer=answer, verdict=verdict, reason=reason,
            )
        )  # fmt: skip
    return out


def judgeable(row: Ask | Problem | Seed, style: str) -> bool:
    """Is there anything to judge an attempt by: an answer, tests, or the domain's own checker?"""
    return row.answer is not None or bool(row.tests) or get(row.domain, style).check is not None


def judge(
    domain: Domain, row: Ask, text: str, answer: str | None, finish: str, rules: Rules
) -> tuple[str, str]:
    """(verdict, reason) of one attempt at `row`; ("", "") when there is nothing to judge it by."""
    if row.answer is None and not row.tests and domain.check is None:
        return "", ""
    if answer is None:
        return Verdict.NO_ANSWER.value, "truncated" if finish == "length" else "no_final_answer"
    if domain.check is not None:
        right = domain.check(row.problem, answer)
        return (Verdict.CORRECT.value, "accepted") if right else (Verdict.INCORRECT.value, "refused")
    if domain.answer_kind == "tests":
        verdict, reason, _ = check_program(answer, row.tests, limits(rules), sandbox=rules.sandbox, stop=True)
        return verdict.value, reason
    verdict, reason = compare(row.answer, answer)
    return verdict.value, reason
