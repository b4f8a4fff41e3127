"""The models of a run as folders with a card: q and p of the EM, the self-played solver, the student."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.export.card import model_card
from promptcot.export.origin import origin
from promptcot.export.write import finish, replacing
from promptcot.records import Decision, Record
from promptcot.rundir import folder, saved_recipe
from promptcot.settings import Recipe
from promptcot.store import Step


@dataclass(frozen=True)
class Role:
    """What a model is. trained_on: in words."""

    about: str
    trained_on: str


SELFPLAY = {"dpo": "offline DPO", "sft": "SFT on right attempts", "grpo": "GRPO"}
ROLES = {
    "q": Role("The rationale model q(z|c,x): from concepts and a problem to the rationale behind it.", "triples, and the rationales the E-step chose"),
    "p": Role("The problem model p(z,x|c): from concepts to a rationale and a problem.", "triples, and q's rationales"),
    "solver": Role("The solver after self-play.", "its own attempts, judged by verified labels"),
    "student": Role("The student after SFT on a teacher's traces.", "the teacher's traces for the curated problems"),
}  # fmt: skip


def export_model(run: Path, role: str, out: Path, license: str | None) -> dict[str, Any]:
    """Write a model's files and its card into `out`; weights are hard links where the disk allows. Returns the manifest.

    Raises:
        UserError: the model is not there, or `out` cannot be written.
    """
    recipe = saved_recipe(run)
    step = find(run, role, recipe)
    about = ROLES[role]
    facts = origin(run, [step], license)
    with replacing(out) as target:
        for path in sorted(step.artifact.rglob("*")):
            copy = target / path.relative_to(step.artifact)
            if path.is_dir():
                copy.mkdir()
            elif path.name not in ("README.md", "progress.json"):
                _link(path, copy)
        how = f" ({SELFPLAY[recipe.selfplay.method]})" if role == "solver" and recipe.selfplay else ""
        card = model_card(role, about.about, base_of(recipe, role), facts, about.trained_on + how)
        (target / "README.md").write_text(card, encoding="utf-8")
        return finish(target, {"model": role}, facts)


def find(run: Path, role: str, recipe: Recipe) -> Step[Record]:
    """The finished step that holds the model: the kept iteration of the EM, the kept round of self-play.

    Raises:
        UserError: it is not there, or self-play kept the solver as it was.
    """
    if role in ("q", "p"):
        kept = _kept(run, "em")
        names = [("em", f"{role}{kept}")] if kept else []
        names.append(("coldstart", role))
    elif role == "solver":
        kept = _kept(run, "selfplay")
        if kept == 0:
            raise UserError(f"self-play in '{run}' kept the solver as it was", do="use the solver itself")
        names = [("selfplay", f"solver{kept}")]
    else:
        names = [("distill", "student")]
    paths = [run / folder(stage) / name for stage, name in names]
    there = [path for path in paths if (path / "done.json").exists()]
    if not there:
        raise UserError(f"'{run}' has no finished model '{role}'", do=f"run the stage first: {names[-1][0]}")
    return Step.load(there[0], Record)


def _kept(run: Path, stage: str) -> int | None:
    """What the stage decided to keep; None while it has not."""
    path = run / folder(stage) / "decision"
    if not (path / "done.json").exists():
        return None
    (decision,) = Step.load(path, Decision).rows()
    return decision.kept


def base_of(recipe: Recipe, role: str) -> str:
    """The model that the training started from; a local folder's name only."""
    sections = {
        "solver": recipe.selfplay and recipe.selfplay.model, "student": recipe.distill and recipe.distill.student
    }  # fmt: skip
    model = sections.get(role, recipe.coldstart and recipe.coldstart.base)
    name = model.model if model else ""
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def _link(path: Path, copy: Path) -> None:
    try:
        os.link(path, copy)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(path, copy)
