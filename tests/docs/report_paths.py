"""The names of a report.json as docs/report.md writes them: `funnel[].stage`, mappings with free keys as one name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "report.md"
FREE = {
    "funnel[].reasons", "concepts.concepts[].shares", "tests.dropped", "tests.flags", "provenance.packages",
    "provenance.models", "provenance.digests", "recipe",
}  # fmt: skip
SAME = {"em.without_estep[]": "em.iterations[]", "total": "stages[]"}  # rows of one shape


def documented() -> set[str]:
    """The names in the page's table."""
    return set(re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE))


def names(value: Any, path: str = "") -> set[str]:
    """The names in a report, intervals and changes by the measure they belong to, empty lists and nulls left out."""
    path = next(
        (path.replace(a, b, 1) for a, b in SAME.items() if re.match(re.escape(a) + r"(\.|$)", path)), path
    )
    if path in FREE:
        return {path}
    if isinstance(value, dict):
        return set().union(*(names(v, f"{path}.{k}".strip(".")) for k, v in value.items()))
    if isinstance(value, list) and any(isinstance(v, dict) for v in value):
        return set().union(*(names(v, f"{path}[]") for v in value))
    if value is None or value == []:
        return set()
    name = re.sub(r"(_change)?(_ci95)?$", "", path)
    return set() if name.endswith(".ci95") else {name}
