"""Every command of the README and the pages: the command line knows it, its recipe loads, its keys exist.

What the tutorials show is also run, at a small size: tests/smoke/test_served_recipe.py, test_new_domain.py, test_tutorials.py.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.docs.commands import Command, of_page

from promptcot.cli import EXAMPLES, app
from promptcot.recipe import load

ROOT = Path(__file__).parents[2]
GENERATED = ("cli.md", "recipe.md", "errors.md")
PAGES = [ROOT / "README.md", *(p for p in sorted((ROOT / "docs").glob("*.md")) if p.name not in GENERATED)]
COMMANDS = [c for page in PAGES for c in of_page(page)]
OURS = [c for c in COMMANDS if c.words[0] == "promptcot"]
OTHERS = [c for c in COMMANDS if c.words[0] not in ("promptcot", "cd")]
ELLIPSIS = "..."


def parsed(words: list[str]) -> Any:
    """The context of the innermost command; wrong options and missing arguments raise."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("promptcot", list(words), resilient_parsing=False)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    return context


@pytest.mark.parametrize("command", OURS, ids=str)
def test_the_command_line_knows_it(command: Command) -> None:
    words = [w for w in command.words[1:] if w != ELLIPSIS]
    assert parsed(words).command is not None


@pytest.mark.parametrize("command", [c for c in OURS if any(w.endswith(".yaml") for w in c.words)], ids=str)
def test_its_recipe_loads_with_its_keys(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (recipe,) = [w for w in command.words if w.endswith(".yaml")]
    sets = [value for flag, value in pairwise(command.words) if flag == "--set"]
    if recipe == "my.yaml":
        recipe = "recipes/pocket.yaml"
    monkeypatch.chdir(ROOT / "examples" / "new_domain" if recipe == "riddles.yaml" else ROOT)
    if "studies/" not in recipe:
        assert load(recipe, sets).name


def test_the_recipe_for_released_problems_loads_and_lets_a_thinking_model_finish(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "exports.md").read_text()
    (text,) = re.findall(r"^```yaml\n(name: .*?)^```$", page, re.M | re.S)
    (tmp_path / "released.yaml").write_text(text)
    recipe = load(tmp_path / "released.yaml")
    assert recipe.label is not None
    assert recipe.selfplay is not None
    solver = recipe.selfplay
    assert recipe.label.sampling.max_tokens == solver.sampling.max_tokens == 16384
    assert solver.sampling.max_tokens < solver.training.max_tokens


@pytest.mark.parametrize("command", OTHERS, ids=str)
def test_what_else_is_typed_is_there(command: Command) -> None:
    """Scripts exist, extras are ours, make has the target."""
    first, *rest = command.words
    if first == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text()
    elif first == "pip":
        extras = rest[-1].partition("[")[2].rstrip("]").split(",")
        import tomllib

        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(extras) <= set(known)
    else:
        places = [w for w in rest if w.endswith((".py", ".sbatch"))]
        assert places or first in ("pytest", "echo") or rest[:2] == ["-m", "venv"]
        for place in places:
            assert (ROOT / place).exists() or (ROOT / "examples" / "new_domain" / place).exists(), place


@pytest.mark.parametrize("example", EXAMPLES.values())
def test_the_example_under_a_commands_help_is_one_it_takes(example: str) -> None:
    words = shlex.split(example)
    context = parsed(words[1:])
    assert f"Example: {example}" in " ".join(str(context.command.epilog).split())


def test_an_option_that_is_not_there_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):  # a usage error, of click or of its copy in Typer
        parsed(["run", "my.yaml", "--nope"])


def test_commands_are_found() -> None:
    assert len(OURS) >= 40
