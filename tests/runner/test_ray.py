"""The Ray runner, on a real Ray: the same rows, and errors that stay the user's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.runner import line
from tests.runner.conftest import digests, on_its_own

from promptcot.errors import UserError
from promptcot.runner.progress import Reporter
from promptcot.runner.ray import RayPool, RayRunner, connect
from promptcot.team import Team

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'promptcot[ray]'"
)


@pytest.fixture
def own_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        for name, value in on_its_own(folder).items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.slow
def test_ray_gives_the_rows_of_one_process_and_passes_errors_on(
    tmp_path: Path, alone: dict[str, str], own_ray: None
) -> None:
    try:
        ray = connect()
    except Exception as e:  # noqa: BLE001 - Ray gives up by itself after 30 s on a machine that is too busy
        pytest.skip(f"RAY IS NOT TESTED HERE, it did not start: {e}")
    pool = RayPool(ray, 1, 1, 0.0)
    assert pool.submit(max, 3, 4).result() == 4
    with pytest.raises(UserError, match="the model is not there") as told:
        pool.submit(line.fail).result()
    assert told.value.do == "name another one"
    pool.shutdown()
    with pytest.raises(UserError, match=r"needs 1 GPUs per worker \(run\.gpus\); the Ray cluster has 0"):
        RayRunner(1, 0, 8, Reporter(quiet=True), Team(tmp_path), {"em": 1.0}).start("em", 1.0)
    line.main(str(tmp_path / "r"), "0/1", "ray", "2")
    assert digests(tmp_path / "r") == alone
    assert not ray.is_initialized()  # the run took the cluster down with it


def lost(how: Callable[[Any], Exception]) -> BaseException | None:
    """What a runner sees of a call whose worker Ray gave up."""
    import ray

    done: Future[Any] = Future()
    done.set_exception(how(ray.exceptions))
    reply = SimpleNamespace(future=lambda: done)
    actor = SimpleNamespace(call=SimpleNamespace(remote=lambda *_: reply))
    stands_in = SimpleNamespace(
        exceptions=ray.exceptions, remote=lambda **_: lambda _: SimpleNamespace(remote=lambda *_: actor)
    )
    return RayPool(stands_in, 1, 1, 0.0).submit(max, 3, 4).exception()


@pytest.mark.parametrize(
    "how",
    [
        lambda known: known.RayActorError(),
        lambda known: known.OutOfMemoryError("95% of 24 GB"),
        lambda known: known.NodeDiedError("gone"),
    ],
)
def test_a_worker_that_ray_lost_is_a_dead_worker_whatever_it_died_of(how: Callable[[Any], Exception]) -> None:
    assert isinstance(lost(how), BrokenProcessPool)
