"""Duplicates: who is dropped, in favour of whom."""

from __future__ import annotations

import random

import pytest
from datasketch import MinHash

from promptcot.curation.dedup import Duplicate, bands, find_duplicates, normalize_text, shingles
from promptcot.errors import UserError

WORDS = [f"w{i}" for i in range(1000)]


def text_of(seed: int, length: int = 100) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_the_first_of_equal_texts_stays() -> None:
    rows = [("a", "Find  X."), ("b", "find x."), ("c", "Find y."), ("d", "find\nX.")]
    assert find_duplicates(rows) == [Duplicate("b", "a", "exact", 1.0), Duplicate("d", "a", "exact", 1.0)]


def test_one_changed_word_in_a_hundred_is_a_near_duplicate() -> None:
    base = text_of(0)
    changed = base.replace(base.split()[50], "other")
    (found,) = find_duplicates([("a", base), ("z", text_of(1)), ("b", changed)], threshold=0.8)
    assert (found.id, found.duplicate_of, found.kind) == ("b", "a", "near")
    # 98 shingles each, 3 of them differ: 95 / 101 = 0.94, with an estimation error of at most 0.09 (2 se).
    assert found.similarity == pytest.approx(95 / 101, abs=0.09)


@pytest.mark.parametrize("threshold", [0.7, 0.9])
def test_every_pair_with_an_estimate_at_the_threshold_is_found(threshold: float) -> None:
    rows = []
    for i in range(100):
        words = text_of(i).split()
        changed = range(
            10, 10 + 5 * (i % 7), 5
        )  # 0 to 6 words apart: 98 shingles, 3 a word, and one for "end": J is 98 / 99 to 80 / 117
        rows += [(f"a{i}", " ".join(words))]
        rows += [(f"b{i}", " ".join("other" if j in changed else w for j, w in enumerate(words)) + " end")]

    def sketch(text: str) -> MinHash:
        made = MinHash(num_perm=128, seed=1)
        made.update_batch([part.encode() for part in shingles(text, 3)])
        return made

    near = {
        b[0]
        for a, b in zip(rows[::2], rows[1::2], strict=True)
        if sketch(a[1]).jaccard(sketch(b[1])) >= threshold
    }
    assert 25 <= len(near) <= 90
    assert {d.id for d in find_duplicates(rows, threshold=threshold)} == near


def test_bands_are_as_long_as_finding_99_of_100_allows() -> None:
    # 12 bands of 10: 1 - (1 - 0.9^10)^12 = 0.9938; 11 of 11: 0.9852.
    assert bands(0.9, 128) == (12, 10)
    # 18 bands of 7: 0.985; 21 of 6: 0.998.
    assert bands(0.8, 128) == (21, 6)
    assert bands(1.0, 128) == (2, 64)
    assert bands(0.01, 128) == (128, 1)
    assert bands(0.9, 2) == (2, 1)


def test_a_repetition_of_a_near_duplicate_belongs_to_the_same_kept_row() -> None:
    base = text_of(0)
    changed = base + " other"
    first, second = find_duplicates([("a", base), ("b", changed), ("c", changed)], threshold=0.8)
    assert (first.id, second.id) == ("b", "c")
    assert (second.duplicate_of, second.kind, second.similarity) == ("a", "near", first.similarity)


def test_different_texts_and_different_signs_stay() -> None:
    assert find_duplicates([(str(i), text_of(i)) for i in range(50)]) == []
    assert find_duplicates([("a", "x+1"), ("b", "x-1"), ("c", "x"), ("d", "")], threshold=0.9) == []


def test_the_result_is_reproducible_and_keeps_the_given_order() -> None:
    rows = [(f"r{i}", text_of(i % 7) + f" {i}") for i in range(60)]
    found = find_duplicates(rows)
    assert found == find_duplicates(rows)
    assert [d.id for d in found] == [f"r{i}" for i in range(7, 60)]
    assert {d.id: d.duplicate_of for d in found} == {f"r{i}": f"r{i % 7}" for i in range(7, 60)}


def test_short_texts_are_one_shingle_and_symbols_are_words() -> None:
    assert shingles("a b", 3) == ["a b"]
    assert shingles("", 3) == [""]
    assert shingles("x+1 = y", 3) == ["+ 1 =", "1 = y", "x + 1"]
    assert shingles("求3个", 3) == ["求 3 个"]
    assert normalize_text("  A\n b ") == "a b"


@pytest.mark.parametrize("bad", [{"threshold": 0.0}, {"threshold": 1.1}, {"shingle": 0}, {"num_perm": 1}])
def test_impossible_parameters_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match="expected: 0 < threshold"):
        find_duplicates([("a", "b")], **bad)  # type: ignore[arg-type]
