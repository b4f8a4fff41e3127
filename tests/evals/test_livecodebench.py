"""LiveCodeBench's official rows: packed tests, windows of dates, functions; and pickles that want to do more."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.evals import benchmarks, gold, livecodebench
from promptcot.evals.scoring import score
from promptcot.records import UnitTest, Verdict
from promptcot.settings import Benchmark
from promptcot.verify.sandbox import Limits

PRIVATE = [{"input": "3 4\n", "output": "7\n", "testtype": "stdin"}]


def pack(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def row(**changes: Any) -> dict[str, Any]:
    base = {
        "question_id": "abc391_a", "question_content": "Add two numbers.", "contest_date": "2025-02-01T00:00:00",
        "starter_code": "", "metadata": "{}", "private_test_cases": pack(json.dumps(PRIVATE)),
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
    }  # fmt: skip
    return {**base, **changes}


def read(tmp_path: Path, *rows: dict[str, Any], name: str = "lcb_v6", more: list[str] | None = None) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return benchmarks.read(name, Benchmark(source=[*(more or []), str(path)]))


def test_public_tests_come_before_private_ones(tmp_path: Path) -> None:
    (task,) = read(tmp_path, row())
    assert livecodebench.all_tests(task) == [UnitTest("1 2\n", "3\n"), UnitTest("3 4\n", "7\n")]
    assert gold.flaws([task], "symbolic") == []


@pytest.mark.parametrize("packed", [json.dumps(PRIVATE), pack(json.dumps(PRIVATE)), pack(PRIVATE)])
def test_every_way_of_packing(tmp_path: Path, packed: str) -> None:
    (task,) = read(tmp_path, row(private_test_cases=packed))
    assert livecodebench.all_tests(task)[1:] == [UnitTest("3 4\n", "7\n")]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path: Path) -> None:
    victim = tmp_path / "touched"
    evil = Evil(victim)
    pickle.loads(pickle.dumps(evil))
    assert victim.exists()  # the attack works where it is let in
    victim.unlink()
    with pytest.raises(UserError, match="cannot be read: it names"):
        livecodebench.unpack(pack(evil), "x")
    assert not victim.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "collections.OrderedDict", "decimal.Decimal"])
def test_not_even_harmless_classes_are_admitted(name: str) -> None:
    module, _, attribute = name.partition(".")
    data = b"c" + f"{module}\n{attribute}\n".encode() + b"."
    with pytest.raises(UserError, match=f"it names {name}"):
        livecodebench.unpack(base64.b64encode(zlib.compress(data)).decode(), "x")


def test_what_is_damaged_or_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pack("[]" * 1000)
    for bad in ("%%%", base64.b64encode(b"no zlib").decode(), whole[:40], pack([1])[:-8]):
        with pytest.raises(UserError, match="private tests of x cannot be read"):
            livecodebench.unpack(bad, "x")
    monkeypatch.setattr(livecodebench, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(UserError, match="more than 100 bytes"):
        livecodebench.unpack(whole, "x")


@pytest.mark.parametrize("value", [[1], [{"input": "1"}], {"input": "1"}, [{"input": 1, "output": "2"}]])
def test_tests_of_another_shape_are_refused(tmp_path: Path, value: Any) -> None:
    (task,) = read(tmp_path, row(private_test_cases=pack(value)))
    with pytest.raises(UserError, match="lcb_v6/abc391_a"):
        livecodebench.all_tests(task)


def test_windows_of_contest_dates(tmp_path: Path) -> None:
    days = ["2024-07-31", "2024-08-01", "2025-01-31", "2025-02-01", "2025-05-31", "2025-06-01"]
    rows = [row(question_id=day, contest_date=f"{day}T00:00:00") for day in days]
    assert [t.name for t in read(tmp_path, *rows, name="lcb_v5")] == days[1:3]
    assert [t.name for t in read(tmp_path, *rows)] == days[3:5]
    with pytest.raises(UserError, match="no problem of LiveCodeBench v6"):
        read(tmp_path, *rows[:3])


def test_the_authors_prompts_take_their_tests_from_the_official_rows(tmp_path: Path) -> None:
    asked = "Do it.\n\nQuestion: Add two.\n\nRead the inputs from stdin solve it."
    theirs = {
        "question_id": "abc391_a",
        "contest_date": "2025-02-01",
        "prompt": asked,
        "tests": {"fname": "1.json"},
    }
    first = tmp_path / "theirs.jsonl"
    first.write_text(json.dumps(theirs) + "\n")
    (task,) = read(tmp_path, row(), more=[str(first)])
    assert (task.problem, task.request) == ("Add two.", asked)
    assert len(livecodebench.all_tests(task)) == 2


@pytest.mark.parametrize("theirs_first", [True, False])
def test_joined_sources_fill_in_each_others_request_and_starter(tmp_path: Path, theirs_first: bool) -> None:
    starter = "class Solution:\n    def add(self, a: int, b: int) -> int:\n        "
    theirs = {
        "question_id": "abc391_a",
        "contest_date": "2025-02-01",
        "prompt": "Do it.\n\nQuestion: Add two.",
    }
    official = row(starter_code=starter, metadata='{"func_name": "add"}', public_test_cases="[]")
    paths = []
    for n, source in enumerate([theirs, official] if theirs_first else [official, theirs]):
        paths.append(tmp_path / f"{n}.jsonl")
        paths[-1].write_text(json.dumps(source) + "\n")
    (task,) = benchmarks.read("lcb_v6", Benchmark(source=[str(p) for p in paths]))
    assert (task.request, task.starter, task.function) == (theirs["prompt"], starter, "add")
    assert task.messages("promptcot2") == (("user", theirs["prompt"]),)


def test_a_function_is_called_and_judged_by_values(tmp_path: Path) -> None:
    starter = "class Solution:\n    def add(self, a: int, b: List[int]) -> int:\n        "
    cases = json.dumps([{"input": "1\n[2, 3]", "output": "6", "testtype": "functional"}])
    (task,) = read(
        tmp_path,
        row(
            starter_code=starter,
            metadata='{"func_name": "add"}',
            public_test_cases=cases,
            private_test_cases="[]",
        ),
    )
    assert task.function == "add"
    assert starter in task.messages("promptcot2")[0][1]
    assert gold.flaws([task], "symbolic") == []
    right = "class Solution:\n    def add(self, a: int, b: List[int]) -> int:\n        return a + sum(b)"
    for program, verdict in ((right, Verdict.CORRECT), (right.replace("sum", "len"), Verdict.INCORRECT)):
        text = f"thinking\n```python\n{right}\n```\n</think>\nHere:\n```python\n{program}\n```\n"
        assert score(task, text, True, "symbolic", Limits(), "auto")[1] is verdict


def test_stdin_programs_are_judged_as_livecodebench_does(tmp_path: Path) -> None:
    (task,) = read(tmp_path, row())
    program = "a, b = map(int, input().split())\nprint(a + b)"
    cases = {
        f"```python\n{program}\n```": (Verdict.CORRECT, "passed"),
        f"```python\n{program}\nsys.exit(1)\n```": (
            Verdict.CORRECT,
            "passed",
        ),  # its prelude imports sys; any exit is good
        "```python\nprint(3)\n```": (Verdict.INCORRECT, "wrong_output"),  # the private test tells
        f"no fence: {program}": (Verdict.NO_ANSWER, "no_program"),
    }
    for text, expected in cases.items():
        assert score(task, text, True, "symbolic", Limits(), "auto")[1:] == expected, text
    assert score(task, f"```python\n{program}\n```", False, "symbolic", Limits(), "auto") == (
        None, Verdict.NO_ANSWER, "truncated",
    )  # fmt: skip
