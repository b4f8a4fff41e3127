"""What the end-to-end tests share. They run only by `make e2e-...`: each needs something that the ordinary set-up lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.e2e.widen import widen

from promptcot.lm import canary
from promptcot.lm.transformers import TransformersEngine
from promptcot.lm.vllm import PYTHON
from promptcot.pocket import MODEL_DIR

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """The interpreter that has vLLM."""
    path = Path(os.environ.get(PYTHON) or ROOT / ".venv-vllm" / "bin" / "python")
    if not path.exists():
        pytest.skip(f"no vLLM at {path}: make e2e-vllm installs it")
    return str(path)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged model in a shape that vLLM runs on a CPU, with its canary."""
    folder = tmp_path_factory.mktemp("models") / "wide"
    widen(Path(MODEL_DIR), folder)
    canary.write(folder, TransformersEngine(folder, device="cpu"))
    return folder
