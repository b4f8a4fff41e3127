"""`promptcot export`. Heavy imports happen inside the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from promptcot.errors import UserError


def export(
    run: Annotated[Path | None, typer.Argument(help="A run directory.")] = None,
    to: Annotated[str, typer.Option("--to", help="Target; --list shows them.")] = "",
    table: Annotated[
        list[str] | None, typer.Option("--table", help="problems, pairs, traces, triples. Repeatable; default: all.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="With --to hub: q, p, solver or student instead of tables.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="Folder (default: RUN/exports/TARGET).")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Rows per table at most (0 = all).", min=0)] = 0,
    license_: Annotated[
        str | None, typer.Option("--license", help="Licence identifier for the card (default: run.license).")
    ] = None,
    repo: Annotated[str, typer.Option("--repo", help="With --to hub: OWNER/NAME.")] = "",
    public: Annotated[bool, typer.Option("--public", help="With --to hub: not a private repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --to hub: write and show, push nothing.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the targets and end.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Machine-readable output: the manifest, or the targets.")] = False,
) -> None:  # fmt: skip
    """Write a run's tables in the shape of a trainer, or push them to the Hub."""
    from promptcot.export import hub, registry
    from promptcot.export.origin import stated_license
    from promptcot.rundir import saved_recipe

    if list_:
        _list(json_)
        return
    if run is None or not to:
        raise UserError(
            "export needs a run directory and a target", expected="promptcot export RUN --to TARGET",
            do="promptcot export --list",
        )  # fmt: skip
    _check(to, model, repo, public, dry_run)
    stated = stated_license(saved_recipe(run), license_)
    if to == registry.HUB:
        hub.need_license(stated)
    folder = out or run / "exports" / (f"{to}-{model}" if model else to)
    manifest = _write(run, registry.target(to), table or [], model, folder, limit, license_)
    if json_:
        print(json.dumps({"folder": str(folder), **manifest}, indent=1))
    elif to != registry.HUB or dry_run:
        _print(manifest, folder)
    if dry_run and not json_:
        print("\n" + (folder / "README.md").read_text(encoding="utf-8"))
        print(f"Dry run: nothing was pushed. These files would go to '{repo or 'OWNER/NAME'}'.")
    if to == registry.HUB and not dry_run:
        pushed = hub.push(folder, repo, "model" if model else "dataset", private=not public)
        if not json_:
            print(pushed)


def _check(to: str, model: str, repo: str, public: bool, dry_run: bool) -> None:
    from promptcot.export.models import ROLES
    from promptcot.export.registry import HUB

    if to != HUB and (model or repo or public or dry_run):
        raise UserError("--model, --repo, --public and --dry-run belong to --to hub", do=f"--to {HUB}")
    if model and model not in ROLES:
        raise UserError(f"no model '{model}'", expected=", ".join(ROLES))
    if to == HUB and not dry_run and not repo:
        raise UserError(
            "pushing needs a repository", do="--repo OWNER/NAME, or --dry-run to see what would go there"
        )


def _write(
    run: Path, target: Any, asked: list[str], model: str, folder: Path, limit: int, license: str | None
) -> dict[str, Any]:
    from promptcot.export.models import export_model
    from promptcot.export.origin import origin
    from promptcot.export.tables import choose
    from promptcot.export.write import export as write

    if model:
        return export_model(run, model, folder, license)
    tables = choose(run, list(target.data), asked, target.name)
    steps = [step for table in tables for step in table.steps]
    return write(target, tables, origin(run, steps, license), folder, limit)


def _list(as_json: bool) -> None:
    from promptcot.export.registry import HUB, HUB_LINE, TARGETS

    if as_json:
        found = {name: {"about": t.line, "tables": list(t.data)} for name, t in TARGETS.items()}
        print(json.dumps({**found, HUB: {"about": HUB_LINE, "tables": []}}, indent=1))
        return
    for name, target in TARGETS.items():
        print(f"{name:<15}{target.line}; tables: {', '.join(target.data)}")
    print(f"{HUB:<15}{HUB_LINE}")


def _print(manifest: dict[str, Any], folder: Path) -> None:
    """Files with their size and digest, then what a user should notice."""
    from promptcot.export.card import left_out
    from promptcot.export.write import CUT

    rows = {t["file"]: t["rows"] for t in manifest.get("tables", {}).values()}
    for path, file in manifest["files"].items():
        count = f"{rows[path]:>9,} rows" if path in rows else " " * 14
        print(f"{file['bytes']:>12,} B {count}  {file['sha256'][:16]}  {path}")
    print(f"in {folder}")
    for name, table in manifest.get("tables", {}).items():
        if CUT in table:
            print(left_out(name, table[CUT]))
    if not manifest["license"]:
        print("No licence was stated, so the card has none: --license ID, or run.license in the recipe.")
    if manifest["simulated"]:
        print("Simulated world: the card says that this is for trying the method only.")
