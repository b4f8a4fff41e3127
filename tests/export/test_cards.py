"""Cards: YAML that `datasets` and the Hub's own classes read, provenance, no invented licence, no paths, a warning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.export.conftest import PAIRS, PROBLEMS, TRACES, TRIPLES, make, put, put_model, recipe

from promptcot.errors import UserError
from promptcot.export.models import ROLES, export_model
from promptcot.export.origin import origin, public
from promptcot.export.registry import TARGETS, target
from promptcot.export.tables import choose
from promptcot.export.write import export
from promptcot.records import Decision
from promptcot.rundir import RunDir


def write(run: Path, name: str, out: Path, license: str | None) -> str:
    found = choose(run, list(target(name).data), [], name)
    export(target(name), found, origin(run, [s for t in found for s in t.steps], license), out)
    return (out / "README.md").read_text()


def head(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_datasets_loads_every_table_of_the_folder_by_its_card(run_dir: Path, tmp_path: Path) -> None:
    import datasets

    write(run_dir, "parquet", tmp_path / "out", "cc-by-4.0")
    expected: dict[str, Any] = {
        "problems": PROBLEMS, "pairs": [*PAIRS[1], *PAIRS[2]], "traces": TRACES, "triples": [TRIPLES[0], TRIPLES[2]]
    }  # fmt: skip
    for table, records in expected.items():
        loaded = datasets.load_dataset(
            str(tmp_path / "out"), table, split="train", cache_dir=str(tmp_path / "cache")
        )
        assert [dict(row) for row in loaded] == [r.row() for r in records]


@pytest.mark.parametrize("name", [n for n in TARGETS if n != "parquet"])
def test_datasets_loads_what_every_target_is_given(run_dir: Path, tmp_path: Path, name: str) -> None:
    import datasets

    card = write(run_dir, name, tmp_path / "out", None)
    for config in head(card)["configs"]:
        loaded = datasets.load_dataset(
            str(tmp_path / "out"), config["config_name"], split="train", cache_dir=str(tmp_path / "cache")
        )
        assert len(loaded) == {"problems": 2, "pairs": 3, "traces": 2, "triples": 2}[config["config_name"]]


def test_the_hubs_own_classes_read_the_cards(run_dir: Path, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard, ModelCard

    data: Any = DatasetCard(write(run_dir, "parquet", tmp_path / "d", "cc-by-4.0")).data
    assert (data.license, data.size_categories) == ("cc-by-4.0", ["n<1K"])
    export_model(run_dir, "solver", tmp_path / "m", "apache-2.0")
    model: Any = ModelCard((tmp_path / "m" / "README.md").read_text()).data
    assert (model.license, model.library_name, model.base_model) == (
        "apache-2.0",
        "transformers",
        "org/solver",
    )


def test_a_licence_is_stated_by_the_option_or_the_recipe_and_never_invented(
    run_dir: Path, tmp_path: Path
) -> None:
    card = write(run_dir, "trl", tmp_path / "a", None)
    assert "license" not in head(card)
    assert "none was stated" in card
    licensed = make(tmp_path / "run", recipe(run={"seed": 7, "license": "mit"}))
    assert head(write(licensed, "trl", tmp_path / "b", None))["license"] == "mit"
    assert head(write(licensed, "trl", tmp_path / "c", "cc-by-4.0"))["license"] == "cc-by-4.0"


def test_a_card_states_where_it_comes_from_and_nothing_about_the_machine(
    run_dir: Path, tmp_path: Path
) -> None:
    card = write(run_dir, "trl", tmp_path / "a", "mit")
    assert "Run seed 7" in card
    for step in ("07_label/problems", "08_selfplay/pairs2"):
        assert step in card
    assert "org/labeller" in card
    for text in (card, (tmp_path / "a" / "manifest.json").read_text()):
        assert "seeds.jsonl" in text
        for secret in ("/data/secret", "/models", str(run_dir.parent), "argv"):
            assert secret not in text
    assert public({"a": ["/x/y", "~/z", "C:\\d\\e.json", "org/name", "./here"]}) == {
        "a": ["y", "z", "e.json", "org/name", "./here"]
    }


def test_the_simulated_world_is_named_where_it_took_part_and_only_there(
    run_dir: Path, tmp_path: Path
) -> None:
    real = write(run_dir, "trl", tmp_path / "a", None)
    assert "Simulated" not in real
    assert "simulated" not in head(real)["tags"]
    pocket = make(tmp_path / "run", recipe(seeds={"source": "pocket", "count": 2}))
    card = write(pocket, "trl", tmp_path / "b", None)
    assert "**Simulated world.**" in card
    assert "simulated" in head(card)["tags"]


@pytest.mark.parametrize("role", ROLES)
def test_a_model_is_the_one_that_was_kept_and_loads(run_dir: Path, tmp_path: Path, role: str) -> None:
    from transformers import AutoTokenizer

    manifest = export_model(run_dir, role, tmp_path / role, "mit")
    (step,) = manifest["steps"]
    assert step == {
        "q": "03_coldstart/q", "p": "04_em/p1", "solver": "08_selfplay/solver2", "student": "09_distill/student"
    }[role]  # fmt: skip
    card = (tmp_path / role / "README.md").read_text()
    assert card.startswith("---\n")
    assert f"# my-run: {role}" in card
    assert "Pocket model" not in card  # the card of the weights it was trained from
    assert head(card).get("base_model") == {"q": "org/base", "p": "org/base", "solver": "org/solver"}.get(
        role
    )
    AutoTokenizer.from_pretrained(tmp_path / role)
    source = run_dir / step / "artifact"
    assert (source / "README.md").read_text() != card
    assert (tmp_path / role / "model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("kept", "method", "words"), [(1, "dpo", "offline DPO"), (2, "grpo", "GRPO")])
def test_the_solver_is_that_of_the_round_that_was_kept(
    tmp_path: Path, kept: int, method: str, words: str
) -> None:
    selfplay = {
        "model": {"model": "org/solver"},
        "method": method,
        "rounds": 3,
        "training": {"lr": 1e-5},
    }
    run = RunDir(tmp_path / "run", recipe(selfplay=selfplay))
    for r in (1, 2):
        put_model(run, "selfplay", f"solver{r}")
    put(run, "selfplay", "decision", [[Decision("selfplay-2", kept, 2, "converged", "")]])
    run.close()
    manifest = export_model(tmp_path / "run", "solver", tmp_path / "out", None)
    assert list(manifest["steps"]) == [f"08_selfplay/solver{kept}"]
    assert words in (tmp_path / "out" / "README.md").read_text()


def test_a_solver_that_self_play_did_not_better_is_not_exported(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run", recipe())
    put_model(run, "selfplay", "solver1")
    put(run, "selfplay", "decision", [[Decision("selfplay-1", 0, 1, "worse", "")]])
    run.close()
    with pytest.raises(UserError, match="kept the solver as it was"):
        export_model(tmp_path / "run", "solver", tmp_path / "out", None)


def test_a_missing_model_names_the_stage(tmp_path: Path) -> None:
    run = make(tmp_path / "run", recipe())
    with pytest.raises(UserError, match="run the stage first: distill"):
        export_model(run, "student", tmp_path / "out", None)
