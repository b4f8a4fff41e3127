"""Idle SymPy workers are children of this process; each module leaves none to the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptcot.verify.workers import POOL


@pytest.fixture(autouse=True, scope="module")
def no_idle_workers() -> Iterator[None]:
    yield
    POOL.shut()
