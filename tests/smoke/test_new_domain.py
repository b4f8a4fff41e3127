"""docs/new-domain.md as it is typed, at a smaller size: a third domain from seeds to labels by its own checker, and on."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.commands import of_page
from tests.smoke.test_cli import ROOT, cli, steps_in

SMALL: dict[str, dict[str, int | str]] = {
    "seeds": {"count": 120, "heldout": 12}, "coldstart.training": {"epochs": 6}, "run": {"workers": 1},
    "em": {"items": 12, "measure": 4, "measure_draws": 2, "k": 2, "gates.action": "warn"}, "synthesize": {"problems": 30},
    "label": {"samples": 8}, "selfplay": {"rollouts": 4}, "evaluate": {"samples": 1},
}  # fmt: skip
SETS = [x for s, keys in SMALL.items() for k, v in keys.items() for x in ("--set", f"{s}.{k}={v}")]


@pytest.mark.slow
def test_a_third_domain_goes_through_the_whole_corridor(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs trl: pip install 'promptcot[train]'")
    for name in ("riddles.py", "riddles.yaml"):
        shutil.copy(ROOT / "examples" / "new_domain" / name, tmp_path)
    cd, make, *typed = of_page(ROOT / "docs" / "new-domain.md")
    assert cd.words == ["cd", "examples/new_domain"]
    assert make.words == ["python", "riddles.py"]
    made = subprocess.run(
        [sys.executable, *make.words[1:]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (tmp_path / make.output).write_text(made.stdout)
    said = []
    for command in typed:
        assert command.words[0] == "promptcot"
        small = SETS if command.words[1] == "run" else []
        done = cli(*command.words[1:], *small, cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
        said.append(done.stdout)
    labelled = [json.loads(line) for line in said[2].splitlines()]
    riddles = runpy.run_path(str(tmp_path / "riddles.py"))
    assert labelled
    for row in labelled:
        assert row["domain"] == "riddles"
        assert riddles["check"](row["problem"], row["answer"])
    report = json.loads((tmp_path / "runs" / "riddles" / "report.json").read_text())
    assert [r["iteration"] for r in report["em"]["iterations"]] == [0, 1]
    assert {r["regime"] for r in report["evaluation"]} == {"self_play"}
    assert all(row["rows_in"] == row["rows_out"] + row["rejected"] for row in report["funnel"])
    again = cli("run", "riddles.yaml", *SETS, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert steps_in(again.stderr) == []  # nothing was done twice
    exported = cli("export", "runs/riddles", "--to", "trl", "--table", "problems", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    (tmp_path / "riddles.py").write_text((tmp_path / "riddles.py").read_text() + "\n# edited\n")
    refused = cli("run", "riddles.yaml", *SETS, cwd=tmp_path)
    assert refused.returncode == 2
    assert "belongs to another recipe: domains" in refused.stderr
