"""Servers that are odd and not wrong: small seeds, hidden thoughts, no log-probs, statuses within replies. No row is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from tests.lm import faulty
from tests.lm.faulty import Running

from promptcot.errors import UserError
from promptcot.ids import row_seed
from promptcot.lm import http, probe
from promptcot.lm.base import EngineSpec, Failure, Prompt, Sample, SamplingParams
from promptcot.lm.faults import ServerUnavailable
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import Server
from promptcot.pocket import MODEL_DIR
from promptcot.records import Ask, Rollout
from promptcot.runner.worker import Worker
from promptcot.settings import Rules
from promptcot.stages.solving import attempt

Body = dict[str, Any]
Answer = Callable[[Body, int], tuple[int, Any] | Any]


def reply(body: Body, **change: Any) -> Body:
    """The prompt and the seed; nobody counted the prompt's tokens."""
    return {**faulty.reply({"seed": "none", **body}, **change), "usage": {"completion_tokens": 5}}


class Odd:
    """Answers with `answer(body, n)`, n the count of requests before: a reply, or (status, reply)."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.seen = answer, list[Body]()

    def app(self) -> web.Application:
        app = web.Application()
        for path in ("chat/completions", "completions"):
            app.router.add_post(f"/v1/{path}", self._answer)
        app.router.add_get("/health", self._health)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.seen.append(body)
        found = self.answer(body, len(self.seen) - 1)
        status, said = found if isinstance(found, tuple) else (200, found)
        return web.json_response(said, status=status)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(http, "LONGEST_WAIT_S", 0.01)


def drawn(
    answer: Answer, kind: str = "chat", tokenizer: str = "", rows: int = 12, **limits: Any
) -> tuple[list[Sample | Failure], list[Body], dict[str, int]]:
    """Samples of rows with the seeds of a run, the bodies of their requests, and the engine's counts."""
    odd = Odd(answer)
    with Running(odd.app()) as running:
        given = {"timeout_s": 30.0, "deadline_s": 30.0, "tries": 3, "patience_s": 0.2, **limits}
        engine = OpenAIEngine(Server.model_validate({"base_url": running.base_url, **given}), "m", tokenizer)
        try:
            texts = [f"row {i}" for i in range(rows)]
            prompts = [
                Prompt(row_seed(7, f"id{i}"), messages=(("user", text),)) if kind == "chat" else
                Prompt(row_seed(7, f"id{i}"), text=text) for i, text in enumerate(texts)
            ]  # fmt: skip
            found = engine.sample(prompts, SamplingParams(max_tokens=9))
        finally:
            engine.close()
    said = [str(body.get("messages", body.get("prompt"))) for body in odd.seen]
    return found, [b for b, s in zip(odd.seen, said, strict=True) if "row " in s], engine.usage()


def refusing(takes: Callable[[int], bool], status: int = 422) -> Answer:
    """A server that refuses requests with some seeds, and repeats its answer to the others."""

    def answer(body: Body, _: int) -> Any:
        if "seed" in body and not takes(body["seed"]):
            return status, {"detail": [{"loc": ["body", "seed"], "msg": "out of range"}]}
        return reply(body)

    return answer


RANGES: dict[str, tuple[Callable[[int], bool], int]] = {
    "all": (lambda seed: True, 64),
    "not negative": (lambda seed: seed >= 0, 63),
    "32 bits": (lambda seed: 0 <= seed < 1 << 32, 31),
    "32 bits with a sign": (lambda seed: -(1 << 31) <= seed < 1 << 31, 31),
    "none": (lambda seed: False, 0),
}


@pytest.mark.parametrize("kind", ["chat", "text"])
@pytest.mark.parametrize("tokenizer", ["", str(MODEL_DIR)])
@pytest.mark.parametrize("name", RANGES)
def test_seeds_are_sent_as_large_as_the_server_takes_them(name: str, kind: str, tokenizer: str) -> None:
    takes, bits = RANGES[name]
    for status in (400, 422, 500):
        found, bodies, counts = drawn(refusing(takes, status), kind, tokenizer)
        assert all(isinstance(sample, Sample) for sample in found)
        assert len(bodies) == 12
        assert counts["failed"] == 0
        assert counts["unseeded"] == (0 if bits else 12)
    for i, body in enumerate(sorted(bodies, key=lambda b: int(str(b).partition("row ")[2].split("'")[0]))):
        seed = row_seed(7, f"id{i}")
        if bits == 64:
            assert body["seed"] == (seed if seed < 1 << 63 else seed - (1 << 64))
        else:
            assert body.get("seed") == (seed % (1 << bits) if bits else None)
    assert len({body.get("seed") for body in bodies}) == (12 if bits else 1)


def test_a_server_to_which_a_negative_seed_means_any_gets_none() -> None:
    def answer(body: Body, n: int) -> Any:
        return reply({**body, "seed": body["seed"] if body["seed"] >= 0 else n})

    found, bodies, counts = drawn(answer)
    assert all(isinstance(sample, Sample) for sample in found)
    assert all(body["seed"] >= 0 for body in bodies)
    assert any(body["seed"] >= 1 << 32 for body in bodies)
    assert counts["unseeded"] == 0


