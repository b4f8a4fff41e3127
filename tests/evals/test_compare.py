"""Results on disk: reading them, comparing runs on shared problems, and what a table shows."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from promptcot.errors import UserError
from promptcot.evals import compare, results, show
from promptcot.records import Rollout


def entry(**verdicts: str) -> dict[str, Any]:
    marks = [v == "c" for letters in verdicts.values() for v in letters if v != "u"]
    return {
        "mean": sum(marks) / len(marks),
        "ci95": [0, 1],
        "samples": 4,
        "problems": len(verdicts),
        "verdicts": verdicts,
    }


def saved(path: Path, **models: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"models": {name: {"benchmarks": b} for name, b in models.items()}}))
    return path


def test_differences_are_paired_on_shared_problems_and_skip_what_has_no_verdict(tmp_path: Path) -> None:
    first = saved(
        tmp_path / "a" / "results.json", model={"aime24": entry(p="cccc", q="ccii", r="iiii", s="uuuu")}
    )
    other = saved(
        tmp_path / "b" / "results.json", model={"aime24": entry(p="cccu", q="ccci", r="ciii", t="cccc")}
    )
    found = compare.compare(compare.columns([first, other.parent]))
    assert found["models"] == ["a", "b"]
    (row,) = found["rows"]
    (change,) = row["differences"]
    assert change["problems"] == 3  # p, q, r
    assert change["mean"] == pytest.approx((0 + 0.25 + 0.25) / 3)
    low, high = change["sampling_ci95"]
    assert low < change["mean"] < high
    assert change["clear"] == (change["ci95"][0] > 0)


def test_pairing_sees_what_separate_intervals_hide() -> None:
    # Thirty problems from hopeless to easy; the other model gains one attempt of sixteen on each.
    first = entry(**{f"p{i}": "c" * (i // 2) + "i" * (16 - i // 2) for i in range(30)})
    other = entry(**{f"p{i}": "c" * (i // 2 + 1) + "i" * (15 - i // 2) for i in range(30)})
    change = compare.difference(first, other, seed=0)
    assert change is not None
    assert change["mean"] == pytest.approx(1 / 16)
    assert change["clear"]
    low, high = change["sampling_ci95"]
    assert low < 0 < 1 / 16 < high or low > 0  # the noise of sixteen attempts is stated beside it


def test_one_attempt_has_no_sampling_interval_and_no_shared_problem_no_difference() -> None:
    change = compare.difference(entry(p="c", q="i"), entry(p="c", q="c"), seed=0)
    assert change is not None
    assert change["sampling_ci95"] is None
    assert compare.difference(entry(p="c"), entry(q="c"), seed=0) is None


def test_elo_is_compared_over_shared_contests(tmp_path: Path) -> None:
    def rated(**contests: int) -> dict[str, Any]:
        rating = {"rating": 1.0, "se": None, "percentile": None, "contests": contests}
        return {"codeforces": {**entry(p="c", q="i"), "elo": rating}}

    path = saved(tmp_path / "r.json", before=rated(a=1000, b=1500, x=9), after=rated(a=1100, b=1700))
    found = compare.compare(compare.columns([path]))
    assert found["models"] == ["r:before", "r:after"]
    change = found["rows"][1]["differences"][0]
    assert (change["mean"], change["contests"], change["clear"]) == (
        150,
        2,
        False,
    )  # 100 and 200: two contests say little


def test_a_comparison_needs_two_models(tmp_path: Path) -> None:
    path = saved(tmp_path / "r.json", model={"aime24": entry(p="c")})
    with pytest.raises(UserError, match="one model is nothing to compare"):
        compare.columns([path])
    with pytest.raises(UserError, match="cannot read"):
        compare.columns([tmp_path / "none.json"])


def test_the_table_shows_values_differences_and_gaps(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.json", model={"aime24": entry(p="cc", q="ii"), "hmmt25": entry(p="ci")})
    other = saved(tmp_path / "b.json", model={"aime24": entry(p="cc", q="cc")})
    out = io.StringIO()
    show.comparison(compare.compare(compare.columns([first, other])), Console(file=out, width=120))
    text = out.getvalue()
    assert "50.0" in text
    assert "+50.0 [-100.0, +100.0]" in text  # of two problems
    assert [line.split()[-1] for line in text.splitlines() if "hmmt25" in line] == ["-"]


def test_marks_for_a_rating_come_from_results_or_from_elsewhere(tmp_path: Path) -> None:
    ours = saved(tmp_path / "results.json", model={"codeforces": {"verdicts": {"1A": "iuc", "1B": "uu"}}})
    marks = {"1A": [False, False, True], "1B": [False, False]}  # an unscored one is an attempt all the same
    assert results.read_marks(ours, "") == marks
    assert results.read_marks(tmp_path, "model") == marks
    theirs = tmp_path / "theirs.json"
    theirs.write_text('{"1A": [0.0, 1.0], "1B": [false]}')
    assert results.read_marks(theirs, "") == {"1A": [False, True], "1B": [False]}
    (tmp_path / "ids.json").write_text('["7A", "7B"]')
    named = results.read_marks(ours, "", str(tmp_path / "ids.json"))
    assert named == {"7A": marks["1A"], "7B": marks["1B"]}
    assert results.read_marks(theirs, "", str(tmp_path / "ids.json")) == {"7A": [False, True], "7B": [False]}
    (tmp_path / "ids.json").write_text('["7A", "7A"]')
    with pytest.raises(UserError, match="names a problem twice"):
        results.read_marks(theirs, "", str(tmp_path / "ids.json"))
    two = saved(tmp_path / "two.json", a={"codeforces": {"verdicts": {}}}, b={"codeforces": {"verdicts": {}}})
    with pytest.raises(UserError, match="a, b") as error:
        results.read_marks(two, "")
    assert error.value.do == "--model NAME"
    theirs.write_text('{"1A": [2]}')
    with pytest.raises(UserError, match="holds no results"):
        results.read_marks(theirs, "")


def attempt(problem: str, sample: int, verdict: str) -> Rollout:
    return Rollout(f"{problem}.{sample}", problem, "math", sample, "", 5, "stop", "1", verdict, "")


def test_an_attempt_that_left_no_row_is_unscored_and_counted() -> None:
    rows = [attempt("p", 1, "correct"), attempt("p", 3, "incorrect"), attempt("q", 0, "correct")]
    found = results.numbers({"p": "P", "q": "Q", "r": "R"}, rows, True, samples=4, seed=0)
    assert found["verdicts"] == {"P": "ucui", "Q": "cuuu", "R": "uuuu"}
    assert (found["attempts"], found["unscored"]) == (12, 0.75)
    assert found["unscored_reasons"] == {"engine_failed": 9}
    assert (found["problems"], found["problems_scored"], found["mean"]) == (3, 2, 0.75)
    console = Console(file=io.StringIO(), width=150)
    show.results({"m": {"aime24": {**found, "paper_problems": 30}}}, console)
    assert "9 engine_failed" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_rating_counts_which_attempt_it_was() -> None:
    found = {"verdicts": {"1A": "uc", "1B": "uu"}}
    assert results.submitted(found) == {"1A": [False, True], "1B": [False, False]}
    assert results.solved(found) == {"1A": [True]}
