"""What commands print on a terminal of 80 columns, and into a file."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from tests.export.conftest import make, recipe
from tests.smoke.test_cli import ROOT, cli

PLAN = ("plan", ROOT / "recipes" / "paper_selfplay_4b.yaml")


def on_terminal(*args: str | Path, columns: int = 80) -> list[str]:
    """The lines of a command whose output is a terminal, without colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "promptcot.cli", *map(str, args)]
    process = subprocess.Popen(command, stdout=theirs, env={**env, "TERM": "xterm"})
    os.close(theirs)
    heard = b""
    try:
        while chunk := os.read(ours, 4096):
            heard += chunk
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", heard.decode()).split("\r\n")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("runs") / "a-run-whose-name-is-longer-than-most", recipe())


@pytest.mark.parametrize("what", ["show", "plan"])
def test_on_80_columns_no_line_is_longer_and_nothing_is_cut(what: str, run: Path) -> None:
    args = PLAN if what == "plan" else ("show", run)
    lines = on_terminal(*args)
    assert max(map(len, lines)) <= 80
    whole = cli(*args).stdout
    assert "…" not in "".join(lines) + whole
    # The same words; those that are longer than their column go on in the next line.
    assert sorted("".join(lines).replace(" ", "")) == sorted(whole.replace(" ", "").replace("\n", ""))


def test_in_a_file_a_step_is_one_line_with_its_whole_name(run: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    for columns in ({}, {"COLUMNS": "40"}):
        said = subprocess.run(
            [sys.executable, "-m", "promptcot.cli", "show", str(run)],
            env={**env, **columns}, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        assert said[0] == f"my-run ({run})"
        assert [line.split() for line in said if line.startswith("08_selfplay/pairs1")] == [
            ["08_selfplay/pairs1", "2", "2", "0", "0.0", "0"]
        ]
