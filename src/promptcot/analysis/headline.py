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
                f"{REGIMES[row['regime']]}: held-out {row['metric']} {row['before']['mean']:.1%} to {row['after']['mean']:.1%}, "
                f"{100 * row['difference']['mean']:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f}, "
                f"{row['problems']} problems)"
            )
            out.append({"text": text, "good": _sign(low, high)})
    return out


def _em(report: dict[str, Any]) -> list[dict[str, Any]]:
    rows = report["em"]["iterations"]
    if len(rows) < 2 or rows[-1]["change"] is None:
        return []
    first, last = rows[0], rows[-1]
    low, high = last["change_ci95"]
    text = (
        f"EM: held-out NLL(x|z,c) {first['nll_x_given_z']:.2f} to {last['nll_x_given_z']:.2f} nats after "
        f"{last['iteration']} iterations, {last['change']:+.2f} (95% interval {low:+.2f} to {high:+.2f}, {last['items']} items)"
    )
    return [{"text": text, "good": _sign(-high, -low)}]


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
