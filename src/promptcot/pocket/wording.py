"""Families of sentences, and the one table of wordings that both writes and reads them.

A `Family` is one operation of the world. Its wordings are templates such as "Then {a} more arrive."; `render`
fills them and `read` recognises them with regular expressions made from the same templates, so that writing and
parsing cannot drift apart. Values flow through a problem by type: a sentence takes what the one before it gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

Value = int | Fraction | str | tuple[int, ...] | None
Slots = Mapping[str, int | str]
Apply = Callable[[Value, Slots], Value]

NAMES = ("Mia", "Tom", "Ana", "Leo", "Zoe", "Sam", "Ida", "Max", "Eva", "Ben", "Lily", "Omar")
THINGS = (
    "beads", "coins", "shells", "stamps", "cards", "pens", "apples", "books", "seeds", "boats", "kites", "drums",
)  # fmt: skip
PLACES = ("box", "shop", "jar", "barn", "bag", "room")
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
WORDS: dict[str, tuple[str, ...]] = {
    "name": NAMES,
    "thing": THINGS,
    "place": PLACES,
    "letter": LETTERS,
    "other": LETTERS,
}
_INTEGER = r"(0|[1-9]\d{0,3})"
_SENTENCE_END = re.compile(r"(?<=[.?]) ")


@dataclass(frozen=True)
class Family:
    """One operation: how it is worded, what it does to the running value, how its step is written.

    takes / gives: type of the value before and after: "" (nothing yet), "number", "ints", "text", "answer";
    "any" passes the value through (distractors). `apply` returns None when the step is ill-formed for this value.
    `work` writes the step of a solution (math) or the line of a program (code). `limit` bounds the incoming value
    in generated problems only; reading accepts whatever is well defined. `concept`: canonical statement first,
    then paraphrases; empty for scaffolding (plain starts, questions, distractors).
    """

    key: str
    takes: str
    gives: str
    wordings: tuple[str, ...]
    apply: Apply
    work: Callable[[Value, Slots], str]
    plan: str = ""
    concept: tuple[str, ...] = ()
    ranges: Mapping[str, Sequence[int]] = field(default_factory=dict)
    limit: int = 199


@dataclass(frozen=True)
class Sentence:
    """One sentence of a problem: the family, which of its wordings, and what fills the slots."""

    family: str
    wording: int
    slots: tuple[tuple[str, int | str], ...]

    @property
    def args(self) -> dict[str, int | str]:
        """The slots by name."""
        return dict(self.slots)


def integer(slots: Slots, name: str) -> int:
    """The integer in slot `name`."""
    return int(slots[name])


def slot_names(template: str) -> tuple[str, ...]:
    """Names of the slots of a template, in order of appearance."""
    return tuple(re.findall(r"\{(\w+)\}", template))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text: each ends with a full stop or a question mark and a single space follows."""
    return _SENTENCE_END.split(text)


def render(family: Family, sentence: Sentence) -> str:
    """The sentence as text."""
    return family.wordings[sentence.wording].format(**sentence.args)


@cache
def pattern(template: str) -> re.Pattern[str]:
    """The regular expression that recognises exactly what `template` can render."""
    pieces = re.split(r"\{(\w+)\}", template)
    parts = [re.escape(p) if i % 2 == 0 else _slot_pattern(p) for i, p in enumerate(pieces)]
    return re.compile("".join(parts))


def _slot_pattern(name: str) -> str:
    return f"({'|'.join(WORDS[name])})" if name in WORDS else _INTEGER


def matches(family: Family, text: str) -> list[Sentence]:
    """All ways in which `family` can have said `text` (the tests hold this to at most one)."""
    found = []
    for index, template in enumerate(family.wordings):
        hit = pattern(template).fullmatch(text)
        if hit:
            names = slot_names(template)
            found.append(Sentence(family.key, index, tuple(map(_slot_value, names, hit.groups()))))
    return found


def _slot_value(name: str, text: str) -> tuple[str, int | str]:
    return name, text if name in WORDS else int(text)


def read(families: Mapping[str, Family], text: str) -> Sentence | None:
    """The sentence that `text` says in a world of `families`, or None."""
    for family in families.values():
        found = matches(family, text)
        if found:
            return found[0]
    return None
