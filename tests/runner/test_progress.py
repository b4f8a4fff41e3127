"""What a run says of its progress: on 80 columns, in a file, of fast and of slow work; by a clock that is told."""

from __future__ import annotations

import io
import json
import re
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.runner import line

from promptcot.records import Record, Seed
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter, fold, rate, span
from promptcot.store import Step
from promptcot.team import Team


class Watch:
    """A clock that is told, and a console of so many columns whose text is kept."""

    def __init__(self, terminal: bool = False, columns: int = 80) -> None:
        self.now, self.file = 0.0, io.StringIO()
        console = Console(
            file=self.file, width=columns, force_terminal=terminal, color_system=None, legacy_windows=False
        )
        self.reporter = Reporter(console, clock=lambda: self.now)

    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("count", "seconds", "unit", "text"),
    [
        (17_720, 1.0, "tok", "17,720 tok/s"),
        (100, 1.0, "row", "100 rows/s"),
        (123, 10.0, "row", "12.3 rows/s"),
        (1, 1.0, "row", "1.0 rows/s"),
        (4, 75.0, "row", "3.2 rows/min"),
        (1, 60.0, "row", "1.0 rows/min"),
        (3, 7200.0, "row", "1.5 rows/h"),
        (1, 1e6, "row", "0.0 rows/h"),
        (3, 2.0, "step", "1.5 steps/s"),
        (10, 120.0, "step", "12 s/step"),
        (2, 7.0, "step", "3.5 s/step"),
        (5, 1020.0, "step", "3.4 min/step"),
        (30, 60.0, "tok", "30.0 tok/min"),
    ],
)
def test_a_rate_is_told_in_the_unit_in_which_it_is_read(
    count: int, seconds: float, unit: str, text: str
) -> None:
    assert rate(count, seconds, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (3.44, "3.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1.0 min"), (204, "3.4 min"), (597, "10 min"),
        (3599, "1 h 0 min"), (4800, "1 h 20 min"), (183_600, "2 d 3 h"),
    ],
)  # fmt: skip
def test_a_span_has_two_digits_or_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.lists(st.text("ab,.", min_size=1, max_size=50), min_size=1, max_size=8), st.integers(56, 200))
def test_lines_are_broken_between_their_parts_only(parts: list[str], width: int) -> None:
    lines = fold(tuple(parts), width).split("\n")
    assert "  ".join(line.removeprefix("      ") for line in lines) == "  ".join(parts)
    assert all(len(line) <= width for line in lines)


def test_in_a_file_a_step_at_work_says_once_a_minute_where_it_stands() -> None:
    watch = Watch()
    with watch.reporter.bar("07_label/attempts", 4096, done=96) as bar:
        for minute in range(1, 5):
            watch.now = 60.0 * minute - 1
            watch.reporter.tick()
            assert len(watch.lines()) == minute - 1  # not yet
            watch.now += 1
            bar.advance(8, 1200)
            watch.reporter.tick()
            watch.reporter.tick()
        bar.finish("  4096 rows", "3 rejected")
    watch.reporter.tick()
    first, *_, fourth, last = watch.lines()
    assert (
        first
        == "  07_label/attempts             104 of 4,096 rows (3%)  8.0 rows/min  20.0 tok/s  8 h 19 min left"
    )
    assert (
        fourth
        == "  07_label/attempts             128 of 4,096 rows (3%)  8.0 rows/min  20.0 tok/s  8 h 16 min left"
    )
    assert (
        last == "  07_label/attempts               4096 rows  3 rejected  8.0 rows/min  20.0 tok/s  4.0 min"
    )
    assert len(watch.lines()) == 5


def test_work_without_a_first_row_says_how_long_it_has_been_at_it() -> None:
    watch = Watch()
    with watch.reporter.bar("07_label/attempts", 64), watch.reporter.bar("06_curate/problems"):
        watch.now = 180.0
        watch.reporter.tick()
    assert watch.lines() == [
        "  07_label/attempts             0 of 64 rows  3.0 min so far",
        "  06_curate/problems            3.0 min so far",
    ]


