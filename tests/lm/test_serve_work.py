"""How `promptcot serve` works for many: rows join and leave at any token, nobody waits for others, nothing is done for nobody."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.lm.faulty import Running
from tests.lm.test_serve_requests import GOOD, PATHS, send
from transformers import Qwen3ForCausalLM

from promptcot.lm.base import Part, Prompt, SamplingParams
from promptcot.lm.batcher import Batcher, Turns
from promptcot.lm.serve import application
from promptcot.lm.transformers import TransformersEngine

PLAIN = SamplingParams(max_tokens=80)
LONG = {"model": "tiny", "prompt": "abc", "max_tokens": 4000, "n": 300, "seed": 5}  # many minutes


def variant(model: Any, tokenizer: Any, **change: Any) -> TransformersEngine:
    """The tiny model with another configuration."""
    config = copy.deepcopy(model.config)
    for name, value in change.items():
        setattr(config, name, value)
    torch.manual_seed(20)
    return TransformersEngine.from_model(Qwen3ForCausalLM(config).eval(), tokenizer, name="variant")


@pytest.fixture(scope="module")
def endless(model: Any, tokenizer: Any) -> TransformersEngine:
    return variant(model, tokenizer, max_position_embeddings=4096)


class ByHand:
    """A batcher whose turns are given here."""

    def __init__(self, engine: TransformersEngine) -> None:
        turns = Turns()
        turns.close()
        self.batcher, self.asked = Batcher(engine, turns), 0

    async def ask(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """`work` under way, and arrived."""
        task = asyncio.ensure_future(work)
        while not (task.done() or self.batcher._arrived):
            await asyncio.sleep(0.001)
        self.batcher._take_in()
        return task

    async def turns(self, until: Callable[[], bool], most: int = 3000) -> int:
        """Turns until something is so; how many it took."""
        for n in range(most):
            if until():
                return n
            self.batcher.turn()
            for _ in range(3):  # results get to their tasks
                await asyncio.sleep(0)
        raise AssertionError(f"not so after {most} turns")


def prompt(engine: TransformersEngine, seed: int, text: str = "the cat") -> Prompt:
    return Prompt(seed, ids=engine.encode(text))


@pytest.mark.parametrize("layers", ["full_attention", "sliding_attention"])
def test_what_a_row_draws_depends_neither_on_when_it_came_nor_on_who_left(
    layers: str, model: Any, tokenizer: Any
) -> None:
    """Rows of all parameters, joining a turn apart, some of which are cancelled on the way."""
    engine = variant(model, tokenizer, layer_types=[layers, "full_attention"], sliding_window=10)
    kinds = [
        PLAIN, replace(PLAIN, temperature=0.0), replace(PLAIN, temperature=1.4, top_p=0.9), replace(PLAIN, top_k=5),
        replace(PLAIN, stop=("c", "xy")), replace(PLAIN, max_tokens=7),
    ]  # fmt: skip
    texts = ["abc", "the cat", "xy" * 9, "q", "abcabc xyz 0123456789" * 2]
    cases = [(prompt(engine, i, texts[i % len(texts)]), kinds[i % len(kinds)]) for i in range(30)]

    async def go() -> list[Any]:
        hand = ByHand(engine)
        tasks = []
        for i, (each, params) in enumerate(cases):
            tasks.append(await hand.ask(hand.batcher.draws([each], params)))
            hand.batcher.turn()
            if i % 5 == 4:
                tasks[-2].cancel()
        await hand.turns(lambda: all(task.done() for task in tasks))
        return [None if task.cancelled() else task.result() for task in tasks]

    found = asyncio.run(go())
    kept = [i for i, draws in enumerate(found) if draws is not None]
    assert len(kept) in range(24, 31)
    for i in kept:
        each, params = cases[i]
        (sample,) = engine.sample([each], params)
        (row,) = found[i]
        assert (tuple(row.ids), row.finish) == (sample.ids, sample.finish)
        assert row.logq == pytest.approx(sample.logq, abs=1e-4)


def test_a_request_is_answered_when_its_own_rows_have_ended(engine: TransformersEngine) -> None:
    async def go() -> None:
        hand = ByHand(engine)
        long = await hand.ask(hand.batcher.draws([prompt(engine, 1), prompt(engine, 2)], PLAIN))
        hand.batcher.turn()
        short = await hand.ask(hand.batcher.draws([prompt(engine, 3)], replace(PLAIN, max_tokens=4)))
        assert await hand.turns(short.done) <= 5
        assert not long.done()
        await hand.turns(long.done)
        assert max(len(row.drawn) for row in long.result()) > 5
        hand.batcher.turn()
        assert hand.batcher.idle

    asyncio.run(go())


def test_a_short_request_waits_for_no_full_batch_of_long_ones(
    endless: TransformersEngine, tokenizer: Any
) -> None:
    """128 requests that would take all the memory of the batch for thousands of tokens, and one of sixteen."""
    engine = TransformersEngine.from_model(endless.model, tokenizer, batch_tokens=16384)

    async def go() -> None:
        hand = ByHand(engine)
        params = SamplingParams(max_tokens=4000)
        long = [await hand.ask(hand.batcher.draws([prompt(engine, i)] * 8, params)) for i in range(16)]
        hand.batcher.turn()
        drawn = [row for batch in hand.batcher._batches for row in batch.rows]
        assert len(drawn) * max(row.size for row in drawn) <= 16384
        short = await hand.ask(hand.batcher.draws([prompt(engine, 7)], SamplingParams(max_tokens=16)))
        assert await hand.turns(short.done) <= 17
        assert not any(task.done() for task in long)
        for task in long:
            task.cancel()
        await asyncio.gather(*long, return_exceptions=True)
        hand.batcher.turn()
        assert hand.batcher.idle
        assert not any(batch.rows for batch in hand.batcher._batches)

    asyncio.run(go())


def test_the_queue_lets_nobody_starve(endless: TransformersEngine, tokenizer: Any) -> None:
    """A batch of one row: who wants few tokens goes before who came a little earlier, and who has waited long goes first."""
    engine = TransformersEngine.from_model(endless.model, tokenizer, batch_tokens=1)

    async def go() -> list[int]:
        hand, order = ByHand(engine), []
        tasks = []

        async def ask(name: int, tokens: int) -> None:
            async def work() -> None:
                await hand.batcher.draws(
                    [prompt(engine, name)], SamplingParams(temperature=0.0, max_tokens=tokens)
                )
                order.append(name)

            tasks.append(await hand.ask(work()))

        await ask(0, 30)
        hand.batcher.turn()
        await ask(1, 40)
        await ask(2, 10)
        for name in (3, 4, 5, 6):
            for _ in range(15):
                hand.batcher.turn()
            await ask(name, 12)
        await hand.turns(lambda: all(task.done() for task in tasks))
        return order

    assert asyncio.run(go()) == [0, 2, 3, 1, 4, 5, 6]


def test_scores_are_given_beside_long_draws_and_are_those_of_the_engine(endless: TransformersEngine) -> None:
    async def go() -> None:
        hand = ByHand(endless)
        long = await hand.ask(
            hand.batcher.draws([prompt(endless, i) for i in range(4)], SamplingParams(max_tokens=4000))
        )
        hand.batcher.turn()
        rows = [endless.encode("the cat " * n) for n in (1, 2, 9, 40)]
        tasks = [await hand.ask(hand.batcher.logps(ids)) for ids in rows]
        await hand.turns(lambda: all(task.done() for task in tasks))
        assert not long.done()
        for ids, task in zip(rows, tasks, strict=True):
            (score,) = endless.score([[Part("c", ids[:1], False), Part("x", ids[1:])]])
            first, *rest = task.result()
            assert first is None
            assert sum(rest) == pytest.approx(score["x"].logp, abs=1e-4)
        long.cancel()
        one = await hand.ask(hand.batcher.logps([5]))
        await hand.turns(one.done)
        assert one.result() == [None]

    asyncio.run(go())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [RuntimeError, KeyError])
@pytest.mark.parametrize("fails", ["step", "join", "score"])
def test_a_model_that_fails_is_an_error_of_those_it_failed_for(
    fails: str, error: type[Exception], engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full memory (or a mistake of ours); the next request finds a model that works."""
    from promptcot.lm import decode

    def full(*_: Any, **__: Any) -> Any:
        raise error("can't allocate memory")

    body = {**GOOD, "prompt_logprobs": 0} if fails == "score" else GOOD
    with Running(application("tiny", engine, TransformersEngine)) as made:
        good = send(made, PATHS[0], json.dumps(body).encode())
        with monkeypatch.context() as patch:
            if fails == "score":
                patch.setattr(TransformersEngine, "score_layouts", full)
            else:
                patch.setattr(decode.Batch, fails, full)
            status, reply = send(made, PATHS[0], json.dumps(body).encode())
            assert status == 500
            said = "can't allocate memory" if error is RuntimeError else "the server's log says how"
            assert said in reply["error"]["message"]
        again = send(made, PATHS[0], json.dumps(body).encode())
    assert again[1]["choices"] == good[1]["choices"]


