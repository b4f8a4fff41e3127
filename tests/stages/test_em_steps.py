"""What the EM asks of its models, seen by an engine that only takes note."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.domains.templates import COMPACT
from promptcot.errors import UserError
from promptcot.lm.base import EngineSpec, Prompt, Sample, SamplingParams
from promptcot.records import Ask, Candidate, Reject
from promptcot.runner.worker import Worker
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


class Table:
    """A finished step: which of `asked` rows it lost, and a candidate for each of the others."""

    def __init__(self, name: str, asked: Sequence[str], lost: int) -> None:
        self.name, self.digest, self.asked, self.lost = name, name, asked, lost

    def totals(self) -> dict[str, Any]:
        return {"rows_in": len(self.asked), "rejected": self.lost, "reasons": {"timeout": self.lost}}

    def rejects(self) -> list[Reject]:
        return [Reject(i, "timeout") for i in self.asked[: self.lost]]

    def rows(self) -> list[Candidate]:
        return [
            Candidate(f"{i}.{n}", i, 0, "z", [], "stop", -1.0, -1.0, -1.0, 1, 1)
            for n, i in enumerate(self.asked[self.lost :])
        ]


class Lossy(Loop):
    """Ten items, two candidates each, one by one; `lost` says how many rows each step loses."""

    def __init__(self, **lost: int) -> None:
        self.settings = EM(k=2, k_first=1, settled=1.0, max_rejected=0.5, training=Training(lr=1.0))
        self.items, self.lost = [SimpleNamespace(id=str(i)) for i in range(10)], lost  # type: ignore[misc]

    def sample(self, name: str, kind: str, rows: Any, t: int, samples: Any, keep_all: bool) -> Any:
        return Table(name, [row.id for row in rows for _ in samples], self.lost.get(name, 0))

    def score(self, name: str, drawn: Any, t: int, of: str) -> Any:
        return Table(name, [c.item_id for c in drawn], self.lost.get(name, 0))

    def _open(self, group: Sequence[Candidate]) -> bool:
        return False


def test_em_max_rejected_holds_for_scores_and_for_further_candidates() -> None:
    names = ["e1_candidates", "e1_more_candidates"]
    assert [step.name for step in Lossy(e1_samples=5, e1_more_samples=2).candidates(1)] == names
    # All five items that had no candidate lose the second one too: ten of fifteen.
    for lost in (
        {"e1_samples": 5, "e1_more_samples": 5},
        {"e1_candidates": 6},
        {"e1_samples": 4, "e1_more_candidates": 3},
    ):
        with pytest.raises(UserError, match=f"{list(lost)[-1]}: .*rows rejected") as e:
            Lossy(**lost).candidates(1)
        assert "em.max_rejected" in str(e.value)


def test_hard_items_that_lose_their_further_candidates_too_do_not_end_a_run_that_lost_few() -> None:
    first, more = Lossy(e1_samples=2, e1_more_samples=2).candidates(1)
    assert (len(list(first.rows())), len(list(more.rows()))) == (8, 0)


def test_under_compact_the_packaged_model_ends_a_rationale_with_one_token_and_no_other() -> None:
    engine = Worker(1).engine(EngineSpec("transformers", "pocket"))
    assert engine.encode(COMPACT.q_end) == engine.end_ids
    assert len(engine.end_ids) == 1
