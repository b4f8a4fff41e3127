"""ms-swift: `messages`; for DPO the rejected answer beside them; for GRPO extra columns that reach the reward.

Shape: https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html. `solution` is what ms-swift's own
`accuracy` reward reads (a box, as for TRL); programs need a reward plugin of yours, which gets `tests`.
"""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.export import trl
from promptcot.export.open_instruct import trace
from promptcot.export.target import Data, Row, Target, assistant, user
from promptcot.records import Pair, Problem


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """A GRPO prompt."""
    row = trl.problem(p, domain, n)
    return {"messages": row.pop("prompt"), **row}


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """The chosen conversation, and the rejected last turn as text."""
    return {"messages": [*user(domain, p.prompt), assistant(p.chosen)], "rejected_response": p.rejected}


TARGET = Target(
    name="ms-swift",
    line="ms-swift: SFT messages, DPO with rejected_response, GRPO with solution and tests",
    source="https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", pair),
        "traces": Data("traces.jsonl", trace),
    },
    use="`swift sft --dataset traces.jsonl`, `swift rlhf --rlhf_type dpo --dataset pairs.jsonl`, "
    "`swift rlhf --rlhf_type grpo --reward_funcs accuracy --dataset problems.jsonl`.",
)  # fmt: skip
