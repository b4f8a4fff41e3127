"""`promptcot evaluate ...` as it is typed: alone, with a recipe, killed and resumed, compared, rated; and wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.chaos.killing import Killer, promptcot
from tests.evals import replay
from tests.evals.conftest import Cli, results
from tests.evals.test_elo import DATA as ELO
from tests.evals.test_elo import needs_data

from promptcot.evals.standings import load

ROWS = [{"id": i, "problem": f"What is {i}+1?", "answer": i + 1} for i in range(10)]
ASK = "\nPlease reason step by step, and put your final answer within \\boxed{}."


def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def key(right: int) -> dict[str, str]:
    """Right on the first problems, wrong on one, nothing on the rest."""
    texts = [f"\\boxed{{{r['answer']}}}" for r in ROWS[:right]] + ["\\boxed{0}"]
    return {f"{r['problem']}{ASK}": text for r, text in zip(ROWS, texts, strict=False)}


def scripted(tmp_path: Path, out: str, *more: str | Path) -> list[str | Path]:
    return [
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "aime24",
        "--source", f"aime24={source(tmp_path)}", "--samples", "2", "--out", tmp_path / out,
        "--set", "run.workers=1", *more,
    ]  # fmt: skip


def test_alone_it_prints_a_table_and_writes_results_and_attempts(cli: Cli, tmp_path: Path) -> None:
    done = cli(*scripted(tmp_path, "a"), completions=key(4))
    assert done.returncode == 0, done.stderr
    assert "aime24 avg@2" in done.stdout
    assert "10 problems; the paper's set has 30" in done.stdout
    entry = results(tmp_path / "a")["aime24"]
    assert (entry["mean"], entry["no_answer"], entry["attempts"]) == (0.4, 0.5, 20)
    assert entry["verdicts"]["0"] == "cc"
    assert entry["verdicts"]["4"] == "ii"
    assert entry["verdicts"]["9"] == "nn"
    folder = (tmp_path / "a" / entry["attempts_at"]).parent
    rows = pq.read_table(next(folder.glob("part-*.parquet"))).to_pylist()
    assert len(rows) == 20
    assert {r["problem_id"] for r in rows} == {f"aime24/{i}" for i in range(10)}
    again = cli(*scripted(tmp_path, "a"), completions={})
    assert again.returncode == 0, again.stderr
    assert "10_evaluate/" not in again.stderr  # finished: nothing is asked again
    assert results(tmp_path / "a")["aime24"] == entry
    other = cli(*scripted(tmp_path, "a", "--max-tokens", "5"))
    assert other.returncode == 2
    assert "benchmark_sampling.max_tokens: there 81920, here 5" in other.stderr


def test_a_recipe_does_the_same_and_so_does_the_word_run(cli: Cli, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        json.dumps({
            "name": "r", "run": {"workers": 1},
            "evaluate": {
                "model": {"engine": "scripted", "model": replay.MODEL},
                "benchmarks": {"aime24": {"source": str(source(tmp_path)), "samples": 2, "problems": 5}},
            },
        })
    )  # fmt: skip
    out = tmp_path / "out"
    for words in (["evaluate"], ["evaluate", "run"], ["run"]):  # the second and the third find all of it done
        done = cli(*words, recipe, "--run-dir", out, completions=key(4))
        assert done.returncode == 0, done.stderr
        assert results(out)["aime24"]["mean"] == 0.8
    assert "10_evaluate/" not in done.stderr
    recipe.write_text("name: r\n")
    assert "missing key 'seeds'" in cli("evaluate", recipe).stderr


def test_killed_and_started_again_the_rows_are_the_same(cli: Cli, tmp_path: Path) -> None:
    small = ["--set", "run.shard_rows=2", "--quiet"]
    assert cli(*scripted(tmp_path, "whole", *small), completions=key(4)).returncode == 0
    killer = Killer(tmp_path / "killed", seed=1, env={"REPLAY_KEY": str(tmp_path / "key.json")})
    killer.finish([promptcot(*scripted(tmp_path, "killed", *small))], kills=3, progress=40)  # ten shards
    digests = [cli("show", tmp_path / name, "--digest", "--json").stdout for name in ("whole", "killed")]
    assert digests[0] == digests[1]
    assert results(tmp_path / "whole") == results(tmp_path / "killed")


def test_two_runs_side_by_side(cli: Cli, tmp_path: Path) -> None:
    before, after = {"q": "cicici", "r": "iiiiii"}, {"q": "cccccc", "r": "iiiici"}
    for name, verdicts in (("a", before), ("b", after)):
        mean = sum(v.count("c") for v in verdicts.values()) / 12
        entry = {"mean": mean, "ci95": [0, 1], "samples": 6, "problems": 2, "verdicts": verdicts}
        (tmp_path / name).mkdir()
        models = {"model": {"benchmarks": {"aime24": entry}}}
        (tmp_path / name / "results.json").write_text(json.dumps({"models": models}))
    shown = cli("evaluate", "compare", tmp_path / "a", tmp_path / "b" / "results.json")
    assert "25.0" in shown.stdout
    assert "+33.3 [-100.0, +100.0]" in shown.stdout  # of two problems
    found = json.loads(cli("evaluate", "compare", tmp_path / "a", tmp_path / "b", "--json").stdout)
    assert found["rows"][0]["differences"][0]["problems"] == 2


def test_the_packaged_model_is_scored_too(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "evaluate", "--model", "pocket", "--benchmarks", "hmmt25", "--source", f"hmmt25={source(tmp_path)}",
        "--samples", "2", "--problems", "3", "--max-tokens", "64", "--out", tmp_path / "p", "--set", "run.workers=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entry = results(tmp_path / "p", "model")["hmmt25"]
    assert (entry["attempts"], entry["unscored"]) == (6, 0.0)
    assert 0 < entry["mean_tokens"] <= 64


@needs_data
def test_an_elo_from_results_and_snapshots(cli: Cli, tmp_path: Path) -> None:
    names = ["9001A", "9001B", "9002A"]
    rows = [
        {"id": n, "problem": f"{n}: repeat the input.", "tests": [{"input": "1", "output": "1"}]}
        for n in names
    ]
    problems = tmp_path / "cf.jsonl"
    problems.write_text("".join(json.dumps(r) + "\n" for r in rows))
    ask = replay.tasks("codeforces", problems)[0].messages("promptcot2")[0][1]
    out = tmp_path / "run"
    given = ["--standings", ELO, "--ratings", ELO / "ratings_2024_deepcoder.json"]
    done = cli(
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "codeforces",
        "--source", f"codeforces={problems}", *given, "--samples", "2", "--out", out, "--set", "run.workers=1",
        completions={ask: replay.fenced("print(input())")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Only 9001A is solved, at the first attempt: the golden case "first_only" of contest 9001.
    found = results(out)["codeforces"]["elo"]
    assert found["contests"]["9001"] == 1223
    assert "contests used 2/2" in done.stdout
    again = cli("evaluate", "elo", "--results", out, *given, "--json")
    assert json.loads(again.stdout) == found
    early = cli(
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "codeforces",
        "--source", f"codeforces={replay.official('codeforces')}", *given, "--out", tmp_path / "early",
    )  # fmt: skip
    assert early.returncode == 2
    assert "the problem '1' has no contest" in early.stderr  # before any model is asked
    assert not (tmp_path / "early" / "10_evaluate").exists()
    line = cli("evaluate", "elo", "--results", out / "results.json", *given).stdout
    assert "Elo on sample tests (DeepCoder protocol)" in line
    assert "of DeepCoder's ratings_2024; contests used 2/2" in line
    (tmp_path / "marks.json").write_text('{"1A": [true], "9003A": [true]}')
    lacking = cli("evaluate", "elo", "--results", tmp_path / "marks.json", "--standings", ELO)
    assert lacking.returncode == 2
    assert "lacks 1 contests: 1" in lacking.stderr
    assert isinstance(load(ELO, [9003])[9003], str)  # the small one


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--model", "m"], "no benchmarks"),
        (["--benchmarks", "aime24"], "neither a recipe nor --model"),
        (["--model", "m", "--benchmarks", "aime23"], "unknown key 'evaluate.benchmarks.aime23', did you mean 'aime2"),
        (["--model", "m", "--benchmarks", "aime24", "--source", "aime25=x"], "--source 'aime25=x'"),
        (["--model", "m", "--benchmarks", "aime24"], "--source aime24=FILE"),
        (["--model", "m", "--benchmarks", "aime24", "--standings", "d"], "belong to the benchmark 'codeforces'"),
        (["--model", "m", "--benchmarks", "aime24", "--engine", "floppy"], "'evaluate.model.engine'"),
        (["nowhere.yaml"], "cannot read the recipe 'nowhere.yaml'"),
    ],
)  # fmt: skip
def test_wrong_use_says_what_to_type(cli: Cli, tmp_path: Path, args: list[str], message: str) -> None:
    done = cli("evaluate", *args, "--out", tmp_path / "o")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
