"""The texts every domain shares, in two styles.

`promptcot2` keeps the released generator's prompt and markers (PAPER section 6), so released models and data
can be used; `compact` spends a handful of special tokens, for the packaged model and for quick trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Messages = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    """The texts around c, z and x in the two models' sequences.

    p reads  `generator_prompt` z `z_end` x `x_end`;  q reads  `rationale_prompt` z `q_end`.
    The prompts end where z begins, so the ids of a sampled z go into either sequence unchanged.
    """

    z_end: str
    x_end: str
    q_end: str


COMPACT = Layout(z_end="<|problem|>", x_end="<|end|>", q_end="<|end|>")
PROMPTCOT2 = Layout(
    z_end="\n<!-- END RATIONALE -->\n<!-- BEGIN PROBLEM -->\n",
    x_end="\n<!-- END PROBLEM -->",
    q_end="\n<!-- END RATIONALE -->",
)
BEGIN_RATIONALE = "<!-- BEGIN RATIONALE -->\n"
COMPACT_TEST = "Write one test as JSON."


def numbered(concepts: Sequence[str]) -> str:
    """Concepts as a numbered list."""
    return "\n".join(f"{i}. {c}" for i, c in enumerate(concepts, 1))


def concept_request(problem: str, num_concepts: int, subject: str) -> Messages:
    """Asks for foundational concepts as a Python list in a code fence."""
    return ((
        "user",
        f"Concepts: name {num_concepts} foundational {subject} concepts that the problem below is built from. "
        "Each is part of the core curriculum, precise, measurable and reusable; name principles, not tricks. "
        "Answer with one Python list of strings in a ```python fence.\n"
        f"Problem:\n{problem}",
    ),)  # fmt: skip


def rationale_request(problem: str, concepts: Sequence[str], level: str, subject: str) -> Messages:
    """Asks for the design process that leads from the concepts to the problem."""
    return ((
        "user",
        f"Rationale: reconstruct how a {subject} teacher designed the problem below from these concepts and the "
        "difficulty level alone. It must follow naturally from them, and be so precise that a colleague who "
        'follows it would write the same problem. Begin with "Thinking Process:".\n'
        f"Foundational concepts:\n{numbered(concepts)}\nDifficulty level: {level}\n"
        f"Problem:\n{problem}",
    ),)  # fmt: skip
