"""What a domain is: its texts, its parsing, and what counts as an answer. A new domain is one file (docs/new-domain.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from promptcot.domains import templates as t
from promptcot.verify.answers import equivalent

Messages = t.Messages


@dataclass(frozen=True)
class Domain:
    """One kind of problem.

    ask, heading: the generator's instruction and the title of its list of concepts. solve, test: what is
    added to a problem for a solver and for a writer of unit tests. answer: the final answer (or program) in a
    solver's text. malformed: a reason code when a text cannot be a problem here. answer_kind: "vote" compares
    answers, "tests" runs programs. compact: the packaged model's short templates instead of the release's.
    check: where an answer can be judged by the problem's own text, (problem, answer) -> is it right? No label is needed
    then to judge, what it refuses has no vote, and all that it accepts counts as one answer. It runs in the workers, so
    it must end for any text, and quickly.
    """

    name: str
    subject: str
    answer_kind: Literal["vote", "tests"]
    ask: str
    heading: str
    solve: str
    test: str
    answer: Callable[[str], str | None]
    malformed: Callable[[str], str | None]
    compact: bool
    check: Callable[[str, str], bool] | None = None

    @property
    def same(self) -> Callable[[str, str], bool]:
        """Do two answers count as one in a vote?"""
        return equivalent if self.check is None else _alike

    @property
    def layout(self) -> t.Layout:
        """The markers around z and x."""
        return t.COMPACT if self.compact else t.PROMPTCOT2

    def generator_prompt(self, concepts: Sequence[str], level: str) -> str:
        """c as p reads it, up to where the rationale begins."""
        if self.compact:
            return f"<|concepts|>{'; '.join(concepts)}<|level|>{self.name} {level}<|rationale|>"
        return (
            f"{self.ask}\n\n{self.heading}:\n{t.numbered(concepts)}\n\n"
            f"Difficulty Level: {level}\n\n{t.BEGIN_RATIONALE}"
        )

    def rationale_prompt(self, concepts: Sequence[str], level: str, problem: str) -> str:
        """(c, x) as q reads it, up to where the rationale begins."""
        if self.compact:
            c = f"<|concepts|>{'; '.join(concepts)}<|level|>{self.name} {level}"
            return f"{c}<|problem|>{problem}<|rationale|>"
        return f"{t.rationale_request(problem, concepts, level, self.subject)[0][1]}\n\n{t.BEGIN_RATIONALE}"

    def solve_messages(self, problem: str) -> Messages:
        """The problem as a solver is asked."""
        return (("user", problem if self.compact else f"{problem}\n{self.solve}"),)

    def test_messages(self, problem: str) -> Messages:
        """The request for one unit test as JSON (only where `answer_kind` is "tests")."""
        return (("user", f"{problem}\n{t.COMPACT_TEST if self.compact else self.test}"),)

    def concept_messages(self, problem: str, num_concepts: int) -> Messages:
        """The request for the concepts of a problem."""
        return t.concept_request(problem, num_concepts, self.subject)

    def annotation_messages(self, problem: str, concepts: Sequence[str], level: str) -> Messages:
        """The request for the thinking process behind a problem."""
        return t.rationale_request(problem, concepts, level, self.subject)


def _alike(one: str, other: str) -> bool:
    return True
