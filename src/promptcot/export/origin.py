"""Where an export comes from: the recipe, seeds, digests, versions and licence that cards and manifests state."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from promptcot.errors import UserError
from promptcot.rundir import saved_recipe
from promptcot.settings import Recipe
from promptcot.store import Step

SIMULATED = {"pocket", "pocket-annotator", "pocket-teacher"}
STABLE = (
    "promptcot",
    "code",
    "python",
    "packages",
    "program_runner",
)  # of a step's header; the rest differs by run


@dataclass(frozen=True)
class Origin:
    """The facts about one export. steps: `stage/step` -> what its header and its end say.

    `license` is empty when nobody stated one: it is never invented.
    """

    recipe: Recipe
    steps: dict[str, dict[str, Any]]
    license: str

    @property
    def name(self) -> str:
        """A name for packages and dataset entries: `promptcot_NAME`."""
        return "promptcot_" + re.sub(r"\W+", "_", self.recipe.name).lower()

    @property
    def style(self) -> str:
        """The run's templates."""
        return self.recipe.templates

    @property
    def simulated(self) -> bool:
        """Whether seeds, annotators or models of the pocket world took part."""
        return any(value in SIMULATED for value in _leaves(self.recipe.model_dump(mode="json")))

    def facts(self) -> dict[str, Any]:
        """All of it, as plain data without paths of this machine."""
        return {
            "run": self.recipe.name, "seed": self.recipe.run.seed, "license": self.license or None,
            "simulated": self.simulated, "steps": self.steps, "recipe": public(self.recipe.model_dump(mode="json")),
        }  # fmt: skip


def origin(run: Path, steps: Iterable[Step[Any]], license: str | None) -> Origin:
    """The origin of an export made from `steps` of `run`; the option wins over the recipe's `run.license`.

    Raises:
        UserError: no run there, or the licence is no identifier.
    """
    recipe = saved_recipe(run)
    return Origin(recipe, {s.name: _step(s) for s in steps}, stated_license(recipe, license))


def stated_license(recipe: Recipe, license: str | None) -> str:
    """The licence by option or recipe; empty where none was stated.

    Raises:
        UserError: it is no identifier.
    """
    stated = license if license is not None else recipe.run.license
    if stated and not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", stated):
        raise UserError(
            f"licence {stated!r}", expected="an identifier in lower case, e.g. apache-2.0, cc-by-4.0, mit, other",
            do="see the list at https://huggingface.co/docs/hub/repositories-licenses",
        )  # fmt: skip
    return stated


def _step(step: Step[Any]) -> dict[str, Any]:
    header = json.loads((step.path / "step.json").read_text())
    done = step.totals()
    return {
        "digest": done["digest"],
        "rows": done["rows_out"],
        **{k: header[k] for k in STABLE if k in header},
    }


def public(value: Any) -> Any:
    """Plain data with every absolute path cut to its last part: a card tells nothing about a machine."""
    if isinstance(value, dict):
        return {k: public(v) for k, v in value.items()}
    if isinstance(value, list):
        return [public(v) for v in value]
    if isinstance(value, str) and (value.startswith(("/", "~")) or PureWindowsPath(value).drive):
        return PureWindowsPath(value).name  # takes both kinds of slash
    return value


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, str):
        yield value
