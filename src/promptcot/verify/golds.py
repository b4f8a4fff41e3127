r"""A reference answer as a text, however its table holds it: a number, a list of one, a box, a solution with `#### N`.

All readers and commands read golds here, so that a gold means the same to all of them. What is no answer is None; what
holds none that is certain is refused with the reason, never cut to a part of it.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from promptcot.verify.boxes import after_thinking, box_spans

# What tables that were written as text say of a missing value.
MISSING = frozenset(
    ["", "None", "null", "NULL", "Null", "nan", "NaN", "NAN", "N/A", "n/a", "NA", "<NA>", "#N/A", "NaT", "-", "--", "\u2014"]
)  # fmt: skip
# GSM8K's end of a solution: on the last line, so that a heading of Markdown's fourth level is none.
_FINAL = re.compile(r"(?<!#)####(?!#)\s*([^\n#]*[^\s#])\s*\Z")
_TEXT_COMMAND = re.compile(r"\\(?:text\w*|mathrm|mbox|hbox)\s*\{([^{}]*)\}")
_MARKS = re.compile(r"\\[()\[\],;:!> ]|\\q?quad(?![a-zA-Z])|[$~*]")
_LABEL = r"(?P<label>\\?[A-Za-z]+(?:_\{?\w+\}?)?(?:\([^()]*\))?)\s*="
_BETWEEN = re.compile(
    rf"[\s,;.、，；]*(?:(?:and|or|und|oder|et|ou|y|o)(?![a-z])|[&和或与及])?[\s,;:：]*(?:{_LABEL})?\s*",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"(?:.*[^\w\\])?{_LABEL}\s*", re.DOTALL)
_AFTER = re.compile(r"[\s,;.!。]*")


def is_missing(value: object) -> bool:
    """Is this the absence of a value: None, NaN, blank, or what stands for it in a text?"""
    if isinstance(value, str):
        return value.strip() in MISSING
    return value is None or (isinstance(value, float | Decimal) and math.isnan(value))


def answer_text(value: object) -> str | None:
    r"""A gold answer as a text; None where there is none (`is_missing`).

    A list of one is its element, a number is written out (`number_text`), of a text that ends in `#### N` the answer is
    N, and a box is taken off. Several boxes that differ are one answer if only words such as "and" stand between them:
    `\boxed{1} or \boxed{-2}` is `1, -2`.

    Raises:
        ValueError: it is no text (several answers, a mapping, bytes), no finite number, or boxes amid a longer text, of
            which nobody knows the answer.
    """
    if isinstance(value, list | tuple) and len(value) < 2:  # as in OlympiadBench
        value = value[0] if value else None
    if isinstance(value, list | tuple):
        raise ValueError(f"the answer is a list of {len(value)}, not one text")
    if isinstance(value, dict | bytes):
        raise ValueError(f"the answer is a {type(value).__name__}, not one text")
    if is_missing(value):
        return None
    if isinstance(value, float | Decimal):
        return number_text(value)
    text = str(value).strip()
    text = (after_thinking(text) or text).strip()
    if final := _FINAL.search(text):
        text = final[1]
    text = _unboxed(text)
    return None if is_missing(text) else text


def number_text(value: float | Decimal) -> str:
    """All digits of a number, never `2e-05`: 0.00002. 5.0 stays 5.0.

    Raises:
        ValueError: it is not finite: a table may say infinity for what was too large for it.
    """
    if not math.isfinite(value):
        raise ValueError(f"the answer is {value}, no finite number")
    return format(Decimal(str(value)), "f")


def _unboxed(text: str) -> str:
    """The text without its box, or the texts in all its boxes as a list.

    Raises:
        ValueError: nothing in the boxes, or more than words between different ones, or names for some of them.
    """
    boxes = box_spans(text)
    if not boxes:
        return text
    boxes = [box for box in boxes if text[box.start : box.end].strip()]
    contents = [text[box.start : box.end].strip() for box in boxes]
    if not contents:
        raise ValueError("the box of the answer is empty")
    if len(set(contents)) == 1:
        return contents[0]
    ends = [0, *(box.after for box in boxes)]
    first, *between = (_plain(text[end : box.command]) for end, box in zip(ends, boxes, strict=False))
    gaps = [_BETWEEN.fullmatch(gap) for gap in between]
    said = _BEFORE.fullmatch(first[-80:])
    labels = [said and said["label"], *(gap and gap["label"] for gap in gaps)]
    own = None not in labels and len(set(labels)) == len(labels)
    if not all(gaps) or not _AFTER.fullmatch(_plain(text[ends[-1] :])):
        raise ValueError(f"{len(contents)} different boxes in the answer: {', '.join(contents)}"[:200])
    if own:
        return ", ".join(f"{label} = {content}" for label, content in zip(labels, contents, strict=True))
    if len({*labels} - {None}) > 1:
        raise ValueError(f"boxes for different names in the answer: {text}"[:200])
    return ", ".join(contents)


def _plain(text: str) -> str:
    r"""Without the marks of formulas and bold letters, and with `\text{ and }` as and."""
    return _MARKS.sub(" ", _TEXT_COMMAND.sub(r" \1 ", text))
