"""What every engine refuses, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from promptcot.lm.base import Prompt, SamplingParams

COLDEST, HOTTEST = 1e-6, 1e6  # beyond, quotients of logits leave the range of float32


def check_params(params: SamplingParams) -> None:
    """Raises ValueError for parameters no engine can follow."""
    if params.temperature != 0 and not COLDEST <= params.temperature <= HOTTEST:
        raise ValueError(
            f"temperature {params.temperature} is neither 0 (greedy) nor from {COLDEST:g} to {HOTTEST:g}"
        )
    if not 0 < params.top_p <= 1:
        raise ValueError(f"top_p {params.top_p} is not in (0, 1]")
    if params.top_k < 0:
        raise ValueError(f"top_k {params.top_k} is below 0 (0 turns it off)")
    if params.max_tokens < 1:
        raise ValueError(f"max_tokens {params.max_tokens} leaves nothing to draw")
    if "" in params.stop:
        raise ValueError("a stop string is empty: it would end every sample at once")


def check_prompt(prompt: Prompt) -> None:
    """Raises ValueError unless exactly one of ids, text and messages is set."""
    given = [name for name in ("ids", "text", "messages") if getattr(prompt, name) is not None]
    if len(given) != 1:
        raise ValueError(f"a prompt needs exactly one of ids, text and messages; it has {given or 'none'}")


def check_ids(ids: Sequence[int], vocabulary: int) -> None:
    """Raises ValueError unless all `ids` are tokens of a model that has `vocabulary` of them."""
    for token in (min(ids), max(ids)) if ids else ():
        if not 0 <= token < vocabulary:
            raise ValueError(f"token id {token} is none of the model's, which go from 0 to {vocabulary - 1}")
