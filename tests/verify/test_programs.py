"""Programs: verdicts on their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptcot.records import UnitTest, Verdict
from promptcot.verify import programs
from promptcot.verify.programs import check_program
from promptcot.verify.sandbox import Limits, Run

DATA = Path(__file__).parents[3] / "shared" / "data"
DOUBLE = "print(2 * int(input()))"


def test_a_program_passes_only_with_all_its_tests() -> None:
    tests = [UnitTest("3", "6"), UnitTest("4", "9"), UnitTest("5", "10")]
    assert check_program(DOUBLE, [tests[0], tests[2]]) == (Verdict.CORRECT, "passed", [True, True])
    assert check_program(DOUBLE, tests) == (Verdict.INCORRECT, "wrong_output", [True, False, True])


def test_without_tests_nothing_is_scored_and_without_a_program_nothing_passes() -> None:
    assert check_program(DOUBLE, []) == (Verdict.UNSCORED, "no_tests", [])
    assert check_program(None, [UnitTest("1", "2")]) == (Verdict.NO_ANSWER, "no_program", [False])
    assert check_program(" \n", [UnitTest("1", "")]) == (Verdict.NO_ANSWER, "no_program", [False])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print(6); 1/0", "error"),
        ("print(6, flush=True)\nwhile True: pass", "timeout"),
        ("import os; os._exit(0)", "wrong_output"),
        ("import sys; sys.exit(0)", "wrong_output"),
        ("print(6); x = ' ' * (1 << 40)", "memory"),
        ("print('6' + ' ' * (2 << 20))", "output_limit"),
    ],
)
def test_the_right_output_alone_or_a_clean_exit_alone_is_no_pass(code: str, reason: str) -> None:
    limits = Limits(wall_s=1.0 if reason == "timeout" else 60.0)
    verdict, why, passed = check_program(code, [UnitTest("3", "6")], limits)
    assert (verdict, why, passed) == (Verdict.INCORRECT, reason, [False])


def test_expected_outputs_never_reach_what_runs_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    def record(*args: object, **limits: object) -> list[Run]:
        given.extend((args, limits))
        return [Run("ok", "17294104", "", 0)]

    monkeypatch.setattr(programs, "run_program", record)
    assert check_program(DOUBLE, [UnitTest("3", "17294104")])[0] is Verdict.CORRECT
    assert "17294104" not in repr(given)


def cases(name: str) -> list[dict[str, Any]]:
    path = DATA / "code" / name
    if not path.exists():
        pytest.skip(f"needs code/{name}, which is not part of the repository")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if not row.get("fn_name")]


def judge(row: dict[str, Any]) -> tuple[Verdict, str]:
    tests = [UnitTest(i, o) for i, o in zip(row["inputs"], row["outputs"], strict=True)]
    limits = Limits(wall_s=1.0 if row.get("expected") == "timeout" else 60.0)
    return check_program(row["solution"], tests, limits)[:2]


def test_the_stdio_cases_get_their_verdicts() -> None:
    for row in cases("stdio_cases.jsonl"):
        verdict, reason = judge(row)
        assert (verdict is Verdict.CORRECT) == row["expected"].startswith("pass"), (row["id"], reason)


def test_honest_programs_that_a_mocked_stdin_fails_pass_here() -> None:
    for row in cases("lcb_harness_probe.jsonl"):
        if row["class"] == "legit":
            assert judge(row)[0] is Verdict.CORRECT, row["name"]
