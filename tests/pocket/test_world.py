"""The world: what it writes it can read, and what it says is true agrees with an independent evaluation."""

from __future__ import annotations

import contextlib
import io
import random
import re
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.errors import UserError
from promptcot.pocket.math_openers import OPENERS
from promptcot.pocket.math_steps import FINALS, TRANSFORMS
from promptcot.pocket.wording import matches, split_sentences
from promptcot.pocket.world import (
    DOMAINS,
    FAMILIES,
    LEVELS,
    SPLITS,
    Item,
    combination_split,
    generate,
    items,
    key_of_statement,
    parse,
    sample_input,
    truth,
)

PROBLEMS = [
    generate(seed, d, level, s) for seed in range(150) for d in DOMAINS for level in LEVELS for s in SPLITS
]
MATH = [item for item in PROBLEMS if item.domain == "math"]
CODE = [item for item in PROBLEMS if item.domain == "code"]


def brute_force(family: str, v: int, n: dict[str, int]) -> int | Fraction:
    """The meaning of every math family, from definitions by counting rather than the world's own formulas."""
    a, b, c = n.get("a", 0), n.get("b", 0), n.get("c", 0)
    table: dict[str, Callable[[], int | Fraction]] = {
        "start": lambda: a,
        "rectangle_area": lambda: sum(1 for _ in range(a) for _ in range(b)),
        "rectangle_perimeter": lambda: a + b + a + b,
        "third_angle": lambda: next(x for x in range(181) if a + b + x == 180),
        "handshakes": lambda: sum(1 for i in range(a) for j in range(i)),
        "product_rule": lambda: len([(i, j) for i in range(a) for j in range(b)]),
        "arithmetic_term": lambda: [a + i * b for i in range(n["n"])][-1],
        "geometric_term": lambda: [a * b**i for i in range(n["n"])][-1],
        "linear_equation": lambda: next(x for x in range(10_000) if a * x + b == c),
        "average": lambda: Fraction(a + b + c, 3),
        "lcm": lambda: next(x for x in range(1, a * b + 1) if x % a == 0 and x % b == 0),
        "addition": lambda: v + a,
        "subtraction": lambda: v - a,
        "scaling": lambda: sum(v for _ in range(a)),
        "sharing": lambda: Fraction(v, a),
        "remainder": lambda: next(r for r in range(a) if (v - r) % a == 0),
        "gcd": lambda: max(d for d in range(1, a + 1) if v % d == 0 and a % d == 0),
        "digit_sum": lambda: v // 1000 + v // 100 % 10 + v // 10 % 10 + v % 10,
        "square": lambda: sum(v for _ in range(v)),
        "triangular": lambda: sum(range(v + 1)),
        "divisor_count": lambda: sum(v % d == 0 for d in range(1, v + 1)),
        "multiples_up_to": lambda: sum(x % a == 0 for x in range(1, v + 1)),
        "fraction_of": lambda: Fraction(a, b) * v,
        "percent_of": lambda: Fraction(a, 100) * v,
        "ratio": lambda: Fraction(v, b),
        "probability": lambda: Fraction(v, b),
        "ask": lambda: v,
        "distractor": lambda: v,
    }
    return table[family]()


def independent_answer(item: Item) -> str:
    value: int | Fraction = 0
    for sentence in item.spec.sentences:
        numbers = {k: x for k, x in sentence.slots if isinstance(x, int)}
        value = brute_force(sentence.family, int(value), numbers)
    return str(Fraction(value))


def test_every_generated_text_is_read_back_as_its_spec() -> None:
    wrong = [item.text for item in PROBLEMS if parse(item.text) != item.spec]
    assert wrong == []


def test_math_answers_agree_with_a_brute_force_evaluation() -> None:
    wrong = [(i.text, i.answer) for i in MATH if independent_answer(i) != i.answer]
    assert wrong == []


def test_reference_programs_print_the_expected_outputs_of_all_tests() -> None:
    for item in CODE:
        known = truth(item.text)
        assert known is not None
        assert known.program is not None
        assert len(item.tests) == 4
        for test in item.tests:
            assert run(known.program, test.input) == test.output, item.text


def run(source: str, text: str) -> str:
    lines = iter([text])
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(source, {"input": lambda: next(lines)})
    return out.getvalue().removesuffix("\n")


def test_every_sentence_can_be_read_in_one_way_only() -> None:
    for item in PROBLEMS:
        for piece in split_sentences(item.text):
            found = [hit for family in FAMILIES[item.domain].values() for hit in matches(family, piece)]
            assert len(found) == 1, piece


def test_there_are_at_least_twelve_math_families_with_four_wordings_each() -> None:
    families = (*OPENERS, *TRANSFORMS, *FINALS)
    assert len(families) >= 12
    assert min(len(set(f.wordings)) for f in families) >= 4


def test_there_are_at_least_a_thousand_program_skeletons() -> None:
    drawn = {generate(seed, "code", "4", "train").spec.sentences for seed in range(1500)}
    skeletons = {tuple(s.family for s in sentences if "distractor" not in s.family) for sentences in drawn}
    assert len(skeletons) >= 1000


