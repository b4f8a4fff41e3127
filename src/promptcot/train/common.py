"""What every training here shares: rows of our own token ids, length accounting, TRL arguments, the run, the save."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot import tracking
from promptcot.errors import MissingExtra, UserError
from promptcot.lm.adapters import FILE as ADAPTER_FILE
from promptcot.lm.adapters import Adapter, attach
from promptcot.settings import LoRA, Training
from promptcot.train import checkpoints, shards
from promptcot.train.tokens import check_end

TRAINER = ".trainer"  # what the trainer keeps while it runs: checkpoints, the data of a launched training


@dataclass(frozen=True)
class Row:
    """One supervised row: token ids, and labels with -100 where nothing is learned."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class Start:
    """What is trained: a directory or Hub name, the dtype it is loaded and saved in, and the seed of the training."""

    model: str
    dtype: str
    seed: int


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


def arguments(
    out: Path, rows: int, settings: Training, start: Start, rows_per_batch: int = 0
) -> dict[str, Any]:
    """The arguments TRL's trainers share. Saves nothing by itself: `run` saves the final model.

    A micro batch is never larger than a process's share of the batch; accumulation makes up the rest.
    `rows_per_batch` is what the trainer counts as a batch where that is not `settings.batch_size`.
    """
    import torch

    share = (rows_per_batch or settings.batch_size) // shards.world()
    micro = min(settings.micro_batch_size, share)
    if share % micro:
        raise UserError(
            f"a batch of {share} rows per process is not a multiple of micro_batch_size={micro}",
            do=f"--set ...training.micro_batch_size={math.gcd(share, micro)}",
        )
    steps = steps_of(rows, settings)
    return {
        "output_dir": str(out / TRAINER),
        "learning_rate": settings.lr,
        "max_steps": steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": share // micro,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": round(steps * settings.warmup_share),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": settings.recompute,
        "logging_steps": max(1, steps // 20),
        "disable_tqdm": True,
        "seed": start.seed % (1 << 31),
        "use_cpu": not torch.cuda.is_available(),
        "bf16": start.dtype == "bfloat16",
        "dataloader_pin_memory": torch.cuda.is_available(),
        **tracking.arguments(out, settings.report_to),
        **checkpoints.arguments(settings),
        **shards.arguments(settings.launch),
    }


def load(model: str, lora: LoRA | None = None) -> tuple[Any, Any]:
    """The model in float32 (a bfloat16 training computes in bfloat16 and keeps float32 weights: at the learning
    rates used here most updates are smaller than bfloat16 can add) and the tokenizer of a directory or Hub name.

    An adapter is merged into its base, unless `lora` says to go on with it: then it comes trainable, on its base.

    Raises:
        MissingExtra: torch or transformers is not installed.
        UserError: nothing loadable is there, the tokenizer has no end token, or the adapter to go on with has another rank.
    """
    try:
        from transformers import AutoTokenizer

        from promptcot.lm import transformers
    except ImportError:
        raise MissingExtra("transformers", "train") from None
    if goes_on(model, lora):
        lm, tokenizer = _adapter(model, lora), AutoTokenizer.from_pretrained(model)
    else:
        lm, tokenizer = transformers.load(model, "float32", "cpu")
    check_end(tokenizer, model, lm.get_input_embeddings().num_embeddings)
    return lm, tokenizer


def _adapter(model: str, lora: LoRA | None) -> Any:
    """The adapter in `model`, trainable, on its base."""
    from promptcot.lm import transformers

    adapter = Adapter.of(model)
    assert adapter is not None
    assert lora is not None
    if lora.rank != adapter.rank:
        raise UserError(
            f"the adapter in '{model}' has rank {adapter.rank}, and its training asks for {lora.rank}",
            expected="the same rank in every training of a model that keeps its adapter (lora.merge: false)",
        )
    base, _ = transformers.load(adapter.base, "float32", "cpu")
    return attach(base, adapter, trainable=True)


def goes_on(model: str, lora: LoRA | None) -> bool:
    """Whether a training continues the adapter that `model` is, rather than begin a new one."""
    return lora is not None and not lora.merge and Adapter.of(model) is not None


def adapters(settings: Training, start: str) -> Any:
    """PEFT's configuration of `settings.lora`; None where all weights are trained, or the adapter that `start` is.

    Raises:
        MissingExtra: peft is not installed.
    """
    lora = settings.lora
    if lora is None or goes_on(start, lora):
        return None
    try:
        from peft import LoraConfig
    except ImportError:
        raise MissingExtra("peft", "lora") from None
    return LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, bias="none", task_type="CAUSAL_LM",
        target_modules=lora.targets or "all-linear",
    )  # fmt: skip


