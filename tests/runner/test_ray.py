"""The Ray runner, on a real Ray: the same rows, and errors that stay the user's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.runner import line
from tests.runner.conftest import digests

from promptcot.errors import UserError
from promptcot.runner.progress import Reporter
from promptcot.runner.ray import RayPool, RayRunner, connect
from promptcot.team import Team

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'promptcot[ray]'"
)


@pytest.mark.slow
def test_ray_gives_the_rows_of_one_process_and_passes_errors_on(
    tmp_path: Path, alone: dict[str, str]
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
