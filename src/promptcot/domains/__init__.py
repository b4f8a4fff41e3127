"""Domains by name: math, code, and those of the recipe's own files (`domains: [FILE.py]`, docs/new-domain.md)."""

from __future__ import annotations

from functools import cache

from promptcot.domains import code, file, math
from promptcot.domains.base import Domain
from promptcot.errors import UserError
from promptcot.settings.domains import FILES

DOMAINS = {"math": math.domain, "code": code.domain}


def known(name: object) -> bool:
    """Is there a domain of this name?"""
    return isinstance(name, str) and (name in DOMAINS or name in FILES)


def get(name: str, style: str) -> Domain:
    """The domain called `name`, with templates in `style` ("compact" or "promptcot2").

    Raises:
        UserError: there is no such domain, or its file does not work.
    """
    if name in DOMAINS:
        return DOMAINS[name](style == "compact")
    if name in FILES:
        return _own(FILES[name], style == "compact")
    raise UserError(
        f"unknown domain '{name}'", expected=" or ".join([*DOMAINS, *FILES]),
        do=f"set seeds.domain, or the rows'; a new domain is one file: --set 'domains=[{name}.py]' (docs/new-domain.md)",
    )  # fmt: skip


_own = cache(file.load)
