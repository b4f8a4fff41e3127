"""Sentence embeddings: by a small BERT made here, against one text at a time; and by the real model where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from promptcot.analysis import embedding
from promptcot.errors import MissingExtra

TEXTS = ["the sum of two primes", "a", "the product of the two numbers is a prime number", "sum " * 40]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT that reads 32 tokens, in the files of the real one."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("bert")
    words = ["the", "sum", "of", "two", "primes", "a", "product", "numbers", "is", "prime", "number"]
    (path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(words)])
    )
    BertTokenizerFast.from_pretrained(str(path)).save_pretrained(path)
    torch.manual_seed(0)
    shape: Any = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    BertModel(BertConfig(vocab_size=24, max_position_embeddings=32, **shape)).save_pretrained(path)
    return path


def test_a_vector_is_the_normalised_mean_over_a_texts_own_tokens(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    monkeypatch.setattr(embedding, "BATCH", 3)  # two batches, with padding in them
    found, cut = embedding.embed(TEXTS, small)
    tokenizer, model = AutoTokenizer.from_pretrained(str(small)), AutoModel.from_pretrained(str(small)).eval()
    for text, vector in zip(TEXTS, found, strict=True):
        one = tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**one).last_hidden_state[0].mean(0).numpy()
        assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)
    assert cut == 1  # the last text has 42 tokens


def test_without_the_model_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(embedding, "PACKAGE", "no_such_package")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingExtra, match=r"no-such-package.*\n.*promptcot\[map\]"):
        embedding.model_directory()


def test_the_real_model_finds_texts_of_one_meaning_close() -> None:
    try:
        directory = embedding.model_directory()
    except MissingExtra as missing:
        pytest.skip(f"THE EMBEDDING MODEL IS ABSENT: {missing.do}")
    first, second, other = embedding.embed(
        [
            "Find the sum of all primes below 20.",
            "Add up every prime less than twenty.",
            "Who painted the Night Watch?",
        ],
        directory,
    )[0]
    assert len(first) == 384
    assert first @ second > 0.6 > first @ other
