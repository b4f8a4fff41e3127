"""A random two-layer Qwen3 and a byte-level tokenizer, made on the spot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from promptcot.lm.transformers import TransformersEngine

# Merged tokens, so that a stop string can begin or end inside a token.
MERGES = [("a", "b"), ("b", "c"), ("ab", "c"), ("x", "y"), ("Ġ", "t")]
TEMPLATE = (
    "{% for m in messages %}<|user|>{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|user|>assistant:{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """256 bytes, five merges, `<|end|>` (the end token) and `<|user|>`: 263 ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = alphabet + ["".join(pair) for pair in MERGES]
    bpe = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(pieces)}, merges=MERGES))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(["<|end|>", "<|user|>"])
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|end|>")
    made.chat_template = TEMPLATE
    return made


@pytest.fixture(scope="session")
def model(tokenizer: Any) -> Any:
    """Random weights, wide enough that its distributions are neither flat nor deterministic; context 96."""
    torch.set_num_threads(1)  # more would only wait for each other on so small a model
    torch.manual_seed(20)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=96,
        initializer_range=0.2,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen3ForCausalLM(config).eval()


@pytest.fixture(scope="session")
def engine(model: Any, tokenizer: Any) -> TransformersEngine:
    return TransformersEngine.from_model(model, tokenizer, name="tiny")
