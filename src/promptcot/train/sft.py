"""Supervised fine-tuning over TRL, on our own token ids: what was sampled and scored is what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.settings import Training
from promptcot.train import common, shards
from promptcot.train.common import Row, Start

APART = (
    1e-3  # logits of a row alone and behind another one: 1e-6 in float32 when apart, above 1 when it sees it
)


def sft(out: Path, rows: Sequence[Row], start: Start, settings: Training) -> dict[str, Any]:
    """Train on `rows` by maximum likelihood of the labelled tokens and save the model in `out`.

    Returns facts for the manifest: rows, steps, losses, trained tokens.

    Raises:
        UserError: no rows, too many longer than `settings.max_tokens`, or packed rows would see each other.
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
    lm, tokenizer = common.load(start.model, settings.lora)
    if settings.packing:
        check_apart(lm, kept)
        data = pack(data, settings.max_tokens)
    args = SFTConfig(
        **common.arguments(out, len(data), settings, start),
        max_length=None,
        packing=False,  # `data` is packed already, so that its rows could be counted
        padding_free=settings.packing,
    )
    shards.open_fsdp2(args)

    class Trainer(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            lengths = [len(ids) for ids in self.train_dataset["input_ids"]]
            return ByLength(lengths, settings.batch_size, args.seed)

    per_epoch = sum(len(r.input_ids) for r in kept)
    trainer = Trainer(
        model=lm,
        args=args,
        train_dataset=common.dataset(data, out),
        processing_class=tokenizer,
        peft_config=common.adapters(settings, start.model),
    )
    tokens = per_epoch * settings.epochs
    facts = common.run(trainer, tokenizer, out, settings, start, [asdict(r) for r in kept], tokens)
    return {"rows": len(kept), "sequences": len(data), "overlong": len(rows) - len(kept), **facts}


class ByLength:
    """Row indices in batches of similar length, shuffled anew in every epoch.

    Transformers' own sampler draws from the global random stream, so a training that is taken up in the middle of an
    epoch, or by another number of processes, would see some rows twice and others never.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        import torch
        from transformers.trainer_pt_utils import get_length_grouped_indices

        generator = torch.Generator().manual_seed(self.seed * 1009 + self.epoch)
        yield from get_length_grouped_indices(self.lengths, self.batch_size, generator=generator)


def pack(data: Any, max_tokens: int) -> Any:
    """Rows put behind each other into sequences of at most `max_tokens`, best fit first; none is cut or lost."""
    from trl import pack_dataset

    packed = pack_dataset(data, max_tokens, "bfd")
    assert sum(map(len, packed["input_ids"])) == sum(map(len, data["input_ids"]))
    return packed


def check_apart(lm: Any, rows: Sequence[Row]) -> None:
    """Does a packed row see only itself in this model? Asked of the model, not of the name of its attention.

    Raises:
        UserError: its logits change with the row before it.
    """
    import torch

    first, second = (list(rows[i].input_ids[:32]) for i in (0, -1))
    places = torch.tensor([[*range(len(first)), *range(len(second))]])
    training = lm.training
    lm.eval()
    with torch.no_grad():
        alone = lm(torch.tensor([second]), use_cache=False).logits[0]
        behind = lm(torch.tensor([first + second]), position_ids=places, use_cache=False).logits[0]
    lm.train(training)
    error = float((alone - behind[len(first) :]).abs().max())
    if error > APART:
        raise UserError(
            f"packed rows see each other in this model (its logits move by {error:.2g})",
            expected="an attention that keeps the rows of a sequence apart by their position ids",
            do="--set ...training.packing=false",
        )
