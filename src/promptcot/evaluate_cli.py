"""`promptcot evaluate ...`: models on benchmarks, with a recipe or without. Heavy imports happen inside commands.

The group's default command is `run`: `promptcot evaluate RECIPE` and `promptcot evaluate --model M ...` are
`promptcot evaluate run ...`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from promptcot.errors import UserError
from promptcot.terminal import console


class DefaultToRun(TyperGroup):
    """A group whose command `run` need not be named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front of what is no command of this group."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=DefaultToRun,
    no_args_is_help=True,
    epilog="promptcot evaluate RECIPE, or promptcot evaluate --model M --benchmarks aime24 --source aime24=FILE "
    "(`promptcot evaluate run --help` has all options)",
)


def typed(ctx: typer.Context, names: Sequence[str]) -> str:
    """Those of a command's options that were typed, as they are spelled."""
    found = [p for p in ctx.command.params if p.name in names]
    sources = [(p.opts[0], ctx.get_parameter_source(str(p.name))) for p in found]
    return ", ".join(option for option, source in sources if source and source.name == "COMMANDLINE")


JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


OF_A_MODEL = ("benchmarks", "source", "engine", "samples", "problems", "temperature", "top_p", "max_tokens",
              "ids", "standings", "ratings", "packages")  # fmt: skip


