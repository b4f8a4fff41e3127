"""The corridor: twelve stages in order. Reading this list is reading the method."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from promptcot.settings import STAGES
from promptcot.stages.context import Context


def stage(name: str) -> Callable[[Context], None]:
    """The function that runs one stage."""
    run: Callable[[Context], None] = import_module(f"promptcot.stages.{name}").run
    return run


__all__ = ["STAGES", "stage"]
