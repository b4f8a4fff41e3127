"""The funnel of rows, and the cost of every stage, from the manifests of the finished steps."""

from __future__ import annotations

from typing import Any

from promptcot.rundir import armless

Step = tuple[str, dict[str, Any], dict[str, Any]]  # name, step.json, done.json

TOKENS = ("prompt_tokens", "sampled_tokens", "scored_tokens", "trained_tokens")
OWN = ("own_steps", "own_rows", "own_engine_s")  # not taken over from another run
SUMS = ("worker_s", "engine_s", "rows", *OWN)
REQUESTS = ("requests", "retries", "failed", "unseeded")  # of servers; none for models in process

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


def kept_problems(steps: list[Step]) -> int | None:
    """Problems that the run has made and kept: labelled ones, or curated where there are no labels."""
    found = {name[3:]: int(done["rows_out"]) for name, _, done in steps}
    return found.get("label/problems", found.get("curate/problems"))


def cost(steps: list[Step], wall_s: dict[str, float], capacity_s: dict[str, float]) -> list[dict[str, Any]]:
    """Per stage: what was spent, in all and for each problem kept.

    Args:
        wall_s: Time on the wall by stage, over all sessions of the run.
        capacity_s: The same times the workers there were.

    What was taken over from another run took none of this run's time, so it is left out of rows_per_s and idle_share.

    Returns:
        Rows with wall_s; worker_s and engine_s (of workers, and of that in engines and trainings); idle_share, the part
        of the capacity in which no engine worked (waiting, verifying, writing, work lost to a kill); every count that
        engines report (tokens; requests to servers, of these repeated, given up, answered without their seed); and tokens,
        worker seconds, requests per kept problem.
    """
    rows, kept = _by_stage(steps, wall_s), kept_problems(steps)
    for row in rows:
        _ratios(row, capacity_s.get(row["stage"], 0.0), kept)
    return rows


def _by_stage(steps: list[Step], wall_s: dict[str, float]) -> list[dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    for name, head, done in steps:
        stage = name.partition("/")[0][3:]
        work = armless(head["key"]) if "key" in head else name
        if work in seen:  # taken over from another arm: done once
            continue
        seen.add(work)
        row = out.setdefault(stage, _nothing(stage, wall_s.get(stage, 0.0)))
        row["worker_s"] += done["seconds"]
        row["engine_s"] += done.get("engine_s", 0.0)
        row["rows"] += done["rows_in"]
        if "taken_over_from" not in head:
            row["own_steps"] += 1
            row["own_rows"] += done["rows_in"]
            row["own_engine_s"] += done.get("engine_s", 0.0)
        for kind, value in (done["usage"] or {}).items():
            row[kind] = row.get(kind, 0) + value
    return list(out.values())


def _nothing(stage: str, wall_s: float) -> dict[str, Any]:
    zeros = dict.fromkeys((*SUMS, *TOKENS, *REQUESTS), 0)
    return {"stage": stage, "wall_s": round(wall_s, 1), **zeros}


def total(steps: list[Step], wall_s: dict[str, float], capacity_s: dict[str, float]) -> dict[str, Any]:
    """The row of `cost` for all stages together."""
    rows = _by_stage(steps, wall_s)
    out = {
        "stage": "all",
        "wall_s": round(sum(wall_s.values()), 1),
        **{k: sum(row.get(k, 0) for row in rows) for k in (*SUMS, *TOKENS, *REQUESTS)},
    }
    _ratios(out, sum(capacity_s.values()), kept_problems(steps))
    return out


def _ratios(row: dict[str, Any], capacity_s: float, kept: int | None) -> None:
    own, rows, engine_s = (row.pop(k) for k in OWN)
    row["rows_per_s"] = round(rows / row["wall_s"], 1) if own and row["wall_s"] else None
    busy = engine_s / capacity_s if capacity_s and engine_s else None
    row["idle_share"] = None if busy is None else round(max(0.0, 1.0 - busy), 3)
    row["kept_problems"] = kept
    row["tokens_per_kept"] = round(tokens_of(row) / kept, 1) if kept else None
    row["worker_s_per_kept"] = round(row["worker_s"] / kept, 3) if kept else None
    row["requests_per_kept"] = round(row["requests"] / kept, 2) if kept else None
    row["worker_s"], row["engine_s"] = round(row["worker_s"], 1), round(row["engine_s"], 1)


def tokens_of(usage: dict[str, Any]) -> int:
    """All tokens of a usage: prompts, samples, scores, training."""
    return sum(int(v) for k, v in usage.items() if k.endswith("_tokens"))
