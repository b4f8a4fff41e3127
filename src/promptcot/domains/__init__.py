"""Domains by name. A new one is a file with a function `domain`, and a line here."""

from __future__ import annotations

from functools import cache

from promptcot.domains import code, math
from promptcot.domains.base import Domain
from promptcot.errors import UserError

DOMAINS = {"math": math.domain, "code": code.domain}


@cache
def get(name: str, style: str) -> Domain:
    """The domain called `name`, with templates in `style` ("compact" or "promptcot2").

    Raises:
        UserError: there is no such domain.
    """
    if name not in DOMAINS:
        raise UserError(
            f"unknown domain '{name}'", expected=" or ".join(DOMAINS), do="set seeds.domain, or the rows"
        )
    return DOMAINS[name](style == "compact")
