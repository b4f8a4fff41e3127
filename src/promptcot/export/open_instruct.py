"""open-instruct: whole conversations.

Shape: `dataset_transformation.py` of https://github.com/allenai/open-instruct (SFT `messages`; DPO `chosen` and
`rejected` as whole conversations with the same prompt; RLVR `messages`, `ground_truth`, `dataset`), as in
https://huggingface.co/datasets/allenai/RLVR-GSM. `dataset` names the verifier: `math`, or `code_stdio`, whose
ground truth is a JSON list of {"input", "output"}.
"""

from __future__ import annotations

import json

from promptcot.domains.base import Domain
from promptcot.export.target import Data, Row, Target, assistant, by_tests, user
from promptcot.records import Pair, Problem, Trace


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """An RLVR prompt."""
    tests = by_tests(p, domain)
    gold = json.dumps([{"input": t.input, "output": t.output} for t in p.tests]) if tests else p.answer or ""
    return {
        "messages": user(domain, p.problem), "ground_truth": gold, "dataset": "code_stdio" if tests else "math",
        "id": p.id,
    }  # fmt: skip


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """Two conversations that differ in the last turn."""
    asked = user(domain, p.prompt)
    return {"chosen": [*asked, assistant(p.chosen)], "rejected": [*asked, assistant(p.rejected)]}


def trace(t: Trace, domain: Domain, n: int) -> Row:
    """A conversation for SFT."""
    return {"messages": [*user(domain, t.prompt), assistant(t.response)]}


TARGET = Target(
    name="open-instruct",
    line="open-instruct: SFT messages, DPO conversations, RLVR with the verifiers math and code_stdio",
    source="https://github.com/allenai/open-instruct",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", pair),
        "traces": Data("traces.jsonl", trace),
    },
    use="`--dataset_mixer_list traces.jsonl 1.0` (SFT; `pairs.jsonl` for DPO, `problems.jsonl` for GRPO). Tests need its "
    "code server: `--code_api_url`.",
)  # fmt: skip
