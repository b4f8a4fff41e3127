"""The simulated annotators and the teacher behind the `Engine` protocol, so that stages ask them as they ask models.

They answer messages (or plain text) and cannot score. The problem is everything after the last line that reads
"Problem:", or the whole of the user's text. An annotator looks at the first line of what it is asked: "Concepts..."
gives a Python list in a fence, "Rationale..." gives a thinking process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from promptcot.errors import UserError
from promptcot.lm.base import Part, Prompt, Sample, SamplingParams, SpanScore
from promptcot.pocket.annotators import ANNOTATORS, annotate
from promptcot.pocket.teacher import solve

CANNOT = "I cannot tell."
RATIONALE_HEAD = "Thinking Process:"


def problem_of(user: str) -> str:
    """The problem inside a request: after the last line equal to "Problem:", else the whole text."""
    lines = user.split("\n")
    marks = [i for i, line in enumerate(lines) if line.strip() == "Problem:"]
    return "\n".join(lines[marks[-1] + 1 :] if marks else lines).strip()


def annotator_answer(name: str, user: str, seed: int) -> str:
    """What the annotator `name` answers to a request.

    Raises:
        UserError: the first line asks for neither concepts nor a rationale.
    """
    found = annotate(name, problem_of(user), seed)
    if found is None:
        return CANNOT
    if user.startswith("Concepts"):
        return f"```python\n{list(found.concepts)!r}\n```"
    if user.startswith("Rationale"):
        return f"{RATIONALE_HEAD}\n{found.rationale}"
    first = user.split("\n", 1)[0]
    raise UserError(
        f"a request that begins {first!r}", expected='a first line starting with "Concepts" or "Rationale"'
    )


def teacher_answer(user: str, seed: int) -> str:
    """The teacher's solution of the problem in the request."""
    return solve(problem_of(user)) or CANNOT


@dataclass
class SimulatedEngine:
    """An `Engine` that answers requests with a function of (user text, seed); tokens are words."""

    name: str
    answer: Callable[[str, int], str]
    can_score: bool = False
    max_context: int = 1_000_000
    end_ids: tuple[int, ...] = ()
    counts: dict[str, int] = field(
        default_factory=lambda: {"prompt_tokens": 0, "sampled_tokens": 0, "scored_tokens": 0}
    )

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        """One answer per prompt, in order; what is drawn depends on each prompt's seed alone."""
        return [self._sample(prompt) for prompt in prompts]

    def _sample(self, prompt: Prompt) -> Sample:
        user = _user_text(prompt)
        text = self.answer(user, prompt.seed)
        asked = len(user.split())
        self.counts["prompt_tokens"] += asked
        self.counts["sampled_tokens"] += len(text.split())
        return Sample(text, (), None, "stop", asked)

    def usage(self) -> dict[str, int]:
        """Words read and written since the start."""
        return dict(self.counts)

    def encode(self, text: str) -> tuple[int, ...]:
        """Not possible: there is no tokenizer behind a simulated engine."""
        self._refuse("encode")

    def decode(self, ids: Sequence[int]) -> str:
        """Not possible: there is no tokenizer behind a simulated engine."""
        self._refuse("decode")

    def chat_ids(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Not possible: there is no tokenizer behind a simulated engine."""
        self._refuse("chat_ids")

    def score(self, sequences: Sequence[Sequence[Part]]) -> list[dict[str, SpanScore]]:
        """Not possible: a simulated engine has no probabilities."""
        self._refuse("score")

    def _refuse(self, method: str) -> NoReturn:
        raise UserError(f"{method} on the simulated engine {self.name!r}", expected="sample only")


def _user_text(prompt: Prompt) -> str:
    if prompt.text is not None:
        return prompt.text
    users = [content for role, content in prompt.messages or () if role == "user"]
    if not users:
        raise UserError("a prompt without a user message", expected="messages or text")
    return users[-1]


def annotator_engine(name: str) -> SimulatedEngine:
    """The annotator `name` ("precise", "vague", "mixed" or "wrong") as an engine.

    Raises:
        UserError: there is no such annotator.
    """
    if name not in ANNOTATORS:
        raise UserError(f"annotator {name!r}", expected=" | ".join(ANNOTATORS))
    return SimulatedEngine(f"pocket-{name}", lambda user, seed: annotator_answer(name, user, seed))


def teacher_engine() -> SimulatedEngine:
    """The teacher as an engine."""
    return SimulatedEngine("pocket-teacher", teacher_answer)
