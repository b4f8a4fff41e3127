"""A few rows and pairs for trainings of the packaged model that take a second."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.lm.base import SamplingParams
from promptcot.pocket import MODEL_DIR
from promptcot.settings import GRPO, Preference, Training
from promptcot.train import common
from promptcot.train.common import Row, Start
from promptcot.train.dpo import IdPair, dpo
from promptcot.train.grpo import Task, grpo
from promptcot.train.sft import sft
from promptcot.train.tokens import Tokens

BASE = {
    "lr": 1e-3,
    "epochs": 2,
    "batch_size": 8,
    "micro_batch_size": 4,
    "schedule": "constant",
    "warmup_share": 0,
}
START = Start(str(MODEL_DIR), "float32", 1)


@cache
def tokens() -> Tokens:
    return Tokens(START.model)


def rows(n: int = 24) -> list[Row]:
    """Short dialogues of different lengths."""
    made = []
    for i in range(n):
        prompt = tokens().encode(f"<|user|>Say {i % 7}.<|assistant|>")
        answer = tokens().encode(f"{i % 7} it is{' so' * (i % 5)}.<|end|>")
        made.append(Row([*prompt, *answer], [-100] * len(prompt) + list(answer)))
    return made


def id_pairs(n: int) -> list[IdPair]:
    """Saying the number is preferred to saying no."""
    encode = tokens().encode
    return [
        IdPair(encode(f"<|user|>Say {i % 5}.<|assistant|>"), encode(f"{i % 5}<|end|>"), encode("no<|end|>"))
        for i in range(n)
    ]


def both(out: Path) -> dict[str, Any]:
    """SFT under DDP, then DPO under FSDP2, in the same two processes (which import this module)."""
    from accelerate.state import AcceleratorState

    def two(sharding: str) -> dict[str, Any]:
        return {**BASE, "launch": {"processes": 2, "sharding": sharding}}

    copied = sft(out / "ddp", rows(), START, Training.model_validate(two("ddp")))
    AcceleratorState._reset_state()
    sharded = dpo(out / "fsdp2", id_pairs(16), START, Preference.model_validate(two("fsdp2")))
    return {"ddp": copied["loss"], "fsdp2": sharded["loss"]}


def longer_is_better(task: int, text: str, finish: str) -> float:
    return float(len(text) > 12 + task)


def attempts(out: Path) -> dict[str, Any]:
    """GRPO under DDP, then under FSDP2, in the same two processes."""
    from accelerate.state import AcceleratorState

    tasks = [Task((("user", f"What is {i} + 3?"),), 8) for i in range(4)]
    found = {}
    for sharding in ("ddp", "fsdp2"):
        AcceleratorState._reset_state()
        settings = Preference.model_validate(
            {**BASE, "batch_size": 2, "launch": {"processes": 2, "sharding": sharding}}
        )
        found[sharding] = grpo(
            out / sharding,
            tasks,
            longer_is_better,
            SamplingParams(max_tokens=8),
            START,
            settings,
            GRPO(group=4),
        )
    return found


class Stopped(Exception):
    """A training that `stops` has cut."""


def stops(step: int) -> Any:
    """In place of `common.progress_callback`: raise at the end of this step, before its checkpoint (0: never)."""
    from transformers import TrainerCallback

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == step:
                raise Stopped

    return lambda *_: Stop()


def broken(out: Path) -> dict[str, Any]:
    """The losses of an SFT in one piece, and of one that was cut in the middle of its second epoch."""
    from accelerate.state import AcceleratorState

    settings = Training.model_validate(
        {**BASE, "checkpoint_steps": 1, "launch": {"processes": 2, "sharding": "ddp"}}
    )
    progress = common.progress_callback
    try:
        setattr(common, "progress_callback", stops(5))  # noqa: B010
        with suppress(Stopped):
            sft(out / "cut", rows(), START, settings)
        setattr(common, "progress_callback", stops(0))  # noqa: B010
        found = {}
        for kind, name in (("again", "cut"), ("whole", "whole")):
            AcceleratorState._reset_state()
            found[kind] = sft(out / name, rows(), START, settings)["loss"]
    finally:
        setattr(common, "progress_callback", progress)  # noqa: B010
    return found


def last(out: Path) -> dict[str, Any]:
    """A training that does not end by itself."""
    (out / str(os.getpid())).touch()
    time.sleep(600)
    return {}


def dies(out: Path) -> dict[str, Any]:
    print("no room for the gradients", flush=True)
    os._exit(7)


def refuse(out: Path) -> dict[str, Any]:
    raise UserError("no rows", do="something")
