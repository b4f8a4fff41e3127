"""GRPO for real on the packaged model: advantages by hand, and attempts without a reward that move nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promptcot.lm.base import SamplingParams
from promptcot.settings import GRPO, Preference
from promptcot.train.common import load
from promptcot.train.grpo import Judge, Reward, Task, grpo

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from tests.train.small import START  # noqa: E402

TASKS = [Task((("user", "What is 2 + 3?"),), 8), Task((("user", "What is 4 + 4?"),), 8)]
SETTINGS = Preference(lr=1e-2, batch_size=2, micro_batch_size=8, schedule="constant", warmup_share=0)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def train(
    out: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], dict[int, list[float]]]:
    """Facts, and the advantages by task of the only step."""
    import trl

    made: list[Any] = []

    class Spy(trl.GRPOTrainer):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(trl, "GRPOTrainer", Spy)
    facts = grpo(out, TASKS, judge, SamplingParams(max_tokens=8), START, SETTINGS, GRPO(group=4))
    (trainer,) = made
    groups: dict[int, list[float]] = {}
    prompts = [t.messages[0][1] for t in TASKS]
    for prompt, advantage in zip(trainer._logs["prompt"], trainer._logs["advantages"], strict=True):
        groups.setdefault(prompts.index(prompt[-1]["content"]), []).append(advantage)
    return facts, groups


def test_advantages_are_those_of_the_scored_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {0: [1.0, 0.0, None, 1.0], 1: [None, None, 0.0, 0.0]}
    asked: dict[int, int] = {0: 0, 1: 0}
    seen = []

    def judge(task: int, text: str, finish: str) -> float | None:
        seen.append((text, finish))
        asked[task] += 1
        return given[task][asked[task] - 1]

    facts, groups = train(tmp_path, judge, monkeypatch)
    # 1, 0, 1: mean 2/3, variance (1/9 + 4/9 + 1/9) / 2 = 1/3. With the third as a 0 it would be mean 1/2.
    sd = (1 / 3) ** 0.5 + 1e-4
    assert groups[0] == pytest.approx([1 / 3 / sd, -2 / 3 / sd, 0, 1 / 3 / sd], abs=1e-5)
    assert groups[1] == [0, 0, 0, 0]
    assert (facts["attempts"], facts["unrewarded"], facts["steps"]) == (8, 3, 1)
    assert facts["reward"] == [pytest.approx(2 / 5)]
    assert {finish for _, finish in seen} <= {"stop", "length"}
    assert all("<|end|>" not in text for text, finish in seen if finish == "stop")
    assert moved(tmp_path)


def test_without_rewards_nothing_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, groups = train(tmp_path, lambda task, text, finish: None, monkeypatch)
    assert groups == {0: [0] * 4, 1: [0] * 4}
    assert (facts["unrewarded"], facts["reward"]) == (8, [])
    assert not moved(tmp_path)


def moved(out: Path) -> bool:
    before, after = (load(m)[0].state_dict() for m in (START.model, str(out)))
    return any(not torch.equal(before[k], after[k]) for k in before)


def test_a_turn_is_finished_only_by_its_end_token() -> None:
    _, tokenizer = load(START.model)
    seen = []
    reward = Reward(lambda task, text, finish: seen.append((task, text, finish)), tokenizer)
    ids = tokenizer.encode("5", add_special_tokens=False)
    assert reward(completion_ids=[[*ids, tokenizer.eos_token_id], ids, []], task=[3, 4, 5]) == [None] * 3
    assert seen == [(3, "5", "stop"), (4, "5", "length"), (5, "", "length")]
