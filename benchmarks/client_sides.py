"""One side of benchmarks/client.py: sends one chat request per row and writes the answers. Run by any interpreter.

    python client_sides.py SIDE URL ROWS DIRECTORY [KEY=NUMBER ...]

Every side gets the same rows, 64 requests in flight, and defaults otherwise. Imports happen inside, because each side's
packages live in an environment of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

CONCURRENCY = 64
PROMPT = "Find the smallest number that leaves the remainder 3 when it is divided by 7 and by 11. " * 14


def prompts(rows: Iterable[int]) -> list[str]:
    return [f"row {i} | {PROMPT}" for i in rows]


def promptcot(
    url: str, rows: int, folder: Path, workers: int = 1, shard_rows: int = 512, concurrency: int = CONCURRENCY
) -> None:
    """A map step of the corridor: attempts at problems, committed as Parquet shards; answers are extracted too."""
    from promptcot.ids import digest
    from promptcot.lm.base import EngineSpec, SamplingParams
    from promptcot.lm.server import Server
    from promptcot.records import Ask, Rollout
    from promptcot.runner.local import LocalRunner
    from promptcot.runner.progress import Reporter
    from promptcot.settings import Rules
    from promptcot.stages.solving import attempt
    from promptcot.store import Step, View
    from promptcot.team import Team

    def make(start: int, stop: int) -> list[Ask]:
        texts = prompts(range(start, stop))
        return [Ask(digest([i]), f"p{i}", 0, "math", "1", [], x) for i, x in enumerate(texts, start)]

    spec = EngineSpec("openai", "m", server=Server(base_url=url, max_concurrency=concurrency))
    fn = partial(attempt, model=spec, params=SamplingParams(max_tokens=512), style="compact", rules=Rules())
    step = Step(folder / "07_label" / "attempts", Rollout, {}, {})
    with LocalRunner(1, workers, shard_rows, Reporter(quiet=True), Team(folder)) as runner:
        runner.map(step, View(rows, make), fn)
    print(json.dumps(step.totals()["usage"]), file=sys.stderr)


def aiohttp(url: str, rows: int, folder: Path) -> None:
    """The barest client: a semaphore, one session, a line of JSON per answer."""
    import aiohttp as http

    async def run() -> None:
        gate = asyncio.Semaphore(CONCURRENCY)
        connector = http.TCPConnector(limit=0)
        async with http.ClientSession(connector=connector) as session:

            async def one(i: int, text: str) -> None:
                body = {"model": "m", "max_tokens": 512, "messages": [{"role": "user", "content": text}]}
                async with gate, session.post(f"{url}/chat/completions", json=body) as reply:
                    answer = (await reply.json())["choices"][0]["message"]["content"]
                out.write(json.dumps({"id": i, "text": answer}) + "\n")

            with (folder / "out.jsonl").open("w") as out:
                await asyncio.gather(*(one(i, text) for i, text in enumerate(prompts(range(rows)))))

    asyncio.run(run())


def async_openai(url: str, rows: int, folder: Path) -> None:
    """The official client, otherwise as `aiohttp`."""
    from openai import AsyncOpenAI

    async def run() -> None:
        gate = asyncio.Semaphore(CONCURRENCY)
        client = AsyncOpenAI(base_url=url, api_key="none")

        async def one(i: int, text: str) -> None:
            async with gate:
                reply = await client.chat.completions.create(
                    model="m", max_tokens=512, messages=[{"role": "user", "content": text}]
                )
            out.write(json.dumps({"id": i, "text": reply.choices[0].message.content}) + "\n")

        with (folder / "out.jsonl").open("w") as out:
            await asyncio.gather(*(one(i, text) for i, text in enumerate(prompts(range(rows)))))

    asyncio.run(run())


def datatrove(url: str, rows: int, folder: Path) -> None:
    """Its inference runner with a checkpoint folder, as its example has it."""
    from datatrove.data import Document
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter

    async def rollout(document: Any, generate: Any) -> Any:
        body = {"max_tokens": 512, "messages": [{"role": "user", "content": document.text}]}
        return await generate(body)

    runner = InferenceRunner(
        rollout_fn=rollout,
        config=InferenceConfig(
            server_type="endpoint", endpoint_url=url.removesuffix("/v1"), model_name_or_path="m",
            max_concurrent_generations=CONCURRENCY, metric_interval=120,
        ),
        output_writer=JsonlWriter(str(folder / "out"), output_filename="${rank}_${chunk_index}.jsonl", compression=None),
        checkpoints_local_dir=str(folder / "checkpoints"), records_per_chunk=512,
    )  # fmt: skip
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(prompts(range(rows)))]
    LocalPipelineExecutor(
        pipeline=[documents, runner], logging_dir=str(folder / "logs"), tasks=1, workers=1
    ).run()


def distilabel(url: str, rows: int, folder: Path) -> None:
    """One text-generation step over an OpenAI-compatible endpoint."""
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    with Pipeline(name="client", cache_dir=str(folder / "cache")) as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": text} for text in prompts(rows)], batch_size=CONCURRENCY
        )
        llm = OpenAILLM(model="m", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 512})
        load >> TextGeneration(llm=llm, input_batch_size=CONCURRENCY)
    made = pipeline.run(use_cache=False)
    made.save_to_disk(str(folder / "out"))


SIDES = {
    "promptcot": promptcot,
    "promptcot_2_workers": partial(promptcot, workers=2),
    "aiohttp": aiohttp,
    "async_openai": async_openai,
    "datatrove": datatrove,
    "distilabel": distilabel,
}

if __name__ == "__main__":
    side, url, rows, folder, *more = sys.argv[1:]
    SIDES[side](url, int(rows), Path(folder), **{k: int(v) for k, v in (m.split("=") for m in more)})
