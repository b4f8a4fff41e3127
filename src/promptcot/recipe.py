"""Reading a recipe: YAML plus `--set a.b=c`, validated before anything runs.

An unknown key or an impossible value is an error that names the key; the sections are in `promptcot.settings`.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from promptcot.errors import UserError
from promptcot.settings import Recipe, domains


def load(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Recipe:
    """Read a recipe file and apply `a.b=c` overrides (values are YAML).

    Raises:
        UserError: no such file, not YAML, unknown key, impossible value; the message names the field.
    """
    path = Path(path)
    try:
        data = read_yaml(path.read_text(encoding="utf-8"), f"'{path}'")
    except OSError as e:
        raise UserError(
            f"cannot read the recipe '{path}': {e.strerror}",
            do="promptcot run recipes/pocket.yaml, or the path of your own recipe",
        ) from None
    except UnicodeDecodeError:
        raise UserError(
            f"'{path}' is not text in UTF-8", expected="a recipe in YAML", do="start from recipes/pocket.yaml"
        ) from None
    except yaml.YAMLError as e:
        raise UserError(f"'{path}' is not valid YAML: {e}", do="check indentation and quotes there") from None
    if not isinstance(data, dict):
        raise UserError(
            f"'{path}' holds no recipe (a mapping of sections)", do="start from recipes/pocket.yaml"
        )
    return parse(data, str(path), overrides)


class _Loader(yaml.SafeLoader):
    """YAML wants the keys of a mapping to differ, and SafeLoader keeps the last of equal ones without a word."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines and key.tag != "tag:yaml.org,2002:merge":
                raise _Twice(f"the key '{key.value}' stands in line {lines[name]} and in line {line}")
            lines[name] = line
        return node


class _Twice(Exception):
    """A key stands twice in one mapping."""


def read_yaml(text: str, source: str) -> Any:
    """YAML as plain values.

    Raises:
        UserError: a key stands twice in one mapping; the message names it and both lines. yaml.YAMLError: no YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except _Twice as e:
        raise UserError(f"{source}: {e}", expected="every key once", do="make one of the two") from None


def parse(
    data: dict[str, Any], source: str = "recipe", overrides: list[str] | tuple[str, ...] = ()
) -> Recipe:
    """Validate plain data as a recipe after `overrides` (written into `data`); see `load` for what is raised.

    The recipe's own domains are known to this process from then on.
    """
    for text in overrides:
        _override(data, text)
    _share(data)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as e:
        lines = [_explain(dict(err)) for err in e.errors()]
        raise UserError(
            f"{source}: {lines[0]}", expected="; ".join(lines[1:4]), do=_advice(e, lines)
        ) from None
    domains.register(recipe.domains or [])
    return recipe


def _share(data: dict[str, Any]) -> None:
    """Give the trackers of `run.report_to` to every training that names none."""
    run = data.get("run")
    if isinstance(run, dict) and run.get("report_to"):
        for section in data.values():
            for key in ("training", "p_training"):
                if isinstance(section, dict) and isinstance(section.get(key), dict):
                    section[key].setdefault("report_to", run["report_to"])


def _advice(error: ValidationError, lines: list[str]) -> str:
    first = error.errors()[0]
    return (
        "correct that key in the recipe or in --set"
        if first["type"] != "extra_forbidden" and first["loc"][-1:] != ("[key]",)
        else "remove or rename it"
    )


def _explain(err: dict[str, Any]) -> str:
    loc = ".".join(str(p) for p in err["loc"])
    if err["type"] == "extra_forbidden":
        return _unknown(err["loc"], _known(err["loc"][:-1]))
    if err["type"] == "literal_error" and err["loc"][-1] == "[key]":  # of a mapping whose keys have names
        return _unknown(err["loc"][:-1], re.findall("'([^']+)'", err["ctx"]["expected"]))
    if err["type"] == "missing":
        return f"missing key '{loc}'"
    message = err["msg"].removeprefix("Value error, ")
    got = "" if isinstance(err["input"], dict | BaseModel) else f" (got {err['input']!r})"
    return f"'{loc}': {message}{got}" if loc else message


def _unknown(loc: tuple[Any, ...], known: list[str]) -> str:
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    hint = f", did you mean '{near[0]}'?" if near else f"; known here: {', '.join(known)}"
    return f"unknown key '{'.'.join(str(p) for p in loc)}'{hint}"


def _known(loc: tuple[Any, ...]) -> list[str]:
    model: type[BaseModel] | None = Recipe
    for part in loc:
        info = model.model_fields.get(str(part)) if model else None
        model = _section_of(info.annotation) if info else model  # a key of a mapping of sections
    return list(model.model_fields) if model else []


def _section_of(hint: Any) -> type[BaseModel] | None:
    options = getattr(hint, "__args__", (hint,))
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def _override(data: dict[str, Any], text: str) -> None:
    key, eq, value = text.partition("=")
    if not eq or not key:
        raise UserError(f"--set {text!r} has no '='", expected="--set section.key=value", do="--set em.k=4")
    *path, last = key.strip().split(".")
    node = data
    for part in path:
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            raise UserError(
                f"--set {text!r}: '{part}' is a value, not a section", do="every key is in docs/recipe.md"
            )
        node = child
    try:
        node[last] = read_yaml(value, f"--set {text!r}")
    except yaml.YAMLError:
        raise UserError(f"--set {text!r}: the value is not valid YAML", do=f"--set '{key}=\"...\"'") from None


def first_difference(old: Any, new: Any, path: str = "") -> str | None:
    """The first dotted field in which two plain values differ, with both values; None when equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(set(old) | set(new)):
            found = first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
            if found:
                return found
        return None
    return None if old == new else f"{path}: there {old!r}, here {new!r}"
