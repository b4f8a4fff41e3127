"""`promptcot verify code`, `verify run`, `verify gold`: programs and references from a JSONL file.

All write one row for every row they read, in the same order; a row that cannot be used says so and stops nothing.
Join them to another typer app with `add(app)`.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from promptcot.errors import UserError, keep_input

if TYPE_CHECKING:
    from concurrent.futures import Future

    from promptcot.records import UnitTest
    from promptcot.verify.programs import Mode
    from promptcot.verify.sandbox import Limits

Row = dict[str, Any]
Sandbox = Literal["auto", "bwrap", "landlock", "unsafe"]
Reading = Literal["lcb", "judge"]


@dataclass(frozen=True)
class Job:
    """The options that the commands share: rows in, rows out, and how their programs run."""

    in_: Annotated[Path, typer.Option("--in", help="JSONL, a JSON array or Parquet to read.")]
    out: Annotated[Path | None, typer.Option("--out", help="JSONL file to write (default: stdout).")] = None
    sandbox: Annotated[Sandbox, typer.Option("--sandbox", help="See `promptcot doctor`.")] = "auto"
    wall_s: Annotated[float, typer.Option("--wall-s", help="Seconds on the clock, per test.")] = 6.0
    memory_mb: Annotated[int, typer.Option("--memory-mb", help="Address space, per test.")] = 1024
    output_kb: Annotated[
        int,
        typer.Option("--output-kb", help="Of stdout, and of stderr, per test; more where it expects more."),
    ] = 1024
    packages: Annotated[
        str, typer.Option("--packages", help="Installed packages that programs may import, with commas.")
    ] = ""
    workers: Annotated[int, typer.Option("--workers", help="At the same time (0 = one per core).", min=0)] = 0

    def limits(self) -> Limits:
        """Of every test; refuses at once a package that is missing."""
        from promptcot.verify.sandbox import Limits
        from promptcot.verify.sandbox.packages import find, names

        packages = names([name.strip() for name in self.packages.split(",") if name.strip()])
        find(packages)
        return Limits(self.wall_s, self.wall_s + 1, self.memory_mb, self.output_kb * 1024, packages=packages)

    def programs(self) -> dict[str, Any]:
        """How programs are run; refuses at once where there is no sandbox, not row by row."""
        from promptcot.verify.sandbox import choose

        limits = self.limits()
        choose(self.sandbox, limits.packages)
        return {"limits": limits, "sandbox": self.sandbox}


def add(app: typer.Typer) -> None:
    """Give `app` the commands `code`, `run` and `gold`."""
    for verb in (code, run, gold):
        app.command(verb.__name__)(_command(verb))


def _command(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb(job, ...)` as a command: the options of the job, then its own."""
    shared, own = ([*inspect.signature(f, eval_str=True).parameters.values()] for f in (Job, verb))

    def command(**given: Any) -> None:
        job = Job(**{p.name: given.pop(p.name) for p in shared})
        verb(job, **given)

    command.__doc__ = verb.__doc__
    command.__signature__ = inspect.Signature([*shared, *own[1:]])  # type: ignore[attr-defined]
    return command


def code(
    job: Job,
    mode: Annotated[Reading, typer.Option("--mode", help="For rows without a field `mode`.")] = "lcb",
    extract: Annotated[
        bool, typer.Option("--extract", help="`solution` is a whole answer: take its last code block.")
    ] = False,
) -> None:
    """Judge solutions by their tests: fields `solution`, `inputs`, `outputs`, optional `fn_name`, `mode`.

    Adds `verdict` (correct, incorrect, no_answer, unscored), `reason`, and `codes`, LiveCodeBench's result of each
    test up to the first that fails: true, -2 wrong output, -3 timeout, -4 error, -5 not scored.
    """
    _map(job, partial(judge_row, **job.programs(), mode=mode, extract=extract))


def run(job: Job) -> None:
    """Run programs: field `code`, optional `stdin`.

    Adds `status` (ok, timeout, error, memory, output_limit, lost; unscored for a row that cannot be used),
    `stdout`, `stderr`, `exit_code`, `wall_s`, `max_rss_mb`.
    """
    _map(job, partial(run_row, **job.programs()))


def gold(
    job: Job, mode: Annotated[Reading, typer.Option("--mode", help="For rows with a solution.")] = "lcb"
) -> None:
    """Check references before they judge anyone: field `gold`, or `inputs`, `outputs`, optional `solution`, `fn_name`.

    Adds `verdict` (sound, flawed, unscored) and `reason`: a gold answer equals itself and nothing else, tests tell right
    outputs from wrong ones, a solution passes. Exit code 1 if any row is not sound.
    """
    limits, bad = job.limits(), list[Row]()

    def check(row: Row) -> Row:
        made = gold_row(row, limits=limits, sandbox=job.sandbox, mode=mode)
        if made["verdict"] != "sound":
            bad.append(made)
        return made

    _map(job, check)
    if bad:
        print(f"{len(bad)} rows of '{job.in_}' cannot judge; see their reason", file=sys.stderr)
        raise typer.Exit(1)


