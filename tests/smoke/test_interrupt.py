"""Ctrl-C in the middle of a run: one line says how to go on, and that command does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from tests.smoke.test_cli import TINY, cli


@pytest.mark.slow
def test_an_interrupted_run_names_the_command_that_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
    args = [
        "coldstart",
        str(TINY),
        "--run-dir",
        str(tmp_path / "r"),
        "--set",
        "coldstart.training.epochs=200",
    ]
    for stage in ("seeds", "annotate"):
        assert cli(stage, *args[1:]).returncode == 0
    command = [sys.executable, "-m", "promptcot.cli", *args]
    run = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell lets what runs behind it ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "r" / "03_coldstart" / "q" / "step.json").exists():
        assert run.poll() is None
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert f"The same command goes on: promptcot {' '.join(args)}" in said
