"""A decoder, batches, and one plain AdamW loop for pretraining and fine-tuning.

Weights are float32 and, on a GPU, arithmetic is autocast to bfloat16. Rows of similar length share a batch, padded on
the right, where a causal model's real tokens cannot see it; so no mask is needed and no row sees another's tokens.
Dimensions: B rows, T padded length.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from emgpu.device import Meter, causal, wait
from emgpu.sizes import Clock, Size
from promptcot.domains.sequences import labelled
from promptcot.lm.base import Part
from promptcot.pocket.pretrain import learning_rate

WARM_STEPS, PROBE_STEPS, READ_EVERY = 3, 8, 10
WIDTH_STEP = 8  # padded lengths are multiples of it: few shapes, little padding
OVERRUN = 1.2  # of its budget, and a training is stopped where it stands
NO_MASK = {"full_attention": None}  # Qwen3's own form of "causal": spares a look for packed rows, which waits


@dataclass(frozen=True)
class Batch:
    """ids int64 [B, T]; labels likewise, -100 where nothing is learned; lengths of the rows without padding."""

    ids_BT: NDArray[np.int64]
    labels_BT: NDArray[np.int64]
    lengths: list[int]


@dataclass
class Stint:
    """One training: what was planned and done; `curve` holds (tokens, mean loss in nats since the last entry)."""

    name: str
    planned_tokens: int
    tokens: int = 0
    padded_tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0  # for batches
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def lowered(self) -> bool:
        """Whether the last loss is below the first."""
        return len(self.curve) > 1 and self.curve[-1][1] < self.curve[0][1]


def build(size: Size, vocabulary: int, seed: int) -> Any:
    """An untrained Qwen3; the weights depend on the arguments alone."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=size.hidden, intermediate_size=size.intermediate,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        head_dim=size.head_dim, max_position_embeddings=size.context, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(config)


