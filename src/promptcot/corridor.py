"""Running a recipe: open the run directory, take the stages in order, say what happened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from promptcot.rundir import RunDir, finished_steps
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.settings import Recipe
from promptcot.stages import stage
from promptcot.stages.context import Context


def run_dir(recipe: Recipe, given: str | None, fork: str | None) -> tuple[Path, Path | None]:
    """(directory to work in, directory it forks from)."""
    path = Path(given or recipe.run.dir or f"runs/{recipe.name}")
    return (path.parent / fork, path) if fork else (path, None)


def execute(
    recipe: Recipe,
    stages: Sequence[str],
    reporter: Reporter,
    directory: str | None = None,
    fork: str | None = None,
) -> Path:
    """Run `stages` of `recipe`; finished steps are kept, unfinished ones go on. Returns the run directory."""
    path, parent = run_dir(recipe, directory, fork)
    run = RunDir(path, recipe, parent=parent)
    try:
        settings = recipe.run
        with (
            reporter,
            Clock(path) as clock,
            LocalRunner(settings.seed, settings.workers, settings.shard_rows, reporter) as runner,
        ):
            ctx = Context(recipe, run, runner, reporter, clock)
            for name in stages:
                clock.enter(name)
                reporter.line(f"[bold]{name}[/bold]")
                before = len(finished_steps(path))
                stage(name)(ctx)
                if len(finished_steps(path)) > before:
                    clock.save()
    finally:
        run.close()
    return path
