"""Requests and replies of `promptcot serve`, in the shapes of vLLM: read strictly, written fully."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from promptcot.lm.base import SamplingParams
from promptcot.lm.checks import check_params
from promptcot.lm.decode import Draw
from promptcot.lm.transformers import TransformersEngine

# Parameters that are taken, and values of others that change nothing.
TAKEN = {
    "model", "max_tokens", "temperature", "top_p", "top_k", "n", "seed", "stop", "logprobs", "user",
    "return_token_ids", "return_tokens_as_token_ids", "skip_special_tokens",
}  # fmt: skip
COMPLETIONS = {"prompt", "echo", "prompt_logprobs"}
CHAT = {"messages", "max_completion_tokens", "top_logprobs"}
NEUTRAL: dict[str, Any] = {
    "stream": False, "frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1, "repeat_penalty": 1, "min_p": 0,
    "best_of": 1,
    "spaces_between_special_tokens": False, "include_stop_str_in_output": False, "add_special_tokens": False,
    "top_logprobs": 0, "top_k": 0,
}  # fmt: skip


MOST_ROWS = 4096  # of one request
MOST_STOPS = 16


class BadRequest(ValueError):
    """A request that cannot be answered as it is asked; the message goes back with status 400."""


@dataclass(frozen=True)
class Request:
    """One request. Exactly one of `prompts` (texts or id tuples) and `messages` is filled; params None = draw nothing."""

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    messages: tuple[tuple[str, str], ...] | None
    params: SamplingParams | None
    n: int
    seed: int
    logprobs: bool
    echo: bool
    prompt_logprobs: bool
    token_ids: bool
    ids_as_tokens: bool
    skip_special: bool

    @property
    def wants_prompt(self) -> bool:
        """Whether the prompt is scored."""
        return self.prompt_logprobs or (self.echo and self.logprobs)

    def seed_of(self, choice: int) -> int:
        """The random stream of the n-th choice: the first one is the request's own seed."""
        return (self.seed + choice) % (1 << 64)


def parse(raw: bytes) -> Any:
    """The JSON of a body.

    Raises:
        BadRequest: it is none, or holds a text or a number that JSON can write and nobody can use.
    """
    try:
        body = json.loads(raw, parse_constant=_no_number)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("a text holds half of a surrogate pair") from None
    except (ValueError, RecursionError) as e:
        raise BadRequest(f"the body is not JSON that can be read: {e}") from None
    return body


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def read_request(body: Any, chat: bool) -> Request:
    """The request in a JSON body.

    Raises:
        BadRequest: something is missing, of the wrong kind, or not supported.
    """
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    given = {k: v for k, v in body.items() if v is not None and NEUTRAL.get(k, ...) != v}
    unknown = set(given) - TAKEN - (CHAT if chat else COMPLETIONS)
    if unknown:
        raise BadRequest(f"not supported here: {_said(', '.join(sorted(unknown)))}")
    if (
        given.get("top_logprobs")
        or (not chat and _whole(given, "logprobs", 0) > 1)
        or _whole(given, "prompt_logprobs", 0) > 0
    ):
        raise BadRequest(
            "only the log-probs of the tokens themselves are given (logprobs <= 1, prompt_logprobs 0)"
        )
    prompts, n = () if chat else _prompts(given.get("prompt")), _whole(given, "n", 1, least=1)
    if n * max(1, len(prompts)) > MOST_ROWS:
        raise BadRequest(
            f"{_said(n)} choices for each of {max(1, len(prompts))} prompts: at most {MOST_ROWS} in all"
        )
    _text(given, "user", "")
    return Request(
        model=_text(given, "model"), prompts=prompts, messages=_messages(given.get("messages")) if chat else None,
        params=_params(given, chat), n=n,
        seed=_whole(given, "seed", secrets.randbits(64), least=-(1 << 63)) % (1 << 64),
        logprobs=_flag(given, "logprobs") if chat else "logprobs" in given, echo=_flag(given, "echo"),
        prompt_logprobs="prompt_logprobs" in given, token_ids=_flag(given, "return_token_ids"),
        ids_as_tokens=_flag(given, "return_tokens_as_token_ids"),
        skip_special=_flag(given, "skip_special_tokens", True),
    )  # fmt: skip


def _params(given: dict[str, Any], chat: bool) -> SamplingParams | None:
    name = "max_completion_tokens" if "max_completion_tokens" in given else "max_tokens"
    limit = _whole(given, name, 1 << 30 if chat else 16)
    stop = given.get("stop", [])
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or len(stops) > MOST_STOPS or not all(isinstance(s, str) for s in stops):
        raise BadRequest(f"stop {_said(stop)}: a text or a list of at most {MOST_STOPS} texts")
    params = SamplingParams(
        _real(given, "temperature", 1.0), _real(given, "top_p", 1.0), max(0, _whole(given, "top_k", 0, least=-1)),
        max(1, limit), tuple(stops),
    )  # fmt: skip
    try:
        check_params(params)
    except ValueError as e:
        raise BadRequest(str(e)) from None
    return params if limit else None


