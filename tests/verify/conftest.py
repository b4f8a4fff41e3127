"""Every back end that works here; one that does not is skipped with the reason. No idle child outlives a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from promptcot.verify.sandbox import Choice, probe
from promptcot.verify.sandbox.packages import installed
from promptcot.verify.sandbox.server import shut
from promptcot.verify.workers import POOL

CONFINED: tuple[Choice, ...] = ("bwrap", "landlock")
PACKAGES = ("networkx", "numpy", "sortedcontainers", "sympy")


def _usable(name: Choice) -> Choice:
    if why := probe(name).why:
        pytest.skip(f"the back end '{name}' is absent: {why}")
    return name


@pytest.fixture(params=CONFINED)
def sandbox(request: pytest.FixtureRequest) -> Choice:
    """A back end that confines."""
    return _usable(request.param)


@pytest.fixture(params=(*CONFINED, "unsafe"))
def runner(request: pytest.FixtureRequest) -> Choice:
    """Any back end: what holds for honest programs and for limits holds in all of them."""
    return _usable(request.param)


@pytest.fixture(params=[(), PACKAGES], ids=["alone", "packages"])
def packages(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What programs may import besides the standard library: nothing, or all of `PACKAGES`."""
    if missing := [name for name, version in installed(request.param).items() if not version]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return tuple(request.param)


@pytest.fixture(autouse=True, scope="module")
def nothing_idle() -> Iterator[None]:
    """Idle SymPy workers and sandboxes are children of this process; each module leaves none to the next."""
    yield
    POOL.shut()
    shut()
