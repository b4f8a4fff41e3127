"""TRL: prompt-completion for SFT, prompt/chosen/rejected for DPO, prompt with extra columns for GRPO.

Shape: https://huggingface.co/docs/trl/dataset_formats (conversational; triples are in the standard format, since
p reads plain text). The loss of SFT falls on the completion alone. `solution` is what TRL's `accuracy_reward` reads,
as a box: math_verify takes LaTeX without delimiters for its first number. The reward skips rows where it is empty
(programs, whose unit tests are in `tests`). No value is None.
"""

from __future__ import annotations

from promptcot.domains.base import Domain
from promptcot.export.target import Data, Row, Target, assistant, by_tests, inputs_outputs, user
from promptcot.records import Pair, Problem, Trace, Triple


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """A GRPO prompt; the other columns go to the reward functions."""
    tests = by_tests(p, domain)
    return {
        "prompt": user(domain, p.problem), "id": p.id, "domain": p.domain,
        "solution": f"\\boxed{{{p.answer}}}" if p.answer and not tests else "",
        "tests": inputs_outputs(p) if tests else "",
    }  # fmt: skip


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """An explicit-prompt preference."""
    return {
        "prompt": user(domain, p.prompt), "chosen": [assistant(p.chosen)], "rejected": [assistant(p.rejected)]
    }  # fmt: skip


def trace(t: Trace, domain: Domain, n: int) -> Row:
    """A solution, as the completion of the conversation that asks for it."""
    return {"prompt": user(domain, t.prompt), "completion": [assistant(t.response)]}


def triple(t: Triple, domain: Domain, n: int) -> Row:
    """p(z,x|c): the concepts as prompt, rationale and problem with their markers as completion."""
    layout = domain.layout
    return {
        "prompt": domain.generator_prompt(t.concepts, t.level),
        "completion": f"{t.rationale}{layout.z_end}{t.problem}{layout.x_end}",
    }


TARGET = Target(
    name="trl",
    line="TRL: SFT (prompt-completion), DPO (explicit prompt), GRPO (prompt, solution, tests), p on triples",
    source="https://huggingface.co/docs/trl/dataset_formats",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", pair),
        "traces": Data("traces.jsonl", trace), "triples": Data("triples.jsonl", triple),
    },
    use="`load_dataset('json', data_files='traces.jsonl')`, then `SFTTrainer`, `DPOTrainer` or `GRPOTrainer` as it is. "
    "Their `max_length` (1,024 unless set) cuts longer rows without a word.",
)  # fmt: skip
