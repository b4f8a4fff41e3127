"""OpenRLHF: message lists under keys that its options name.

Shape: https://openrlhf.readthedocs.io/en/latest/ and its `reward_dataset.py`, `sft_dataset.py`,
`prompts_dataset.py`, which concatenate the lists before the chat template is applied. They take the answer as the
rendered text from the length of the rendered prompt on, so a chat template must be prefix-preserving.
"""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.export import trl
from promptcot.export.target import Data, Row, Target, truth, user
from promptcot.records import Problem


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """A prompt with the label that a reward function gets."""
    return {"prompt": user(domain, p.problem), "label": truth(p, domain), "domain": p.domain, "id": p.id}


TARGET = Target(
    name="openrlhf",
    line="OpenRLHF: DPO, SFT and RL prompts with labels, as message lists",
    source="https://openrlhf.readthedocs.io/en/latest/",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", trl.pair),
        "traces": Data("traces.jsonl", trl.trace),
    },
    use="All with `--data.apply_chat_template`. DPO: `--data.prompt_key prompt --data.chosen_key chosen "
    "--data.rejected_key rejected`. SFT: `--data.input_key prompt --data.output_key completion`. RL: "
    "`--data.input_key prompt --data.label_key label` with a reward function of yours.",
)  # fmt: skip
