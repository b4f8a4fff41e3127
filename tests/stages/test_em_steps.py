"""What the EM asks of its models, seen by an engine that only takes note."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.lm.base import EngineSpec, Prompt, Sample, SamplingParams
from promptcot.records import Ask, Candidate
from promptcot.settings import EM, Sampling, Training
from promptcot.stages import em_steps
from promptcot.stages.em_loop import Loop
from promptcot.stages.em_steps import GREEDY

WARPED = Sampling(temperature=0.7, top_p=0.9, top_k=20, max_tokens=48)


class Noting:
    """Keeps the parameters of every call and answers each prompt with the same rationale."""

    name = "noting"

    def __init__(self) -> None:
        self.asked: list[SamplingParams] = []

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        self.asked.append(params)
        return [Sample("Let us.", (1, 2, 3), -1.0, "stop", 5) for _ in prompts]


@pytest.mark.parametrize("keep_all", [True, False])
def test_held_out_rationales_are_drawn_plainly_and_candidates_as_the_recipe_says(keep_all: bool) -> None:
    engine = Noting()
    worker: Any = SimpleNamespace(seed=1, engine=lambda spec: engine)
    rows = [
        Ask(f"a{i}", "t", i, "math", "1", ["sums"], "What is 1 + 1?", rationale="Add.")
        for i in (GREEDY, 0, 1)
    ]
    settings = EM(sampling=WARPED, training=Training(lr=1.0))
    drawn = em_steps.sample(
        worker, rows, q=EngineSpec("noting"), settings=settings, style="compact", keep_all=keep_all
    )
    assert all(isinstance(c, Candidate) for c in drawn)
    likeliest, random = engine.asked
    assert (likeliest.temperature, likeliest.max_tokens) == (0.0, 48)
    found = (random.temperature, random.top_p, random.top_k, random.max_tokens)
    assert found == ((1.0, 1.0, 0, 48) if keep_all else (0.7, 0.9, 20, 48))


@pytest.mark.parametrize("keep_all", [True, False])
def test_the_key_of_a_step_says_how_it_really_drew(keep_all: bool) -> None:
    loop, params = Loop.__new__(Loop), []
    step = SimpleNamespace(digest="d", artifact="q")
    loop.settings, loop.prefix, loop.style, loop.source = (
        EM(sampling=WARPED, training=Training(lr=1.0)), "", "compact", "s"
    )  # fmt: skip
    loop.start = {"q": step, "p": step}  # type: ignore[dict-item]
    loop.base = SimpleNamespace(spec=EngineSpec)  # type: ignore[assignment]
    loop.ctx = SimpleNamespace(map=lambda *args, **named: params.append(named["params"]))  # type: ignore[assignment]
    loop.sample("samples", "k", [], 0, [0], keep_all)
    assert params[0]["sampling"] == (Sampling(max_tokens=48) if keep_all else WARPED).key()
