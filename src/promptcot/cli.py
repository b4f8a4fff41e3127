"""The command line: one verb per stage, plus run, show and demo. Heavy imports happen inside commands."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from promptcot import __version__, plan_cli, verify_code_cli, view_cli
from promptcot.errors import UserError
from promptcot.evaluate_cli import app as evaluate_app
from promptcot.evaluate_cli import typed
from promptcot.export import cli as export_cli
from promptcot.verify_cli import app as verify_app


class InOrder(TyperGroup):
    """Commands in the order of the corridor; `evaluate`, a group of its own, stands at its place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt says how to go on (Typer would end without a word)."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(f"\nstopped; what is finished stays. The same command goes on: {_typed()}", file=sys.stderr)
            raise typer.Exit(130) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order they are shown."""
        names = [n for n in super().list_commands(ctx) if n != "evaluate"]
        at = names.index("analyze")
        return [*names[:at], "evaluate", *names[at:]]


app = typer.Typer(
    name="promptcot",
    cls=InOrder,
    help="Write hard, verified training problems by EM over concepts and rationales, and train on them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    epilog="First time? `promptcot demo` runs everything on the packaged pocket world, without GPU or network.",
)

verify_code_cli.add(verify_app)
app.add_typer(verify_app, name="verify")
view_cli.add(app)
plan_cli.add(app)

RecipeArg = Annotated[Path, typer.Argument(help="Recipe file (YAML), e.g. recipes/pocket.yaml.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a recipe key: a.b=c. Repeatable.")
]
DirOption = Annotated[
    str | None, typer.Option("--run-dir", help="Run directory (default: run.dir, or runs/NAME).")
]
ForkOption = Annotated[
    str | None,
    typer.Option("--fork", help="New run beside the run directory, keeping every step still valid."),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", help="i/n: be one of n processes of this command on the same run directory."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]

STAGE_HELP = {
    "seeds": "(1) Read seed problems, split into train and held-out.",
    "annotate": "(2) Concepts and rationales from annotators.",
    "coldstart": "(3) Train q(z|c,x) and p(z,x|c) on the triples.",
    "em": "(4) Expectation-Maximization of q and p.",
    "synthesize": "(5) Write new problems from concept combinations.",
    "curate": "(6) Form, duplicates, decontamination.",
    "label": "(7) Answers by vote, unit tests by agreement.",
    "selfplay": "(8) Rollouts, and the solver learns from its verdicts: DPO, SFT or GRPO.",
    "distill": "(9) Teacher traces, SFT of a student.",
    "evaluate": "(10) Models on held-out problems and on benchmarks: a recipe, or any model.",
    "analyze": "(11) Curves, funnel, label quality, comparisons.",
    "report": "12. report.html and report.json.",
}


def _version(show: bool) -> None:
    if show:
        print(f"promptcot {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _execute(
    recipe: Path,
    stages: list[str] | None,
    sets: list[str] | None,
    run_dir: str | None,
    fork: str | None,
    quiet: bool,
    shard: str | None = None,
) -> Path:
    from promptcot.corridor import execute
    from promptcot.recipe import load
    from promptcot.runner.progress import Reporter

    loaded = load(recipe, sets or [])
    for name in stages or []:
        if name not in loaded.stages():
            raise UserError(
                f"'{recipe}' has no section '{name}'", expected=f"one of {', '.join(loaded.stages())}"
            )
    return execute(loaded, stages or loaded.stages(), Reporter(quiet=quiet), run_dir, fork, shard)


@app.command()
def run(
    recipe: RecipeArg,
    set_: SetOption = None,
    run_dir: DirOption = None,
    fork: ForkOption = None,
    shard: ShardOption = None,
    preview: Annotated[
        int,
        typer.Option(help="Only print what models will be asked, for so many seeds of each domain.", min=0),
    ] = 0,
    quiet: QuietOption = False,
) -> None:
    """Run all stages of a recipe; the same command again goes on where it stopped."""
    if preview:
        _preview(recipe, set_, preview)
        return
    path = _execute(recipe, None, set_, run_dir, fork, quiet, shard)
    _summary(path, quiet)


def _preview(recipe: Path, sets: list[str] | None, count: int) -> None:
    from promptcot.preview import prompts
    from promptcot.recipe import load

    found = list(prompts(load(recipe, sets or []), count))
    if not found:
        raise UserError(
            "there is no train seed, so there is nothing to show",
            expected="more rows than seeds.heldout keeps out",
            do="--set seeds.heldout=0",
        )
    for role, text in found:
        print(f"--- {role}\n{text}\n")


@app.command()
def demo(
    run_dir: DirOption = None,
    set_: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """The whole method on the packaged pocket world and model: no GPU, no server, no download."""
    from promptcot.pocket import RECIPE

    path = _execute(RECIPE, None, set_, run_dir, None, quiet)
    _summary(path, quiet)


def _summary(path: Path, quiet: bool) -> None:
    import json

    from promptcot.terminal import say

    if quiet or not (path / "report.json").exists():
        return
    report = json.loads((path / "report.json").read_text())
    say(
        f"\n{report['run']}: finished in {report['wall_s']:.0f} s, at most {report['peak_rss_mb']:.0f} MB of memory"
    )
    for line in report["headline"]:
        say(f"  {'+' if line['good'] else '-' if line['good'] is False else ' '} {line['text']}")
    print(f"Report: {path / 'report.html'} (numbers: {path / 'report.json'})")


def _stage_command(name: str) -> None:
    def command(
        recipe: RecipeArg,
        set_: SetOption = None,
        run_dir: DirOption = None,
        fork: ForkOption = None,
        shard: ShardOption = None,
        quiet: QuietOption = False,
    ) -> None:
        _execute(recipe, [name], set_, run_dir, fork, quiet, shard)

    app.command(name, help=STAGE_HELP[name])(command)


def _em_command(
    ctx: typer.Context,
    recipe: RecipeArg,
    set_: SetOption = None,
    run_dir: DirOption = None,
    fork: ForkOption = None,
    shard: ShardOption = None,
    quiet: QuietOption = False,
    ablation: Annotated[
        bool, typer.Option("--ablation", help="Compare the arms of em.ablation over seeds instead.")
    ] = False,
    seeds: Annotated[str, typer.Option(help="With --ablation: the seeds, comma-separated.")] = "1,2,3",
    jobs: Annotated[int, typer.Option(help="With --ablation: seeds worked on at a time.", min=1)] = 2,
) -> None:
    if not ablation:
        if given := typed(ctx, ("seeds", "jobs")):
            raise UserError(f"{given} without --ablation", do="--ablation; or one seed: --set run.seed=N")
        _execute(recipe, ["em"], set_, run_dir, fork, quiet, shard)
        return
    if shard:
        raise UserError("--shard with --ablation", do="--jobs N runs the seeds side by side on this machine")
    if fork:
        raise UserError("--fork with --ablation, whose seeds are runs of their own", do="another --run-dir")
    from promptcot import ablation as study
    from promptcot.recipe import load

    loaded = load(recipe, set_ or [])
    if loaded.em is None:
        raise UserError(f"'{recipe}' has no section 'em'")
    numbers = seeds.split(",")
    if not all(n.strip().isdecimal() for n in numbers):
        raise UserError(f"--seeds {seeds!r}", expected="whole numbers, comma-separated: --seeds 1,2,3")
    directory = Path(run_dir or f"runs/{loaded.name}-ablation")
    path = study.run(loaded, directory, [int(n) for n in numbers], jobs, quiet)
    if not quiet:
        print(f"Report: {path} (numbers: {directory / 'report.json'})")


for _name, _help in STAGE_HELP.items():
    if _name == "em":
        app.command("em", help=_help)(_em_command)
    elif _name == "evaluate":
        app.add_typer(evaluate_app, name="evaluate", help=_help)
    else:
        _stage_command(_name)


@app.command()
def show(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    table: Annotated[
        str | None, typer.Argument(help="stage/step, e.g. label/problems: print its rows.")
    ] = None,
    digest: Annotated[
        bool, typer.Option("--digest", help="Content digests only: equal rows, equal digest.")
    ] = False,
    rejects: Annotated[
        bool, typer.Option("--rejects", help="With a table: its rejects instead of its rows.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Read every file and name what is damaged (exit code 1).")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", help="With a table: how many rows (0 = all).", min=0)
    ] = 5,
    where: Annotated[
        str,
        typer.Option(
            "--where", help="With a table: only rows that meet a condition in SQL: label_margin >= 3."
        ),
    ] = "",
    json_: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """What a run holds: steps, counts, rejects by reason, digests, rows."""
    from promptcot import showing

    if check:
        raise typer.Exit(not showing.check(run))
    if digest:
        showing.digests(run, json_)
    elif table:
        showing.rows(run, table, rejects, sample, where)
    else:
        showing.overview(run, json_)


@app.command()
def doctor(json_: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False) -> None:
    """Which sandboxes work on this machine for programs that models write, and why one does not."""
    from promptcot import doctor

    raise typer.Exit(doctor.run(json_))


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="A directory, a Hub name, or 'pocket'.")],
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="Other machines reach it only on another address.")] = "127.0.0.1",
    name: Annotated[str, typer.Option(help="What requests call the model (default: MODEL).")] = "",
    below: Annotated[
        Path | None, typer.Option(help="A request may also name any model directory below this one.")
    ] = None,
    api_key_env: Annotated[str, typer.Option(help="Environment variable with the key to ask for.")] = "",
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    batch_tokens: Annotated[int, typer.Option(help="Padded tokens in one batch.", min=1)] = 16384,
    threads: Annotated[
        int, typer.Option(help="Arithmetic threads; more than one help only on idle cores.", min=1)
    ] = 1,
) -> None:
    """Serve a model to recipes (engine: openai) and to any OpenAI client: sampling, chat, log-probs, scoring."""
    from promptcot.lm.serve import main as run_server

    run_server(model, host, port, name or model, below, api_key_env, dtype, device, batch_tokens, threads)


app.command()(export_cli.export)

EXAMPLES = {
    "run": "promptcot run recipes/pocket.yaml --set em.k=4 --run-dir runs/mine",
    "demo": "promptcot demo --run-dir runs/demo",
    "show": "promptcot show runs/demo label/problems --where 'label_margin >= 3' --sample 3",
    "doctor": "promptcot doctor --json",
    "serve": "promptcot serve pocket --port 8000",
    "view": "promptcot view runs/demo --open",
    "plan": "promptcot plan recipes/paper_selfplay_4b.yaml --json",
    "calibrate": "promptcot calibrate recipes/pocket.yaml --seconds 5 --save figures.yaml",
    "export": "promptcot export runs/demo --to trl --table pairs",
    "em": "promptcot em recipes/pocket_em.yaml --ablation --seeds 1,2,3",
    "verify math": "promptcot verify math --in answers.jsonl --workers 2",
    "verify code": "promptcot verify code --in programs.jsonl --out judged.jsonl",
    "verify run": "promptcot verify run --in scripts.jsonl",
    "verify gold": "promptcot verify gold --in references.jsonl",
    "evaluate run": "promptcot evaluate --model pocket --benchmarks aime24 --source aime24=aime24.jsonl --samples 2",
    "evaluate compare": "promptcot evaluate compare runs/before runs/after",
    "evaluate study": "promptcot evaluate study recipes/studies/pocket_scaling.yaml --out runs/scaling",
    "evaluate elo": "promptcot evaluate elo --results runs/base --standings standings --ids metadata_cf.json",
    "evaluate standings": "promptcot evaluate standings --ids metadata_cf.json --out standings",
    **{s: f"promptcot {s} recipes/pocket.yaml" for s in STAGE_HELP if s not in ("em", "evaluate")},
}


def _show_examples() -> None:
    """Put a command's example under its help."""
    for group, prefix in ((app, ""), (verify_app, "verify "), (evaluate_app, "evaluate ")):
        for info in group.registered_commands:
            name = str(info.name or getattr(info.callback, "__name__", ""))
            info.epilog = f"Example: {EXAMPLES[prefix + name]}"


_show_examples()


def _typed() -> str:
    """The command as it was typed."""
    import shlex

    return shlex.join(["promptcot", *sys.argv[1:]])


def main() -> None:
    """Entry point. Exit codes: 0 done; 1 done, and what was looked for was found (damage, unsound references, no
    sandbox) or an error of this package, with its traceback; 2 a user's error, in words; 130 interrupted."""
    try:
        app(prog_name="promptcot")
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        sys.exit(2)
    except OSError as e:
        if e.strerror is None:
            raise
        where = f"'{e.filename}': " if e.filename else ""
        print(f"error: {UserError(where + e.strerror, do=_advice(e.errno))}", file=sys.stderr)
        sys.exit(2)


def _advice(number: int | None) -> str:
    full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "free some space, then the same command again" if full else "another path, or other permissions"


if __name__ == "__main__":
    main()
