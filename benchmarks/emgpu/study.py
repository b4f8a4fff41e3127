"""From nothing to the four curves: data, pretraining, cold start and EM, within the clock."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from emgpu import data
from emgpu.arms import ARMS, Study
from emgpu.data import Example, Gsm8k, Workers
from emgpu.device import Meter, describe, gemm_peak, known_peak, memory_gib
from emgpu.lab import Lab
from emgpu.sizes import Clock, Size
from emgpu.training import build, fit, pretrain_batches
from promptcot.domains.sequences import p_parts, q_parts
from promptcot.pocket.tokenizer import train_tokenizer

PRETRAIN_SHARE = 0.42  # of the whole time
DECAY = 0.1
HELDOUT_CHUNK = 1_000_000  # chunks from here on are the tokenizer's


@dataclass(frozen=True)
class Options:
    """What the command line decides; see `em_gpu.py --help`."""

    size: Size
    minutes: float
    started: float  # of `time.monotonic`
    gsm8k: str
    device: str
    seed: int
    workers: int
    select: str
    draw: str


def run(options: Options) -> dict[str, Any]:
    """Runs everything and returns the report as JSON-able values."""
    clock = Clock(60 * options.minutes, options.started)
    workers = Workers(options.workers)  # before anything touches the device
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _run(options, clock, workers, Path(folder))
    finally:
        workers.close()


def _run(options: Options, clock: Clock, workers: Workers, folder: Path) -> dict[str, Any]:
    size, seed = options.size, options.seed
    gsm8k = Gsm8k(options.gsm8k, size.heldout)
    train = workers.start(data.pocket_rows, seed, "train", size.pocket_seeds, data.PER_SEED)
    heldout = workers.start(data.pocket_rows, seed, "heldout", size.heldout, 1)
    tokenizer = _tokenizer(workers, size, seed, gsm8k, folder)
    clock.done("tokenizer", 0.0, f"({len(tokenizer)} tokens)")

    device = torch.device(options.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.set_float32_matmul_precision("high")
    measured = gemm_peak(device, dtype, size.gemm)
    base = build(size, len(tokenizer), seed).to(device)
    parameters = sum(p.numel() for p in base.parameters())
    print(f"  {parameters / 1e6:.1f}M parameters on {describe(device)['name']}", flush=True)

    meters = {"pretraining": Meter("pretraining", passes=3), "fine-tuning": Meter("fine-tuning", passes=3)}
    started = clock.spent()
    chunks: Iterator[list[Any]] = workers.stream(
        data.token_rows, seed, size.chunk_documents, gsm8k, str(folder / "tokenizer.json")
    )
    pretraining = fit(
        "pretrain", base, pretrain_batches(chunks, size, seed), size.pretrain_lr, size.pretrain_tokens,
        clock.budget(PRETRAIN_SHARE), DECAY, meters["pretraining"], clock,
    )  # fmt: skip
    clock.done("pretrain", started, f"({pretraining.tokens} tokens, loss {pretraining.curve[-1][1]:.3f})")

    lab = Lab(tokenizer, size, dtype, seed)
    study = Study(
        lab, size, clock, meters["fine-tuning"], options.select, options.draw, seed,
        *_triples(lab, size, clock, train, heldout, gsm8k),
    )  # fmt: skip
    study.run(base)
    meters |= {"sampling": lab.sampling, "scoring": lab.scoring}
    peak = (known_peak(describe(device)["name"]) if device.type == "cuda" else None) or measured
    sources = [x.source for x in study.heldout]
    return {
        **describe(device), "seed": seed, "dtype": str(dtype).removeprefix("torch."), "parameters": parameters,
        "model": {k: getattr(size, k) for k in ("layers", "hidden", "intermediate", "heads", "kv_heads", "head_dim")},
        "peak_flop_per_s": peak, "peak_is": "data sheet" if peak != measured else "measured",
        "gemm_flop_per_s": measured, "memory_gib": memory_gib(device), "minutes": options.minutes,
        "spent_s": clock.spent(), "cuts": clock.cuts, "phases": clock.phases, "select": options.select,
        "draw": options.draw, "draws": size.draws, "em_items": len(study.items), "train_triples": len(study.train),
        "heldout_items": {s: sources.count(s) for s in sorted(set(sources))},
        "rates": {k: m.facts(base.config, parameters, peak, measured) for k, m in meters.items()},
        "pretraining": {**asdict(pretraining), "lowered": pretraining.lowered},
        "trainings": [{**asdict(s), "lowered": s.lowered} for s in study.stints],
        "estep": study.estep, "agreement": study.agreement,
        "arms": {
            arm: [p.facts(study.points[arm][0], sources, seed) for p in study.points[arm]] for arm in ARMS
        },
    }  # fmt: skip


def _tokenizer(workers: Workers, size: Size, seed: int, gsm8k: Gsm8k, folder: Path) -> Any:
    """A byte-level BPE with the package's markers, learned from documents that pretraining does not read again."""
    parts = max(1, min(workers.count, 16))
    count = size.tokenizer_documents // parts
    pending = [workers.start(data.texts, HELDOUT_CHUNK + n, seed, count, gsm8k) for n in range(parts)]
    tokenizer = train_tokenizer((text for answer in pending for text in answer()), size.vocabulary)
    tokenizer.model_max_length = size.context
    tokenizer.save_pretrained(folder)
    return tokenizer


def _triples(
    lab: Lab, size: Size, clock: Clock, train: Callable[[], Any], heldout: Callable[[], Any], gsm8k: Gsm8k
) -> tuple[list[Example], list[Example]]:
    """(training, held-out) triples of all sources whose sequences are at most `row_tokens` long."""
    rows, held = data.gsm8k_examples(gsm8k)
    sides = {
        "training": [data.example(*x) for x in train()] + rows[: size.gsm8k_seeds],
        "held-out": [data.example(*x) for x in heldout()] + held,
    }
    kept = {}
    for name, examples in sides.items():
        kept[name] = [x for x in examples if _length(lab, x) <= size.row_tokens]
        if len(kept[name]) < len(examples):
            clock.cut(
                f"{name}: {len(examples) - len(kept[name])} triples are longer than {size.row_tokens} tokens"
            )
    return kept["training"], kept["held-out"]


def _length(lab: Lab, x: Example) -> int:
    """Tokens of the longer of the two sequences of a triple."""
    z = lab.encode(x.rationale)
    return max(sum(len(p.ids) for p in f(x.item, z, lab.encode)) for f in (p_parts, q_parts))
