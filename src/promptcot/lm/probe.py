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

# Seeds are as large as those of rows: 64 bits, sent as a signed number. A server that refuses such, or draws anew for one
# and the same, gets the last 63 bits, or the last 31, or none. The probe's seeds lie at the ends of all these ranges.
SEED_BITS = (64, 63, 31)
SEEDS = ((1 << 63) + 1, (1 << 63) - 2, 0x9999_9999_9999_9999)


@dataclass(frozen=True)
class Abilities:
    """What one endpoint does.

    extras: what to add to every request to get token ids, and draws as asked for. limit: its name for max_tokens.
    seed_bits: of the seeds that are sent, 0 = none. seed: the same seed repeats and another one differs. n, stop:
    honoured. prompt_ids: takes token ids.
    """

    path: str
    extras: dict[str, Any] = field(default_factory=dict)
    limit: str = "max_tokens"
    prompt_ids: bool = False
    token_ids: bool = False
    logprobs: bool = False
    seed_bits: int = 0
    seed: bool = False
    n: bool = False
    stop: bool = False

    def drawing(self, params: SamplingParams, seed: int, max_tokens: int) -> dict[str, Any]:
        """The part of a request that says how to draw."""
        body: dict[str, Any] = {
            self.limit: max_tokens, "temperature": params.temperature, "top_p": params.top_p, **self._seed(seed),
            **self.extras,
        }  # fmt: skip
        if params.top_k:
            body["top_k"] = params.top_k
        if params.stop:
            body["stop"] = list(params.stop)
        if params.logq and self.logprobs:
            body["logprobs"] = True if self.path.startswith("/chat") else 1
        return body

    def _seed(self, seed: int) -> dict[str, int]:
        """A row's seed as the server takes it: signed 64 bits, or the last ones; nothing where it takes none."""
        if self.seed_bits == 64:
            return {"seed": seed - (1 << 64) if seed >= 1 << 63 else seed}
        return {"seed": seed % (1 << self.seed_bits)} if self.seed_bits else {}


async def context(client: Client, model: str) -> int | None:
    """The model's context by /models, where the server tells."""
    status, found = await client.get_insisting("/models")
    rows = found.get("data") if status == 200 and isinstance(found, dict) else None
    if not isinstance(rows, list):
        return None
    names = {str(r.get("id")): r for r in rows if isinstance(r, dict)}
    row = names.get(model, {})
    meta = row.get("meta")
    said = [
        row.get(name) for name in ("max_model_len", "context_length", "context_window", "max_context_length")
    ]
    said.append(meta.get("n_ctx_train") if isinstance(meta, dict) else None)
    return next((n for n in said if type(n) is int and n > 0), None)


async def completions(client: Client, model: str, encode: Callable[[str], Sequence[int]] | None) -> Abilities:
    """What /completions does with token ids; without a tokenizer (`encode`) with texts alone.

    Raises:
        UserError: it takes no prompt of ours at all.
    """
    ids, found = list(encode(TEXT)) if encode else None, ""
    for prompt in (ids, TEXT) if ids else (TEXT,):
        ways = [replace(way, prompt_ids=prompt is ids) for way in _ways("/completions", ids is not None)]
        able = await _first(
            client, ways, {"model": model, "prompt": prompt}, replies.completion, len(ids or ())
        )
        if isinstance(able, Abilities):
            return able
        found = able
    raise UserError(
        f"the server {client.server.base_url} takes no prompts on /completions: {found}",
        do="use it where messages are sent (annotate, label, selfplay, distill, evaluate)",
    )


async def chats(client: Client, model: str, tokenizer: bool) -> Abilities:
    """What /chat/completions does. Without a tokenizer here, token ids would say nothing and are not asked for.

    Raises:
        UserError: it takes no messages of ours at all.
    """
    body = {"model": model, "messages": [{"role": "user", "content": TEXT}]}
    ways = _ways("/chat/completions", tokenizer, ("max_tokens", "max_completion_tokens"))
    able = await _first(client, ways, body, replies.chat)
    if isinstance(able, Abilities):
        return able
    raise UserError(
        f"the server {client.server.base_url} takes no messages: {able}",
        do="check the model's name and limits",
    )


