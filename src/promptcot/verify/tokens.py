r"""A normalised answer cut into tokens: numbers, LaTeX commands, letters, words, units, brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

from promptcot.verify.spelling import TEXT_COMMANDS
from promptcot.verify.units import CURRENCIES, LETTERS, SYMBOLS

MAX_CHARS = 4000
_FUNCTIONS = (
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc arcsinh arccosh arctanh sinh cosh tanh coth log ln lg exp abs max min gcd"
    " lcm sgn"
)
_GREEK = "alpha beta gamma delta epsilon zeta theta kappa lambda sigma omega phi psi rho tau"
FUNCTIONS = frozenset(_FUNCTIONS.split())
_NAMED = FUNCTIONS | {*_GREEK.split(), "pi", "sqrt", "cdot", "times", "infty"}
_ALIASES = {
    "inf": "infty", "infinity": "infty", "oo": "infty", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "cosec": "csc", "tg": "tan", "arctg": "arctan", "sign": "sgn",
}  # fmt: skip
_CONNECTIVES = {
    "and": "and",
    "or": "or",
    "und": "and",
    "oder": "or",
    "\u0438": "and",
    "\u0438\u043b\u0438": "or",
}
_BEFORE_BRACE = frozenset({"frac", "dfrac", "tfrac", "binom", "boxed"})  # a backslash lost on the way
_TOKEN = re.compile(
    rf"""(?P<repeating>\d*\.\d*(?:\\(?:overline|bar|dot)\s*\{{?\d+\}}?(?:\d*\\dot\s*\{{?\d\}}?)?|\(\d+\)))
    |(?P<number>\d+(?:\.\d+)?|\.\d+)
    |(?P<text>{TEXT_COMMANDS}\s*\{{)
    |\\(?:begin|end)\{{(?P<environment>\w+\*?)\}}
    |(?P<currency>\\\$|[{CURRENCIES}])
    |(?P<command>\\[a-zA-Z]+|\\\\|\\[{{}}|\#&_])
    |(?P<run>[^\W\d_]+(?:[ ][^\W\d_]+)*)
    |(?P<mark>[<>]=|\*\*|\.\.\.|[^\s\w]|_)
    |(?P<space>\s+)""",
    re.VERBOSE,
)


class Unreadable(ValueError):
    """The text is not a mathematical expression of the grammar in `latex.py`."""


class Mismatch(Unreadable):
    """It is one, but of another kind than what it is compared with: a set where a number is asked for."""


class Token(NamedTuple):
    """kind: number, repeating, text, word, name (one letter), currency, command, mark, begin or end."""

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
            end = _closing(text, at)
            found += _text(text[at:end].strip())
            at = end + 1
        elif kind == "run":
            found += _phrase(
                content.split(" "), text[at : at + 1] == "{", bool(found) and found[-1].kind == "number"
            )
        elif kind != "space":
            found.append(Token(kind, {"**": "^", r"\$": "$"}.get(content, content)))
    return found


def _closing(text: str, at: int) -> int:
    """Where the brace that was opened before `at` closes."""
    depth = 1
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if not depth:
            return i
    raise Unreadable("a text command without an end")


def _text(words: str) -> list[Token]:
    joined = words.strip(" ,;")
    if joined in ("and", "or"):
        return [Token("mark", joined)]
    if not joined and "," in words:
        return [Token("mark", ",")]
    if joined.startswith(("and ", "or ")):
        first, _, rest = joined.partition(" ")
        return [Token("mark", first), *_text(rest)]
    if joined == r"\$" or re.match(r"[-+(]?\d", joined) or "=" in joined:
        return tokens(joined)
    return [Token("text", words)] if words else []


def _phrase(runs: list[str], brace_follows: bool, number_before: bool) -> list[Token]:
    """Runs of letters with a space between: names that are known, words, or one variable per letter.

    One word among them makes words of the others: `red apples`, `dollars per hour`; but not of single letters.
    """
    wordy = (number_before and all(run in SYMBOLS or run in ("sq", "cu") for run in runs)) or any(
        len(run) > 3 and _ALIASES.get(run, run) not in _NAMED for run in runs
    )
    found: list[Token] = []
    for i, run in enumerate(runs):
        lower, last = _ALIASES.get(run, run), i == len(runs) - 1
        counted = number_before and i == 0
        if run in _CONNECTIVES:
            found.append(Token("mark", _CONNECTIVES[run]))
        elif run in ("of", "per", "not") or (counted and run in SYMBOLS and last):
            found.append(Token("word", run))
        elif lower in _NAMED or (brace_follows and last and lower in _BEFORE_BRACE):
            found.append(Token("command", "\\" + lower))
        elif (
            len(run) > 3
            or not run.isascii()
            or (wordy and _joins(run, i, runs))
            or (counted and run in SYMBOLS)
        ):
            found.append(Token("word", run))
        else:
            found += [Token("name", letter) for letter in run]
    return found


def _joins(run: str, i: int, runs: list[str]) -> bool:
    """Is a short run one of the words around it? `a` is, and `m` in `m per hour`; `x` in `x apples` is not."""
    if len(run) > 1:
        return True
    return (run == "a" and i > 0) or (run in LETTERS and runs[i + 1 : i + 2] == ["per"])
