"""Whatever is trained learns where an answer ends, or the training says why it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.lm.base import EngineSpec, SamplingParams
from promptcot.pocket import MODEL_DIR
from promptcot.runner.worker import Worker
from promptcot.settings import GRPO, LoRA, Preference, Training
from promptcot.stages.coldstart import beginning
from promptcot.train.common import Start
from promptcot.train.dpo import dpo
from promptcot.train.grpo import Task, grpo
from promptcot.train.sft import sft
from promptcot.train.tokens import Tokens

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from tests.train.small import BASE, START, id_pairs, longer_is_better, rows  # noqa: E402

ONCE = {**BASE, "epochs": 1}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def fit_sft(out: Path, start: Start) -> dict[str, Any]:
    return sft(out, rows(8), start, Training.model_validate(ONCE))


def fit_dpo(out: Path, start: Start) -> dict[str, Any]:
    return dpo(out, id_pairs(8), start, Preference.model_validate(ONCE))


def fit_grpo(out: Path, start: Start) -> dict[str, Any]:
    tasks = [Task((("user", f"What is {i} + 3?"),), 8) for i in range(2)]
    settings = Preference.model_validate({**ONCE, "batch_size": 2})
    return grpo(out, tasks, longer_is_better, SamplingParams(max_tokens=8), start, settings, GRPO(group=4))


FITS: list[Callable[[Path, Start], dict[str, Any]]] = [fit_sft, fit_dpo, fit_grpo]


def variant(folder: Path, **changes: Any) -> Start:
    """The packaged model with other names of special tokens (None: none)."""
    shutil.copytree(MODEL_DIR, folder)
    file = folder / "tokenizer_config.json"
    config = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return Start(str(folder), "float32", START.seed)


@pytest.mark.parametrize("gone", [("eos_token",), ("eos_token", "pad_token")], ids="+".join)
@pytest.mark.parametrize("fit", FITS)
def test_without_an_end_token_nothing_is_trained(
    fit: Callable[[Path, Start], dict[str, Any]], gone: tuple[str, ...], tmp_path: Path
) -> None:
    start = variant(tmp_path / "m", **dict.fromkeys(gone))
    with pytest.raises(UserError, match=r"no end token \(eos_token\)[\s\S]*tokenizer_config\.json"):
        fit(tmp_path / "out", start)
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_the_stages_say_so_before_they_make_a_row(tmp_path: Path) -> None:
    """Cold start, EM, distillation and self-play all begin here."""
    start = variant(tmp_path / "m", eos_token=None)
    with pytest.raises(UserError, match="no end token"):
        beginning(Worker(1), EngineSpec("transformers", start.model))


def test_an_end_token_that_the_model_does_not_have_is_none(tmp_path: Path) -> None:
    start = variant(tmp_path / "m", eos_token="</s>")
    with pytest.raises(UserError, match=r"'</s>' of .* has the id 1024, and the model 1024 tokens"):
        fit_sft(tmp_path / "out", start)


@pytest.mark.parametrize("fit", FITS)
def test_without_a_pad_token_the_training_is_the_same(
    fit: Callable[[Path, Start], dict[str, Any]], tmp_path: Path
) -> None:
    facts = [
        fit(tmp_path / f"out-{pad}", variant(tmp_path / f"m-{pad}", pad_token=pad))
        for pad in ("<|pad|>", None)
    ]
    assert facts[0]["loss"] == facts[1]["loss"]


def test_an_adapter_that_is_trained_on_needs_an_end_token_too(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="needs peft: pip install 'promptcot[lora]'")
    settings = Training.model_validate({**ONCE, "lora": LoRA(rank=2, merge=False).model_dump()})
    sft(tmp_path / "first", rows(8), START, settings)
    file = tmp_path / "first" / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token": None}))
    with pytest.raises(UserError, match="no end token"):
        sft(tmp_path / "second", rows(8), Start(str(tmp_path / "first"), "float32", 1), settings)


def test_a_turn_ends_with_the_end_token_unless_it_was_cut() -> None:
    tokens = Tokens(START.model)
    prompt = tokens.chat_ids((("user", "Hello"),))
    end = tokens.tokenizer.eos_token_id
    assert tokens.turn(prompt, "7") == (*tokens.encode("7"), end)
    assert tokens.turn(prompt, "7", ended=False) == tokens.encode("7")
