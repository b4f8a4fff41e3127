"""What bounds the E-step: rates of this machine, and where our CPU time goes, by kind of operation.

GFLOP/s count the products with weights (multiplications and additions); GB/s count what attention reads of keys and
values. The profiler slows small operations down and reads the clock: take its shares from a quiet machine, as rough ones.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from promptcot.lm.base import SamplingParams
from promptcot.lm.decode import Job, Rule, draw
from promptcot.lm.stopping import Stops

ROWS = (4, 64, 256, 2048)
STEPS = 20
KINDS = {
    "products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("aten::_scaled_dot_product_flash_attention_for_cpu",),
    "moving": ("aten::copy_", "aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::cat", "aten::fill_",
               "aten::zero_", "aten::index_select"),
}  # fmt: skip


def best_s(work: Callable[[], Any], repeats: int = 5) -> float:
    """Least CPU seconds of a call, after a first one."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def product_gflops(shapes: list[tuple[int, int, int]]) -> float:
    """GFLOP/s of X [m, k] times W^T [k, n], over all (m, k, n) in turn, repeated to about 0.2 GFLOP."""
    pairs = [(torch.randn(m, k), torch.randn(n, k)) for m, k, n in shapes]
    flops = sum(2 * m * k * n for m, k, n in shapes)
    times = max(1, int(2e8 / flops))

    def work() -> None:
        for _ in range(times):
            for x, w in pairs:
                torch.nn.functional.linear(x, w)

    return times * flops / best_s(work) / 1e9


def print_machine(model: Any) -> float:
    """Rates of this machine on one thread; returns the GFLOP/s of a large product."""
    weights = [m.weight.shape for m in model.modules() if isinstance(m, torch.nn.Linear)]
    large = product_gflops([(1024, 1024, 1024)])
    rates = ", ".join(
        f"{rows} rows {product_gflops([(rows, k, n) for n, k in weights]):.0f}" for rows in ROWS
    )
    data = torch.randn(2**25)  # 128 MiB: more than the caches hold
    print(f"\nthis machine, GFLOP/s: large products {large:.0f}; the model's layers at {rates}")
    print(f"memory read: {data.numel() * 4 / best_s(data.sum) / 1e9:.1f} GB/s")
    return large


def print_bounds(q: Any, p: Any, works: dict[str, Callable[[], Any]]) -> None:
    """For every piece of work: rates against the machine's, and the share of each kind of operation."""
    peak = print_machine(q)
    step_s = smallest_step_s(q)
    for name, work in works.items():
        seconds = best_s(work, 2)
        seen = profiled([q, p], work)
        rate = seen.flops / seconds / 1e9
        shares = ", ".join(f"{kind} {100 * share:.0f}%" for kind, share in seen.shares.items())
        print(
            f"{name}: {seconds:.2f} CPU s, {rate:.0f} GFLOP/s ({100 * rate / peak:.0f}% of large products), "
            f"{seen.passes} forward passes\n  {shares}"
        )
        if attention_s := seen.shares["attention"] * seconds:
            print(f"  attention reads {seen.kv_bytes / attention_s / 1e9:.1f} GB/s of keys and values")
        print(
            f"  a decode step of 4 rows, nearly all of it Python and dispatch, takes {1e3 * step_s:.1f} ms; "
            f"for every pass: {100 * seen.passes * step_s / seconds:.0f}%"
        )


@dataclass(frozen=True)
class Profile:
    """Forward passes; shares of the time by kind; FLOP of products; bytes of keys and values that attention reads."""

    passes: int
    shares: dict[str, float]
    flops: float
    kv_bytes: float


def profiled(models: Sequence[Any], work: Callable[[], Any]) -> Profile:
    """One call of `work`, whose only forward passes are of `models`."""
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    hooks = [model.base_model.register_forward_hook(count) for model in models]
    start = time.perf_counter()  # as the profiler counts
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True, with_flops=True
    ) as profiler:
        work()
        total_s = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    seconds: Counter[str] = Counter()
    flops, kv_bytes = 0.0, 0.0
    for event in profiler.key_averages(group_by_input_shape=True):
        kind = next((kind for kind, names in KINDS.items() if event.key in names), "other operations")
        seconds[kind] += event.self_cpu_time_total / 1e6
        if kind == "products":
            flops += event.flops
        if kind == "attention":
            kv_bytes += (
                event.count * 2 * 4 * math.prod(event.input_shapes[1])
            )  # float32 keys, and as many values
    shares = {kind: seconds[kind] / total_s for kind in (*KINDS, "other operations")}
    shares["Python"] = max(0.0, 1 - sum(shares.values()))
    return Profile(passes, shares, flops, kv_bytes)


def smallest_step_s(model: Any) -> float:
    """CPU seconds of a decode step with hardly any arithmetic: four rows, few columns."""
    never = Stops(frozenset(), (), frozenset(), lambda ids: "")
    rule = Rule.of(SamplingParams(), never)
    jobs = [Job((5, 6, 7), seed, STEPS, rule) for seed in range(4)]
    return best_s(lambda: draw(model, jobs, 65536), 3) / STEPS
