"""`run --preview`: the prompts are those that the stages send, and nothing is run."""

from __future__ import annotations

from pathlib import Path

from tests.smoke.test_cli import TINY, cli

from promptcot.lm.base import EngineSpec
from promptcot.preview import prompts
from promptcot.recipe import load
from promptcot.runner.worker import Worker
from promptcot.settings import Rules
from promptcot.stages.context import asks
from promptcot.stages.seeds import build
from promptcot.stages.solving import attempt

ASKED: list[str] = []


def remember(prompt: str, seed: int) -> str:
    """A scripted model that notes what it is asked."""
    ASKED.append(prompt)
    return ""


def test_the_attempt_it_shows_is_the_one_a_model_is_asked_for() -> None:
    recipe = load(TINY, ["seeds.code_share=0"])
    shown = [text for role, text in prompts(recipe, 1) if "attempt" in role]
    seed = next(s for s in build(recipe.seeds, recipe.run.seed)[1] if s.split == "train")
    worker, spec = Worker(1), EngineSpec("scripted", f"{__name__}:remember")
    params = recipe.evaluate.sampling.params() if recipe.evaluate else None
    assert params is not None
    attempt(
        worker,
        list(asks("label", [seed], 1)),
        model=spec,
        params=params,
        style=recipe.templates,
        rules=Rules(),
    )
    assert len(shown) == len(ASKED) == 1
    assert (
        ASKED[0] == f"user: {shown[0].removeprefix('<user>')[1:]}\n\nassistant: "
    )  # as a scripted model reads turns
    assert seed.problem in ASKED[0]


def test_every_kind_of_prompt_is_shown_once_per_domain() -> None:
    roles = [role for role, _ in prompts(load(TINY), 1)]
    assert len(roles) == 2 * 4 + 3  # unit tests for code only; concepts and rationale are two prompts
    assert roles.count("label: a unit test") == 1
    assert roles.count("em: q(z|c,x)") == roles.count("synthesize: p(z,x|c)") == 2


def test_the_command_prints_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = cli("run", TINY, "--preview", "1", "--run-dir", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("--- annotate: concepts\n<user>\n")
    assert list(tmp_path.iterdir()) == []
