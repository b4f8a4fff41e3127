"""One attempt at each problem: whose answers are compared how, and prompts that do not fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.domains import get
from promptcot.lm.base import EngineSpec, SamplingParams
from promptcot.lm.scripted import ScriptedEngine
from promptcot.records import Ask, Reject, Rollout
from promptcot.settings import Rules
from promptcot.settings.domains import DomainFile, read, register
from promptcot.stages.solving import attempt, judge

CHESS = """
import re
from promptcot.domains.base import Domain

def answer(text):
    found = re.findall(r"ANSWER: (\\S+)", text)
    return found[-1] if found else None

def domain(compact):
    return Domain(name="chess", subject="chess problem", answer_kind="vote", ask="Write one.", heading="Themes",
                  solve="End with ANSWER: and the move.", test="", answer=answer, malformed=lambda text: None, compact=compact)
"""


@pytest.mark.parametrize(
    ("said", "verdict"), [("Mate. ANSWER: Qh7", "correct"), ("ANSWER: Kh1", "incorrect")]
)
def test_a_domain_without_a_checker_compares_the_answers_it_extracts(
    said: str, verdict: str, tmp_path: Path
) -> None:
    (tmp_path / "chess.py").write_text(CHESS)
    register([DomainFile(**read(str(tmp_path / "chess.py")))])
    domain = get("chess", "compact")
    register(())
    row = Ask("a", "p", 0, "chess", "1", [], "White to move.", "Qh7")
    assert judge(domain, row, said, domain.answer(said), "stop", Rules())[0] == verdict


def test_a_prompt_that_does_not_fit_is_a_reject_of_its_own() -> None:
    engine = ScriptedEngine(lambda prompt, seed: "\\boxed{2}", max_context=300)
    worker: Any = SimpleNamespace(engine=lambda spec: engine, seed=1)
    asks = [
        Ask(i, i, 0, "math", "1", [], text, "2")
        for i, text in (("a", "1 + 1?"), ("b", "x" * 400), ("c", "2?"))
    ]
    made = attempt(
        worker, asks, model=EngineSpec("scripted", "m"), params=SamplingParams(max_tokens=50), style="compact", rules=Rules()
    )  # fmt: skip
    assert [r.reason if isinstance(r, Reject) else r.verdict for r in made] == [
        "correct",
        "context",
        "correct",
    ]
    assert isinstance(made[0], Rollout)
