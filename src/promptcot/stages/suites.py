"""Unit tests for code problems: proposed by the labeller, vetted by its programs, tried on mutants.

The suites table holds evidence and flags; what a flag means for a problem is the label stage's to decide, so another
policy runs no program anew. The vetting itself: `verify.suites`, `verify.mutants`, docs/verification-programs.md.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptcot.domains import get
from promptcot.ids import row_seed
from promptcot.lm.base import EngineSpec, Failure, Prompt, draw
from promptcot.records import Ask, Problem, Reject, Rollout, Suite, SuiteAsk, UnitTest
from promptcot.runner.worker import Worker
from promptcot.settings import Label, Rules
from promptcot.stages.solving import limits
from promptcot.store import Step
from promptcot.verify.mutants import caught_by, mutants_of
from promptcot.verify.sandbox import run_program
from promptcot.verify.suites import (
    VettedTest,
    by_separation,
    consensus,
    copies_sample,
    needs_checker,
    parse_test,
    passes,
    vet,
)


def propose_test(
    worker: Worker, rows: list[Ask], *, model: EngineSpec, settings: Label, style: str
) -> list[Rollout | Reject]:
    """One unit test per call, as JSON; what does not parse or copies the statement is rejected with the reason."""
    engine = worker.engine(model)
    prompts = [
        Prompt(row_seed(worker.seed, r.id), messages=get(r.domain, style).test_messages(r.problem))
        for r in rows
    ]
    out: list[Rollout | Reject] = []
    for row, sample in zip(rows, draw(engine, prompts, settings.sampling.params()), strict=True):
        if isinstance(sample, Failure):
            out.append(sample.reject(row.id))
            continue
        test = parse_test(sample.text)
        if isinstance(test, UnitTest) and copies_sample(test, row.problem):
            test = "copies_sample"
        if isinstance(test, str):
            out.append(Reject(row.id, test, sample.text[:200]))
        else:
            answer = json.dumps({"input": test.input, "output": test.output})
            out.append(
                Rollout(
                    row.id, row.of, row.domain, row.sample, sample.text, sample.tokens, sample.finish, answer, "", ""
                )
            )  # fmt: skip
    return out


def suite_asks(
    problems: Sequence[Problem], programs: dict[str, list[str]], tests: Step[Rollout]
) -> list[SuiteAsk]:
    """Per code problem the labeller's programs and the distinct proposed inputs."""
    proposed: dict[str, dict[str, UnitTest]] = defaultdict(dict)
    for row in tests.rows():
        test = UnitTest(**json.loads(row.answer or "{}"))
        proposed[row.problem_id].setdefault(test.input, test)
    return [
        SuiteAsk(p.id, p.problem, programs.get(p.id, []), list(proposed[p.id].values())) for p in problems
    ]


def vet_suite(worker: Worker, rows: list[SuiteAsk], *, settings: Label, rules: Rules) -> list[Suite | Reject]:
    """Run every program on every proposed input; keep the tests that they agree on, and try mutants on those."""
    return [vet_one(row, settings, rules, worker.seed) for row in rows]


def vet_one(row: SuiteAsk, settings: Label, rules: Rules, run_seed: int) -> Suite | Reject:
    """The suite of one problem with its evidence; a reject where there is none to gather."""
    v = settings.vetting
    if not row.tests:
        return Reject(row.id, "no_test_proposed")
    if len(row.programs) < v.votes:
        return Reject(row.id, "too_few_programs", f"{len(row.programs)} programs")
    ran = Ran.of(row, rules)
    vetted = vet(row.tests, ran.by_test(range(len(row.tests))), v.votes, v.share, v.margin, v.relabel)
    agreed = [i for i, test in enumerate(vetted) if test.decision != "dropped"]
    leading = consensus([vetted[i].test for i in agreed], ran.by_test(agreed))
    kept = [agreed[i] for i in leading]
    vetted = [
        replace(test, decision="dropped", reason="consensus") if i in agreed and i not in kept else test
        for i, test in enumerate(vetted)
    ]
    flags = ["needs_checker"] if needs_checker(row.problem, vetted) else []
    if len(kept) < settings.min_tests:
        flags.append("too_few_tests")
    tests, tried = (
        ([vetted[i] for i in kept], Tried()) if flags else trial(row, vetted, kept, ran, settings, rules, run_seed)
    )  # fmt: skip
    if not flags and tried.weak(v.min_kill):
        flags.append("weak")
    return _suite(row, vetted, tests, tried, flags)


