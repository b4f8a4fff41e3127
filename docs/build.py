"""Writes the pages that repeat the code: `python docs/build.py`. A test fails when they are stale.

docs/cli.md, docs/recipe.md and docs/errors.md whole; in docs/new-domain.md the files that a comment names, as code behind it.
"""

from __future__ import annotations

import html
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from promptcot.settings import STAGES, Recipe

DOCS = Path(__file__).parent
ROOT = DOCS.parent
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
        for item in _nested(field.annotation):
            if inspect.isclass(item) and issubclass(item, BaseModel):
                found.append((key, item))
    return found


def _nested(hint: Any) -> list[Any]:
    """A type and all it is made of."""
    return [hint, *(part for arg in get_args(hint) for part in _nested(arg))]


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


def new_domain() -> str:
    """The page with the example's files as they are."""
    text = (DOCS / "new-domain.md").read_text()

    def with_file(found: re.Match[str]) -> str:
        path = ROOT / found[1]
        language = {".py": "python", ".yaml": "yaml"}[path.suffix]
        return f"<!-- {found[1]} -->\n```{language}\n{path.read_text()}```\n"

    return re.sub(r"<!-- (examples/\S+) -->\n(?:```.*?\n```\n)?", with_file, text, flags=re.DOTALL)


ERRORS_HEAD = """# What wrong use gets

Written from `docs/errors.yaml` by `python docs/build.py`; a test types every line and compares message and exit code. Names of
files stand for what they say. What to do about the frequent ones: [troubleshooting.md](troubleshooting.md).

| exit code | when |
|---|---|
| 0 | done |
| 1 | done, and something was found: damaged files (`show --check`), references that cannot judge (`verify gold`), no sandbox (`doctor`); or, with a traceback, a bug |
| 2 | wrong use, wrong input or an environment that does not serve: the message says what to type next |
| 130 | interrupted (Ctrl-C); the message has the command that goes on |
"""


def errors() -> str:
    """A table per group of wrong uses."""
    out = [ERRORS_HEAD]
    for group in yaml.safe_load((DOCS / "errors.yaml").read_text()):
        out += [
            f"## {group['group']}",
            "",
            "| what | typed | part of the message | exit |",
            "|---|---|---|---|",
        ]
        for case in group["cases"]:
            typed, said = (_shown(case[k]) for k in ("type", "said"))
            out.append(f"| {case['what']} | `promptcot {typed}` | `{said}` | {case.get('exit', 2)} |")
        out.append("")
    return "\n".join(out)


def _shown(text: str) -> str:
    for key, value in {"{tiny}": "recipes/tiny.yaml", "{port}": "8000", "{closed}": "8001"}.items():
        text = text.replace(key, value)
    return text.replace("|", "\\|")


DRAWN = (  # of each stage: what it writes
    ("seeds", "problems x, some held out"), ("annotate", "triples (c, z, x)"), ("coldstart", "q0 and p0"),
    ("em", "q and p, the best iteration"), ("synthesize", "new (z, x) from concepts c"), ("curate", "what is worth a label"),
    ("label", "answers, unit tests"), ("selfplay", "a better solver"), ("distill", "a student"),
    ("evaluate", "before and after"), ("analyze", "intervals, curves"), ("report", "report.html"),
)  # fmt: skip


def corridor() -> str:
    """The corridor as a drawing: the stages in three rows, each with what it writes."""
    assert [name for name, _ in DRAWN] == list(STAGES)
    width, height, gap = 210, 64, 34
    parts = []
    for n, (name, made) in enumerate(DRAWN):
        x, y = 10 + n % 4 * (width + gap), 10 + n // 4 * (height + gap)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
            f'<text x="{x + 12}" y="{y + 26}" class="name">{n + 1}. {name}</text>'
            f'<text x="{x + 12}" y="{y + 48}">{made}</text>'
        )
        if n + 1 < len(DRAWN):
            middle = y + height // 2
            turn = n % 4 == 3
            path = (
                f"M{x + width} {middle}h{gap - 6}"
                if not turn
                else f"M{x + width // 2} {y + height}v{gap // 2}H{10 + width // 2}v{gap // 2 - 6}"
            )
            parts.append(f'<path d="{path}" marker-end="url(#tip)"/>')
    style = (
        "rect{fill:#f4f6fa;stroke:#46587a}text{font:13px sans-serif;fill:#1b2436}.name{font-weight:bold}"
        "path{stroke:#46587a;fill:none;stroke-width:1.5}"
    )
    tip = '<marker id="tip" markerWidth="8" markerHeight="8" refX="2" refY="4" orient="auto"><path d="M1 1l5 3-5 3"/></marker>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {4 * width + 3 * gap + 20} {3 * height + 2 * gap + 20}" role="img" '
        f'aria-label="The twelve stages"><style>{style}</style><defs>{tip}</defs>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


PAGES = {
    "corridor.svg": corridor,
    "cli.md": cli,
    "recipe.md": recipe,
    "new-domain.md": new_domain,
    "errors.md": errors,
}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()