def gold_row(row: Row, *, limits: Limits, sandbox: Sandbox, mode: Mode) -> Row:
    """The row with what its reference is worth."""
    from promptcot.verify.gold import GoldSuite, suite_flaw

    try:
        if "gold" in row:
            flaw = _answer_flaw(row["gold"])
        else:
            mode, function = _how(row, mode)
            suite = GoldSuite("this row", _tests(row, function), _field(row, "solution", str, None), function)
            flaw = suite_flaw(suite, limits, sandbox=sandbox, mode=mode)
    except UserError as error:
        return {**row, "verdict": "unscored", "reason": _short(error)}
    return {**row, "verdict": "flawed" if flaw else "sound", "reason": flaw}


def _answer_flaw(value: Any) -> str:
    from promptcot.verify.gold import answer_flaw
    from promptcot.verify.golds import answer_text

    try:
        answer = answer_text(value)
    except ValueError as error:
        return str(error)
    return f"gold is {value!r}, which is no answer" if answer is None else answer_flaw("this row", answer)


def judge_row(row: Row, *, limits: Limits, sandbox: Sandbox, mode: Mode, extract: bool) -> Row:
    """The row with its verdict, or why it has none."""
    from promptcot.records import Verdict
    from promptcot.verify.programs import CODES, extract_program, run_tests

    try:
        mode, function = _how(row, mode)
        tests = _tests(row, function)
        text = _field(row, "solution", str)
    except UserError as error:
        return {**row, "verdict": Verdict.UNSCORED.value, "reason": _short(error), "codes": []}
    program = extract_program(text, mode) if extract else text
    if program is None or not program.strip():
        return {**row, "verdict": Verdict.NO_ANSWER.value, "reason": "no_program", "codes": []}
    ends = run_tests(program, tests, limits, sandbox=sandbox, mode=mode, function=function, stop=True)
    verdict = {"passed": Verdict.CORRECT, "lost": Verdict.UNSCORED}.get(ends[-1], Verdict.INCORRECT)
    return {**row, "verdict": verdict.value, "reason": ends[-1], "codes": [CODES[end] for end in ends]}


def _how(row: Row, mode: Mode) -> tuple[Mode, str]:
    """The row's mode and the function it calls, if any."""
    given = _field(row, "mode", str, mode)
    if given not in ("lcb", "judge"):
        raise UserError(f"mode is {given!r}", expected="lcb or judge")
    function = _field(row, "fn_name", str, "")
    if function and not function.isidentifier():
        raise UserError(f"fn_name is {function!r}", expected="the name of a function")
    return given, function


def _tests(row: Row, function: str) -> list[UnitTest]:
    from promptcot.verify.programs import pair_tests

    return pair_tests(_field(row, "inputs", list), _field(row, "outputs", list), function)


def run_row(row: Row, *, limits: Limits, sandbox: Sandbox) -> Row:
    """The row with what its program did, or why it was not run."""
    from promptcot.verify.sandbox import run_program

    try:
        program, stdin = _field(row, "code", str), _field(row, "stdin", str, "")
    except UserError as error:
        empty = {"stdout": "", "stderr": _short(error), "exit_code": None, "wall_s": 0.0, "max_rss_mb": 0.0}
        return {**row, "status": "unscored", **empty}
    (done,) = run_program(program, [stdin], limits, sandbox=sandbox)
    return {
        **row, "status": done.status, "stdout": done.stdout, "stderr": done.stderr, "exit_code": done.exit_code,
        "wall_s": done.wall_s, "max_rss_mb": done.max_rss_mb,
    }  # fmt: skip


_REQUIRED = object()
_KINDS: dict[type[Any], str] = {str: "a string", list: "a list of strings"}


def _field(row: Row, name: str, kind: type[Any], default: Any = _REQUIRED) -> Any:
    if "problem with the line" in row:
        raise UserError(row["problem with the line"])
    value = row.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind):
        seen = f"{name} is {value!r}"[:200] if name in row else f"no field {name}"
        raise UserError(seen, expected=_KINDS[kind])
    return value


def _short(error: UserError) -> str:
    return f"{error.seen} (expected: {error.expected})" if error.expected else error.seen


def _map(job: Job, fn: Callable[[Row], Row]) -> None:
    """Rows of a file through `fn`, several at a time, written in their order as soon as they are done."""
    if job.out:
        keep_input(job.in_, job.out)
    rows = _rows(job.in_)
    try:
        sink = job.out.open("w", encoding="utf-8") if job.out else sys.stdout
    except OSError as error:
        raise UserError(f"'{error.filename}': {error.strerror}", expected="a place to write to") from None
    for row in _parallel(rows, fn, job.workers or os.cpu_count() or 1):
        sink.write(json.dumps(row, default=str) + "\n")
        sink.flush()
    if job.out:
        sink.close()


def _rows(path: Path) -> Iterator[Row]:
    """The rows; one that cannot be read says why in a field of that name.

    Raises:
        UserError: the file cannot be read, at once.
    """
    from promptcot.readers.files import read_rows

    rows = read_rows(path, halves=True)
    first = list(islice(rows, 1))  # before anything is written
    return (
        row if isinstance(row, dict) else {"problem with the line": f"{where.replace('-', ' ')}: {row}"}
        for where, row in chain(first, rows)
    )


def _parallel(rows: Iterable[Row], fn: Callable[[Row], Row], workers: int) -> Iterator[Row]:
    """`map` over threads with a bounded number of rows in hand."""
    from concurrent.futures import ThreadPoolExecutor

    waiting: deque[Future[Row]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for row in rows:
            waiting.append(pool.submit(fn, row))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
