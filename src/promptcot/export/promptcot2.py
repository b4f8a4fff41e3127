"""The PromptCoT 2.0 authors' own JSONL shapes: self-play problems and pairs, SFT traces, generator completions.

Shape: `promptcot.readers.release`, which reads what is written here. `source` says PromptCoT-Math or PromptCoT-Code.
"""

from __future__ import annotations

from promptcot.domains import get
from promptcot.domains.base import Domain
from promptcot.domains.templates import BEGIN_RATIONALE
from promptcot.export.target import Data, Row, Target, by_tests
from promptcot.readers.release import STYLE, ask, tag, wrap
from promptcot.records import Pair, Problem, Trace, Triple


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """A self-play problem with what its attempts are judged by."""
    row = {"source": tag(domain.name), "prompt": wrap(p.problem, domain.name)}
    if by_tests(p, domain):
        return {**row, "test_cases": [{"input": t.input, "output": t.output} for t in p.tests]}
    return {**row, "answer": p.answer}


def pair(p: Pair, domain: Domain, n: int) -> Row:
    """A preference pair in ChatML; prompt + chosen is the whole conversation."""
    return {
        "source": tag(domain.name), "prompt": ask(p.prompt, domain.name),
        "chosen": "\n" + p.chosen, "rejected": "\n" + p.rejected,
    }  # fmt: skip


def trace(t: Trace, domain: Domain, n: int) -> Row:
    """An SFT trace in ChatML."""
    return {"prompt": ask(t.prompt, domain.name), "completion": "\n" + t.response}


def triple(t: Triple, domain: Domain, n: int) -> Row:
    """What the released generator is asked, and its completion."""
    released = get(domain.name, STYLE)
    asked = released.generator_prompt(t.concepts, t.level).removesuffix(BEGIN_RATIONALE).rstrip()
    layout = released.layout
    text = f"{BEGIN_RATIONALE}{t.rationale}{layout.z_end}{t.problem}{layout.x_end}"
    return {"prompt": asked, "completion": text}


TARGET = Target(
    name="promptcot2",
    line="PromptCoT 2.0's own JSONL: self-play problems and pairs, SFT traces, generator completions",
    source="https://github.com/inclusionAI/PromptCoT",
    data={
        "problems": Data("problems.jsonl", problem), "pairs": Data("pairs.jsonl", pair),
        "traces": Data("traces.jsonl", trace), "triples": Data("triples.jsonl", triple),
    },
    use="Reads back with `seeds.source: jsonl` or `synthesize.path`, and with the scripts of the release.",
)  # fmt: skip
