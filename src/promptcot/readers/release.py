"""The JSONL shapes of the PromptCoT 2.0 release, read and written so that both directions are exact inverses.

    prompts               {"prompt"}                             a problem in the release's template for a solver
    self-play problems    {"source", "prompt", "answer" | "test_cases"}
    self-play pairs       {"source", "prompt", "chosen", "rejected"}   the prompt as a ChatML user turn
    SFT traces            {"prompt", "completion"}               likewise
    generator completions {"prompt", "completion"}               rationale and problem between the release's markers

Source: `deduplicate_problems.py`, `test_cases_postprocess.py`, `prepare_self_play_data.py` and
`prepare_sft_data_code.py` of https://github.com/inclusionAI/PromptCoT; the prompt of the generator is in
`promptcot.domains`. Fixed texts below are that protocol, to the letter.
"""

from __future__ import annotations

import re
from typing import Any

from promptcot.domains import DOMAINS, get
from promptcot.domains.sequences import split_completion
from promptcot.domains.templates import BEGIN_RATIONALE, PROMPTCOT2
from promptcot.records import Pair, Trace

Raw = dict[str, Any]

STYLE = "promptcot2"
CODE_HEAD = (
    "You will be given a question (problem specification) and will generate a correct Python program that matches "
    "the specification and passes all tests.\n\n"
)
CODE_TAIL = (
    "\n\nRead the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the "
    "sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it "
    "reads the inputs, runs the algorithm and writes output to STDOUT.\n```python\n# YOUR CODE HERE\n```\n\n"
)
_USER, _ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant"
_CHATS = (
    re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>\s*<\|im_start\|>assistant", re.DOTALL),
    re.compile(r"<｜User｜>(.*?)<｜Assistant｜>", re.DOTALL),
)
_CONCEPTS = re.compile(
    r"Foundational (?:Programming )?Concepts:\s*\n(?P<list>.*?)\n\s*Difficulty Level:\s*(?P<level>[^\n]*)",
    re.DOTALL,
)


def tag(domain: str) -> str:
    """The release's `source` of a synthesised problem: PromptCoT-Math, PromptCoT-Code."""
    return f"PromptCoT-{domain.capitalize()}"


def domain_of(row: Raw) -> str | None:
    """The domain that a `source` tag names (PromptCoT-Math, OpenSource-Code, ...)."""
    name = str(row.get("source", "")).rpartition("-")[2].lower()
    return name if name in DOMAINS else None


def wrap(problem: str, domain: str) -> str:
    """The release's prompt for a solver. Code problems with a starter code get no instruction about stdin."""
    if domain == "code":
        return CODE_HEAD + problem + ("" if "starter code" in problem else CODE_TAIL)
    tail = get(domain, STYLE).solve
    return problem if tail in problem else f"{problem}\n{tail}"


def bare(text: str) -> str:
    """The user's turn without a chat's markers and the space around it."""
    return _turn(text).strip()


def _turn(text: str) -> str:
    return next((found.group(1) for chat in _CHATS if (found := chat.search(text))), text)


def unwrap(prompt: str) -> tuple[str, str | None]:
    """(problem, domain) of a solver's prompt, with or without a chat's markers; domain None where it does not show."""
    prompt = _turn(prompt)
    tail = "\n" + get("math", STYLE).solve
    if prompt.startswith(CODE_HEAD):
        body = prompt.removeprefix(CODE_HEAD)
        return body.removesuffix(CODE_TAIL) if body.endswith(CODE_TAIL) else body, "code"
    if prompt.endswith(tail) and tail[1:] not in prompt[: -len(tail)]:
        return prompt.removesuffix(tail), "math"
    return prompt, None


def ask(problem: str, domain: str) -> str:
    """The prompt of a pair or a trace: the user's turn up to where the answer begins."""
    return f"{_USER}{wrap(problem, domain)}{_ASSISTANT}"


def plain(row: Raw) -> Raw | tuple[str, str]:
    """A row with the usual columns (problem, domain, concepts, level, rationale, ...), from any shape above.

    Rows that hold a `problem` or `question` come back as they are. Returns (reason, detail) for a generator's
    completion that holds no problem.
    """
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or row.get("problem") is not None or row.get("question") is not None:
        return row
    completion = row.get("completion")
    if isinstance(completion, str) and ("Concepts:" in prompt and "Difficulty Level:" in prompt):
        return generated(prompt, completion, row)
    problem, domain = unwrap(prompt)
    return {**row, "problem": problem, "domain": row.get("domain") or domain_of(row) or domain}


def concept_list(prompt: str) -> tuple[list[str], str, str] | None:
    """(concepts, level, domain) that a prompt of the generator asks for; None when it is no such prompt."""
    found = _CONCEPTS.search(prompt)
    if not found:
        return None
    lines = re.findall(r"^\s*\d+\.\s+(.*\S)\s*$", found["list"], re.MULTILINE)
    return lines, found["level"].strip(), "code" if "Programming Concepts:" in prompt else "math"


def generated(prompt: str, completion: str, row: Raw) -> Raw | tuple[str, str]:
    """A generator's completion as concepts, level, rationale and problem; or (reason, start of the text)."""
    asked = concept_list(prompt)
    if not asked or not asked[0]:
        return "no_concepts", prompt[:200]
    concepts, level, domain = asked
    body, end, _ = completion.partition(PROMPTCOT2.x_end.strip())
    if not end:
        return "no_terminator", completion[-200:]
    made = split_completion(get(domain, STYLE), body.partition(BEGIN_RATIONALE.strip())[2] or body)
    if isinstance(made, str):
        return made, completion[:200]
    rest = {k: v for k, v in row.items() if k not in ("prompt", "completion")}
    return {
        **rest,
        "concepts": concepts,
        "level": level,
        "domain": domain,
        "rationale": made[0],
        "problem": made[1],
    }


def pair(row: Raw, ident: str) -> Pair:
    """A released preference pair."""
    problem, domain = unwrap(row["prompt"])
    chosen, rejected = (row[k].removeprefix("\n") for k in ("chosen", "rejected"))
    return Pair(ident, ident, domain_of(row) or domain or "math", problem, chosen, rejected)


def trace(row: Raw, ident: str) -> Trace:
    """A released SFT trace; its length in tokens is not known (0)."""
    problem, domain = unwrap(row["prompt"])
    return Trace(ident, ident, domain or "math", problem, row["completion"].removeprefix("\n"), 0)