def test_a_training_is_told_in_steps_and_one_that_is_taken_up_begins_where_it_was() -> None:
    watch = Watch()
    with watch.reporter.bar("03_coldstart/q", unit="step") as bar:
        watch.now = 600.0
        watch.reporter.tick()
        bar.set(500, 540, 500_000)  # the first that is heard of it
        watch.now += 120.0
        bar.set(510, 540, 510_000)
        watch.reporter.tick()
        bar.finish("  1,080 rows trained")
    assert watch.lines() == [
        "  03_coldstart/q                10 min so far",
        "  03_coldstart/q                510 of 540 steps (94%)  12 s/step  83.3 tok/s  6.0 min left",
        "  03_coldstart/q                  1,080 rows trained  12 s/step  83.3 tok/s  12 min",
    ]


def test_no_line_in_a_file_is_broken_or_cut_and_brackets_stay() -> None:
    watch = Watch()
    watch.reporter.line("label", bold=True)
    watch.reporter.line(f"  '{'d' * 90}[1]/[/b].parquet' is damaged")
    assert watch.lines() == ["label", f"  '{'d' * 90}[1]/[/b].parquet' is damaged"]


def test_on_a_terminal_of_80_columns_nothing_is_broken_in_its_middle() -> None:
    watch = Watch(terminal=True)
    with watch.reporter.bar("04_em/no_estep.h1_rationales", 17_720) as bar:
        watch.now = 10.0
        bar.advance(12_345, 177_200)
        bar.finish("12,345 rows", "1,234 rejected")
        assert bar.status(brief=True) == ["12,345/17,720", "1,234 rows/s", "17,720 tok/s", "4.4 s left"]
        shown = next(task for task in watch.reporter._bars.tasks).fields["status"]
    assert watch.lines() == [
        "  04_em/no_estep.h1_rationales  12,345 rows  1,234 rejected  1,234 rows/s",
        "      17,720 tok/s  10 s",
    ]
    assert shown == "12,345/17,720  1,234 rows/s  4.4 s left"  # what there is room for behind the name


def test_the_bars_of_a_terminal_fit_into_their_line() -> None:
    for columns in (60, 80, 100, 140):
        watch = Watch(terminal=True, columns=columns)
        with watch.reporter.bar("04_em/no_estep.h1_rationales", 17_720) as bar:
            watch.now = 10.0
            bar.advance(12_345, 177_200)
            console = Console(width=columns, file=io.StringIO())
            console.print(watch.reporter._bars.get_renderable())
            (said,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
            assert said.rstrip().endswith("4.4 s left")


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.01)


def slow(worker: Any, rows: list[Seed], *, go: str) -> list[Seed]:
    wait_for(go)
    return rows


def trained(worker: Any, out: Path, *, go: str) -> dict[str, Any]:
    (out / "progress.json").write_text(json.dumps({"step": 3, "steps": 40, "tokens": 300}))
    wait_for(go)
    return {"rows": 7, "steps": 40, "usage": {"trained_tokens": 4000}}


@pytest.fixture
def minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Every look at the clock is a minute later; the work that waits for `tmp_path / "go"` ends when counts were told."""
    watch = Watch()
    monkeypatch.setattr(watch.reporter, "clock", partial(next, count(0.0, 60.0)))
    say = watch.reporter.line

    def said(*parts: str, bold: bool = False) -> None:
        say(*parts, bold=bold)
        if len(watch.lines()) > 1 and " of " in parts[1]:
            (tmp_path / "go").touch()

    monkeypatch.setattr(watch.reporter, "line", said)
    return watch


def test_a_shard_that_takes_long_does_not_silence_the_run(tmp_path: Path, minutes: Watch) -> None:
    step = Step(tmp_path / "02_annotate" / "upper", Seed, {}, {})
    with minutes.reporter as reporter, LocalRunner(1, 1, 25, reporter, Team(tmp_path)) as runner:
        runner.map(step, line.build()[1], partial(slow, go=str(tmp_path / "go")))
    assert minutes.lines()[1].startswith("  02_annotate/upper             0 of 100 rows  ")
    assert minutes.lines()[-1].startswith("  02_annotate/upper                100 rows  ")


def test_a_training_that_takes_long_says_its_steps(tmp_path: Path, minutes: Watch) -> None:
    step = Step(tmp_path / "03_coldstart" / "q", Record, {}, {})
    with minutes.reporter as reporter, LocalRunner(1, 1, 25, reporter, Team(tmp_path)) as runner:
        runner.artifacts([(step, partial(trained, go=str(tmp_path / "go")))])
    assert any(said.startswith("  03_coldstart/q                3 of 40 steps  ") for said in minutes.lines())
    assert re.match(r"  03_coldstart/q +7 rows trained  .*/step  .* tok/s", minutes.lines()[-1])
