"""The funnel of rows, and the cost of every stage, from the manifests of the finished steps."""

from __future__ import annotations

from typing import Any

Step = tuple[str, dict[str, Any], dict[str, Any]]  # name, step.json, done.json

LABELS = {
    "seeds/seeds": "seeds",
    "annotate/triples": "annotate",
    "synthesize/problems": "synthesize",
    "curate/problems": "curate",
    "label/problems": "label",
    "distill/traces": "distill: traces",
}


def funnel(steps: list[Step]) -> list[dict[str, Any]]:
    """Rows in, out and rejected (by reason) of the steps that decide about rows, in order."""
    out = []
    for name, _, done in steps:
        label = _label(name[3:])
        if label:
            out.append(
                {"stage": label, **{k: done[k] for k in ("rows_in", "rows_out", "rejected", "reasons")}}
            )
    return out


def _label(name: str) -> str | None:
    if name in LABELS:
        return LABELS[name]
    stage, _, step = name.partition("/")
    if stage == "em" and step.endswith("_samples") and step[0] == "e":
        return f"em: candidates, iteration {step[1:-8].replace('_more', ', more')}"
    if stage == "selfplay" and step.startswith(("pairs", "traces", "tasks")):
        kind = step.rstrip("0123456789")
        return f"selfplay: {kind}, round {step[len(kind) :]}"
    return None


def cost(steps: list[Step], wall_s: dict[str, float]) -> list[dict[str, Any]]:
    """Per stage: wall time of this run, tokens sampled, scored and trained, and requests to servers."""
    out: dict[str, dict[str, Any]] = {}
    for name, _, done in steps:
        stage = name.partition("/")[0][3:]
        row = out.setdefault(
            stage, {"stage": stage, "wall_s": round(wall_s.get(stage, 0.0), 1), "worker_s": 0.0, "rows": 0}
        )
        row["worker_s"] = round(row["worker_s"] + done["seconds"], 1)
        row["rows"] += done["rows_in"]
        for kind in (
            "prompt_tokens",
            "sampled_tokens",
            "scored_tokens",
            "trained_tokens",
            "requests",
            "retries",
            "failed",
        ):
            row[kind] = row.get(kind, 0) + (done["usage"] or {}).get(kind, 0)
    for row in out.values():
        row["rows_per_s"] = round(row["rows"] / row["wall_s"], 1) if row["wall_s"] else None
    return list(out.values())
