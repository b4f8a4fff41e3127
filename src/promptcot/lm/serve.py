"""A small vLLM-compatible server over the in-process engine: `promptcot serve MODEL`.

It answers /v1/models, /v1/completions, /v1/chat/completions and /health. Requests that wait while the model works are
answered together. What a request draws depends on its prompt, seed and parameters alone, so the same request gives the
same ids here, in process and tomorrow. A parameter that it does not know is refused with 400, never ignored.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.lm.base import Part, Prompt, SamplingParams
from promptcot.lm.decode import Draw
from promptcot.lm.load import model_path
from promptcot.lm.serving import BadRequest, Request, continuation, envelope, read_request
from promptcot.lm.transformers import TransformersEngine

MODELS_KEPT = 2
LARGEST_BODY = 64 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Load = Callable[[str], TransformersEngine]


@dataclass(frozen=True)
class _Job:
    """What waits for a model: prompts to continue, or (params None) sequences to score token by token."""

    key: Any
    work: Sequence[Any]
    done: asyncio.Future[list[Any]]


class Batcher:
    """One model and the thread it works in: whatever waits and asks for the same parameters goes in together."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.engine = engine
        self._waiting: list[_Job] = []
        self._working: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1)

    async def draws(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Draw]:
        """One draw per prompt."""
        return await self._join(params, prompts)

    async def logps(self, ids: Sequence[int]) -> list[float | None]:
        """The log-prob of every token, the first one None."""
        (found,) = await self._join(None, [tuple(ids)])
        return [None, *found]

    def close(self) -> None:
        """Waits for what the model is doing."""
        self._thread.shutdown(cancel_futures=True)

    async def _join(self, key: Any, work: Sequence[Any]) -> list[Any]:
        job = _Job(key, work, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._working is None or self._working.done():
            self._working = asyncio.ensure_future(self._work())
        return await job.done

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(0)  # requests that arrived at the same moment come along
            key = self._waiting[0].key
            jobs = [j for j in self._waiting if j.key == key]
            self._waiting = [j for j in self._waiting if j.key != key]
            flat = [item for job in jobs for item in job.work]
            call: Callable[[Any], Sequence[Any]] = self._score
            if key is not None:
                call = partial(self.engine.draws, params=key)
            try:
                found = await loop.run_in_executor(self._thread, call, flat)
            except (UserError, ValueError, RuntimeError) as e:
                for job in jobs:
                    if not job.done.done():
                        job.done.set_exception(e)
                continue
            for job in jobs:
                mine, found = found[: len(job.work)], found[len(job.work) :]
                if not job.done.done():
                    job.done.set_result(list(mine))

    def _score(self, rows: Sequence[tuple[int, ...]]) -> list[list[float]]:
        """Every token is a part of its own, so that the engine's one way to score serves here too."""
        parts = [
            [Part("", ids[:1], False), *(Part(str(i), (t,)) for i, t in enumerate(ids[1:]))] for ids in rows
        ]
        return [
            [s[str(i)].logp for i in range(len(ids) - 1)]
            for ids, s in zip(rows, self.engine.score(parts), strict=True)
        ]


class Models:
    """The model that is served, and on request the directories below `folder` (trained in a run)."""

    def __init__(self, name: str, engine: TransformersEngine, load: Load, folder: Path | None) -> None:
        self.name, self._first, self._load = name, Batcher(engine), load
        self._folder = folder.resolve() if folder else None
        self._others: OrderedDict[str, tuple[int, Batcher]] = OrderedDict()

    def get(self, name: str) -> Batcher | None:
        """The model by its name; a directory is loaded on first use, and again when it has changed."""
        if name == self.name:
            return self._first
        path = Path(name).resolve()
        weights = path / "model.safetensors"
        if self._folder is None or self._folder not in path.parents or not weights.is_file():
            return None
        stamp = weights.stat().st_mtime_ns
        if name not in self._others or self._others[name][0] != stamp:
            while len(self._others) >= MODELS_KEPT:
                self._others.popitem(last=False)[1][1].close()
            self._others[name] = (stamp, Batcher(self._load(str(path))))
        self._others.move_to_end(name)
        return self._others[name][1]


def application(
    name: str, engine: TransformersEngine, load: Load, folder: Path | None = None, key: str = ""
) -> Any:
    """The aiohttp application.

    Args:
        name: Of the served model.
        engine: The model.
        load: What loads another one.
        folder: Below which a request may name a directory as its model.
        key: Without it in the Authorization header, requests get 401.

    Raises:
        MissingExtra: aiohttp is not installed.
    """
    try:
        from aiohttp import web
    except ModuleNotFoundError:
        raise MissingExtra("aiohttp", "api") from None
    models = Models(name, engine, load, folder)

    def refusal(status: int, message: str) -> Any:
        body = {"error": {"message": message, "type": "invalid_request_error", "code": status}}
        return web.json_response(body, status=status)

    @web.middleware  # type: ignore[untyped-decorator]
    async def guard(request: Any, handler: Any) -> Any:
        given = request.headers.get("Authorization", "")
        if (
            key
            and request.path != "/health"
            and not hmac.compare_digest(given.encode(), f"Bearer {key}".encode())
        ):
            return refusal(401, "a key is needed: Authorization: Bearer ...")
        try:
            return await handler(request)
        except BadRequest as e:
            return refusal(400, str(e))
        except (UserError, ValueError) as e:
            return refusal(400, " ".join(str(e).split()))

    async def listed(_: Any) -> Any:
        row = {"id": name, "object": "model", "owned_by": "promptcot", "max_model_len": engine.max_context}
        return web.json_response({"object": "list", "data": [row]})

    async def healthy(_: Any) -> Any:
        return web.Response()

    async def answer(request: Any, chat: bool) -> Any:
        try:
            asked = read_request(json.loads(await request.read()), chat)
        except ValueError as e:
            return refusal(400, str(e))
        batcher = models.get(asked.model)
        if batcher is None:
            return refusal(404, f"The model `{asked.model}` does not exist.")
        return web.json_response(await _reply(batcher, asked))

    app = web.Application(middlewares=[guard], client_max_size=LARGEST_BODY)
    app.router.add_get("/health", healthy)
    app.router.add_get("/v1/models", listed)
    app.router.add_post("/v1/completions", partial(answer, chat=False))
    app.router.add_post("/v1/chat/completions", partial(answer, chat=True))
    return app


async def _reply(batcher: Batcher, asked: Request) -> dict[str, Any]:
    engine = batcher.engine
    heads = [p if isinstance(p, tuple) else engine.encode(p) for p in asked.prompts]
    if asked.messages is not None:
        heads = [engine.chat_ids(asked.messages)]
    for ids in heads:
        if not ids or len(ids) + (asked.params is not None) > engine.max_context:
            raise BadRequest(f"a prompt of {len(ids)} tokens: the model's context is {engine.max_context}")
    draws: list[Draw | None] = [None] * (len(heads) * asked.n)
    if asked.params is not None:
        prompts = [Prompt(asked.seed_of(i), ids=ids) for ids in heads for i in range(asked.n)]
        draws = list(await batcher.draws(prompts, asked.params))
    logps = [await batcher.logps(ids) if asked.wants_prompt else None for ids in heads]
    choices = [
        continuation(engine, asked, i, heads[i // asked.n], draw, logps[i // asked.n])
        for i, draw in enumerate(draws)
    ]
    sampled = sum(draw.drawn_tokens for draw in draws if draw)
    return envelope(asked, choices, sum(map(len, heads)), sampled, heads[0])


def main(
    model: str, host: str, port: int, name: str, below: Path | None, key_env: str, dtype: str, device: str,
    batch_tokens: int,
) -> None:  # fmt: skip
    """Load `model`, serve it until interrupted, and print the base URL once requests are taken.

    Raises:
        UserError: other machines could reach it without a key, or the model or the address cannot be used.
    """
    key = os.environ.get(key_env, "") if key_env else ""
    if key_env and not key:
        raise UserError(f"the environment variable {key_env} is empty or not set", do=f"export {key_env}=...")
    if not key and host not in LOOPBACK:
        raise UserError(
            f"--host {host} without a key",
            expected="a key, when other machines can reach the server",
            do="--api-key-env VARIABLE, or leave --host out and tunnel to the port",
        )
    load = partial(TransformersEngine, dtype=dtype, device=device, batch_tokens=batch_tokens)
    app = application(name, load(model_path(model)), load, below, key)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, host, port))


async def _serve(app: Any, host: str, port: int) -> None:
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        print(f"serving on http://{host}:{bound}/v1", flush=True)
        await stop.wait()
    except OSError as e:
        raise UserError(
            f"cannot listen on {host}:{port}: {e.strerror}", do="choose another --port (0 takes a free one)"
        ) from None
    finally:
        await runner.cleanup()
