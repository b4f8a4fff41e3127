r"""Is a final answer equal to the reference? Exact, fast, and never by accident.

The pipeline: cut the thinking, read the last box, normalise the LaTeX, compare as strings, then as exact
rationals. Nothing is compared in floating point, so 12345 is not 12346. Where this module cannot tell, it
says "different": it errs towards false negatives, because a false positive becomes a wrong label.
Not covered: algebra (\sqrt{12} against 2\sqrt{3}), sets, tuples with unequal spelling, decimal commas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from promptcot.records import Verdict

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
_MAX_NUMBER_CHARS = 1000  # Python itself refuses to parse integers above 4,300 digits


def after_thinking(text: str) -> str | None:
    """What follows the last `</think>`; None if a thinking block was opened and never closed."""
    answer = text.rpartition("</think>")[2]
    return None if "<think>" in answer else answer


def extract_boxed(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{}` or `\fbox{}` after the thinking.

    None if there is no such box, if it is blank, or if the text ends inside the thinking. A number outside
    a box is never taken for the answer.
    """
    answer = after_thinking(text)
    return None if answer is None else _last_box(answer).strip() or None


def _last_box(text: str) -> str:
    """One pass over all braces, so that a text full of unclosed boxes costs no more than any other."""
    opened: list[tuple[int, bool]] = []  # (where the content starts, is it a box)
    start, end = 0, 0
    for match in _BRACES.finditer(text):
        token = match.group()
        if token.endswith("{") and token != r"\{":
            opened.append((match.end(), len(token) > 1))
        elif token == "}" and opened:
            begin, is_box = opened.pop()
            if is_box and begin > start:
                start, end = begin, match.start()
    return text[start:end]


# --- normalisation -----------------------------------------------------------------------------------------

# A thin space or {,} groups digits only in threes and never after a leading 0: 1{,}5 may be a decimal comma.
_THIN_GROUPS = re.compile(r"(?<![\d.,}])[1-9]\d{0,2}(?:(?:\\,|\{,\})\d{3})+(?!\d)")
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[\u2212\u2013]", "-"),
        (r"\u200b|\\displaystyle(?![a-zA-Z])", ""),
        (r"\\left\s*\.|\\right\s*\.|\\(?:left|right)(?![a-zA-Z])", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree(?![a-zA-Z])|\u00b0", ""),
        (r"\\\$", ""),
        (r"\$|\\\(|\\\)", ""),
        (r"\\?%|(?<=\d)\s*(?:percent|pct)$", "%"),
        (r"\\[,;:> ]|\\q?quad(?![a-zA-Z])|~", " "),
        # \frac12, \frac1{2} and \frac{1}2 are all \frac{1}{2}.
        (r"\\frac\s*([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9a-zA-Z])", r"\1{\2}"),
    )
)
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_WRAPPER = re.compile(r"\\(?:text|textrm|textbf|textit|mathrm|mathbf|mbox)\{([^{}]*)\}")
_TEXT = re.compile(r"(\\(?:text|textrm|mbox)\{)([^{}]*)\}")
_END_MARK = re.compile(r"(?<![.,])[.,]$")  # one mark ends a sentence, three mean "and so on"


