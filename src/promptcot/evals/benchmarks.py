"""The paper's six benchmarks as data: what they are, what to type for a source, and how a row is read.

Nothing is packaged and nothing is downloaded unless a source names the Hub: the statements belong to their contests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.evals import livecodebench
from promptcot.evals.rows import codeforces_task, math_task
from promptcot.evals.sources import rows
from promptcot.evals.tasks import Task
from promptcot.records import Reject
from promptcot.settings import Benchmark

Read = Callable[[dict[str, Any], str], Task | None]


@dataclass(frozen=True)
class Definition:
    """One benchmark. samples, problems: attempts per problem and number of problems in the paper. get: where its
    problems can be had, for the message that asks for a source."""

    name: str
    title: str
    domain: str
    samples: int
    problems: int
    get: str
    read: Read

    @property
    def file(self) -> str:
        """The authors' evaluation file."""
        return f"promptcot2_{self.name}_test.jsonl"


_LCB = "hf://datasets/livecodebench/code_generation_lite/{}"
DEFINITIONS: dict[str, Definition] = {
    d.name: d
    for d in (
        Definition("aime24", "AIME 2024", "math", 16, 30, "hf://datasets/HuggingFaceH4/aime_2024",
                   partial(math_task, "aime24")),
        Definition("aime25", "AIME 2025", "math", 16, 30, "hf://datasets/MathArena/aime_2025",
                   partial(math_task, "aime25")),
        Definition("hmmt25", "HMMT February 2025", "math", 16, 30, "hf://datasets/MathArena/hmmt_feb_2025",
                   partial(math_task, "hmmt25")),
        Definition("lcb_v5", "LiveCodeBench v5 (2408-2502)", "code", 1, 279, _LCB.format("test5.jsonl"),
                   partial(livecodebench.task, "lcb_v5", "2024-08-01", "2025-02-01")),
        Definition("lcb_v6", "LiveCodeBench v6 (2502-2505)", "code", 1, 131, _LCB.format("test6.jsonl"),
                   partial(livecodebench.task, "lcb_v6", "2025-02-01", "2025-06-01")),
        Definition("codeforces", "Codeforces (DeepCoder protocol)", "code", 8, 408, "", partial(codeforces_task, "codeforces")),
    )
}  # fmt: skip


def definition(name: str) -> Definition:
    """The benchmark called `name`.

    Raises:
        UserError: there is no such benchmark.
    """
    if name not in DEFINITIONS:
        raise UserError(f"unknown benchmark '{name}'", expected=", ".join(DEFINITIONS))
    return DEFINITIONS[name]


def read(name: str, settings: Benchmark) -> list[Task]:
    """The tasks of a benchmark, as `read_all` without the rows that are none."""
    return read_all(name, settings)[0]


def read_all(name: str, settings: Benchmark) -> tuple[list[Task], list[Reject]]:
    """The tasks of a benchmark, in the order of its source, and the rows that do not fit, with the reason.

    A problem that several sources hold is one task: what the first says stands, the others fill in what it lacks
    (so the authors' LiveCodeBench prompts can be joined with the official tests). Rows without an id have their line's
    number; where another source has another problem there, lines are counted on over the sources.

    Raises:
        UserError: no source, a source that cannot be read, two problems with one id, or no row that fits.
    """
    what = definition(name)
    if not settings.source:
        raise _no_source(what)
    found: dict[str, Task] = {}
    places: dict[str, str] = {}
    refused: list[Reject] = []
    line = before = 0  # in its source; of the sources before
    for source in settings.source:
        seen: set[str] = set()
        before, line = before + line, 0
        for where, row in rows(source):
            line = int(where.rpartition("-")[2])
            task = _task(what, row, where)
            if isinstance(task, Reject):
                refused.append(task)
                continue
            if task is None:
                continue
            assert isinstance(row, dict)
            if task.id in seen:
                raise UserError(f"{where}: the problem {task.name} is there twice")
            seen.add(task.id)
            if task.id in found and _differ(found[task.id], task):
                moved = what.read(row, f"line-{before + line}")
                if moved is None or moved.id in found:  # an id of its own
                    raise _two(where, places[task.id], task)
                task = moved
            places.setdefault(task.id, where)
            found[task.id] = _filled(found[task.id], task) if task.id in found else task
    if not found:
        raise UserError(f"no problem of {what.title} in {', '.join(settings.source)}{refusals(refused)}")
    tasks = list(found.values())
    if settings.ids:
        tasks = _renamed(tasks, settings.ids, refusals(refused))
    return tasks[: settings.problems] if settings.problems else tasks, refused


