r"""Where an answer stands in a completion: behind the thinking, in the last `\boxed{}`."""

from __future__ import annotations

import re

_BRACES = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)


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
