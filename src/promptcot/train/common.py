"""What every training here shares: rows of our own token ids, length accounting, progress, TRL arguments."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.settings import Training


@dataclass(frozen=True)
class Row:
    """One supervised row: token ids, and labels with -100 where nothing is learned."""

    input_ids: list[int]
    labels: list[int]


def check_lengths(lengths: Sequence[int], settings: Training, what: str) -> list[int]:
    """Indices of the rows that fit `settings.max_tokens`; nothing is ever cut.

    Raises:
        UserError: no row at all, or the share of overlong rows exceeds `settings.max_overlong`.
    """
    fits = [i for i, n in enumerate(lengths) if n <= settings.max_tokens]
    overlong = len(lengths) - len(fits)
    if not fits:
        raise UserError(
            f"no rows to train {what} on ({overlong} overlong)",
            do="promptcot show RUN, to see where they went",
        )
    if overlong > settings.max_overlong * len(lengths):
        raise UserError(
            f"{overlong} of {len(lengths)} rows for {what} are longer than {settings.max_tokens} tokens "
            f"(longest {max(lengths)})",
            expected=f"at most a share of {settings.max_overlong}",
            do=f"--set ...training.max_tokens={max(lengths)}, or raise max_overlong to leave them out",
        )
    return fits


def steps_of(rows: int, settings: Training) -> int:
    """Optimiser steps of the whole training."""
    return max(1, math.ceil(math.ceil(rows / settings.batch_size) * settings.epochs))


def arguments(out: Path, rows: int, settings: Training, seed: int) -> dict[str, Any]:
    """The arguments TRL's trainers share. Saves nothing by itself: the caller saves the final model.

    A micro batch is never larger than the batch; accumulation makes up the rest.
    """
    import torch

    micro = min(settings.micro_batch_size, settings.batch_size)
    if settings.batch_size % micro:
        raise UserError(
            f"batch_size={settings.batch_size} is not a multiple of micro_batch_size={micro}",
            do=f"--set ...training.micro_batch_size={math.gcd(settings.batch_size, micro)}",
        )
    steps = steps_of(rows, settings)
    return {
        "output_dir": str(out / ".trainer"),
        "learning_rate": settings.lr,
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": settings.batch_size // micro,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": round(steps * settings.warmup_share),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "max_length": None,
        "gradient_checkpointing": False,
        "logging_steps": max(1, steps // 20),
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed % (1 << 31),
        "bf16": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def load(model: str, dtype: str) -> tuple[Any, Any]:
    """The model (in `dtype`) and tokenizer of a directory or Hub name.

    Raises:
        MissingExtra: torch or transformers is not installed.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    return AutoModelForCausalLM.from_pretrained(
        model, dtype=getattr(torch, dtype)
    ), AutoTokenizer.from_pretrained(model)


def watch(trainer: Any, out: Path, tokens_per_step: float) -> None:
    """Report progress to the runner's bar instead of printing logs."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress_callback(out, tokens_per_step))


def progress_callback(out: Path, tokens_per_step: float) -> Any:
    """A Trainer callback that writes `progress.json` for the runner's bar (renamed into place, never half)."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            tokens = round(state.global_step * tokens_per_step)
            text = json.dumps({"step": state.global_step, "steps": state.max_steps, "tokens": tokens})
            tmp = out / ".progress"
            tmp.write_text(text)
            tmp.rename(out / "progress.json")

    return Progress()


def quiet() -> None:
    """Keep the trainer's own logging out of the terminal; its numbers are in the returned facts."""
    import warnings

    import datasets
    from transformers.utils import logging

    warnings.filterwarnings(
        "ignore", category=FutureWarning
    )  # TRL and Transformers rename each other's options

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()


def losses(trainer: Any, key: str = "loss") -> list[float]:
    """The logged values of `key`, in order."""
    return [round(float(h[key]), 6) for h in trainer.state.log_history if key in h]


def save(trainer: Any, tokenizer: Any, out: Path) -> None:
    """Write weights, tokenizer and canary; remove the trainer's own folder."""
    import shutil

    from promptcot.lm import canary
    from promptcot.lm.transformers import TransformersEngine

    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    canary.write(out, TransformersEngine.from_model(trainer.model, tokenizer))
    shutil.rmtree(out / ".trainer", ignore_errors=True)
