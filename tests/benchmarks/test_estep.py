"""The E-step benchmark at its smallest: it runs, its sides draw from one distribution, and our scores are exact."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "estep.py"


@pytest.mark.slow
def test_the_sides_draw_from_one_distribution_and_scores_are_exact() -> None:
    small = ["--problems", "16", "--k", "4", "--rounds", "1", "--steps", "6", "--max-tokens", "8", "--sides"]
    command = [sys.executable, str(SCRIPT), *small, "per problem", "batched"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one distribution: yes; scores exact: yes" in done.stdout
    for piece in ("per problem", "batched", "sampling:", "scoring:", "memory read"):
        assert piece in done.stdout
