"""What a stage works with: the recipe, the run directory, the runner. A stage is read -> map -> write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from promptcot.domains import get
from promptcot.domains.base import Domain
from promptcot.errors import UserError
from promptcot.ids import row_id
from promptcot.records import Ask, Problem, Record, Reject, Seed
from promptcot.rundir import RunDir, folder
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import ArtifactFunction, MapFunction, peak_rss_mb
from promptcot.settings import Recipe
from promptcot.store import Commit, Step, rows_digest, write_shard

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Context:
    """One run of the corridor."""

    recipe: Recipe
    run: RunDir
    runner: LocalRunner
    reporter: Reporter
    clock: Clock

    def domain(self, name: str) -> Domain:
        """The domain with this recipe's templates."""
        return get(name, self.recipe.templates)

    def load(self, stage: str, name: str, record: type[R]) -> Step[R]:
        """A finished step of an earlier stage."""
        return Step.load(self.run.path / folder(stage) / name, record)

    def has(self, stage: str, name: str) -> bool:
        """Is this step finished?"""
        return (self.run.path / folder(stage) / name / "done.json").exists()

    def artifact_path(self, stage: str, name: str) -> str:
        """The directory a finished step made."""
        return str(self.load(stage, name, Record).artifact)

    def map(
        self, stage: str, name: str, record: type[R], rows: Sequence[Record], fn: MapFunction,
        *, params: Any, inputs: dict[str, str], version: int = 1,
    ) -> Step[R]:  # fmt: skip
        """Every row of `rows` through `fn` in the workers: one output or one reject for each."""
        step = self.run.step(stage, name, record, params, inputs, version)
        if not step.done:
            self.runner.map(step, rows, len(rows), fn)
        return step

    def table(
        self, stage: str, name: str, record: type[R], build: Callable[[], tuple[int, Iterable[R], Sequence[Reject]]],
        *, params: Any, inputs: dict[str, str], version: int = 1,
    ) -> Step[R]:  # fmt: skip
        """A whole table at once: `build` returns (rows in, rows out, rejects). For joins, votes, dedup."""
        step = self.run.step(stage, name, record, params, inputs, version)
        if step.done:
            return step
        rows_in, out, rejects = build()
        rows = list(out)
        size, reasons = write_shard(step.path, 0, record, rows, rejects)
        commit = Commit(
            shard=0, rows_in=rows_in, rows_out=len(rows), rejected=len(rejects), digest=f"{rows_digest(rows):032x}",
            rejects_digest=f"{rows_digest(rejects):032x}", bytes=size, seconds=0.0, usage={}, reasons=reasons,
            peak_rss_mb=peak_rss_mb(),
        )  # fmt: skip
        step.append(commit)
        step.finish(rows_in)
        self.reporter.line(f"  {step.name:<28} {len(rows):>6} rows" + _because(reasons))
        return step

    def artifacts(
        self, stage: str, jobs: Sequence[tuple[str, ArtifactFunction, Any, dict[str, str]]], version: int = 1
    ) -> list[Step[Record]]:
        """Directories made by workers, in parallel: (name, function, params, inputs) each."""
        steps = [
            self.run.step(stage, name, Record, params, inputs, version) for name, _, params, inputs in jobs
        ]
        todo = [(step, job[1]) for step, job in zip(steps, jobs, strict=True) if not step.done]
        if todo:
            self.runner.artifacts(todo)
        return steps


def check_rejects(step: Step[R], limit: float, key: str) -> None:
    """Fail the stage when too many rows were rejected; the rejects are already on disk.

    Raises:
        UserError: the share of rejects exceeds `limit`; the first three are shown.
    """
    totals = step.totals()
    bad = totals["rejected"] - totals["reasons"].get("not_sampled", 0)
    if bad > limit * totals["rows_in"]:
        first = "; ".join(f"{r.reason} ({r.detail})" for r in islice(step.rejects(), 3))
        raise UserError(
            f"{step.name}: {bad} of {totals['rows_in']} rows rejected: {totals['reasons']}. First: {first}",
            expected=f"a share of at most {limit} ({key})",
            do=f"mend the input, or --set {key}=1.0 to go on without these rows",
        )


def _because(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    return ", rejected: " + ", ".join(f"{n} {reason}" for reason, n in reasons.items())


def asks(stage: str, rows: Iterable[Seed | Problem], samples: int | range, params: Any = None) -> list[Ask]:
    """Explode rows into (row, sample index) units, each with an id of its own."""
    indices = range(samples) if isinstance(samples, int) else samples
    return [
        Ask(
            row_id(stage, 1, [r.id], params, k), r.id, k, r.domain, r.level, list(r.concepts), r.problem,
            r.answer, list(r.tests),
        )
        for r in rows
        for k in indices
    ]  # fmt: skip


def model_key(path: str) -> str:
    """The digest of a finished model step whose artifact is at `path`; the name itself for any other model."""
    parent = Path(path).parent
    return Step.load(parent, Record).digest if (parent / "done.json").exists() else path
