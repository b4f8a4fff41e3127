"""The command line in this process (workers are processes of their own), with the answer key as a model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from promptcot.cli import main

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]


def environment(**extra: str) -> dict[str, str]:
    """For a process of its own: this tree, and the tests' modules for the scripted model."""
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths, **extra}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """`promptcot ARGS`; `completions` is the answer key of the model `tests.evals.replay:respond`."""
    path = tmp_path / "key.json"
    for name, value in {
        "REPLAY_KEY": str(path),
        "COLUMNS": "160",
        "NO_COLOR": "1",
        "HF_HUB_OFFLINE": "1",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*args: str | Path, completions: dict[str, str] | None = None) -> Done:
        path.write_text(json.dumps(completions or {}))
        monkeypatch.setattr(sys, "argv", ["promptcot", *map(str, args)])
        capfd.readouterr()
        try:
            main()
            code: Any = 0
        except SystemExit as ending:
            code = ending.code
        out, err = capfd.readouterr()
        return Done(code or 0, out, err)

    return run


def results(out: Path, model: str = "model") -> dict[str, Any]:
    """The entries of one model in DIR/results.json."""
    found: dict[str, Any] = json.loads((out / "results.json").read_text())["models"][model]["benchmarks"]
    return found
