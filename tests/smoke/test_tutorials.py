"""The short tutorials and the README as they are typed, one command after the other, on small files and the packaged model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.docs.commands import of_page
from tests.smoke.test_cli import ROOT, cli, finished

from promptcot.pocket.world import generate

__all__ = ["finished"]
SMALL = (
    "selfplay.model.model=pocket", "selfplay.model.dtype=float32", "templates=compact", "seeds.count=24",
    "seeds.heldout=6", "selfplay.rollouts=4", "selfplay.drop_at=1.0", "selfplay.sampling.max_tokens=120",
    "selfplay.training.batch_size=4", "selfplay.training.micro_batch_size=4", "evaluate.samples=1",
    "evaluate.sampling.max_tokens=120",
)  # fmt: skip


def write(path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def problems(count: int) -> list[dict[str, str | None]]:
    made = [generate(n, "math", "1", "train") for n in range(count)]
    return [{"problem": item.text, "answer": item.answer} for item in made]


def type_page(name: str, folder: Path, sets: tuple[str, ...] = ()) -> list[str]:
    """Type the promptcot commands of a page, `sets` added where there is a recipe; returns what each printed."""
    said = []
    for command in of_page(ROOT / "docs" / name):
        words = [str(ROOT / w) if w.startswith("recipes/") else w for w in command.words[1:]]
        small = [x for s in sets for x in ("--set", s)] if any(w.endswith(".yaml") for w in words) else []
        done = cli(*words, *small, cwd=folder)
        assert done.returncode == 0, (str(command), done.stderr)
        said.append(done.stdout)
    return said


@pytest.mark.slow
def test_self_play_on_own_problems(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs trl: pip install 'promptcot[train]'")
    write(tmp_path / "answers.jsonl", *problems(40))
    _, _, shown, pairs, card = type_page("tutorial-selfplay.md", tmp_path, SMALL)
    assert "08_selfplay/solver1" in shown
    for row in map(json.loads, pairs.splitlines()):
        assert row["chosen"] != row["rejected"]
    assert "license: apache-2.0" in card
    assert "Dry run: nothing was pushed" in card


def test_only_verify(tmp_path: Path) -> None:
    pairs = [{"gold": "1/2", "prediction": p} for p in ("\\boxed{0.5}", "2", None)]
    write(tmp_path / "answers.jsonl", *pairs)
    double = {"inputs": ["2"], "outputs": ["4"]}
    programs = [{"solution": f"print({n}*int(input()))", **double} for n in (2, 3)]
    write(tmp_path / "programs.jsonl", *programs)
    write(tmp_path / "scripts.jsonl", {"code": "print(1)", "stdin": ""})
    write(tmp_path / "references.jsonl", {"gold": "1/2"}, double)
    _, answers, _, ran, sound = type_page("tutorial-verify.md", tmp_path)
    assert [json.loads(x)["verdict"] for x in answers.splitlines()] == ["correct", "incorrect", "no_answer"]
    judged = (tmp_path / "judged.jsonl").read_text().splitlines()
    assert [json.loads(x)["verdict"] for x in judged] == ["correct", "incorrect"]
    assert json.loads(ran)["stdout"] == "1\n"
    assert [json.loads(x)["verdict"] for x in sound.splitlines()] == ["sound", "sound"]


@pytest.mark.slow
def test_only_evaluate(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'promptcot[train]'")
    write(tmp_path / "aime24.jsonl", *({"id": n, **row} for n, row in enumerate(problems(3))))
    *_, table, found = type_page("tutorial-evaluate.md", tmp_path)
    assert "AIME 2024" in table or "aime24" in table
    assert json.loads(found)


@pytest.mark.slow
def test_the_readmes_commands_on_a_run(finished: Path, tmp_path: Path) -> None:
    """`my.yaml` is the tiny recipe, `runs/mine` what it made; what trains or serves is run elsewhere, and said here."""
    elsewhere = {
        "em": "test_cli.py",
        "run": "test_cli.py",
        "view": "tests/view",
        "evaluate": "test_tutorials.py",
    }
    write(tmp_path / "answers.jsonl", {"gold": "1/2", "prediction": "0.5"})
    write(tmp_path / "rows.jsonl", {"solution": "print(4)", "inputs": ["2"], "outputs": ["4"], "gold": "4"})
    typed = 0
    for command in of_page(ROOT / "README.md"):
        if command.words[0] != "promptcot" or (
            command.words[1] in elsewhere and "--preview" not in command.words
        ):
            continue
        names = {"my.yaml": str(ROOT / "recipes" / "tiny.yaml"), "runs/mine": str(finished)}
        done = cli(*(names.get(w, w) for w in command.words[1:]), cwd=tmp_path)
        assert done.returncode == 0, (str(command), done.stderr)
        assert done.stdout
        typed += 1
    assert typed >= 8
