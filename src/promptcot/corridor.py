"""Running a recipe: open the run directory, take the stages in order, say what happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from promptcot import tracking
from promptcot.rundir import RunDir, finished_steps, no_run
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.settings import Recipe, domains
from promptcot.shards import Damaged
from promptcot.stages import stage
from promptcot.stages.context import Context
from promptcot.team import Team, parse_shard
from promptcot.verify.sandbox import packages


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
    shard: str | None = None,
) -> Path:
    """Run `stages` of `recipe`; finished steps are kept, unfinished ones go on. Returns the run directory.

    `shard` "i/n" makes this process one of n on the same run directory (`promptcot.team`).
    """
    with opened(recipe, reporter, directory, fork, shard) as ctx:
        _heal(ctx, stages)
    return ctx.run.path


@contextmanager
def opened(
    recipe: Recipe, reporter: Reporter, directory: str | None = None, fork: str | None = None, shard: str | None = None
) -> Iterator[Context]:  # fmt: skip
    """What stages work with, over a run directory that this process holds (or helps with) until the end of the block."""
    path, parent = run_dir(recipe, directory, fork)
    if parent is not None and not (parent / "run.json").exists():
        raise no_run(parent)  # a fork of nothing would silently be a run of its own
    tracking.check(recipe.run.report_to)
    packages.find(tuple(recipe.programs.packages))  # one that is missing is refused before anything runs
    domains.register(recipe.domains or ())  # whatever else this process has read since
    team = Team(path, *parse_shard(shard))
    run = RunDir(path, recipe, parent=parent, team=team)
    try:
        with (
            team,
            reporter,
            _runner(recipe, reporter, team) as runner,
            Clock(path, lambda: runner.running, team.leads) as clock,
        ):
            yield Context(recipe, run, runner, reporter, clock)
    finally:
        run.close()


def _runner(recipe: Recipe, reporter: Reporter, team: Team) -> LocalRunner:
    settings = recipe.run
    kind = LocalRunner
    if settings.runner == "ray":
        from promptcot.runner.ray import RayRunner

        kind = RayRunner
    return kind(
        settings.seed,
        settings.workers,
        settings.shard_rows,
        reporter,
        team,
        settings.gpus,
        recipe.domains or (),
    )


def _heal(ctx: Context, stages: Sequence[str]) -> None:
    """Run the stages; where a file turns out to be damaged, set it aside and start over, so that its step makes it
    again. The same file twice is beyond repair."""
    seen: set[Path] = set()
    while True:
        try:
            return _run(ctx, stages)
        except Damaged as damage:
            if damage.file in seen or not ctx.run.team.leads:
                raise
            seen.add(damage.file)
            damage.set_aside()
            ctx.reporter.line(f"  '{damage.file}' is damaged ({damage.why}); making it again")


def _run(ctx: Context, stages: Sequence[str]) -> None:
    for name in stages:
        if name in ("analyze", "report") and not ctx.run.team.leads:
            continue  # whole tables into one file: the leader's
        ctx.clock.enter(name)
        ctx.reporter.line(name, bold=True)
        before = len(finished_steps(ctx.run.path))
        stage(name)(ctx)
        if ctx.clock.worked or len(finished_steps(ctx.run.path)) > before:
            ctx.clock.save()
