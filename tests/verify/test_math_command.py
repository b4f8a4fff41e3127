"""`promptcot verify math`: the same rows in the same order, each with a verdict, whatever they hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from promptcot.readers.files import read_rows
from promptcot.verify_cli import _judge_all

ROWS = [
    rb'{"gold": "1/4", "prediction": "0.25", "id": "a"}',
    rb'{"gold": 7, "prediction": 8}',
    rb"this is not JSON",
    rb'{"gold": "7"}',
    rb"[1, 2]",
    b"\xff\xfe\xfa",
    rb'{"gold": "7", "prediction": null}',
    rb'{"gold": "7", "prediction": "<think>\\boxed{8}</think> so \\boxed{7}"}',
    rb'{"gold": "7", "prediction": "<think>\\boxed{7}"}',
    rb'{"gold": "", "prediction": "7"}',
    rb'{"gold": "7", "prediction": "\ud800"}',
    rb'{"gold": ["7"], "prediction": "7"}',
    rb'{"gold": "\\sin^2 x", "prediction": "1-\\cos^2 x"}',
]
VERDICTS = ["correct", "incorrect", *["unscored"] * 4, "no_answer", "correct", "no_answer", "unscored"]
VERDICTS += ["incorrect", "correct", "correct"]


def verify(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promptcot.cli", "verify", "math", "--in", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_bad_rows_get_a_reason_and_the_rest_goes_on(tmp_path: Path, workers: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(ROWS) + b"\n")
    run = verify(tmp_path / "rows.jsonl", "--workers", workers)
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["verdict"] for row in rows] == VERDICTS
    assert rows[0]["id"] == "a"
    assert all(row["reason"] and row["seconds"] >= 0 for row in rows)
    assert rows[3]["reason"] == "line 4: no field 'prediction'"


@pytest.mark.parametrize(
    ("gold", "prediction", "verdict"),
    [
        ("NaN", "NaN", "unscored"), ("NaN", "5", "unscored"), ("null", '"None"', "unscored"), ('"N/A"', '"N/A"', "unscored"),
        ('"None"', '"7"', "unscored"), ("[]", "7", "unscored"), ('" "', "7", "unscored"), ('["5", "6"]', '"6"', "unscored"),
        ('{"value": 5}', '"5"', "unscored"), ("5", "NaN", "no_answer"), ('"5"', "null", "no_answer"), ('["5"]', "5", "correct"),
        ('"0.00002"', "2e-05", "correct"), ("2e-05", '"0.00002"', "correct"), ("1e+22", '"10000000000000000000000"', "correct"),
        ('"10000000000000000"', "1e+16", "correct"), ("5", "5.0", "correct"), ("0", "0", "correct"),
        (r'"\\(\\boxed{1}\\) and \\(\\boxed{-2}\\)."', '"-2"', "incorrect"),
        (r'"\\(\\boxed{1}\\) and \\(\\boxed{-2}\\)."', '"-2, 1"', "correct"),
        (r'"First \\boxed{1}, so it is \\boxed{2}"', '"2"', "unscored"),
        (r'"So 40 + 2.\n#### 42"', '"42"', "correct"), (r'"So 40 + 2.\n#### 42"', '"2"', "incorrect"),
        ('"5"', '["5"]', "unscored"), ("5", "true", "unscored"),
    ],
)  # fmt: skip
def test_a_value_of_json_is_read_as_seeds_are(
    gold: str, prediction: str, verdict: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{{"gold": {gold}, "prediction": {prediction}}}\n')
    (row,) = _judge_all(read_rows(tmp_path / "rows.jsonl", halves=True), "symbolic", 1)
    assert row["verdict"] == verdict, row["reason"]


def test_strict_mode_compares_text_only(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(ROWS[0])
    assert json.loads(verify(tmp_path / "rows.jsonl", "--mode", "strict").stdout)["verdict"] == "incorrect"


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    run = verify(tmp_path / "none.jsonl")
    assert run.returncode == 2
    assert "there is no file" in run.stderr
    assert "Traceback" not in run.stderr
