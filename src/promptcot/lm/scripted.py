"""An engine that answers from a function: for tests, dry runs and simulated annotators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from promptcot.errors import UserError
from promptcot.lm.base import ContextOverflow, Part, Prompt, Sample, SamplingParams, SpanScore
from promptcot.lm.checks import check_params, check_prompt
from promptcot.lm.layout import lay_out

Respond = Callable[[str, int], str]
ScoreText = Callable[[str, str], float]


class ScriptedEngine:
    """Continues a prompt with `respond(prompt text, seed)`; one token per character.

    Args:
        respond: Continuation of a prompt. At temperature 0 it is asked with seed 0, whatever the prompt's.
        score: Log-prob of a text given the text before it; without it the engine cannot score.
        name: Name in manifests.
        max_context: Characters that fit.
    """

    end_ids: tuple[int, ...] = ()  # an answer ends where the function's text does

    def __init__(
        self,
        respond: Respond,
        score: ScoreText | None = None,
        name: str = "scripted",
        max_context: int = 1 << 20,
    ) -> None:
        self.name, self.can_score, self.max_context = name, score is not None, max_context
        self._respond, self._score = respond, score
        self._usage = {"prompt_tokens": 0, "sampled_tokens": 0, "scored_tokens": 0}

    def encode(self, text: str) -> tuple[int, ...]:
        """Unicode code points."""
        return tuple(map(ord, text))

    def decode(self, ids: Sequence[int]) -> str:
        """The characters with these code points."""
        return "".join(map(chr, ids))

    def chat_ids(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """One paragraph per turn, `role: content`, then `assistant: `."""
        turns = "".join(f"{role}: {content}\n\n" for role, content in messages)
        return self.encode(turns + "assistant: ")

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        """One continuation per prompt, cut at `params.stop` and `params.max_tokens`.

        `logq` is the score of the continuation (its terminator is free), or None without a score function.

        Raises:
            ContextOverflow: a prompt leaves no room for a character.
            ValueError: a prompt without exactly one of ids, text and messages, or impossible `params`.
        """
        check_params(params)
        return [self._sample(prompt, params) for prompt in prompts]

    def score(self, sequences: Sequence[Sequence[Part]]) -> list[dict[str, SpanScore]]:
        """Per sequence, the score function's value for every part with `scored=True`.

        Raises:
            UserError: there is no score function.
            ContextOverflow, ValueError: as every engine (see `promptcot.lm.layout`).
        """
        return [self._spans(parts) for parts in sequences]

    def usage(self) -> dict[str, int]:
        """Characters since start."""
        return dict(self._usage)

    def _sample(self, prompt: Prompt, params: SamplingParams) -> Sample:
        text = self._text(prompt)
        room = min(params.max_tokens, self.max_context - len(text))
        if room < 1:
            raise ContextOverflow(
                f"a prompt has {len(text)} characters", expected=f"fewer than {self.max_context}"
            )
        whole = _before(self._respond(text, prompt.seed if params.temperature else 0), params.stop)
        drawn = whole[:room]
        self._usage["prompt_tokens"] += len(text)
        self._usage["sampled_tokens"] += len(drawn)
        logq = self._score(text, drawn) if self._score else None
        finish = "length" if len(whole) > room else "stop"
        return Sample(drawn, self.encode(drawn), logq, finish, len(text))

    def _text(self, prompt: Prompt) -> str:
        check_prompt(prompt)
        if prompt.text is not None:
            return prompt.text
        return self.decode(prompt.ids if prompt.ids is not None else self.chat_ids(prompt.messages or ()))

    def _spans(self, parts: Sequence[Part]) -> dict[str, SpanScore]:
        if self._score is None:
            raise UserError(f"the engine {self.name} has no score function", do="give ScriptedEngine one")
        layout = lay_out(parts, self.max_context)
        text = self.decode(layout.ids)
        self._usage["scored_tokens"] += len(text)
        return {
            name: SpanScore(self._score(text[:start], text[start:end]) if end > start else 0.0, end - start)
            for name, (start, end) in layout.spans.items()
        }


def _before(text: str, stop: Sequence[str]) -> str:
    return text[: min((text.find(s) for s in stop if s in text), default=len(text))]