@app.command()
def run(
    ctx: typer.Context,
    recipe: Annotated[Path | None, typer.Argument(help="Recipe file (YAML); none with --model.")] = None,
    model: Annotated[str, typer.Option(help="A directory, a name on the Hub, or what --engine takes.")] = "",
    benchmarks: Annotated[
        str, typer.Option(help="Comma-separated: aime24, aime25, hmmt25, lcb_v5, lcb_v6, codeforces.")
    ] = "",
    source: Annotated[
        list[str] | None,
        typer.Option(help="BENCHMARK=FILE, or BENCHMARK=hf://datasets/OWNER/NAME (downloads it). Repeatable."),
    ] = None,
    engine: Annotated[str, typer.Option(help="What runs the model.")] = "transformers",
    samples: Annotated[int, typer.Option(help="Attempts per problem (0 = the paper's: 16, 1, 8).", min=0)] = 0,
    problems: Annotated[int, typer.Option(help="Only the first problems of each (0 = all).", min=0)] = 0,
    temperature: Annotated[float, typer.Option(help="The paper's.", min=0)] = 0.6,
    top_p: Annotated[float, typer.Option(help="The paper's.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(help="The paper's.", min=1)] = 81920,
    ids: Annotated[str, typer.Option(help="Codeforces: JSON list of problem names, for the Elo.")] = "",
    standings: Annotated[str, typer.Option(help="Codeforces: directory of snapshots, for the Elo.")] = "",
    ratings: Annotated[str, typer.Option(help="Codeforces: table of ratings, for the percentile.")] = "",
    packages: Annotated[str, typer.Option(help="Installed packages that programs may import, with commas.")] = "",
    out: Annotated[
        str | None, typer.Option("--out", "--run-dir", help="Directory of the run; the same command goes on there.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key: a.b=c. Repeatable.")] = None,
    fork: Annotated[str | None, typer.Option("--fork", help="New run beside it, keeping every step still valid.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:  # fmt: skip
    """Score a model on benchmarks, or run the evaluate stage of a recipe.

    Writes DIR/results.json and every attempt as Parquet under DIR/10_evaluate. Nothing is downloaded unless a
    source or the model names the Hub. Further engine settings: --set evaluate.model.KEY=VALUE.
    """
    from promptcot.corridor import execute
    from promptcot.recipe import load, parse
    from promptcot.runner.progress import Reporter

    if (recipe is None) == (not model):
        raise UserError(
            "a recipe and --model" if model else "neither a recipe nor --model", expected="one of them",
            do="promptcot evaluate --model M --benchmarks aime24 --source aime24=FILE",
        )  # fmt: skip
    if recipe is not None:
        if given := typed(ctx, OF_A_MODEL):
            raise UserError(
                f"{given} beside the recipe '{recipe}', which says that itself", expected="options of --model",
                do="--set evaluate.KEY=VALUE; or --model M instead of the recipe",
            )  # fmt: skip
        loaded = load(recipe, set_ or [])
        if loaded.evaluate is None:
            raise UserError(
                f"'{recipe}' has no section 'evaluate'", expected=f"one of {', '.join(loaded.stages())}"
            )
    else:
        where = {"ids": ids, "standings": standings, "ratings": ratings}
        sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
        scored = _benchmarks(benchmarks, source or [], samples, problems, where)
        data: dict[str, Any] = {
            "name": "evaluation", "templates": "compact" if model == "pocket" else "promptcot2",
            "run": {"shard_rows": 64},
            "programs": {"packages": [name.strip() for name in packages.split(",") if name.strip()]},
            "evaluate": {"model": {"engine": engine, "model": model}, "benchmarks": scored, "benchmark_sampling": sampling},
        }  # fmt: skip
        loaded = parse(data, "the command line", set_ or [])
    path = execute(loaded, ["evaluate"], Reporter(quiet=quiet), out, fork)
    if not quiet:
        _show(path)


def _benchmarks(
    names: str, sources: list[str], samples: int, problems: int, codeforces: dict[str, str]
) -> dict[str, Any]:
    """`evaluate.benchmarks` from the options."""
    out: dict[str, Any] = {
        n.strip(): {"samples": samples, "problems": problems, "source": []}
        for n in names.split(",")
        if n.strip()
    }
    if not out:
        raise UserError(
            "no benchmarks", do="--benchmarks aime24,aime25,hmmt25,lcb_v5,lcb_v6,codeforces or some of them"
        )
    for text in sources:
        name, eq, place = text.partition("=")
        if not eq or name not in out:
            raise UserError(
                f"--source {text!r}", expected=f"one of {', '.join(out)}, then = and a file or hf:// place"
            )
        out[name]["source"].append(place)
    if any(codeforces.values()):
        if "codeforces" not in out:
            raise UserError("--ids, --standings and --ratings belong to the benchmark 'codeforces'")
        out["codeforces"] |= codeforces
    return out


def _show(path: Path) -> None:
    from promptcot.evals import show
    from promptcot.evals.results import read_results

    show.results(read_results(path), console())
    print(f"Numbers: {path / 'results.json'}; attempts: {path / '10_evaluate'}")


@app.command()
def compare(
    files: Annotated[list[Path], typer.Argument(help="results.json files or run directories; the first is the baseline.")],
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    json_: JsonOption = False,
) -> None:  # fmt: skip
    """Models side by side, with paired differences to the first."""
    from promptcot.evals import compare as study
    from promptcot.evals import show

    found = study.compare(study.columns(files), seed)
    if json_:
        print(json.dumps(found, indent=1))
    else:
        show.comparison(found, console())


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="Study (YAML): recipe, seeds, arms.")],
    out: Annotated[Path, typer.Option(help="Directory of the runs; the same command goes on there.")],
    json_: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """A recipe under several settings and seeds: scaling curves, ablations. Writes DIR/study.json."""
    from promptcot import study as several
    from promptcot.evals import show

    found = several.run(file, out, quiet)
    if json_:
        print(json.dumps(found, indent=1))
    elif not quiet:
        show.study(found, console())
        print(f"Numbers: {out / 'study.json'}")


@app.command()
def elo(
    results: Annotated[
        Path, typer.Option(help="results.json, or a JSON object: problem -> list of true/false.")
    ],
    standings: Annotated[Path, typer.Option(help="Directory with a snapshot of every contest.")],
    ratings: Annotated[Path | None, typer.Option(help="Table of human ratings, for the percentile.")] = None,
    ids: Annotated[
        Path | None, typer.Option(help="JSON list of problem names, where the results lack them.")
    ] = None,
    attempts: Annotated[int, typer.Option(help="Only the first attempts count (0 = all).", min=0)] = 0,
    model: Annotated[str, typer.Option(help="Which model of a results.json.")] = "",
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1,
    json_: JsonOption = False,
) -> None:
    """A Codeforces rating by DeepCoder's protocol, from snapshots of standings; needs no network."""
    from dataclasses import asdict

    from promptcot.evals import show
    from promptcot.evals.results import rating, read_marks

    marks = read_marks(results, model, str(ids or ""))
    found = rating(marks, str(standings), str(ratings or ""), attempts or None, seed)
    print(json.dumps(asdict(found), indent=1) if json_ else show.elo_line(found))


@app.command("standings")
def fetch_standings(
    ids: Annotated[Path, typer.Option(help="JSON list of problem names (1971A).")],
    out: Annotated[Path, typer.Option(help="Directory for the snapshots.")],
    api: Annotated[str, typer.Option(help="Base of the API.")] = "https://codeforces.com/api",
) -> None:
    """Download snapshots of contest standings from Codeforces (two requests per contest, one in two seconds)."""
    from promptcot.evals import standings as snapshots
    from promptcot.evals.benchmarks import read_ids
    from promptcot.evals.elo import by_contest

    contests = by_contest(read_ids(str(ids)))
    print(f"asking {api} for {len(contests)} contests")
    done = snapshots.fetch(contests, out, print, api)
    print(f"{done} fetched, {len(contests) - done} were there: {out}")
