"""Unit tests written by a model: reading them, and keeping only those that independent solutions confirm.

Tests written by models are often wrong (a third to two thirds in arXiv 2602.10522), and PromptCoT 2.0 does not
vet them. Here the output of a test is what at least `min_votes` independent solutions agree on, or the test
goes (`vet`); of the agreed tests those stay that one group of solutions passes as a whole (`consensus`, after CodeT,
arXiv 2207.10397); those that catch a wrong program come first (`by_separation`); and a problem that accepts several
outputs is told apart (`needs_checker`). Pure functions: programs are run by `kill_rate` and the label stage.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from promptcot.records import UnitTest
from promptcot.verify.answers import after_thinking
from promptcot.verify.fences import fenced_blocks
from promptcot.verify.outputs import same_output
from promptcot.verify.vote import Vote, tally

MAX_TEST_BYTES = 64 * 1024

Decision = Literal["confirmed", "relabelled", "dropped"]


@dataclass(frozen=True)
class VettedTest:
    """A test and what independent solutions said about it.

    test: With the agreed output if `relabelled`, else as it was. reason: why it was `dropped`: `input_invalid`,
    `tie`, `few_votes`, `low_share`, `low_margin`, `output_differs` (no relabelling), `consensus`; else empty.
    claimed: The output it came with. votes: Solutions in the largest group of equal outputs; margin: its lead;
    valid: solutions with an output. divided: Two outputs have `min_votes` each, or the solutions would agree if the
    order of the words in the output did not matter: more than one output may be right.
    """

    test: UnitTest
    decision: Decision
    reason: str
    claimed: str
    votes: int
    margin: int
    valid: int
    solutions: int
    divided: bool = False


def parse_test(text: str) -> UnitTest | str:
    """Read a model's test: the first ```json block, an object with exactly the strings `input` and `output`.

    Returns:
        The test, or why there is none: `truncated`, `no_json_block`, `bad_json`, `wrong_fields`, `too_large`,
        `not_text` (lone surrogates), `empty_output` (any program that prints nothing would pass it).
    """
    answer = after_thinking(text)
    if answer is None:
        return "truncated"
    block = next((b for b in fenced_blocks(answer) if b.language == "json" and b.closed), None)
    if block is None:
        return "no_json_block"
    try:
        value = json.loads(block.content)
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
    relabel: bool = True,
) -> list[VettedTest]:
    """Confirm, relabel or drop each test by the outputs of M independent solutions.

    Args:
        tests: T tests.
        outputs_TM: For each test the M outputs, in any order; None where a solution failed or was not
            deterministic (run it under two hash seeds). Blank outputs count as failures. The solutions must
            not be the rollouts that these tests will judge.
        min_votes: Solutions that must agree, by `outputs.same_output`.
        min_share: Their share among the solutions with an output.
        min_margin: Their lead over the second largest group.
        relabel: Give a test the agreed output where it claims another one, instead of dropping it.

    Raises:
        ValueError: `tests` and `outputs_TM` differ in length.
    """
    bounds = (min_votes, min_share, min_margin)
    return [_vet_one(t, outputs, bounds, relabel) for t, outputs in zip(tests, outputs_TM, strict=True)]


def _vet_one(
    test: UnitTest, outputs: Sequence[str | None], bounds: tuple[int, float, int], relabel: bool
) -> VettedTest:
    vote = tally(outputs, same_output)
    objection = _objection(vote, *bounds)
    rivals = sum(size >= max(bounds[0], 2) for _, size in vote.histogram) > 1
    reordered = bool(objection) and not _objection(tally(outputs, _same_words), *bounds)
    kept, reason = test, objection
    decision: Decision = "dropped"
    if not objection and vote.winner is not None:
        if same_output(vote.winner, test.output):
            decision = "confirmed"
        elif relabel:
            decision, kept = "relabelled", UnitTest(test.input, vote.winner)
        else:
            reason = "output_differs"
    return VettedTest(
        kept, decision, reason, test.output, vote.votes, vote.margin, vote.valid, vote.samples, rivals or reordered
    )  # fmt: skip


def _same_words(a: str, b: str) -> bool:
    return sorted(a.split()) == sorted(b.split())


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


# --- from tests to a suite


def consensus(tests: Sequence[UnitTest], outputs_TM: Sequence[Sequence[str | None]]) -> list[int]:
    """The indices of the tests that the leading group of solutions passes (CodeT's dual agreement).

    Solutions that pass the same tests are a group; the one with the largest |solutions| x |tests passed| leads, of
    equals the one that passes more tests, then the one seen first.
    """
    solutions = zip(*outputs_TM, strict=True)
    groups = Counter(tuple(map(passes, tests, outputs)) for outputs in solutions)
    best = max(groups, key=lambda group: (groups[group] * sum(group), sum(group)), default=())
    return [i for i, passed in enumerate(best) if passed]


def passes(test: UnitTest, output: str | None) -> bool:
    """Is this output, if there is one, what the test expects?"""
    return output is not None and same_output(test.output, output)


def by_separation(failed_by: Sequence[set[int]]) -> list[int]:
    """Test indices, each time the test next that catches most wrong programs which none before it caught.

    Args:
        failed_by: For each test the wrong programs that fail it.
    """
    left, order, caught = list(range(len(failed_by))), list[int](), set[int]()
    while left:
        best = max(left, key=lambda i: (len(failed_by[i] - caught), len(failed_by[i]), -i))
        left.remove(best)
        order.append(best)
        caught |= failed_by[best]
    return order


_SEVERAL = re.compile(
    r"(?<!not )(?<!n't )\b(?:print|output|return|report|find)(?: out)? any\b(?! (?:other|extra|additional|more|further))"
    r"|\b(?:print|output|return|report)\b[^.]{0,80}\bany (?:valid|correct|optimal|acceptable|suitable)\b"
    r"|\bany (?:valid|correct|optimal|acceptable|suitable) (?:answer|solution|output|one)"
    r"|\b(?:answers?|solutions?|outputs?|permutations?)\b[^.]{0,60}\bany of (?:them|these|those)\b"
    r"|\b(?:print|output|return|report|list)\b[^.]{0,80}\bin any order\b"
    r"|\b(?:print|output|return|report) one (?:of (?:them|these|those)|valid|such)\b",
    re.IGNORECASE,
)


def needs_checker(problem: str, vetted: Sequence[VettedTest]) -> str:
    """Why comparing outputs cannot judge this problem; empty if it can.

    Returns:
        `statement`: the text allows several outputs ("print any of them"). `divided`: on at least half of the tests
        with a valid input, more than one output may be right (`VettedTest.divided`). A mistake that several solutions
        share looks the same; without a reference neither can be told from the other.
    """
    if _SEVERAL.search(" ".join(problem.split())):
        return "statement"
    valid = [v for v in vetted if v.reason != "input_invalid"]
    return "divided" if valid and 2 * sum(v.divided for v in valid) >= len(valid) else ""


def copies_sample(test: UnitTest, problem: str) -> bool:
    """Are the lines of the input, as a block, also lines of the problem's text? Such a test is known to a solver."""
    block = "\n".join(line.strip() for line in test.input.strip().split("\n"))
    text = "\n".join(line.strip() for line in problem.split("\n"))
    return bool(block) and f"\n{block}\n" in f"\n{text}\n"
