"""Studies: arms and seeds of one recipe through the real runs, and the numbers they end in."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tests.evals import replay
from tests.evals.conftest import Cli

from promptcot import study
from promptcot.errors import UserError
from promptcot.evals import show

ROWS = [{"id": i, "problem": f"What is {i}+1?", "answer": i + 1} for i in range(6)]
ASK = "\nPlease reason step by step, and put your final answer within \\boxed{}."
SHIPPED = sorted((Path(__file__).parents[2] / "recipes" / "studies").glob("*.yaml"))


def files(tmp_path: Path, arms: dict[str, list[str]]) -> Path:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    evaluate = {
        "model": {"engine": "scripted", "model": replay.MODEL},
        "benchmarks": {"aime24": {"source": str(source), "samples": 2}},
    }
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "run": {"workers": 1}, "evaluate": evaluate}))
    path = tmp_path / "study.yaml"
    path.write_text(json.dumps({"recipe": "r.yaml", "seeds": [1], "arms": arms}))
    return path


def test_arms_and_seeds_end_in_paired_changes(cli: Cli, tmp_path: Path) -> None:
    # Half of the answers are long: the arm with few tokens cuts them.
    texts = [f"{'Well. ' * 9 if i % 2 else ''}\\boxed{{{i + 1}}}" for i in range(6)]
    key = {f"{row['problem']}{ASK}": text for row, text in zip(ROWS, texts, strict=True)}
    short, lost = (
        "evaluate.benchmark_sampling.max_tokens=12",
        "evaluate.benchmarks.aime24.source=nowhere.jsonl",
    )
    path = files(tmp_path, {"full": [], "lost": [lost], "same": [], "short": [short]})
    done = cli("evaluate", "study", path, "--out", tmp_path / "out", completions=key)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("12 rows") == 2  # full and short; "same" takes over what "full" did
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    (row,) = found["rows"]
    assert (row["model"], row["benchmark"]) == ("model", "aime24")
    assert found["failed"] == {
        "lost": "seed 1: there is no file 'nowhere.jsonl'"
    }  # a result, which stops no other
    assert "lost cannot be finished: seed 1: there is no file" in done.stdout
    full, same, cut = row["arms"].values()
    assert (full["mean"], full["by_seed"], full["problems"]) == (1.0, [1.0], 6)
    assert (same["change"]["mean"], same["change"]["clear"]) == (0.0, False)
    assert (cut["mean"], cut["change"]["mean"], cut["change"]["problems"]) == (0.5, -0.5, 6)
    assert "50.0 (50.0)" in done.stdout
    assert "-50.0 [" in done.stdout


def test_arms_on_other_files_are_paired_by_their_problems(tmp_path: Path) -> None:
    def saved(arm: str, verdicts: dict[str, str], *texts: str) -> None:
        folder = tmp_path / "seed-1" / arm
        folder.mkdir(parents=True)
        entries = {"aime24": {"verdicts": verdicts, "texts": dict(zip(verdicts, texts, strict=True))}}
        (folder / "results.json").write_text(json.dumps({"models": {"m": {"benchmarks": entries}}}))

    saved("a", {"0": "cc", "1": "ii", "2": "ci"}, "A", "B", "C")
    saved("shifted", {"1": "cc", "2": "ci", "3": "ii"}, "A", "B", "D")
    saved("other", {"0": "cc", "1": "ii"}, "E", "F")
    (row,) = study.summary(
        tmp_path, study.Study(recipe="r", seeds=[1], arms={"a": [], "shifted": [], "other": []})
    )
    change = row["arms"]["shifted"]["change"]
    assert (change["mean"], change["problems"]) == (0.25, 2)  # A: 1 to 1, B: 0 to 0.5; by id it would be 0.5
    assert row["arms"]["other"]["change"] == {"problems": 0}
    console = Console(file=io.StringIO(), width=150)
    show.study(
        {"seeds": [1], "arms": {"a": [], "shifted": [], "other": []}, "failed": {}, "rows": [row]}, console
    )
    assert "aime24: a and other share no problem" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_benchmark_without_a_verdict_in_one_arm_is_left_out(tmp_path: Path) -> None:
    saved_heldout(tmp_path, 1, "a", {"p": "cc"})
    saved_heldout(tmp_path, 1, "b", {"p": "uu"})
    assert study.summary(tmp_path, study.Study(recipe="r", seeds=[1], arms={"a": [], "b": []})) == []


def saved_heldout(path: Path, seed: int, arm: str, verdicts: dict[str, str]) -> None:
    folder = path / f"seed-{seed}" / arm
    folder.mkdir(parents=True)
    entries: dict[str, Any] = {"heldout": {"verdicts": verdicts}}
    (folder / "results.json").write_text(json.dumps({"models": {"student_after": {"benchmarks": entries}}}))


def test_problems_are_averaged_over_the_seeds_that_have_them(tmp_path: Path) -> None:
    saved = partial(saved_heldout, tmp_path)
    saved(1, "a", {"p": "ci", "q": "cc"})  # 0.5, 1
    saved(2, "a", {"p": "cc", "r": "ii"})  # 1, 0
    saved(1, "b", {"p": "cc", "q": "cc"})
    saved(2, "b", {"p": "cc", "r": "ci"})
    (row,) = study.summary(tmp_path, study.Study(recipe="r", seeds=[1, 2], arms={"a": [], "b": []}))
    a, b = row["arms"]["a"], row["arms"]["b"]
    assert a["mean"] == pytest.approx((0.75 + 1 + 0) / 3)
    assert a["by_seed"] == [0.75, 0.5]
    assert b["change"]["mean"] == pytest.approx((0.25 + 0 + 0.5) / 3)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.name))
def test_the_shipped_studies_are_valid(path: Path) -> None:
    found, recipes = study.read(path)
    assert len(recipes) == len(found.seeds) * len(found.arms)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"one": []}, "cannot read the study"),
        ({"one": [], "two": ["em.kk=3"]}, "em.kk"),
        ({"one": [], "two": ["evaluate.samples=0"]}, "evaluate.samples"),
    ],
)
def test_a_wrong_arm_is_found_before_anything_runs(
    tmp_path: Path, arms: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        study.run(files(tmp_path, arms), tmp_path / "out", True)
    assert not (tmp_path / "out").exists()
