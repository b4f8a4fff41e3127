"""What an annotator said, and what of it becomes a triple."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.lm.scripted import ScriptedEngine
from promptcot.records import Reject, Triple
from promptcot.settings import Annotate, Sampling
from promptcot.stages.annotate import annotate

PLAN = "Thinking Process: Choose two small numbers and ask for their sum."


def found(
    concepts: str, rationale: str, max_tokens: int = 1000, max_context: int = 1 << 20
) -> Triple | Reject:
    """One seed, annotated by a model that says this."""

    def respond(prompt: str, seed: int) -> str:
        return rationale if "Thinking Process" in prompt else concepts

    engine = ScriptedEngine(respond, max_context=max_context)
    settings = Annotate.model_validate(
        {
            "annotators": {"a": {"engine": "scripted"}},
            "sampling": Sampling(max_tokens=max_tokens).model_dump(),
        }
    )
    row = Triple("t", "s", "math", "1", "train", "a", [], "", "What is 1 + 1?")
    worker: Any = SimpleNamespace(engine=lambda spec: engine, seed=1)
    (made,) = annotate(worker, [row], settings=settings, style="promptcot2")
    return made


def test_concepts_and_rationale_are_read_behind_the_thoughts() -> None:
    made = found(
        '<think>They want a list: ["draft"].</think>["sums", "small numbers"]',
        f'<think>I must begin with "Thinking Process:". Let me plan.\n</think>\n\n{PLAN}',
    )
    assert isinstance(made, Triple)
    assert made.concepts == ["sums", "small numbers"]
    assert made.rationale == "Choose two small numbers and ask for their sum."


@pytest.mark.parametrize(
    ("concepts", "rationale", "max_tokens"),
    [
        ('["sums"]', PLAN, 40),  # cut in the middle of a sentence
        (
            '["sums"]',
            f'<think>I must begin with "Thinking Process:". {PLAN}',
            1000,
        ),  # never came to an answer
        ('<think>Say ["draft"], or', PLAN, 1000),
        ('["sums", "small numbers", "and many more"]', PLAN, 20),
    ],
)
def test_what_was_cut_off_is_no_annotation(concepts: str, rationale: str, max_tokens: int) -> None:
    made = found(concepts, rationale, max_tokens)
    assert isinstance(made, Reject)
    assert made.reason == "truncated"


def test_a_problem_that_does_not_fit_the_annotator_is_a_reject_of_its_own() -> None:
    made = found('["sums"]', PLAN, max_context=100)
    assert isinstance(made, Reject)
    assert made.reason == "context"
