"""The cost of stages against numbers worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptcot.analysis.funnel import Step, cost, kept_problems, tokens_of, total
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
