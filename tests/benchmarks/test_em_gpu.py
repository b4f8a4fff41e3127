"""The GPU benchmark at its smallest, on the CPU: all phases run, and the report holds what it promises."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "em_gpu.py"
ARMS = {"with_estep", "no_estep", "init_rationale", "init_plain"}
WORK = {"pretraining", "fine-tuning", "sampling", "scoring"}


def gsm8k_rows(count: int) -> str:
    """Rows in GSM8K's published form."""
    rows = [
        {"question": f"Ann has {n} pens and buys {n + 2} more. How many has she?",
         "answer": f"She has {n}+{n + 2}=<<{n}+{n + 2}={2 * n + 2}>>{2 * n + 2} pens.\n#### {2 * n + 2}"}
        for n in range(2, 2 + count)
    ]  # fmt: skip
    return "\n".join(map(json.dumps, rows)) + "\n"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What the script printed, and its report; with so many minutes that a busy machine cuts nothing."""
    folder = tmp_path_factory.mktemp("em_gpu")
    (folder / "gsm8k.jsonl").write_text(gsm8k_rows(30))
    command: list[str | Path] = [
        sys.executable, SCRIPT, "--tiny", "--minutes", "60", "--gsm8k", folder / "gsm8k.jsonl",
        "--out", folder / "report.json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return done.stdout, report


@pytest.mark.slow
def test_the_report_names_what_ran_and_on_what(ran: tuple[str, dict[str, Any]]) -> None:
    _, report = ran
    assert report["device"] == "cpu"
    assert report["seed"] == 1
    assert report["dtype"] == "float32"
    assert report["heldout_items"]["gsm8k"] == 6
    assert {"torch", "transformers", "numpy", "python", "memory_gib", "peak_flop_per_s", "cuts"} <= set(
        report
    )
    assert report["select"] == "joint"
    assert report["spent_s"] < 60 * report["minutes"]


@pytest.mark.slow
def test_every_arm_has_its_curve_and_every_number_is_finite(ran: tuple[str, dict[str, Any]]) -> None:
    _, report = ran
    assert set(report["arms"]) == ARMS
    for curve in report["arms"].values():
        assert len(curve) == 3
        assert all(math.isfinite(point[name]) for point in curve for name in ("nll", "bound", "nll_gsm8k"))
        assert all(point["nll"] > 0 > point["bound"] for point in curve)
        assert curve[0]["nll_change"] == 0
    starts = {report["arms"][arm][0]["nll"] for arm in ARMS - {"init_plain"}}
    assert len(starts) == 1


@pytest.mark.slow
def test_rates_count_the_work_of_each_kind(ran: tuple[str, dict[str, Any]]) -> None:
    _, report = ran
    assert set(report["rates"]) == WORK
    for rate in report["rates"].values():
        assert rate["tokens"] > 0
        assert rate["tokens_per_s"] > 0
        # not "< 1": the peak was measured before the work, perhaps on a core that was busier then
        assert rate["share_of_peak"] * report["peak_flop_per_s"] == pytest.approx(rate["model_flop_per_s"])
        assert rate["model_flop_per_s"] > 0


@pytest.mark.slow
def test_pretraining_and_the_cold_starts_lower_the_loss(ran: tuple[str, dict[str, Any]]) -> None:
    _, report = ran
    cold = [t for t in report["trainings"] if t["name"].partition(" ")[0] in ("q0", "p0")]
    assert len(cold) == 3
    for training in [report["pretraining"], *cold]:
        assert training["lowered"], training
        assert training["tokens"] >= training["planned_tokens"]


@pytest.mark.slow
def test_sampling_and_one_pass_agree_on_log_q(ran: tuple[str, dict[str, Any]]) -> None:
    _, report = ran
    assert report["agreement"]["max_nats_per_sequence"] < 1e-3
    assert 0 < report["estep"][0]["usable"] <= 1
    assert report["estep"][0]["reward_chosen"] >= report["estep"][0]["reward_mean"]


@pytest.mark.slow
def test_the_table_shows_the_four_curves_and_the_rates(ran: tuple[str, dict[str, Any]]) -> None:
    printed, _ = ran
    for name in ARMS | WORK:
        assert f"\n{name} " in printed or f"\n  {name} " in printed
