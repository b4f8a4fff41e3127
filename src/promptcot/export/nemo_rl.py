"""NeMo-RL: plain strings, under the default keys of its dataset classes.

Shape: `BinaryPreferenceDataset` (prompt, chosen, rejected) and `ResponseDataset` (input, output) of
https://docs.nvidia.com/nemo/rl/latest/guides/dpo.html and /guides/sft.html; both make the conversation themselves,
so lists are not accepted. For RL, `output` is the ground truth of the environment.
"""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.export.target import Data, Row, Target, truth, user
from promptcot.records import Pair, Problem, Trace


def text(domain: Domain, problem: str) -> str:
    """The one user turn."""
    (message,) = user(domain, problem)
    return message["content"]


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """An RL prompt and its ground truth (the answer, or unit tests as JSON)."""
    return {"input": text(domain, p.problem), "output": truth(p, domain), "domain": p.domain, "id": p.id}


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """A preference."""
    return {"prompt": text(domain, p.prompt), "chosen": p.chosen, "rejected": p.rejected}


def trace(t: Trace, domain: Domain, n: int) -> Row:
    """A question and its solution."""
    return {"input": text(domain, t.prompt), "output": t.response}


TARGET = Target(
    name="nemo-rl",
    line="NeMo-RL: BinaryPreferenceDataset and ResponseDataset, plain strings",
    source="https://docs.nvidia.com/nemo/rl/latest/guides/dpo.html",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", pair),
        "traces": Data("traces.jsonl", trace),
    },
    use="`data.train.dataset_name=BinaryPreferenceDataset data.train.data_path=pairs.jsonl` (DPO), or "
    "`ResponseDataset` with `traces.jsonl` (SFT) or `problems.jsonl` (GRPO; the math environment reads answers only).",
)  # fmt: skip
