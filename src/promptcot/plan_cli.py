"""`promptcot plan` and `promptcot calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeArg = Annotated[Path, typer.Argument(help="Recipe file (YAML), e.g. recipes/paper_sft_7b.yaml.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key: a.b=c.")]
FiguresOption = Annotated[
    Path | None,
    typer.Option("--figures", help="Figures laid over the packaged ones: a calibration, or your own."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def add(app: typer.Typer) -> None:
    """Give `app` both commands."""
    app.command("plan")(plan)
    app.command("calibrate")(calibrate)


def plan(
    recipe: RecipeArg, set_: SetOption = None, figures: FiguresOption = None, json_: JsonOption = False
) -> None:
    """Tokens, requests and device hours per stage, with ranges, before anything runs."""
    from promptcot.planning.figures import Figures

    _print(recipe, set_, Figures(figures), json_)


def calibrate(
    recipe: RecipeArg,
    set_: SetOption = None,
    seconds: Annotated[float, typer.Option(help="Time per model and kind of work.", min=0.1)] = 20.0,
    save: Annotated[Path | None, typer.Option(help="Write the figures, for plan --figures FILE.")] = None,
    json_: JsonOption = False,
) -> None:
    """Measure the recipe's engines and training for a short time, and print its plan with what was measured."""
    import yaml

    from promptcot.errors import keep_input
    from promptcot.planning import calibrate as measuring
    from promptcot.planning.figures import Figures
    from promptcot.recipe import load
    from promptcot.shards import write_atomic

    if save:
        keep_input(recipe, save)
    loaded = load(recipe, set_ or [])
    tell = lambda line: typer.echo(line, err=True)  # noqa: E731
    models = measuring.calibrate(loaded, Figures(), seconds, tell)
    if save:
        write_atomic(save, yaml.safe_dump({"models": models}, sort_keys=False).encode())
    _print(recipe, set_, Figures(models=models), json_)


def _print(recipe: Path, sets: list[str] | None, figures: object, as_json: bool) -> None:
    import json

    from promptcot.planning import plan as planning
    from promptcot.planning.figures import Figures
    from promptcot.recipe import load

    assert isinstance(figures, Figures)
    loaded = load(recipe, sets or [])
    lines = planning.plan(loaded, figures)
    if as_json:
        print(json.dumps(planning.as_json(loaded, lines), indent=1))
    else:
        planning.show(loaded, lines)
