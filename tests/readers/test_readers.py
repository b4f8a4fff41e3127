"""Seed readers: every offending row gets a reason, and none stops the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from promptcot.corridor import execute
from promptcot.curation.dedup import normalize_text
from promptcot.domains import get
from promptcot.domains.templates import PROMPTCOT2
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.readers.files import read_parquet, read_rows
from promptcot.readers.gsm8k import gsm8k_seed
from promptcot.readers.rows import plain_seed, read_seeds
from promptcot.recipe import parse
from promptcot.records import Seed
from promptcot.runner.progress import Reporter
from promptcot.settings import Seeds, Synthesize
from promptcot.shards import write_shard
from promptcot.stages.seeds import build
from promptcot.stages.synthesize import read_problems

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_each_bad_row_has_its_own_reason_and_the_good_ones_stay(tmp_path: Path) -> None:
    lines = [
        '{"id": "a", "problem": "What is 1+1?", "answer": 2}',
        '{"id": "b", "problem": "  "}',
        '{"id": "c", "problem": "broken"',
        "[1, 2]",
        "",
        '{"id": "a", "problem": "again"}',
        '{"id": "d", "problem": "x", "concepts": "not a list"}',
        '{"id": "e", "problem": "y", "tests": [{"input": 1, "output": "2"}]}',
    ]
    file = write(tmp_path / "p.jsonl", lines)
    n, seeds, rejects = read_seeds(read_rows(file), plain_seed({}, "math", "p.jsonl"), "p.jsonl")
    assert n == 7
    assert [(s.problem, s.answer, s.source) for s in seeds] == [("What is 1+1?", "2", "p.jsonl#a")]
    assert [(r.id, r.reason) for r in rejects] == [
        ("line-2", "no_problem"),
        ("line-3", "malformed_json"),
        ("line-4", "not_an_object"),
        ("line-6", "duplicate_id"),
        ("line-7", "bad_concepts"),
        ("line-8", "bad_tests"),
    ]


def test_a_row_that_no_table_can_hold_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    lines = [
        r'{"problem": "A smile \ud83d and 3?", "answer": "3"}',
        r'{"problem": "A smile \ud83d\ude00 and 3?", "answer": "3"}',
        '{"problem": "What is 1+1?", "x": ' + "[" * 100_000,
    ]
    _, seeds, rejects = read_seeds(
        read_rows(write(tmp_path / "p.jsonl", lines)), plain_seed({}, "math", "p"), "p"
    )
    assert [s.problem for s in seeds] == ["A smile \U0001f600 and 3?"]
    assert [(r.id, r.reason) for r in rejects] == [("line-1", "not_text"), ("line-3", "malformed_json")]
    write_shard(tmp_path, 0, Seed, seeds, rejects)


def test_a_parquet_row_whose_bytes_are_no_text_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    texts = pa.array([b"What is 1?", b"What is \xff?", b"What is 3?"], pa.binary())
    column = pa.Array.from_buffers(
        pa.string(), 3, texts.buffers()
    )  # not validated, as in files of other writers
    pq.write_table(pa.table({"problem": column}), tmp_path / "p.parquet")
    _, seeds, rejects = read_seeds(read_parquet(tmp_path / "p.parquet"), plain_seed({}, "math", "p"), "p")
    assert [s.problem for s in seeds] == ["What is 1?", "What is 3?"]
    assert [(r.id, r.reason) for r in rejects] == [("row-2", "not_text")]


def test_a_field_map_names_the_columns_and_nothing_else_is_guessed(tmp_path: Path) -> None:
    file = write(
        tmp_path / "p.jsonl", ['{"text": "Q?", "problem": "decoy", "gold": "7"}', '{"problem": "decoy"}']
    )
    _, seeds, rejects = read_seeds(
        read_rows(file), plain_seed({"problem": "text", "answer": "gold"}, "math", "p"), "p"
    )
    assert [(s.problem, s.answer) for s in seeds] == [("Q?", "7")]
    assert [r.reason for r in rejects] == ["no_problem"]


def test_a_mapped_column_that_no_row_has_is_an_error_that_names_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows: list[dict[str, object]] = [{"problem": "What is 1?"}, {"problem": "What is 2?", "solution": "2"}]
    with pytest.raises(
        UserError, match=r"the column 'soluton' of seeds\.fields\.answer is in no row"
    ) as error:
        halves(path, rows, fields={"answer": "soluton"})
    assert "problem, solution" in str(error.value)
    held, train, _ = halves(path, rows, fields={"answer": "solution"})
    assert [r.answer for r in [*held, *train] if r.problem == "What is 2?"] == ["2"]
    with pytest.raises(UserError, match=r"the column 'x' of synthesize\.fields\.level is in no row"):
        read_problems(str(path), Synthesize(path=str(path), fields={"level": "x"}), "math")
    halves(path, rows, fields={"domain": "domain"})  # as in recipes/paper_*.yaml
    # what a row of the release says in its prompt counts as a column
    prompt = get("math", "promptcot2").generator_prompt(["a"], "3")
    completion = f"z{PROMPTCOT2.z_end}What is 1?{PROMPTCOT2.x_end}"
    (seed,) = halves(path, [{"prompt": prompt, "completion": completion}], fields={"answer": "level"})[1]
    assert seed.answer == "3"


def test_parquet_and_jsonl_give_the_same_seeds(tmp_path: Path) -> None:
    rows = [{"id": str(i), "problem": f"What is {i}?", "answer": str(i)} for i in range(5)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    file = write(tmp_path / "p.jsonl", [json.dumps(r) for r in rows])
    make = plain_seed({}, "math", "p")
    assert (
        read_seeds(read_parquet(tmp_path / "p.parquet"), make, "p")[1]
        == read_seeds(read_rows(file), make, "p")[1]
    )


def test_missing_empty_and_wrong_files_are_users_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        list(read_rows(tmp_path / "none.jsonl"))
    with pytest.raises(UserError, match="is empty"):
        build(Seeds(source="jsonl", path=str(write(tmp_path / "e.jsonl", [""]))), 1)
    with pytest.raises(UserError, match="as Parquet"):
        list(read_parquet(write(tmp_path / "p.parquet", ["text"])))


def test_held_out_rows_are_disjoint_stable_and_independent_of_the_count(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", [json.dumps({"problem": f"What is {i}?"}) for i in range(50)])
    small = build(Seeds(source="jsonl", path=str(file), count=10, heldout=8), 1)
    large = build(Seeds(source="jsonl", path=str(file), heldout=8), 1)

    def held(rows: list[Seed]) -> set[str]:
        return {r.problem for r in rows if r.split == "heldout"}

    assert held(small[1]) == held(large[1])
    assert len(small[1]) == 18
    assert len(large[1]) == 50
    assert small[0] == len(small[1]) + len(small[2])


def halves(
    path: Path, rows: list[dict[str, object]], **settings: object
) -> tuple[list[Seed], list[Seed], list[str]]:
    """(held-out, train, reasons of the rejects) of these rows."""
    file = write(path, [json.dumps(r) for r in rows])
    s = Seeds.model_validate({"source": "jsonl", "path": str(file), **settings})
    n, seeds, rejects = build(s, 1)
    assert n == len(seeds) + len(rejects)
    held = [r for r in seeds if r.split == "heldout"]
    return held, [r for r in seeds if r.split == "train"], [r.reason for r in rejects]


def test_a_problem_of_four_annotators_is_held_out_or_trained_on_whole(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {
            "problem": f"Find  x in case {i}." if k else f"find x in Case {i}.",
            "concepts": ["a"],
            "rationale": f"plan {k}",
        }
        for i in range(50)
        for k in range(4)
    ]
    held, train, reasons = halves(tmp_path / "p.jsonl", rows, source="triples", heldout=20)
    texts = {normalize_text(r.problem) for r in held}
    assert len(held) == len(texts) == 20
    assert len(train) == 30 * 4
    assert not texts & {normalize_text(r.problem) for r in train}
    assert reasons == ["copy_of_heldout"] * 20 * 3


def test_of_problems_that_occur_twice_none_is_on_both_sides(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"problem": f"What is {i}?"} for i in range(100)]
    held, train, reasons = halves(tmp_path / "p.jsonl", rows * 2, heldout=50, count=30)
    assert len({r.problem for r in held}) == len(held) == 50
    assert len(train) == 30
    assert not {r.problem for r in held} & {r.problem for r in train}
    assert sorted(reasons) == ["copy_of_heldout"] * 50 + ["not_sampled"] * 70


def test_copies_of_held_out_problems_are_no_unusable_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", [json.dumps({"problem": f"What is {i}?"}) for i in range(10)] * 2)
    seeds = {"source": "jsonl", "path": str(file), "heldout": 5, "count": 1, "max_rejected": 0.0}
    recipe = parse({"name": "copies", "seeds": seeds})
    execute(recipe, ["seeds"], Reporter(quiet=True), str(tmp_path / "run"))


def test_a_file_without_copies_is_split_by_the_digest_of_the_ids_as_ever(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"problem": f"What is {i}?"} for i in range(50)]
    held, train, _ = halves(tmp_path / "p.jsonl", rows, heldout=8)
    order = sorted([*held, *train], key=lambda r: digest([1, r.id]))
    assert (held, train) == (order[:8], order[8:])
    assert [int(r.problem[8:-1]) for r in held] == [
        26,
        0,
        48,
        28,
        41,
        23,
        12,
        9,
    ]  # as before copies were looked for


def test_a_chat_wrapper_around_a_problem_is_taken_off() -> None:
    made = plain_seed({}, "math", "p")({"problem": "<s>box it<｜User｜>Find x.<｜Assistant｜>"}, "line-1")
    assert isinstance(made, Seed)
    assert made.problem == "Find x."


def test_gsm8k_marks_become_concepts_and_a_plan() -> None:
    row = {
        "question": "Q",
        "answer": "He has 3*4=<<3*4=12>>12. Then 12/2=<<12/2=6>>6 and 6-5=<<6-5=1>>1.\n#### 1",
    }
    seed = gsm8k_seed(row, "line-1")
    assert isinstance(seed, Seed)
    assert seed.concepts == [
        "multiplying a rate by a count",
        "dividing a quantity into equal parts",
        "taking one quantity from another",
        "a chain of 3 computations",
    ]
    assert seed.rationale == "Give 3, 4, 2, 5. Then 3*4=12; 12/2=6; 6-5=1. Ask for 1."
    assert (seed.level, seed.answer) == ("3", "1")


def test_the_gold_of_a_gsm8k_row_is_behind_its_hashes_or_in_a_column_of_its_own_never_the_solution() -> None:
    solution = "He has 3+2=<<3+2=5>>5 apples."

    def gold(row: dict[str, object]) -> object:
        made = gsm8k_seed(row, "line-1")
        return made.answer if isinstance(made, Seed) else made[0]

    assert gold({"problem": "Q", "solution": solution, "answer": "5"}) == "5"
    assert gold({"problem": "Q", "solution": solution, "answer": 5}) == "5"
    assert gold({"problem": "Q", "solution": f"{solution}\n#### 1,005", "answer": "7"}) == "1005"
    assert gold({"question": "Q", "answer": solution}) == "no_answer"
    assert gold({"problem": "Q", "solution": solution, "answer": " "}) == "no_answer"
    assert gold({"problem": "Q", "solution": f"{solution} ####"}) == "no_answer"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("7", "7"), (7, "7"), (0, "0"), (0.5, "0.5"), (["5"], "5"), ([5], "5"), ("\\boxed{7}", "7"), (" $\\boxed{x^{2}}$", "x^{2}"),
        ("", None), (" ", None), (None, None), ([], None), ([""], None), (float("nan"), None),
        ("N/A", None), ("nan", None), ("None", None), ("null", None),
    ],
)  # fmt: skip
def test_an_answer_is_a_text_or_there_is_none(given: object, read: str | None) -> None:
    made = plain_seed({}, "math", "p")({"problem": "What is it?", "answer": given}, "line-1")
    assert isinstance(made, Seed)
    assert made.answer == read


@pytest.mark.parametrize("given", [["5", "6"], {"value": "5"}, [["5"]], [{"value": 5}]])
def test_an_answer_that_is_no_text_is_a_reject(given: object) -> None:
    made = plain_seed({}, "math", "p")({"problem": "What is it?", "answer": given}, "line-1")
    assert isinstance(made, tuple)
    assert made[0] == "bad_answer"


def test_gsm8k_rows_without_marks_are_rejected_with_a_reason() -> None:
    assert gsm8k_seed({"question": "Q", "answer": "So 4.\n#### 4"}, "line-9") == (
        "no_annotations",
        "line-9: the solution has no calculator marks",
    )


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data (real GSM8K rows), which is not here")
def test_all_of_gsm8k_reads_as_annotated_seeds() -> None:
    file = SHARED / "math" / "gsm8k_train.jsonl"
    n, seeds, rejects = read_seeds(read_rows(file), gsm8k_seed, "gsm8k")
    assert n == 7473
    assert len(seeds) + len(rejects) == n
    assert {r.reason for r in rejects} == {"no_annotations"}
    assert len(rejects) < 0.02 * n


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data (annotated triples), which is not here")
def test_the_annotated_triples_read_without_their_chat_wrappers() -> None:
    recipe = Seeds(source="triples", path=str(SHARED / "annotated_triples_253.jsonl"), heldout=20)
    n, seeds, rejects = build(recipe, 1)
    assert (n, len(rejects)) == (253, 0)
    assert not any("｜" in s.problem for s in seeds)
    assert all(s.concepts and s.rationale for s in seeds)
