"""The one gate to language models: what every engine can be asked, and nothing about how.

`sample` draws continuations; `score` returns, for every named part of a sequence, the sum of log-probs
and the number of tokens, from ONE forward pass. Token ids travel: what is scored and trained is exactly
what was sampled, because sequences are concatenations of id lists and never of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from promptcot.errors import UserError
from promptcot.lm.server import VLLM, Server
from promptcot.records import Reject


@dataclass(frozen=True)
class SamplingParams:
    """How to draw. Defaults are the plain model distribution: T=1, nothing cut off.

    temperature: 0 means greedy. top_p in (0, 1]; top_k 0 = off (Transformers' own default of 50 is never used).
    max_tokens: new tokens at most. stop: texts that end a sample (not included in its text or ids).
    logq: whether log-probs are wanted; without, an engine may leave them out where they cost something.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    logq: bool = True


@dataclass(frozen=True)
class Prompt:
    """What to continue: token ids, or messages for the engine's chat template, or plain text. Exactly one is set.

    seed: the random stream of this one sample; the same prompt with another seed is another sample.
    """

    seed: int
    ids: tuple[int, ...] | None = None
    text: str | None = None
    messages: tuple[tuple[str, str], ...] | None = None  # (role, content)


@dataclass(frozen=True)
class Sample:
    """One continuation.

    ids: sampled token ids without the terminator. logq: log-prob sum at T=1 of those ids *and* of the
    terminator when one was drawn; None where an engine cannot tell. finish: "stop" or "length".
    counted: tokens as a server counted them, where it does not return ids.
    """

    text: str
    ids: tuple[int, ...]
    logq: float | None
    finish: str
    prompt_tokens: int
    counted: int | None = None

    @property
    def tokens(self) -> int:
        """How many tokens were sampled."""
        return len(self.ids) if self.counted is None else self.counted


@dataclass(frozen=True)
class Failure:
    """What stands in a result's place when an engine behind a network gave up on one row; the others go on.

    reason: a short code (`timeout`, `http_500`, `bad_reply`, ...; docs/engines.md lists them).
    """

    reason: str
    detail: str = ""

    def reject(self, row_id: str) -> Reject:
        """The reject that the row becomes."""
        return Reject(row_id, self.reason, self.detail)


@dataclass(frozen=True)
class Part:
    """A named run of token ids in a sequence to score; parts with `scored=False` are context only."""

    name: str
    ids: tuple[int, ...]
    scored: bool = True


@dataclass(frozen=True)
class SpanScore:
    """Sum of natural-log probabilities over a span, and how many tokens it has. An empty span is (0.0, 0)."""

    logp: float
    tokens: int


class ContextOverflow(UserError):
    """A sequence does not fit the model's context; nothing is ever cut silently."""


@runtime_checkable
class Engine(Protocol):
    """A language model one can sample from and, where `can_score`, score with."""

    @property
    def name(self) -> str:
        """Its name in messages."""
        ...

    @property
    def can_score(self) -> bool:
        """Whether `score` works."""
        ...

    @property
    def max_context(self) -> int:
        """Tokens that fit."""
        ...

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What ends an assistant's turn."""
        ...

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`, special tokens written in it recognised, none added."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens kept."""
        ...

    def chat_ids(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Token ids of a conversation through the model's chat template, ready for the assistant's turn."""
        ...

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> Sequence[Sample | Failure]:
        """One sample per prompt, in order. Results do not depend on how prompts are batched."""
        ...

    def score(self, sequences: Sequence[Sequence[Part]]) -> Sequence[dict[str, SpanScore] | Failure]:
        """Per sequence, the score of every part with `scored=True`, by name.

        Raises:
            ContextOverflow: a sequence is longer than the context.
            ValueError: a scored part covers position 0, which no token predicts.
        """
        ...

    def usage(self) -> dict[str, int]:
        """Tokens since start: {"prompt_tokens", "sampled_tokens", "scored_tokens"}, and what else it counts."""
        ...


def draw(engine: Engine, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample | Failure]:
    """As `engine.sample`; a prompt that leaves no room for an answer fails alone (`context`), as it does behind a network."""
    try:
        return list(engine.sample(prompts, params))
    except ContextOverflow as e:
        if len(prompts) == 1:
            return [Failure("context", e.seen)]
        half = len(prompts) // 2  # batches change no result
        return draw(engine, prompts[:half], params) + draw(engine, prompts[half:], params)


@runtime_checkable
class Remote(Protocol):
    """An engine behind a network: what it has received is kept until a shard is committed."""

    def attend(self, replies: Path | None, parallel: int) -> None:
        """From now on keep replies in the file `replies` (and answer from it), as one of `parallel` processes
        that share the server's limits."""
        ...

    def close(self) -> None:
        """Ends its connections and leaves the kept replies where they are. It is not used again."""
        ...


@dataclass(frozen=True)
class EngineSpec:
    """Which model behind which engine: JSON-able, hashable, part of every manifest.

    tokenizer: directory or name of the tokenizer of a served model; empty = the model's own.
    """

    engine: str
    model: str = ""
    dtype: str = "float32"
    device: str = "auto"
    batch_tokens: int = 16384
    tokenizer: str = ""
    server: Server | None = None
    vllm: VLLM | None = None

    def key(self) -> dict[str, Any]:
        """What identifies the results (device and batching excluded: they only change the speed)."""
        return {"engine": self.engine, "model": self.model, "dtype": self.dtype}
