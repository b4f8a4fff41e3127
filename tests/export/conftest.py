"""A small finished run, written through the store: math and code, two rounds of pairs, held-out triples, two models."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from promptcot.pocket import MODEL_DIR
from promptcot.records import Decision, Pair, Problem, Record, Trace, Triple, UnitTest
from promptcot.rundir import RunDir
from promptcot.settings import Recipe
from promptcot.shards import write_shard
from promptcot.store import Step

PROBLEMS = [
    Problem("m1", "math", "2", ["gcd"], "Ask for a gcd.", "What is gcd(12, 18)?", answer="6", label_votes=7),
    Problem(
        "c1", "code", "1", ["sums"], "Ask for a sum.", 'Add "two" numbers.\nÜber one line.',
        tests=[UnitTest("1 2\n", "3\n"), UnitTest("4 5\n", "9\n")], label_votes=5,
    ),
]  # fmt: skip
PAIRS = {
    1: [
        Pair("p1", "m1", "math", "What is gcd(12, 18)?", "6 divides both.\n\\boxed{6}", "\\boxed{3}"),
        Pair(
            "p2", "c1", "code", 'Add "two" numbers.\nÜber one line.',
            "```python\nprint(sum(map(int, input().split())))\n```", "```python\nprint(1)\n```",
        ),
    ],
    2: [Pair("p3", "m1", "math", "What is gcd(12, 18)?", "So \\boxed{6}", "Say \\boxed{9}")],
}  # fmt: skip
TRACES = [
    Trace("t1", "m1", "math", "What is gcd(12, 18)?", "12 = 2*6, 18 = 3*6.\n\\boxed{6}", 12),
    Trace("t2", "c1", "code", 'Add "two" numbers.\nÜber one line.', "```python\nprint(3)\n```", 8),
]
TRIPLES = [
    Triple(
        "z1", "s1", "math", "2", "train", "precise", ["gcd", "lcm"], "Two numbers, one gcd.", "gcd(4, 6)?"
    ),
    Triple("z2", "s2", "math", "2", "heldout", "precise", ["gcd"], "Held out.", "gcd(8, 6)?"),
    Triple("z3", "s3", "code", "1", "train", "vague", ["sums"], "A sum.", "Print the sum."),
]


def recipe(**changes: Any) -> Recipe:
    """A recipe of served models with paths of one machine in it, nothing of the pocket world."""
    training = {"lr": 1e-5}
    data = {
        "name": "my-run", "templates": "promptcot2", "run": {"seed": 7},
        "seeds": {"source": "jsonl", "path": "/data/secret/seeds.jsonl"},
        "coldstart": {"base": {"model": "org/base"}, "training": training},
        "em": {"training": training}, "synthesize": {"problems": 2}, "curate": {},
        "label": {"model": {"model": "org/labeller"}},
        "selfplay": {"model": {"model": "org/solver"}, "rounds": 2, "training": training},
        "distill": {"student": {"model": "/models/my-student"}, "teacher": {"model": "org/teacher"}, "training": training},
    }  # fmt: skip
    return Recipe.model_validate({**data, **changes})


def put(run: RunDir, stage: str, name: str, shards: Sequence[Sequence[Record]]) -> None:
    """A finished step with these shards."""
    step: Step[Any] = run.step(stage, name, type(shards[0][0]), {}, {}, 1)
    for n, rows in enumerate(shards):
        step.append(write_shard(step.path, n, type(rows[0]), rows, []))
    step.finish(sum(map(len, shards)))


def put_model(run: RunDir, stage: str, name: str) -> None:
    """A finished model step that holds the packaged model."""
    step = run.step(stage, name, Record, {}, {}, 1)
    shutil.copytree(MODEL_DIR, step.path / ".made")
    step.put_artifact(step.path / ".made")
    step.finish(0, {"artifact": "1" * 32})


def make(path: Path, made_with: Recipe, shards: int = 1) -> Path:
    """The run directory; `shards` > 1 cuts the tables of problems and traces into single rows."""
    run = RunDir(path, made_with)

    def cut(rows: Sequence[Record]) -> list[Sequence[Record]]:
        return [rows] if shards == 1 else [[row] for row in rows]

    put(run, "annotate", "triples", [TRIPLES])
    put(run, "label", "problems", cut(PROBLEMS))
    for r, rows in PAIRS.items():
        put(run, "selfplay", f"pairs{r}", [rows])
    put(run, "distill", "traces", cut(TRACES))
    put(run, "em", "decision", [[Decision("em-2", 1, 2, "worse", "kept 1")]])
    put(run, "selfplay", "decision", [[Decision("selfplay-2", 2, 2, "max_rounds", "all 2 rounds ran")]])
    run.close()
    return path


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, with its models."""
    path = make(tmp_path_factory.mktemp("runs") / "my-run", recipe())
    run = RunDir(path, recipe())
    for stage, name in (
        ("coldstart", "q"),
        ("em", "p1"),
        ("em", "p2"),
        ("selfplay", "solver2"),
        ("distill", "student"),
    ):
        put_model(run, stage, name)
    run.close()
    return path
