"""What every engine refuses, in the same words."""

from __future__ import annotations

from promptcot.lm.base import Prompt, SamplingParams


def check_params(params: SamplingParams) -> None:
    """Raises ValueError for parameters no engine can follow."""
    if params.temperature < 0:
        raise ValueError(f"temperature {params.temperature} is below 0")
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
