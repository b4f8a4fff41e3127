"""What a stage works with: the recipe, the run directory, the runner. A stage is read -> map -> write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from promptcot.errors import UserError
from promptcot.ids import digest, row_id
from promptcot.records import Ask, Problem, Record, Reject, Seed
from promptcot.rundir import RunDir, folder
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import ArtifactFunction, MapFunction, peak_rss_mb
from promptcot.settings import Model, Recipe
from promptcot.shards import read_json, write_shard
from promptcot.store import Step, View

R = TypeVar("R", bound=Record)
MODEL_FILES = (".safetensors", ".bin", ".json", ".model", ".txt", ".jinja")
EDGE = 1 << 20  # bytes


@dataclass(frozen=True)
class Context:
    """One run of the corridor."""

    recipe: Recipe
    run: RunDir
    runner: LocalRunner
    reporter: Reporter
    clock: Clock

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
        """Every row of `rows` through `fn` in the workers: one output or one reject for each.

        `rows` may be a view (`promptcot.store.View`): only the shards that are worked on are read.
        """
        step = self.run.step(stage, name, record, params, inputs, version)
        if not step.done:
            self.clock.worked = True
            self.runner.map(step, rows, fn)
        return self._finished(step)

    def _finished(self, step: Step[R]) -> Step[R]:
        """The step as the leader wrote it; a helper waits for that."""
        if self.run.team.leads:
            return step
        self.run.team.wait(step.path / "done.json")
        return Step.load(step.path, step.record)

    def table(
        self, stage: str, name: str, record: type[R], build: Callable[[], tuple[int, Iterable[R], Sequence[Reject]]],
        *, params: Any, inputs: dict[str, str], version: int = 1,
    ) -> Step[R]:  # fmt: skip
        """A whole table at once: `build` returns (rows in, rows out, rejects). For joins, votes, dedup."""
        step = self.run.step(stage, name, record, params, inputs, version)
        if step.done or not self.run.team.leads:
            return self._finished(step)
        self.clock.worked = True
        started = time.monotonic()
        with self.reporter.bar(step.name) as bar:
            rows_in, out, rejects = build()
            commit = write_shard(
                step.path,
                0,
                record,
                list(out),
                rejects,
                rows_in=rows_in,
                started=started,
                peak_rss_mb=peak_rss_mb(),
            )
            step.append(commit)
            step.finish(rows_in)
            bar.finish(f"{commit.rows_out:>6,} rows", _because(commit.reasons))
        return step

    def artifacts(
        self, stage: str, jobs: Sequence[tuple[str, ArtifactFunction, Any, dict[str, str]]], version: int = 1
    ) -> list[Step[Record]]:
        """Directories made by workers, in parallel: (name, function, params, inputs) each."""
        steps = [
            self.run.step(stage, name, Record, params, inputs, version) for name, _, params, inputs in jobs
        ]
        todo = [(step, job[1]) for step, job in zip(steps, jobs, strict=True) if not step.done]
        if todo and self.run.team.leads:
            self.clock.worked = True
            self.runner.artifacts(todo)
        return [self._finished(step) for step in steps]


NOT_WANTED = ("not_sampled", "copy_of_heldout")  # rejects of rows with which nothing is wrong


def check_rejects(step: Step[R], limit: float, key: str) -> None:
    """Fail the stage when too many rows were rejected; the rejects are already on disk.

    Raises:
        UserError: the share of rejects exceeds `limit`; the first three are shown.
    """
    totals = step.totals()
    bad = totals["rejected"] - sum(totals["reasons"].get(reason, 0) for reason in NOT_WANTED)
    if bad > limit * totals["rows_in"]:
        raise UserError(
            f"{step.name}: {bad} of {totals['rows_in']} rows rejected: {totals['reasons']}. {first_rejects(step)}",
            expected=f"a share of at most {limit} ({key})",
            do=f"mend the input, or --set {key}=1.0 to go on without these rows",
        )


def first_rejects(step: Step[R]) -> str:
    """The first three, for a message."""
    return "First: " + "; ".join(f"{r.reason} ({r.detail})" for r in islice(step.rejects(), 3))


def forget(ctx: Context, stage: str, name: str, inputs: dict[str, str], version: int) -> None:
    """Remove a step that nothing is made from (of the analysis) when its inputs or its code have changed: unlike a step
    of rows, it may simply be made again."""
    path = ctx.run.path / folder(stage) / name
    if (path / "step.json").exists():
        key = read_json(path / "step.json")["key"]
        if (key["inputs"], key["version"]) != (inputs, version):
            shutil.rmtree(path)


def _because(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    return "rejected: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.items())


def asks(
    stage: str, rows: Sequence[Seed | Problem], samples: int | range, params: Any = None
) -> Sequence[Ask]:
    """Explode rows into (row, sample index) units, each with an id of its own; made when they are asked for."""
    indices = range(samples) if isinstance(samples, int) else samples
    each = len(indices)

    def make(start: int, stop: int) -> list[Ask]:
        first = start // each
        here = rows[first : (stop - 1) // each + 1]
        return [_ask(stage, here[i // each - first], indices[i % each], params) for i in range(start, stop)]

    return View(len(rows) * each, make)


def _ask(stage: str, r: Seed | Problem, k: int, params: Any) -> Ask:
    ident = row_id(stage, 1, [r.id], params, k)
    return Ask(ident, r.id, k, r.domain, r.level, list(r.concepts), r.problem, r.answer, list(r.tests))


def model_key(path: str) -> str:
    """What tells a model from others under the same name: the digest of the finished step whose artifact is at `path`; of a
    directory of the user's, its files by name, size, beginning and end; of any other model the name itself.
    """
    parent = Path(path).parent
    if (parent / "done.json").exists():
        return Step.load(parent, Record).digest
    if not any((Path(path) / name).is_file() for name in ("config.json", "adapter_config.json")):
        return path
    return digest([path, *map(_looks, sorted(f for f in Path(path).iterdir() if f.suffix in MODEL_FILES))])


def model_inputs(models: Mapping[str, Model]) -> dict[str, str]:
    """Inputs of a step that asks these models (by their names there): those that are more than their name."""
    found = {f"model {name}": (m.spec().model, model_key(m.spec().model)) for name, m in models.items()}
    return {name: key for name, (model, key) in found.items() if key != model}


def _looks(file: Path) -> list[Any]:
    """Enough of a file of gigabytes to see that it is another one."""
    size = file.stat().st_size
    with file.open("rb") as f:
        head = f.read(EDGE)
        f.seek(max(0, size - EDGE))
        return [file.name, size, blake2b(head + f.read(EDGE), digest_size=16).hexdigest()]
