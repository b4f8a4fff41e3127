"""What a server can really do, found out by asking it: servers ignore what they do not know, without a word.

A probe is a handful of requests of a few tokens, made once per engine and endpoint. Scoring must pass a self-test: the
log-probs of a prompt (the first one null, one per token) must equal those that the server gave while it drew the same
tokens. That catches values that are off by one; servers that ignore `n` are refused too, for they ignore more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from promptcot.errors import UserError
from promptcot.lm import replies
from promptcot.lm.base import Failure, SamplingParams
from promptcot.lm.faults import BadReply
from promptcot.lm.http import Client

TEXT = "The sum of 12 and 30 is 42. A list of numbers: 1, 2,"
TOKENS = 8
TOLERANCE = (
    0.1  # nats per token, mean: bfloat16 kernels differ by 0.05, values that are off by one by much more
)

# Additions to a request, from the best to none at all; a server that refuses one is asked with the next.
KEEP_SPECIALS = {"skip_special_tokens": False, "spaces_between_special_tokens": False}
# Said aloud, for vLLM and SGLang else take what the model's generation_config.json recommends (Qwen's: top_k 20), and
# then draw from another distribution than the one whose log-probs they give. llama-cpp-python, which has other names for
# it, by itself penalises repetition (1.1) and takes the best 40 only.
PLAINLY = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
LLAMA_CPP = {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
WITH_IDS: tuple[dict[str, Any], ...] = (
    {"return_token_ids": True, **KEEP_SPECIALS, **PLAINLY},
    {"return_tokens_as_token_ids": True, **KEEP_SPECIALS, **PLAINLY},
)
WITHOUT_IDS: tuple[dict[str, Any], ...] = (PLAINLY, LLAMA_CPP, {})


@dataclass(frozen=True)
class Abilities:
    """What one endpoint does.

    extras: what to add to every request to get token ids, and draws as asked for. limit: its name for max_tokens.
    seed: the same seed repeats and another one differs. n, stop: honoured. prompt_ids: takes token ids.
    """

    path: str
    extras: dict[str, Any] = field(default_factory=dict)
    limit: str = "max_tokens"
    prompt_ids: bool = False
    token_ids: bool = False
    logprobs: bool = False
    seed: bool = False
    n: bool = False
    stop: bool = False

    def drawing(self, params: SamplingParams, seed: int, max_tokens: int) -> dict[str, Any]:
        """The part of a request that says how to draw. Seeds are signed 64-bit numbers, as servers take them."""
        body: dict[str, Any] = {
            self.limit: max_tokens, "temperature": params.temperature, "top_p": params.top_p,
            "seed": seed - (1 << 64) if seed >= 1 << 63 else seed, **self.extras,
        }  # fmt: skip
        if params.top_k:
            body["top_k"] = params.top_k
        if params.stop:
            body["stop"] = list(params.stop)
        if params.logq and self.logprobs:
            body["logprobs"] = True if self.path.startswith("/chat") else 1
        return body


PLAIN = Abilities("/completions")


async def context(client: Client, model: str) -> int | None:
    """The model's context by /models, where the server tells."""
    status, found = await client.get_insisting("/models")
    rows = found.get("data") if status == 200 and isinstance(found, dict) else None
    if not isinstance(rows, list):
        return None
    names = {str(r.get("id")): r for r in rows if isinstance(r, dict)}
    row = names.get(model, {})
    told = row.get("max_model_len") or (row.get("meta") or {}).get("n_ctx_train")
    return int(told) if told else None


async def completions(client: Client, model: str, encode: Callable[[str], Sequence[int]]) -> Abilities:
    """What /completions does with token ids.

    Raises:
        UserError: it takes no prompt of ours at all.
    """
    ids, why = list(encode(TEXT)), ""
    for prompt in (ids, TEXT):
        for extras in (*WITH_IDS, *WITHOUT_IDS):
            able = Abilities("/completions", extras, prompt_ids=prompt is ids, logprobs=True)
            found = await _ask(client, able, {"model": model, "prompt": prompt}, replies.completion)
            if isinstance(found, Failure):
                why = f"{found.reason} {found.detail}"
                continue
            if found["prompt_tokens"] not in (None, len(ids)):
                why = f"{len(ids)} tokens were sent, the server read {found['prompt_tokens']}"
                continue
            able = replace(able, token_ids=found["ids"] is not None, logprobs=found["logps"] is not None)
            if able.token_ids or extras in WITHOUT_IDS:
                return await _habits(
                    client, able, {"model": model, "prompt": prompt}, replies.completion, found
                )
    raise UserError(
        f"the server {client.server.base_url} takes no prompts on /completions: {why}",
        do="use it where messages are sent (annotate, label, selfplay, distill, evaluate)",
    )


async def chats(client: Client, model: str, tokenizer: bool) -> Abilities:
    """What /chat/completions does. Without a tokenizer here, token ids would say nothing and are not asked for.

    Raises:
        UserError: it takes no messages of ours at all.
    """
    body = {"model": model, "messages": [{"role": "user", "content": TEXT}]}
    why = ""
    for extras in (*WITH_IDS, *WITHOUT_IDS) if tokenizer else WITHOUT_IDS:
        for limit in ("max_tokens", "max_completion_tokens"):
            able = Abilities("/chat/completions", extras, limit, logprobs=tokenizer)
            found = await _ask(client, able, body, replies.chat)
            if isinstance(found, Failure):
                why = f"{found.reason} {found.detail}"
                continue
            able = replace(able, token_ids=found["ids"] is not None, logprobs=found["logps"] is not None)
            if able.token_ids or extras in WITHOUT_IDS:
                return await _habits(client, able, body, replies.chat, found)
    raise UserError(
        f"the server {client.server.base_url} takes no messages: {why}",
        do="check the model's name and limits",
    )


