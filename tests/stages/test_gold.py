"""No model is scored by an answer the verifier cannot judge."""

from __future__ import annotations

import pytest

from promptcot.errors import UserError
from promptcot.records import Seed
from promptcot.stages.evaluate import check_gold


def seed(answer: str | None) -> Seed:
    return Seed("s", "math", "1", "Q?", answer=answer, source="file#3")


def test_integers_rationals_and_missing_answers_pass() -> None:
    check_gold([seed("42"), seed("-3/7"), seed("0.5"), seed("\\frac{1}{2}"), seed(None)])


def test_an_empty_gold_answer_is_named_before_scoring() -> None:
    with pytest.raises(UserError, match="file#3 cannot be judged"):
        check_gold([seed("  ")])
