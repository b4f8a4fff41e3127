"""Token sequences of p and q, as named parts (c | z | x), built from id lists and never from strings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptcot.domains.base import Domain
from promptcot.lm.base import Part

Encode = Callable[[str], tuple[int, ...]]


@dataclass(frozen=True)
class Item:
    """One (c, x)."""

    domain: Domain
    level: str
    concepts: Sequence[str]
    problem: str

    @property
    def c_text(self) -> str:
        """What p reads before z."""
        return self.domain.generator_prompt(self.concepts, self.level)

    @property
    def cx_text(self) -> str:
        """What q reads before z."""
        return self.domain.rationale_prompt(self.concepts, self.level, self.problem)


def p_parts(item: Item, z_ids: Sequence[int], encode: Encode) -> tuple[Part, Part, Part]:
    """c (context), z with its end marker, x with its end marker: log p(z,x|c) is the sum of the last two."""
    layout = item.domain.layout
    return (
        Part("c", encode(item.c_text), scored=False),
        Part("z", tuple(z_ids) + encode(layout.z_end)),
        Part("x", encode(item.problem) + encode(layout.x_end)),
    )


def q_parts(item: Item, z_ids: Sequence[int], encode: Encode) -> tuple[Part, Part]:
    """(c, x) as context, z with q's end marker."""
    return (
        Part("cx", encode(item.cx_text), scored=False),
        Part("z", tuple(z_ids) + encode(item.domain.layout.q_end)),
    )


def labelled(parts: Sequence[Part]) -> tuple[list[int], list[int]]:
    """`input_ids` and `labels` of a training row: context parts carry the label -100."""
    ids = [t for p in parts for t in p.ids]
    labels = [t if p.scored else -100 for p in parts for t in p.ids]
    return ids, labels


def split_completion(domain: Domain, text: str) -> tuple[str, str] | str:
    """p's completion (without x_end) as (rationale, problem), or a reason code why it is not one."""
    layout = domain.layout
    rationale, marker, problem = text.partition(layout.z_end.strip("\n"))
    if not marker:
        return "no_problem_marker"
    rationale, problem = rationale.strip(), problem.strip()
    if not rationale:
        return "empty_rationale"
    if not problem:
        return "empty_problem"
    if layout.z_end.strip() in problem:
        return "two_problems"
    return rationale, problem
