"""axolotl: conversations, and a config that names the fields.

Shape: https://docs.axolotl.ai/docs/dataset-formats/conversation.html (`type: chat_template`, `field_messages`) and
https://docs.axolotl.ai/docs/rlhf.html (`rl: dpo`, `type: chat_template.default`: `chosen` and `rejected` are one
message each).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from promptcot.export import llamafactory
from promptcot.export.open_instruct import trace
from promptcot.export.target import Data, Target


def configs(name: str, tables: Sequence[str]) -> dict[str, str]:
    """One config a table; what is missing there (base_model, sizes) is the user's."""
    out: dict[str, dict[str, Any]] = {}
    for table in tables:
        source = {"path": TARGET.data[table].file, "ds_type": "json", "field_messages": "messages"}
        if table == "pairs":
            kind = {"type": "chat_template.default", "field_chosen": "chosen", "field_rejected": "rejected"}
            out[table] = {"rl": "dpo", "datasets": [{**source, **kind, "split": "train"}]}
        else:
            out[table] = {"datasets": [{**source, "type": "chat_template", "roles_to_train": ["assistant"]}]}
    return {f"{table}.yaml": yaml.safe_dump(config, sort_keys=False) for table, config in out.items()}


TARGET = Target(
    name="axolotl",
    line="axolotl: SFT (chat_template) and DPO (chat_template.default), with a config for each",
    source="https://docs.axolotl.ai/docs/dataset-formats/",
    data={
        "pairs": Data("pairs.jsonl", llamafactory.pair), "traces": Data("traces.jsonl", trace)
    },
    use="Merge `traces.yaml` or `pairs.yaml` into your config (`base_model`, sizes), then `axolotl train` in this folder.",
    extra=configs,
)  # fmt: skip
