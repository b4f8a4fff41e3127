"""Tables and sentences that can be read on 80 columns, and in a file, where nothing is cut or broken."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNBROKEN = 10_000  # columns of a file


def console() -> Console:
    """Where commands print what was asked for: as wide as the terminal, or as wide as it takes."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=UNBROKEN)


def say(text: str, style: str = "") -> None:
    """Print a sentence; on a terminal it is broken between words."""
    console().print(text, style=style or None, highlight=False, markup=False)


def table(columns: Sequence[str], text: Collection[str] = ()) -> Table:
    """A table without rows. The first column and those of `text` go on in the next line where they must; the others hold
    numbers."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for n, name in enumerate(columns):
        words = n == 0 or name in text
        made.add_column(
            name, justify="left" if words else "right", no_wrap=not words, overflow="fold", vertical="bottom"
        )
    return made
