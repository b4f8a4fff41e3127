"""Every recipe of the repository: it plans, shows what models will be asked, cites what its numbers are from, and runs.

The runs keep a recipe's rules and stages; models, data and sizes are the smallest there are. Problems come from a file, so
that no recipe depends on what a model of a few steps can write; tests/smoke/test_cli.py runs the corridor that writes its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptcot.cli import main
from promptcot.pocket.annotators import annotate
from promptcot.pocket.world import generate
from promptcot.recipe import parse
from promptcot.settings import Recipe

from tests.smoke.test_cli import ROOT, cli  # isort: skip

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
POCKET = {"engine": "transformers", "model": "pocket"}
TRAINING = {
    "lr": 1e-3,
    "epochs": 1,
    "batch_size": 8,
    "micro_batch_size": 8,
    "max_tokens": 768,
    "max_overlong": 1.0,
}
SMALL: dict[str, dict[str, Any]] = {
    "run": {"workers": 1, "shard_rows": 64},
    "seeds": {"count": 12, "heldout": 3, "max_rejected": 0.5},
    "annotate": {"per_seed": 1, "num_concepts": 2, "sampling": {"max_tokens": 256}, "max_rejected": 1.0},
    "coldstart": {"base": POCKET, "training": {**TRAINING, "epochs": 2}},
    "em": {
        "iterations": 1, "k": 2, "items": 4, "measure": 2, "measure_draws": 2, "sampling": {"max_tokens": 160},
        "max_rejected": 1.0, "gates": {"action": "warn"}, "training": TRAINING,
    },
    "synthesize": {"problems": 10, "path": "problems.jsonl"},
    "label": {"model": POCKET, "samples": 4, "min_votes": 2, "waves": [], "tests": 1, "min_tests": 1, "problems": 8,
              "vetting": {"votes": 1, "mutants": 1}, "sampling": {"max_tokens": 120}},
    "selfplay": {"model": POCKET, "rollouts": 4, "drop_at": 1.0, "sampling": {"max_tokens": 120}, "training": TRAINING},
    "distill": {"student": POCKET, "teacher": {"engine": "pocket-teacher"}, "problems": 6, "training": TRAINING},
    "evaluate": {"samples": 1, "sampling": {"max_tokens": 120}},
}  # fmt: skip


def reduced(path: Path) -> dict[str, Any]:
    """The recipe with its rules, on the packaged model and at the smallest sizes."""
    data: dict[str, Any] = yaml.safe_load(path.read_text())
    data["templates"] = "compact"
    for section, small in SMALL.items():
        if section in data or section == "run":
            data[section] = {**data.get(section, {}), **small}
    data.get("em", {}).pop("p_training", None)
    if data.get("annotate", {}).get("annotators"):
        data["annotate"]["annotators"] = {"precise": {"engine": "pocket-annotator", "model": "precise"}}
    return data


def write_data(folder: Path) -> None:
    """Files under every name that a recipe uses."""
    items = [generate(n, "math", "1", "train") for n in range(60)]
    plain = [{"id": n, "problem": i.text, "answer": i.answer, "level": i.level} for n, i in enumerate(items)]
    triples = []
    for row, item in zip(plain, items, strict=True):
        found = annotate("precise", item.text, 1)
        assert found is not None
        triples.append({**row, "concepts": list(found.concepts), "rationale": found.rationale})
    gsm8k = [
        {"question": f"Ann has {n + 2} bags of {n + 3} nuts. How many nuts has she?",
         "answer": f"She has <<{n + 2}*{n + 3}={(n + 2) * (n + 3)}>>{(n + 2) * (n + 3)} nuts.\n#### {(n + 2) * (n + 3)}"}
        for n in range(20)
    ]  # fmt: skip
    bare = [{"problem": row["problem"]} for row in plain[40:]]
    files: dict[str, Sequence[object]] = {
        "seeds": plain[:20], "answers": plain[:20], "heldout": plain[20:24], "problems": bare, "triples": triples[:20],
        "gsm8k_train": gsm8k,
    }  # fmt: skip
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.stem not in ("tiny", "served")], ids=lambda p: p.stem
)
def test_a_recipe_runs_through_all_its_stages(path: Path, tmp_path: Path) -> None:
    """tiny.yaml runs in test_cli.py, served.yaml in test_served_recipe.py."""
    pytest.importorskip("trl", reason="needs trl: pip install 'promptcot[train]'")
    write_data(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(reduced(path)))
    done = cli("run", "small.yaml", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ran = {p.name[3:] for p in (tmp_path / "run").glob("[01][0-9]_*")}
    assert ran == set(parse(reduced(path)).stages()) - {"report"}  # a page, no tables
    assert (tmp_path / "run" / "report.html").exists()
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert all(row["rows_in"] == row["rows_out"] + row["rejected"] for row in report["funnel"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
@pytest.mark.parametrize("command", [["plan", "--json"], ["run", "--preview", "1"]], ids=["plan", "preview"])
def test_a_recipe_plans_and_shows_its_prompts(
    path: Path, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    sets = ["--set", "seeds.heldout=2"] if command[0] == "run" else []
    monkeypatch.setattr(sys, "argv", ["promptcot", command[0], str(path), *command[1:], *sets])
    with pytest.raises(SystemExit) as left:
        main()
    out = capsys.readouterr().out
    assert left.value.code in (0, None), out
    if command[0] == "plan":
        assert json.loads(out)["lines"]
    else:
        assert "\n--- " in "\n" + out


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_says_what_it_is_and_where_its_numbers_come_from(path: Path) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert head, "the first lines say what the recipe is for"
    if path.stem.startswith("paper_") or path.stem in ("one_gpu", "selfplay", "served"):
        assert "arXiv 2509.19894" in path.read_text()
    assert isinstance(parse(yaml.safe_load(path.read_text())), Recipe)
