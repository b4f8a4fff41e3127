"""A small vLLM-compatible server over the in-process engine: `promptcot serve MODEL`.

It answers /v1/models, /v1/completions, /v1/chat/completions and /health, each request when its own rows have ended, and
computes no further for a client that has gone (`promptcot.lm.batcher`). What a request draws depends on its prompt, seed and
parameters alone, so the same request gives the same ids here, in process and tomorrow. A parameter that it does not know is
refused with 400, never ignored.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import signal
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.lm.base import Prompt
from promptcot.lm.batcher import Batcher, ModelFailure, Turns
from promptcot.lm.checks import check_ids
from promptcot.lm.decode import Draw
from promptcot.lm.load import model_path
from promptcot.lm.serving import BadRequest, Request, continuation, envelope, parse, read_request
from promptcot.lm.transformers import TransformersEngine

MODELS_KEPT = 2
LARGEST_BODY = 64 << 20
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Load = Callable[[str], TransformersEngine]


class Models:
    """The model that is served, and on request the directories below `folder` (trained in a run). They share one thread."""

    def __init__(self, name: str, engine: TransformersEngine, load: Load, folder: Path | None) -> None:
        self.turns = Turns()
        self.name, self._first, self._load = name, Batcher(engine, self.turns), load
        self._folder = folder.resolve() if folder else None
        self._others: OrderedDict[str, tuple[int, Batcher]] = OrderedDict()
        self._loading = asyncio.Lock()

    async def get(self, name: str) -> Batcher | None:
        """The model by its name; a directory is loaded on first use, and again when it has changed."""
        if name == self.name:
            return self._first
        if self._folder is None or "\0" in name:
            return None
        path = Path(name).resolve()
        weights = path / "model.safetensors"
        if self._folder not in path.parents or not os.path.isfile(weights):
            return None
        async with self._loading:
            stamp = weights.stat().st_mtime_ns
            if name not in self._others or self._others[name][0] != stamp:
                self._others.pop(name, None)
                while len(self._others) >= MODELS_KEPT:
                    self._others.popitem(last=False)  # it stays until what it has begun is answered
                engine = await asyncio.to_thread(self._load, str(path))
                self._others[name] = (stamp, Batcher(engine, self.turns))
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
        kind = "invalid_request_error" if status < 500 else "server_error"
        body = {"error": {"message": " ".join(message.split()), "type": kind, "code": status}}
        return web.json_response(body, status=status)

    @web.middleware  # type: ignore[untyped-decorator]
    async def guard(request: Any, handler: Any) -> Any:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if key and request.path != "/health" and not hmac.compare_digest(given, f"Bearer {key}".encode()):
            return refusal(401, "a key is needed: Authorization: Bearer ...")
        try:
            return await handler(request)
        except (UserError, ValueError, web.RequestPayloadError) as e:
            return refusal(400, str(e))
        except web.HTTPException as e:
            return refusal(e.status, f"{request.method} {request.path}: {e.reason}")
        except ModelFailure as e:
            return refusal(500, str(e))

    async def listed(_: Any) -> Any:
        row = {"id": name, "object": "model", "owned_by": "promptcot", "max_model_len": engine.max_context}
        return web.json_response({"object": "list", "data": [row]})

    async def healthy(_: Any) -> Any:
        return web.Response()

    async def answer(request: Any, chat: bool) -> Any:
        asked = read_request(parse(await request.read()), chat)
        batcher = await models.get(asked.model)
        if batcher is None:
            return refusal(404, f"The model `{asked.model}` does not exist.")
        return web.json_response(await _reply(batcher, asked))

    async def end(_: Any) -> None:
        models.turns.close()

    app = web.Application(middlewares=[guard], client_max_size=LARGEST_BODY)
    app.on_cleanup.append(end)
    app.router.add_get("/health", healthy)
    app.router.add_get("/v1/models", listed)
    app.router.add_post("/v1/completions", partial(answer, chat=False))
    app.router.add_post("/v1/chat/completions", partial(answer, chat=True))
    return app


async def _reply(batcher: Batcher, asked: Request) -> dict[str, Any]:
    engine = batcher.engine
    heads = await asyncio.to_thread(_heads, engine, asked)
    prompts = [Prompt(asked.seed_of(i), ids=ids) for ids in heads for i in range(asked.n)]
    draws, logps = await asyncio.gather(
        _draws(batcher, asked, prompts),
        asyncio.gather(*(batcher.logps(ids) for ids in heads if asked.wants_prompt)),
    )
    return await asyncio.to_thread(_written, engine, asked, heads, draws, logps)


def _written(
    engine: TransformersEngine, asked: Request, heads: Sequence[tuple[int, ...]], draws: Sequence[Draw | None],
    logps: Sequence[Sequence[float | None]],
) -> dict[str, Any]:  # fmt: skip
    choices = [
        continuation(engine, asked, i, heads[i // asked.n], draw, logps[i // asked.n] if logps else None)
        for i, draw in enumerate(draws)
    ]
    sampled = sum(draw.drawn_tokens for draw in draws if draw)
    return envelope(asked, choices, sum(map(len, heads)), sampled, heads[0])


def _heads(engine: TransformersEngine, asked: Request) -> list[tuple[int, ...]]:
    """The prompts in token ids."""
    heads = [p if isinstance(p, tuple) else engine.encode(p) for p in asked.prompts]
    if asked.messages is not None:
        heads = [engine.chat_ids(asked.messages)]
    for ids in heads:
        check_ids(ids, engine.vocabulary)
        if not ids or len(ids) + (asked.params is not None) > engine.max_context:
            raise BadRequest(f"a prompt of {len(ids)} tokens: the model's context is {engine.max_context}")
    return heads


async def _draws(batcher: Batcher, asked: Request, prompts: list[Prompt]) -> Sequence[Draw | None]:
    return [None] * len(prompts) if asked.params is None else await batcher.draws(prompts, asked.params)


def main(
    model: str, host: str, port: int, name: str, below: Path | None, key_env: str, dtype: str, device: str,
    batch_tokens: int, threads: int = 1,
) -> None:  # fmt: skip
    """Load `model`, serve it until interrupted, and print the base URL once requests are taken.

    `threads` do the arithmetic: more than there are idle cores wait for each other and are slower than one.

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
    import torch

    torch.set_num_threads(threads)
    load = partial(TransformersEngine, dtype=dtype, device=device, batch_tokens=batch_tokens)
    app = application(name, load(model_path(model)), load, below, key)
    asyncio.run(_serve(app, host, port))


async def _serve(app: Any, host: str, port: int) -> None:
    from aiohttp import web

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # Requests of closed connections are cancelled, and so are those under way at the end.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as e:
        await runner.cleanup()
        raise UserError(
            f"cannot listen on {host}:{port}: {e.strerror}", do="choose another --port (0 takes a free one)"
        ) from None
    print(f"serving on http://{host}:{runner.addresses[0][1]}/v1", flush=True)
    await stop.wait()
    await runner.cleanup()
    os._exit(0)  # nothing is to be saved, and a thread cannot be interrupted in a pass of the model
