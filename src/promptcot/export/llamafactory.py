"""LLaMA-Factory: sharegpt conversations and pairs, alpaca rows for triples, and the `dataset_info.json` that names them.

Shape: https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. In pairs, `chosen` and `rejected` are one
message each, not lists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from promptcot.domains.base import Domain
from promptcot.export import trl
from promptcot.export.open_instruct import trace
from promptcot.export.target import Data, Row, Target, assistant, user
from promptcot.records import Pair, Triple

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
INFO: dict[str, dict[str, Any]] = {
    "pairs": {
        "formatting": "sharegpt", "ranking": True, "tags": TAGS,
        "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
    },
    "traces": {"formatting": "sharegpt", "tags": TAGS, "columns": {"messages": "messages"}},
    "triples": {"formatting": "alpaca", "columns": {"prompt": "instruction", "response": "output"}},
}  # fmt: skip


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """A conversation without its last turn, and two candidates for it."""
    return {
        "messages": user(domain, p.prompt), "chosen": assistant(p.chosen), "rejected": assistant(p.rejected)
    }  # fmt: skip


def triple(t: Triple, domain: Domain, n: int) -> Row:
    """p(z,x|c) as instruction and output (LLaMA-Factory adds its chat template around the instruction)."""
    row = trl.triple(t, domain, n)
    return {"instruction": row["prompt"], "output": row["completion"]}


def dataset_info(name: str, tables: Sequence[str]) -> dict[str, str]:
    """`dataset_info.json`, with one entry `NAME_TABLE` a table."""
    info = {f"{name}_{table}": {"file_name": TARGET.data[table].file, **INFO[table]} for table in tables}
    return {"dataset_info.json": json.dumps(info, indent=2) + "\n"}


TARGET = Target(
    name="llama-factory",
    line="LLaMA-Factory: sharegpt SFT and DPO, alpaca triples, dataset_info.json",
    source="https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md",
    data={
        "pairs": Data("pairs.jsonl", pair), "traces": Data("traces.jsonl", trace),
        "triples": Data("triples.jsonl", triple),
    },
    use="`dataset_dir: DIR` (this folder) and `dataset: {name}_traces` (or `_pairs` with `stage: dpo`, or `_triples`).",
    extra=dataset_info,
)  # fmt: skip
