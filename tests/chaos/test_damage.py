"""Damage to files on disk: repaired by the same command where rows can be made again, named with what to do where not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.killing import digests
from typer.testing import CliRunner

from promptcot.cli import app
from promptcot.corridor import execute
from promptcot.errors import UserError
from promptcot.recipe import parse
from promptcot.runner.progress import Reporter
from promptcot.settings import Recipe

ANNOTATORS = {"precise": {"engine": "pocket-annotator", "model": "precise"}}


def recipe() -> Recipe:
    """Two stages that need no model: a table and a map of three shards, with their report."""
    return parse(
        {
            "name": "damage", "templates": "compact", "run": {"shard_rows": 8, "workers": 1},
            "seeds": {"source": "pocket", "count": 20, "heldout": 4}, "annotate": {"annotators": ANNOTATORS},
        }
    )  # fmt: skip


def run(path: Path, stages: list[str] | None = None) -> None:
    execute(recipe(), stages or recipe().stages(), Reporter(quiet=True), str(path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "r"
    run(path)
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "r"))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x10
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


REPAIRED: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a flipped bit in a table": ("01_seeds/seeds/part-00000.parquet", flip),
    "a truncated shard": ("01_seeds/seeds/part-00000.parquet", cut),
    "a shard that is gone": ("01_seeds/seeds/part-00000.parquet", Path.unlink),
    "a cut last line": ("02_annotate/triples/commits.jsonl", cut),
    "no lines at all": ("01_seeds/seeds/commits.jsonl", Path.unlink),
    "no totals": ("02_annotate/triples/done.json", Path.unlink),
}


@pytest.mark.parametrize("name", REPAIRED)
def test_the_same_command_repairs(name: str, whole: Path, copy: Path) -> None:
    file, damage = REPAIRED[name]
    damage(copy / file)
    run(copy)
    assert digests(copy) == digests(whole)
    assert CliRunner().invoke(app, ["show", str(copy), "--check"]).exit_code == 0


BEYOND = {
    "01_seeds/seeds/step.json": "delete the folder",
    "02_annotate/triples/done.json": "delete the folder",
    "run.json": "restore it, or start anew with --run-dir DIR",
}


@pytest.mark.parametrize("file", BEYOND)
def test_what_cannot_be_repaired_is_named_with_what_to_do(file: str, whole: Path, copy: Path) -> None:
    cut(copy / file)
    with pytest.raises(UserError) as told:
        run(copy)
    assert f"'{copy / file}' is damaged" in told.value.seen
    assert BEYOND[file] in told.value.do
    if "folder" in told.value.do:  # and the advice is right
        shutil.rmtree((copy / file).parent)
        run(copy)
        assert digests(copy) == digests(whole)


def test_a_stage_alone_names_the_file_and_the_stage_that_makes_it_again(whole: Path, copy: Path) -> None:
    file = copy / "01_seeds" / "seeds" / "part-00000.parquet"
    flip(file)
    shutil.rmtree(copy / "02_annotate")
    with pytest.raises(UserError, match="promptcot seeds RECIPE") as told:
        run(copy, ["annotate"])
    assert str(file) in told.value.seen
    run(copy, ["seeds"])
    run(copy, ["annotate"])
    assert digests(copy) == digests(whole)


def test_check_reads_what_nobody_else_reads_and_says_what_to_do(whole: Path, copy: Path) -> None:
    file = copy / "02_annotate" / "triples" / "part-00001.parquet"
    flip(file)
    shown = CliRunner().invoke(app, ["show", str(copy), "--check"])
    assert shown.exit_code == 1
    assert str(file) in shown.stdout.replace("\n", "")
    assert "1 damaged files" in shown.stdout
    assert f"try: rm -f '{file}'; then promptcot run" in shown.stdout.replace("\n", "")
    file.unlink()
    run(copy)
    assert digests(copy) == digests(whole)
    assert CliRunner().invoke(app, ["show", str(copy), "--check"]).exit_code == 0
