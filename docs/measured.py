"""The tables of docs/reproducing.md from what a run wrote: `python docs/measured.py FILE`, Markdown to standard output.

FILE is the report.json of a run or of an ablation, or a study.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(str(cell) for cell in line) + " |" for line in (head, *rows)]
    return "\n".join((lines[0], "|" + "---|" * len(head), *lines[1:])) + "\n"


def nats(x: float | None, sign: bool = False) -> str:
    return "-" if x is None else f"{x:{'+' if sign else ''}.2f}"


def points(x: float, sign: bool = False) -> str:
    return f"{100 * x:+.1f}" if sign else f"{100 * x:.1f}%"


def interval(pair: Sequence[float] | None, show: Any, sign: bool = False) -> str:
    return "" if pair is None else f" ({show(pair[0], sign)} to {show(pair[1], sign)})"


def change(row: Row, name: str) -> str:
    """`NAME_change` with its interval, and that of every seed where there are several."""
    if row.get(f"{name}_change") is None:
        return "-"
    by_seed = row.get(f"{name}_change_by_seed") or []
    seeds = f"; by seed {' / '.join(nats(x, True) for x in by_seed)}" if len(by_seed) > 1 else ""
    return nats(row[f"{name}_change"], True) + interval(row[f"{name}_change_ci95"], nats, True) + seeds


def run(data: Row) -> str:
    """Headline, funnel, EM, domains, evaluation, difficulty."""
    out = [f"{data['wall_s']:.0f} s, at most {data['peak_rss_mb']:.0f} MB.\n",
           *(f"* {h['text']}" for h in data["headline"]), ""]  # fmt: skip
    reasons = [", ".join(f"{n} {why}" for why, n in f["reasons"].items()) or "-" for f in data["funnel"]]
    out.append(table(("stage", "in", "out", "rejected"),
                     [(f["stage"], f["rows_in"], f["rows_out"], why)
                      for f, why in zip(data["funnel"], reasons, strict=True)]))  # fmt: skip
    for name in ("iterations", "without_estep"):
        out.append(em(data["em"][name]) if data["em"][name] else "")
    labels = {entry["domain"]: entry for entry in data.get("labels") or []}
    if data.get("validity"):  # of the pocket world only
        out.append(table(("domain", "written", "well formed", "labelled, of asked", "labels right"),
                         [(v["domain"], v["problems"], points(v["share"]) + interval(v["ci95"], points),
                           *right(labels.get(v["domain"]))) for v in data["validity"]]))  # fmt: skip
    out.append(table(("regime", "domain, level", "problems", "before", "after", "change"),
                     [(e["regime"], f"{e['domain']}, {e['level']}", e["problems"], points(e["before"]["mean"]),
                       points(e["after"]["mean"]),
                       points(e["difference"]["mean"], True) + interval(e["difference"]["ci95"], points, True))
                      for e in data["evaluation"]]))  # fmt: skip
    if data.get("difficulty_table"):
        out.append(difficulty(data["difficulty_table"]["sets"]))
    return "\n".join(out)


def right(label: Row | None) -> tuple[str, str]:
    """Labels accepted, of asked, and the share of right ones; dashes where there are none."""
    if label is None:
        return "-", "-"
    known = label["accuracy"] is not None
    share = points(label["accuracy"]) + interval(label["ci95"], points) if known else "-"
    return f"{label['accepted']} of {label['asked']}", share


def em(iterations: Sequence[Row]) -> str:
    head = ("iteration", "NLL(x\\|z,c), greedy z", "change, paired", "NLL, sampled z", "bound on log p(x\\|c)",
            "change, paired", "log p(z,x\\|c)", "tokens of z, greedy / sampled", "same z as another item")  # fmt: skip
    return table(head, [
        (i["iteration"], nats(i["nll_x_given_z"]) + interval(i["nll_x_given_z_ci95"], nats), change(i, "nll_x_given_z"),
         nats(i["nll_sampled"]), nats(i["bound"]), change(i, "bound"), nats(i["joint"]),
         f"{i['rationale_tokens']:.1f} / {i['sampled_tokens']:.1f}", f"{i['duplicates']:.0%}")
        for i in iterations])  # fmt: skip


def difficulty(sets: Sequence[Row]) -> str:
    def cell(entry: Row, name: str, show: Any) -> str:
        if entry.get(name) is None:
            return "-"
        return show(entry[name]) + interval(entry[f"{name}_ci95"], show)

    def short(x: float, sign: bool = False) -> str:
        return f"{x:.1f}"

    head = (
        "set",
        "problems",
        "without reference",
        "solved",
        "at the same mix",
        "words of a solution",
        "at the same mix",
    )
    return table(head, [
        (s["set"], s["problems"], s["without_reference"], cell(s, "accuracy", points), cell(s, "accuracy_same_mix", points),
         cell(s, "tokens", short), cell(s, "tokens_same_mix", short))
        for s in sets])  # fmt: skip


def ablation(data: Row) -> str:
    """Curves, changes since the cold start, differences to the first arm."""
    arms = data["ablation"]["arms"]

    def seeds(i: Row, name: str) -> str:
        return f"{nats(i[name])} ({' / '.join(nats(x) for x in i[f'{name}_by_seed'])})"

    def share(i: Row, name: str) -> str:
        return "-" if i[name] is None else f"{i[name]:.0%}"

    curves = [
        (a["arm"], i["iteration"], seeds(i, "nll_x_given_z"), nats(i["nll_sampled"]), seeds(i, "bound"), nats(i["joint"]),
         "-" if i["rationale_tokens"] is None else f"{i['rationale_tokens']:.1f}", "-" if i["ess"] is None else f"{i['ess']:.1f}")
        for a in arms for i in a["iterations"]
    ]  # fmt: skip
    last = [
        (a["arm"], now["iteration"], *(change({**now, f"{m}_change_by_seed": []}, m)
                                       for m in ("nll_x_given_z", "nll_sampled", "bound", "elbo")),
         f"{share(start, 'duplicates')} -> {share(now, 'duplicates')}",
         f"{share(start, 'well_formed')} -> {share(now, 'well_formed')}")
        for a in arms if (start := a["iterations"][0]) and (now := a["iterations"][-1])
    ]  # fmt: skip
    against = [(c["arm"], c["iteration"], *(change(c, m) for m in ("nll_x_given_z", "nll_sampled", "bound")))
               for c in data["ablation"]["contrasts"]]  # fmt: skip
    return "\n".join((
        f"{arms[0]['iterations'][0]['items']} items, {data['wall_s']:.0f} s of all seeds' runs.\n",
        table(("arm", "iteration", "NLL(x\\|z,c), greedy z", "NLL(x\\|z,c), sampled z", "bound on log p(x\\|c)",
               "log p(z,x\\|c)", "tokens of z", "ESS"), curves),
        table(("arm", "iterations", "NLL, greedy z", "NLL, sampled z", "bound", "ELBO", "same z as another item",
               "p's form right"), last),
        table(("arm", "iterations", "NLL, greedy z", "NLL, sampled z", "bound"), against)))  # fmt: skip


def study(data: Row) -> str:
    """A row per model, a column per arm."""
    arms = [arm for arm in data["arms"] if arm not in data["failed"]]
    rows = []
    for row in data["rows"]:
        cells = []
        for arm in arms:
            found = row["arms"][arm]
            cell = f"{points(found['mean'])} ({' / '.join(points(x) for x in found['by_seed'])})"
            if (moved := found.get("change")) and "mean" in moved:
                cell += f"; {points(moved['mean'], True)}" + interval(moved["ci95"], points, True)
            cells.append(cell)
        rows.append((f"{row['model']}, {row['benchmark']}", *cells))
    failed = [f"* {arm}: {why}" for arm, why in data["failed"].items()]
    return "\n".join((table(("model, benchmark", *arms), rows), *failed))


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text())
    print(study(data) if "study" in data else ablation(data) if "ablation" in data else run(data))


if __name__ == "__main__":
    main()