def test_a_bad_request_hurts_no_good_one_of_the_same_moment(engine: TransformersEngine) -> None:
    bad: list[dict[str, Any]] = [
        {"prompt": [1, 5_000_000, 2], "prompt_logprobs": 0}, {"prompt": [[1], [263]]}, {"temperature": 1e-40},
        {"prompt": "\ud800"}, {"n": 0},
    ]  # fmt: skip
    good = [{**GOOD, "seed": i, "max_tokens": 20} for i in range(12)]
    with Running(application("tiny", engine, TransformersEngine)) as made:
        alone = [send(made, PATHS[0], json.dumps(body).encode())[1]["choices"] for body in good]
        bodies = [
            body for pair in zip(good, (bad * 3)[:12], strict=True) for body in (pair[0], {**GOOD, **pair[1]})
        ]
        found: dict[int, Any] = {}

        def ask(i: int) -> None:
            found[i] = send(made, PATHS[0], json.dumps(bodies[i]).encode())

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [found[i][0] for i in range(1, 24, 2)] == [400] * 12
    assert [found[i][1]["choices"] for i in range(0, 24, 2)] == alone


def begin(port: int, body: dict[str, Any]) -> socket.socket:
    """Sends a request and does not wait for the reply."""
    raw = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head.encode() + raw)
    return connection


