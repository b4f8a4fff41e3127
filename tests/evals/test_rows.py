"""Rows of every documented shape become the same tasks; what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.evals import benchmarks, gold
from promptcot.records import UnitTest
from promptcot.settings import Benchmark

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.exists(), reason="needs ../shared/data (evaluation files), which is not here"
)
COUNTS = {"aime24": 30, "aime25": 30, "hmmt25": 30, "lcb_v5": 279, "lcb_v6": 131, "codeforces": 408}


def chat(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n<think>\n"


def source(tmp_path: Path, *rows: dict[str, Any], name: str = "rows.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def official(name: str) -> Benchmark:
    return Benchmark.model_validate({"source": str(DATA / "official" / f"promptcot2_{name}_test.jsonl")})


@needs_data
@pytest.mark.parametrize("name", COUNTS)
def test_the_authors_files_have_the_papers_problems_and_clean_statements(name: str) -> None:
    tasks = benchmarks.read(name, official(name))
    assert len(tasks) == len({t.id for t in tasks}) == COUNTS[name] == benchmarks.DEFINITIONS[name].problems
    for task in tasks:
        assert "<|im" not in task.problem + task.request, task.id
        assert task.problem in task.request
        assert "Please reason step by step" not in task.problem
        assert "Read the inputs from stdin solve" not in task.problem
        assert task.messages("promptcot2") == (("user", task.request),)
        assert task.messages("compact") == (("user", task.problem),)


@needs_data
@pytest.mark.parametrize("name", ["aime24", "aime25", "hmmt25", "codeforces"])
def test_the_gold_of_the_authors_files_judges_rightly(name: str) -> None:
    tasks = benchmarks.read(name, official(name))
    assert gold.flaws(tasks, "symbolic") == []
    if name == "aime25":
        assert [t.answer for t in tasks if not str(t.answer).isdigit()] == ["336^\\circ"]


@needs_data
@pytest.mark.parametrize(
    ("name", "file"), [("aime24", "aime_2024"), ("aime25", "aime_2025"), ("hmmt25", "hmmt_feb_2025")]
)
def test_another_publication_of_a_set_has_the_same_answers(name: str, file: str) -> None:
    here = sorted(
        str(t.answer).removesuffix("^\\circ").lstrip("0") for t in benchmarks.read(name, official(name))
    )
    tasks = benchmarks.read(name, Benchmark.model_validate({"source": str(DATA / "math" / f"{file}.jsonl")}))
    assert gold.flaws(tasks, "symbolic") == []
    plain = sorted(str(t.answer).lstrip("0") for t in tasks)
    assert sum(a == b for a, b in zip(here, plain, strict=True)) >= 28  # HMMT: two are spelled in another way


@needs_data
def test_prompts_without_tests_can_be_read_but_not_scored() -> None:
    tasks = benchmarks.read("lcb_v6", official("lcb_v6"))
    with pytest.raises(UserError, match="has no tests") as error:
        gold.flaws(tasks, "symbolic")
    assert "--source lcb_v6=" in error.value.do


def test_both_shapes_of_a_math_row_give_the_same_problem(tmp_path: Path) -> None:
    asked = "What is $1+1$?\nPlease reason step by step, and put your final answer within \\boxed{}."
    path = source(
        tmp_path, {"idx": 7, "prompt": chat(asked), "reference_solution": "Count: \\boxed{2}\n#### 2"},
        {"problem": "What is $1+1$?", "answer": 2, "problem_idx": 8},
    )  # fmt: skip
    first, second = benchmarks.read("aime24", Benchmark(source=[path]))
    assert (first.id, first.problem, first.answer) == ("aime24/7", "What is $1+1$?", "2")
    assert (second.id, second.problem, second.answer) == ("aime24/8", "What is $1+1$?", "2")
    assert first.messages("promptcot2") == second.messages("promptcot2") == (("user", asked),)


def test_a_boxed_reference_is_unboxed(tmp_path: Path) -> None:
    row = {"idx": 0, "prompt": "Q?", "reference_solution": "\\boxed{336^\\circ}"}
    (task,) = benchmarks.read("aime25", Benchmark(source=[source(tmp_path, row)]))
    assert task.answer == "336^\\circ"


def test_both_shapes_of_a_codeforces_row_and_the_names_beside_them(tmp_path: Path) -> None:
    asked = "You get a task.\n\nQuestion: Add.\n\nInput\n\nTwo numbers.\n\nRead the inputs from stdin solve the problem"
    cases = json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]})
    path = source(
        tmp_path, {"prompt": chat(asked), "input_output": cases},
        {"problem": "Add.\n\nInput\n\nTwo numbers.", "tests": [{"input": "1 2\n", "output": "3\n"}]},
    )  # fmt: skip
    first, second = benchmarks.read("codeforces", Benchmark(source=[path]))
    assert first.tests == second.tests == [UnitTest("1 2\n", "3\n")]
    assert first.problem == second.problem
    assert [first.name, second.name] == ["1", "2"]
    ids = tmp_path / "ids.json"
    ids.write_text('["1971A", "1971B"]')
    named = benchmarks.read("codeforces", Benchmark(source=[path], ids=str(ids)))
    assert [t.id for t in named] == ["codeforces/1971A", "codeforces/1971B"]
    ids.write_text('["1971A"]')
    with pytest.raises(UserError, match="2 problems and 1 names"):
        benchmarks.read("codeforces", Benchmark(source=[path], ids=str(ids)))


def test_the_first_problems_only(tmp_path: Path) -> None:
    path = source(tmp_path, *({"id": i, "problem": f"{i}?", "answer": i} for i in range(5)))
    assert [t.name for t in benchmarks.read("hmmt25", Benchmark(source=[path], problems=2))] == ["0", "1"]


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        (
            "aime24",
            {"problem": "Q?", "solution": "2"},
            "line-1 has no answer; its columns: problem, solution",
        ),
        ("aime24", {"answer": "2"}, "has no problem or question"),
        ("codeforces", {"problem": "Q?", "tests": [{"input": "1"}]}, "has no tests"),
        ("codeforces", {"prompt": "Q?", "input_output": "{"}, "input_output is not JSON"),
        (
            "codeforces",
            {"prompt": "Q?", "input_output": '{"inputs": ["1"], "outputs": []}'},
            "1 inputs and 0 outputs",
        ),
        ("lcb_v6", {"question_id": "a"}, "has no contest_date"),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    tmp_path: Path, name: str, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        benchmarks.read(name, Benchmark(source=[source(tmp_path, row)]))


def test_a_problem_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    row = {"id": 1, "problem": "Q?", "answer": 1}
    with pytest.raises(UserError, match="the problem 1 is there twice"):
        benchmarks.read("aime24", Benchmark(source=[source(tmp_path, row, row)]))


def test_a_missing_source_says_what_to_type() -> None:
    with pytest.raises(UserError, match="'aime24' has no source") as error:
        benchmarks.read("aime24", Benchmark())
    assert "--source aime24=FILE" in error.value.do
    assert "hf://datasets/HuggingFaceH4/aime_2024" in error.value.do
    with pytest.raises(UserError, match="there is no file"):
        benchmarks.read("aime24", Benchmark(source=["nowhere.jsonl"]))
    with pytest.raises(UserError, match=r"expected: hf://datasets/OWNER/NAME"):
        benchmarks.read("aime24", Benchmark(source=["hf://models/x"]))


def test_parquet_is_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [3], "problem": ["Q?"], "answer": ["5"]}), tmp_path / "a.parquet")
    (task,) = benchmarks.read("hmmt25", Benchmark(source=[str(tmp_path / "a.parquet")]))
    assert (task.id, task.answer) == ("hmmt25/3", "5")


def qa(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + {n}?", "answer": str(2 * n), **more} for n in numbers]


def test_two_files_without_ids_are_counted_on_and_no_problem_is_lost(tmp_path: Path) -> None:
    one, two = (
        source(tmp_path, *qa(1, 2), name="one.jsonl"),
        source(tmp_path, *qa(1, 3, 4, 5), name="two.jsonl"),
    )
    alone = [t.id for t in benchmarks.read("aime25", Benchmark(source=[two]))]
    assert alone == ["aime25/1", "aime25/2", "aime25/3", "aime25/4"]
    tasks = benchmarks.read("aime25", Benchmark(source=[one, two]))
    # Line 1 is the same problem in both; line 2 of the second file is line 4 of all.
    assert [(t.name, t.answer) for t in tasks] == [
        ("1", "2"),
        ("2", "4"),
        ("4", "6"),
        ("3", "8"),
        ("6", "10"),
    ]
    code = [{"problem": f"Print {n}.", "tests": [{"input": "", "output": str(n)}]} for n in range(3)]
    one, two = source(tmp_path, *code[:1], name="a.jsonl"), source(tmp_path, *code[1:], name="b.jsonl")
    tasks = benchmarks.read("codeforces", Benchmark(source=[one, two]))
    assert [(t.name, t.problem) for t in tasks] == [("1", "Print 0."), ("2", "Print 1."), ("3", "Print 2.")]


@pytest.mark.parametrize("second", [{"question": "What is 2 + 2?", "answer": "4"}, {"answer": "3"}])
def test_two_problems_with_one_id_of_their_own_are_an_error_that_names_both_files(
    tmp_path: Path, second: dict[str, str]
) -> None:
    (first,) = qa(1, id="a7")
    one, two = (
        source(tmp_path, r, name=f"{n}.jsonl") for n, r in (("one", first), ("two", {**first, **second}))
    )
    with pytest.raises(UserError, match=r"two\.jsonl', line-1 and '.*one\.jsonl', line-1: .* id a7"):
        benchmarks.read("aime25", Benchmark(source=[one, two]))
    (task,) = benchmarks.read("aime25", Benchmark(source=[one, one]))  # the same problem twice is one
    assert task.id == "aime25/a7"


def test_a_line_number_that_another_source_has_as_an_id_is_an_error(tmp_path: Path) -> None:
    one = source(tmp_path, *qa(1, id="1"), *qa(2, id="3"), name="one.jsonl")
    two = source(tmp_path, *qa(3), name="two.jsonl")
    with pytest.raises(UserError, match="id 1"):
        benchmarks.read("aime25", Benchmark(source=[one, two]))
