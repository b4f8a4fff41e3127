"""The packaged model in llama.cpp's file format: `python to_gguf.py MODEL_DIR OUT.gguf`, with gguf, numpy and safetensors.

llama.cpp's own converter knows tokenizers by a digest of what they do with a text, and ours is not in its table.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
from safetensors.numpy import load_file

PRE = "smollm"  # llama.cpp's name for: digits one by one, then GPT-2's expression, as our tokenizer splits


def write(model: Path, out: Path) -> None:
    """A Qwen3 in float32 with its byte-level BPE and its chat template."""
    config = json.loads((model / "config.json").read_text())
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    made = gguf.GGUFWriter(out, "qwen3")
    made.add_context_length(config["max_position_embeddings"])
    made.add_embedding_length(config["hidden_size"])
    made.add_feed_forward_length(config["intermediate_size"])
    made.add_block_count(config["num_hidden_layers"])
    made.add_head_count(config["num_attention_heads"])
    made.add_head_count_kv(config["num_key_value_heads"])
    made.add_key_length(config["head_dim"])
    made.add_value_length(config["head_dim"])
    made.add_layer_norm_rms_eps(config["rms_norm_eps"])
    made.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    made.add_file_type(gguf.LlamaFileType.ALL_F32)

    vocabulary = tokenizer["model"]["vocab"]
    special = {t["id"] for t in tokenizer["added_tokens"]}
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    made.add_tokenizer_model("gpt2")
    made.add_tokenizer_pre(PRE)
    made.add_token_list(sorted(vocabulary, key=vocabulary.__getitem__))
    made.add_token_types([control if i in special else normal for i in range(len(vocabulary))])
    made.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]])
    made.add_eos_token_id(config["eos_token_id"])
    made.add_pad_token_id(config["pad_token_id"])
    made.add_add_bos_token(False)
    made.add_chat_template((model / "chat_template.jinja").read_text())

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    for name, values in load_file(model / "model.safetensors").items():
        found = names.get_name(name, try_suffixes=(".weight",))
        assert found is not None, name
        made.add_tensor(found, values)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