def batch_of(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Batch:
    """Rows of (ids, labels), padded on the right."""
    lengths = [len(ids) for ids, _ in rows]
    width = -(-max(lengths) // WIDTH_STEP) * WIDTH_STEP
    ids_BT: NDArray[np.int64] = np.zeros((len(rows), width), dtype=np.int64)
    labels_BT: NDArray[np.int64] = np.full((len(rows), width), -100, dtype=np.int64)
    for i, (ids, labels) in enumerate(rows):
        ids_BT[i, : len(ids)], labels_BT[i, : len(ids)] = ids, labels
    return Batch(ids_BT, labels_BT, lengths)


def pretrain_batches(chunks: Iterator[list[Any]], size: Size, seed: int) -> Iterator[Batch]:
    """Batches of at most `size.batch_tokens` with padding: `pool_chunks` chunks sorted by length, cut, shuffled."""
    rng = random.Random(seed)
    while True:
        pool = [row for _ in range(size.pool_chunks) for row in next(chunks) if 1 < len(row) <= size.context]
        cut: list[list[Any]] = [[]]
        for row in sorted(pool, key=len):
            width = -(-len(row) // WIDTH_STEP) * WIDTH_STEP
            if cut[-1] and (len(cut[-1]) + 1) * width > size.batch_tokens:
                cut.append([])
            cut[-1].append(row)
        rng.shuffle(cut)
        for rows in cut:
            yield batch_of([(row, row) for row in rows])


def tuning_batches(rows: Sequence[Sequence[Part]], batch_rows: int, seed: int) -> Iterator[Batch]:
    """Epochs without end over sequences of parts, rows of similar length together, batches shuffled."""
    rng = random.Random(seed)
    pairs = [labelled(parts) for parts in rows]
    while True:
        order = rng.sample(range(len(pairs)), len(pairs))
        order.sort(key=lambda i: len(pairs[i][0]) // WIDTH_STEP)  # stable: equals stay shuffled
        cut = [order[i : i + batch_rows] for i in range(0, len(order), batch_rows)]
        rng.shuffle(cut)
        for batch in cut:
            yield batch_of([pairs[i] for i in batch])


def tune(
    name: str, model: Any, rows: Sequence[Sequence[Part]], lr: float, epochs: int, batch_rows: int,
    budget_s: float, meter: Meter, clock: Clock, seed: int,
) -> tuple[Any, Stint]:  # fmt: skip
    """A copy of `model` fine-tuned on sequences of parts; the copy alone where there are none."""
    started = clock.spent()
    model = copy.deepcopy(model)
    planned = epochs * sum(len(p.ids) for parts in rows for p in parts)
    if not rows:
        clock.cut(f"{name}: nothing to train on")
        return model, Stint(name, 0)
    stint = fit(name, model, tuning_batches(rows, batch_rows, seed), lr, planned, budget_s, 0.0, meter, clock)
    clock.done(f"train {name[0]}", started, f"({name}, {len(rows)} rows, loss {_losses(stint)})")
    return model, stint


def _losses(stint: Stint) -> str:
    return " -> ".join(f"{stint.curve[i][1]:.3f}" for i in (0, -1)) if stint.curve else "unknown"


def fit(
    name: str, model: Any, batches: Iterable[Batch], lr: float, planned: int, budget_s: float, decay: float,
    meter: Meter, clock: Clock,
) -> Stint:  # fmt: skip
    """Trains in place for `planned` real tokens, or as many as `budget_s` seconds hold at the rate of the first steps.

    `meter` gets the work after the first `WARM_STEPS` steps (all of it, if there are no more).
    """
    device = model.device
    step_of = _stepper(model, lr, decay)
    stint, target, losses = Stint(name, planned), planned, list[torch.Tensor]()
    began = time.perf_counter()
    marks = [(began, 0, 0)]  # (time, tokens, positions attended), at the start and after the warm-up
    attended = 0
    model.train()
    for batch in _timed(batches, stint):
        stint.tokens += sum(batch.lengths)
        attended += causal(batch.lengths)
        stint.padded_tokens += batch.ids_BT.size
        stint.steps += 1
        losses.append(step_of(batch, learning_rate(min(1.0, stint.tokens / target), lr)))
        last = stint.tokens >= target
        if stint.steps == WARM_STEPS and not last:
            wait(device)
            marks.append((time.perf_counter(), stint.tokens, attended))
        elif stint.steps == WARM_STEPS + PROBE_STEPS:
            wait(device)
            target = _affordable(stint, marks[-1], target, budget_s - (time.perf_counter() - began))
        if stint.steps % READ_EVERY == 0 or last:
            stint.curve.append((stint.tokens, round(float(torch.stack(losses).mean()), 4)))
            losses.clear()
            if last or time.perf_counter() - began > OVERRUN * budget_s:
                break
    wait(device)
    ended = time.perf_counter()
    stint.seconds = ended - began
    meter.add(stint.tokens - marks[-1][1], attended - marks[-1][2], ended - marks[-1][0])
    if stint.tokens < planned:
        clock.cut(f"{name}: {stint.tokens} of {planned} tokens")
    return stint


def _affordable(stint: Stint, mark: tuple[float, int, int], target: int, left_s: float) -> int:
    """The tokens to train on in all, of at most `target`, at the rate since `mark`."""
    rate = (stint.tokens - mark[1]) / (time.perf_counter() - mark[0])
    return min(target, stint.tokens + int(rate * max(0.0, left_s)))


def _timed(batches: Iterable[Batch], stint: Stint) -> Iterator[Batch]:
    """The batches, with the time spent waiting for them added to the stint."""
    stream = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(stream)
        stint.waited_s += time.perf_counter() - start
        yield batch


def _stepper(model: Any, lr: float, decay: float) -> Callable[[Batch, float], torch.Tensor]:
    """One optimiser step on a batch at a learning rate; the mean loss over its labels, still on the device."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=lr, betas=(0.9, 0.95), fused=True,
    )  # fmt: skip
    device, cuda = model.device, model.device.type == "cuda"

    def put(array: NDArray[np.int64]) -> torch.Tensor:
        host = torch.from_numpy(array)
        return host.pin_memory().to(device, non_blocking=True) if cuda else host

    def step(batch: Batch, rate: float) -> torch.Tensor:
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids_BT, labels_BT = put(batch.ids_BT), put(batch.labels_BT)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            logits_BTV = model(input_ids=ids_BT, attention_mask=NO_MASK, use_cache=False).logits
            loss = cross_entropy(logits_BTV[:, :-1].flatten(0, 1).float(), labels_BT[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step
