"""Unit tests written by a model: reading them, and keeping only those that independent solutions confirm.

Tests written by models are often wrong (a third to two thirds in arXiv 2602.10522), and PromptCoT 2.0 does not
vet them. Here the output of a test is what at least `min_votes` independent solutions agree on, or the test
goes. Pure functions: running the solutions is `process.run_program`'s work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptcot.records import UnitTest
from promptcot.verify.answers import after_thinking
from promptcot.verify.programs import fenced_blocks, same_output
from promptcot.verify.vote import Vote, tally

MAX_TEST_BYTES = 64 * 1024

Decision = Literal["confirmed", "relabelled", "dropped"]


@dataclass(frozen=True)
class VettedTest:
    """A test and what independent solutions said about it.

    test: With the agreed output if `relabelled`, else as it was. reason: why it was `dropped`: `input_invalid`,
    `tie`, `few_votes`, `low_share`, `low_margin`; else empty. claimed: The output it came with.
    votes: Solutions in the largest group of equal outputs; margin: its lead; valid: solutions with an output.
    """

    test: UnitTest
    decision: Decision
    reason: str
    claimed: str
    votes: int
    margin: int
    valid: int
    solutions: int


def parse_test(text: str) -> UnitTest | str:
    """Read a model's test: the first ```json block, an object with exactly the strings `input` and `output`.

    Returns:
        The test, or why there is none: `truncated`, `no_json_block`, `bad_json`, `wrong_fields`, `too_large`,
        `not_text` (lone surrogates), `empty_output` (any program that prints nothing would pass it).
    """
    answer = after_thinking(text)
    if answer is None:
        return "truncated"
    blocks = [content for language, content in fenced_blocks(answer) if language == "json"]
    if not blocks:
        return "no_json_block"
    try:
        value = json.loads(blocks[0])
    except (ValueError, RecursionError):
        return "bad_json"
    return _as_test(value)


def _as_test(value: object) -> UnitTest | str:
    if not isinstance(value, dict) or set(value) != {"input", "output"}:
        return "wrong_fields"
    given, output = value["input"], value["output"]
    if not isinstance(given, str) or not isinstance(output, str):
        return "wrong_fields"
    try:
        sizes = len(given.encode()), len(output.encode())
    except UnicodeEncodeError:
        return "not_text"
    if max(sizes) > MAX_TEST_BYTES:
        return "too_large"
    return UnitTest(given, output) if output.strip() else "empty_output"


def vet(
    tests: Sequence[UnitTest],
    outputs_TM: Sequence[Sequence[str | None]],
    min_votes: int = 3,
    min_share: float = 0.6,
    min_margin: int = 2,
) -> list[VettedTest]:
    """Confirm, relabel or drop each test by the outputs of M independent solutions.

    Args:
        tests: T tests.
        outputs_TM: For each test the M outputs, in any order; None where a solution failed or was not
            deterministic (run it under two hash seeds). Blank outputs count as failures. The solutions must
            not be the rollouts that these tests will judge.
        min_votes: Solutions that must agree, by `programs.same_output`.
        min_share: Their share among the solutions with an output.
        min_margin: Their lead over the second largest group.

    Raises:
        ValueError: `tests` and `outputs_TM` differ in length.
    """
    bounds = (min_votes, min_share, min_margin)
    return [_vet_one(test, outputs, *bounds) for test, outputs in zip(tests, outputs_TM, strict=True)]


def _vet_one(
    test: UnitTest, outputs: Sequence[str | None], min_votes: int, min_share: float, min_margin: int
) -> VettedTest:
    vote = tally(outputs, same_output)
    reason = _objection(vote, min_votes, min_share, min_margin)
    kept = test
    decision: Decision = "dropped"
    if not reason and vote.winner is not None:
        agrees = same_output(vote.winner, test.output)
        decision = "confirmed" if agrees else "relabelled"
        kept = test if agrees else UnitTest(test.input, vote.winner)
    return VettedTest(kept, decision, reason, test.output, vote.votes, vote.margin, vote.valid, vote.samples)


def _objection(vote: Vote, min_votes: int, min_share: float, min_margin: int) -> str:
    """Why the vote decides nothing; empty if it does."""
    if 2 * vote.valid < vote.samples:
        return "input_invalid"
    if vote.tie:
        return "tie"
    if vote.votes < min_votes:
        return "few_votes"
    if vote.votes < min_share * vote.valid:
        return "low_share"
    return "low_margin" if vote.margin < min_margin else ""
