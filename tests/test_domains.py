"""Templates and sequences: what is scored is exactly what is trained, and completions split where they should."""

from __future__ import annotations

import pytest

from promptcot.domains import DOMAINS, get
from promptcot.domains.annotations import parse_concepts, parse_rationale
from promptcot.domains.sequences import Item, labelled, p_parts, q_parts, split_completion
from promptcot.errors import UserError


def encode(text: str) -> tuple[int, ...]:
    return tuple(ord(c) for c in text)


def text(ids: list[int]) -> str:
    return "".join(chr(i) for i in ids)


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("style", ["compact", "promptcot2"])
def test_p_reads_c_then_z_then_x_and_learns_z_and_x_only(name: str, style: str) -> None:
    domain = get(name, style)
    item = Item(domain, "3", ["sets", "parity"], "Is 4 even?")
    parts = p_parts(item, encode("Think."), encode)
    assert [p.name for p in parts] == ["c", "z", "x"]
    ids, labels = labelled(parts)
    assert len(ids) == len(labels)
    learned = text([t for t in labels if t != -100])
    assert learned == f"Think.{domain.layout.z_end}Is 4 even?{domain.layout.x_end}"
    assert text(ids).startswith(domain.generator_prompt(["sets", "parity"], "3"))
    # A sampled completion of p ends before x_end; splitting it gives back what went in.
    completion = learned.removesuffix(domain.layout.x_end)
    assert split_completion(domain, completion) == ("Think.", "Is 4 even?")


@pytest.mark.parametrize("style", ["compact", "promptcot2"])
def test_q_reads_the_problem_and_learns_the_rationale_only(style: str) -> None:
    domain = get("math", style)
    ids, labels = labelled(q_parts(Item(domain, "1", ["sets"], "Is 4 even?"), encode("Think."), encode))
    assert text([t for t in labels if t != -100]) == f"Think.{domain.layout.q_end}"
    assert "Is 4 even?" in text(ids)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("just text", "no_problem_marker"),
        ("<|problem|>x", "empty_rationale"),
        ("z<|problem|> ", "empty_problem"),
        ("z<|problem|>x<|problem|>y", "two_problems"),
    ],
)
def test_a_completion_that_is_not_one_has_a_reason(completion: str, reason: str) -> None:
    assert split_completion(get("math", "compact"), completion) == reason


def test_the_released_generators_markers_are_read() -> None:
    completion = "z one\n<!-- END RATIONALE -->\n<!-- BEGIN PROBLEM -->\nFind x.\n"
    assert split_completion(get("math", "promptcot2"), completion) == ("z one", "Find x.")


@pytest.mark.parametrize(
    ("answer", "concepts"),
    [
        ('```python\n["a", "b"]\n```', ["a", "b"]),
        ("Sure: ['a']", ["a"]),
        ("```\n['x', 'y']\n```\nDone", ["x", "y"]),
        ("```python\n[]\n```", None),
        ("no list", None),
        ("[1, 2]", None),
        ("['a', __import__('os')]", None),
        ("[{[1]: 2}]", None),
        ("[" + "-" * 3000 + "1]", None),
        ("[" + "1+" * 5000 + "1]", None),
        (r"['half \ud83d', 'whole \U0001f600']", ["whole \U0001f600"]),
        (r"['\ud835']", None),
    ],
)
def test_annotators_concept_lists_are_parsed_and_never_run(answer: str, concepts: list[str] | None) -> None:
    assert parse_concepts(answer) == concepts


def test_a_rationale_follows_its_marker() -> None:
    assert parse_rationale("Hm.\nThinking Process:\n First. ") == "First."
    assert parse_rationale("First.") is None
    assert parse_rationale("Thinking Process:  ") is None


def test_an_unknown_domain_is_named() -> None:
    with pytest.raises(UserError, match="unknown domain 'poetry'"):
        get("poetry", "compact")
