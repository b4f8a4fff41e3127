"""`pytest --fast` (`make fast`): the tests that need no model, training, server, browser or sandbox.

Which those are is read from the files: one that imports a package or a module of HEAVY, itself or through other files of
tests/ and the conftest beside it, is left out before it is imported; of the others, the tests marked slow, and those that
run programs (the fixtures of FIXTURES). A test that loads such a package all the same fails, so that the rule stays right.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest

PACKAGES = {
    "accelerate", "aiohttp", "datasets", "mkdocs", "peft", "playwright", "ray", "tensorboard", "tokenizers", "torch",
    "transformers", "trl",
}  # fmt: skip
HEAVY = PACKAGES | {
    "http.server", "tests.smoke", "promptcot.ablation", "promptcot.cli", "promptcot.corridor", "promptcot.lm.http",
    "promptcot.lm.load", "promptcot.lm.managed", "promptcot.lm.openai", "promptcot.lm.serve", "promptcot.lm.transformers",
    "promptcot.lm.vllm", "promptcot.pocket.engines", "promptcot.runner.local", "promptcot.runner.worker", "promptcot.study",
    "promptcot.train",
}  # fmt: skip
FIXTURES = {"sandbox", "runner"}
ROOT = Path(__file__).parents[1]


@cache
def needs(path: Path) -> frozenset[str]:
    """What of HEAVY a file of tests reaches."""
    found: set[str] = set()
    seen, left = set(), [path]
    while left:
        file = left.pop()
        if file in seen or not file.exists():
            continue
        seen.add(file)
        left.append(file.with_name("conftest.py"))
        for name in names(file):
            found |= {h for h in HEAVY if name == h or name.startswith(f"{h}.")}
            if name.startswith(("tests.", "benchmarks.")):
                left.append(ROOT.joinpath(*name.split(".")).with_suffix(".py"))
    return frozenset(found)


@cache
def names(file: Path) -> frozenset[str]:
    """The modules that a file imports or starts, and the names it imports from them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip":
            found.add(ast.literal_eval(node.args[0]))
        elif isinstance(node, ast.Constant) and node.value == "promptcot.cli":
            found.add(node.value)  # python -m promptcot.cli
    return frozenset(found)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="only tests without model, training, server, browser, sandbox"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.option.fast:
        return None
    file = collection_path / "conftest.py" if collection_path.is_dir() else collection_path
    return True if file.suffix == ".py" and needs(file) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.fast:
        slow = [
            i for i in items if i.get_closest_marker("slow") or FIXTURES & set(getattr(i, "fixturenames", ()))
        ]
        config.hook.pytest_deselected(items=slow)
        items[:] = [i for i in items if i not in set(slow)]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    before = set(sys.modules)
    done = yield
    if pyfuncitem.config.option.fast and (loaded := PACKAGES & (set(sys.modules) - before)):
        pytest.fail(
            f"needs {', '.join(sorted(loaded))}: mark it slow, or move it to a file that says so (tests/fast.py)"
        )
    return done
