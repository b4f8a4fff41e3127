r"""Where an answer stands in a completion: behind the thinking, in the last `\boxed{}`."""

from __future__ import annotations

import re
from typing import NamedTuple

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


class Box(NamedTuple):
    """Where in a text its command and its content begin, where the content ends, and where the text goes on."""

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

    None if there is no such box, if it is blank, or if the text ends inside the thinking. A number outside
    a box is never taken for the answer.
    """
    answer = after_thinking(text)
    return None if answer is None else last_box(answer).strip() or None


def last_box(text: str) -> str:
    """The content of the last closed box; empty if there is none."""
    return next((text[box.start : box.end] for box in reversed(box_spans(text))), "")


def all_boxes(text: str) -> list[str]:
    """The contents of all closed boxes, in order; of a box in a box, the inner one."""
    return [text[box.start : box.end].strip() for box in box_spans(text)]


def box_spans(text: str) -> list[Box]:
    """Every closed box without a box in it. One pass over all braces, so that a text full of unclosed boxes costs no more
    than any other."""
    opened: list[tuple[int, int, bool]] = []  # (where the command and the content begin, is it a box)
    found: list[Box] = []
    for match in _BRACES.finditer(text):
        token = match.group()
        if token.endswith("{") and token != r"\{":
            opened.append((match.start(), match.end(), len(token) > 1))
        elif token == "}" and opened:
            command, start, is_box = opened.pop()
            if is_box and not (found and found[-1].command > command):
                found.append(Box(command, start, match.start(), match.end()))
    return found


def balanced(text: str) -> bool:
    """Is every brace closed?"""
    depth = 0
    for match in _BRACES.finditer(text):
        token = match.group()
        depth += token.endswith("{") and token != r"\{"
        depth -= token == "}"
        if depth < 0:
            return False
    return depth == 0