def _task(what: Definition, row: dict[str, Any] | str, where: str) -> Task | Reject | None:
    if isinstance(row, str):
        return Reject(where, "unreadable_row", f"{where}: {row}")
    try:
        return what.read(row, where)
    except MissingExtra:
        raise
    except UserError as e:
        return Reject(where, "bad_row", e.seen + (f" (expected: {e.expected})" if e.expected else ""))


def refusals(refused: Sequence[Reject]) -> str:
    """How many rows were refused and the first three of them, as the end of a sentence; nothing if none was."""
    if not refused:
        return ""
    return f"; {len(refused)} rows refused: " + "; ".join(r.detail for r in refused[:3])


def read_ids(path: str) -> list[str]:
    """Names of Codeforces problems ("1971A") in the order of the evaluation file: a JSON list of texts."""
    import json

    try:
        names = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as e:
        raise UserError(f"cannot read the problem names in '{path}': {e}", expected=_IDS) from None
    if not isinstance(names, list) or not all(isinstance(n, str) and n[:1].isdigit() for n in names):
        raise UserError(f"'{path}' does not hold names of problems", expected=_IDS)
    if len(set(names)) < len(names):
        raise UserError(f"'{path}' names a problem twice", expected=_IDS)
    return names


_IDS = 'a JSON list in the order of the evaluation file: ["1971A", "1971B", ...]'


def _renamed(tasks: Sequence[Task], ids: str, refused: str) -> list[Task]:
    names = read_ids(ids)
    if len(names) != len(tasks):
        raise UserError(f"{len(tasks)} problems and {len(names)} names in '{ids}'{refused}", expected=_IDS)
    return [replace(t, id=f"{t.id.partition('/')[0]}/{n}") for t, n in zip(tasks, names, strict=True)]


def _filled(first: Task, other: Task) -> Task:
    return replace(
        first, request=first.request or other.request, starter=first.starter or other.starter,
        tests=first.tests or other.tests, packed=first.packed or other.packed,
        function=first.function or other.function, answer=first.answer or other.answer,
    )  # fmt: skip


def _differ(first: Task, other: Task) -> bool:
    """Both are whole (LiveCodeBench's sources need not be) and not the same problem."""

    def whole(task: Task) -> object:
        return task.answer or (task.tests and not task.packed)

    def said(task: Task) -> object:
        return task.problem.split(), task.answer, task.tests

    return bool(whole(first) and whole(other)) and said(first) != said(other)


def _two(where: str, before: str, task: Task) -> UserError:
    return UserError(
        f"{where} and {before}: two problems with the id {task.name}",
        expected="another id for every problem of a benchmark, over all its sources; or none, and lines are counted",
    )


def _no_source(what: Definition) -> UserError:
    hub = f", or --source {what.name}={what.get} (downloads it)" if what.get else ""
    return UserError(
        f"the benchmark '{what.name}' has no source: its problems do not come with this package",
        expected=f"a file with the {what.problems} problems of {what.title}, such as the authors' {what.file} "
        "(github.com/inclusionAI/PromptCoT, data/), or a place on the Hub",
        do=f"--source {what.name}=FILE{hub}; in a recipe, evaluate.benchmarks.{what.name}.source",
    )
