"""The cost of stages against numbers worked out by hand."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.analysis.funnel import Step, cost, kept_problems, tokens_of, total
from promptcot.recipe import parse
from promptcot.records import Record
from promptcot.rundir import RunDir
from promptcot.runner.clock import Clock


def done(rows_out: int, seconds: float, engine_s: float, **usage: int) -> dict[str, Any]:
    return {"rows_in": 10, "rows_out": rows_out, "seconds": seconds, "engine_s": engine_s, "usage": usage}


STEPS: list[Step] = [
    ("06_curate/problems", {}, done(8, 0.0, 0.0)),
    ("07_label/attempts", {}, done(10, 30.0, 20.0, sampled_tokens=900, prompt_tokens=100, requests=64)),
    ("07_label/suites", {}, done(10, 10.0, 0.0)),
    ("07_label/problems", {}, done(4, 0.0, 0.0)),
]


def test_a_stage_costs_its_tokens_and_the_time_engines_did_not_work() -> None:
    rows = {r["stage"]: r for r in cost(STEPS, {"label": 25.0}, {"label": 50.0})}
    label = rows["label"]
    assert (label["wall_s"], label["worker_s"], label["engine_s"]) == (25.0, 40.0, 20.0)
    assert label["idle_share"] == 0.6  # of two workers for 25 s, an engine worked for 20 s
    assert label["tokens_per_kept"] == 250.0  # 1,000 tokens, 4 problems with a label
    assert label["worker_s_per_kept"] == 10.0
    assert label["requests"] == 64  # whatever else engines count
    assert tokens_of(label) == 1000
    assert rows["curate"]["idle_share"] is None  # no engine there


def test_kept_problems_are_the_labelled_else_the_curated_ones() -> None:
    assert kept_problems(STEPS) == 4
    assert kept_problems(STEPS[:1]) == 8
    assert kept_problems([]) is None
    assert cost(STEPS[1:3], {}, {})[0]["tokens_per_kept"] is None


def test_work_taken_over_from_another_arm_is_counted_once() -> None:
    def step(name: str, seed: int = 1) -> Step:
        key = {"stage": "em", "step": name, "seed": seed}
        return f"04_em/{name}", {"key": key}, done(10, 5.0, 4.0, sampled_tokens=100)

    (row,) = cost([step("h0_samples"), step("no_estep.h0_samples"), step("no_estep.h1_samples")], {}, {})
    assert (row["sampled_tokens"], row["worker_s"], row["rows"]) == (200, 10.0, 20)
    (row,) = cost([step("h0_samples"), step("arm.h0_samples", seed=2)], {}, {})
    assert row["sampled_tokens"] == 200  # another question


def test_the_total_is_of_all_stages() -> None:
    row = total(STEPS, {"label": 25.0, "curate": 5.0}, {"label": 50.0, "curate": 10.0})
    assert (row["wall_s"], row["worker_s"], row["rows"]) == (30.0, 40.0, 40)
    assert (row["tokens_per_kept"], row["requests"], row["requests_per_kept"]) == (250.0, 64, 16.0)
    assert row["idle_share"] == pytest.approx(1 - 20 / 60, abs=1e-3)


def test_the_clock_adds_sessions_and_counts_helpers_as_capacity_only(tmp_path: Path) -> None:
    sessions = tmp_path / "sessions"
    sessions.mkdir()
    for n, facts in enumerate(
        [
            {"wall_s": {"em": 10.0}, "peak_rss_mb": 5.0, "workers": 2, "leads": True},
            {"wall_s": {"em": 4.0}, "peak_rss_mb": 9.0, "workers": 3, "leads": False},
            {
                "wall_s": {"em": 1.0, "label": 2.0},
                "peak_rss_mb": 1.0,
            },  # as written before workers were counted
        ]
    ):
        (sessions / f"{n}.json").write_text(json.dumps(facts))
    clock = Clock(tmp_path)
    assert clock.wall_s() == pytest.approx({"em": 11.0, "label": 2.0})
    assert clock.capacity_s() == pytest.approx({"em": 33.0, "label": 2.0})
    assert clock.peak_rss_mb() == 9.0


def test_work_taken_over_from_another_run_is_in_the_price_and_not_in_the_pace() -> None:
    old = {"taken_over_from": "first"}
    steps: list[Step] = [
        ("04_em/p1", old, done(0, 90.0, 80.0, trained_tokens=500)),
        ("07_label/attempts", old, done(10, 30.0, 20.0, sampled_tokens=1000)),
        ("07_label/suites", {}, done(10, 10.0, 5.0)),
        ("07_label/problems", {}, done(4, 0.0, 0.0)),
    ]
    wall, capacity = {"em": 0.5, "label": 4.0}, {"em": 1.0, "label": 8.0}
    em, label = cost(steps, wall, capacity)
    assert (em["rows_per_s"], em["idle_share"], em["worker_s"], em["rows"]) == (None, None, 90.0, 10)
    # 20 rows of its own in 4 s; an engine worked for 5 s of 8
    assert (label["rows_per_s"], label["idle_share"], label["worker_s"]) == (5.0, 0.375, 40.0)
    assert (em["tokens_per_kept"], label["tokens_per_kept"]) == (125.0, 250.0)
    all_ = total(steps, wall, capacity)
    assert (all_["rows_per_s"], all_["idle_share"]) == (4.4, 0.444)  # 20 rows in 4.5 s; 5 s of 9
    assert (all_["tokens_per_kept"], all_["worker_s"], all_["rows"]) == (375.0, 130.0, 40)
    assert set(em) == set(label) == set(all_)


def test_a_fork_says_which_steps_it_took_over_and_an_arm_of_the_same_run_does_not(tmp_path: Path) -> None:
    recipe = parse({"name": "x", "seeds": {"source": "pocket"}})

    def step(run: RunDir, name: str) -> dict[str, Any]:
        made = run.step("em", name, Record, {}, {}, 1)
        if not made.done:
            made.finish(0)
        head: dict[str, Any] = json.loads((made.path / "step.json").read_text())
        return head

    first = RunDir(tmp_path / "first", recipe)
    assert "taken_over_from" not in step(first, "a.h0") | step(first, "b.h0")
    fork = RunDir(tmp_path / "fork", recipe, parent=tmp_path / "first")
    mine, arm, own = step(fork, "a.h0"), step(fork, "c.h0"), step(fork, "c.h1")
    assert (mine["taken_over_from"], arm["taken_over_from"]) == ("first", "first")
    assert "taken_over_from" not in own
    assert mine["key"] == json.loads((tmp_path / "first" / "04_em" / "a.h0" / "step.json").read_text())["key"]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the run's clock shows, in seconds."""
    shows = [1000.0]
    told = SimpleNamespace(monotonic=lambda: shows[0], time_ns=time.time_ns)
    monkeypatch.setattr("promptcot.runner.clock.time", told)
    return shows


