"""`promptcot evaluate ...` as it is typed: alone, with a recipe, killed and resumed, compared, rated; and wrong use."""

from __future__ import annotations

import json
from importlib.metadata import version
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


def test_runs_over_other_files_are_paired_by_their_problems_or_refused(cli: Cli, tmp_path: Path) -> None:
    def scored(out: str, rows: list[dict[str, object]], right: int) -> None:
        path = tmp_path / f"{out}.json"
        path.write_text("\ufeff" + json.dumps(rows))  # an array, with a byte order mark
        done = cli(
            "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "aime24", "--source",
            f"aime24={path}", "--samples", "2", "--out", tmp_path / out, "--set", "run.workers=1", completions=key(right),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    bare: list[dict[str, object]] = [{k: v for k, v in row.items() if k != "id"} for row in ROWS]
    scored("before", bare[:5], 2)  # without ids: 1 to 5
    scored("after", list(ROWS[:4]), 3)  # the same, but the last, counted from 0
    scored("other", bare[5:], 0)  # others, 1 to 5 too
    shown = cli("evaluate", "compare", tmp_path / "before", tmp_path / "after").stdout
    assert "+25.0" in shown  # of four problems one is right in addition; 1 to 3 by their ids would be +0
    assert "n=4" in shown
    assert "4 problems have other ids in after than in before (1 is 0, 2 is 1, 3 is 2)" in shown
    refused = cli("evaluate", "compare", tmp_path / "before", tmp_path / "other")
    assert refused.returncode == 2
    assert "'before' and 'other' share no problem" in refused.stderr


def test_rows_that_cannot_be_scored_are_refused_by_name_and_counted(cli: Cli, tmp_path: Path) -> None:
    rows: list[object] = [
        *ROWS[:2], {"id": "list", "problem": "A list?", "answer": ["204"]}, {"id": "map", "problem": "A map?", "answer": {"v": 1}},
        {"id": "none", "problem": "None?", "answer": "None", "[/x]": 1}, {"id": "nan", "problem": "NaN?", "answer": float("nan")},
        [1], {"id": "ends", "problem": "Where does it end?", "answer": "So 200 + 4 it is.\n#### 204"}, {"[/b]": "7"},
        {"id": "sick", "problem": "Which?", "answer": "x > i"}, {"id": "two", "problem": "Roots?", "answer": "\\boxed{1} or \\boxed{2}"},
    ]  # fmt: skip
    path = tmp_path / "odd.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = {"A list?": "204", "Where does it end?": "204", "Roots?": "1, 2"}
    done = cli(
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "aime24", "--source", f"aime24={path}",
        "--samples", "1", "--out", tmp_path / "o", "--set", "run.workers=1",
        completions={**key(2), **{f"{problem}{ASK}": f"\\boxed{{{answer}}}" for problem, answer in said.items()}},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entry = results(tmp_path / "o")["aime24"]
    assert entry["verdicts"] == {"0": "c", "1": "c", "list": "c", "ends": "c", "two": "c"}
    assert [(r["id"].rpartition(" ")[2], r["reason"]) for r in entry["refused"]] == [
        ("line-4", "bad_row"), ("line-5", "bad_row"), ("line-6", "bad_row"), ("line-7", "unreadable_row"),
        ("line-9", "bad_row"), ("aime24/sick", "bad_gold"),
    ]  # fmt: skip
    assert "6 rows were refused" in done.stdout
    assert "line-4: the answer is a dict, not one text" in done.stdout
    assert "5 problems, gold checked (the paper's has 30); 6 rows refused" in done.stderr
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[3:7]))
    none = cli("evaluate", "--model", "m", "--engine", "scripted", "--benchmarks", "aime24", "--source", f"aime24={path}", "--out", tmp_path / "n")  # fmt: skip
    assert none.returncode == 2
    assert "4 rows refused: " in none.stderr
    assert "the column answer is 'None', which is no answer" in none.stderr


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


def test_programs_import_the_packages_that_were_named_and_the_results_say_their_versions(
    cli: Cli, tmp_path: Path
) -> None:
    problems = tmp_path / "cf.jsonl"
    problems.write_text(
        json.dumps({"id": "1A", "problem": "Repeat the input.", "tests": [{"input": "1", "output": "1"}]})
        + "\n"
    )
    ask = replay.tasks("codeforces", problems)[0].messages("promptcot2")[0][1]
    answer = {ask: replay.fenced("import numpy\nprint(numpy.int64(input()))")}
    command = [
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", "codeforces", "--samples", "1",
        "--source", f"codeforces={problems}", "--set", "run.workers=1", "--out",
    ]  # fmt: skip
    for out, more, verdict in (("with", ["--packages", "NumPy"], "c"), ("without", [], "i")):
        done = cli(*command, tmp_path / out, *more, completions=answer)
        assert done.returncode == 0, done.stderr
        assert results(tmp_path / out)["codeforces"]["verdicts"] == {"1A": verdict}
    ran = {
        out: json.loads((tmp_path / out / "results.json").read_text())["program_runner"]
        for out in ("with", "without")
    }
    assert f"with numpy {version('numpy')}" in ran["with"]
    assert "numpy" not in ran["without"]
    other = cli(*command, tmp_path / "with", completions=answer)
    assert other.returncode == 2
    assert "programs.packages: there ['numpy'], here []" in other.stderr
    missing = cli(*command, tmp_path / "missing", "--packages", "no-such-package", completions=answer)
    assert missing.returncode == 2
    assert "-m pip install no-such-package" in missing.stderr
    assert not (tmp_path / "missing").exists()  # before anything


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
