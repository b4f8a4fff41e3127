"""Writes docs/cli.md and docs/recipe.md from the code: `python docs/build.py`. A test fails when they are stale."""

from __future__ import annotations

import html
import inspect
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from promptcot.settings import Recipe

DOCS = Path(__file__).parent
RECIPE_HEAD = """# Recipe

Every key of a recipe, by section; written from the code by `python docs/build.py`. A stage runs when its section is present.
Keys marked * change only speed or looks: a run directory goes on when they differ, and refuses when any other does.
"""


def cli() -> str:
    """The command line, as Typer's own generator writes it."""
    command = [sys.executable, "-m", "typer", "promptcot.cli", "utils", "docs", "--name", "promptcot"]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return html.unescape(made).rstrip() + "\n"


def recipe() -> str:
    """One table per section, sections of sections after the one that first names them."""
    out, seen = [RECIPE_HEAD], set[type[BaseModel]]()
    todo: list[tuple[str, type[BaseModel]]] = [("", Recipe)]
    while todo:
        name, model = todo.pop(0)
        if model in seen:
            continue
        seen.add(model)
        out.append(section(name, model))
        found = [(f"{name}.{key}".strip("."), part) for key, part in parts(model)]
        todo = [*todo, *found] if model is Recipe else [*found, *todo]
    return "\n".join(out)


def section(name: str, model: type[BaseModel]) -> str:
    """Heading, what the docstring says, and the table of a section."""
    text = inspect.cleandoc(model.__doc__ or "")
    rows = [
        f"## `{model.__name__}`",
        "",
        text,
        "",
        *([] if model is Recipe else [f"As `{name}`."]),
        "",
        "| key | type | default |",
        "|---|---|---|",
    ]
    for key, field in model.model_fields.items():
        extra = field.json_schema_extra
        free = isinstance(extra, dict) and extra.get("matters") is False
        rows.append(f"| `{key}`{'*' if free else ''} | {kind(field.annotation)} | {default(field)} |")
    return "\n".join(rows) + "\n"


def parts(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    """The sections named in the fields of a section."""
    found = []
    for key, field in model.model_fields.items():
        for item in (field.annotation, *get_args(field.annotation)):
            if inspect.isclass(item) and issubclass(item, BaseModel):
                found.append((key, item))
    return found


def kind(hint: Any) -> str:
    """A type in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{a}`" for a in args).replace("|", "\\|")
    if origin in (Union, UnionType):
        return " or ".join(kind(a) for a in args if a is not type(None))
    if origin in (list, dict):
        return f"{origin.__name__} of " + ", ".join(kind(a) for a in args)
    if hasattr(hint, "__metadata__"):
        return kind(args[0])
    name = getattr(hint, "__name__", str(hint))
    return f"[`{name}`](#{name.lower()})" if inspect.isclass(hint) and issubclass(hint, BaseModel) else name


def default(field: Any) -> str:
    """The default of a field; what is required is said in bold."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "**required**"
    if isinstance(value, BaseModel):
        changed = value.model_dump(exclude_defaults=True)
        return f"`{changed}`" if changed else "its own"
    return "none" if value is None else f"`{value}`" if value != "" else "empty"


PAGES = {"cli.md": cli, "recipe.md": recipe}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
