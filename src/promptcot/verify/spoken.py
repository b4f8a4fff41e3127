"""Numbers in words: English up to a million, simple fractions, Chinese numerals."""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: n for n, word in enumerate(_ONES.split())}
_NUMBERS |= {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_SCALES = {"hundred": 100, "thousand": 1000}
PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_DIGITS = {c: n for n, c in enumerate("\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d")} | {
    "\u4e24": 2
}
_PLACES = {"\u5341": 10, "\u767e": 100, "\u5343": 1000}
_CHINESE = re.compile(f"[{''.join(_DIGITS)}{''.join(_PLACES)}]+")


def spoken(words: str) -> str | None:
    r"""Digits for a number in words, alone or before a noun (`7`, `-3`, `1/3`, `5\text{dollars}`); None for other words."""
    if "\u5206\u4e4b" in words or _CHINESE.fullmatch(words):
        return _chinese(words)
    sign, tokens = "", [w for w in words.replace("-", " ").split() if w != "and"]
    if tokens[:1] in (["minus"], ["negative"]):
        sign, tokens = "-", tokens[1:]
    if tokens and (part := PARTS.get(_singular(tokens[-1]))) and len(tokens) <= 2:
        top = 1 if tokens[:-1] in ([], ["a"], ["one"]) else _NUMBERS.get(tokens[0])
        alone = len(tokens) == 1 and tokens != ["half"]  # a third: an ordinal number
        return None if top is None or alone else sign + str(Fraction(top, part))
    half = tokens[-2:] == ["a", "half"]
    value, used = _value(tokens)
    rest = " ".join(tokens[used:])
    if not used:
        return None
    if half and rest == "a half":
        return f"{sign}{2 * value + 1}/2"
    return f"{sign}{value}" + (rf"\text{{{rest}}}" if rest else "")


def _value(tokens: list[str]) -> tuple[int, int]:
    """(value, how many of the words say it)."""
    total = current = used = 0
    for i, word in enumerate(tokens):
        n = _NUMBERS.get(word)
        if n is not None and (
            not current or current % 100 == 0 or (current % 10 == 0 and current % 100 >= 20 and 0 < n < 10)
        ):
            current += n
        elif word in _SCALES and current:
            current *= _SCALES[word]
            if word == "thousand":
                total, current = total + current, 0
        else:
            break
        used = i + 1
    return total + current, used


def _singular(word: str) -> str:
    return "half" if word == "halves" else word.removesuffix("s")


def _chinese(words: str) -> str | None:
    if "\u5206\u4e4b" in words:
        bottom, _, top = words.partition("\u5206\u4e4b")
        b, t = _chinese(bottom), _chinese(top)
        return f"{t}/{b}" if b and t and b != "0" else None
    if not _CHINESE.fullmatch(words):
        return None
    if not any(c in _PLACES for c in words):
        return "".join(str(_DIGITS[c]) for c in words)
    total, digit = 0, 0
    for c in words:
        if c in _PLACES:
            total, digit = total + (digit or 1) * _PLACES[c], 0
        else:
            digit = _DIGITS[c]
    return str(total + digit)
