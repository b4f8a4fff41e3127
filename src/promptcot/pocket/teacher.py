"""The teacher: a right, stepwise solution of any problem the world can read."""

from __future__ import annotations

from promptcot.pocket.world import parse
from promptcot.pocket.writers import careful


def solve(text: str) -> str | None:
    """One trace step per sentence ending in \\boxed{answer}, or a program in a ```python fence; None if unreadable."""
    spec = parse(text)
    return None if spec is None else careful(spec)
