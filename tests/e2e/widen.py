"""The packaged model with wider attention heads: the same function in a shape that vLLM's CPU build can run.

Its heads have 40 numbers; vLLM's attention on a CPU takes 32, 64, 80 and more (on a GPU any multiple of 8). So every head is
padded with zeros to 64. The root mean square in the norms of q and k, the scale of the scores and the rotary frequencies
depend on the width: the first two are made up for in the norms' weights, the last by longrope's factors per frequency. A
padded q meets a padded k, both zero, so that training leaves the padding at zero too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

WIDTH = 64


def widen(source: Path, out: Path) -> None:
    """Write the model of `source` into `out`, with heads of `WIDTH`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    old: Any = model.config
    narrow, theta = old.head_dim, old.rope_parameters["rope_theta"]
    wanted = [theta ** (-2 * i / narrow) for i in range(narrow // 2)]
    have = [theta ** (-2 * i / WIDTH) for i in range(WIDTH // 2)]
    factors = [h / w for h, w in zip(have, wanted)] + [1.0] * ((WIDTH - narrow) // 2)
    rope = {
        "rope_type": "longrope", "rope_theta": theta, "short_factor": factors, "long_factor": factors,
        "original_max_position_embeddings": old.max_position_embeddings, "attention_factor": 1.0,
    }  # fmt: skip
    config = Qwen3Config(**{**old.to_dict(), "head_dim": WIDTH, "rope_parameters": rope})
    wide = Qwen3ForCausalLM(config)
    # q and k are rotated in pairs (i, i + half): each half of a head is padded by itself.
    halves = [*range(narrow // 2), *range(WIDTH // 2, WIDTH // 2 + narrow // 2)]
    state = {}
    for name, target in wide.state_dict().items():
        weight = model.state_dict()[name]
        if ".self_attn." not in name:
            state[name] = weight
            continue
        made = torch.zeros_like(target)
        if "_norm" in name:
            made[halves] = weight * (math.sqrt(narrow / WIDTH) if "k_norm" in name else 1.0)
        elif "o_proj" in name:
            heads = weight.reshape(weight.shape[0], -1, narrow)
            made.view(made.shape[0], -1, WIDTH)[:, :, :narrow] = heads
        else:
            places = list(range(narrow)) if "v_proj" in name else halves
            made.view(-1, WIDTH, made.shape[1])[:, places] = weight.reshape(-1, narrow, weight.shape[1])
        state[name] = made
    wide.load_state_dict(state)
    wide.save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)
