"""The entry of one model and benchmark in `results.json`, and reading such files back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptcot.curation.words import visible
from promptcot.errors import UserError
from promptcot.evals import elo, standings
from promptcot.evals.benchmarks import definition, read_ids
from promptcot.evals.metrics import summary
from promptcot.evals.tasks import Task
from promptcot.ids import digest
from promptcot.records import Reject, Rollout, Verdict
from promptcot.settings import Benchmark
from promptcot.verify.answers import equivalent

LEGEND = {
    "c": "correct",
    "i": "incorrect",
    "n": "no_answer",
    "q": "unreadable: counts as unsolved",
    "u": "unscored",
}
_LETTER = {Verdict.CORRECT: "c", Verdict.INCORRECT: "i", Verdict.NO_ANSWER: "n", Verdict.UNSCORED: "u"}
Entry = dict[str, Any]


def entry(
    name: str,
    settings: Benchmark,
    tasks: Sequence[Task],
    refused: Sequence[Reject],
    rollouts: Sequence[Rollout],
    seed: int,
) -> Entry:
    """All numbers of one model on one benchmark, with the verdict of every attempt and the rows that were refused.

    Raises:
        UserError: standings that cannot be used.
    """
    what = definition(name)
    samples = settings.samples or what.samples
    out: Entry = {
        "title": what.title, "source": list(settings.source), "paper_problems": what.problems,
        "refused": [r.row() for r in refused],
        **numbers({t.id: t.name for t in tasks}, rollouts, what.domain == "math", samples, seed),
        "texts": {t.name: text_key(t.problem) for t in tasks},
    }  # fmt: skip
    if name == "codeforces":
        if settings.standings:
            rated = rating(submitted(out), settings.standings, settings.ratings, what.samples, seed)
            out["elo"] = asdict(rated)
        else:
            out["elo_missing"] = "no standings: solve@k only (promptcot evaluate elo computes it later)"
    return out


def numbers(
    names: dict[str, str], rollouts: Sequence[Rollout], answers: bool, samples: int, seed: int
) -> Entry:
    """The summary of attempts and their verdicts by problem.

    An attempt that the engine gave up on left no row: it is unscored, and counted as that.

    Args:
        names: Problem id -> the name it has in the results, in order.
        answers: Whether the problems have answers that can be voted on (not programs).
        samples: Attempts that were asked of every problem.
    """
    by_problem: dict[str, dict[int, Rollout]] = {ident: {} for ident in names}
    for rollout in rollouts:
        by_problem[rollout.problem_id][rollout.sample] = rollout
    named = {
        names[ident]: [rows.get(n) or _lost(ident, n) for n in range(samples)] for ident, rows in by_problem.items()
    }  # fmt: skip
    letters = {
        name: "".join("q" if r.unread else _LETTER[Verdict(r.verdict)] for r in rows)
        for name, rows in named.items()
    }
    return {**summary(named, equivalent if answers else None, seed), "verdicts": letters}


def _lost(problem: str, sample: int) -> Rollout:
    return Rollout(
        id=f"{problem}.{sample}", problem_id=problem, domain="", sample=sample, text="", tokens=0, finish="",
        answer=None, verdict=Verdict.UNSCORED.value, reason="engine_failed",
    )  # fmt: skip


def text_key(problem: str) -> str:
    """What tells a problem from others in whatever file it stands: a digest of its text, white space apart."""
    return digest([" ".join(visible(problem).split())])


def solved(found: Entry) -> dict[str, list[bool]]:
    """Problem -> whether each attempt solved it, unscored ones left out; a problem without a verdict is left out."""
    marks = {n: [v == "c" for v in letters if v != "u"] for n, letters in found["verdicts"].items()}
    return {n: m for n, m in marks.items() if m}


def keys(found: Entry, *others: Entry) -> dict[str, str]:
    """Problem -> what it is paired by in `others`: its text (of equal ones also which), or its id where one of the
    entries is of a version that kept no texts."""
    names = list(found["verdicts"])
    if not all("texts" in entry for entry in (found, *others)):
        return {name: name for name in names}
    seen: Counter[str] = Counter()
    out = {}
    for name in names:
        text = found["texts"][name]
        seen[text] += 1
        out[name] = text if seen[text] == 1 else f"{text} {seen[text]}"
    return out


def submitted(found: Entry) -> dict[str, list[bool]]:
    """The same for a rating, where it counts which attempt solved a problem: every problem and attempt is there, and an
    unscored one has not solved it."""
    return {n: [v == "c" for v in letters] for n, letters in found["verdicts"].items()}


def rating(
    marks: dict[str, list[bool]], directory: str, ratings: str, attempts: int | None = None, seed: int = 0
) -> elo.Elo:
    """The Elo of `marks` (as of `submitted`) from the snapshots in `directory`; `ratings` is a table for the percentile,
    or ""."""
    contests = standings.load(directory, elo.by_contest(list(marks)))
    return elo.estimate(marks, contests, elo.read_ratings(ratings) if ratings else None, attempts, seed)


def read_results(path: Path) -> dict[str, dict[str, Entry]]:
    """Model -> benchmark -> entry, of a results.json (or the run directory that holds one).

    Raises:
        UserError: it is not there, or not such a file.
    """
    path = path / "results.json" if path.is_dir() else path
    data = read_json(path)
    try:
        found = {name: dict(model["benchmarks"]) for name, model in data["models"].items()}
        for entries in found.values():
            for entry in entries.values():
                entry["verdicts"].items()
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(
            f"'{path}' is not a results.json", expected="a file that `promptcot evaluate` wrote"
        ) from None
    return found


def read_json(path: Path) -> Any:
    """The file's JSON; UserError where there is none."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise UserError(f"cannot read '{path}': {e}", do="promptcot evaluate --help") from None


def read_marks(path: Path, model: str, ids: str = "") -> dict[str, list[bool]]:
    """Codeforces attempts for a rating: of a results.json, or {"1971A": [false, true, ...], ...} from elsewhere.

    Args:
        model: Which one of a results.json; "" where it is the only one.
        ids: A list of names in the order of the problems, where the results lack the contests' names, or "".

    Raises:
        UserError: neither, no such model, no Codeforces in it, or another number of names.
    """
    data = read_json(path / "results.json" if path.is_dir() else path)
    if isinstance(data, dict) and "models" in data:
        verdicts = _codeforces(path, data["models"], model)
    else:
        ok = isinstance(data, dict) and all(isinstance(v, list) and set(v) <= {0, 1} for v in data.values())
        if not ok or not data:
            raise UserError(
                f"'{path}' holds no results", expected='results.json, or {"1971A": [false, true, ...], ...}'
            )
        verdicts = {name: "".join("ic"[int(v)] for v in values) for name, values in data.items()}
    if ids:
        names = read_ids(ids)
        if len(names) != len(verdicts):
            raise UserError(f"{len(verdicts)} problems and {len(names)} names in '{ids}'")
        verdicts = dict(zip(names, verdicts.values(), strict=True))
    return submitted({"verdicts": verdicts})


def _codeforces(path: Path, models: dict[str, Any], model: str) -> dict[str, str]:
    found = {n: m["benchmarks"]["codeforces"] for n, m in models.items() if "codeforces" in m["benchmarks"]}
    if model not in found and (model or len(found) != 1):
        raise UserError(
            f"'{path}' has Codeforces results of: {', '.join(found) or 'no model'}", do="--model NAME"
        )
    verdicts: dict[str, str] = found[model or next(iter(found))]["verdicts"]
    return verdicts
