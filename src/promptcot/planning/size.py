"""How many parameters a model directory holds: counted in its safetensors, else computed from its config.json."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100 << 20  # safetensors' own limit
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}
# Families whose MLP has two matrices; the others multiply by a gate, which is a third one.
_UNGATED = {
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "opt",
    "phi",
    "bloom",
    "falcon",
    "starcoder2",
    "gpt_bigcode",
}
# Families whose input and output words share a matrix, unless the config says otherwise.
_TIED = {
    "gpt2",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma3_text",
    "opt",
    "bloom",
    "falcon",
    "cohere",
    "gpt_bigcode",
}


def parameters(directory: Path) -> int | None:
    """Parameters of the model in `directory`; of an adapter, those of its base if that is a directory. None if nothing there
    says it."""
    adapter = _read(directory / "adapter_config.json")
    if adapter is not None:
        base = str(adapter.get("base_model_name_or_path") or "")
        return parameters(Path(base)) if base and Path(base) != directory else None
    config = _read(directory / "config.json")
    if config is None:
        return None
    if "quantization_config" not in config:  # whose tensors hold several parameters in a number
        counted = _counted(directory) or _indexed(directory, config)
        if counted:
            return counted
    return computed(config)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _counted(directory: Path) -> int | None:
    """The elements of all tensors, by the headers of the files that the index names, or of the only file; None unless all
    are there."""
    index = _read(directory / INDEX)
    try:
        names = set(index["weight_map"].values()) if index else {"model.safetensors"}
        return sum(_elements(directory / str(name)) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None


def _elements(file: Path) -> int:
    with file.open("rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        if size > MAX_HEADER_BYTES:
            raise ValueError(f"'{file}' is no safetensors file")
        header = json.loads(f.read(size))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _indexed(directory: Path, config: dict[str, Any]) -> int | None:
    """By the bytes that the index states, where the files themselves are not there."""
    about = (_read(directory / INDEX) or {}).get("metadata")
    if not isinstance(about, dict):
        return None
    if isinstance(count := about.get("total_parameters"), int):
        return count
    each = _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")))
    total = about.get("total_size")
    return round(total / each) if each and isinstance(total, int | float) else None


def computed(config: dict[str, Any]) -> int | None:
    """Parameters of a decoder by its config.json: exact for Llama, Qwen2, Qwen3, Mistral, Gemma, GPT-2 and their like, for
    others without biases and the smaller parts. None where the config lacks what it takes."""
    outer, config = config, config.get("text_config") or config

    def get(*names: str) -> int:
        return next((int(config[n]) for n in names if isinstance(config.get(n), int | float)), 0)

    kind = str(config.get("model_type"))
    width, layers = get("hidden_size", "n_embd", "d_model"), get("num_hidden_layers", "n_layer", "num_layers")
    words, heads = get("vocab_size"), get("num_attention_heads", "n_head", "num_heads")
    if not (width and layers and words and heads):
        return None
    inner = get("intermediate_size", "n_inner", "ffn_dim") or 4 * width
    tied = config.get("tie_word_embeddings", outer.get("tie_word_embeddings", kind in _TIED))
    embedding = words * width * (1 if tied else 2)
    if kind == "gpt2":
        block = 4 * width**2 + 2 * width * inner + 9 * width + inner
        return embedding + get("n_positions", "max_position_embeddings") * width + layers * block + 2 * width
    head = get("head_dim") or width // heads
    groups = get("num_key_value_heads") or heads
    attention = 2 * width * head * (heads + groups)
    if config.get("attention_bias", kind == "qwen2"):
        attention += head * (heads + 2 * groups) + (0 if kind == "qwen2" else width)
    if kind.startswith(("qwen3", "gemma3")):  # queries and keys are normed
        attention += 2 * head
    norms = (4 if kind.startswith(("gemma2", "gemma3")) else 2) * width
    mlp = (2 if kind in _UNGATED else 3) * width * inner
    if experts := get("num_local_experts", "num_experts", "n_routed_experts"):
        mlp = experts * (3 * width * (get("moe_intermediate_size") or inner) + width)
    return embedding + layers * (attention + mlp + norms) + width
