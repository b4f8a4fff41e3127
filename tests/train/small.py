"""A few rows and pairs for trainings of the packaged model that take a second."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.pocket import MODEL_DIR
from promptcot.settings import Preference, Training
from promptcot.train.common import Row, Start
from promptcot.train.dpo import IdPair, dpo
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


def last(out: Path) -> dict[str, Any]:
    """A training that does not end by itself."""
    (out / str(os.getpid())).touch()
    time.sleep(600)
    return {}


def refuse(out: Path) -> dict[str, Any]:
    raise UserError("no rows", do="something")