async def _ask(
    client: Client, able: Abilities, body: dict[str, Any], read: Callable[[Any], replies.Reply], seed: int = 1,
    stop: str = "", **more: Any,
) -> replies.Reply | Failure:  # fmt: skip
    params = SamplingParams(max_tokens=TOKENS, stop=(stop,) if stop else ())
    return await client.ask(
        able.path, {**body, **able.drawing(params, seed, TOKENS), **more}, read, probe=True
    )


async def _habits(
    client: Client,
    able: Abilities,
    body: dict[str, Any],
    read: Callable[[Any], replies.Reply],
    first: replies.Reply,
) -> Abilities:
    """Does it honour seed, n and stop? Judged by texts, against the first reply to the same request."""
    again = await _ask(client, able, body, read)
    other = [await _ask(client, able, body, read, seed=seed) for seed in (2, 3)]
    texts = [None if isinstance(x, Failure) else x["text"] for x in (again, *other)]
    seed = texts[0] == first["text"] and any(t != first["text"] for t in texts[1:])
    two = await client.ask(
        able.path,
        {**body, **able.drawing(SamplingParams(max_tokens=1), 1, 1), "n": 2},
        _count_choices,
        probe=True,
    )
    half = first["text"][len(first["text"]) // 2 :][:2]
    cut = await _ask(client, able, body, read, stop=half) if half else None
    stop = isinstance(cut, dict) and half not in cut["text"]
    return replace(able, seed=seed, n=two == 2, stop=stop)


def _count_choices(reply: Any) -> int:
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list):
        raise BadReply("bad_reply", "no choices")
    return len(choices)


@dataclass(frozen=True)
class Scoring:
    """How to ask for the log-probs of given ids: the path of the request ("" = not at all, and `why`)."""

    kind: str = ""
    why: str = ""

    @property
    def path(self) -> str:
        """Where to send it."""
        return {"": "", "sglang": "//generate"}.get(self.kind, "/completions")

    def request(self, model: str, ids: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """Path and body."""
        if self.kind == "sglang":
            sampling = {"max_new_tokens": 1, "temperature": 0.0}
            return self.path, {
                "input_ids": list(ids), "sampling_params": sampling, "return_logprob": True, "logprob_start_len": 0,
            }  # fmt: skip
        asked: dict[str, Any] = (
            {"prompt_logprobs": 0} if self.kind == "vllm" else {"echo": True, "logprobs": 1}
        )
        return self.path, {"model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0.0, **asked}

    def reader(self, ids: Sequence[int]) -> Callable[[Any], list[float | None]]:
        """What reads its reply."""
        read = {"vllm": replies.prompt_logprobs, "echo": replies.echoed, "sglang": replies.sglang}[self.kind]
        return partial(read, ids=ids)


async def scoring(
    client: Client, model: str, encode: Callable[[str], Sequence[int]], able: Abilities
) -> Scoring:
    """The first way to score that passes the self-test, or the reasons why none does."""
    needs = {"prompts of token ids": able.prompt_ids, "token ids of samples": able.token_ids,
             "log-probs of samples": able.logprobs, "n": able.n}  # fmt: skip
    missing = [what for what, there in needs.items() if not there]
    reasons = ["it does not honour or give " + ", ".join(missing)] if missing else []
    for kind in ("sglang",) if missing else ("vllm", "echo", "sglang"):
        reason = await _self_test(client, model, list(encode(TEXT)), able, Scoring(kind))
        if not reason:
            return Scoring(kind)
        reasons.append(f"{kind}: {reason}")
    return Scoring(why="; ".join(reasons))


async def _self_test(client: Client, model: str, ids: list[int], able: Abilities, way: Scoring) -> str:
    """Draws a few tokens with their log-probs and scores them: what is wrong, "" if nothing."""
    if way.kind == "sglang":
        path, body = way.request(model, ids)
        body["sampling_params"] = {"max_new_tokens": TOKENS, "temperature": 1.0}
        drawn = await client.ask(path, body, replies.sglang_drawn, probe=True)
    else:
        drawn = await _ask(client, able, {"model": model, "prompt": ids}, replies.completion)
    if isinstance(drawn, Failure):
        return f"{drawn.reason} {drawn.detail}"
    whole = ids + drawn["ids"]
    found = await client.ask(*way.request(model, whole), way.reader(whole), probe=True)
    if isinstance(found, Failure):
        return f"{found.reason} {found.detail}"
    return compare(found, len(ids), drawn["logps"])


def compare(scored: Sequence[float | None], start: int, sampled: Sequence[float]) -> str:
    """What is wrong with `scored`, whose tokens from `start` on were drawn with the log-probs `sampled`; "" = nothing."""
    tail = [x for x in scored[start:] if x is not None]
    if len(tail) != len(sampled):
        return f"{len(tail)} log-probs for {len(sampled)} sampled tokens"
    gap = _mean_gap(tail, sampled)
    if gap <= TOLERANCE:
        return ""
    for shift in (-1, 1):
        moved = [x for x in scored[start + shift : start + shift + len(sampled)] if x is not None]
        if len(moved) > 2 and _mean_gap(moved, sampled) <= TOLERANCE:
            return f"its log-probs are off by one token (position {-shift:+d})"
    return f"its log-probs differ from those of sampling by {gap:.3f} nats per token"


def _mean_gap(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(abs(x - y) for x, y in zip(a, b)) / min(len(a), len(b))
