"""Offline DPO over TRL (arXiv 2305.18290), as the paper's self-play uses it.

TRL's DPO takes text and tokenises it itself. The pairs arrive as rendered prompts and completions whose
boundary is a special token, so no merge crosses it; `check_boundary` verifies that for every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.settings import Preference
from promptcot.train import common


@dataclass(frozen=True)
class TextPair:
    """A rendered prompt (chat template applied) with two completions, terminators included."""

    prompt: str
    chosen: str
    rejected: str


def dpo(
    out: Path, pairs: Sequence[TextPair], model: str, dtype: str, settings: Preference, seed: int
) -> dict[str, Any]:
    """Train `model` on preference pairs and save it in `out`; the reference is `model` itself, frozen.

    Raises:
        UserError: no pairs, too many overlong, or a pair whose prompt and completion merge in tokenisation.
    """
    try:
        from datasets import Dataset
        from trl import DPOConfig, DPOTrainer
    except ImportError:
        raise MissingExtra("trl", "train") from None
    common.quiet()
    lm, tokenizer = common.load(model, dtype)
    lengths = [check_boundary(p, tokenizer) for p in pairs]
    fits = common.check_lengths([max(pair) for pair in lengths], settings, "by DPO")
    kept = [pairs[i] for i in fits]
    data = Dataset.from_list([{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in kept])
    weights = [1.0, settings.sft_weight] if settings.sft_weight else None
    args = DPOConfig(
        **common.arguments(out, len(kept), settings, seed),
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if weights else ["sigmoid"],
        loss_weights=weights,
        precompute_ref_log_probs=True,
    )
    tokens = sum(sum(lengths[i]) for i in fits)
    trainer = DPOTrainer(
        model=lm,
        args=args,
        train_dataset=data,
        processing_class=tokenizer,
    )
    common.watch(trainer, out, tokens * settings.epochs / args.max_steps)
    trainer.train()
    common.save(trainer, tokenizer, out)
    return {
        "rows": len(kept),
        "overlong": len(pairs) - len(kept),
        "steps": args.max_steps,
        "loss": common.losses(trainer),
        "margins": common.losses(trainer, "rewards/margins"),
        "usage": {"trained_tokens": round(tokens * settings.epochs)},
    }


def check_boundary(pair: TextPair, tokenizer: Any) -> tuple[int, ...]:
    """Tokens of prompt + chosen and of prompt + rejected.

    Raises:
        UserError: tokenising prompt + completion gives other ids than tokenising them apart.
    """
    prompt = tokenizer(pair.prompt, add_special_tokens=False)["input_ids"]
    lengths = []
    for text in (pair.chosen, pair.rejected):
        whole = tokenizer(pair.prompt + text, add_special_tokens=False)["input_ids"]
        if whole[: len(prompt)] != prompt:
            raise UserError(
                f"prompt and completion merge in tokenisation at {pair.prompt[-20:]!r} + {text[:20]!r}",
                expected="a prompt that ends in a token of its own",
                do="use a chat template whose assistant turn begins with a special token or a newline",
            )
        lengths.append(len(whole))
    return tuple(lengths)
