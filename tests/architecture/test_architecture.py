"""The house rules: imports point downward, files stay small, heavy packages stay behind their doors."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "promptcot"
FILES = sorted(SRC.rglob("*.py"))
HEAVY = {
    "torch",
    "transformers",
    "trl",
    "datasets",
    "accelerate",
    "matplotlib",
    "datasketch",
    "rapidfuzz",
    "sympy",
    "math_verify",
    "duckdb",
    "aiohttp",
    "peft",
}
AT_THE_TOP = {
    "lm/transformers.py",
    "lm/decode.py",
    "lm/scoring.py",
    "lm/kv_cache.py",
}  # imported lazily themselves
# A room may import the rooms to its left in this order, and itself.
LAYERS = [
    {"errors", "ids", "terminal"},
    {"records"},
    {"lm", "verify"},
    {"settings"},
    {"recipe", "shards"},
    {"store", "em", "domains", "curation"},
    {"team", "tracking"},
    {"rundir", "pocket", "readers", "train"},
    {"runner", "analysis"},
    {"evals"},
    {"stages", "planning"},
    {"view"},
    {
        "corridor",
        "preview",
        "showing",
        "doctor",
        "verify_cli",
        "verify_code_cli",
        "view_cli",
        "export",
        "plan_cli",
    },
    {"ablation", "study"},
    {"evaluate_cli"},
    {"cli"},
]
LEVEL = {room: n for n, layer in enumerate(LAYERS) for room in layer}
EXCEPTIONS = {("lm", "pocket")}  # the loader finds the packaged model, inside a function


def room(path: Path) -> str:
    parts = path.relative_to(SRC).parts
    return parts[0].removesuffix(".py")


def imports(path: Path, top_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_every_room_has_its_place_in_the_layers() -> None:
    rooms = {room(p) for p in FILES} - {"__init__"}
    assert rooms == set(LEVEL)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_only_downward(path: Path) -> None:
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "promptcot" and len(parts) > 1 and here != "__init__":
            there = parts[1]
            assert there == here or LEVEL[there] < LEVEL[here] or (here, there) in EXCEPTIONS, (
                f"{path} imports {name}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_heavy_packages_are_imported_inside_functions(path: Path) -> None:
    if str(path.relative_to(SRC)) in AT_THE_TOP:
        return
    top = {n.split(".")[0] for n in imports(path, top_only=True)}
    assert not top & HEAVY, f"{path} imports {top & HEAVY} at the top"


def test_em_is_pure() -> None:
    allowed = {"__future__", "collections", "collections.abc", "math", "dataclasses", "random", "numpy"}
    for path in (SRC / "em").glob("*.py"):
        assert {n for n in imports(path) if not n.startswith("promptcot.em")} <= allowed, path


def test_no_file_is_longer_than_400_lines_and_the_median_is_at_most_180() -> None:
    lengths = {p: len(p.read_text().splitlines()) for p in FILES}
    assert {str(p): n for p, n in lengths.items() if n > 400} == {}
    assert statistics.median(lengths.values()) <= 180


def test_nothing_swallows_all_exceptions() -> None:
    for path in FILES:
        if str(path.relative_to(SRC)) in (
            "verify/sandbox/imports.py",
            "verify/sandbox/program.py",
            "domains/file.py",
        ):  # these run foreign code
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else ""
                names = caught.strip("()").split(", ")
                assert not {"", "Exception", "BaseException"} & set(names), (
                    f"{path}:{node.lineno} catches everything"
                )


def test_the_readmes_file_tree_is_the_tree() -> None:
    tree = (ROOT / "README.md").read_text().partition("```tree\n")[2].partition("```")[0]
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    rooms = {p.name for p in SRC.iterdir() if p.name not in ("__pycache__", "__init__.py", "py.typed")}
    assert named == rooms


def test_the_command_line_starts_without_heavy_packages() -> None:
    code = "import sys, promptcot.cli; print(sorted(m for m in ('torch','transformers','pyarrow','numpy') if m in sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_no_tracked_file_names_a_machine_path() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".json", ""}
            and path.is_file()
            and path != Path(__file__)
        ):
            text = path.read_text(errors="ignore")
            for bad in ("/root/", "/home/", "/opt/"):
                assert bad not in text, f"{name} holds {bad}"
