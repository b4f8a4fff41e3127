"""The few sentences at the top: what improved, by how much, and what did not."""

from __future__ import annotations

from typing import Any

REGIMES = {"self_play": "Self-play", "sft": "SFT on the teacher's traces"}


def headline(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Sentences with `good` True, False or None (no evidence either way)."""
    return [*_evaluation(report), *_em(report), *_labels(report)]


def _evaluation(report: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for row in report.get("evaluation", []):
        if row["domain"] == row["level"] == "all":
            low, high = row["difference"]["ci95"]
            text = (
                f"{REGIMES[row['regime']]}: {'held-out' if row['split'] == 'heldout' else row['split']} {row['metric']} {row['before']['mean']:.1%} to {row['after']['mean']:.1%}, "
                f"{100 * row['difference']['mean']:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}, "
                f"{row['problems']} problems)"
            )
            out.append({"text": text, "good": _sign(low, high)})
    return out


def _em(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Both measures at the iteration that is kept: the paper's, and the bound that EM is about."""
    rows = {r["iteration"]: r for r in report["em"]["iterations"]}
    decision = report["em"].get("decision") or {}
    kept = decision.get("kept", max(rows, default=0))
    out: list[dict[str, Any]] = []
    if decision.get("reason") in ("gate", "worse", "converged"):
        out.append({"text": f"EM stopped: {decision['detail']}", "good": None})
    if kept not in rows or kept == 0:
        return out
    names = (("nll_x_given_z", "NLL(x|z,c)", -1), ("bound", "bound on log p(x|c)", 1))
    for name, words, sign in names:
        change, ends = rows[kept].get(f"{name}_change"), rows[kept].get(f"{name}_change_ci95")
        if change is not None and ends:
            text = (
                f"EM: held-out {words} {rows[0][name]:.2f} to {rows[kept][name]:.2f} nats after {kept} "
                f"iteration{'s' * (kept > 1)}, {change:+.2f} (95% interval {ends[0]:+.2f} to {ends[1]:+.2f}, "
                f"{rows[kept]['items']} items)"
            )
            out.append({"text": text, "good": _sign(*sorted(sign * e for e in ends))})
    return out


def _labels(report: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for row in report.get("labels", []):
        if row["accuracy"] is not None:
            low, high = row["ci95"]
            text = (
                f"Labels ({row['domain']}): {row['accepted']} of {row['asked']} problems labelled, {row['accuracy']:.1%} right "
                f"by the world's truth (95% interval {low:.1%} to {high:.1%})"
            )
            out.append({"text": text, "good": None})
    return out


def _sign(low: float, high: float) -> bool | None:
    return True if low > 0 else False if high < 0 else None
