"""Mathematics: answers in a box, labels by vote."""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.verify.answers import extract_boxed


def malformed(problem: str) -> str | None:
    """A proof has no answer to compare (the release drops these too)."""
    return "proof" if "prove that" in problem.lower() else None


def domain(compact: bool) -> Domain:
    """Problems with one checkable final answer."""
    return Domain(
        name="math",
        subject="mathematics",
        answer_kind="vote",
        ask=(
            "Given foundational concepts and difficulty level, identify connections and develop a question "
            "that integrates these concepts with appropriate complexity."
        ),
        heading="Foundational Concepts",
        solve="Please reason step by step, and put your final answer within \\boxed{}.",
        test="",
        answer=extract_boxed,
        malformed=malformed,
        compact=compact,
    )