def test_every_concept_has_a_short_statement_and_two_paraphrases_found_back() -> None:
    for table in FAMILIES.values():
        for family in table.values():
            assert len(family.concept) in (0, 3)
            for statement in family.concept:
                assert len(statement.split()) <= 8
                assert key_of_statement(statement) == family.key


def test_the_level_is_the_number_of_concepts() -> None:
    assert all(len(item.concepts) == int(item.level) for item in PROBLEMS)


def test_generation_is_a_pure_function_of_its_arguments() -> None:
    first = generate(11, "math", "3", "train")
    random.seed(5)
    generate(12, "code", "2", "heldout")
    assert generate(11, "math", "3", "train") == first


def test_train_and_heldout_share_no_text_and_training_never_shows_a_heldout_combination() -> None:
    train = [i for i in PROBLEMS if i.split == "train"]
    held = [i for i in PROBLEMS if i.split == "heldout"]
    assert not {i.text for i in train} & {i.text for i in held}
    assert {combination_split(frozenset(i.concepts)) for i in train} == {"train"}
    novel = [combination_split(frozenset(i.concepts)) == "heldout" for i in held if i.level != "1"]
    assert 0.4 < sum(novel) / len(novel) < 0.6


def test_items_are_distinct_and_follow_the_weights() -> None:
    drawn = list(items(300, 3, "train", {"2": 1, "3": 1}, {"math": 1}))
    assert len({i.text for i in drawn}) == 300
    assert {i.domain for i in drawn} == {"math"}
    assert {i.level for i in drawn} == {"2", "3"}
    assert [i.text for i in items(20, 3, "train", {"2": 1, "3": 1}, {"math": 1})] == [
        i.text for i in drawn[:20]
    ]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Mia has 14 beads. Then 9 more arrive. What number results?", "23"),
        ("Mia has 14 beads. Tom is 9 years old. Reduce it modulo 5. Find the result.", "4"),
        ("Take the lcm of 4 and 6. Square it. What do we get?", "144"),
        ("Choose 2 of 5 colors in every way. Write it over 16 in lowest terms.", "5/8"),
        ("Tom counts 12 pens. Take 3/4 of it. Count its divisors. Find the result.", "3"),
    ],
)
def test_known_problems_have_the_answer_worked_out_by_hand(text: str, answer: str) -> None:
    known = truth(text)
    assert known is not None
    assert known.answer == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mia has 14 beads.",
        "Mia has 14 beads. Find the result.",  # no operation
        "Mia has 14 beads. Tom has 3 pens. Square it. Find the result.",  # two openers
        "Mia has 14 beads. Divide it by 5. Find the result.",  # not exact
        "Mia has 14 beads. Then 20 are given away. Find the result.",  # below zero
        "Mia has 14 beads. Divide it by 0. Find the result.",
        "Square it. Find the result.",  # nothing to square
        "Mia has 14 beads. Square it. Find the result. Square it.",  # goes on after the question
        "Mia has 14 beads. Juggle it. Find the result.",  # unknown sentence
        "Mia has 014 beads. Square it. Find the result.",
        "Read a word. Keep the even ones. Print the list.",  # a word has no even values
        "Read a word. Square it. Print the word.",  # mixes the domains
    ],
)
def test_ill_formed_problems_have_no_truth(text: str) -> None:
    assert truth(text) is None


@given(st.text(max_size=80))
@settings(deadline=None)
def test_any_text_can_be_asked_about(text: str) -> None:
    known = truth(text)
    assert known is None or known.concepts


@given(st.sampled_from(PROBLEMS), st.integers(0, 300), st.sampled_from("0123456789. ?aeM"))
@settings(deadline=None, max_examples=200)
def test_what_is_read_from_a_damaged_text_says_exactly_that_text(item: Item, at: int, symbol: str) -> None:
    text = item.text[: at % len(item.text)] + symbol + item.text[at % len(item.text) + 1 :]
    spec = parse(text)
    assert spec is None or spec.text() == text.strip()


def test_expected_outputs_are_given_for_any_input_and_none_for_what_the_program_cannot_read() -> None:
    known = truth("Read a line of integers. Keep the even ones. Print the sum.")
    assert known is not None
    assert known.check_output(["1 2 3 4", "", "7", "-2 5", "two"]) == ["6", "0", "0", "-2", None]


def test_inputs_fit_what_the_problem_reads() -> None:
    for item in CODE[:200]:
        text = str(sample_input(item.spec, random.Random(1)))
        pattern = {"read_ints": r"\d+( \d+)*", "read_text": "[a-z]+", "read_digits": r"\d+"}
        assert re.fullmatch(pattern[item.spec.sentences[0].family], text)


def test_unknown_arguments_are_user_errors() -> None:
    with pytest.raises(UserError, match="level '7'"):
        generate(1, "math", "7", "train")
