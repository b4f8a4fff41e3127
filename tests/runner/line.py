"""A line of every kind of step without a model: table, map with rejects, explosion, artifact, map behind it.

Run as a program, it is one process of that line: `python -m tests.runner.line DIR [i/n] [runner] [workers]`.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.corridor import opened
from promptcot.errors import UserError
from promptcot.ids import digest, row_seed
from promptcot.recipe import parse
from promptcot.records import Ask, Problem, Reject, Seed
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import Worker
from promptcot.stages.context import Context, asks

ROWS, SHARD_ROWS, SAMPLES = 100, 8, 3


def build() -> tuple[int, list[Seed], list[Reject]]:
    return ROWS, [Seed(digest(["line", n]), "math", "1", f"problem {n}") for n in range(ROWS)], []


def upper(worker: Worker, rows: list[Seed]) -> list[Seed | Reject]:
    return [
        Reject(r.id, "every_tenth") if r.problem.endswith("7")
        else Seed(r.id, r.domain, r.level, f"{r.problem.upper()} {row_seed(worker.seed, r.id) % 97}")
        for r in rows
    ]  # fmt: skip


def solve(worker: Worker, rows: list[Ask], *, model: str) -> list[Problem]:
    weights = (Path(model) / "weights").read_text()
    return [Problem(r.id, r.domain, r.level, [], weights, f"{r.problem}: {r.sample}") for r in rows]


def train(worker: Worker, out: Path, *, texts: list[str]) -> dict[str, Any]:
    (out / "weights").write_text(digest(texts))
    return {"rows": len(texts), "usage": {"trained_tokens": len(texts)}}


def slow_answer(prompt: str, seed: int) -> str:
    time.sleep(0.02)
    return f"{prompt}!"


def fail() -> None:
    raise UserError("the model is not there", do="name another one")


def work(ctx: Context) -> None:
    seeds = ctx.table("seeds", "seeds", Seed, build, params={}, inputs={})
    made = ctx.map(
        "annotate", "upper", Seed, seeds.rows(), upper, params={},
        inputs={"seeds": seeds.digest},
    )  # fmt: skip
    fit = partial(train, texts=[r.problem for r in made.rows()])
    (model,) = ctx.artifacts("coldstart", [("q", fit, {}, {"made": made.digest})])
    fn = partial(solve, model=str(model.artifact))
    inputs = {"made": made.digest, "model": model.digest}
    ctx.map("em", "solved", Problem, asks("line", made.rows(), SAMPLES), fn, params={}, inputs=inputs)


def command(path: Path, shard: str = "0/1", runner: str = "local", workers: int = 1) -> list[str]:
    """One process of it, to be started in the root of the repository."""
    return [sys.executable, "-m", "tests.runner.line", str(path), shard, runner, str(workers)]


def main(path: str, shard: str = "0/1", runner: str = "local", workers: str = "1") -> None:
    recipe = parse(
        {
            "name": "line", "seeds": {"source": "pocket"},
            "run": {"shard_rows": SHARD_ROWS, "runner": runner, "workers": int(workers)},
        }
    )  # fmt: skip
    with opened(recipe, Reporter(quiet=True), path, None, shard) as ctx:
        work(ctx)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as e:
        sys.exit(f"error: {e}")
