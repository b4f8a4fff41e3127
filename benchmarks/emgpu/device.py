"""What the device could do and what was done with it: peaks, model FLOP, memory, versions."""

from __future__ import annotations

import platform
import re
import resource
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

# Dense bf16 TFLOP/s from the makers' data sheets; the first name found in the device's own wins.
PEAKS_BF16 = {
    "GB200": 2500.0, "B200": 2250.0, "H200": 989.0, "H100 PCIe": 756.0, "H100 NVL": 835.0, "GH200": 989.0,
    "H100": 989.0, "H800": 989.0, "A100": 312.0, "A800": 312.0, "L40S": 362.0, "L40": 181.0, "L4": 121.0,
    "A10G": 70.0, "A10": 125.0, "A40": 149.7, "A30": 165.0, "RTX 4090": 165.2, "RTX 3090": 71.0,
}  # fmt: skip


def known_peak(name: str) -> float | None:
    """Dense bf16 FLOP/s of the device called `name`, or None."""
    return next((1e12 * peak for key, peak in PEAKS_BF16.items() if re.search(rf"\b{key}\b", name)), None)


def gemm_peak(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """FLOP/s of the fastest of some size^3 matrix products in `dtype`."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(8):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class Meter:
    """Work of one kind: real tokens (no padding), the positions they attended to, seconds.

    Model FLOP of a forward pass: 2 per parameter and token (the embedding counts once, as the tied output layer),
    and 4 * layers * heads * head_dim per token and attended position (QK^T and AV); a backward pass takes twice a
    forward one. Recomputation, padding and elementwise work do not count (the MFU convention, arXiv 2204.02311).
    """

    name: str
    passes: int = 1  # 3 for training
    tokens: int = 0
    attended: int = 0
    seconds: float = 0.0

    def add(self, tokens: int, attended: int, seconds: float) -> None:
        """Adds work."""
        self.tokens += tokens
        self.attended += attended
        self.seconds += seconds

    @property
    def rate(self) -> float:
        """Tokens per second; 0 before any work."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def facts(self, config: Any, parameters: int, peak: float, measured_peak: float) -> dict[str, Any]:
        """For the report. Shares are of `peak` and of the fastest matrix product seen, both in FLOP/s."""
        width = config.num_hidden_layers * config.num_attention_heads * config.head_dim
        flop = self.passes * (2 * parameters * self.tokens + 4 * width * self.attended)
        speed = flop / self.seconds if self.seconds else 0.0
        return {
            "tokens": self.tokens, "seconds": round(self.seconds, 3), "tokens_per_s": round(self.rate, 1),
            "model_flop_per_s": speed, "share_of_peak": speed / peak,
            "share_of_measured_gemm": speed / measured_peak,
        }  # fmt: skip


def causal(lengths: Iterable[int]) -> int:
    """Positions attended in whole sequences of these lengths: token t sees t of them, itself included."""
    return sum(n * (n + 1) // 2 for n in lengths)


def memory_gib(device: torch.device) -> float:
    """Most memory held so far: of the device's allocator, on a CPU of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**30
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (2**30 if sys.platform == "darwin" else 2**20)


def describe(device: torch.device) -> dict[str, Any]:
    """Name and memory of the device, versions of what ran on it."""
    facts: dict[str, Any] = {"device": device.type, "name": platform.processor() or platform.machine()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        facts |= {"name": properties.name, "device_memory_gib": round(properties.total_memory / 2**30, 1)}
    return {**facts, "python": platform.python_version(), "cuda": torch.version.cuda, **_packages()}


def _packages() -> dict[str, str]:
    found = {}
    for name in ("torch", "transformers", "tokenizers", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
