"""The size of a model directory: what transformers counts, from the tensors' headers, the index, or the config alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from promptcot.cli import app
from promptcot.planning.figures import Figures, size_b
from promptcot.planning.size import computed, parameters

SMALL = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 301, "head_dim": 16, "max_position_embeddings": 64,
}  # fmt: skip
GPT2 = {"n_embd": 48, "n_layer": 3, "n_head": 4, "vocab_size": 301, "n_positions": 64}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {**SMALL, "tie_word_embeddings": True}),
    ("llama", {**SMALL, "attention_bias": True}),
    ("mistral", SMALL),
    ("qwen2", {k: v for k, v in SMALL.items() if k != "head_dim"}),
    ("qwen3", {**SMALL, "tie_word_embeddings": True}),
    ("gemma", SMALL),
    ("gemma2", SMALL),
    ("gemma3_text", SMALL),
    ("mixtral", {**SMALL, "num_local_experts": 4}),
    ("qwen3_moe", {**SMALL, "num_experts": 4, "moe_intermediate_size": 40, "decoder_sparse_step": 1}),
    ("gpt2", GPT2),
    ("gpt2", {**GPT2, "n_inner": 100}),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{len(c[1])}")
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A model of random weights on disk, in several files, and how many parameters it has."""
    transformers = pytest.importorskip("transformers")
    kind, sizes = request.param
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(kind, **sizes))
    path = tmp_path_factory.mktemp(kind)
    model.save_pretrained(path, max_shard_size="60KB")
    return path, sum(p.numel() for p in model.parameters())


def test_the_tensors_are_counted(saved: tuple[Path, int]) -> None:
    path, count = saved
    assert (path / "model.safetensors.index.json").exists()
    assert parameters(path) == count
    assert size_b(str(path)) == count / 1e9


def test_without_the_tensors_the_index_and_then_the_config_say_the_same(
    saved: tuple[Path, int], tmp_path: Path
) -> None:
    path, count = saved
    shutil.copy(path / "config.json", tmp_path)
    assert parameters(tmp_path) == count
    index = json.loads((path / "model.safetensors.index.json").read_text())
    for about in (index["metadata"], {"total_size": 4 * count}):
        index["metadata"] = about
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        config = json.loads((path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_size": None}))
        assert parameters(tmp_path) == count


def test_published_configs_have_the_published_sizes() -> None:
    qwen = {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064, "tie_word_embeddings": False}  # fmt: skip
    assert computed(qwen) == 7_615_616_512  # the model card of Qwen2.5-7B: 7.61B
    assert computed({"text_config": qwen, "model_type": "some_vl"}) == 7_615_616_512
    gpt2 = {
        "model_type": "gpt2",
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "vocab_size": 50257,
        "n_positions": 1024,
    }
    assert computed(gpt2) == 124_439_808
    assert computed({"model_type": "mamba", "hidden_size": 8, "vocab_size": 5}) is None


def test_an_adapter_is_as_large_as_its_base_and_packed_weights_as_their_config(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    config = {"model_type": "llama", **SMALL}
    (base / "config.json").write_text(json.dumps(config))
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert parameters(adapter) == parameters(base) == computed(config)
    (base / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": {"bits": 4}}))
    assert parameters(base) == computed(config)


@pytest.mark.parametrize("config", ["", "[1]", "{", '{"hidden_size": "wide"}', "{}"])
def test_a_directory_that_says_nothing_is_of_unknown_size(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    assert parameters(tmp_path) is None
    assert parameters(tmp_path / "none") is None


def test_promptcot_plan_takes_a_directory_of_any_name(tmp_path: Path) -> None:
    model = tmp_path / "our-solver"
    model.mkdir()
    config = {"model_type": "llama", "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
              "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256}  # fmt: skip
    (model / "config.json").write_text(json.dumps(config))
    recipe = tmp_path / "r.yaml"
    evaluate = {
        "model": {"model": str(model)},
        "benchmarks": {"aime24": {"source": "a.jsonl"}},
    }
    recipe.write_text(yaml.safe_dump({"name": "r", "evaluate": evaluate}))
    run = CliRunner().invoke(app, ["plan", str(recipe), "--json"])
    assert run.exit_code == 0, run.output
    (line,) = json.loads(run.stdout)["lines"]
    assert "by 70.6B parameters" in line["source"]  # as Llama 3 70B
    assert line["tokens_per_s"]["mid"] == Figures().rate("acme/x-70.553706496B", "sample").tokens_per_s.mid
