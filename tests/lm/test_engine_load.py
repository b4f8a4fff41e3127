"""From a recipe's words to an engine, and what happens when they are wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import MissingExtra, UserError
from promptcot.lm.base import Engine, EngineSpec, Prompt, Sample, SamplingParams
from promptcot.lm.load import load_engine


def shout(prompt: str, seed: int) -> str:
    return prompt.upper()


def test_a_saved_model_loads_from_its_directory(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = load_engine(EngineSpec("transformers", model=str(tmp_path), device="cpu"))
    assert isinstance(engine, Engine)
    assert engine.max_context == 96
    assert engine.decode(engine.encode("<|user|>abc")) == "<|user|>abc"


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        UserError, match=r"engine 'vlm'[\s\S]*transformers, scripted, pocket-annotator, pocket-teacher"
    ):
        load_engine(EngineSpec("vlm"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "has no model"),
        ({"dtype": "float16"}, "dtype 'float16'[\\s\\S]*bfloat16"),
        ({"device": "tpu"}, "device 'tpu'[\\s\\S]*auto, cpu, cuda"),
    ],
)
def test_a_transformers_engine_refuses_what_it_cannot_do(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_engine(EngineSpec(**{"engine": "transformers", "model": str(tmp_path), **changes}))


def test_an_empty_directory_is_a_user_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the directory has no config"):
        load_engine(EngineSpec("transformers", model=str(tmp_path), device="cpu"))


def test_weights_that_are_missing_are_a_user_error_too(model: Any, tmp_path: Path) -> None:
    model.config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="no model can be loaded from"):
        load_engine(EngineSpec("transformers", model=str(tmp_path), device="cpu"))


def test_cut_weights_of_a_run_are_named_with_what_to_do(model: Any, tokenizer: Any, tmp_path: Path) -> None:
    made = tmp_path / "q1" / "artifact"
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    (made.parent / "step.json").touch()
    weights = made / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"no model can be loaded from .*q1/artifact") as told:
        load_engine(EngineSpec("transformers", model=str(made), device="cpu"))
    assert told.value.do == f"rm -r '{made.parent}'; then promptcot run RECIPE trains it again"


def test_a_scripted_engine_takes_a_function_by_name_or_echoes() -> None:
    def said(model: str) -> str:
        engine = load_engine(EngineSpec("scripted", model=model))
        (sample,) = engine.sample([Prompt(seed=0, text="ab")], SamplingParams())
        assert isinstance(sample, Sample)
        return sample.text

    assert said("") == "ab"
    assert said(f"{__name__}:shout") == "AB"
    with pytest.raises(UserError, match="nowhere:respond"):
        said("nowhere:respond")


def test_loading_the_loader_imports_no_heavy_package() -> None:
    code = "import sys, promptcot.lm.load as l; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_torch_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "promptcot.lm.transformers", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"promptcot\[train\]"):
        load_engine(EngineSpec("transformers", model="somewhere"))


def test_the_pocket_model_loads_and_speaks() -> None:
    try:
        from promptcot.pocket import MODEL_DIR
    except ImportError:
        pytest.skip("promptcot.pocket has no MODEL_DIR yet")
    if not Path(MODEL_DIR, "config.json").exists():
        pytest.skip("the pocket model has not been trained yet")
    engine = load_engine(EngineSpec("transformers", model="pocket", device="cpu"))
    (sample,) = engine.sample([Prompt(seed=0, text="The")], SamplingParams(max_tokens=8))
    assert isinstance(sample, Sample)
    assert sample.logq is not None
    assert sample.logq < 0
