"""A step of the analysis is made again when its inputs or its code have changed, and kept when they have not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from promptcot.recipe import parse
from promptcot.records import Record
from promptcot.rundir import RunDir
from promptcot.stages.context import Context, forget


def test_only_a_step_from_other_inputs_or_other_code_is_removed(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", parse({"name": "x", "seeds": {"source": "pocket"}}))
    ctx = cast(Context, SimpleNamespace(run=run))
    key: dict[str, Any] = {"inputs": {"tables": "1"}, "version": 1}
    step = run.step("analyze", "map", Record, {}, **key)
    forget(ctx, "analyze", "map", key["inputs"], 1)
    assert (step.path / "step.json").exists()
    forget(ctx, "analyze", "map", {"tables": "2"}, 1)
    assert not step.path.exists()
    run.step("analyze", "map", Record, {}, **key)
    forget(ctx, "analyze", "map", key["inputs"], 2)
    assert not step.path.exists()
    forget(ctx, "analyze", "map", key["inputs"], 2)  # nothing there, nothing to do
    run.close()
