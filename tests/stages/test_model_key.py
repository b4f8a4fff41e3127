"""A model under the same name is not always the same model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from promptcot.pocket import MODEL_DIR
from promptcot.settings import Model
from promptcot.stages.context import model_inputs, model_key


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODEL_DIR, tmp_path / "model"))


@pytest.mark.parametrize("at", [100, -1])
def test_other_weights_in_a_users_directory_are_another_model(at: int, model: Path) -> None:
    before = model_key(str(model))
    assert model_key(str(model)) == before
    (model / "README.md").write_text("another text")
    assert model_key(str(model)) == before
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[at] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    assert model_key(str(model)) != before


def test_a_name_that_is_no_directory_with_a_model_is_its_own_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pocket").mkdir()
    assert [model_key(m) for m in ("pocket", "Qwen/Qwen3-4B", "")] == ["pocket", "Qwen/Qwen3-4B", ""]


def test_only_models_that_are_more_than_their_name_are_inputs(model: Path) -> None:
    named = Model(engine="transformers", model="pocket")
    own = Model(engine="transformers", model=str(model))
    assert model_inputs({"a": named, "b": own}) == {"model b": model_key(str(model))}
