"""The first way of docs/tutorial.md: own problems, a server, labels, an export; every command as the page has it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.smoke.test_cli import ROOT, cli

from promptcot.pocket.world import generate

PAGE = (ROOT / "docs" / "tutorial.md").read_text()


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    command = [sys.executable, "-m", "promptcot.cli", "serve", "pocket", "--port", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert server.stdout is not None
    found = re.search(r"http://[\w.]+:\d+/v1", server.stdout.readline())
    assert found is not None
    yield found[0]
    server.terminate()
    assert server.wait(300) is not None


def commands(heading: str) -> list[list[str]]:
    """The promptcot commands of a section of the page, continued lines joined, without comments."""
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0].replace("\\\n", " ")
    lines = [
        line.strip().partition("#")[0] for line in section.splitlines() if line.startswith("    promptcot")
    ]
    return [line.split()[1:] for line in lines]


@pytest.mark.slow
def test_own_problems_become_a_labelled_data_set(base_url: str, tmp_path: Path) -> None:
    own = [generate(i, "math", "1", "train") for i in range(12)]
    rows = [{"problem": item.text} for item in own]
    rows.append(
        {"problem": "How many primes are there below thirty, counting the number two?", "answer": "10"}
    )
    held = [{"problem": generate(i, "math", "1", "heldout").text, "answer": "1"} for i in range(100, 103)]
    for name, content in (("problems", rows), ("heldout", held)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in content))
    serve, run, show, export = commands("A server, no GPU: label what you have")
    assert serve[0] == "serve"
    run[1] = str(ROOT / run[1])
    done = cli(*run, "--set", f"label.model.server.base_url={base_url}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = cli(*show, cwd=tmp_path)
    labelled = [json.loads(line) for line in shown.stdout.splitlines()]
    assert labelled[0]["answer"] == "10"  # it kept its own
    assert all(row["answer"] and row["label_votes"] >= 5 for row in labelled[1:])
    truth = {item.text: item.answer for item in own}
    assert sum(truth[row["problem"]] == row["answer"] for row in labelled[1:]) >= len(labelled[1:]) / 2
    assert cli(*export, cwd=tmp_path).returncode == 0
    exported = (tmp_path / "runs" / "served" / "exports" / "trl" / "problems.jsonl").read_text().splitlines()
    assert len(exported) >= len(labelled) >= 2


def test_the_other_commands_name_what_there_is() -> None:
    """Recipes that exist and load, and verbs that the command line knows."""
    from promptcot.cli import app
    from promptcot.recipe import load

    names = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    for heading in ("A GPU: write new ones", "Nothing yet: see it work"):
        for command in commands(heading):
            assert command[0] in names
            if len(command) > 1 and command[1].endswith(".yaml"):
                sets = [value for flag, value in pairwise(command) if flag == "--set"]
                assert load(ROOT / command[1], sets).name
