"""Offline DPO over TRL (arXiv 2305.18290), as the paper's self-play uses it.

    loss = -log sigmoid(beta * [log p(y+|x)/r(y+|x) - log p(y-|x)/r(y-|x)]),   r = the model at the start, frozen

TRL tokenises prompt + answer as one text, where tokens may merge over the boundary. Here prompt and answers are token
ids already, exactly those a sampler would have read and written, and TRL's own preparation is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra
from promptcot.settings import Preference
from promptcot.train import common, shards
from promptcot.train.common import Start


@dataclass(frozen=True)
class IdPair:
    """A prompt up to where the assistant begins, and two answers, terminators included (unless cut off)."""

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, int]:
        """Length of prompt + chosen and of prompt + rejected."""
        return len(self.prompt) + len(self.chosen), len(self.prompt) + len(self.rejected)


def dpo(out: Path, pairs: Sequence[IdPair], start: Start, settings: Preference) -> dict[str, Any]:
    """Train on preference pairs and save the model in `out`; the reference is the model at the start, frozen.

    Raises:
        UserError: no pairs, or too many overlong.
    """
    try:
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer
    except ImportError:
        raise MissingExtra("trl", "train") from None
    common.quiet()
    fits = common.check_lengths([max(p.tokens) for p in pairs], settings, "by DPO")
    kept = [pairs[i] for i in fits]
    columns = {f"{name}_ids": [getattr(p, name) for p in kept] for name in ("prompt", "chosen", "rejected")}
    lm, tokenizer = common.load(start.model)
    weights = [1.0, settings.sft_weight] if settings.sft_weight else None
    args = DPOConfig(
        **common.arguments(out, len(kept), settings, start),
        max_length=None,
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if weights else ["sigmoid"],
        loss_weights=weights,
        precompute_ref_log_probs=True,
    )
    shards.open_fsdp2(args)

    class Trainer(DPOTrainer):  # type: ignore[misc]
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    trainer = Trainer(
        model=lm,
        args=args,
        train_dataset=common.dataset(Dataset.from_dict(columns), out),
        processing_class=tokenizer,
        peft_config=common.adapters(settings, start.model),
    )
    tokens = sum(sum(p.tokens) for p in kept) * settings.epochs
    facts = common.run(trainer, tokenizer, out, settings, start, [asdict(p) for p in kept], tokens)
    margins = common.losses(trainer, "rewards/margins")
    return {"rows": len(kept), "overlong": len(pairs) - len(kept), "margins": margins, **facts}
