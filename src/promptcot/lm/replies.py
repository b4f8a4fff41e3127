"""What servers answer, read strictly: whatever is missing, short or doubled is a `BadReply`, never a guess.

Both shapes of the OpenAI interface, with vLLM's additions (token ids, prompt_logprobs), and SGLang's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from promptcot.lm.faults import BadReply

# One continuation as plain values, as the journal keeps it: see `completion`.
Reply = dict[str, Any]
FINISHES = {
    "stop": "stop",
    "length": "length",
    "eos": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
}


def completion(reply: Any) -> Reply:
    """The one choice of /completions.

    Returns:
        text, finish; ids (all drawn, or None), logps (one per drawn token, or None); prompt_tokens, tokens (as the
        server counted them, or None).
    """
    choice = _choice(reply)
    text = choice.get("text")
    if not isinstance(text, str):
        raise BadReply("bad_reply", "a choice without text")
    told = choice.get("logprobs")
    ids = _ids(choice.get("token_ids"))
    logps = None
    if isinstance(told, dict):
        if isinstance(
            told.get("content"), list
        ):  # llama.cpp's own server answers completions as it does chats
            logps = [_number(x.get("logprob")) for x in told["content"]]
        else:
            logps = [_number(x) for x in told.get("token_logprobs") or []]
            ids = ids if ids is not None else _named_ids(told.get("tokens"))
    return _continuation(reply, choice, text, ids, logps)


def chat(reply: Any) -> Reply:
    """The one choice of /chat/completions, as `completion`; a reasoning model's thoughts stand in <think> before it."""
    choice = _choice(reply)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise BadReply("bad_reply", "a choice without a message")
    text = message.get("content")
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    if thoughts:
        text = f"<think>\n{thoughts}\n</think>\n\n{text or ''}"
    if not isinstance(text, str):
        raise BadReply("empty_reply", "a message without content")
    told = choice.get("logprobs")
    logps = None
    if isinstance(told, dict) and isinstance(told.get("content"), list):
        logps = [_number(x.get("logprob") if isinstance(x, dict) else None) for x in told["content"]]
    return _continuation(reply, choice, text, _ids(choice.get("token_ids")), logps)


def prompt_logprobs(reply: Any, ids: Sequence[int]) -> list[float | None]:
    """vLLM's prompt_logprobs: one entry per prompt token, the first null."""
    rows = _choice(reply).get("prompt_logprobs", reply.get("prompt_logprobs"))
    _long_as(rows, ids)
    found: list[float | None] = []
    for i, (row, token) in enumerate(zip(rows, ids, strict=True)):
        if row is None:
            found.append(None)
        elif isinstance(row, dict) and isinstance(row.get(str(token)), dict):
            found.append(_number(row[str(token)].get("logprob")))
        else:
            raise BadReply("bad_logprobs", f"no log-prob of token {token} at position {i}")
    return _first_null(found)


def echoed(reply: Any, ids: Sequence[int]) -> list[float | None]:
    """The prompt's part of echo=true with logprobs; a token sampled behind it is left out."""
    told = _choice(reply).get("logprobs")
    rows = told.get("token_logprobs") if isinstance(told, dict) else None
    if isinstance(rows, list) and len(rows) == len(ids) + 1:
        rows = rows[:-1]
    _long_as(rows, ids)
    assert isinstance(rows, list)
    return _first_null([None if x is None else _number(x) for x in rows])


def sglang(reply: Any, ids: Sequence[int]) -> list[float | None]:
    """SGLang's meta_info.input_token_logprobs: [log-prob, id, text] per prompt token."""
    meta = reply.get("meta_info") if isinstance(reply, dict) else None
    rows = meta.get("input_token_logprobs") if isinstance(meta, dict) else None
    _long_as(rows, ids)
    assert isinstance(rows, list)
    found: list[float | None] = []
    for row, token in zip(rows, ids, strict=True):
        if not isinstance(row, list) or len(row) < 2 or row[1] != token:
            raise BadReply("bad_logprobs", f"an entry {row!r} where token {token} was")
        found.append(None if row[0] is None else _number(row[0]))
    return _first_null(found)


def sglang_drawn(reply: Any) -> Reply:
    """The ids and log-probs of a continuation by SGLang's own endpoint."""
    meta = reply.get("meta_info") if isinstance(reply, dict) else None
    rows = meta.get("output_token_logprobs") if isinstance(meta, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(r, list) and len(r) > 1 for r in rows):
        raise BadReply("no_logprobs", "no log-probs of the continuation")
    return {"ids": [int(r[1]) for r in rows], "logps": [_number(r[0]) for r in rows]}


def _choice(reply: Any) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise BadReply("bad_reply", f"JSON of type {type(reply).__name__}")
    if reply.get("error"):
        raise BadReply("bad_reply", f"status 200 with an error: {str(reply['error'])[:200]}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        count = len(choices) if isinstance(choices, list) else "no"
        raise BadReply("wrong_choices", f"{count} choices instead of one")
    return choices[0]


def _continuation(
    reply: dict[str, Any], choice: dict[str, Any], text: str, ids: list[int] | None, logps: list[float] | None
) -> Reply:
    said = choice.get("finish_reason")
    if said == "content_filter":
        raise BadReply("content_filter", "the server withheld its answer", again=False)
    if said not in FINISHES:
        raise BadReply("bad_reply", f"finish_reason {said!r}")
    if ids is not None and logps is not None and len(ids) != len(logps):
        raise BadReply("short_logprobs", f"{len(logps)} log-probs for {len(ids)} tokens")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    tokens = _count(usage.get("completion_tokens"))
    if not text and not ids and not tokens:
        raise BadReply("empty_reply", "no text and no tokens")
    return {
        "text": text, "finish": FINISHES[said], "ids": ids, "logps": logps,
        "prompt_tokens": _count(usage.get("prompt_tokens")), "tokens": tokens,
    }  # fmt: skip


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _ids(value: Any) -> list[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(i, int) for i in value):
        raise BadReply("bad_reply", "token_ids is no list of whole numbers")
    return value


def _named_ids(tokens: Any) -> list[int] | None:
    """Ids of return_tokens_as_token_ids: "token_id:123"."""
    if not isinstance(tokens, list) or not tokens or not all(str(t).startswith("token_id:") for t in tokens):
        return None
    return [int(t.removeprefix("token_id:")) for t in tokens]


def _number(value: Any) -> float:
    if (
        not isinstance(value, (int, float))
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value > 1e-3
    ):
        raise BadReply("bad_logprobs", f"a log-prob {value!r}")
    return float(value)


def _long_as(rows: Any, ids: Sequence[int]) -> None:
    if not isinstance(rows, list):
        raise BadReply("no_logprobs", "no log-probs of the prompt")
    if len(rows) != len(ids):
        raise BadReply("short_logprobs", f"{len(rows)} log-probs for {len(ids)} tokens")


def _first_null(rows: list[float | None]) -> list[float | None]:
    if rows[0] is not None:
        raise BadReply("bad_logprobs", "a log-prob of the first token, which nothing predicts")
    if None in rows[1:]:
        raise BadReply("bad_logprobs", f"no log-prob at position {rows.index(None, 1)}")
    return rows
