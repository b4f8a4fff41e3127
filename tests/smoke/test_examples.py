"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def output(name: str) -> str:
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_verify_answer_tells_right_from_wrong_and_from_none() -> None:
    lines = output("verify_answer.py").splitlines()
    assert [line.split()[0] for line in lines] == [
        "correct", "correct", "incorrect", "no_answer", "correct", "incorrect", "correct", "incorrect", "vote:",
        "correct", "incorrect",
    ]  # fmt: skip
    assert lines[8] == "vote: 12 with 3 of 5, margin 2"


@pytest.mark.slow
def test_score_rationale_keeps_the_one_with_the_largest_sum() -> None:
    lines = output("score_rationale.py").splitlines()
    sums = {line.split("  ")[-1]: float(line.split("sum")[1].split()[0]) for line in lines[:-1]}
    assert lines[-1] == f"kept: {max(sums, key=lambda z: sums[z])}"
