"""What servers answer, read strictly: whatever is missing, short or doubled is a `BadReply`, never a guess.

Both shapes of the OpenAI interface, with vLLM's additions (token ids, prompt_logprobs), and SGLang's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptcot.lm.faults import BadReply

# One continuation as plain values, as the journal keeps it: see `completion`.
Reply = dict[str, Any]

# What servers call it when an answer is finished, cut at a limit, or withheld: letters alone, in lower case.
FINISHES = {
    "stop": (
        "stop", "stopped", "eos", "eostoken", "eot", "eotid", "endturn", "endofturn", "endoftext", "end", "stopsequence",
        "stoptoken", "stopword", "stopstring", "complete", "completed", "finish", "finished",
    ),
    "length": (
        "length", "lengthcapped", "maxtokens", "maxtoken", "maxnewtokens", "maxlength", "maxoutputtokens",
        "maxcompletiontokens", "maxtokensreached", "tokenlimit", "tokenlimitreached", "outputlimit", "modellength",
        "contextlength", "contextlengthexceeded", "contextwindowexceeded", "modelcontextwindowexceeded",
    ),
    "content_filter": (
        "contentfilter", "contentfiltered", "filtered", "safety", "refusal", "recitation", "blocked", "blocklist",
        "prohibitedcontent", "spii", "sensitive", "guardrailintervened", "errortoxic",
    ),
}  # fmt: skip
_FINISH = {name: finish for finish, names in FINISHES.items() for name in names}
# Where a message or a part of it holds thoughts, and where a part holds its words.
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
WORDS = ("text", "thinking", "reasoning", "reasoning_content", "content", "summary", "refusal", "value")


def completion(reply: Any) -> Reply:
    """The one choice of /completions.

    Returns:
        text, finish; ids (all drawn, or None), logps (one per drawn token, or None); prompt_tokens, tokens (as the
        server counted them, or None).
    """
    choice = _choice(reply)
    text, told = choice.get("text", ...), choice.get("logprobs")
    if text is not None and not isinstance(text, str):
        raise BadReply("bad_reply", "a choice without text")
    ids = _ids(choice.get("token_ids"))
    if ids is None and isinstance(told, dict):
        ids = _named_ids(told.get("tokens"))
    return _continuation(reply, choice, text or "", ids)


def chat(reply: Any) -> Reply:
    """The one choice of /chat/completions, as `completion`; a reasoning model's thoughts stand in <think> before it.

    A message without content whose tokens went into hidden thoughts is an answer without text, not a bad reply.
    """
    choice = _choice(reply)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise BadReply("bad_reply", "a choice without a message")
    thoughts, text = _content(message.get("content"))
    thoughts = next(filter(None, (_words(message.get(name)) for name in THOUGHTS)), thoughts)
    text = text or _words(message.get("refusal"))
    if thoughts:
        text = f"<think>\n{thoughts}\n</think>\n\n{text}"
    return _continuation(reply, choice, text, _ids(choice.get("token_ids")))


def _content(content: Any) -> tuple[str, str]:
    """(thoughts, text) of a message's content: a text, nothing, or a list of parts."""
    if content is None or isinstance(content, str):
        return "", content or ""
    thoughts, text = "", ""
    for part in content if isinstance(content, list) else [content]:
        kind = (
            part.get("type", "text") if isinstance(part, dict) else "text" if isinstance(part, str) else part
        )
        if kind in ("thinking", "reasoning", "reasoning_content", "reasoning_text", "redacted_thinking"):
            thoughts += _words(part)
        elif kind in ("text", "output_text", "refusal"):
            text += _words(part)
        else:
            raise BadReply(
                "bad_reply", f"a content part of type {kind!r}; parts of text and of thinking are read"
            )
    return thoughts, text


def _words(value: Any, depth: int = 4) -> str:
    """The words in a text, a part, or a list of parts, which may hold lists of parts."""
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "".join(_words(part, depth - 1) for part in value)
    if isinstance(value, dict):
        return next(filter(None, (_words(value.get(name), depth - 1) for name in WORDS)), "")
    return ""


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
    return {"ids": _ids([r[1] for r in rows]), "logps": [_number(r[0]) for r in rows]}


def _choice(reply: Any) -> dict[str, Any]:
    if not isinstance(reply, dict):
        raise BadReply("bad_reply", f"JSON of type {type(reply).__name__}")
    if reply.get("error"):
        raise BadReply("bad_reply", f"status 200 with an error: {str(reply['error'])[:200]}")
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        count = len(choices) if isinstance(choices, list) else "no"
        said = reply.get("message") or reply.get("detail")
        raise BadReply("wrong_choices", f"{count} choices instead of one" + (f": {said}" if said else ""))
    return choices[0]


def _continuation(reply: dict[str, Any], choice: dict[str, Any], text: str, ids: list[int] | None) -> Reply:
    finish = _finish(choice)
    if finish == "content_filter":
        raise BadReply(finish, "the server withheld its answer", again=False)
    logps = _logps(choice.get("logprobs"))
    if ids is not None and logps is not None and len(ids) != len(logps):
        raise BadReply("short_logprobs", f"{len(logps)} log-probs for {len(ids)} tokens")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    read, tokens = (
        _count(usage.get(name, usage.get(other)))
        for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    if not (text or ids or tokens or finish == "length"):
        raise BadReply("empty_reply", "no text and no tokens")
    # A prompt of no tokens is one that was not counted.
    return {
        "text": text,
        "finish": finish,
        "ids": ids,
        "logps": logps,
        "prompt_tokens": read or None,
        "tokens": tokens,
    }


def _finish(choice: dict[str, Any]) -> str:
    said = choice.get("finish_reason")
    if isinstance(said, dict):  # SGLang's own: {"type": "length", "length": 8}
        said = said.get("type")
    name = (
        "".join(filter(str.isalpha, said)).lower().removeprefix("finishreason")
        if isinstance(said, str)
        else ""
    )
    if name not in _FINISH:
        error = choice.get("error")
        why = f": {error}" if error else f" (known are {', '.join(FINISHES)} and other names of these)"
        raise BadReply("bad_reply", f"finish_reason {said!r}{why}")
    return _FINISH[name]


def _logps(told: Any) -> list[float] | None:
    """The log-probs of a chat, {"content": [{"logprob": ...}]} (llama.cpp's completions too), or of a completion, a list of
    numbers; None where there are none."""
    if not isinstance(told, dict):
        return None
    rows = told.get("content")
    rows = rows if isinstance(rows, list) else told.get("token_logprobs")
    if not isinstance(rows, list):
        return None
    return [_number(x.get("logprob") if isinstance(x, dict) else x) for x in rows]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


def _ids(value: Any) -> list[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or any(_count(i) is None for i in value):
        raise BadReply("bad_reply", "token_ids is no list of token ids")
    return value


def _named_ids(tokens: Any) -> list[int] | None:
    """Ids of return_tokens_as_token_ids: "token_id:123"."""
    if not isinstance(tokens, list) or not tokens or not all(str(t).startswith("token_id:") for t in tokens):
        return None
    numbers = [t.removeprefix("token_id:") for t in tokens]
    return _ids([int(t) if t.isdecimal() and len(t) < 10 else None for t in numbers])


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not -1e9 < value <= 1e-3:
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
