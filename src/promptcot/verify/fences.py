"""Fenced code blocks in a text: Markdown's rules (CommonMark 0.31, section 4.5), and what models write beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_FENCE = re.compile(r"(?P<lead>[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(?P<fence>`{3,}|~{3,})(?P<info>.*)")
_LANGUAGE = re.compile(r"[{.\s]*([\w+#-]+)")
_PYTHON = re.compile(r"[ic]?py(?:thon|py)?[\d.]*")
_TAB = 4


@dataclass
class Block:
    """A fenced block. language: the first word behind its fence, in lower case; closed: by a fence of its own."""

    language: str
    fence: str
    lead: str = ""
    closed: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def content(self) -> str:
        """Its lines, without the indentation of its fence."""
        width = len(self.lead.expandtabs(_TAB))
        return "\n".join(_dedented(line, width) for line in self.lines) + "\n"

    @property
    def is_python(self) -> bool:
        """Does its fence say so?"""
        return bool(_PYTHON.fullmatch(self.language))


def fenced_blocks(text: str) -> list[Block]:
    """All blocks, in order; the last one may be without its closing fence.

    A fence is three or more backticks or tildes; the closing one is of the same sign and as long, and not indented
    like code within the block. An opening fence of the same kind inside an unclosed block starts anew, as models
    do after an interruption. A block that is said to be Markdown counts as the blocks in it.
    """
    return [inner for block in _blocks(text) for inner in _inside(block)]


def _blocks(text: str) -> Iterator[Block]:
    block: Block | None = None
    for line in text.split("\n"):
        kind, found = _kind(line, block)
        if block is not None and kind == "close":
            block.closed = True
            yield block
            block = None
        elif kind == "open":
            block = found
        elif block is not None:
            block.lines.append(line)
    if block is not None:
        block.lines = _cut(block)
        yield block


def _kind(line: str, block: Block | None) -> tuple[str, Block | None]:
    """Does a line open a block, close this one, or neither?"""
    found = _FENCE.fullmatch(line.rstrip())
    if found is None:
        return "text", None
    lead, fence, info = found["lead"], found["fence"], found["info"].strip()
    if block is not None:
        width = len(lead.expandtabs(_TAB)) - len(block.lead.expandtabs(_TAB))
        if fence[0] != block.fence[0] or len(fence) < len(block.fence) or width >= _TAB:
            return "text", None
        if not info:
            return ("text", None) if lead.strip() else ("close", None)
    if fence[0] == "`" and "`" in info:  # code within a line
        return "text", None
    language = _LANGUAGE.match(info)
    return "open", Block(language[1].lower() if language else "", fence, lead)


def _cut(block: Block) -> list[str]:
    """The lines of a block that no fence closed, up to what may have been meant as one: at the end of a line, or shorter."""
    sign = block.fence[0] * 3
    for i, line in enumerate(block.lines):
        if (bare := line.rstrip()).endswith(sign):
            return [*block.lines[:i], bare.rstrip(sign[0])]
    return block.lines


def _inside(block: Block) -> list[Block]:
    return (block.language in ("markdown", "md") and list(_blocks(block.content))) or [block]


def _dedented(line: str, width: int) -> str:
    """Without up to `width` columns of blanks at its start."""
    column = at = 0
    while at < len(line) and line[at] in " \t" and column < width:
        column += _TAB - column % _TAB if line[at] == "\t" else 1
        at += 1
    return line[at:]
