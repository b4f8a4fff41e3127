"""Evaluation before and after, difficulty, and (where the world knows) how right the labels are."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from promptcot.analysis.statistics import mean_ci, paired_difference, wilson
from promptcot.records import Problem, Rollout, Seed, Suite, Verdict
from promptcot.verify.answers import equivalent, is_read
from promptcot.verify.outputs import same_output


def solve_rates(rollouts: Iterable[Rollout]) -> dict[str, float]:
    """Share of correct attempts per problem; those that no score counts are left out (`Rollout.counts`)."""
    marks: dict[str, list[bool]] = defaultdict(list)
    for r in rollouts:
        if r.counts:
            marks[r.problem_id].append(r.verdict == Verdict.CORRECT)
    return {k: sum(v) / len(v) for k, v in marks.items()}


def unread(rollouts: Iterable[Rollout]) -> dict[str, Any]:
    """How many answers the checker could not read, with the most frequent ones as written.

    Attempts that were not judged (those of a labeller) are asked whether their answer can equal anything but itself.
    """
    answers, missed = 0, Counter[str]()
    for r in rollouts:
        if r.domain != "math" or r.answer is None:
            continue
        answers += 1
        if r.unread or (not r.verdict and not is_read(r.answer)):
            missed[r.answer] += 1
    return {
        "answers": answers,
        "unread": missed.total(),
        "examples": [text for text, _ in missed.most_common(5)],
    }


def compare(
    regime: str,
    before: dict[str, float],
    after: dict[str, float],
    problems: Sequence[Seed],
    samples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows before/after with intervals over problems: all, by domain, by domain and level."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for p in problems:
        if p.id in before and p.id in after:
            for key in (("all", "all"), (p.domain, "all"), (p.domain, p.level)):
                groups[key].append(p.id)
    out = []
    for (domain, level), ids in sorted(
        groups.items(), key=lambda kv: (kv[0][0] != "all", kv[0][0], kv[0][1] != "all", kv[0][1])
    ):
        a, b = [before[i] for i in ids], [after[i] for i in ids]
        difference = paired_difference(a, b, seed, shares=True)
        out.append(
            {
                "regime": regime, "metric": f"avg@{samples}", "split": "heldout", "domain": domain, "level": level,
                "before": _estimate(a, seed), "after": _estimate(b, seed),
                "difference": {"mean": difference.mean, "ci95": list(difference.ci95)},
                "problems": len(ids), "samples": samples,
            }
        )  # fmt: skip
    return out


def _estimate(values: Sequence[float], seed: int) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "ci95": list(mean_ci(values, seed, shares=True))}


def difficulty(rollouts: Iterable[Rollout], samples: int) -> list[dict[str, int]]:
    """How many problems were solved 0, 1, ..., `samples` times."""
    rates = solve_rates(rollouts)
    counts = Counter(round(v * samples) for v in rates.values())
    return (
        [{"solved": k, "of": samples, "problems": counts.get(k, 0)} for k in range(samples + 1)]
        if rates
        else []
    )


def pocket_truth(
    made: Sequence[Problem], curated: Sequence[Problem], labelled: Sequence[Problem]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(labels, validity): accuracy of accepted labels and share of well-formed problems, against the world's truth."""
    from promptcot.pocket.world import truth

    labels, validity = [], []
    for domain in sorted({p.domain for p in made}):
        written = [p for p in made if p.domain == domain]
        well_formed = sum(truth(p.problem) is not None for p in written)
        validity.append(
            {"domain": domain, "problems": len(written), "well_formed": well_formed, "share": well_formed / len(written),
             "ci95": list(wilson(well_formed, len(written)))}
        )  # fmt: skip
        accepted = [p for p in labelled if p.domain == domain]
        known = [(p, t) for p in accepted if (t := truth(p.problem)) is not None]
        right = sum(label_right(p, t) for p, t in known)
        labels.append(
            {"domain": domain, "asked": sum(p.domain == domain for p in curated), "accepted": len(accepted),
             "truth_known": len(known), "right": right, "accuracy": right / len(known) if known else None,
             "ci95": list(wilson(right, len(known))) if known else None}
        )  # fmt: skip
    return labels, validity


def label_right(problem: Problem, truth: Any) -> bool:
    """Whether a label agrees with the world: the answer, or every test's output."""
    if problem.domain == "math":
        return problem.answer is not None and equivalent(truth.answer, problem.answer)
    outputs = truth.check_output([t.input for t in problem.tests])
    return all(
        o is not None and same_output(o, t.output) for o, t in zip(outputs, problem.tests, strict=True)
    )


def vetting(suites: Sequence[Suite]) -> dict[str, Any]:
    """What vetting left of the proposed tests, over all problems that had tests and programs.

    flipped: share of the kept tests whose own output the programs overruled. agreement: mean over problems of the
    share of valid outputs behind a kept test. kill_rate: a lower bound, as some mutants mean the same.
    """
    dropped: Counter[str] = Counter()
    for suite in suites:
        dropped.update(json.loads(suite.dropped))
    confirmed, relabelled, mutants, killed = (
        sum(getattr(s, name) for s in suites)
        for name in ("confirmed", "relabelled", "mutants", "mutants_killed")
    )
    kept = [s for s in suites if s.tests]
    return {
        "problems": len(suites), "proposed": sum(s.proposed for s in suites), "confirmed": confirmed,
        "relabelled": relabelled, "dropped": dict(dropped.most_common()),
        "flipped": relabelled / (confirmed + relabelled) if kept else None,
        "agreement": sum(s.agreement for s in kept) / len(kept) if kept else None,
        "mutants": mutants, "killed": killed, "kill_rate": killed / mutants if mutants else None,
        "flags": dict(Counter(flag for s in suites for flag in s.flags).most_common()),
    }  # fmt: skip
