"""The real command line: the whole corridor at its smallest, and what wrong use gets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.docs.report_paths import documented, names

from promptcot.records import HeldOut
from promptcot.store import Step

ROOT = Path(__file__).parents[2]
TINY = ROOT / "recipes" / "tiny.yaml"
SHARED = ROOT.parent / "shared" / "data"


def cli(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "promptcot.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted run of the tiny recipe."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    done = cli("run", TINY, "--run-dir", path)
    assert done.returncode == 0, done.stderr
    return path


def steps_in(said: str) -> list[str]:
    """The steps whose lines a run printed."""
    return re.findall(r"^  (\d\d_\w+/\S+) ", said, re.MULTILINE)


def digests(path: Path) -> dict[str, Any]:
    shown = cli("show", path, "--digest", "--json")
    assert shown.returncode == 0, shown.stderr
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def test_a_run_leaves_a_report_with_the_documented_numbers(finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    stages = [row["stage"] for row in report["funnel"]]
    assert stages[:2] == ["seeds", "annotate"]
    for row in report["funnel"]:
        assert row["rows_in"] == row["rows_out"] + row["rejected"], row
        assert row["rejected"] == sum(row["reasons"].values()), row
    assert [r["iteration"] for r in report["em"]["iterations"]] == [0, 1]
    assert [r["iteration"] for r in report["em"]["without_estep"]] == [0, 1]
    assert (
        report["em"]["without_estep"][0]["bound"] == report["em"]["iterations"][0]["bound"]
    )  # one cold start
    asked = {row["set"]: row["problems"] for row in report["difficulty_table"]["sets"]}
    assert asked["seeds"] == asked["curated"] == 20
    assert [row["set"] for row in report["concepts"]["sets"]] == [
        "seeds",
        "new problems",
        "curated",
        "labelled",
    ]
    assert {"absent", "sets"} & set(report["distribution"])
    for r in report["em"]["iterations"]:
        assert r["nll_x_given_z"] > 0 > r["joint"]
        assert r["rationale_tokens"] > 0
    assert {r["regime"] for r in report["evaluation"]} == {"self_play", "sft"}
    for r in report["evaluation"]:
        assert 0 <= r["before"]["ci95"][0] <= r["before"]["mean"] <= r["before"]["ci95"][1] <= 1
    assert report["wall_s"] > 0
    assert report["peak_rss_mb"] > 100
    assert names(report) - documented() == set()
    html = (finished / "report.html").read_text()
    assert "<svg" in html
    assert "simulated" in html


def test_the_plan_counts_the_requests_that_the_run_made(finished: Path) -> None:
    shown = cli("plan", TINY, "--json")
    assert shown.returncode == 0, shown.stderr
    planned = {(r["stage"], r["what"]): r["requests"]["high"] for r in json.loads(shown.stdout)["lines"]}
    steps = json.loads(cli("show", finished, "--json").stdout)["steps"]
    made = {s["step"].partition("_")[2]: s["rows_in"] for s in steps}
    assert planned["em", "E-step: rationales of q"] == made["em/e1_samples"]
    assert planned["em", "M-step: greedy rationales"] == made["em/m1_rationales"]
    drawn = made["em/h0_samples"] + made["em/h1_samples"]
    assert planned["em", "held-out: rationales of q"] == drawn
    scores = ("h0_scores", "h1_scores", "h1_under_cold", "h1_cold_under_now")
    assert planned["em", "held-out: scores under p and q"] == sum(made[f"em/{s}"] for s in scores)
    assert planned["em", "held-out: problems of p"] == made["em/h0_written"] + made["em/h1_written"]
    assert planned["synthesize", "problems of p"] == made["synthesize/problems"]
    annotations = sum(n for (stage, _), n in planned.items() if stage == "annotate")
    assert annotations == 2 * made["annotate/triples"]  # concepts, then rationale


def test_running_again_does_nothing_and_changes_nothing(finished: Path) -> None:
    before, report = digests(finished), (finished / "report.json").read_bytes()
    again = cli("run", TINY, "--run-dir", finished)
    assert again.returncode == 0, again.stderr
    assert steps_in(again.stderr) == []
    assert digests(finished) == before
    assert (finished / "report.json").read_bytes() == report


def test_worker_count_does_not_change_a_single_row(finished: Path, tmp_path: Path) -> None:
    for stage in ("seeds", "annotate", "coldstart", "em"):
        done = cli(stage, TINY, "--run-dir", tmp_path / "r", "--set", "run.workers=1", "--quiet")
        assert done.returncode == 0, done.stderr
    one, two = digests(tmp_path / "r")["steps"], digests(finished)["steps"]
    assert one == {k: v for k, v in two.items() if k in one}
    assert "04_em/p1" in one


def test_a_changed_parameter_is_refused_and_a_fork_keeps_what_is_still_valid(finished: Path) -> None:
    changed = ("run", TINY, "--run-dir", finished, "--set", "synthesize.novel=0.25")
    refused = cli(*changed)
    assert refused.returncode == 2
    assert "synthesize.novel: there 0.5, here 0.25" in refused.stderr
    assert "--fork" in refused.stderr
    assert "Traceback" not in refused.stderr
    for stage in ("seeds", "annotate", "coldstart", "em", "synthesize"):
        forked = cli(stage, TINY, "--run-dir", finished, "--set", "synthesize.novel=0.25", "--fork", "other")
        assert forked.returncode == 0, forked.stderr
        assert bool(steps_in(forked.stderr)) == (stage == "synthesize")
    mine, theirs = digests(finished.parent / "other")["steps"], digests(finished)["steps"]
    assert mine["04_em/p1"] == theirs["04_em/p1"]
    assert mine["05_synthesize/problems"] != theirs["05_synthesize/problems"]


def test_show_prints_rows_rejects_and_an_overview(finished: Path) -> None:
    rows = cli("show", finished, "label/problems", "--sample", "3")
    assert all("label_votes" in json.loads(line) for line in rows.stdout.splitlines())
    rejects = cli("show", finished, "label/problems", "--rejects", "--sample", "1")
    assert json.loads(rejects.stdout)["reason"]
    assert "04_em/p1" in cli("show", finished).stdout
    wrong = cli("show", finished, "label/nothing")
    assert wrong.returncode == 2
    assert "label/problems" in wrong.stderr


def test_an_ablation_shares_what_its_arms_have_in_common_and_reports_them(
    finished: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished, study / "seed-1", ignore=shutil.ignore_patterns("04_*", "1*", "0[5-9]*"))
    arms = ["with_estep", "joint-best-greedy", "iw-best-selected", "init_plain"]
    chosen = ("--set", f"em.ablation=[{', '.join(arms)}]")
    args = ("em", TINY, "--ablation", "--seeds", "1", "--jobs", "1", "--run-dir", study, *chosen)
    done = cli(*args)
    assert done.returncode == 0, done.stderr
    steps = study / "seed-1" / "04_em"

    def same(step: str, one: str, other: str) -> bool:
        a, b = (next((steps / f"{arm}.{step}").rglob("*.*")) for arm in (one, other))
        return a.samefile(steps / f"{other}.{step}" / a.relative_to(steps / f"{one}.{step}")) and b.exists()

    # Another selection rule costs no model time: candidates and their scores are taken over...
    for step in ("h0_samples", "h0_scores", "e1_samples", "e1_candidates"):
        assert same(step, "with_estep", "iw-best-selected"), step
        assert f"with_estep.{step}" in done.stderr
        assert f"iw-best-selected.{step}" not in done.stderr
    # ... and an arm that is the recipe under another name costs nothing at all.
    assert same("p1/artifact", "with_estep", "joint-best-greedy")
    assert not same("p1/artifact", "with_estep", "iw-best-selected")
    found = json.loads((study / "report.json").read_text())["ablation"]
    assert [a["arm"] for a in found["arms"]] == arms
    first, twin, _, plain = (a["iterations"][-1] for a in found["arms"])
    assert first["bound"] == twin["bound"]
    assert plain["bound"] == pytest.approx(plain["joint"])  # log p(x|c) itself
    assert plain["nll_sampled"] is None
    assert "init_plain" in (study / "report.html").read_text()
    again = cli(*args)
    assert again.returncode == 0, again.stderr
    assert steps_in(again.stderr) == []


def test_the_curve_without_the_e_step_shares_iteration_0_and_selects_nothing(finished: Path) -> None:
    for stage in ("seeds", "annotate", "coldstart", "em"):
        done = cli(
            stage, TINY, "--run-dir", finished, "--set", "em.mstep_rationale=selected", "--fork", "selected"
        )
        assert done.returncode == 0, done.stderr
    steps = finished.parent / "selected" / "04_em"
    for step in ("h0_samples", "h0_scores", "h0_written", "h0_heldout"):
        ours = next((steps / step).glob("*.parquet"))
        assert ours.samefile(steps / f"no_estep.{step}" / ours.name), step
    assert (steps / "e1_selected").exists()
    assert not (steps / "m1_rationales").exists()
    assert not list(steps.glob("no_estep.e*"))
    rationales = (
        finished / "04_em" / "no_estep.m1_rationales" / "done.json"
    ).read_text()  # by the recipe's greedy M-step
    assert (steps / "no_estep.m1_rationales" / "done.json").read_text() == rationales


def test_adaptive_k_draws_more_only_where_the_choice_is_open(finished: Path) -> None:
    for stage in ("seeds", "annotate", "coldstart", "em"):
        done = cli(
            stage, TINY, "--run-dir", finished, "--set", "em.k_first=1", "--set", "em.settled=0.9", "--fork", "adaptive"
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    path = finished.parent / "adaptive"
    steps = {s["step"]: s for s in json.loads(cli("show", path, "--json").stdout)["steps"]}
    first, more = steps["04_em/e1_samples"], steps.get("04_em/e1_more_samples")
    assert first["rows_in"] == 40  # one candidate each; a single one holds all the weight
    assert more is None or more["rows_in"] == first["rejected"]  # only items without any candidate


def test_a_gates_action_is_fixed_once_the_em_is_decided(finished: Path) -> None:
    refused = cli("em", TINY, "--run-dir", finished, "--set", "em.gates.action=fail")
    assert refused.returncode == 2
    assert "was decided with em.gates.action=return" in refused.stderr
    assert "04_em/" not in refused.stderr  # nothing was run for it


def test_a_decision_whose_manifest_was_cut_is_made_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "cut")
    manifest = tmp_path / "cut" / "04_em" / "decision" / "commits.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-5])
    again = cli("em", TINY, "--run-dir", tmp_path / "cut")
    assert again.returncode == 0, again.stderr
    assert digests(tmp_path / "cut") == digests(finished)


@pytest.mark.parametrize("items", [6, 20])
def test_a_fork_that_measures_other_items_measures_all_of_them(items: int, finished: Path) -> None:
    for stage in ("seeds", "annotate", "coldstart", "em"):
        name = f"measured{items}"
        done = cli(stage, TINY, "--run-dir", finished, "--set", f"em.measure={items}", "--fork", name)
        assert done.returncode == 0, done.stderr
    for t in (0, 1):
        step = Step.load(finished.parent / name / "04_em" / f"h{t}_heldout", HeldOut)
        assert (step.totals()["rows_out"], step.totals()["rejected"]) == (items, 0)


def test_a_fork_scores_a_benchmark_before_and_after_and_curates_against_it(
    finished: Path, tmp_path: Path
) -> None:
    source = tmp_path / "aime.jsonl"
    rows = [{"id": i, "problem": f"What is {i} + 4?", "answer": i + 4} for i in range(3)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [
        "--set",
        f"evaluate.benchmarks.aime24={{source: {source}, samples: 2}}",
        "--set",
        "evaluate.benchmark_sampling.max_tokens=64",
    ]
    late = cli("evaluate", TINY, "--run-dir", finished, *sets)
    assert late.returncode == 2
    assert "belongs to another recipe: evaluate.benchmark_sampling.max_tokens" in late.stderr
    late = cli("evaluate", TINY, "--run-dir", finished, *sets[:2])
    assert late.returncode == 2
    assert "decontaminated against other benchmarks" in late.stderr
    done = cli("run", TINY, "--run-dir", finished, "--fork", "scored", *sets)
    assert done.returncode == 0, done.stderr
    path = finished.parent / "scored"
    models = json.loads((path / "results.json").read_text())["models"]
    assert set(models) == {"solver_before", "solver_after", "student_before", "student_after"}
    for model in models.values():
        assert (model["benchmarks"]["aime24"]["attempts"], model["benchmarks"]["aime24"]["unscored"]) == (
            6,
            0,
        )
    assert "student_before.aime24" not in done.stderr  # the same model as solver_before: taken over
    found = json.loads((path / "report.json").read_text())["evaluation"]
    assert {(r["regime"], r["problems"]) for r in found if r["split"] == "aime24"} == {
        ("self_play", 3),
        ("sft", 3),
    }


WRONG = [
    (("run", "none.yaml"), "cannot read the recipe"),
    (("run", "{tiny}", "--set", "em.kk=3"), "unknown key 'em.kk'"),
    (("run", "{tiny}", "--set", "em.k=0"), "'em.k'"),
    (("run", "{tiny}", "--set", "em.k"), "has no '='"),
    (("em", "{tiny}", "--ablation", "--set", "em.ablation=[wiht_estep]"), "unknown arm 'wiht_estep'"),
    (("em", "{tiny}", "--ablation", "--seeds", "1,two"), "whole numbers"),
    (("run", "{tiny}", "--run-dir", "{file}/x"), "cannot write"),
    (("run", "{tiny}", "--run-dir", "{full}"), "holds other files"),
    (("em", "{tiny}", "--run-dir", "{new}"), "promptcot annotate RECIPE"),
    (("show", "{new}"), "not a run directory"),
    (("run", "{tiny}", "--run-dir", "{new}", "--set", "seeds={source: jsonl, path: none.jsonl}"), "cannot read the seed file"),
    (("run", "{tiny}", "--run-dir", "{new}", "--set", "seeds={source: jsonl, path: {empty}}"), "is empty"),
    (("run", "{tiny}", "--run-dir", "{new}", "--set", "seeds={source: jsonl, path: {bad}}"), "malformed_json (line-2"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said"), WRONG, ids=lambda v: v if isinstance(v, str) else "")
def test_wrong_use_is_explained_without_a_traceback(args: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "bad.jsonl").write_text('{"problem": "What is 1+1?"}\n{"problem": \n{"answer": "3"}\n')
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    names = {
        "{tiny}": TINY, "{file}": tmp_path / "file", "{full}": tmp_path / "full", "{new}": tmp_path / "new",
        "{empty}": tmp_path / "empty.jsonl", "{bad}": tmp_path / "bad.jsonl",
    }  # fmt: skip
    filled = []
    for arg in args:
        for key, value in names.items():
            arg = arg.replace(key, str(value))
        filled.append(arg)
    done = cli(*filled, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_rows_are_kept_as_rejects_when_the_stage_fails_and_a_higher_threshold_goes_on(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"problem": "What is 1+1?"}\n{"problem": \n{"answer": "3"}\n')
    args = ("seeds", TINY, "--run-dir", tmp_path / "r", "--set", f"seeds={{source: jsonl, path: {file}}}")
    assert cli(*args).returncode == 2
    shown = cli("show", tmp_path / "r", "seeds/seeds", "--rejects").stdout.splitlines()
    assert [json.loads(line)["reason"] for line in shown] == ["malformed_json", "no_problem"]
    assert cli(*args[:-1], f"seeds={{source: jsonl, path: {file}, max_rejected: 1.0}}").returncode == 0


def test_two_processes_do_not_work_on_one_run(finished: Path) -> None:
    import fcntl

    with (finished / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = cli("run", TINY, "--run-dir", finished)
    assert done.returncode == 2
    assert "another process is working" in done.stderr


def test_help_lists_every_stage_in_order() -> None:
    from promptcot.settings import STAGES

    text = cli("--help").stdout
    places = [text.index(f"│ {s} ") for s in STAGES]
    assert places == sorted(places)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data (real GSM8K rows), which is not here")
def test_real_problems_go_through_seeds_and_annotation(tmp_path: Path) -> None:
    path = SHARED / "math" / "gsm8k_train.jsonl"
    for stage in ("seeds", "annotate"):
        done = cli(
            stage, ROOT / "recipes" / "gsm8k.yaml", "--run-dir", tmp_path / "g", "--set", f"seeds.path={path}"
        )
        assert done.returncode == 0, done.stderr
    row = json.loads(cli("show", tmp_path / "g", "annotate/triples", "--sample", "1").stdout)
    assert row["annotator"] == "given"
    assert row["rationale"].startswith("Give ")
