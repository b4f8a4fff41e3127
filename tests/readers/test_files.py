"""Files of rows as people have them: packed, in one array, with marks of bytes, of other kinds; and what is said of those."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from promptcot.cli import app
from promptcot.corridor import execute
from promptcot.errors import UserError
from promptcot.evals import benchmarks
from promptcot.readers.files import read_parquet, read_rows
from promptcot.readers.rows import plain_seed, read_seeds
from promptcot.recipe import parse
from promptcot.records import Seed
from promptcot.runner.progress import Reporter
from promptcot.settings import Benchmark, Seeds, Synthesize
from promptcot.stages.concepts import read_lists
from promptcot.stages.seeds import build
from promptcot.stages.synthesize import read_problems

ROWS: list[dict[str, Any]] = [
    {"id": i, "problem": f"What is {i} + 2\u00b2?", "answer": str(i + 4)} for i in range(4)
]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
BOM = b"\xef\xbb\xbf"


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return bytes(sink.getvalue())


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


WHOLE = json.dumps(ROWS, ensure_ascii=False).encode()
KINDS: dict[str, tuple[str, bytes]] = {
    "lines": ("a.jsonl", LINES),
    "byte order mark": ("a.jsonl", BOM + LINES),
    "CRLF": ("a.jsonl", LINES.replace(b"\n", b"\r\n")),
    "no last line end": ("a.jsonl", LINES.rstrip()),
    "blank lines": ("a.jsonl", b"\n \n" + LINES.replace(b"\n", b"\n\n\t\n")),
    "gzip": ("a.jsonl.gz", gzip.compress(LINES, mtime=0)),
    "two gzips": ("a.jsonl.gz", gzip.compress(LINES[:60], mtime=0) + gzip.compress(LINES[60:], mtime=0)),
    "gzip under another name": ("a.jsonl", gzip.compress(BOM + LINES, mtime=0)),
    "bzip2": ("a.jsonl.bz2", bz2.compress(LINES)),
    "xz": ("a.jsonl.xz", lzma.compress(LINES)),
    "zstd": ("a.jsonl.zst", zstd(LINES)),
    "array": ("a.json", WHOLE),
    "array with a mark": ("a.json", BOM + WHOLE + b"\n"),
    "array on lines": ("a.json", json.dumps(ROWS, indent=2).encode()),
    "array on lines with a mark": ("a.json", BOM + json.dumps(ROWS, indent=2).encode()),
    "array, a row a line": ("a.jsonl", b"[\n" + LINES.rstrip().replace(b"\n", b",\n") + b"\n]\n"),
    "array, packed": ("a.json.gz", gzip.compress(json.dumps(ROWS, indent=1).encode(), mtime=0)),
    "objects on lines": ("a.json", b"\n".join(json.dumps(row, indent=2).encode() for row in ROWS)),
    "Parquet": ("a.parquet", parquet(ROWS)),
    "Parquet named as lines": ("a.jsonl", parquet(ROWS)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    name, data = KINDS[kind]
    (tmp_path / name).write_bytes(data)
    assert [row for _, row in read_rows(tmp_path / name)] == ROWS


@pytest.mark.parametrize("kind", ["gzip", "array on lines", "byte order mark", "Parquet"])
def test_every_reader_reads_them(kind: str, tmp_path: Path) -> None:
    name, data = KINDS[kind]
    file = tmp_path / name
    file.write_bytes(data)
    assert len(build(Seeds(source="jsonl", path=str(file)), 1)[1]) == 4
    assert [p.answer for p in read_problems(str(file), Synthesize(path=str(file)), "math")[1]] == list("4567")
    assert [t.id for t in benchmarks.read("aime24", Benchmark(source=[str(file)]))] == [
        f"aime24/{i}" for i in range(4)
    ]


COMMANDS: dict[str, list[dict[str, Any]]] = {
    "math": [{"gold": "7", "prediction": "7"}, {"gold": "7", "prediction": "8"}],
    "code": [{"solution": f"print({n})", "inputs": [""], "outputs": ["1"]} for n in (1, 2)],
    "run": [{"code": "print(1)"}, {"code": "exit(1)"}],
    "gold": [{"gold": "7"}, {"gold": ""}],
}
VERDICTS = {"math": ["correct", "incorrect"], "code": ["correct", "incorrect"], "run": ["ok", "error"], "gold": ["sound", "flawed"]}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("pack", ["mark", "gzip", "array", "parquet"])
def test_every_command_reads_them_from_the_first_row_on(command: str, pack: str, tmp_path: Path) -> None:
    rows = COMMANDS[command]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    data = {"mark": BOM + lines, "gzip": gzip.compress(lines, mtime=0), "array": json.dumps(rows, indent=1).encode(), "parquet": parquet(rows)}[pack]  # fmt: skip
    (tmp_path / "in").write_bytes(data)
    found = CliRunner().invoke(app, ["verify", command, "--in", str(tmp_path / "in")])
    told = [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]
    assert [row.get("verdict", row.get("status")) for row in told] == VERDICTS[command]
    assert [{k: row[k] for k in rows[0]} for row in told] == rows


def test_a_row_of_an_array_is_one_reject(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([ROWS[0], 7, ROWS[1], {"problem": "half \ud83d"}, None]))
    _, seeds, rejects = read_seeds(read_rows(tmp_path / "a.json"), plain_seed({}, "math", "a"), "a")
    assert [s.answer for s in seeds] == ["4", "5"]
    assert [(r.id, r.reason) for r in rejects] == [
        ("row-2", "not_an_object"), ("row-4", "not_text"), ("row-5", "not_an_object"),
    ]  # fmt: skip


def test_lines_that_begin_with_a_list_or_a_cut_row_are_lines(tmp_path: Path) -> None:
    for first in (
        b"[1, 2]",
        b'{"problem": "cut in the mid',
        b'{"problem": "\xff"}',
        b'{"problem": "\0"}',
        b"\0",
    ):
        (tmp_path / "a.jsonl").write_bytes(first + b"\n" + LINES)
        found = list(read_rows(tmp_path / "a.jsonl"))
        assert isinstance(found[0][1], str), first
        assert [row for _, row in found[1:]] == ROWS


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", "\ufeff{}".encode("utf-16-le"), "'a.jsonl' is text in UTF-16"),
        ("a.jsonl", '{"problem": "x"}'.encode("utf-16-le"), "iconv -f UTF-16 -t UTF-8"),
        ("a.jsonl", '{"problem": "x"}'.encode("utf-16"), "expected: UTF-8"),
        ("a.json", b'[{"problem": "x"},\n{"problem"', "is one JSON document that cannot be read"),
        ("a.json", b'{\n "problem": "x"\n', "is one JSON document that cannot be read"),
        pytest.param(
            "a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-20], "cannot read 'a.jsonl.gz'", id="cut gzip"
        ),
        ("a.jsonl.xz", lzma.compress(LINES)[:-20], "cannot read 'a.jsonl.xz'"),
        ("a.jsonl.bz2", bz2.compress(LINES)[:-20], "cannot read 'a.jsonl.bz2'"),
        ("a.jsonl.zst", zstd(LINES)[:-9], "cannot read 'a.jsonl.zst'"),
        ("a.xlsx", b"PK\x03\x04....", "is a ZIP archive"),
        ("a.arrow", b"ARROW1\0\0", "is an Arrow file"),
        ("a.parquet", LINES, "cannot read 'a.parquet' as Parquet"),
        ("a.parquet", parquet(ROWS)[:300], "cannot read 'a.parquet' as Parquet"),
        ("a.jsonl", parquet(ROWS)[:300], "cannot read 'a.jsonl' as Parquet"),
    ],
)
def test_a_file_that_holds_no_rows_is_told_by_what_it_is(
    name: str, data: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(data)
    with pytest.raises(UserError) as error:
        list(read_rows(Path(name)))
    assert said in str(error.value)


def test_an_empty_file_has_no_rows_and_a_directory_is_none(tmp_path: Path) -> None:
    for data in (b"", b"\n\n", BOM, b" \t\n", b"[]", gzip.compress(b"", mtime=0)):
        (tmp_path / "a.jsonl").write_bytes(data)
        assert list(read_rows(tmp_path / "a.jsonl")) == []
    with pytest.raises(UserError, match="is a directory"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize(("mark", "name"), [(",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv")])
@pytest.mark.parametrize("pack", [bytes, lambda data: BOM + data, gzip.compress])
def test_tables_of_text_keep_their_cells_as_they_are(
    mark: str, name: str, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    rows = [
        ["id", "problem", "answer"],
        ["0", "Add 1, 2;\tand\nhalve \u221a", "033"],
        ["b", 'He said "x"', ""],
    ]
    with (tmp_path / name).open("w", encoding="utf-8", newline="") as f:
        csv.writer(f, delimiter=mark).writerows(rows)
    (tmp_path / name).write_bytes(pack((tmp_path / name).read_bytes()))
    found = [row for _, row in read_rows(tmp_path / name)]
    assert found == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_a_bad_row_of_a_table_is_one_reject(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"problem,answer\nOne?,1\nTwo?,2,2\nThree?\nFour\xff?,4\nFive?,5\n")
    _, seeds, rejects = read_seeds(read_rows(tmp_path / "a.csv"), plain_seed({}, "math", "a"), "a")
    assert [(s.problem, s.answer) for s in seeds] == [("One?", "1"), ("Three?", None), ("Five?", "5")]
    assert [(r.id, r.reason) for r in rejects] == [("row-2", "too_many_cells"), ("row-4", "not_text")]


def test_texts_as_bytes_and_short_floats_of_parquet_are_what_was_meant(tmp_path: Path) -> None:
    table = pa.table({
        "problem": pa.array([b"What is it?", b"What \xff?", "\u03b8?".encode()], pa.binary()),
        "answer": pa.array([0.1, 2e-05, None], pa.float32()),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "p.parquet")
    _, seeds, rejects = read_seeds(read_parquet(tmp_path / "p.parquet"), plain_seed({}, "math", "p"), "p")
    assert [(s.problem, s.answer) for s in seeds] == [("What is it?", "0.1"), ("\u03b8?", None)]
    assert [(r.id, r.reason) for r in rejects] == [("row-2", "no_problem")]
    assert "(a bytes)" in rejects[0].detail


# --- from a row to a seed


def seed(row: dict[str, Any], **settings: Any) -> Seed | tuple[str, str]:
    return plain_seed(settings.get("fields", {}), settings.get("domain", "math"), "p")(row, "line-1")


@pytest.mark.parametrize(
    ("held", "source"),
    [(0, "0"), ("0", "0"), (0.0, "0.0"), (False, "False"), ("", "line-1"), (None, "line-1"), (float("nan"), "line-1")],
)  # fmt: skip
def test_an_id_may_be_zero(held: object, source: str, tmp_path: Path) -> None:
    made = seed({"id": held, "problem": "What is it?"})
    assert isinstance(made, Seed)
    assert made.id == source


def test_a_level_may_be_zero_and_one_that_is_missing_is_unknown() -> None:
    for held, level in ((0, "0"), ("", "unknown"), (float("nan"), "unknown"), ("hard", "hard")):
        made = seed({"problem": "What is it?", "level": held})
        assert isinstance(made, Seed)
        assert made.level == level


@pytest.mark.parametrize(
    ("held", "domain"),
    [
        (["Mathematics -> Algebra"], "math"), ([], "math"), ({"topic": "x"}, "math"), (None, "math"), ("", "math"), (3, "math"),
        ("code", "code"), ("Math", "math"), (["code"], "code"),
    ],
)  # fmt: skip
def test_a_domain_column_of_another_meaning_is_left_to_the_recipe(held: object, domain: str) -> None:
    made = seed({"problem": "What is it?", "domain": held})
    assert isinstance(made, Seed)
    assert made.domain == domain


def test_a_text_that_names_no_domain_is_a_reject_that_says_what_to_type(tmp_path: Path) -> None:
    row = {"problem": "What is it?", "answer": "64", "domain": "Mathematics -> Algebra"}
    made = seed(row)
    assert isinstance(made, tuple)
    assert made[0] == "unknown_domain"
    assert "--set seeds.fields.domain=null" in made[1]
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps(row) + "\n" + json.dumps({**row, "domain": "code"}) + "\n")
    seeds: dict[str, Any] = {"source": "jsonl", "path": str(file)}
    recipe = parse({"name": "r", "seeds": seeds}, "here", ["seeds.fields.domain=null"])
    assert [s.domain for s in build(recipe.seeds, 1)[1]] == ["math", "math"]
    imported = parse(
        {"name": "r", "seeds": seeds, "synthesize": {"path": str(file), "fields": {"domain": None}}}
    )
    assert imported.synthesize is not None
    assert [p.domain for p in read_problems(str(file), imported.synthesize, "math")[1]] == ["math", "math"]
    lists = tmp_path / "c.jsonl"
    lists.write_text('{"concepts": ["a"], "domain": ["Algebra"]}\n{"concepts": ["a"], "domain": "Algebra"}\n')
    with pytest.raises(UserError, match="line-2: unknown domain 'Algebra'"):
        read_lists(str(lists), "math")


def test_where_nothing_is_usable_the_error_names_the_first_rows_and_why(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    rows = [{"messages": [{"role": "user", "content": "Hi"}]}, {"problem": ["a list"]}, {"problem": "Which?", "answer": {"v": 1}},
            {"problem": "Four?", "answer": "x > i"}]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = parse({"name": "r", "seeds": {"source": "jsonl", "path": str(file), "max_rejected": 1.0}})
    for _ in range(2):  # the table is on disk by then
        with pytest.raises(UserError) as error:
            execute(recipe, ["seeds"], Reporter(quiet=True), str(tmp_path / "run"))
        said = str(error.value)
        assert (
            f"no usable seed in '{file}': {{'bad_answer': 1, 'bad_gold': 1, 'no_problem': 2}}. First: "
            in said
        )
        assert "line-1: no text in the column problem or question or prompt; it has ['messages']" in said
        assert "line-2: no text in the column problem or question or prompt (a list)" in said
        assert "line-3: the answer is a dict" in said


def test_one_gold_that_breaks_the_verifier_is_one_reject(tmp_path: Path) -> None:
    golds = ["5", "x > i", "y < 2i", "6"]
    file = tmp_path / "p.jsonl"
    file.write_text(
        "".join(json.dumps({"problem": f"Case {i}?", "answer": g}) + "\n" for i, g in enumerate(golds))
    )
    n, seeds, rejects = build(Seeds(source="jsonl", path=str(file)), 1)
    assert n == 4
    assert sorted(s.answer or "" for s in seeds) == ["5", "6"]
    assert [(r.reason, "unscored" in r.detail) for r in rejects] == [("bad_gold", True)] * 2
    said: list[str] = []
    problems = read_problems(str(file), Synthesize(path=str(file)), "math", said.append)[1]
    assert [p.answer for p in problems] == ["5", None, None, "6"]
    assert "2 problems bring an answer or tests that can judge nobody" in said[0]
