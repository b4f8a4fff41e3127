"""Rounds of self-play: when they stop, which one is kept, and one real round of GRPO from the command line."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.ids import digest
from promptcot.records import Decision, Record, Round
from promptcot.settings import Model, Preference, SelfPlay
from promptcot.stages.selfplay import Play
from promptcot.store import Step

BETTER, SAME, WORSE = [0.9] * 20, [0.5] * 20, [0.1] * 20


class Scripted(Play):
    """Rounds whose tracked solve rates are given instead of measured."""

    def __init__(self, measured: list[list[float]], **changes: Any) -> None:
        base = {"model": Model(model="m"), "training": Preference(lr=1e-4), "track": 20, "rounds": 3}
        self.settings = SelfPlay.model_validate({**base, **changes})
        self.ctx = SimpleNamespace(recipe=SimpleNamespace(run=SimpleNamespace(seed=1)))  # type: ignore[assignment]
        self.problems = [f"p{i}" for i in range(9)]  # type: ignore[misc]
        self.measured, self.asked = measured, []  # type: ignore[var-annotated]

    def track(self, r: int) -> dict[str, float]:
        return {str(i): v for i, v in enumerate(self.measured[r])}

    def one(self, r: int, problems: Any) -> Any:
        self.asked.append(list(problems))
        return [], None

    def figures(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("measured", "stop", "kept", "last", "reason"),
    [
        ([SAME, BETTER, BETTER, BETTER], True, 1, 2, "converged"),
        ([SAME, WORSE, BETTER, BETTER], True, 0, 1, "worse"),
        ([WORSE, SAME, BETTER, SAME], True, 2, 3, "worse"),
        ([WORSE, SAME, BETTER, BETTER], False, 3, 3, "max_rounds"),
    ],
)
def test_the_stop_rule_returns_to_the_best_round(
    measured: list[list[float]], stop: bool, kept: int, last: int, reason: str
) -> None:
    play = Scripted(measured, stop=stop)
    decision = play.rounds()
    assert (decision.kept, decision.last, decision.reason) == (kept, last, reason)
    assert ("round 0" in decision.detail) == (kept == 0)


def test_every_round_has_problems_of_its_own() -> None:
    play = Scripted([SAME] * 4)
    play.rounds()
    assert {p for asked in play.asked for p in asked} == set(play.problems)
    assert [len(a) for a in play.asked] == [3, 3, 3]


RECIPE = """
name: grpo
templates: compact
run: {seed: 1, workers: 1}
seeds: {source: pocket, count: 16, code_share: 0.25, levels: {"1": 1.0}}
selfplay:
  model: {engine: transformers, model: pocket}
  method: grpo
  problems: seeds
  rollouts: 4
  waves: [2, 2]
  early: decided
  drop_at: 1.0
  track: 4
  track_samples: 1
  sampling: {temperature: 1.0, max_tokens: 48}
  training: {lr: 1.0e-5, batch_size: 2, micro_batch_size: 8, max_tokens: 512, checkpoint_steps: 1}
  grpo: {group: 4}
"""


def test_a_round_of_grpo_with_the_real_verifiers(tmp_path: Any) -> None:
    from typer.testing import CliRunner

    from promptcot.cli import app

    (tmp_path / "grpo.yaml").write_text(RECIPE)
    for verb in ("seeds", "selfplay", "selfplay"):  # the second time finds everything done
        done = CliRunner().invoke(
            app, [verb, str(tmp_path / "grpo.yaml"), "--run-dir", str(tmp_path / "run")]
        )
        assert done.exit_code == 0, done.output
    folder = tmp_path / "run" / "08_selfplay"
    trained = json.loads((folder / "solver1" / "done.json").read_text())
    assert trained["attempts"] == trained["steps"] * 2 * 4
    assert all(0 <= r <= 1 for r in trained["reward"])
    assert not (folder / "solver1" / "artifact" / ".trainer").exists()
    for step, key in (
        ("rollouts1", "model"),
        ("solver1", "start"),
        ("track1", "model"),
    ):  # a fork in bfloat16 keeps none
        assert Step.load(folder / step, Record).key["params"][key]["dtype"] == "float32"
    (decided,) = Step.load(folder / "decision", Decision).rows()
    assert Step.load(folder / "decision", Decision).key["params"] == {"decision": digest(decided.row())}
    (row,) = Step.load(folder / "round1", Round).rows()
    assert (row.problems, row.planned) == (12, 48)
    assert row.drawn <= row.planned
    assert row.rows == row.kept
    assert 0 <= row.tracked <= 1