def _ways(path: str, tokenizer: bool, limits: Sequence[str] = ("max_tokens",)) -> list[Abilities]:
    """How to ask, from the best way to the one that says least. The seed is a small one here."""
    small = min(SEED_BITS)
    asked = [(extras, True, small) for extras in (*WITH_IDS, *WITHOUT_IDS)] if tokenizer else []
    asked += [(extras, False, bits) for bits in (small, 0) for extras in WITHOUT_IDS]
    return [
        Abilities(path, extras, limit, logprobs=logprobs, seed_bits=bits)
        for extras, logprobs, bits in asked
        for limit in limits
    ]


async def _first(
    client: Client, ways: Sequence[Abilities], body: dict[str, Any], read: Callable[[Any], replies.Reply], tokens: int = 0
) -> Abilities | str:  # fmt: skip
    """The first way that works, with what it can do; else why the last one did not. tokens: of the prompt, where known."""
    why = ""
    for able in ways:
        found = await _ask(client, able, body, read)
        if isinstance(found, Failure):
            why = f"{found.reason} {found.detail}"
        elif tokens and found["prompt_tokens"] not in (None, tokens):
            why = f"{tokens} tokens were sent, the server read {found['prompt_tokens']}"
        elif found["ids"] is not None or able.extras in WITHOUT_IDS:
            able = replace(able, token_ids=found["ids"] is not None, logprobs=found["logps"] is not None)
            return await _habits(client, able, body, read, found)
    return why


async def _ask(
    client: Client, able: Abilities, body: dict[str, Any], read: Callable[[Any], replies.Reply], seed: int = SEEDS[0],
    stop: str = "", **more: Any,
) -> replies.Reply | Failure:  # fmt: skip
    params = SamplingParams(max_tokens=TOKENS, stop=(stop,) if stop else ())
    return await client.ask(
        able.path, {**body, **able.drawing(params, seed, TOKENS), **more}, read, probe=True
    )


async def _habits(
    client: Client, able: Abilities, body: dict[str, Any], read: Callable[[Any], replies.Reply], first: replies.Reply,
) -> Abilities:  # fmt: skip
    """Does it honour seed, n and stop? Judged by texts; `first` is its reply to the same request."""
    text = first["text"]
    if able.seed_bits:
        able, text = await _seeds(client, able, body, read, text)
    two = await client.ask(
        able.path,
        {**body, **able.drawing(SamplingParams(max_tokens=1), SEEDS[0], 1), "n": 2},
        _count_choices,
        probe=True,
    )
    half = text[len(text) // 2 :][:2]
    cut = await _ask(client, able, body, read, stop=half) if half else None
    stop = isinstance(cut, dict) and half not in cut["text"]
    return replace(able, n=two == 2, stop=stop)


async def _seeds(
    client: Client, able: Abilities, body: dict[str, Any], read: Callable[[Any], replies.Reply], text: str
) -> tuple[Abilities, str]:  # fmt: skip
    """The widest seeds that the server takes and draws from, else the widest that it takes, else none; and what it drew
    with the first of `SEEDS` (`text`: with its last bits)."""
    taken = replace(able, seed_bits=0)
    for bits in SEED_BITS:
        tried, texts = replace(able, seed_bits=bits), []
        for seed in (*SEEDS, *SEEDS[:2]):
            found = await _ask(client, tried, body, read, seed=seed)
            if isinstance(found, Failure):
                break
            texts.append(found["text"])
        else:
            if texts[3:] == texts[:2] and len(set(texts)) > 1:
                return replace(tried, seed=True), texts[0]
            if not taken.seed_bits:
                taken, text = tried, texts[0]
            if len(set(texts)) == 1:
                break  # nothing tells its draws apart (thoughts that are not shown, say)
    return taken, text


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
    if not sampled or len(tail) != len(sampled):
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
