"""Concept combinations: which are drawn, from what, and how often they are new."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.stages.concepts import ConceptGraph, ConceptList, file_lists, read_lists, sample_lists

LISTS = [
    ConceptList("math", "1", ("gcd",)),
    ConceptList("math", "2", ("gcd", "lcm")),
    ConceptList("math", "2", ("lcm", "mod")),
    ConceptList("math", "3", ("gcd", "mod", "area")),
    ConceptList("code", "1", ("sort",)),
]


def draw(n: int = 200, **changes: object) -> list[ConceptList]:
    settings = {"seed": 1, "novel": 0.0, "code_share": 0.25, "levels": {}, "sizes": {}, **changes}
    return sample_lists(LISTS, n, **settings)  # type: ignore[arg-type]


def test_without_novelty_only_observed_lists_are_drawn() -> None:
    seen = {frozenset(row.concepts) for row in LISTS}
    assert all(frozenset(row.concepts) in seen for row in draw())


def test_novel_lists_were_never_observed_and_repeat_no_concept() -> None:
    seen = {frozenset(row.concepts) for row in LISTS}
    rows = [r for r in draw(novel=1.0, sizes={2: 1.0, 3: 1.0}) if r.domain == "math"]
    assert rows
    for row in rows:
        assert frozenset(row.concepts) not in seen
        assert len(set(row.concepts)) == len(row.concepts)


def test_a_novel_walk_prefers_concepts_that_were_seen_together() -> None:
    graph = ConceptGraph(
        [ConceptList("math", "2", ("a", "b"))] * 20 + [ConceptList("math", "1", ("c",))], smoothing=0.01
    )
    second = Counter(
        graph._walk(random.Random(s), 2)[1] for s in range(300) if graph._walk(random.Random(s), 2)[0] == "a"
    )
    assert second["b"] > 20 * second["c"]


def plain_lists(lists: list[ConceptList], n: int, seed: int, novel: float) -> list[ConceptList]:
    """`sample_lists` as its description reads, with a pass over all concepts for every draw."""
    rng = random.Random(seed)
    by_domain = {d: [r for r in lists if r.domain == d] for d in sorted({r.domain for r in lists})}
    out = []
    for _ in range(n):
        domain = rng.choices(list(by_domain), [0.3 if d == "code" else 0.7 for d in by_domain])[0]
        rows = by_domain[domain]
        level = rng.choice(rows).level
        size = rng.choice([len(r.concepts) for r in rows if r.level == level])
        if rng.random() >= novel:
            out.append(
                ConceptList(domain, level, rng.choice([r for r in rows if len(r.concepts) == size]).concepts)
            )
            continue
        names = sorted({c for r in rows for c in r.concepts})
        together = {
            a: Counter(b for r in rows if a in r.concepts for b in r.concepts if b != a) for a in names
        }
        for _ in range(50):
            walk = rng.choices(names, [sum(a in r.concepts for r in rows) for a in names])
            while len(walk) < min(size, len(names)):
                rest = [b for b in names if b not in walk]
                weights = [sum(together[a][b] for a in walk) / len(walk) + 0.1 for b in rest]
                walk += rng.choices(rest, weights)
            if all(set(walk) != set(r.concepts) for r in rows):
                break
        out.append(ConceptList(domain, level, tuple(walk)))
    return out


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("novel", [0.0, 0.6, 1.0])
def test_draws_are_those_of_a_plain_walk(seed: int, novel: float) -> None:
    rng = random.Random(100 + seed)
    names = [f"c{i}" for i in range(3 + 4 * seed)]
    lists = [
        ConceptList("code" if i % 5 == 0 else "math", str(i % 3), tuple(rng.choices(names, k=1 + i % 6)))
        for i in range(15)
    ]
    made = sample_lists(lists, 60, seed=seed, novel=novel, code_share=0.3, levels={}, sizes={})
    assert made == plain_lists(lists, 60, seed, novel)


def test_domains_levels_and_sizes_follow_their_weights() -> None:
    rows = draw(2000, levels={"2": 3.0, "3": 1.0})
    domains = Counter(r.domain for r in rows)
    assert 0.2 < domains["code"] / 2000 < 0.3
    math = Counter(r.level for r in rows if r.domain == "math")
    assert set(math) == {"2", "3"}
    assert 2.4 < math["2"] / math["3"] < 3.8
    # Level 3 has only one observed list, of three concepts.
    assert {len(r.concepts) for r in rows if r.domain == "math" and r.level == "3"} == {3}


def test_the_same_seed_draws_the_same_lists() -> None:
    assert draw(novel=0.5) == draw(novel=0.5)
    assert draw(novel=0.5) != draw(novel=0.5, seed=2)


def test_no_lists_at_all_is_explained() -> None:
    with pytest.raises(UserError, match="no concept lists"):
        sample_lists([], 3, seed=1, novel=0.0, code_share=0.0, levels={}, sizes={})


def test_a_concepts_file_is_read_and_a_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "concepts.jsonl"
    file.write_text('{"concepts": ["a", "b"]}\n{"foundational_concepts": ["c"], "level": "AIME"}\n')
    assert read_lists(str(file), "math") == [
        ConceptList("math", "", ("a", "b")),
        ConceptList("math", "AIME", ("c",)),
    ]
    file.write_text('{"concepts": ["a"]}\n{"concepts": []}\n')
    with pytest.raises(UserError, match="line-2 has no list"):
        read_lists(str(file), "math")
    file.write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        read_lists(str(file), "math")


def test_a_null_in_a_concepts_file_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    file = tmp_path / "concepts.jsonl"
    file.write_text('{"concepts": ["a"], "level": null, "domain": null}\n{"concepts": ["a"], "level": 0}\n')
    assert read_lists(str(file), "code") == [
        ConceptList("code", "", ("a",)),
        ConceptList("code", "0", ("a",)),
    ]


def test_lists_of_a_file_draw_the_levels_that_it_does_not_name(tmp_path: Path) -> None:
    file = tmp_path / "concepts.jsonl"
    file.write_text(
        '{"concepts": ["a"]}\n{"concepts": ["b"], "level": "AIME"}\n{"concepts": ["c"], "domain": "code"}\n'
    )

    def drawn(known: list[ConceptList], **levels: float) -> dict[str, Counter[str]]:
        rows = file_lists(str(file), 1200, known, seed=1, domain="math", levels=levels)
        assert [r.concepts for r in rows[:4]] == [("a",), ("b",), ("c",), ("a",)]
        assert [r.domain for r in rows[:4]] == ["math", "math", "code", "math"]
        return {c: Counter(r.level for r in rows if r.concepts == (c,)) for c in "abc"}

    found = drawn(LISTS)  # math has the levels 1, 2, 2 and 3, code 1 only
    assert (found["b"], found["c"]) == (Counter({"AIME": 400}), Counter({"1": 400}))
    assert set(found["a"]) == {"1", "2", "3"}
    assert 160 < found["a"]["2"] < 240
    assert set(drawn(LISTS[:4])["c"]) == {"1", "2", "3"}  # no code at all: of what there is
    assert drawn([], two=1.0)["a"] == Counter({"two": 400})
    with pytest.raises(UserError, match="lists without a level, and no train triple has one"):
        drawn([])
