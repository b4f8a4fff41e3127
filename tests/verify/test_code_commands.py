"""`promptcot verify code`, `verify run` and `verify gold` on files: order, bad rows, codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from promptcot.cli import app
from promptcot.errors import UserError


def verify(
    verb: str, lines: list[object], tmp_path: Path, *more: str, exit_code: int = 0
) -> list[dict[str, Any]]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    command = [sys.executable, "-m", "promptcot.cli", "verify", verb, "--in", str(file), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_code_is_judged_row_by_row_in_order(tmp_path: Path) -> None:
    double = {"solution": "print(2 * int(input()))", "inputs": ["1", "2"], "outputs": ["2", "4"]}
    rows: list[object] = [
        {"id": 0, **double},
        {**double, "outputs": ["2", "5"]},
        {**double, "outputs": ["2"]},
        "not JSON\n",
        {**double, "inputs": [], "outputs": []},
        {**double, "solution": " "},
        {**double, "solution": None},
        {**double, "mode": "kind"},
        {"solution": "print(6); exit(1)", "inputs": [""], "outputs": ["6"]},
        {"solution": "print(6); exit(1)", "inputs": [""], "outputs": ["6"], "mode": "judge"},
        {"solution": "def f(a, b): return a + b", "inputs": ["1\n2"], "outputs": ["3"], "fn_name": "f"},
        {"solution": "def f(a, b): return a + b", "inputs": ["1\n2"], "outputs": ["3"], "fn_name": "f.g"},
        "[]\n",
        {"solution": "while True: pass", "inputs": ["", ""], "outputs": ["", ""]},
    ]
    out = verify("code", rows, tmp_path, "--wall-s", "3")
    assert [(row["verdict"], row["codes"]) for row in out] == [
        ("correct", [True, True]),
        ("incorrect", [True, -2]),
        ("unscored", []),
        ("unscored", []),
        ("unscored", []),
        ("no_answer", []),
        ("unscored", []),
        ("unscored", []),
        ("correct", [True]),
        ("incorrect", [-4]),
        ("correct", [True]),
        ("unscored", []),
        ("unscored", []),
        ("incorrect", [-3]),
    ]
    assert out[0]["id"] == 0
    assert out[2]["reason"] == "2 inputs and 1 outputs (expected: one output for each input)"
    assert out[3]["reason"].startswith("line 4: malformed_json")
    assert out[4]["reason"].startswith("no tests")


def test_whole_answers_are_judged_by_their_last_block(tmp_path: Path) -> None:
    text = "<think>```\nno\n```</think>So:\n```python\nprint(input())\n```\n"
    rows: list[object] = [
        {"solution": text, "inputs": ["x"], "outputs": ["x"]},
        {"solution": "x", "inputs": ["x"], "outputs": ["x"]},
    ]
    out = verify("code", rows, tmp_path, "--extract", "--mode", "judge")
    assert [row["verdict"] for row in out] == ["correct", "no_answer"]


def test_programs_are_run_row_by_row_in_order(tmp_path: Path) -> None:
    rows: list[object] = [
        {"code": "print(input() * 2)", "stdin": "ab", "id": 7},
        {"code": "import sys; sys.stderr.write('no'); exit(3)"},
        {"stdin": "x"},
        {"code": "print('x' * 9999)"},
    ]
    out = verify("run", rows, tmp_path, "--output-kb", "1")
    assert [row["status"] for row in out] == ["ok", "error", "unscored", "output_limit"]
    assert [row["exit_code"] for row in out] == [0, 3, None, -25]
    assert (out[0]["stdout"], out[0]["id"], out[1]["stderr"]) == ("abab\n", 7, "no")
    assert out[0]["max_rss_mb"] > 1
    assert out[0]["wall_s"] > 0
    assert out[2]["stderr"] == "no field code (expected: a string)"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "promptcot.cli", "verify", "run", "--in", str(tmp_path / "none.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "none.jsonl': No such file" in done.stderr


def test_gold_says_which_references_can_judge_and_fails_if_one_cannot(tmp_path: Path) -> None:
    double = {"solution": "print(2 * int(input()))", "inputs": ["1", "2"], "outputs": ["2", "4"]}
    rows: list[object] = [
        {"gold": "\\frac{1}{2}"},
        {"gold": ""},
        double,
        {**double, "outputs": ["2", "5"]},
        {"inputs": ["1"], "outputs": ["1"]},
        {"inputs": ["1"], "outputs": [" "]},
        {"inputs": ["1"], "outputs": []},
        "not JSON\n",
        {"gold": 5},
    ]
    out = verify("gold", rows, tmp_path, exit_code=1)
    assert [row["verdict"] for row in out] == [
        "sound", "flawed", "sound", "flawed", "sound", "flawed", "unscored", "unscored", "sound"
    ]  # fmt: skip
    assert out[3]["reason"] == "test 1: its solution ended with wrong_output"
    assert [r["verdict"] for r in verify("gold", rows[:1] + rows[2:3], tmp_path)] == ["sound", "sound"]


@pytest.mark.parametrize("verb", ["code", "run", "gold"])
@pytest.mark.parametrize("name", ["rows.jsonl", "symlink", "hardlink"])
def test_a_file_is_never_written_over_itself(verb: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"gold": "2"}\n')
    (tmp_path / "symlink").symlink_to(file)
    (tmp_path / "hardlink").hardlink_to(file)
    more = ["--in", str(file), "--out", str(tmp_path / name), "--sandbox", "unsafe"]
    done = CliRunner().invoke(app, ["verify", verb, *more])
    assert isinstance(done.exception, UserError)
    assert "is the file that is read" in done.exception.seen
    assert file.read_text() == '{"gold": "2"}\n'
