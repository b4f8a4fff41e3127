"""The release's JSONL shapes: read into our records and written again, nothing changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.domains import get
from promptcot.export import promptcot2
from promptcot.readers import release
from promptcot.readers.files import read_rows
from promptcot.readers.rows import plain_seed, read_seeds
from promptcot.records import Problem, Seed, Triple
from promptcot.stages.concepts import read_lists

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "official"
MATH = "Find $x$ if $x+1=2$.\nPlease reason step by step, and put your final answer within \\boxed{}."
CODE = release.CODE_HEAD + "Read n. Print n+1." + release.CODE_TAIL
STARTER = release.CODE_HEAD + "Complete the function; starter code:\n```python\ndef f(n):\n```"
SELF_PLAY = [
    {"source": "PromptCoT-Math", "prompt": MATH, "answer": "1"},
    {"source": "PromptCoT-Code", "prompt": CODE, "test_cases": [{"input": "1", "output": "2"}]},
    {"source": "PromptCoT-Code", "prompt": STARTER, "test_cases": [{"input": "1", "output": "2"}]},
]
CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant"
PAIRS = [
    {"source": "PromptCoT-Math", "prompt": CHAT.format(MATH), "chosen": "\n<think>\na</think>\\boxed{1}", "rejected": "\n<think>\nb"},
    {"source": "PromptCoT-Code", "prompt": CHAT.format(CODE), "chosen": "\n\n<think>\na", "rejected": "\n<think>\nb"},
]  # fmt: skip
TRACES = [{"prompt": CHAT.format(p), "completion": "\n<think>\nok\n</think>\n\ndone"} for p in (MATH, CODE)]
GENERATED = [
    {
        "prompt": "Given the foundational programming concepts and specified difficulty level, identify connections "
        "among these concepts and develop an olympiad-level coding problem that integrates them with appropriate "
        "complexity.\n\nFoundational Programming Concepts:\n1. Segment trees\n2. Sums modulo 10. Careful\n\n"
        "Difficulty Level: codeforces",
        "completion": "<!-- BEGIN RATIONALE -->\nFirst a tree.\n\nThen sums.\n<!-- END RATIONALE -->\n"
        "<!-- BEGIN PROBLEM -->\nYou are given n.\n<!-- END PROBLEM -->",
    }
]


def seed_of(row: dict[str, Any], domain: str = "math") -> Seed:
    made = plain_seed({}, domain, "file")(row, "line-1")
    assert isinstance(made, Seed), made
    return made


@pytest.mark.parametrize("row", SELF_PLAY, ids=["math", "code", "starter"])
def test_self_play_problems_come_back_as_they_were(row: dict[str, Any]) -> None:
    s = seed_of(row)
    assert s.problem == s.problem.strip()
    assert "step by step" not in s.problem
    assert "YOUR CODE" not in s.problem
    p = Problem(s.id, s.domain, s.level, [], "", s.problem, s.answer, s.tests)
    assert promptcot2.problem(p, get(s.domain, "compact"), 0) == row


@pytest.mark.parametrize("row", PAIRS, ids=["math", "code"])
def test_pairs_come_back_as_they_were(row: dict[str, Any]) -> None:
    made = release.pair(row, "p")
    assert made.chosen == row["chosen"][1:]
    assert promptcot2.pair(made, get(made.domain, "compact"), 0) == row


@pytest.mark.parametrize("row", TRACES, ids=["math", "code"])
def test_traces_come_back_as_they_were(row: dict[str, Any]) -> None:
    made = release.trace(row, "t")
    assert made.domain == ("code" if "Python" in row["prompt"] else "math")
    assert promptcot2.trace(made, get(made.domain, "compact"), 0) == row


@pytest.mark.parametrize("row", GENERATED)
def test_completions_of_the_generator_come_back_as_they_were(row: dict[str, Any]) -> None:
    s = seed_of(row)
    assert s.concepts == ["Segment trees", "Sums modulo 10. Careful"]
    assert (s.domain, s.level) == ("code", "codeforces")
    assert (s.rationale, s.problem) == ("First a tree.\n\nThen sums.", "You are given n.")
    t = Triple(s.id, s.id, s.domain, s.level, "train", "given", s.concepts, s.rationale or "", s.problem)
    assert promptcot2.triple(t, get("code", "compact"), 0) == row


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["math", "code"]))
def test_any_problem_survives_the_prompt_around_it(text: str, domain: str) -> None:
    problem = text.strip() or "x"
    assert release.unwrap(release.ask(problem, domain)) == (problem, domain)


def test_a_completion_without_its_parts_is_rejected_with_the_reason() -> None:
    prompt, whole = GENERATED[0]["prompt"], GENERATED[0]["completion"]
    cut = {
        "no_terminator": whole.partition("<!-- END PROBLEM")[0],
        "no_problem_marker": whole.replace("<!-- BEGIN PROBLEM -->", ""),
        "empty_rationale": whole.replace("First a tree.\n\nThen sums.", ""),
        "empty_problem": whole.replace("You are given n.", ""),
    }
    build = plain_seed({}, "math", "file")
    for reason, completion in cut.items():
        made = build({"prompt": prompt, "completion": completion}, "line-3")
        assert isinstance(made, tuple)
        assert made[0] == reason
        assert made[1].startswith("line-3: ")


def test_a_named_column_is_taken_as_it_is() -> None:
    made = plain_seed({"problem": "prompt"}, "math", "file")({"prompt": MATH}, "line-1")
    assert isinstance(made, Seed)
    assert made.problem == MATH


def test_prompts_of_the_generator_give_concept_lists(tmp_path: Path) -> None:
    file = tmp_path / "concepts.jsonl"
    file.write_text(json.dumps({"prompt": GENERATED[0]["prompt"]}) + "\n" + '{"concepts": ["a"]}\n')
    first, second = read_lists(str(file), "math")
    assert (first.domain, first.level, first.concepts) == (
        "code", "codeforces", ("Segment trees", "Sums modulo 10. Careful")
    )  # fmt: skip
    assert (second.domain, second.level) == ("math", "")


@pytest.mark.skipif(
    not OFFICIAL.exists(), reason="needs ../shared/data (the release's evaluation files), not here"
)
@pytest.mark.parametrize(
    ("name", "domain", "count"),
    [("aime24", "math", 30), ("aime25", "math", 30), ("hmmt25", "math", 30), ("codeforces", "code", 408),
     ("lcb_v5", "code", 279), ("lcb_v6", "code", 131)],
)  # fmt: skip
def test_the_releases_own_prompts_lose_and_regain_their_template(name: str, domain: str, count: int) -> None:
    file = OFFICIAL / f"promptcot2_{name}_test.jsonl"
    n, seeds, rejects = read_seeds(read_rows(file), plain_seed({}, "math", name), name)
    assert (n, len(seeds) + len(rejects)) == (count, count)
    assert not rejects or {r.reason for r in rejects} == {"bad_tests"}  # Codeforces: tests in another shape
    for _, row in read_rows(file):
        assert isinstance(row, dict)
        problem, found = release.unwrap(row["prompt"])
        assert found == domain
        turn = row["prompt"].removeprefix("<|im_start|>user\n").partition("<|im_end|>")[0]
        assert release.wrap(problem, domain) == turn
