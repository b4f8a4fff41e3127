"""Progress of a run: bars where a person watches; else a line for every finished step, and one a minute for those at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_EVERY_S = 60.0
TICK_S = 1.0


class Reporter:
    """Shows what runs. `quiet` keeps only errors.

    Args:
        clock: Seconds, from any start.
    """

    def __init__(
        self, console: Console | None = None, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console, self.quiet, self.clock = console or Console(stderr=True), quiet, clock
        self.watched = self.console.is_terminal and not self.console.is_dumb_terminal
        wide = [BarColumn(bar_width=16)] if self.console.width >= 100 else []
        self._bars = Progress(
            TextColumn("{task.description}"), *wide, TextColumn("{task.fields[status]}"),
            console=self.console, transient=True, disable=quiet or not self.watched,
        )  # fmt: skip
        self._room = self.console.width - (18 if wide else 1)
        self._open: list[Bar] = []
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        if not self.quiet:
            self._bars.start()
            self._stop.clear()
            self._ticks = threading.Thread(target=self._tick, daemon=True)
            self._ticks.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self.quiet:
            self._stop.set()
            self._ticks.join()
            self._bars.stop()

    def _tick(self) -> None:
        while not self._stop.wait(TICK_S):
            self.tick()

    def tick(self) -> None:
        """Bring the bars up to date; without a terminal, print where each step stands that has said nothing for a minute."""
        for bar in list(self._open):
            if self.watched:
                bar.show()
            elif self.clock() - bar.told >= LINE_EVERY_S:
                bar.told = self.clock()
                self.line(f"  {bar.name:<28}", *bar.status())

    def line(self, *parts: str, bold: bool = False) -> None:
        """One line. On a terminal that is too narrow it is broken between its parts, in a file never."""
        if self.quiet:
            return
        parts = tuple(part for part in parts if part)
        text = fold(parts, self.console.width) if self.watched else "  ".join(parts)
        self._bars.console.print(
            text, style="bold" if bold else None, highlight=False, markup=False, soft_wrap=not self.watched
        )

    def bar(self, name: str, total: int | None = None, done: int = 0, unit: str = "row") -> Bar:
        """One step; `done` rows were committed by an earlier run. For a `with` block."""
        return Bar(self, name, total, done, unit)


class Bar:
    """How far one step is: rows (or what `unit` says) done, how fast, time left."""

    def __init__(self, reporter: Reporter, name: str, total: int | None, done: int, unit: str) -> None:
        self._reporter, self.name, self.unit = reporter, name, unit
        self.done, self.total, self.tokens = done, total, 0
        self.began = self.told = self._since = reporter.clock()
        self._before = None if unit == "step" else (done, 0)  # what took no time of ours, with its tokens

    def __enter__(self) -> Self:
        self._task = self._reporter._bars.add_task(
            self.name, total=self.total, completed=self.done, status=""
        )
        self._reporter._open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._reporter._open.remove(self)
        self._reporter._bars.remove_task(self._task)

    def advance(self, rows: int, tokens: int = 0) -> None:
        """Count finished rows and the tokens they took."""
        self.set(self.done + rows, self.total, self.tokens + tokens)

    def set(self, done: int, total: int | None, tokens: int) -> None:
        """Absolute counts. The steps of a training begin with those it was taken up at."""
        if self._before is None:
            self._before, self._since = (done, tokens), self._reporter.clock()
        self.done, self.total, self.tokens = done, total, tokens
        self.show()

    def show(self) -> None:
        """Bring the bar on the terminal up to date."""
        parts, room = self.status(brief=True), self._reporter._room - len(self.name)
        while len("  ".join(parts)) > room and len(parts) > 1:
            parts.pop(-2)  # how fast; the time left stays
        self._reporter._bars.update(
            self._task, total=self.total, completed=self.done, status="  ".join(parts)
        )

    def status(self, brief: bool = False) -> list[str]:
        """Counts, rate, tokens per second, time left; what is not known is left out."""
        rows, _, took = self._made()
        so_far = f"{span(self._reporter.clock() - self.began)} so far"
        if self.total is None:
            return [f"{self.done:,} {self.unit}s", *self.rates(), so_far] if self.done else [so_far]
        count = f"{self.done:,}/{self.total:,}" if brief else f"{self.done:,} of {self.total:,} {self.unit}s"
        if not rows or not took:
            return [count, so_far]
        share = "" if brief else f" ({self.done / self.total:.0%})"
        return [count + share, *self.rates(), f"{span(took / rows * (self.total - self.done))} left"]

    def rates(self) -> list[str]:
        """What a second, a minute or an hour brought since this process began; nothing where nothing was done."""
        rows, tokens, took = self._made()
        return [rate(n, took, unit) for n, unit in ((rows, self.unit), (tokens, "tok")) if n and took]

    def _made(self) -> tuple[int, int, float]:
        """Rows and tokens of this process, and the seconds they took."""
        done, tokens = self._before or (self.done, self.tokens)
        return self.done - done, self.tokens - tokens, self._reporter.clock() - self._since

    def finish(self, *parts: str) -> None:
        """The line that stays of it."""
        took = span(self._reporter.clock() - self.began)
        self._reporter.line(f"  {self.name:<28}", *parts, *self.rates(), took)


def rate(count: float, seconds: float, unit: str) -> str:
    """`17,720 tok/s`, `12.3 rows/s`, `3.2 rows/min`, `1.5 rows/h`; of slow steps how long each takes: `12 s/step`."""
    per_s = count / seconds
    many = unit if unit == "tok" else f"{unit}s"
    if per_s >= 99.95:
        return f"{per_s:,.0f} {many}/s"
    if per_s >= 1:
        return f"{per_s:.1f} {many}/s"
    if unit == "step":
        return f"{span(1 / per_s)}/step"
    return f"{per_s * 60:.1f} {many}/min" if per_s * 60 >= 1 else f"{per_s * 3600:.1f} {many}/h"


def span(seconds: float) -> str:
    """`3.4 s`, `45 s`, `3.4 min`, `12 min`, `1 h 20 min`, `2 d 3 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 597:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return "{} d {} h".format(*divmod(round(seconds / 3600), 24))


def fold(parts: tuple[str, ...], width: int) -> str:
    """The parts in lines of at most `width` characters, none of them broken where one line holds it."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}  {part}" if lines[-1] else part
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(f"      {part}")
    return "\n".join(lines)
