"""A domain from a user's file. Whatever the file does wrong is named with its line, and is no bug of this package."""

from __future__ import annotations

import linecache
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from types import ModuleType
from typing import Any

from promptcot.domains.base import Domain
from promptcot.errors import UserError
from promptcot.settings.domains import DomainFile


def load(file: DomainFile, compact: bool) -> Domain:
    """Run the file and ask its function `domain` for the domain.

    Raises:
        UserError: the file cannot be run, or does not make a `Domain` of its own name.
    """
    make = getattr(_module(file), "domain", None)
    if not callable(make):
        raise UserError(
            f"the domain file '{file.path}' has no function 'domain'",
            expected="def domain(compact: bool) -> promptcot.domains.base.Domain",
            do="see examples/new_domain/riddles.py",
        )
    made = _guarded(make, file)(compact)
    if not isinstance(made, Domain) or made.name != file.name:
        got = f"the domain '{made.name}'" if isinstance(made, Domain) else f"a {type(made).__name__}"
        raise UserError(
            f"'{file.path}' made {got}", expected=f"a promptcot.domains.base.Domain with name='{file.name}'"
        )
    return replace(
        made,
        answer=_guarded(made.answer, file),
        malformed=_guarded(made.malformed, file),
        check=None if made.check is None else _guarded(made.check, file),
    )


def _module(file: DomainFile) -> ModuleType:
    """The file's text as a module: the text that the recipe holds, not what is on disk by now."""
    module = ModuleType(f"promptcot_domain_{file.name}_{file.digest[:8]}")
    module.__file__ = shown = f"{file.path} [{file.digest[:8]}]"
    linecache.cache[shown] = (len(file.source), None, file.source.splitlines(keepends=True), shown)
    sys.modules[module.__name__] = module  # dataclasses look their module up

    def run() -> None:
        exec(compile(file.source, shown, "exec"), module.__dict__)

    _guarded(run, file)()
    return module


def _guarded(call: Callable[..., Any], file: DomainFile) -> Callable[..., Any]:
    @wraps(call)
    def guarded(*args: Any) -> Any:
        try:
            return call(*args)
        except UserError:
            raise
        except Exception as e:
            raise UserError(
                f"the domain file '{file.path}'{_line(e, file)}: {type(e).__name__}: {e}",
                expected="functions that answer for any text: models write anything",
                do="mend the file; --fork NAME, or a new --run-dir, since the run began with this text",
            ) from e

    return guarded


def _line(error: Exception, file: DomainFile) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    mark = f"{file.path} [{file.digest[:8]}]"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == mark]
    return f", line {lines[-1]}" if lines else ""
