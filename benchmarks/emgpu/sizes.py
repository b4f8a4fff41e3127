"""How much of everything, and the clock that cuts it down to the time there is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Size:
    """Caps; the clock may lower those of pretraining, cold start and EM.

    Lengths, vocabulary and `*_tokens` are in tokens; `batch_tokens` counts padding, `*_rows` are sequences per
    optimiser step. learning rates: the EM's is a tenth of the cold start's, as in arXiv 2509.19894.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int = 1024
    pretrain_tokens: int = 0
    batch_tokens: int = 0
    chunk_documents: int = 0
    pool_chunks: int = 0
    tokenizer_documents: int = 0
    pocket_seeds: int = 0
    gsm8k_seeds: int = 0
    heldout: int = 0  # items of each source
    row_tokens: int = 512
    cold_rows: int = 64
    em_rows: int = 16
    em_items: int = 0
    iterations: int = 2
    draws: int = 8
    sample_tokens: int = 192
    engine_tokens: int = 2**19  # rows * (prompt + new tokens) while sampling: 16 KiB each of keys and values
    gemm: int = 8192
    pretrain_lr: float = 1e-3
    cold_lr: float = 3e-4
    em_lr: float = 3e-5


FULL = Size(
    vocabulary=4096, hidden=1024, intermediate=2560, layers=8, heads=16, kv_heads=8, head_dim=64,
    pretrain_tokens=150_000_000, batch_tokens=32_768, chunk_documents=2048, pool_chunks=8,
    tokenizer_documents=16_384, pocket_seeds=4000, gsm8k_seeds=7500, heldout=150, em_items=3000,
)  # fmt: skip
TINY = Size(
    vocabulary=512, hidden=128, intermediate=256, layers=2, heads=4, kv_heads=2, head_dim=32,
    pretrain_tokens=40_000, batch_tokens=2048, chunk_documents=128, pool_chunks=2, tokenizer_documents=256,
    pocket_seeds=120, gsm8k_seeds=40, heldout=6, row_tokens=128, cold_rows=8, em_rows=8, em_items=10, draws=4,
    sample_tokens=48, engine_tokens=16_384, gemm=512, pretrain_lr=4e-3, cold_lr=1e-2, em_lr=1e-3,
)  # fmt: skip


@dataclass
class Clock:
    """The whole time in seconds from `started`, and what was cut to stay within it."""

    total_s: float
    started: float = field(default_factory=time.monotonic)
    cuts: list[str] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)  # seconds by phase, in order

    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def left(self) -> float:
        """Seconds to the end."""
        return self.total_s - self.spent()

    def budget(self, share: float) -> float:
        """Seconds for a phase that may take `share` of the whole; never more than 90% of what is left."""
        return max(0.0, min(share * self.total_s, 0.9 * self.left()))

    def cut(self, what: str) -> None:
        """Records and prints that something was shortened or left out."""
        self.cuts.append(what)
        print(f"  CUT {what}", flush=True)

    def done(self, phase: str, since: float, said: str = "") -> None:
        """Records and prints the seconds since `since` (of `spent`) under `phase`."""
        self.phases[phase] = self.phases.get(phase, 0.0) + self.spent() - since
        print(f"[{self.spent():6.1f} s] {phase}: {self.spent() - since:.1f} s {said}", flush=True)