def _suite(
    row: SuiteAsk, vetted: Sequence[VettedTest], kept: Sequence[VettedTest], tried: Tried, flags: list[str]
) -> Suite:
    dropped = Counter(test.reason for test in vetted if test.decision == "dropped")
    if unused := sum(test.decision != "dropped" for test in vetted) - len(kept):
        dropped["adds_nothing"] = unused
    shares = [test.votes / test.valid for test in kept]
    return Suite(
        id=row.id, tests=[test.test for test in kept], proposed=len(row.tests),
        confirmed=sum(test.decision == "confirmed" for test in kept),
        relabelled=sum(test.decision == "relabelled" for test in kept), dropped=json.dumps(dropped, sort_keys=True),
        programs=len(row.programs), votes=min((test.votes for test in kept), default=0),
        margin=min((test.margin for test in kept), default=0),
        agreement=sum(shares) / len(shares) if shares else 0.0, failing=tried.failing, mutants=tried.mutants,
        mutants_killed=tried.killed, flags=flags,
    )  # fmt: skip


# --- what the tests catch


@dataclass(frozen=True)
class Tried:
    """Wrong programs that a suite was tried on: the labeller's own, and mutants of those that pass."""

    failing: int = 0
    mutants: int = 0
    killed: int = 0

    def weak(self, min_kill: float) -> bool:
        """Too few mutants caught, or nothing at all?"""
        return self.killed < min_kill * self.mutants or not (self.failing or self.killed)


def trial(
    row: SuiteAsk, vetted: Sequence[VettedTest], kept: Sequence[int], ran: Ran, settings: Label, rules: Rules, run_seed: int
) -> tuple[list[VettedTest], Tried]:  # fmt: skip
    """The kept tests, those that catch most first; a test that catches nothing goes while `min_tests` are left."""
    failed = {
        program: {i for i, k in enumerate(kept) if not passes(vetted[k].test, outputs[k])}
        for program, outputs in ran.outputs.items()
    }
    # A program that prints nothing on any of them is caught by anything.
    alive = [p for p in failed if any(ran.outputs[p][k] is not None for k in kept)]
    failing = [p for p in alive if failed[p]]
    order = by_separation([{n for n, p in enumerate(failing) if i in failed[p]} for i in range(len(kept))])
    tests = [vetted[kept[i]] for i in order]
    accepted = [p for p in failed if not failed[p]]
    made = mutants_of(accepted, settings.vetting.mutants, row_seed(run_seed, row.id))
    # A mutant that never ends is caught as soon as it has had what the programs needed.
    full = limits(rules)
    short = replace(full, cpu_s=min(full.cpu_s, 1 + math.ceil(2 * ran.slowest_s)))
    caught = caught_by(made, [t.test for t in tests], short, sandbox=rules.sandbox)
    useful = {n for n, i in enumerate(order) if any(i in failed[p] for p in failing)} | set(caught)
    spare = [n for n in range(len(tests)) if n not in useful]
    spare = spare[: max(0, settings.min_tests - (len(tests) - len(spare)))]
    chosen = [test for n, test in enumerate(tests) if n in useful or n in spare]
    return chosen, Tried(len(failing), len(caught), sum(n >= 0 for n in caught))


# --- running the labeller's programs


@dataclass(frozen=True)
class Ran:
    """What each program printed for each proposed input; None where it failed or where another hash seed changed it.

    programs: As sampled, repeats included. outputs: by program. slowest_s: the most CPU that one run took.
    """

    programs: list[str]
    outputs: dict[str, list[str | None]]
    slowest_s: float

    @classmethod
    def of(cls, row: SuiteAsk, rules: Rules) -> Ran:
        """Run every distinct program twice, with different orders of sets and dicts of strings."""
        inputs = [test.input for test in row.tests]
        outputs: dict[str, list[str | None]] = {}
        slowest_s = 0.0
        for program in dict.fromkeys(row.programs):
            first, second = (
                run_program(program, inputs, limits(rules), sandbox=rules.sandbox, hash_seed=seed)
                for seed in (0, 1)
            )
            outputs[program] = [
                a.stdout if a.status == b.status == "ok" and a.stdout == b.stdout else None
                for a, b in zip(first, second, strict=True)
            ]
            slowest_s = max([slowest_s, *(run.cpu_s for run in first if run.status == "ok")])
        return cls(row.programs, outputs, slowest_s)

    def by_test(self, tests: Sequence[int]) -> list[list[str | None]]:
        """For each of these tests the output of every program."""
        return [[self.outputs[program][i] for program in self.programs] for i in tests]
