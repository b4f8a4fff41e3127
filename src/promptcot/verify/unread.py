"""Is an answer that the grammar cannot read surely not the gold answer? What is left open is never counted as wrong."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

from promptcot.verify.exact import TooLarge, Undecided, constant
from promptcot.verify.judges import Exact, Open
from promptcot.verify.latex import parse
from promptcot.verify.spelling import TEXT_COMMANDS
from promptcot.verify.structure import same_answer
from promptcot.verify.tokens import Mismatch, Unreadable
from promptcot.verify.tree import Node
from promptcot.verify.units import changes_number, counts

Reading = Literal["", "product", "power"]  # of a number behind a factor
READINGS: tuple[Reading, ...] = ("product", "power")
_TEXT = re.compile(TEXT_COMMANDS + r"\{([^{}]*)\}")
_NUMERAL = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)(?:/(\d+))?(%?)(?![\w.]*\d)")
# A command without its argument, an operator without its second operand.
_BROKEN = re.compile(r"\\(?:frac|sqrt|binom|text|sum|int|prod|lim)\s*(?:$|\{\s*\})|[=+*/^<>-]$")
_COMMANDS = re.compile(r"\\(?:begin|end)\{\w+\}|\\[a-zA-Z]+")
_LONG = re.compile(r"[^\W\d_]{2}")
_NUMERIC = re.compile(r"\\(?:pi|sum|int|prod|lim|infty|log|ln|exp|binom|lfloor|lceil|left|det)")
_WORDS = re.compile(r"[^\W\d_]+")


def never_means(text: str, gold: Node) -> bool:
    """Can no reading of `text` be `gold`?

    Args:
        text: An answer outside the grammar, normalised.
        gold: The reference, parsed.
    """
    if not _closed(text) or _BROKEN.search(text) or not re.search(r"\w|\u03c0", text):
        return True
    if not _LONG.search(_COMMANDS.sub("", _TEXT.sub("", text))) and _is_other(text, gold):
        return True
    words = " ".join(_TEXT.sub(lambda m: f" {m.group(1)} ", text).split())
    if gold.op == "text":
        said = {w.casefold() for w in _WORDS.findall(words)}
        return bool(re.search(r"\d", words)) or not set(_WORDS.findall(str(gold.value))) <= said
    value, words = _number(gold), words.replace(r"\$", "$")
    if value is None:
        return False
    if not any(c.isdigit() for c in words):
        return not counts(words) and not _NUMERIC.search(words)
    if "\\" in words:
        return False
    numerals = [_value(m) for m in _NUMERAL.finditer(words)]
    if re.sub(r"[^\W\d_]+|[\s.,:;!?'\"$-]", "", _NUMERAL.sub("", words)):
        return False  # signs of arithmetic: it may come to anything
    if len(numerals) > 1 and not _WORDS.search(words):
        return True
    if value not in numerals:
        return not changes_number(words)
    alone = len(numerals) == 1 and changes_number(words)
    return alone or bool(re.search(r"\d ?(?:R|r|rem\w*|to)\.? ?\d", words))


def differ_anyway(gold: str, prediction: str) -> bool:
    """Are two answers, both read in each of their readings, always two? Qh7 is 7hQ or Q h^7, and never Kh1."""
    readings = [(_parsed(gold, behind), _parsed(prediction, behind)) for behind in READINGS]
    return all(a and b and _differ(a, b) for a, b in readings)


def _is_other(text: str, gold: Node) -> bool:
    """Is it something else than `gold` in each of its readings? x2 is 2x or x^2; a last 1 multiplies nothing."""
    if re.search(r"(?:^|[^\d.,])1$", text) and _parsed(text[:-1]):
        return True
    readings = [tree for behind in READINGS if (tree := _parsed(text, behind))]
    return bool(readings) and all(_differ(gold, tree) for tree in readings)


def _differ(a: Node, b: Node) -> bool:
    try:
        return not same_answer(a, b, Exact())
    except Mismatch:
        return True
    except (Undecided, TooLarge, Open, Unreadable, RecursionError):
        return False


def _parsed(text: str, behind: Reading = "") -> Node | None:
    try:
        return parse(text, behind)
    except (Unreadable, RecursionError):
        return None


def _closed(text: str) -> bool:
    """Does every bracket have another end? ( may be closed by ], as in intervals."""
    depth = {"(": 0, "{": 0}
    for c in text:
        if c in "([{":
            depth["{" if c == "{" else "("] += 1
        elif c in ")]}":
            depth["{" if c == "}" else "("] -= 1
        if min(depth.values()) < 0:
            return False
    return not any(depth.values())


def _value(match: re.Match[str]) -> Fraction | None:
    top, bottom = Fraction(match[1]), int(match[2] or 1)
    return top / bottom if bottom else None


def _number(node: Node) -> Fraction | None:
    """The rational number that an answer gives, with or without a unit."""
    while node.op in ("unit", "degree", "percent"):
        node = node.args[0]
    try:
        return constant(node)
    except (Undecided, TooLarge, Unreadable):
        return None
