"""Trainings and the report write to the trackers a recipe names, and to none where it names none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptcot import tracking
from promptcot.errors import UserError
from promptcot.recipe import load
from promptcot.settings import Training
from promptcot.train.sft import sft

from tests.train.small import BASE, START, rows  # isort: skip

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "analysis" / "report_sample.json"


def scalars(folder: Path) -> dict[str, list[Any]]:
    """What TensorBoard shows of a folder: name -> (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[Any]] = {}
    for file in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file))
        events.Reload()
        for name in events.Tags()["scalars"]:
            found.setdefault(name, []).extend((e.step, e.value) for e in events.Scalars(name))
    return found


def test_a_training_logs_its_losses_under_the_name_of_its_step(tmp_path: Path) -> None:
    out = tmp_path / "mine" / "03_coldstart" / "q" / ".making"
    facts = sft(out, rows(), START, Training.model_validate({**BASE, "report_to": ["tensorboard"]}))
    logged = scalars(tmp_path / "mine" / "tracking" / "03_coldstart" / "q")
    assert [step for step, _ in logged["train/loss"]] == list(range(1, facts["steps"] + 1))
    assert [value for _, value in logged["train/loss"]] == pytest.approx(facts["loss"], abs=1e-5)
    quiet = tmp_path / "mine" / "03_coldstart" / "p" / ".making"
    sft(quiet, rows(8), START, Training.model_validate(BASE))
    assert not list((tmp_path / "mine").rglob("03_coldstart/p/**/events*"))


def test_what_the_run_measured_stands_beside_its_trainings(tmp_path: Path) -> None:
    report = json.loads(SAMPLE.read_text())
    tracking.send(report, tmp_path, ["tensorboard"])
    logged = scalars(tmp_path / "tracking")
    assert logged["em/bound"] == [
        (i["iteration"], pytest.approx(i["bound"], rel=1e-6)) for i in report["em"]["iterations"]
    ]
    assert logged["evaluation/self_play/avg_8/heldout/math/4/difference"] == [(0, pytest.approx(-0.05))]
    assert logged["rows/curate/rows_out"] == [(0, 1541.0)]


def test_the_run_names_trackers_once_for_all_trainings_and_none_changes_what_a_run_is() -> None:
    other = "em.p_training.report_to=[wandb]"
    named = load(ROOT / "recipes" / "pocket.yaml", ["run.report_to=[tensorboard]", other])
    none = load(ROOT / "recipes" / "pocket.yaml")
    assert named.coldstart is not None
    assert named.em is not None
    assert named.em.p_training is not None
    assert named.coldstart.training.report_to == named.em.training.report_to == ["tensorboard"]
    assert named.em.p_training.report_to == ["wandb"]
    assert named.key() == none.key()


def test_a_tracker_that_is_not_installed_is_said_before_anything_runs() -> None:
    tracking.check(["tensorboard"])
    with pytest.raises(UserError, match="report_to names trackio"):
        tracking.check(["tensorboard", "trackio"])
