"""Problems of a file take the place of p's: through curate and label, with the labels they bring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from promptcot.corridor import execute
from promptcot.errors import UserError
from promptcot.readers.files import file_digest
from promptcot.readers.release import wrap
from promptcot.recipe import parse
from promptcot.records import Problem
from promptcot.runner.progress import Reporter
from promptcot.settings import Synthesize
from promptcot.stages.synthesize import read_problems
from promptcot.store import Step

TEXT = (
    "Take the number {} and add the digits of its square, then say what is left of it. What number is that?"
)
ROWS: list[dict[str, object]] = [
    {"source": "PromptCoT-Math", "prompt": wrap(TEXT.format(i), "math"), "answer": str(i)} for i in range(3)
]
ROWS.append({"source": "PromptCoT-Code", "prompt": wrap("Read n. Print n plus one, and nothing else.", "code"),
             "test_cases": [{"input": "1", "output": "2"}]})  # fmt: skip


def write(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_released_problems_keep_their_labels_up_to_self_play(tmp_path: Path) -> None:
    file = write(tmp_path / "released.jsonl", [*ROWS, ROWS[0] | {"id": "again"}, {"prompt": ""}])
    recipe = parse(
        {
            "name": "released", "run": {"workers": 1}, "seeds": {"source": "pocket", "count": 1, "heldout": 4},
            "synthesize": {"path": str(file)}, "curate": {}, "label": {"model": {"engine": "scripted"}, "samples": 5},
        }
    )  # fmt: skip
    assert recipe.stages() == ["seeds", "synthesize", "curate", "label", "analyze", "report"]
    run = execute(
        recipe, ["seeds", "synthesize", "curate", "label"], Reporter(quiet=True), str(tmp_path / "run")
    )
    made = Step.load(run / "05_synthesize" / "problems", Problem)
    assert [r.reason for r in made.rejects()] == ["no_problem"]
    curated = Step.load(run / "06_curate" / "problems", Problem)
    assert [r.reason for r in curated.rejects()] == ["exact_duplicate"]
    labelled = list(Step.load(run / "07_label" / "problems", Problem).rows())
    assert [(p.domain, p.answer) for p in labelled] == [
        ("math", "0"),
        ("math", "1"),
        ("math", "2"),
        ("code", None),
    ]
    assert [t.output for t in labelled[3].tests] == ["2"]
    assert [p.problem for p in labelled[:3]] == [TEXT.format(i) for i in range(3)]
    assert not any(p.label_samples for p in labelled)


def test_a_label_that_can_judge_nobody_is_left_out_so_that_the_problem_gets_a_vote(tmp_path: Path) -> None:
    tests, silent = [{"input": "1", "output": "2"}], [{"input": "1", "output": " "}]
    program = "Read n and print the number that follows {} of it, alone on a line."
    answers: list[object] = ["\\boxed{7}", "", "\\frac{1", ["5"], "8"]
    rows: list[dict[str, object]] = [
        {"id": i, "problem": TEXT.format(i), "answer": a} for i, a in enumerate(answers)
    ] + [
        {"id": 5, "problem": TEXT.format(5), "tests": tests},
        {"id": 6, "domain": "code", "problem": program.format("once"), "answer": "print(1)"},
        {
            "id": 7,
            "domain": "code",
            "problem": program.format("twice"),
            "answer": "print('{')",
            "tests": tests,
        },
        {"id": 8, "domain": "code", "problem": program.format("thrice"), "tests": silent},
        {"id": 9, "problem": TEXT.format(9), "answer": {"value": 3}},
    ]
    file = str(write(tmp_path / "rows.jsonl", rows))
    said: list[str] = []
    n, problems, rejects = read_problems(file, Synthesize(path=file), "math", said.append)
    assert n == 10
    # the broken fraction, math with tests, code without, code whose tests a silent program passes
    assert said == [
        "  rows.jsonl: 4 problems bring an answer or tests that can judge nobody; they are labelled anew"
    ]
    assert [r.reason for r in rejects] == ["bad_answer"]
    assert [(p.answer, len(p.tests)) for p in problems] == [
        ("7", 0), (None, 0), (None, 0), ("5", 0), ("8", 0), (None, 0), (None, 0), (None, 1), (None, 0)
    ]  # fmt: skip
    recipe = parse(
        {
            "name": "golds", "run": {"workers": 1}, "seeds": {"source": "pocket", "count": 1, "heldout": 4},
            "synthesize": {"path": file}, "curate": {"near_threshold": 0.95},
            "label": {"model": {"engine": "scripted"}, "samples": 5},
        }
    )  # fmt: skip
    run = execute(
        recipe, ["seeds", "synthesize", "curate", "label"], Reporter(quiet=True), str(tmp_path / "run")
    )
    labelled = Step.load(run / "07_label" / "problems", Problem)
    assert [(p.answer, len(p.tests)) for p in labelled.rows()] == [
        ("7", 0), ("5", 0), ("8", 0), (None, 1)
    ]  # fmt: skip
    assert labelled.totals()["reasons"] == {"no_answer": 3, "no_test_proposed": 2}


def test_only_the_first_problems_are_read_and_their_ids_do_not_depend_on_how_many(tmp_path: Path) -> None:
    file = str(write(tmp_path / "released.jsonl", ROWS))
    n, two, _ = read_problems(file, Synthesize(path=file, problems=2), "math")
    _, four, _ = read_problems(file, Synthesize(path=file), "math")
    assert n == 2
    assert two == four[:2]
    assert len({p.id for p in four}) == 4


def test_without_a_file_it_needs_em_and_a_number() -> None:
    seeds = {"source": "pocket", "count": 1}
    with pytest.raises(UserError, match="stage 'synthesize' needs the section 'em'"):
        parse({"name": "x", "seeds": seeds, "synthesize": {"problems": 3}})
    with pytest.raises(UserError, match="say how many problems"):
        parse({"name": "x", "seeds": seeds, "synthesize": {}})
    parse({"name": "x", "seeds": seeds, "synthesize": {"path": "none.jsonl"}})
    with pytest.raises(UserError, match="cannot read the problem file"):
        file_digest("none.jsonl", "synthesize.path")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": "What is 1 + 1?"}], "no_problem.*line-1: no text in the column problem"),
        ([], "among the 0 rows of '.*'\n"),
    ],
)
def test_a_file_without_a_usable_problem_ends_the_run_there(
    rows: list[dict[str, object]], said: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "problems.jsonl", rows)
    seeds = {"source": "pocket", "count": 1, "heldout": 1}
    recipe = parse({"name": "x", "run": {"workers": 1}, "seeds": seeds, "synthesize": {"path": str(file)}})
    for _ in range(2):  # the table is on disk by then, and no better
        with pytest.raises(UserError, match=said):
            execute(recipe, ["seeds", "synthesize"], Reporter(quiet=True), str(tmp_path / "run"))
