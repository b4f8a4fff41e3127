"""The report of a run as one table of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def render(report: Mapping[str, Any]) -> str:
    """The four curves, the rates, and what to know about them."""
    return "\n".join([*_head(report), "", *_curves(report), "", *_rates(report), "", *_foot(report)])


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    items = ", ".join(f"{n} {source}" for source, n in report["heldout_items"].items())
    yield (
        f"{report['name']}; {report['parameters'] / 1e6:.1f}M parameters, {report['dtype']}; "
        f"pretrained on {report['pretraining']['tokens'] / 1e6:.1f}M tokens; seed {report['seed']}"
    )
    yield (
        f"{report['train_triples']} triples; EM on {report['em_items']} items, {report['draws']} draws, "
        f"select {report['select']}, draw {report['draw']}; held out: {items}"
    )


def _curves(report: Mapping[str, Any]) -> Iterator[str]:
    points = max(map(len, report["arms"].values()))
    for title, name in (
        ("NLL(x|z,c), greedy z, nats; lower is better", "nll"),
        ("bound on log p(x|c), mixed IWAE, nats; higher is better", "bound"),
    ):
        yield (
            f"{title:<56}"
            + "".join(f"{'t=' + str(t):>10}" for t in range(points))
            + "   change (95% interval)"
        )
        for arm, curve in report["arms"].items():
            cells = "".join(f"{p[name]:>10.2f}" for p in curve) + " " * 10 * (points - len(curve))
            yield f"  {arm:<54}{cells}   {_change(curve, name)}"


def _change(curve: list[Mapping[str, Any]], name: str) -> str:
    if len(curve) < 2:
        return "not run"
    low, high = curve[-1][f"{name}_change_ci95"]
    return f"{curve[-1][f'{name}_change']:+.2f} ({low:+.2f} to {high:+.2f})"


def _rates(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'work':<14}{'tokens':>13}{'tokens/s':>12}{'model TFLOP/s':>15}{'of peak':>9}{'of GEMM':>9}"
    for name, r in report["rates"].items():
        yield (
            f"{name:<14}{r['tokens']:>13}{r['tokens_per_s']:>12.0f}{r['model_flop_per_s'] / 1e12:>15.3f}"
            f"{r['share_of_peak']:>9.1%}{r['share_of_measured_gemm']:>9.1%}"
        )


def _foot(report: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"peak {report['peak_flop_per_s'] / 1e12:.2f} TFLOP/s ({report['peak_is']}), fastest GEMM "
        f"{report['gemm_flop_per_s'] / 1e12:.2f}; memory {report['memory_gib']:.1f} GiB"
    )
    gap = report["agreement"]
    yield (
        f"log q while sampling against one pass: {gap['mean_nats_per_token']:.2g} nats per token, "
        f"at most {gap['max_nats_per_sequence']:.2g} per sequence"
    )
    yield (
        f"python {report['python']}, torch {report['torch']}, cuda {report['cuda']}, "
        f"transformers {report['transformers']}, tokenizers {report['tokenizers']}, numpy {report['numpy']}"
    )
    yield f"{report['spent_s']:.0f} s of {60 * report['minutes']:.0f} s; cut: {'; '.join(report['cuts']) or 'nothing'}"
