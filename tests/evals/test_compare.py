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
    assert change["mean"] == pytest.approx(1 / 16)
    assert change["clear"]
    low, high = change["sampling_ci95"]
    assert low < 0 < 1 / 16 < high or low > 0  # the noise of sixteen attempts is stated beside it


def test_one_attempt_has_no_sampling_interval_and_no_shared_problem_no_difference() -> None:
    change = compare.difference(entry(p="c", q="i"), entry(p="c", q="c"), seed=0)
    assert change["sampling_ci95"] is None
    none = compare.difference(entry(p="c"), entry(q="c"), seed=0)
    assert (none["problems"], none["only_first"], none["only_other"]) == (0, ["p"], ["q"])
    assert "mean" not in none


def told(texts: dict[str, str], **verdicts: str) -> dict[str, Any]:
    return {**entry(**verdicts), "texts": {name: results.text_key(text) for name, text in texts.items()}}


def test_problems_are_paired_by_their_texts_whatever_their_ids() -> None:
    # The same three problems, counted from 0 and from 1, and one that only either has.
    first = told(
        {"0": "Two?", "1": "Three\nplease?", "2": "Four?", "3": "Mine."},
        **{"0": "c", "1": "i", "2": "c", "3": "c"},
    )
    other = told(
        {"1": "Two?", "2": "Three  please?", "3": "Fo\u200bur?", "4": "Yours."},
        **{"1": "i", "2": "c", "3": "i", "4": "c"},
    )
    change = compare.difference(first, other, seed=0)
    assert change["problems"] == 3
    assert change["mean"] == pytest.approx((-1 + 1 - 1) / 3)  # by id: 1 and 1, 2 and 2, 3 and 3
    assert change["renamed"] == [["0", "1"], ["1", "2"], ["2", "3"]]
    assert (change["by"], change["only_first"], change["only_other"]) == ("text", ["3"], ["4"])
    assert compare.difference(other, first, seed=0)["mean"] == pytest.approx(1 / 3)


def test_of_equal_texts_the_first_goes_with_the_first() -> None:
    twice = told({"a": "Same.", "b": "Same."}, a="c", b="i")
    assert compare.difference(twice, told({"x": "Same.", "y": "Same."}, x="c", y="c"), seed=0)["mean"] == 0.5
    once = compare.difference(twice, told({"x": "Same."}, x="i"), seed=0)
    assert (once["problems"], once["mean"], once["only_first"]) == (1, -1.0, ["b"])


def test_a_problem_without_a_verdict_on_one_side_is_no_pair() -> None:
    texts = {"p": "P?", "q": "Q?"}
    change = compare.difference(told(texts, p="c", q="u"), told(texts, p="c", q="c"), seed=0)
    assert (change["problems"], change["only_first"], change["only_other"]) == (1, ["q"], ["q"])


def test_results_without_texts_are_paired_by_id_and_that_is_said(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.json", model={"aime24": entry(p="cc", q="ii")})
    other = saved(tmp_path / "b.json", model={"aime24": told({"p": "P?", "r": "R?"}, p="ci", r="cc")})
    assert "paired by the problems' ids" in shown(first, other)


def shown(*paths: Path) -> str:
    out = io.StringIO()
    show.comparison(compare.compare(compare.columns(list(paths))), Console(file=out, width=200))
    return out.getvalue()


def test_what_was_not_paired_is_named_below_the_table(tmp_path: Path) -> None:
    first = saved(
        tmp_path / "a.json",
        model={"aime24": told({"0": "A?", "1": "B?"}, **{"0": "cc", "1": "ci"}), "hmmt25": told({"0": "H?"}, **{"0": "c"})},
    )  # fmt: skip
    other = saved(
        tmp_path / "b.json",
        model={"aime24": told({"1": "A?", "7": "Z?"}, **{"1": "ci", "7": "cc"}), "hmmt25": told({"0": "I?"}, **{"0": "c"})},
    )  # fmt: skip
    text = shown(first, other)
    assert "n=1" in text
    assert "1 problems have other ids in b than in a (0 is 1); they are paired by their texts" in text
    assert "1 problems are in a alone, or have a verdict there alone: 1" in text
    assert "1 problems are in b alone, or have a verdict there alone: 7" in text
    assert "hmmt25: a and b share no problem, so there is no difference" in text


def test_runs_that_share_no_problem_are_not_compared(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.json", model={"aime24": told({"1": "A?", "2": "B?"}, **{"1": "c", "2": "i"})})
    other = saved(tmp_path / "b.json", model={"aime24": told({"1": "C?", "2": "D?"}, **{"1": "c", "2": "i"})})
    with pytest.raises(UserError, match=r"'a' and 'b' share no problem.*aime24 \(2 problems\)"):
        compare.compare(compare.columns([first, other]))


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"models": []}', '{"models": {"m": null}}', '{"models": {"m": {"benchmarks": {"aime24": {}}}}}',
     '{"models": {"m": {"benchmarks": {"aime24": {"verdicts": ["c"]}}}}}'],
)  # fmt: skip
def test_json_of_another_kind_is_no_results_file(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=r"is not a results\.json"):
        compare.columns([tmp_path / "r.json", tmp_path / "r.json"])


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
    text = shown(first, other)
    assert "50.0" in text
    assert "+50.0 [-100.0, +100.0] n=2" in text
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
