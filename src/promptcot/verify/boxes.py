r"""Where an answer stands in a completion: behind the thinking, in the last `\boxed{}`."""

from __future__ import annotations

import re
from typing import NamedTuple

# \boxed{, \\boxed{ (escaped twice), \boxed 5 (no braces), any other escaped character, a brace
_BRACES = re.compile(
    r"\\{1,2}(?:boxed|fbox|framebox)\s*(?:(?P<open>\{)|(?P<bare>-?\d+(?:[.,]\d+)*|[a-zA-Z](?![a-zA-Z])))|\\.|[{}]",
    re.DOTALL,
)
# What may stand between two boxes that are one answer: \boxed{3}$ or $x = \boxed{-3}
_BETWEEN = re.compile(
    r"[\s$*)]*(?:\\[)\]]\s*)?(?:(,|;)\s*)?(?:\\text\{\s*)?(and|or)?(?:\s*\})?\s*(?:\\[(\[]\s*)?[\s$*(]*(?:[a-zA-Z]\s*=\s*)?"
)


class Box(NamedTuple):
    """Where its command, its content and its end are in the text."""

    command: int
    start: int
    end: int
    after: int


def after_thinking(text: str) -> str | None:
    """What follows the last `</think>`; None if a thinking block was opened and never closed."""
    answer = text.rpartition("</think>")[2]
    return None if "<think>" in answer else answer


def extract_boxed(text: str) -> str | None:
    r"""The content of the last balanced `\boxed{}` or `\fbox{}` after the thinking.

    Several boxes joined by "and", "or" or a comma are one answer. None if there is no box, if it is blank, or if the
    text ends inside the thinking. A number outside a box is never taken for the answer.
    """
    answer = after_thinking(text)
    return None if answer is None else last_box(answer).strip() or None


def last_box(text: str) -> str:
    """The last box with those that it is joined to; empty if there is none."""
    found = [box for box in box_spans(text) if text[box.start : box.end].strip()]
    if not found:
        return ""
    content = text[found[-1].start : found[-1].end]
    for box, following in zip(reversed(found[:-1]), reversed(found)):
        joined = _BETWEEN.fullmatch(text[box.after : following.command])
        if joined is None or not (joined[1] or joined[2]):
            break
        before = text[box.start : box.end]
        if before.strip() != content.strip():
            content = before + (r" \text{ or } " if joined[2] == "or" else ", ") + content
    return content


def box_spans(text: str) -> list[Box]:
    """Every closed box without a box in it. One pass over all braces, so that a text full of unclosed boxes costs no more than any other."""
    opened: list[
        tuple[int, int]
    ] = []  # (where its command stands, or -1 for a plain brace; where the content starts)
    found: list[Box] = []
    for match in _BRACES.finditer(text):
        token = match.group()
        if match["bare"]:
            found.append(Box(match.start(), match.start("bare"), match.end(), match.end()))
        elif match["open"] or token == "{":
            opened.append((match.start() if match["open"] else -1, match.end()))
        elif token == "}" and opened:
            command, start = opened.pop()
            if command >= 0 and (not found or start > found[-1].start):  # not around another box
                found.append(Box(command, start, match.start(), match.end()))
    return found


def balanced(text: str) -> bool:
    """Is every brace closed?"""
    depth = 0
    for match in _BRACES.finditer(text):
        depth += bool(match["open"]) or match.group() == "{"
        depth -= match.group() == "}"
        if depth < 0:
            return False
    return depth == 0
