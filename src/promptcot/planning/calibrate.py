"""A short measurement of a recipe's own engines and training, in the format of figures.yaml.

What is timed is what the stages do: the recipe's prompts, its lengths, its batches, one process. Loading is not timed.
On a CPU it is the process's own time on its one core, so that a busy machine does not spoil the figures.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.lm.base import Engine, Part, Prompt, Sample
from promptcot.lm.load import load_engine, model_path
from promptcot.planning.figures import FREE, Figures, Kind
from promptcot.planning.work import Flow, Work
from promptcot.settings import Launch, Model, Recipe, Sampling, Training

CPU = "CPU core"
MAX_STEPS = 256
CANDIDATES = 8  # sequences that share their context, as the rationales of one item do
Tell = Callable[[str], None]
Clock = Callable[[], float]


def calibrate(recipe: Recipe, figures: Figures, seconds: float, tell: Tell) -> list[dict[str, Any]]:
    """Measure every model of the recipe, `seconds` per kind of work. Returns entries for `Figures(models=...)`.

    Raises:
        UserError: an engine cannot be loaded.
    """
    from promptcot.runner.worker import limit_threads

    limit_threads()
    todo: dict[str, dict[Kind, Work]] = {}
    for work in Flow(recipe, figures).work():
        if work.model.engine not in FREE and work.requests.high:
            kind: Kind = "train" if work.kind == "dpo" else work.kind
            mine = todo.setdefault(work.model.model or work.model.engine, {})
            if kind not in mine or work.tokens.mid > mine[kind].tokens.mid:
                mine[kind] = work
    return [_entry(recipe, name, kinds, seconds, tell) for name, kinds in todo.items()]


def _entry(recipe: Recipe, name: str, kinds: dict[Kind, Work], seconds: float, tell: Tell) -> dict[str, Any]:
    model = next(iter(kinds.values())).model
    entry: dict[str, Any] = {"match": name, "device": device(model)}
    engine = load_engine(model.spec()) if {"sample", "score"} & set(kinds) else None
    clock = time.process_time if entry["device"] == CPU else time.monotonic
    for kind, work in kinds.items():
        tokens = max(2, round(work.tokens_each.mid))
        several = ""
        if kind == "train":
            settings: Training = getattr(recipe, work.stage).training
            tokens = max(2, round(tokens / settings.epochs))
            value = _train(work.model, tokens, settings, seconds, clock)
            if settings.launch.processes > 1:
                several = f", in one process instead of {settings.launch.processes}"
        else:
            assert engine is not None
            one = _sample(recipe, engine, tokens) if kind == "sample" else _score(engine, tokens)
            value = grow(one, recipe.run.shard_rows, seconds, clock)
        source = f"measured by promptcot calibrate, {tokens} tokens each{several}"
        entry[kind] = {"value": round(value, 1), "error": 0.2, "source": source}
        tell(f"{name}: {kind} {value:,.0f} tokens/s on one {entry['device']}")
    return entry


def device(model: Model) -> str:
    """What one process of this engine runs on."""
    if model.engine not in ("transformers", "vllm"):
        return "server"
    import torch

    cuda = model.device != "cpu" and torch.cuda.is_available()
    return str(torch.cuda.get_device_name()) if cuda else CPU


def grow(one: Callable[[int], int], limit: int, seconds: float, clock: Clock) -> float:
    """Tokens per second of the largest batch: doubled from 8 rows until it takes half of `seconds` or holds `limit`.

    Args:
        one: Does a batch of that many rows and returns its tokens.
    """
    one(2)  # warm up
    rows = min(8, limit)
    while True:
        started = clock()
        tokens = one(rows)
        took = max(clock() - started, 1e-9)
        if rows >= limit or took >= seconds / 2:
            return tokens / took
        rows = min(2 * rows, limit)


def _sample(recipe: Recipe, engine: Engine, tokens: int) -> Callable[[int], int]:
    """Batches of the recipe's own generator prompts, drawn up to `tokens` each."""
    domain = get("math", recipe.templates)
    concepts = ["divisibility", "remainders", "arithmetic sequences"]
    params = Sampling(max_tokens=tokens).params()
    calls = [0]

    def one(rows: int) -> int:
        calls[0] += 1
        ids = engine.encode(domain.generator_prompt(concepts, "1"))
        prompts = [Prompt(seed=calls[0] * 100_003 + i, ids=ids) for i in range(rows)]
        drawn = [s for s in engine.sample(prompts, params) if isinstance(s, Sample)]
        return sum(s.tokens + (s.finish == "stop") for s in drawn)

    return one


def _score(engine: Engine, tokens: int) -> Callable[[int], int]:
    """Batches of sequences of `tokens`; each `CANDIDATES` share a tenth of theirs as context."""
    text = _text(engine, tokens)
    context = max(1, tokens // 10)

    def one(rows: int) -> int:
        shared = [Part("c", tuple(text[i : i + context]), False) for i in range(rows // CANDIDATES + 1)]
        rest = [Part("zx", tuple(text[i + context : i + tokens])) for i in range(rows)]
        engine.score([(shared[i // CANDIDATES], rest[i]) for i in range(rows)])
        return rows * tokens

    return one


def _text(engine: Engine, tokens: int) -> Sequence[int]:
    """More ids than `tokens`, of ordinary text, so that slices of it differ."""
    ids = engine.encode("Find the remainder of the sum of the first 20 squares when it is divided by 7. ")
    return list(ids) * (2 + (tokens + 4096) // len(ids))


def _train(model: Model, tokens: int, settings: Training, seconds: float, clock: Clock) -> float:
    """Trained tokens per second of a few micro batches in one process; the difference of two runs leaves loading out."""
    from promptcot.train.common import Row, Start
    from promptcot.train.sft import sft

    micro = settings.micro_batch_size
    plain = settings.model_copy(
        update={"batch_size": micro, "epochs": 1.0, "max_tokens": tokens, "launch": Launch()}
    )
    row = Row([5 + i % 50 for i in range(tokens)], [5 + i % 50 for i in range(tokens)])

    def timed(steps: int) -> float:
        with tempfile.TemporaryDirectory() as out:
            started = clock()
            sft(Path(out), [row] * (micro * steps), Start(model_path(model.model), model.dtype, 1), plain)
            return clock() - started

    timed(1)  # imports and caches
    base, steps = timed(1), 4
    while True:
        took = timed(1 + steps) - base
        if took >= seconds / 4 or steps >= MAX_STEPS:
            return steps * micro * tokens / max(took, 1e-9)
        steps *= 4
