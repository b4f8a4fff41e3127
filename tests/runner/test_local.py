"""Workers and the GPUs they hold; views of rows that are read only where they are worked on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.runner import line
from tests.runner.conftest import digests

from promptcot.corridor import opened
from promptcot.errors import UserError
from promptcot.lm.base import EngineSpec, Prompt, Sample, SamplingParams
from promptcot.recipe import parse
from promptcot.records import Seed
from promptcot.runner import ray
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner, gpu_places, uninterrupted, visible_gpus
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import Worker, do_shard
from promptcot.stages.context import asks
from promptcot.store import Step, View
from promptcot.team import Team


def test_the_worker_count_changes_nothing(tmp_path: Path, alone: dict[str, str]) -> None:
    line.main(str(tmp_path / "r"), workers="2")
    assert digests(tmp_path / "r") == alone


def test_gpus_are_dealt_out_whole_or_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_places("em", 2.0, ["0", "1", "2", "3", "4"]) == ["0,1", "2,3"]
    assert gpu_places("em", 0.5, ["4", "7"]) == ["4", "4", "7", "7"]
    with pytest.raises(
        UserError, match=r"stage 'em' needs 2 GPUs per worker \(run\.gpus\); this process sees 1"
    ):
        gpu_places("em", 2.0, ["0"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert visible_gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []


def test_a_worker_sees_only_the_gpus_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with LocalRunner(1, 4, 8, Reporter(quiet=True), Team(tmp_path), {"em": 2.0}) as runner:
        assert runner.pool("em").submit(os.getenv, "CUDA_VISIBLE_DEVICES").result() == "5,7"
        assert runner.pool("em") is runner.pool("em")


def shared_by(worker: Worker, rows: list[Seed]) -> list[Seed]:
    return [Seed(r.id, r.domain, r.level, str(worker.parallel)) for r in rows]


def parallel(runner: LocalRunner, stage: Path) -> set[str]:
    """As how many processes the shards of a map shared a server's limits."""
    step = Step(stage / "mapped", Seed, {}, {})
    runner.map(step, line.build()[1], shared_by)
    return {r.problem for r in step.rows()}


def test_limits_are_shared_by_the_workers_that_a_stage_really_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with LocalRunner(1, 2, 50, Reporter(quiet=True), Team(tmp_path), {"em": 1.0}) as runner:
        assert parallel(runner, tmp_path / "04_em") == {"1"}
        assert parallel(runner, tmp_path / "05_synthesize") == {"2"}


class Here(Executor):
    """Stands in for the actors of a cluster: does the shards in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(do_shard(Worker(1), *args))
        return done


def test_a_cluster_says_how_many_share_the_limits_before_its_first_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = SimpleNamespace(cluster_resources=lambda: {"CPU": 5.0}, shutdown=lambda: None)
    monkeypatch.setattr(ray, "connect", lambda: cluster)
    monkeypatch.setattr(ray, "RayPool", lambda *_: Here())
    with ray.RayRunner(1, 0, 10, Reporter(quiet=True), Team(tmp_path)) as runner:
        assert parallel(runner, tmp_path / "02_annotate") == {"5"}


def test_a_worker_that_died_between_two_calls_is_named(tmp_path: Path) -> None:
    step = Step(tmp_path / "01_seeds" / "seeds", Seed, {}, {})
    with LocalRunner(1, 1, 8, Reporter(quiet=True), Team(tmp_path)) as runner:
        pool = runner.pool("seeds")
        with pytest.raises(BrokenProcessPool):
            pool.submit(os._exit, 1).result()
        with pytest.raises(UserError, match="a worker process died"):
            runner.map(step, line.build()[1], line.upper)


def test_engine_time_is_that_of_sampling_and_scoring() -> None:
    worker = Worker(1)
    engine = worker.engine(EngineSpec("scripted", "tests.runner.line:slow_answer"))
    assert engine.name == "scripted:tests.runner.line:slow_answer"  # everything else is the engine's own
    _, second = engine.sample([Prompt(1, text="a"), Prompt(2, text="b")], SamplingParams())
    assert isinstance(second, Sample)
    assert second.text == "b!"
    assert worker.engine_s() >= 0.04  # twice 20 ms asleep
    assert worker.engine_s() == 0.0
    assert worker.usage()["sampled_tokens"] == 4


def test_a_view_is_the_list_it_stands_for() -> None:
    made: list[tuple[int, int]] = []

    def make(a: int, b: int) -> list[int]:
        made.append((a, b))
        return [n * n for n in range(a, b)]

    view, plain = View(1200, make), [n * n for n in range(1200)]
    assert made == []
    assert view[1000:1003] == plain[1000:1003]
    assert made == [(1000, 1003)]  # nothing before it was made
    assert list(view) == plain
    assert list(view[7:90:13]) == plain[7:90:13]
    assert (view[-1], len(view), view[5:5]) == (plain[-1], 1200, [])
    with pytest.raises(IndexError):
        view[1200]


def test_exploded_rows_are_the_same_wherever_they_are_cut() -> None:
    seeds = line.build()[1]
    whole = list(asks("line", seeds, 3))
    assert [(a.of, a.sample) for a in whole[:4]] == [
        (seeds[0].id, 0),
        (seeds[0].id, 1),
        (seeds[0].id, 2),
        (seeds[1].id, 0),
    ]
    assert len({a.id for a in whole}) == 300
    assert [*asks("line", seeds, 3)[:8], *asks("line", seeds, 3)[8:299]] == whole[:299]


def test_an_interrupt_waits_for_the_end_of_what_must_not_be_interrupted() -> None:
    reached = []

    def interrupted() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            reached.append("end")

    # Where the tests run behind a shell, it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert reached == ["end"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def broken(worker: Worker, rows: list[Seed]) -> list[Seed]:
    raise UserError("the server is down")


def test_the_clock_of_a_run_counts_the_workers_that_have_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    settings = {"workers": 4, "gpus": {"em": 1.0}, "shard_rows": 50}
    recipe = parse({"name": "line", "seeds": {"source": "pocket"}, "run": settings})

    def work(run: str, fn: Any) -> None:
        with opened(recipe, Reporter(quiet=True), str(tmp_path / run)) as ctx:
            for stage in ("annotate", "em"):
                ctx.clock.enter(stage)
                ctx.map(stage, "mapped", Seed, line.build()[1], fn, params={}, inputs={})

    def factors(run: str) -> dict[str, int]:
        wall, capacity = Clock(tmp_path / run).wall_s(), Clock(tmp_path / run).capacity_s()
        return {stage: round(capacity[stage] / wall[stage]) for stage in wall}

    work("whole", shared_by)
    assert factors("whole") == {"annotate": 4, "em": 1}
    with pytest.raises(UserError, match="the server is down"):
        work("stopped", broken)
    assert factors("stopped") == {"annotate": 4}
    work("whole", shared_by)
    assert len(list((tmp_path / "whole" / "sessions").iterdir())) == 1  # nothing was left to do
