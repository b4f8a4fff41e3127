"""Servers for tests, on loopback: one that answers at once and misbehaves as told, and any aiohttp application.

Every fault is one that real servers and the networks before them have shown. What the server saw is kept, so that a
test can count what was sent.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

Body = dict[str, Any]
LONGEST_S = 60.0

# For the n-th request (from 0) with this body: the name of a fault, or None for a good answer.
Plan = Callable[[Body, int], str | None]


class Running:
    """An aiohttp application in a thread, as a context manager; `base_url` ends in /v1."""

    def __init__(self, app: web.Application, port: int = 0) -> None:
        self.app, self.port = app, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._runner = web.AppRunner(
            self.app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@dataclass
class Seen:
    """One request: when it came, its body, its Authorization header."""

    at_s: float
    body: Body
    key: str


@dataclass
class Faulty:
    """Answers chats and completions with `answer(body)`, except where `plan` names a fault.

    together: No row is answered before so many were here at a time (or LONGEST_S have passed).
    """

    plan: Plan = lambda body, n: None
    delay_s: float = 0.0
    together: int = 0
    healthy: bool = True
    sick: int = 0  # times that /health still says no
    seen: list[Seen] = field(default_factory=list)
    inside: int = 0
    most_inside: int = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/health", self._health)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        return app

    def count(self, body: Body) -> int:
        return sum(s.body == body for s in self.seen)

    async def _health(self, _: web.Request) -> web.Response:
        self.sick -= 1
        return web.Response(status=200 if self.healthy and self.sick < 0 else 503)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        n = self.count(body)
        self.seen.append(Seen(time.monotonic(), body, request.headers.get("Authorization", "")))
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if is_row(body):
                await until(lambda: self.most_inside >= self.together)
            await asyncio.sleep(self.delay_s)
            fault = self.plan(body, n)
            return await (FAULTS[fault](request, body) if fault else _good(request, body))
        finally:
            self.inside -= 1


@dataclass
class Mortal(Faulty):
    """Goes down, with all that it is at, when it is asked something `deadly`; back after some questions for its health.

    first_with: The first time with so many rows, none of which is answered.
    """

    deadly: Callable[[Body], bool] = lambda body: False
    dies_after_s: float = 0.0
    first_with: int = 0
    deaths: int = 0
    held: set[Any] = field(default_factory=set)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.held.add(request.transport)
        try:
            if self.deadly(body):
                await until(lambda: self.deaths or len(self.held) >= self.first_with)
                await asyncio.sleep(self.dies_after_s)  # the others are under way
                self.deaths, self.sick = self.deaths + 1, 2
                for transport in self.held:
                    transport.abort()
            elif self.first_with and is_row(body):
                await until(lambda: self.deaths)
            return await super()._answer(request)
        finally:
            self.held.discard(request.transport)


async def until(true: Callable[[], object]) -> None:
    """Wait for something that comes, or for LONGEST_S."""
    ends = time.monotonic() + LONGEST_S
    while not true() and time.monotonic() < ends:
        await asyncio.sleep(0.001)


def prompt_of(body: Body) -> str:
    return str(body["messages"][-1]["content"] if "messages" in body else body["prompt"])


def is_row(body: Body) -> bool:
    """Whether it is a row of the tests (`row 3 ...`), and no probe."""
    return "row " in prompt_of(body)


def said(body: Body) -> str:
    """What the server answers: the prompt and the seed, so that a test sees whose answer it got."""
    return f"{prompt_of(body)}#{body['seed']}"


def reply(body: Body, **change: Any) -> Body:
    text = said(body)
    choice: Body = {"index": 0, "finish_reason": "stop", "logprobs": None}
    if "messages" in body:
        choice["message"] = {"role": "assistant", "content": text}
    else:
        choice["text"] = text
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return {"id": "x", "object": "completion", "choices": [{**choice, **change}], "usage": usage}


def _json(value: Any, status: int = 200, **headers: str) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


async def _good(_: web.Request, body: Body) -> web.StreamResponse:
    return _json(reply(body))


async def _hang(_: web.Request, body: Body) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return _json(reply(body))


async def _reset(request: web.Request, _: Body) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _cut_off(request: web.Request, body: Body) -> web.StreamResponse:
    """Headers promise the whole reply, the connection ends in the middle of it."""
    data = json.dumps(reply(body)).encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


def _twice(late_s: float) -> Callable[[web.Request, Body], Any]:
    """The whole reply is sent two times on the same connection: the second could pass for another row's."""

    async def answer(request: web.Request, body: Body) -> web.StreamResponse:
        data = json.dumps(reply(body)).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        transport: Any = request.transport
        if late_s:
            asyncio.get_running_loop().call_later(late_s, transport.write, head.encode() + data)
        else:
            transport.write(head.encode() + data)
        return _json(reply(body))

    return answer


def _raw(data: bytes) -> Callable[[web.Request, Body], Any]:
    async def answer(_: web.Request, __: Body) -> web.StreamResponse:
        return web.Response(body=data, content_type="application/json")

    return answer


def _changed(change: Callable[[Body], Body]) -> Callable[[web.Request, Body], Any]:
    async def answer(_: web.Request, body: Body) -> web.StreamResponse:
        return _json(change(body))

    return answer


def _status(status: int, message: str = "no", **headers: str) -> Callable[[web.Request, Body], Any]:
    async def answer(request: web.Request, _: Body) -> web.StreamResponse:
        told = message.replace("KEY", request.headers.get("Authorization", ""))
        return _json({"error": {"message": told}}, status, **headers)

    return answer


def _message(content: Any) -> Callable[[Body], Body]:
    return lambda body: {**reply(body, message={"role": "assistant", "content": content}), "usage": None}


LOGPROBS = {"content": [{"token": "a", "logprob": -0.5}]}
FAULTS: dict[str, Callable[[web.Request, Body], Any]] = {
    "429": _status(429, "slow down", **{"Retry-After": "0.05"}),
    "429_bare": _status(429, "slow down"),
    "503": _status(503, "overloaded"),
    "500": _status(500, "boom"),
    "400": _status(400, "the key was KEY"),
    "401": _status(401, "wrong key: KEY"),
    "404": _status(404, "no such model"),
    "hang": _hang,
    "reset": _reset,
    "cut_off": _cut_off,
    "twice": _twice(0.0),
    "twice_late": _twice(0.02),
    "truncated": _raw(b'{"choices": [{"text": "abc'),
    "no_json": _raw(b"<html>bad gateway</html>"),
    "other_json": _raw(b"[1, 2]"),
    "error_200": _raw(b'{"error": {"message": "engine died"}}'),
    "no_content": _changed(_message(None)),
    "empty": _changed(_message("")),
    "no_choices": _changed(lambda body: {**reply(body), "choices": []}),
    "two_choices": _changed(lambda body: {**reply(body), "choices": reply(body)["choices"] * 2}),
    "no_finish": _changed(lambda body: reply(body, finish_reason=None)),
    "filtered": _changed(lambda body: reply(body, finish_reason="content_filter")),
    "short_logprobs": _changed(lambda body: reply(body, token_ids=[5, 6], logprobs=LOGPROBS)),
    "bad_logprobs": _changed(
        lambda body: reply(body, token_ids=[5], logprobs={"content": [{"token": "a", "logprob": None}]})
    ),
}
