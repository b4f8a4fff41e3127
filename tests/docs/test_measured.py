"""docs/measured.py writes the tables of docs/reproducing.md; what it prints is in the file it reads."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs.scripts import script

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "analysis" / "report_sample.json"


@pytest.fixture(scope="module")
def measured() -> ModuleType:
    return script("measured")


def test_a_run_gets_its_funnel_em_labels_scores_and_difficulty(measured: ModuleType) -> None:
    found = measured.run(json.loads(SAMPLE.read_text())).splitlines()
    for line in (
        "| annotate | 600 | 588 | 12 no_answer |",
        "| self_play | math, 4 | 240 | 28.0% | 23.0% | -5.0 (-8.5 to -1.5) |",
        "| math | 1200 | 80.0% (78.0% to 82.0%) | 520 of 800 | 94.0% (91.5% to 96.0%) |",
    ):
        assert line in found
    assert any(
        line.startswith("| 1 | 8.05 (7.55 to 8.65) | -0.66 (-0.95 to -0.35) | 8.75 | -11.38 |")
        for line in found
    )


def test_an_ablation_gets_curves_changes_and_contrasts(measured: ModuleType) -> None:
    start = {
        "iteration": 0, "items": 6, "nll_x_given_z": 3.0, "nll_x_given_z_by_seed": [2.0, 4.0], "nll_sampled": 3.5,
        "bound": -4.0, "bound_by_seed": [-3.0, -5.0], "joint": -9.0, "rationale_tokens": 12.0, "ess": 2.0, "duplicates": 0.1,
        "well_formed": 0.9,
    }  # fmt: skip
    moved = {
        "nll_x_given_z_change": -0.5, "nll_x_given_z_change_ci95": [-1.0, -0.25], "nll_x_given_z_change_by_seed": [-0.25, -0.75],
        "bound_change": None,
    }  # fmt: skip
    arm = {"arm": "init_plain", "iterations": [start, {**start, **moved, "iteration": 1, "ess": None}]}
    data = {
        "wall_s": 60.0,
        "ablation": {"arms": [arm], "contrasts": [{"arm": "iw", "iteration": 1, **moved}]},
    }
    found = measured.ablation(data).splitlines()
    assert (
        "| init_plain | 1 | 3.00 (2.00 / 4.00) | 3.50 | -4.00 (-3.00 / -5.00) | -9.00 | 12.0 | - |" in found
    )
    assert "| init_plain | 1 | -0.50 (-1.00 to -0.25) | - | - | - | 10% -> 10% | 90% -> 90% |" in found
    assert "| iw | 1 | -0.50 (-1.00 to -0.25); by seed -0.25 / -0.75 | - | - |" in found


def test_a_study_gets_a_column_per_arm_and_its_failures(measured: ModuleType) -> None:
    full = {"mean": 0.6, "by_seed": [0.5, 0.7]}
    less = {"mean": 0.5, "by_seed": [0.4, 0.6], "change": {"mean": -0.1, "ci95": [-0.15, -0.05]}}
    data = {
        "study": "s.yaml", "arms": {"full": [], "less": [], "broken": []}, "failed": {"broken": "seed 1: no problem"},
        "rows": [{"model": "student_after", "benchmark": "heldout", "arms": {"full": full, "less": less}}],
    }  # fmt: skip
    found = measured.study(data).splitlines()
    assert (
        "| student_after, heldout | 60.0% (50.0% / 70.0%) | 50.0% (40.0% / 60.0%); -10.0 (-15.0 to -5.0) |"
        in found
    )
    assert "* broken: seed 1: no problem" in found


def test_labels_that_are_not_there_are_dashes(measured: ModuleType) -> None:
    data = json.loads(SAMPLE.read_text())
    (label,) = (entry for entry in data["labels"] if entry["domain"] == "math")
    label |= {"accepted": 0, "truth_known": 0, "accuracy": None, "ci95": None}
    head = "| math | 1200 | 80.0% (78.0% to 82.0%) | "
    assert f"{head}0 of 800 | - |" in measured.run(data).splitlines()
    del data["labels"]
    assert f"{head}- | - |" in measured.run(data).splitlines()
    del data["validity"]
    assert "| domain | written" not in measured.run(data)
