"""docs/troubleshooting.md quotes messages that the code has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE)


def said() -> list[str]:
    """Every text in the code, with `...` for what is filled in."""
    out = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                out.append(
                    "".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                out.append(node.value)
    return out


SAID = said()


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_on_the_page_is_one_of_the_codes(message: str) -> None:
    pattern = re.compile(r"(?:.*?)".join(re.escape(part) for part in message.split("...")))
    assert any(pattern.search(text) for text in SAID), message


def test_the_page_has_messages() -> None:
    assert len(QUOTED) >= 15
