"""The suite's own rules: nothing stays in the temporary directory, and `--fast` takes what needs nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fast import needs

ROOT = Path(__file__).parents[1]


def pytest_run(folder: Path, test: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A suite of this one file, with our plugins and nobody's settings."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = slow: x\n")
    (folder / "test_it.py").write_text(test)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


LEAVES = """
import os, subprocess, sys, tempfile
def test_tidy(tmp_path):
    tempfile.mkdtemp(dir=tmp_path)
    with tempfile.TemporaryDirectory(): pass
def test_leaves():
    code = "import os, tempfile; os.close(tempfile.mkstemp(prefix='left-')[0])"
    subprocess.run([sys.executable, "-c", code], check=True)
    open("place", "w").write(tempfile.gettempdir())
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_a_test_or_its_child_leaves_fails_the_run_with_its_name(workers: str, tmp_path: Path) -> None:
    done = pytest_run(tmp_path, LEAVES, "-p", "tests.tidy", "-n", workers)
    assert done.returncode == 1, done.stdout
    assert "2 passed" in done.stdout
    assert "left behind in the temporary directory" in done.stdout
    assert "left-" in done.stdout
    assert "first seen after test_it.py::test_leaves" in done.stdout
    place = Path((tmp_path / "place").read_text())
    assert place.parents[1].name.startswith("pt-")
    assert not place.parents[1].exists()


def test_a_tidy_run_is_green_and_keeps_what_it_is_asked_to_keep(tmp_path: Path) -> None:
    tidy = LEAVES.partition("def test_leaves")[0]
    assert pytest_run(tmp_path, tidy, "-p", "tests.tidy", "-n", "0").returncode == 0
    assert pytest_run(tmp_path, tidy, "-p", "tests.tidy", "-n", "0", "--basetemp", "kept").returncode == 0
    assert [p.name for p in (tmp_path / "kept").iterdir() if p.name.startswith("test_tidy")]


HEAVY = """
import importlib, pytest
def test_light(): pass
def test_heavy(): importlib.import_module("tokenizers")
@pytest.mark.slow
def test_slow(): raise AssertionError
def test_program(sandbox): raise AssertionError
@pytest.fixture
def sandbox(): return "bwrap"
"""


def test_fast_leaves_out_what_is_marked_and_fails_what_loads_something_heavy_all_the_same(
    tmp_path: Path,
) -> None:
    done = pytest_run(tmp_path, HEAVY, "-p", "tests.fast", "--fast", "-n", "0")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed, 2 deselected" in done.stdout
    assert "needs tokenizers: mark it slow" in done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "def test_a():\n    import torch",
        "import pytest\ntorch = pytest.importorskip('torch', reason='needs torch')",
        "from promptcot.train import common",
        "from promptcot import corridor",
        "COMMAND = ['-m', 'promptcot.cli', 'run']",
        "from tests.view.conftest import CHROMIUM",
    ],
)
def test_what_a_file_needs_is_read_from_it_and_from_what_it_imports(code: str, tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text("import json\nfrom promptcot.em import bounds\nNAME = 'torch'\n")
    (tmp_path / "test_heavy.py").write_text(code)
    assert not needs(tmp_path / "test_light.py")
    assert needs(tmp_path / "test_heavy.py")
