r"""One spelling for answers that differ only in typography."""

from __future__ import annotations

import re
from functools import lru_cache

from promptcot.verify.typography import plain

TEXT_COMMANDS = r"\\(?:text|textrm|textbf|textit|textnormal|textsf|mathrm|mathbf|mathit|mathsf|mbox|hbox)"
# A thin space or {,} groups digits only in threes and never after a leading 0: 1{,}5 may be a decimal comma.
_THIN_GROUPS = re.compile(r"(?<![\d.,}])[1-9]\d{0,2}(?:(?:\\,|\{,\})\d{3})+(?!\d)")
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # A row break \\ before a space is not the space command.
        (r"(?<!\\)\\[,;:/> ]|~", " "),
        (r"(?:\{\s*\}\s*)?\^\s*(?:\\circ|\{\s*\\circ\s*\})(?![a-zA-Z])", r"\\degree "),
        (r"(?<=\d)\s*\^\s*(?:o(?![a-zA-Z])|\{\s*(?:\\text\{)?\s*o\s*\}?\s*\})", r"\\degree "),
        # != is not equal, as programs write it, but 3! = 6 has a factorial.
        (r"(?<!\d)!=(?!=)", r"\\ne "),
        (r"\b(sq|cu)\. ?(?=[a-z])", r"\1 "),
        # $ in pairs delimits mathematics; one before a number is a currency.
        (r"(?<!\\)\$(?=[^$]*\$)([^$]*)\$", r"\1"),
        (r"^(-?)\s*\$\s*(?=[\d.])", r"\1\\$"),
        (r"(?<!\\)\$|(?<!\\)\\[()\[\]]", ""),
        (
            r"\\?%|(?<=[\d}])\s*(?:percent|per cent|percentage|pct)(?![a-z])"
            r"|\\(?:text|mathrm)\{\s*(?:percent|per cent|\\?%)\s*\}",
            "%",
        ),
        # \frac12, \frac1{2} and \frac{1}2 are all \frac{1}{2}.
        (r"\\frac\s*([0-9a-zA-Z])", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9a-zA-Z])", r"\1{\2}"),
        (r"\\overline\s*(\d)", r"\\overline{\1}"),
        (r"\{([a-zA-Z])\}(?=\s*_)", r"\1"),
    )
)
_SWISS = re.compile(r"(?<![\d.'])\d{1,3}(?:'\d{3})+(?![\d'])")
# Two relations with a wide space or a new line between them are two parts of an answer.
_APART = re.compile(r"(=[^=,;&]+?)(?:\\q?quad(?![a-z])|\\\\(?!\\|\[))\s*(?=[a-zA-Z_\d{}]+\s*=)")
_GROUPED = re.compile(r"-?[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+)(?:[.][0-9]+)?")
_PHRASE = re.compile(
    r"^(?:(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?\s*[:=]?\s*(?=\\?[$(\[\d-]|[A-H]\)?\.?$)"
    r"|(?:\u6700[\u5927\u5c0f]|(?![\u4e0d\u975e\u65e0\u6ca1\u5927\u5c0f\u81f3\u8d85\u8fd1\u534a\u500d\u8d1f\u51cf\u9664\u53cd\u9519\u5c11\u591a])[\u4e00-\u9fff])+?\s*(?:[\u662f\u4e3a\u70ba]|\u7b49\u4e8e|:)\s*"
    r"|(?:\u4e00\u5171|\u603b\u5171|\u5171)(?=\d))",
    re.IGNORECASE,
)
# Commas in threes, the only ones of an answer without brackets: 12,345 with a unit, a name or a sign around it.
_GROUPED_WITHIN = re.compile(r"([^,;()\[\]{}\d]*)([1-9]\d{0,2}(?:,\d{3})+)((?![\d,])[^,;()\[\]]*)")
_WRAPPER = re.compile(TEXT_COMMANDS + r"\s*\{")
_TEXT = re.compile("(" + TEXT_COMMANDS + r"\s*\{)([^{}]*)\}")
_END_MARK = re.compile(r"(?<![.,\\])[.,;]$")  # one mark ends a sentence, three mean "and so on"
# 2 1/2 is a mixed number where a whole number stands before a proper fraction.
_MIXED = re.compile(r"(?<![\w.,/^_}\\])(\d+) +(\d+)/(\d+)(?![\w/^!.(]|\\(?!text|mathrm|%))")
_TIGHT = re.compile(r"(?<=\w)\s+(?=\w)")


@lru_cache(maxsize=1024)  # asked several times about the same gold
def normalize(answer: str) -> str:
    r"""One spelling for answers that differ only in typography.

    Spaces go, except where two words or numbers would run together; `\left`, `\,`, `$` and a trailing full
    stop go; `\dfrac12` becomes `\frac{1}{2}`; `12,345` becomes `12345` if it is the whole answer. Units and a
    leading `x =` stay: what they mean is decided on the parsed answer.
    """
    text = answer.strip().rstrip("\\")
    if text.isascii() and text.isdigit():
        return text
    if "\\begin" not in text:
        text = _APART.sub(r"\1,", text)
    text = text.replace(r"{\,}", r"\,")
    text = re.sub(r"\\!\s*", "", text)  # 11,\! 111 groups digits
    text = _THIN_GROUPS.sub(lambda m: m.group().replace(r"\,", "").replace("{,}", ""), text)
    text = _PHRASE.sub("", plain(text).strip())
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = text.replace("{,}", ",").strip().removeprefix("\\\\")
    text = _END_MARK.sub("", text.strip()).strip()
    while inner := _inside(text):
        text = _END_MARK.sub("", inner.strip()).strip()
    text = _SWISS.sub(lambda m: m.group().replace("'", ""), text)
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "").replace(" ", "")
    if grouped := _GROUPED_WITHIN.fullmatch(text):
        text = grouped.group(1) + grouped.group(2).replace(",", "") + grouped.group(3)
    text = _MIXED.sub(_mixed, text)
    text = _TEXT.sub(lambda m: m.group(1) + m.group(2).strip() + "}", text)
    return re.sub(r"\s+", "", _TIGHT.sub("\0", text)).replace("\0", " ")


def _inside(text: str) -> str:
    """What a command of text around the whole answer holds; empty if there is none."""
    whole = _WRAPPER.match(text)
    if not whole or not text.endswith("}"):
        return ""
    depth = 0
    for i in range(whole.end() - 1, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if not depth:
            return text[whole.end() : i] if i == len(text) - 1 else ""
    return ""


def _mixed(match: re.Match[str]) -> str:
    whole, top, bottom = match.groups()
    return rf"{whole}\frac{{{top}}}{{{bottom}}}" if int(top) < int(bottom) else match.group()
