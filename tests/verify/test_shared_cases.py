"""Cases and benchmarks from outside the repository; skipped, with the reason, where they are absent."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from promptcot.records import UnitTest
from promptcot.verify.programs import pair_tests, run_tests
from promptcot.verify.sandbox import Choice, Limits, Run, run_program

DATA = Path(__file__).parents[3] / "shared" / "data" / "code"
LIMITS = Limits(wall_s=20.0, cpu_s=20.0)
SHORT = Limits(wall_s=2.0)


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs code/{name}, which is not part of the repository")
    return [json.loads(line) for line in path.read_text().splitlines()]


def met(name: str, run: Run) -> bool:
    """Is an attack's required outcome, given in words, what happened?"""
    said, ended = run.stdout, run.status
    outcomes = {
        "fork60": "blocked after 0" in said,
        "mem_multi": "children holding 300MB: 0" in said,
        "loop_swallow": ended == "timeout",
        "sleep": ended == "timeout",
        "home_write": ended == "error" and not said,
        "read_secret": ended == "error" and not said,
        "etc": all(line.endswith(("FileNotFoundError", "PermissionError")) for line in said.splitlines()),
        "kill_parent": said.startswith("PermissionError"),
        "kill_zygote": "sent" not in said,
        "tmp_ls": all("entries" not in line or line == "/tmp 0 entries" for line in said.splitlines()),
        "exec": said.startswith("PermissionError"),
        "exit0": not said,
        "fds": not said and ended == "ok",
        "chmod_home": ended == "error",
        "bigrec_ok": said == "100000\n",
    }
    return outcomes[name]


def test_every_attack_has_its_required_outcome(sandbox: Choice, packages: tuple[str, ...]) -> None:
    cases = {row["name"]: row for row in rows("attack_cases.jsonl")}
    unknown = []
    for name, row in cases.items():
        limits = replace(SHORT if "timeout" in row["required_outcome"] else LIMITS, packages=packages)
        (run,) = run_program(row["code"], [""], limits, sandbox=sandbox)
        try:
            assert met(name, run), (name, run)
        except KeyError:
            unknown.append(name)
    assert not unknown, "write down what these must lead to"
    assert run_program("print(1)", [""], LIMITS, sandbox=sandbox)[0].stdout == "1\n"


REASONS = {
    "wrong_answer": "wrong_output",
    "runtime_error": "error",
    "timeout": "timeout",
    "output_limit": "output_limit",
}


def test_the_stdio_cases_end_as_they_should(sandbox: Choice) -> None:
    for row in rows("stdio_cases.jsonl"):
        limits = SHORT if row["expected"] == "timeout" else LIMITS
        tests = pair_tests(row["inputs"], row["outputs"])
        end = run_tests(row["solution"], tests, limits, sandbox=sandbox, mode="lcb", stop=True)[-1]
        if row["expected"].startswith("pass"):
            assert end == "passed", row["id"]
        else:
            assert end == REASONS.get(row["expected"], "wrong_output"), row["id"]


def test_the_probe_of_livecodebench_is_answered_rightly(sandbox: Choice) -> None:
    for row in rows("lcb_harness_probe.jsonl"):
        tests = [UnitTest(i, o) for i, o in zip(row["inputs"], row["outputs"], strict=True)]
        function = row["fn_name"] or ""
        ends = run_tests(row["solution"], tests, LIMITS, sandbox=sandbox, mode="lcb", function=function)
        passed = bool(ends) and set(ends) == {"passed"}
        wanted = {"legit": True, "attack": False, "compare_rule": row["lcb_pass"]}[row["class"]]
        assert passed == wanted, (row["name"], ends)


@pytest.mark.slow
def test_the_solutions_of_humaneval_pass(sandbox: Choice) -> None:
    failed = []
    for row in rows("humaneval164.jsonl"):
        code = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})\nprint('checked')"
        (run,) = run_program(code, [""], LIMITS, sandbox=sandbox)
        if (run.status, run.stdout.splitlines()[-1:]) != ("ok", ["checked"]):
            failed.append(row["task_id"])
    assert failed == []


def calls(row: dict[str, Any]) -> tuple[str, list[UnitTest]]:
    """The function and its tests, out of `assert candidate(a=1, b=[2]) == 3` and the like."""
    tree = ast.parse(row["tests"]["functional"])
    entry = next(n for n in ast.walk(tree) if isinstance(n, ast.Attribute)).attr
    (function,) = (
        n for n in ast.walk(ast.parse(row["solutions"])) if isinstance(n, ast.FunctionDef) and n.name == entry
    )
    order = [argument.arg for argument in function.args.args[1:]]
    tests = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            assert isinstance(node.test, ast.Compare)
            assert isinstance(node.test.left, ast.Call)
            given = {k.arg: ast.literal_eval(k.value) for k in node.test.left.keywords}
            given |= dict(zip(order, map(ast.literal_eval, node.test.left.args), strict=False))
            lines = [json.dumps(given[name]) for name in order if name in given]
            expected = json.dumps(ast.literal_eval(node.test.comparators[0]))
            tests.append(UnitTest("\n".join(lines), expected))
    return entry, tests


@pytest.mark.slow
def test_the_solutions_of_leetcode_pass_and_one_of_them_needs_a_package(
    sandbox: Choice, packages: tuple[str, ...]
) -> None:
    failed, limits = [], replace(LIMITS, packages=packages)
    for i, row in enumerate(rows("leetcode_test200_with_solutions.jsonl")):
        function, tests = calls(row)
        ends = run_tests(row["solutions"], tests, limits, sandbox=sandbox, mode="lcb", function=function)
        if set(ends) != {"passed"}:
            failed.append((i, "sortedcontainers" in row["solutions"], ends[0]))
    assert [(known, end) for _, known, end in failed] == ([] if packages else [(True, "error")]), failed
