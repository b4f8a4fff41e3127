"""verl: Parquet for RL (rule-based reward) and for SFT. It has no offline DPO.

Shapes: https://verl.readthedocs.io/en/latest/preparation/prepare_data.html (RL) and `MultiTurnSFTDataset` (SFT:
`messages`). `data_source` chooses the reward in verl's `default_compute_score`, which raises on an unknown one:
`math_dapo` compares answers (+1 or -1; verl 0.9.1 reads `Answer: ...` and else the last box, older versions `Answer: ...`
only), `codecontests` runs the tests of a JSON text {"inputs", "outputs"} (in its own subprocess, or in a Sandbox Fusion
server). Struct columns are the same for math and code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptcot.domains.base import Domain
from promptcot.export.target import Data, Row, Target, assistant, by_tests, truth, user
from promptcot.records import Problem, Trace

if TYPE_CHECKING:
    import pyarrow as pa


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """An RL prompt with its rule-based reward."""
    return {
        "data_source": "codecontests" if by_tests(p, domain) else "math_dapo",
        "prompt": user(domain, p.problem), "ability": p.domain,
        "reward_model": {"style": "rule", "ground_truth": truth(p, domain)},
        "extra_info": {"split": "train", "index": n, "id": p.id, "level": p.level},
    }  # fmt: skip


def trace(t: Trace, domain: Domain, n: int) -> Row:
    """A conversation for SFT."""
    return {"messages": [*user(domain, t.prompt), assistant(t.response)]}


def rl_schema() -> pa.Schema:
    """The columns of `problem`."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema({
        "data_source": text, "prompt": _messages(), "ability": text,
        "reward_model": pa.struct({"style": text, "ground_truth": text}),
        "extra_info": pa.struct({"split": text, "index": pa.int64(), "id": text, "level": text}),
    })  # fmt: skip


def sft_schema() -> pa.Schema:
    """The columns of `trace`."""
    import pyarrow as pa

    return pa.schema({"messages": _messages()})


def _messages() -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))


TARGET = Target(
    name="verl",
    line="verl: RL Parquet (data_source, prompt, reward_model, extra_info) and SFT Parquet (messages)",
    source="https://verl.readthedocs.io/en/latest/preparation/prepare_data.html",
    data={
        "problems": Data("problems.parquet", problem, rl_schema),
        "traces": Data("traces.parquet", trace, sft_schema),
    },
    use="`data.train_files=problems.parquet` (RL) or `data.train_files=traces.parquet data.messages_key=messages` (SFT; "
    "`data.max_length` is 1,024 unless set, and longer rows are an error). The reward `math_dapo` of verl 0.9.1 reads the "
    "box that the prompts ask for; older versions read a line `Answer: ...` only, and give every box -1.",
)
