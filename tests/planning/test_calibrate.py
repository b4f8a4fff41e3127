"""The measurement: what is timed, by a clock that is told, and once for real on the pocket model."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from promptcot import plan_cli
from promptcot.errors import UserError
from promptcot.planning.calibrate import calibrate, grow
from promptcot.planning.figures import Figures, Range
from promptcot.planning.plan import plan
from promptcot.recipe import load
from promptcot.settings import Training

ROOT = Path(__file__).parents[2]


def test_batches_grow_until_they_take_half_the_time_or_hold_a_shard() -> None:
    now, asked = [0.0], list[int]()

    def one(rows: int) -> int:
        asked.append(rows)
        now[0] += 1.0 + rows / 16  # a fixed cost that large batches hide
        return 10 * rows

    assert grow(one, limit=512, seconds=10.0, clock=lambda: now[0]) == pytest.approx(10 * 64 / 5.0)
    assert asked == [2, 8, 16, 32, 64]  # the first is warming up; 64 rows take 5 s
    asked.clear()
    assert grow(one, limit=20, seconds=10.0, clock=lambda: now[0]) == pytest.approx(200 / 2.25)
    assert asked == [2, 8, 16, 20]


@pytest.mark.slow
def test_a_calibration_replaces_the_packaged_figures_of_that_model(tmp_path: Path) -> None:
    sets = ["run.shard_rows=4", "label=null", "selfplay=null", "distill=null", "evaluate=null"]
    sets += ["coldstart.training.micro_batch_size=1", "em.training.micro_batch_size=1"]
    recipe = load(ROOT / "recipes" / "tiny.yaml", sets)
    told: list[str] = []
    (entry,) = calibrate(recipe, Figures(), seconds=0.1, tell=told.append)
    assert (entry["match"], entry["device"]) == ("pocket", "CPU core")
    for kind in ("sample", "score", "train"):
        assert entry[kind]["value"] > 0
    assert len(told) == 3
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"models": [entry]}))
    rates = {line.work.kind: line.rate.tokens_per_s for line in plan(recipe, Figures(path)) if line.rate}
    assert rates == {
        kind: Range(entry[kind]["value"] / 1.2, entry[kind]["value"], entry[kind]["value"] * 1.2)
        for kind in ("sample", "score", "train")
    }


def test_a_calibration_is_not_written_over_its_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text((ROOT / "recipes" / "tiny.yaml").read_text())
    with pytest.raises(UserError, match="is the file that is read"):
        plan_cli.calibrate(recipe, seconds=0.1, save=recipe)
    assert recipe.read_text() == (ROOT / "recipes" / "tiny.yaml").read_text()


@pytest.mark.slow
def test_a_training_of_several_processes_is_measured_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Training] = []
    monkeypatch.setattr("promptcot.train.sft.sft", lambda out, rows, start, settings: asked.append(settings))
    sets = [
        "em=null",
        "synthesize=null",
        "curate=null",
        "label=null",
        "selfplay=null",
        "distill=null",
        "evaluate=null",
    ]
    sets += ["coldstart.training.batch_size=16", "coldstart.training.launch.processes=4"]
    recipe = load(ROOT / "recipes" / "tiny.yaml", sets)
    (entry,) = calibrate(recipe, Figures(), seconds=0.0, tell=lambda line: None)
    assert {s.launch.processes for s in asked} == {1}
    assert entry["train"]["source"].endswith("tokens each, in one process instead of 4")