def _said(value: Any) -> str:
    said = value if isinstance(value, str) else repr(value)
    return said if len(said) <= 100 else f"{said[:100]}..."


def _text(given: dict[str, Any], name: str, default: str | None = None) -> str:
    value = given.get(name, default)
    if not isinstance(value, str):
        raise BadRequest(f"{name} {_said(value)}: a text" if name in given else f"{name} is missing")
    return value


def _flag(given: dict[str, Any], name: str, default: bool = False) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} {_said(value)}: true or false")
    return value


def _whole(given: dict[str, Any], name: str, default: int, least: int = 0) -> int:
    value = given.get(name, default)
    if not _is_whole(value) or value < least:
        raise BadRequest(f"{name} {_said(value)}: a whole number, at least {least}")
    return int(value)


def _real(given: dict[str, Any], name: str, default: float) -> float:
    value = given.get(name, default)
    if _is_whole(value) and abs(value) < 1 << 64:
        value = float(value)
    if not isinstance(value, float) or not math.isfinite(value):
        raise BadRequest(f"{name} {_said(value)}: a number")
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _prompts(prompt: Any) -> tuple[str | tuple[int, ...], ...]:
    rows = prompt if isinstance(prompt, list) and prompt and not _is_whole(prompt[0]) else [prompt]
    found: list[str | tuple[int, ...]] = []
    for row in rows:
        if isinstance(row, str):
            found.append(row)
        elif isinstance(row, list) and row and all(map(_is_whole, row)):
            found.append(tuple(row))
        else:
            raise BadRequest("prompt: a text, a list of token ids, or a list of these")
    return tuple(found)


def _messages(given: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages: a list of {role, content}")
    turns = []
    for turn in given:
        if not isinstance(turn, dict) or not all(isinstance(turn.get(k), str) for k in ("role", "content")):
            raise BadRequest("a message needs a role and a content, both texts")
        if unknown := {name for name, value in turn.items() if value} - {"role", "content", "name"}:
            raise BadRequest(f"not supported in a message: {_said(', '.join(sorted(unknown)))}")
        turns.append((turn["role"], turn["content"]))
    return tuple(turns)


def continuation(
    engine: TransformersEngine, asked: Request, index: int, head: Sequence[int], draw: Draw | None,
    prompt_logps: Sequence[float | None] | None,
) -> dict[str, Any]:  # fmt: skip
    """One choice of the reply."""
    drawn = draw.drawn if draw else []
    text = "" if draw is None else draw.text if draw.text is not None else engine.decode(draw.ids)
    if asked.skip_special and draw is not None and draw.text is None:
        text = engine.tokenizer.decode(draw.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    choice: dict[str, Any] = {
        "index": index,
        "finish_reason": draw.finish if draw else "length",
        "stop_reason": None,
    }
    if asked.token_ids:
        choice |= {"token_ids": drawn, "prompt_token_ids": list(head)}
    if asked.messages is not None:
        choice["message"] = {"role": "assistant", "content": text}
        rows = zip(_names(engine, asked, drawn), draw.logps if draw else [], strict=True)
        told = {
            "content": [
                {"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []} for t, p in rows
            ]
        }
        choice["logprobs"] = told if asked.logprobs else None
        return choice
    ids = list(drawn)
    logps: list[float | None] = [*draw.logps] if draw else []
    if asked.echo:
        text = engine.tokenizer.decode(head, skip_special_tokens=asked.skip_special) + text
        ids, logps = [*head, *ids], [*(prompt_logps or []), *logps]
    choice["text"] = text
    names = _names(engine, asked, ids)
    choice["logprobs"] = (
        {"tokens": names, "token_logprobs": logps, "top_logprobs": None} if asked.logprobs else None
    )
    if asked.prompt_logprobs:
        assert prompt_logps is not None
        choice["prompt_logprobs"] = [
            None if p is None else {str(t): {"logprob": p, "decoded_token": engine.decode([t])}}
            for t, p in zip(head, prompt_logps, strict=True)
        ]
    return choice


def _names(engine: TransformersEngine, asked: Request, ids: Sequence[int]) -> list[str]:
    if not asked.logprobs:
        return [] if asked.messages is None else [""] * len(ids)
    return [f"token_id:{i}" for i in ids] if asked.ids_as_tokens else [engine.decode([i]) for i in ids]


def envelope(
    asked: Request, choices: list[dict[str, Any]], prompt_tokens: int, sampled: int, head: Sequence[int]
) -> dict[str, Any]:
    """The whole reply."""
    chat = asked.messages is not None
    reply: dict[str, Any] = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{secrets.token_hex(12)}", "model": asked.model,
        "object": "chat.completion" if chat else "text_completion", "created": int(time.time()), "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens, "completion_tokens": sampled, "total_tokens": prompt_tokens + sampled,
        },
    }  # fmt: skip
    if chat and asked.token_ids:
        reply["prompt_token_ids"] = list(head)
    return reply
