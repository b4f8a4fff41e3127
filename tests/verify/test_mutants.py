"""Mutants: every edit by hand on a small program, and kill rates worked out on paper."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from promptcot.records import UnitTest
from promptcot.verify.mutants import Mutant, caught_by, mutants, mutants_of

ABS = "n = int(input())\nif n < 0:\n    n = -n\nprint(n)"
# Every mutant of ABS: the edit, and whether an input of 0, of -3, of 4 tells it from ABS.
EDITS = {
    "if n <= 0": (False, False, False),  # equivalent: at 0 the sign does not matter
    "if n >= 0": (False, True, True),
    "if not n < 0": (False, True, True),
    "if n < 1": (False, False, False),  # equivalent for the same reason
    "if n < -1": (False, False, False),  # wrong at -1 only
    "if n < 10": (False, False, True),
    "n = +n": (False, True, False),
    "drop n = -n": (False, True, False),
    "drop print": (True, True, True),
}


def edited(edit: str) -> str:
    if edit == "drop n = -n":
        return ABS.replace("n = -n", "pass")
    if edit == "drop print":
        return ABS.replace("print(n)", "pass")
    return ABS.replace("n = -n", edit) if edit.startswith("n =") else ABS.replace("if n < 0", edit)


def plain(code: str) -> str:
    return ast.unparse(ast.parse(code))


def test_every_mutant_of_a_small_program() -> None:
    made = mutants(ABS, 100, 1)
    assert Counter(m.code for m in made) == Counter({plain(edited(e)): 1 for e in EDITS})
    kinds = Counter(m.kind for m in made)
    assert kinds == {
        "comparison": 2, "condition": 1, "off_by_one": 2, "constant": 1, "operator": 1, "statement": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "killed"), [(["0"], 1), (["0", "-3"], 5), (["4"], 4), (["4", "-3"], 6), (["-1", "4", "-3"], 7)]
)
def test_the_kill_rate_is_the_one_worked_out_by_hand(inputs: list[str], killed: int) -> None:
    made = mutants(ABS, 100, 1)
    tests = [UnitTest(i, str(abs(int(i)))) for i in inputs]
    caught = caught_by(made, tests)
    assert sum(n >= 0 for n in caught) == killed
    column = {"0": 0, "-3": 1, "4": 2}
    for mutant, at in zip(made, caught, strict=True):
        (edit,) = (e for e in EDITS if plain(edited(e)) == mutant.code)
        if "-1" not in inputs:
            first = next((n for n, i in enumerate(inputs) if EDITS[edit][column[i]]), -1)
            assert at == first, edit


def test_the_same_seed_gives_the_same_mutants_and_another_seed_others() -> None:
    once = mutants(ABS, 4, 7)
    assert once == mutants(ABS, 4, 7)
    assert len({m.kind for m in once}) == 4  # the kinds take turns
    assert any(mutants(ABS, 4, seed) != once for seed in range(8, 12))


EVERYTHING = '''"""A docstring is no place for a mistake."""
import sys

def f(xs, flag=True):
    """Nor is this one."""
    best = 0.5
    for i, x in enumerate(xs):
        if x in (1, 2) and not flag or x is None:
            continue
        while x % 3 == 0:
            x //= 3
            break
        best = max(best, abs(x) ** 2)
    return f"{best}" + "!" if any(xs) else ""

print(f([int(t) for t in sys.stdin.read().split()[1:]]))
'''


def test_all_mutants_of_a_program_with_everything_are_programs_and_differ() -> None:
    made = mutants(EVERYTHING, 1000, 3)
    texts = [m.code for m in made]
    assert len(set(texts)) == len(texts) > 40
    assert plain(EVERYTHING) not in texts
    for text in texts:
        ast.parse(text)
        assert '"""A docstring is no place for a mistake."""' in text
    assert {m.kind for m in made} == {
        "comparison", "operator", "condition", "call", "off_by_one", "constant", "statement",
    }  # fmt: skip
    assert ast.unparse(ast.parse(EVERYTHING)) == plain(EVERYTHING)


def test_an_edit_that_changes_no_letter_is_no_mutant() -> None:
    assert [m.kind for m in mutants("print(1e999)", 10, 1)] == ["statement"]  # twice infinity is infinity


@pytest.mark.parametrize("code", ["", "x = (", "\0", "(" * 5000, "pass", "x = 1\n" * 20_000, "# nothing"])
def test_what_cannot_be_mutated_has_no_mutants(code: str) -> None:
    assert mutants(code, 10, 1) == []


def test_several_programs_take_turns_and_share_no_mutant() -> None:
    a, b = "print(int(input()) + 1)", "print(1 + int(input()))"
    made = mutants_of([a, b, a], 4, 1)
    assert len({m.code for m in made}) == 4
    assert sum(m.code.startswith("print(int") for m in made) == 2


def test_a_mutant_that_crashes_or_says_nothing_is_caught() -> None:
    tests = [UnitTest("1", "1"), UnitTest("2", "2")]
    bad = [
        Mutant("raise SystemExit(1)", "x"),
        Mutant("", "x"),
        Mutant("print(1)", "x"),
        Mutant("print(input())", "x"),
    ]
    assert caught_by(bad, tests) == [0, 0, 1, -1]
