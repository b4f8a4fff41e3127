"""The commands that a page shows: lines of its code blocks, indented or fenced, that begin like one."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FIRST = ("promptcot", "python", "cd", "make", "pip", "sbatch", "pytest", "ruff", "git", "echo")


@dataclass(frozen=True)
class Command:
    """One command. words: as a shell would split them; output: the file its stdout goes to; line: where it stands."""

    words: list[str]
    output: str
    page: str
    line: int

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def of_page(page: Path) -> list[Command]:
    """In order. Comments, `&` at the end and `> FILE` are taken off."""
    out, fenced, shell, lines = [], False, False, page.read_text().splitlines()
    at = 0
    while at < len(lines):
        number, text = at + 1, lines[at]
        at += 1
        if text.lstrip().startswith("```"):
            fenced, shell = not fenced, text.strip() in ("```", "```bash", "```sh")
            continue
        if not (shell if fenced else text.startswith("    ")):
            continue
        while text.endswith("\\") and at < len(lines):
            text = text[:-1] + lines[at]
            at += 1
        if text.split() and text.split()[0] in FIRST and not re.match(r"\s*\w+ (?:=|import)", text):
            try:
                words = shlex.split(text, comments=True)
            except ValueError:  # no shell: prose or code
                continue
            output = ""
            if ">" in words[:-1]:
                output = words[words.index(">") + 1]
                words = words[: words.index(">")]
            out.append(Command([w for w in words if w != "&"], output, page.name, number))
    return out