def normalize(answer: str) -> str:
    r"""One spelling for answers that differ only in typography.

    Spaces go, except where two words or numbers would run together; `\left`, `\,`, `$`, degree signs and a
    trailing full stop go; `\dfrac12` becomes `\frac{1}{2}`; `12,345` becomes `12345` if it is the whole
    answer. Units and a leading `x =` stay: `equivalent` decides about them.
    """
    text = answer.replace(r"\!", "").strip()
    text = _THIN_GROUPS.sub(lambda m: m.group().replace(r"\,", "").replace("{,}", ""), text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _END_MARK.sub("", text.replace("{,}", ",").strip()).strip()
    if whole := _WRAPPER.fullmatch(text):
        text = whole.group(1).strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    text = _TEXT.sub(lambda m: m.group(1) + m.group(2).strip() + "}", text)
    kept = re.sub(r"(?<=\w)\s+(?=\w)", "\0", text)
    return re.sub(r"\s+", "", kept).replace("\0", " ")


# --- equality ----------------------------------------------------------------------------------------------

_NAMED = re.compile(r"([a-zA-Z](?:_\{?\w+\}?)?)=([^=<>]+)")
_UNIT = re.compile(r"(.*[0-9.}])(\\(?:text|textrm|mbox)\{([A-Za-z][A-Za-z ./-]*)\}(?:\^\{?[23]\}?)?|%)")
# Words behind a number that change its value: 5 million is not 5, and 2e or 2x is not 2.
_SCALES = re.compile(
    r"hundred|thousand|million|billion|trillion|dozen|pair|hal[fv]|third|quarter|fifth|tenth|squared|cubed"
    r"|factorial|base|mod|\b(?:pi|and|or|(?![mgshlnjwvkcf])[a-z])\b",
    re.IGNORECASE,
)
_NUMBER = r"[0-9]+\.?[0-9]*|\.[0-9]+"
_PLAIN = re.compile(rf"([+-]?)({_NUMBER})(?:/({_NUMBER}))?")
_FRAC = re.compile(rf"([+-]?)([0-9]*)\\frac\{{([+-]?)({_NUMBER})\}}\{{([+-]?)({_NUMBER})\}}")


@dataclass(frozen=True)
class _Parts:
    r"""`x=5\text{cm}` is name x, body 5, unit cm; name and unit may be empty."""

    name: str
    body: str
    unit: str


def equivalent(gold: str | None, prediction: str | None) -> bool:
    """Do two answers denote the same value?

    Equal strings after `normalize`, or equal exact rationals (integers, decimals, a/b, LaTeX fractions, mixed
    numbers). A unit or a leading `x =` may be missing on one side, but two different ones are different
    answers. None and blank answers equal nothing, themselves included.
    """
    if gold is None or prediction is None:
        return False
    left, right = normalize(gold), normalize(prediction)
    if not left or not right:
        return False
    return left == right or _same_parts(_split(left), _split(right))


def _same_parts(a: _Parts, b: _Parts) -> bool:
    names_agree = not a.name or not b.name or a.name == b.name
    units_agree = not a.unit or not b.unit or a.unit == b.unit
    return names_agree and units_agree and _same_body(a.body, b.body)


def _same_body(a: str, b: str) -> bool:
    if a == b:
        return True
    left, right = rational(a), rational(b)
    return left is not None and left == right


def _split(text: str) -> _Parts:
    name, unit = "", ""
    if named := _NAMED.fullmatch(text):
        name, text = named.groups()
    if (measured := _UNIT.fullmatch(text)) and not _SCALES.search(measured.group(3) or ""):
        text, unit = measured.group(1, 2)
    return _Parts(name, text, unit)


def rational(text: str) -> Fraction | None:
    r"""The exact value of a normalised integer, decimal, `a/b`, `\frac{a}{b}` or mixed number; else None."""
    if len(text) > _MAX_NUMBER_CHARS:
        return None
    if plain := _PLAIN.fullmatch(text):
        sign, top, bottom = plain.groups()
        value = _ratio(top, bottom or "1")
    elif frac := _FRAC.fullmatch(text):
        sign, value = frac.group(1), _mixed(*frac.groups()[1:])
    else:
        return None
    return value if value is None or sign != "-" else -value


def _ratio(top: str, bottom: str) -> Fraction | None:
    divisor = Fraction(bottom)
    return None if divisor == 0 else Fraction(top) / divisor


def _mixed(whole: str, top_sign: str, top: str, bottom_sign: str, bottom: str) -> Fraction | None:
    value = _ratio(top, bottom)
    if value is None or not whole:
        return value if value is None or (top_sign == "-") == (bottom_sign == "-") else -value
    # 149\frac{1}{3} is a mixed number; 3\frac{5}{2} or 3\frac{-1}{2} may be a product: not decided here.
    proper = 0 < value < 1 and not top_sign and not bottom_sign
    return int(whole) + value if proper else None


# --- verdict -----------------------------------------------------------------------------------------------


def check_answer(gold: str | None, text: str, finished: bool = True) -> tuple[Verdict, str]:
    """Judge a model's text against a reference answer.

    Args:
        gold: The reference, without a box around it.
        text: The whole completion, thinking included.
        finished: False if it was cut at the token limit; such a text has no answer, whatever it contains.

    Returns:
        The verdict and a reason: `equal`, `different`, `truncated`, `no_box`, or `unreadable_gold`, which is
        `unscored` and not the model's fault.
    """
    if gold is None or not _readable(gold):
        return Verdict.UNSCORED, "unreadable_gold"
    if not finished or after_thinking(text) is None:
        return Verdict.NO_ANSWER, "truncated"
    prediction = extract_boxed(text)
    if prediction is None:
        return Verdict.NO_ANSWER, "no_box"
    if equivalent(gold, prediction):
        return Verdict.CORRECT, "equal"
    return Verdict.INCORRECT, "different"


def _readable(gold: str) -> bool:
    """Not blank, and every brace closed."""
    depth = 0
    for match in _BRACES.finditer(gold):
        token = match.group()
        depth += token.endswith("{") and token != r"\{"
        depth -= token == "}"
        if depth < 0:
            return False
    return depth == 0 and normalize(gold) != ""
