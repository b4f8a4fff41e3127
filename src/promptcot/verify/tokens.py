r"""A normalised answer cut into tokens: numbers, LaTeX commands, letters, words, brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

MAX_CHARS = 4000
FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "log",
        "ln",
        "lg",
        "exp",
        "abs",
        "max",
        "min",
        "gcd",
        "lcm",
    ]
)
_NAMED = FUNCTIONS | {"pi", "sqrt", "cdot", "times", "infty"}
_ALIASES = {
    "inf": "infty",
    "infinity": "infty",
    "oo": "infty",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
}
_BEFORE_BRACE = frozenset({"frac", "dfrac", "tfrac", "binom", "boxed"})  # a backslash lost on the way
_UNITS = frozenset(
    [
        "mm",
        "cm",
        "dm",
        "km",
        "kg",
        "mg",
        "ml",
        "kl",
        "cc",
        "hr",
        "hrs",
        "min",
        "sec",
        "mph",
        "kph",
        "ft",
        "in",
        "yd",
        "mi",
        "lb",
        "lbs",
        "oz",
        "kw",
        "kwh",
        "mw",
        "hz",
        "khz",
        "usd",
    ]
)
_TOKEN = re.compile(
    r"""(?P<repeating>\d*\.\d*\\(?:overline|bar|dot)\s*\{\d+\})
    |(?P<number>\d+(?:\.\d+)?|\.\d+)
    |\\(?:text|textrm|textbf|textit|textnormal|textsf|mathrm|mathbf|mathit|mathsf|mbox|hbox)\s*\{(?P<text>[^{}]*)\}
    |\\(?:begin|end)\{(?P<environment>\w+\*?)\}
    |(?P<command>\\[a-zA-Z]+|\\\\|\\[{}|\#&_])
    |(?P<run>[A-Za-z]+)
    |(?P<mark>[<>!]=|\*\*|[^\s\w]|_)
    |(?P<space>\s+)""",
    re.VERBOSE,
)


class Unreadable(ValueError):
    """The text is not a mathematical expression of the grammar in `latex.py`."""


class Token(NamedTuple):
    """kind: number, repeating, text, word, name (one letter), command, mark, begin or end."""

    kind: str
    text: str


def tokens(text: str) -> list[Token]:
    """All tokens of a normalised answer.

    Raises:
        Unreadable: it is too long, or holds a character that starts no token.
    """
    if len(text) > MAX_CHARS:
        raise Unreadable(f"longer than {MAX_CHARS} characters")
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Unreadable(f"unexpected character {text[at]!r}")
        at = match.end()
        kind, content = match.lastgroup or "", match.group()
        if kind == "environment":
            found.append(Token(content[1:].partition("{")[0], match["environment"]))
        elif kind == "text":
            found += _text(match["text"].strip())
        elif kind == "run":
            found += _letters(content, text[at : at + 1] == "{", bool(found) and found[-1].kind == "number")
        elif kind != "space":
            found.append(Token(kind, "^" if content == "**" else content))
    return found


def _text(words: str) -> list[Token]:
    joined = words.strip(" ,;")
    if joined in ("and", "or"):
        return [Token("mark", joined)]
    return [Token("text", words)] if words else []


def _letters(run: str, brace_follows: bool, number_before: bool) -> list[Token]:
    """A run of letters is a known name, a word, or one variable per letter."""
    lower = _ALIASES.get(run, run)
    if lower in _NAMED or (brace_follows and lower in _BEFORE_BRACE):
        return [Token("command", "\\" + lower)]
    if run in ("and", "or"):
        return [Token("mark", run)]
    if len(run) > 3 or (number_before and run.lower() in _UNITS):
        return [Token("word", run)]
    return [Token("name", letter) for letter in run]
