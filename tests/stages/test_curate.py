"""Curation: the reason a problem goes, and that nothing is lost on the way."""

from __future__ import annotations

from promptcot.records import Problem, Seed
from promptcot.settings import Curate
from promptcot.stages.curate import curate

LONG = "A farmer counts 12 sheep in the morning and 7 more at noon, then sells 5 of them to a neighbour. How many sheep are left?"
TEXTS = {
    "kept": "Find the sum of the first nine positive odd numbers greater than four.",
    "again": "Find the sum of the first nine positive  odd numbers greater than FOUR.",
    "short": "Find four.",
    "proof": "Prove that the sum of two odd numbers is always an even number.",
    "seed": "What is the largest prime factor of the number one thousand and one?",
    "leak": LONG,
    "near": "A train with 9 wagons leaves at noon, each wagon holds 40 people and 17 seats are free; how many people travel in it today?",
    "near2": "A train with 9 wagons leaves at noon, each wagon holds 40 people and 17 seats are free; how many people travel in it now?",
}


def test_every_problem_is_kept_or_has_a_reason() -> None:
    problems = [Problem(k, "math", "1", ["x"], "z", t) for k, t in TEXTS.items()]
    seeds = [
        Seed("s1", "math", "1", TEXTS["seed"]),
        Seed("s2", "math", "1", LONG, split="heldout"),
        Seed("s3", "math", "1", TEXTS["kept"].replace("nine", "ten"), split="heldout"),
    ]
    rows_in, kept, rejects = curate(problems, seeds, Curate(near_threshold=0.8), "compact", 1)
    assert rows_in == len(kept) + len(rejects) == len(TEXTS)
    assert [p.id for p in kept] == ["kept", "near"]
    assert {r.id: r.reason for r in rejects} == {
        "again": "exact_duplicate",
        "short": "length",
        "proof": "proof",
        "seed": "copy_of_seed",
        "leak": "contaminated",
        "near2": "near_duplicate",
    }


def test_a_chinese_problem_has_as_many_words_as_characters() -> None:
    # 24 characters and the digits 3 and 5; punctuation is none.
    text = "小明有3个苹果，又买了5个，问小明最后一共还剩多少个苹果？"
    problems = [
        Problem("p", "math", "1", [], "", text),
        Problem("e", "math", "1", [], "", "Add $x + 1$, then 2!"),
    ]
    _, kept, rejects = curate(problems, [], Curate(), "compact", 1)
    assert [p.id for p in kept] == ["p"]
    assert [(r.reason, r.detail) for r in rejects] == [("length", "6 words")]
    _, _, rejects = curate(problems[:1], [], Curate(max_words=10), "compact", 1)
    assert [(r.reason, r.detail) for r in rejects] == [("length", "26 words")]
