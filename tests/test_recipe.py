"""Recipes: typos, impossible values and overrides are settled when the recipe is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.recipe import first_difference, load, parse

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
MINIMAL = {"name": "r", "seeds": {"source": "pocket", "count": 4}}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_shipped_recipe_is_valid(path: Path) -> None:
    assert load(path).stages()[0] == "seeds"


def test_an_unknown_key_is_an_error_that_names_the_likely_one() -> None:
    with pytest.raises(UserError, match=r"unknown key 'seeds\.cuont', did you mean 'count'"):
        parse({**MINIMAL, "seeds": {"source": "pocket", "cuont": 4}})


@pytest.mark.parametrize("section", ["seeds", "synthesize"])
def test_a_misspelt_record_field_is_an_unknown_key(section: str) -> None:
    given = {"seeds": {"source": "jsonl", "path": "x"}, "synthesize": {"path": "x"}}
    given[section]["fields"] = {"prblem": "x"}  # type: ignore[assignment]
    with pytest.raises(UserError, match=rf"unknown key '{section}\.fields\.prblem', did you mean 'problem'"):
        parse({"name": "r", **given})


def test_a_key_that_is_written_twice_is_an_error_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: r\nseeds: {source: pocket}\nem:\n  k: 4\nrun: {seed: 1}\nem:\n  k: 8\n")
    with pytest.raises(UserError, match=r"r\.yaml': the key 'em' stands in line 3 and in line 6"):
        load(path)
    path.write_text("name: r\nseeds:\n  source: pocket\n  count: 3\n  count: 4\n")
    with pytest.raises(UserError, match="the key 'count' stands in line 4 and in line 5"):
        load(path)
    path.write_text("name: r\nseeds: {source: pocket}\n")
    with pytest.raises(UserError, match="the key 'a' stands in line 1 and in line 1"):
        load(path, ["seeds.levels={a: 1, a: 2}"])


def test_a_merge_may_be_overridden_and_equal_keys_of_two_sections_are_two(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: r\nseeds:\n  source: pocket\n  levels: &x {'1': 1, '2': 1}\n  heldout_levels: {<<: *x, '2': 3}\n"
    )
    recipe = load(path)
    assert recipe.seeds.levels == {"1": 1.0, "2": 1.0}
    assert recipe.seeds.heldout_levels == {"1": 1.0, "2": 3.0}


@pytest.mark.parametrize(
    ("section", "value", "said"),
    [
        ("seeds", {"source": "pocket", "count": -1}, "seeds.count"),
        ("seeds", {"source": "floppy"}, "seeds.source"),
        ("seeds", {"source": "jsonl"}, "needs seeds.path"),
        ("evaluate", {"samples": 0}, "evaluate.samples"),
        ("name", "a/b", "name"),
        ("em", {"training": {"lr": 1e-3}}, "needs the section 'coldstart'"),
    ],
)
def test_impossible_values_are_named(section: str, value: object, said: str) -> None:
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        parse({**MINIMAL, section: value})


def test_votes_that_cannot_be_reached_are_refused() -> None:
    path = next(p for p in RECIPES if p.stem == "pocket")
    with pytest.raises(UserError, match="min_votes=9 cannot be reached with samples=8"):
        load(path, ["label.min_votes=9"])


def test_set_overrides_a_nested_key_with_yaml_values() -> None:
    path = next(p for p in RECIPES if p.stem == "pocket")
    recipe = load(path, ["em.k=4", "seeds.levels={'1': 2.0}"])
    assert recipe.em is not None
    assert recipe.em.k == 4
    assert recipe.seeds.levels == {"1": 2.0}


@pytest.mark.parametrize("text", ["em.k", "=4", "name.x=1"])
def test_a_malformed_override_is_explained(text: str) -> None:
    path = next(p for p in RECIPES if p.stem == "pocket")
    with pytest.raises(UserError, match="--set"):
        load(path, [text])


def test_a_missing_or_broken_file_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(UserError, match="not valid YAML"):
        load(broken)


def test_speed_settings_do_not_matter_for_results_and_others_do() -> None:
    a = parse(MINIMAL).matters()
    assert parse({**MINIMAL, "run": {"workers": 7, "dir": "x"}}).matters() == a
    found = first_difference(a, parse({**MINIMAL, "run": {"seed": 2}}).matters())
    assert found == "run.seed: there 1, here 2"


def test_recipe_and_command_line_import_no_torch() -> None:
    code = "import sys, promptcot.recipe, promptcot.cli; sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
