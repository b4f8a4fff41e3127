"""Progress on the terminal: bars when a person watches, one line per finished step otherwise."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Reporter:
    """Shows what runs. `quiet` keeps only errors; without a terminal every finished step is one line."""

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet
        self._bars = Progress(
            TextColumn("{task.description:<28}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"), TextColumn("left"), TimeRemainingColumn(compact=True),
            console=self.console, transient=True, disable=quiet or not self.console.is_terminal,
        )  # fmt: skip

    def __enter__(self) -> Reporter:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bars.stop()

    def line(self, text: str) -> None:
        """One line above the bars."""
        if not self.quiet:
            self._bars.console.print(text, highlight=False)

    def bar(self, name: str, total: int | None, done: int = 0) -> Bar:
        """A bar for one step; `done` rows were committed by an earlier run."""
        return Bar(self, name, self._bars.add_task(name, total=total, completed=done, rates=""), done)


class Bar:
    """Rows done, rows/s, tokens/s and time left of one step."""

    def __init__(self, reporter: Reporter, name: str, task: TaskID, done: int) -> None:
        self._reporter, self._name, self._task = reporter, name, task
        self._started, self._resumed = time.monotonic(), done
        self.rows, self.tokens = done, 0

    def advance(self, rows: int, tokens: int = 0) -> None:
        """Count finished rows and the tokens they took."""
        self.rows += rows
        self.tokens += tokens
        self._reporter._bars.update(self._task, completed=self.rows, rates=self.rates())

    def set(self, done: int, total: int, tokens: int) -> None:
        """Show absolute counts (training steps)."""
        self.rows, self.tokens = done, tokens
        self._reporter._bars.update(self._task, completed=done, total=total, rates=self.rates())

    def rates(self) -> str:
        """`12.3 rows/s 4,567 tok/s` since this process began."""
        seconds = max(time.monotonic() - self._started, 1e-3)
        text = f"{(self.rows - self._resumed) / seconds:,.1f} rows/s"
        return text + (f" {self.tokens / seconds:,.0f} tok/s" if self.tokens else "")

    def close(self, summary: str) -> None:
        """Remove the bar and leave one line."""
        self._reporter._bars.remove_task(self._task)
        seconds = time.monotonic() - self._started
        self._reporter.line(f"  {self._name:<28} {summary}  {self.rates()}  {seconds:.1f} s")
