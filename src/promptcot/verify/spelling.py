r"""One spelling for answers that differ only in typography."""

from __future__ import annotations

import re
from functools import lru_cache

# A thin space or {,} groups digits only in threes and never after a leading 0: 1{,}5 may be a decimal comma.
_THIN_GROUPS = re.compile(r"(?<![\d.,}])[1-9]\d{0,2}(?:(?:\\,|\{,\})\d{3})+(?!\d)")
_TEXT_COMMANDS = r"\\(?:text|textrm|textbf|textit|textnormal|textsf|mathrm|mathbf|mathit|mathsf|mbox|hbox)"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[\u2212\u2013]", "-"),
        (r"\u200b|\\displaystyle(?![a-zA-Z])|\\limits(?![a-zA-Z])", ""),
        (r"\\(?:left|right)\s*\.|\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\^\s*(?:\\circ|\{\s*\\circ\s*\})(?![a-zA-Z])|\\degree(?![a-zA-Z])|\u00b0", r"\\degree "),
        (r"\u00b2", "^2"),
        (r"\u00b3", "^3"),
        (r"\u221a", r"\\sqrt "),
        (r"\\\$|[\u00a3\u20ac]", ""),
        (r"\$|(?<!\\)\\[()\[\]]", ""),
        (r"\\?%|(?<=\d)\s*(?:percent|percentage|pct)$", "%"),
        # A row break \\ before a space is not the space command.
        (r"(?<!\\)\\[,;:> ]|\\q?quad|~", " "),
        # \frac12, \frac1{2} and \frac{1}2 are all \frac{1}{2}.
        (r"\\frac\s*([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9a-zA-Z])", r"\1{\2}"),
    )
)
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?:[.][0-9]+)?")
_PHRASE = re.compile(r"^(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*[:=]?\s*(?=\\?[$(\[\d-])", re.IGNORECASE)
# Commas in threes, the only ones of an answer without brackets: 12,345 with a unit, a name or a sign around it.
_GROUPED_WITHIN = re.compile(r"([^,;()\[\]{}\d]*)([1-9]\d{0,2}(?:,\d{3})+)((?![\d,])[^,;()\[\]]*)")
_WRAPPER = re.compile(_TEXT_COMMANDS + r"\s*\{([^{}]*)\}")
_TEXT = re.compile("(" + _TEXT_COMMANDS + r"\s*\{)([^{}]*)\}")
_END_MARK = re.compile(r"(?<![.,\\])[.,]$")  # one mark ends a sentence, three mean "and so on"
_WORDS = re.compile(r"(?=.*[^\W\d_]{3}|no$)[^\W\d_]+(?:[ ']+[^\W\d_]+)*", re.IGNORECASE)
_MIXED = re.compile(r"^(-?\d+) +(\d+)/(\d+)$")
_TIGHT = re.compile(r"(?<=\w)\s+(?=\w)")


@lru_cache(maxsize=1024)  # asked several times about the same gold
def normalize(answer: str) -> str:
    r"""One spelling for answers that differ only in typography.

    Spaces go, except where two words or numbers would run together; `\left`, `\,`, `$` and a trailing full
    stop go; `\dfrac12` becomes `\frac{1}{2}`; `12,345` becomes `12345` if it is the whole answer. Units and a
    leading `x =` stay: what they mean is decided on the parsed answer.
    """
    text = _PHRASE.sub("", answer.strip().rstrip("\\"))
    if text.isascii() and text.isdigit():
        return text
    text = re.sub(r"\\!\s*", "", text)  # 11,\! 111 groups digits
    text = _THIN_GROUPS.sub(lambda m: m.group().replace(r"\,", "").replace("{,}", ""), text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.replace("{,}", ",").strip().removeprefix("\\\\")
    text = _END_MARK.sub("", text.strip()).strip()
    if whole := _WRAPPER.fullmatch(text):
        text = whole.group(1).strip()
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "").replace(" ", "")
    if grouped := _GROUPED_WITHIN.fullmatch(text):
        text = grouped.group(1) + grouped.group(2).replace(",", "") + grouped.group(3)
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _TEXT.sub(lambda m: m.group(1) + m.group(2).strip() + "}", text)
    return re.sub(r"\s+", "", _TIGHT.sub("\0", text)).replace("\0", " ")


_IN_WORDS = {
    "all real numbers": r"\mathbb{R}", "all reals": r"\mathbb{R}", "the empty set": r"\emptyset", "empty set": r"\emptyset",
}  # fmt: skip
_OTHER_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([A-J])\)"), r"\1"),
    (re.compile(r"(-?[\d.,]+) ?([kcm]?m/s|km/h|ft/s)(\^2)?"), r"\1\\text{\2}\3"),
    (re.compile(r"\((\d+)\)(_\w|_\{\w+\})"), r"\1\2"),
    # {x | x > 2} is what its relation says
    (
        re.compile(
            r"\\\{([a-z])(?:\\in\\mathbb\{?R\}?)?(?:\\mid ?|\\vert ?|[|:])(?=.*[<>]|.*\\[lg]e)(?=.*\1)(.+)\\\}"
        ),
        r"\2",
    ),
)


def reworded(text: str) -> str:
    """A normalised answer in the words of the grammar: sets by their relation, chosen letters, speeds."""
    if phrase := _IN_WORDS.get(plain_words(text) or ""):
        return phrase
    for pattern, replacement in _OTHER_WORDS:
        if whole := pattern.fullmatch(text):
            return whole.expand(replacement)
    return re.sub(r"\\pmod ?(\w)$", r"\\pmod{\1}", text)


def plain_words(text: str) -> str | None:
    r"""Words without their wrappers and case, as in `\text{No solution}` and `no solution`; None if it is more."""
    words = " ".join(_TEXT.sub(lambda m: f" {m.group(2)} ", text).split()).strip(" .")
    return words.casefold() if _WORDS.fullmatch(words) else None


def decimal_comma(text: str) -> str | None:
    """`0,125` and `1000,99` with a point instead; None if the text is not such a number."""
    return text.replace(",", ".") if re.fullmatch(r"-?\d+,\d+", text) else None
