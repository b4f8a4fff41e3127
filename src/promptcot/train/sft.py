"""Supervised fine-tuning over TRL, on our own token ids: what was sampled and scored is what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra
from promptcot.settings import Training
from promptcot.train import common
from promptcot.train.common import Row


def sft(
    out: Path, rows: Sequence[Row], model: str, dtype: str, settings: Training, seed: int
) -> dict[str, Any]:
    """Train `model` on `rows` by maximum likelihood of the labelled tokens and save it in `out`.

    Returns facts for the manifest: rows, steps, losses, trained tokens.

    Raises:
        UserError: no rows, or too many longer than `settings.max_tokens`.
    """
    try:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer
    except ImportError:
        raise MissingExtra("trl", "train") from None
    common.quiet()
    fits = common.check_lengths([len(r.input_ids) for r in rows], settings, "by SFT")
    kept = [rows[i] for i in fits]
    data = Dataset.from_dict({"input_ids": [r.input_ids for r in kept], "labels": [r.labels for r in kept]})
    args = SFTConfig(
        **common.arguments(out, len(kept), settings, seed),
        packing=False,
        train_sampling_strategy="group_by_length",
    )
    lm, tokenizer = common.load(model, dtype)
    per_epoch = sum(len(r.input_ids) for r in kept)
    trainer = SFTTrainer(
        model=lm,
        args=args,
        train_dataset=data,
        processing_class=tokenizer,
    )
    common.watch(trainer, out, per_epoch * settings.epochs / args.max_steps)
    trainer.train()
    common.save(trainer, tokenizer, out)
    return {
        "rows": len(kept),
        "overlong": len(rows) - len(kept),
        "steps": args.max_steps,
        "loss": common.losses(trainer),
        "usage": {"trained_tokens": round(per_epoch * settings.epochs)},
    }