def test_the_time_of_an_interrupted_stage_is_kept(tmp_path: Path, now: list[float]) -> None:
    def interrupted(worked: bool) -> None:
        with Clock(tmp_path, lambda: 2) as clock:
            clock.enter("label")
            clock.worked = worked
            now[0] += 100.0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(worked=False)
    assert not (tmp_path / "sessions").exists()  # nothing was done: a run that is finished stays as it is
    for n in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupted(worked=True)
        assert Clock(tmp_path).wall_s()["label"] == 100.0 * n
        assert Clock(tmp_path).capacity_s()["label"] == 200.0 * n


def test_the_time_of_a_session_that_is_killed_is_kept_too(tmp_path: Path, now: list[float]) -> None:
    with Clock(tmp_path, interval_s=0.01) as clock:
        clock.enter("label")
        now[0] += 100.0
        clock.worked = True
        for _ in range(6000):  # a minute
            if not clock.file.exists():  # written while the stage runs
                clock._stop.wait(0.01)
        assert Clock(tmp_path).wall_s()["label"] == 100.0


def test_a_clock_that_cannot_be_saved_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "sessions").touch()
    with Clock(tmp_path) as clock:
        clock.enter("label")
        clock.worked = True


def test_what_a_kill_left_of_a_saving_goes_with_the_next_session(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left, ours = (tmp_path / "sessions" / f".1.json.tmp-{pid}" for pid in (gone.pid, os.getpid()))
    left.parent.mkdir()
    for file in (left, ours):
        file.write_text("{")
    with Clock(tmp_path, leads=False):
        assert left.exists()
    with Clock(tmp_path):
        assert (left.exists(), ours.exists()) == (False, True)


def test_capacity_is_of_the_workers_that_each_stage_had(tmp_path: Path, now: list[float]) -> None:
    running = [16]
    with Clock(tmp_path, lambda: running[0]) as clock:
        clock.enter("label")
        now[0] += 10.0
        assert clock.capacity_s()["label"] == 160.0  # before its workers were started
        running[0] = 1
        clock.enter("selfplay")
        running[0] = 3
        now[0] += 10.0
        clock.save()
    (file,) = (tmp_path / "sessions").glob("*.json")
    assert json.loads(file.read_text())["capacity_s"] == {"label": 10.0, "selfplay": 30.0}
    assert Clock(tmp_path).capacity_s() == {"label": 10.0, "selfplay": 30.0}