def test_the_seeds_of_the_probe_lie_at_the_ends_of_every_range() -> None:
    for bits in probe.SEED_BITS:
        able = probe.Abilities("/completions", seed_bits=bits)
        sent = [able.drawing(SamplingParams(), seed, 1)["seed"] for seed in probe.SEEDS]
        assert len(set(sent)) == 3
        assert max(sent) > 0.99 * (2 ** (bits - 1) if bits == 64 else 2**bits)
        assert min(sent) < -0.99 * 2**63 if bits == 64 else min(sent) < 1 << 20


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 9, "completion_tokens": 9}])
def test_hidden_thoughts_that_used_up_the_tokens_are_attempts_without_an_answer(
    content: Any, usage: Any
) -> None:
    def answer(body: Body, _: int) -> Any:
        made = reply(body, message={"role": "assistant", "content": content}, finish_reason="length")
        return {**made, "usage": usage}

    with Running(Odd(answer).app()) as running:
        spec = EngineSpec("openai", "m", server=Server(base_url=running.base_url))
        asked = [Ask(f"id{i}", f"p{i}", 0, "math", "1", [], f"row {i}", answer="7") for i in range(3)]
        worker = Worker(7)
        rows = attempt(
            worker, asked, model=spec, params=SamplingParams(max_tokens=9), style="compact", rules=Rules()
        )
        worker.release()
    assert all(isinstance(row, Rollout) for row in rows)
    facts = {(r.verdict, r.reason, r.finish, r.text, r.tokens) for r in rows if isinstance(r, Rollout)}
    assert facts == {("no_answer", "truncated", "length", "", 9 if usage else 0)}


def test_a_server_that_gives_no_log_probs_is_asked_for_none() -> None:
    def answer(body: Body, _: int) -> Any:
        return (
            (400, {"error": {"message": "logprobs is not supported"}}) if "logprobs" in body else reply(body)
        )

    for kind in ("chat", "text"):
        found, bodies, _ = drawn(answer, kind, str(MODEL_DIR))
        assert all(isinstance(sample, Sample) for sample in found)
        assert len(bodies) == 12


def test_a_status_within_a_reply_is_that_status() -> None:
    """Gateways say so where they have begun to answer."""

    def answer(body: Body, n: int) -> Any:
        busy = "row " in str(body) and n % 3
        return {"error": {"code": 429, "message": "rate limited upstream"}} if busy else reply(body)

    found, _, counts = drawn(answer, tries=1)  # a server that has too much costs a row no try
    assert all(isinstance(sample, Sample) for sample in found)
    assert counts["retries"] > 0


@pytest.mark.parametrize(("status", "said"), [(402, "Insufficient Balance"), (429, "insufficient_quota")])
def test_an_account_without_credit_stops_the_run(status: int, said: str) -> None:
    def answer(body: Body, _: int) -> Any:
        return (status, {"error": {"message": said}}) if "row " in str(body) else reply(body)

    with pytest.raises(UserError, match=f"answers {status}: {said}[\\s\\S]*credit"):
        drawn(answer)


def test_a_pause_of_a_day_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def limited(self: Odd, request: web.Request) -> web.Response:
        return web.json_response(
            {"error": {"message": "daily"}}, status=429, headers={"Retry-After": "86400"}
        )

    monkeypatch.setattr(Odd, "_answer", limited)
    with pytest.raises(ServerUnavailable, match="a pause of 86400 s"):
        drawn(lambda body, n: reply(body))


def test_a_stream_that_nobody_asked_for_is_named() -> None:
    async def stream(_: web.Request) -> web.Response:
        return web.Response(
            body=b'data: {"choices": []}\n\ndata: [DONE]\n\n', content_type="text/event-stream"
        )

    app = web.Application()
    app.router.add_post("/v1/chat/completions", stream)
    with Running(app) as running:
        engine = OpenAIEngine(Server(base_url=running.base_url), "m")
        with pytest.raises(UserError, match="bad_reply a stream of events: data:"):
            engine.sample([Prompt(1, messages=(("user", "a"),))], SamplingParams(max_tokens=9))
        engine.close()


@pytest.mark.parametrize("told", [
    {"max_model_len": 96}, {"context_length": 96}, {"context_window": 96}, {"meta": {"n_ctx_train": 96}},
    {"max_model_len": "96"}, {"max_model_len": None, "meta": "none"}, {"meta": []}, {"max_model_len": True}, {},
])  # fmt: skip
def test_the_context_is_read_where_it_is_told(told: Body) -> None:
    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "other", "max_model_len": 5}, {"id": "m", **told}, 3]})

    app = web.Application()
    app.router.add_get("/v1/models", models)
    with Running(app) as running:
        engine = OpenAIEngine(Server(base_url=running.base_url), "m")
        known = 96 in (*told.values(), *(told["meta"].values() if isinstance(told.get("meta"), dict) else ()))
        assert (engine.max_context == 96) == known
        engine.close()