def wait(until: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not until():
        assert time.monotonic() < ends
        time.sleep(0.01)


def at_work() -> bool:
    return any(thread.name == "models" for thread in threading.enumerate())


def test_nothing_is_computed_for_clients_that_are_gone(endless: TransformersEngine) -> None:
    wait(lambda: not at_work())
    with Running(application("tiny", endless, TransformersEngine)) as made:
        clients = [begin(made.port, LONG), begin(made.port, {**LONG, "prompt_logprobs": 0})]
        wait(at_work)
        status, reply = send(made, PATHS[0], json.dumps({**LONG, "n": 1, "max_tokens": 16}).encode())
        assert (status, len(reply["choices"])) == (200, 1)
        assert at_work()
        for client in clients:
            client.close()
        wait(lambda: not at_work())


@pytest.fixture
def command(endless: TransformersEngine, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`promptcot serve` and its port."""
    endless.model.save_pretrained(tmp_path / "endless")
    endless.tokenizer.save_pretrained(tmp_path / "endless")
    typed = [
        sys.executable,
        "-m",
        "promptcot.cli",
        "serve",
        str(tmp_path / "endless"),
        "--port",
        "0",
        "--name",
        "tiny",
    ]
    server = subprocess.Popen(
        typed, stdout=subprocess.PIPE, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert server.stdout is not None
    found = re.search(r":(\d+)/v1", server.stdout.readline())
    assert found is not None
    yield server, int(found[1])
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_although_requests_are_under_way(
    number: signal.Signals, command: tuple[subprocess.Popen[str], int]
) -> None:
    server, port = command
    clients = [begin(port, LONG) for _ in range(3)]
    answered = begin(port, {**LONG, "n": 1, "max_tokens": 16})
    assert b"200 OK" in answered.recv(1000)  # and the others are under way
    server.send_signal(number)
    assert server.wait(20) == 0
    for client in (*clients, answered):
        client.close()


def test_it_computes_with_one_thread_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from promptcot.cli import app
    from promptcot.lm import serve

    seen: list[int] = []

    async def start(*_: Any) -> None:
        seen.append(torch.get_num_threads())

    monkeypatch.setattr(serve, "_serve", start)
    before = torch.get_num_threads()
    try:
        for more in ([], ["--threads", "3"]):
            torch.set_num_threads(2)
            assert CliRunner().invoke(app, ["serve", "pocket", *more]).exit_code == 0
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 3]
