"""Random and mutated answers, random programs: no exception, no hang, no escape. The long run: benchmarks/fuzz.py."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from benchmarks.fuzz import pairs, programs

from promptcot.records import Verdict
from promptcot.verify.answers import MODES, compare, equivalent
from promptcot.verify.sandbox import Choice

PAIRS = 1500


def test_no_answer_makes_the_checker_fail_or_hang() -> None:
    seen: Counter[Verdict] = Counter()
    slowest = (0.0, ("", ""))
    for gold, prediction in pairs(PAIRS, 1):
        started_s = time.perf_counter()
        verdict, reason = compare(gold, prediction)
        slowest = max(slowest, (time.perf_counter() - started_s, (gold, prediction)))
        assert isinstance(verdict, Verdict)
        assert reason
        assert "crashed" not in reason, (gold, prediction, reason)
        seen[verdict] += 1
    print(seen, slowest)
    assert len(seen) == 4


def test_votes_on_any_two_texts_do_not_depend_on_their_order() -> None:
    for a, b in pairs(PAIRS // 10, 2):
        assert equivalent(a, b) == equivalent(b, a), (a, b)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_ends_in_a_verdict(mode: str) -> None:
    for gold, prediction in pairs(15, 3):
        assert isinstance(compare(gold, prediction, mode)[0], Verdict)  # type: ignore[arg-type]


def test_no_random_program_hangs_gets_out_or_leaves_anything(sandbox: Choice) -> None:
    assert programs(12, 4)