def run(
    trainer: Any, tokenizer: Any, out: Path, settings: Training, start: Start, data: object, tokens: float
) -> dict[str, Any]:
    """Train, from the last checkpoint of the same training if there is one, and write weights and tokenizer.

    `data` is what the training is a function of besides settings and start; `tokens` are those of all steps.
    Returns facts for the manifest: steps, losses, trained tokens.
    """
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    steps = trainer.args.max_steps
    trainer.add_callback(progress_callback(out, tokens / steps))
    trainer.add_callback(shards.check_callback(trainer, settings.launch))
    trainer.add_callback(checkpoints.epoch_callback())
    trainer.add_callback(checkpoints.mark_callback())
    trainer.train(resume_from_checkpoint=checkpoints.last(out / TRAINER, [data, settings, start]))
    tracking.finish(settings.report_to)
    save(trainer, tokenizer, out, settings, start)
    return {"steps": steps, "loss": losses(trainer), "usage": {"trained_tokens": round(tokens)}}


def progress_callback(out: Path, tokens_per_step: float) -> Any:
    """A Trainer callback that writes `progress.json` for the runner's bar (renamed into place, never half)."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.on_step_end(args, state, control)  # what it is taken up at

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if not state.is_world_process_zero:
                return
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
    """The logged values of `key`, in order; those that are not a number (nothing was scored) are left out."""
    values = [float(h[key]) for h in trainer.state.log_history if h.get(key) is not None]
    return [round(v, 6) for v in values if not math.isnan(v)]


def save(trainer: Any, tokenizer: Any, out: Path, settings: Training, start: Start) -> None:
    """Write weights (in the dtype of `start`) or the adapter, tokenizer and canary; remove the trainer's own folder."""
    import shutil

    import torch

    from promptcot.lm import canary
    from promptcot.lm.transformers import TransformersEngine

    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # every process takes part
    if shards.rank() == 0:
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        dtype = getattr(torch, start.dtype)
        apart = settings.lora is not None and not settings.lora.merge
        if settings.lora is not None:
            model, state = adapted(start.model, settings, state), None
            if not apart:
                model = model.merge_and_unload()
        if start.dtype != "float32" and not apart:
            state = {k: v.to(dtype) for k, v in (state or model.state_dict()).items()}
            model.config.dtype = dtype
        model.save_pretrained(out, state_dict=state)
        if apart:
            _put_in_order(out / ADAPTER_FILE)
        tokenizer.save_pretrained(out)
    shards.barrier()
    if shards.rank() == 0:
        canary.write(out, TransformersEngine(str(out), start.dtype, "cpu"))
        shutil.rmtree(out / TRAINER, ignore_errors=True)


def _put_in_order(config: Path) -> None:
    """Sort what PEFT writes in the random order of a set: equal trainings are equal files."""
    found = json.loads(config.read_text())
    if isinstance(found["target_modules"], list):
        found["target_modules"].sort()
    config.write_text(json.dumps(found, indent=2, sort_keys=True))


def adapted(model: str, settings: Training, state: dict[str, Any]) -> Any:
    """The model at the start with the trained adapter on it."""
    from peft import get_peft_model

    lm, config = load(model, settings.lora)[0], adapters(settings, model)
    made = lm if config is None else get_peft_model(lm, config)
    made.load_state_dict(state)
    return made


def dataset(rows: Any, out: Path) -> Any:
    """`rows` on disk below `out`: every process finds them there, and the files that TRL and datasets keep beside a
    dataset go with the training, not into the system's temporary directory."""
    from accelerate import PartialState
    from datasets import load_from_disk

    path = out / TRAINER / "data"
    with PartialState().main_process_first():
        if shards.rank() == 0:
            rows.save_to_disk(str(path))
    return load_from_disk(str(path))
