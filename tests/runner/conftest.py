"""The digests of the line of steps (`tests.runner.line`) when one process does it alone; a Ray that is nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.runner import line


def on_its_own(folder: str) -> dict[str, str]:
    """Variables for a Ray that keeps its files in `folder` (sockets: 107 characters at most), finds no cluster of others,
    and looks at nobody else's memory."""
    return {"RAY_TMPDIR": folder, "RAY_ADDRESS": "local", "RAY_memory_monitor_refresh_ms": "0"}


def digests(path: Path) -> dict[str, str]:
    return {
        str(f.parent.relative_to(path)): json.loads(f.read_text())["digest"] for f in path.rglob("done.json")
    }


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of one process with one worker."""
    path = tmp_path_factory.mktemp("line") / "alone"
    line.main(str(path))
    found = digests(path)
    assert len(found) == 4
    return found
