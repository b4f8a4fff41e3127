"""Decontamination: what each rule catches, and the boilerplate that the default must not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.curation.decontaminate import (
    Mode,
    common_subsequence,
    find_contaminated,
    longest_run,
    normalize_tokens,
)
from promptcot.curation.dedup import find_duplicates, normalize_text
from promptcot.curation.words import visible
from promptcot.errors import UserError

TAIL = "where m and n are relatively prime positive integers. Find m+n."
BOILERPLATE = f"can be written in the form m over n {TAIL}"
REFERENCE = (
    "A bag holds seven red marbles and nine blue marbles, and four are drawn without putting any back."
)
REWORDED = "A sack holds seven red marbles and ten blue balls, and four are drawn without returning any."


def ids(text: str, reference: str, mode: Mode) -> list[str]:
    return [hit.reference_id for hit in find_contaminated([("x", text)], [("ref", reference)], mode=mode)]


def test_tokens_are_lower_case_letters_and_digits() -> None:
    assert normalize_tokens("Find $x^2$+\u00bd, \uff21B!") == ["find", "x", "2", "1", "2", "ab"]


INVISIBLE = [
    "\u00ad",
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\u200e",
    "\u2062",
    "\ufe0f",
    "\u034f",
    "\U000e0020",
    "\\-",
]


@pytest.mark.parametrize("mark", INVISIBLE, ids=ascii)
def test_what_is_not_seen_splits_no_word(mark: str) -> None:
    hidden = " ".join(
        f"{word[:2]}{mark}{word[2:]}" if len(word) > 2 and word.isalpha() else word
        for word in REFERENCE.split()
    )
    assert hidden != REFERENCE
    assert [ids(hidden, REFERENCE, mode) for mode in ("strict13", "qwen", "both")] == [["ref"]] * 3
    assert ids(REFERENCE, hidden, "both") == ["ref"]
    assert normalize_tokens(hidden) == normalize_tokens(REFERENCE)
    assert normalize_text(hidden) == normalize_text(REFERENCE)
    assert [d.kind for d in find_duplicates([("a", REFERENCE), ("b", hidden)])] == ["exact"]


def test_what_is_seen_stays() -> None:
    for text in (
        "x\u00b2 + 1",
        "a-b",
        "\u0627\u0644\u0639\u062f\u062f",
        "5\u00a0cm",
        "$1 \\- 2$",
        "\U0001f600",
        "\u0936\u094d",
    ):
        assert visible(text) == text
    assert normalize_text("What is 10\u00b2?") != normalize_text("What is 102?")


def test_shared_boilerplate_is_caught_by_ngrams_only() -> None:
    one = f"The probability that a random chord of a circle is longer than its radius squared {BOILERPLATE}"
    two = (
        "Let ABCD be a tetrahedron such that each of its faces has a different perimeter; suppose further "
        f"that its volume, divided by the product of all six edges with one another, {BOILERPLATE}"
    )
    assert ids(one, two, "strict13") == ["ref"]
    assert ids(one + " " + "extra words " * 9, two, "both") == []


@pytest.mark.parametrize(
    ("text", "strict13", "qwen", "both"),
    [
        ("Problem 7. " + REFERENCE.upper(), True, True, True),
        (REWORDED, False, True, False),
        (
            "Nothing in common with any of it at all, and yet it is long enough to be compared.",
            False,
            False,
            False,
        ),
    ],
)
def test_each_mode_has_its_own_bar(text: str, strict13: bool, qwen: bool, both: bool) -> None:
    found = [bool(ids(text, REFERENCE, mode)) for mode in ("strict13", "qwen", "both")]
    assert found == [strict13, qwen, both]


def test_the_evidence_names_reference_span_and_ratio() -> None:
    words = REFERENCE.split()
    # The first 13 of 18 words, then 6 new ones: LCS 13 of min(18, 19).
    text = " ".join(words[:13]) + " one two three four five six"
    (hit,) = find_contaminated([("x", text)], [("other", "unrelated"), ("ref", REFERENCE)])
    assert (hit.id, hit.reference_id, hit.kind) == ("x", "ref", "overlap")
    assert hit.span == " ".join(normalize_tokens(" ".join(words[:13])))
    assert hit.ratio == pytest.approx(13 / 18)


@pytest.mark.parametrize("mode", ["strict13", "qwen", "both"])
def test_a_short_reference_matches_only_its_equal(mode: Mode) -> None:
    reference = "What is 7 times 8?"
    assert ids("what is 7 times 8", reference, mode) == ["ref"]
    assert ids("What is 7 times 9?", reference, mode) == []
    assert (
        ids(
            reference + " Explain your reasoning in as many words as you like, step by step.", reference, mode
        )
        == []
    )


def test_texts_without_latin_letters_are_compared_as_they_are() -> None:
    assert ids("求面积", "求周长", "both") == []
    assert ids("求面积", "求面积", "both") == ["ref"]


@pytest.mark.parametrize("mode", ["strict13", "qwen", "both"])
@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Compute 12 * 7 - 5.", "Compute 12 + 7 * 5."),
        ("What is 5!?", "What is 5?"),
        ("Round 3.5 to an integer.", "Round 35 to an integer."),
        ("小明有3个苹果，又买了5个，问一共多少个？", "一个长方形长3宽5，求面积"),
        (
            "Пусть x и y — натуральные числа, такие что 3x + 5y = 100. Найдите наибольшее значение x.",
            "Решите уравнение и неравенство для x и y если 3x больше 5y = 100 при x",
        ),
    ],
)
def test_texts_that_share_their_latin_tokens_only_are_not_equal(
    text: str, reference: str, mode: Mode
) -> None:
    assert ids(text, reference, mode) == []


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Find $x$ if $x+1 = 3$", "Find \\(x\\), if x + 1 =3."),
        ("solve:  $2\\,x^2 < 9$!", "Solve 2 x^2<9 !"),
        ("求 $x+1=3$ 的解。", "求x+1=3的解"),
        ("What is Ａ+½？", "what is a+1⁄2"),
    ],
)
def test_dollar_signs_punctuation_and_space_do_not_make_texts_differ(text: str, reference: str) -> None:
    (hit,) = find_contaminated([("x", text)], [("ref", reference)])
    assert (hit.kind, hit.ratio) == ("equal", 1.0)


@pytest.mark.parametrize(
    ("text", "reference", "ratio"),
    [
        # 16 and 17 words, of which the first 15 are the same.
        ("小明有3个苹果，又买了5个，一共多重？", "小明有3个苹果，又买了5个，一共多少个？", 15 / 16),
        (
            "Найдите все пары натуральных чисел для которых сумма квадратов на единицу больше удвоенного произведения этих чисел",
            "Найдите все пары натуральных чисел для которых сумма квадратов на единицу больше удвоенного произведения данных чисел",
            15 / 16,
        ),
    ],
)
def test_a_near_copy_in_another_script_is_caught(text: str, reference: str, ratio: float) -> None:
    (hit,) = find_contaminated([("x", text)], [("ref", reference)])
    assert hit.kind == "overlap"
    assert hit.ratio == pytest.approx(ratio)


def test_words_of_other_scripts_are_runs_with_their_marks_or_single_characters() -> None:
    assert normalize_tokens("Poincaré, числа x_1; किताब है।") == ["poincaré", "числа", "x", "1", "किताब", "है"]
    assert normalize_tokens("求面积3个，カメラ") == ["求", "面", "积", "3", "个", "カ", "メ", "ラ"]


def test_the_closest_reference_is_named_and_the_first_among_equals() -> None:
    references = [
        ("half", " ".join(REFERENCE.split()[:14]) + " more " * 9),
        ("one", REFERENCE),
        ("two", REFERENCE),
        ("far", "unrelated"),
    ]
    (hit,) = find_contaminated([("x", REFERENCE + " Good luck.")], references)
    assert hit.reference_id == "one"


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UserError, match="strict13, qwen or both"):
        find_contaminated([], [], mode="all")  # type: ignore[arg-type]


tokens = st.lists(st.sampled_from(["a", "bb", "c", "-1", "-2"]), max_size=12)


def plain_lcs(a: list[str], b: list[str]) -> int:
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + plain_lcs(a[1:], b[1:])
    return max(plain_lcs(a[1:], b), plain_lcs(a, b[1:]))


@settings(deadline=None)
@given(tokens, tokens, st.integers(0, 6))
def test_the_common_subsequence_agrees_with_its_definition(a: list[str], b: list[str], bar: int) -> None:
    length = plain_lcs(a[:8], b[:8])
    assert common_subsequence(a[:8], b[:8], bar) == (length if length >= bar else 0)


@settings(deadline=None)
@given(tokens, tokens)
def test_the_longest_run_occurs_in_both_and_none_is_longer(a: list[str], b: list[str]) -> None:
    def runs(t: list[str]) -> set[tuple[str, ...]]:
        return {tuple(t[i:j]) for i in range(len(t) + 1) for j in range(i, len(t) + 1)}

    shared = runs(a) & runs(b)
    run = tuple(longest_run(a, b))
    assert run in shared
    assert len(run) == max(map(len, shared))
