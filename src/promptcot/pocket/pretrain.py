"""Pretrain the pocket model: `python -m promptcot.pocket.pretrain --out DIR --tokens 12000000 --seed 1`.

A plain PyTorch loop on one thread: documents of similar length are padded into batches of about `BATCH_TOKENS`,
AdamW, short warm-up, cosine decay to a tenth. The loss covers every token. Given the same arguments, package
versions and processor, the weights are the same. Writes the model, its tokenizer, `training.json` and a model card.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptcot.ids import digest
from promptcot.pocket.card import model_card
from promptcot.pocket.corpus import CAREFUL, documents
from promptcot.pocket.tokenizer import train_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

BATCH_TOKENS = 2048
POOL_DOCUMENTS = 1024
TOKENIZER_DOCUMENTS = 6_000
PEAK_LR = 4e-3
WARMUP = 0.02
LOG_EVERY = 100


@dataclass
class Log:
    """What the training run records in training.json; `curve` holds (tokens, mean loss since the last entry)."""

    seed: int
    target_tokens: int
    parameters: int
    careful: float = CAREFUL
    peak_lr: float = PEAK_LR
    earlier: list[dict[str, Any]] = field(default_factory=list)  # the phases before, as they were logged
    tokens: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0


def build_model(vocab_size: int, seed: int) -> Qwen3ForCausalLM:
    """An untrained Qwen3 of about 1.2M parameters; the weights depend on `seed` alone."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocab_size, hidden_size=160, intermediate_size=384, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, head_dim=40, max_position_embeddings=1024,
        tie_word_embeddings=True, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, seed: int, log: Log) -> Iterator[list[list[int]]]:
    """Endless batches of token ids: similar lengths together, batches of a pool in shuffled order."""
    rng = random.Random(digest(["pocket-batches", seed]))
    stream = documents(seed, log.careful)
    while True:
        pool = list(itertools.islice(stream, POOL_DOCUMENTS))
        for document in pool:
            log.documents[document.kind] = log.documents.get(document.kind, 0) + 1
        rows = sorted(tokenizer([d.text for d in pool])["input_ids"], key=len)
        cut = _cut(rows)
        rng.shuffle(cut)
        yield from cut


def _cut(rows: list[list[int]]) -> list[list[list[int]]]:
    """Split rows sorted by length into batches of at most BATCH_TOKENS with padding."""
    cut: list[list[list[int]]] = [[]]
    for row in rows:
        if cut[-1] and (len(cut[-1]) + 1) * len(row) > BATCH_TOKENS:
            cut.append([])
        cut[-1].append(row)
    return cut


def learning_rate(progress: float, peak: float = PEAK_LR) -> float:
    """Warm-up, then cosine to a tenth of the peak; `progress` in [0, 1]."""
    if progress < WARMUP:
        return peak * progress / WARMUP
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))))


def batch_loss(model: Any, rows: list[list[int]]) -> Any:
    """Mean cross-entropy over all next tokens. Padding is on the right, so the causal mask alone is enough."""
    import torch

    width = max(map(len, rows))
    ids_B_T = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    lengths_B = torch.tensor([len(row) for row in rows])
    labels_B_T = ids_B_T.masked_fill(torch.arange(width)[None, :] >= lengths_B[:, None], -100)
    logits_B_T_V = model(input_ids=ids_B_T, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits_B_T_V[:, :-1].flatten(0, 1), labels_B_T[:, 1:].flatten())


def train(model: Any, tokenizer: PreTrainedTokenizerFast, log: Log) -> None:
    """Train in place for `log.target_tokens` tokens (padding not counted)."""
    import torch

    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98), fused=True)
    model.train()
    losses: list[float] = []
    started, cpu = time.monotonic(), time.process_time()
    for rows in batches(tokenizer, log.seed, log):
        log.tokens += sum(map(len, rows))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(min(1.0, log.tokens / log.target_tokens), log.peak_lr)
        loss = batch_loss(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        done = log.tokens >= log.target_tokens
        if len(losses) == LOG_EVERY or done:
            log.wall_s, log.cpu_s = time.monotonic() - started, time.process_time() - cpu
            log.curve.append((log.tokens, round(sum(losses) / len(losses), 4)))
            print(f"{log.tokens} tokens, loss {log.curve[-1][1]}, {log.wall_s:.0f} s", flush=True)
            losses.clear()
        if done:
            return


def save(model: Any, tokenizer: PreTrainedTokenizerFast, log: Log, out: Path) -> None:
    """Write weights, tokenizer, training.json and the model card."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "training.json").write_text(json.dumps(asdict(log), indent=1) + "\n")
    (out / "README.md").write_text(model_card(out))


def fresh(seed: int) -> tuple[Any, PreTrainedTokenizerFast]:
    """An untrained model and a tokenizer learned from the corpus."""
    texts = (d.text for d in itertools.islice(documents(seed + 1_000_000), TOKENIZER_DOCUMENTS))
    tokenizer = train_tokenizer(texts)
    return build_model(len(tokenizer), seed), tokenizer


def phases(start: Path) -> list[dict[str, Any]]:
    """The logs of the phases that made the model in `start`, oldest first."""
    log = json.loads((start / "training.json").read_text())
    return [*log.pop("earlier"), log]


def resume(start: Path) -> tuple[Any, Any]:
    """The weights and tokenizer of an earlier phase; the optimiser starts anew with its own warm-up."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32), AutoTokenizer.from_pretrained(
        start
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=12_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--careful", type=float, default=CAREFUL, help="share of the careful writer")
    parser.add_argument("--lr", type=float, default=PEAK_LR, help="peak learning rate")
    parser.add_argument("--start", type=Path, help="go on from this model and its training.json")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    model, tokenizer = resume(args.start) if args.start else fresh(args.seed)
    log = Log(
        args.seed, args.tokens, sum(p.numel() for p in model.parameters()), careful=args.careful, peak_lr=args.lr,
        earlier=phases(args.start) if args.start else [],
    )  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    train(model, tokenizer, log)
    save(model, tokenizer, log, args.out)


if __name__ == "__main__":
    main()
