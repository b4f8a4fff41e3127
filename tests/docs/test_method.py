"""docs/method.md names a place in the code for every equation; the places exist, and link to the right line."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "method.md").read_text()
NAMED = re.findall(r"\[`(src/[\w/]+\.py):(\d+)` `(\w+)`\]\(\.\./\1#L(\d+)\)", TEXT)


def lines_of(path: Path) -> dict[str, int]:
    """Line of every function and class of a file, methods by their own name."""
    found = ast.walk(ast.parse(path.read_text()))
    return {n.name: n.lineno for n in found if isinstance(n, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize(("path", "line", "name", "anchor"), NAMED, ids=lambda v: str(v))
def test_an_equation_is_where_the_page_says(path: str, line: str, name: str, anchor: str) -> None:
    there = lines_of(ROOT / path)
    assert name in there, f"{path} has no {name}"
    assert int(line) == int(anchor) == there[name], f"docs/method.md: {name} is at {path}:{there[name]}"


def test_every_place_has_a_line_and_the_equations_of_the_paper_are_there() -> None:
    assert len(NAMED) >= 25
    assert not re.findall(r"`src/[\w/]+\.py`", TEXT)
    for equation in ("Eq. 2", "Eq. 5", "ELBO", "KL(q || p(z|c))"):
        assert equation in TEXT
