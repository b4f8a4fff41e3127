"""How values look on the explorer's pages, and how a filter travels in an address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from promptcot.errors import UserError
from promptcot.view.queries import Filter, Table

CELL = 200  # characters of a text in a table
GIST = (
    "reason",
    "verdict",
    "problem",
    "rationale",
    "text",
    "prompt",
)  # the first that a row has says what it is
HIDDEN = ("z_ids",)  # token ids say nothing to a reader
LONG_LIST = 12
LONG_TEXTS = (
    "concepts",
    "rationale",
    "problem",
    "text",
    "prompt",
    "chosen",
    "rejected",
    "response",
    "detail",
)


def environment() -> Environment:
    """The templates, with the report's style sheet beside them."""
    loader = ChoiceLoader([PackageLoader("promptcot.view", ""), PackageLoader("promptcot.analysis", "")])
    env = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(cell=cell, gist=gist, whole=whole, thousands=lambda n: f"{n:,}")
    env.globals.update(address=address)
    return env


def read_filter(query: Mapping[str, str], table: Table) -> Filter:
    """The filter of an address: q, concept, low, high, where, and any column by its name.

    Raises:
        UserError: a bound that is no number.
    """
    try:
        low, high = float(query.get("low") or 0.0), float(query.get("high") or 1.0)
    except ValueError:
        raise UserError("a bound of the solve rate is no number", expected="numbers from 0 to 1") from None
    equals = {c: v for c, v in query.items() if c in table.columns and v}
    return Filter(query.get("q", ""), equals, query.get("concept", ""), low, high, query.get("where", ""))


def address(path: str, where: Filter | None = None, **extra: Any) -> str:
    """A link to `path` that keeps the filter."""
    found: dict[str, Any] = {}
    if where:
        found = {"q": where.text, "concept": where.concept, "where": where.where, **where.equals}
        if where.by_rate:
            found |= {"low": f"{where.low:g}", "high": f"{where.high:g}"}
    query = {k: v for k, v in (found | extra).items() if v not in ("", None)}
    return f"{path}?{urlencode(query)}" if query else path


def shown(table: Table) -> list[str]:
    """The columns of a table's page: short ones first, ids of other rows last."""
    names = [c for c in table.columns if c != "id" and c not in HIDDEN]
    order = {
        c: (c in table.references, table.columns[c] == "VARCHAR" and c not in table.facets) for c in names
    }
    return sorted(names, key=lambda c: order[c])


def cell(value: Any) -> str:
    """A value in a table: one line, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        if all(isinstance(v, str) for v in value):
            return cell(", ".join(value))
        return f"{len(value)} entries"
    text = " ".join(str(value).split())
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def whole(value: Any) -> str:
    """A value on its own page: all of it, except long lists of numbers."""
    if value is None:
        return "—"
    if isinstance(value, list) and len(value) > LONG_LIST and all(isinstance(v, int) for v in value):
        return f"{len(value)} numbers"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def gist(row: dict[str, Any]) -> str:
    """A row in one line."""
    return next((cell(row[name]) for name in GIST if row.get(name)), "")
