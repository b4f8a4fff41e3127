"""Opening a run directory: which recipe it belongs to, one leading process at a time, forks, provenance."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from promptcot import __version__
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.recipe import first_difference, parse
from promptcot.records import Record
from promptcot.settings import STAGES, Recipe
from promptcot.shards import read_json, unwritable, write_atomic
from promptcot.store import Step
from promptcot.team import Team

R = TypeVar("R", bound=Record)


class RunDir:
    """A run directory held by this process (or opened for reading with `read_only`).

    Raises:
        UserError: not writable, held by another process, damaged, or made with another recipe.
    """

    def __init__(
        self, path: Path, recipe: Recipe, *, parent: Path | None = None, team: Team | None = None
    ) -> None:
        self.path, self.recipe, self.parent = path, recipe, parent
        self.team = team or Team(path)
        self._keys: dict[Path, str] = {}  # of finished steps, without their arms
        self.facts: dict[str, str] = {}  # what else the headers of new steps say
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
        except OSError as e:
            raise unwritable(path, e) from None
        if self.team.leads:
            self._take()
        else:
            self.team.wait(path / "run.json")
        self._check()

    def _take(self) -> None:
        """Keep a second process out. Helpers need no lock, and a file system without locks only loses this guard."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if not isinstance(e, BlockingIOError):
                return
            raise UserError(
                f"another process is working on '{self.path}'",
                do="wait for it, stop it, or choose another directory with --run-dir DIR",
            ) from None

    def _check(self) -> None:
        head = self.path / "run.json"
        mine = {"recipe": self.recipe.model_dump(mode="json"), "matters": _jsonable(self.recipe.matters())}
        if not head.exists():
            strangers = [p.name for p in self.path.iterdir() if p.name not in (".lock", "team")]
            if strangers:
                raise UserError(
                    f"'{self.path}' holds other files ({', '.join(sorted(strangers)[:3])}) and no run",
                    do="choose an empty or new directory: --run-dir DIR",
                )
            write_atomic(head, json.dumps({**mine, "parent": str(self.parent or "")}, indent=1).encode())
            return
        saved = read_json(head)["matters"]
        found = first_difference(saved, mine["matters"])
        if found:
            raise UserError(
                f"'{self.path}' belongs to another recipe: {found}",
                expected=f"the recipe '{saved['name']}' it was started with",
                do="--fork NAME keeps the steps that are still valid; --run-dir DIR starts anew",
            )

    def close(self) -> None:
        """Let another process have the directory."""
        self._lock.close()

    def step(
        self, stage: str, name: str, record: type[R], params: Any, inputs: dict[str, str], version: int
    ) -> Step[R]:
        """Open the step `stage/name`; in a fork, take it over from the parent when its key is the same."""
        key = {
            "stage": stage, "step": name, "version": version, "seed": self.recipe.run.seed,
            "shard_rows": self.recipe.run.shard_rows, "params": _jsonable(params), "inputs": inputs,
        }  # fmt: skip
        if self.recipe.domains:  # any step may ask a domain something
            key["domains"] = {f.name: f.digest for f in self.recipe.domains}
        path = self.path / folder(stage) / name
        if not self.team.leads:
            self.team.wait(path / "step.json")
            return Step(path, record, key, {}, writable=False)
        if not (path / "step.json").exists():
            self._adopt(path, key)
        return Step(path, record, key, {**provenance(), **self.facts})

    def _adopt(self, path: Path, key: dict[str, Any]) -> None:
        """Take over a finished step with the same key: from the parent, or from another arm (`ARM.step`) of this run.

        A step is a function of its key, so work done once (the same rationales of the same model, scored by the
        same model) is never done again for another selection rule or arm. What comes from another run says so: it took
        none of this run's time.
        """
        theirs = self._twin(path, key)
        if theirs is not None:
            tmp = path.with_name(f".{path.name}.tmp")
            shutil.rmtree(tmp, ignore_errors=True)  # of a killed attempt
            shutil.copytree(theirs, tmp, copy_function=os.link)
            head = {**json.loads((theirs / "step.json").read_text()), "key": key}
            if self.parent is not None and theirs.parent != path.parent:
                head["taken_over_from"] = self.parent.name
            write_atomic(tmp / "step.json", json.dumps(head, indent=1).encode())
            tmp.rename(path)

    def _twin(self, path: Path, key: dict[str, Any]) -> Path | None:
        if self.parent is not None:
            theirs = self.parent / path.relative_to(self.path)
            if (theirs / "done.json").exists() and json.loads((theirs / "step.json").read_text())[
                "key"
            ] == key:
                return theirs
        for done in path.parent.glob("[!.]*/done.json"):
            if done.parent not in self._keys:
                self._keys[done.parent] = armless(json.loads((done.parent / "step.json").read_text())["key"])
        wanted = armless(key)
        return next((p for p, k in self._keys.items() if k == wanted and p.parent == path.parent), None)


def folder(stage: str) -> str:
    """The stage's folder name, in reading order: `04_em`."""
    return f"{STAGES.index(stage) + 1:02d}_{stage}"


def no_run(path: Path) -> UserError:
    """The user's error for a path that is no run directory."""
    return UserError(
        f"'{path}' is not a run directory",
        expected="a folder with run.json",
        do="the folder that `promptcot run` named at its end, such as runs/pocket",
    )


def saved_recipe(path: Path) -> Recipe:
    """The recipe of an existing run directory.

    Raises:
        UserError: there is no run.
    """
    head = path / "run.json"
    if not head.exists():
        raise no_run(path)
    return parse(read_json(head)["recipe"], str(head))


def finished_steps(path: Path) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(stage/step, step.json, done.json) of every finished step, in order of stages and time of finish."""
    found = sorted(path.glob("[0-9][0-9]_*/*/done.json"), key=lambda p: (p.parts[-3], p.stat().st_mtime_ns))
    return [
        (
            "/".join(p.parts[-3:-1]),
            read_json(p.parent / "step.json"),
            read_json(p),
        )
        for p in found
    ]


def armless(key: dict[str, Any]) -> str:
    """What a step with this key was asked, whatever arm asked for it: equal for steps that are one piece of work."""
    return digest({**key, "step": key["step"].rpartition(".")[2]})


def _jsonable(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


@cache
def provenance() -> dict[str, Any]:
    """What ran: time, command, code version, Python and package versions."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "promptcot": __version__,
        "code": code_version(),
        "python": sys.version.split()[0],
        "packages": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change results; absent ones are left out."""
    names = ("torch", "transformers", "trl", "tokenizers", "numpy", "pyarrow", "datasets", "accelerate")
    out = {}
    for name in names:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def code_version() -> dict[str, str]:
    """Git commit and a digest of the uncommitted diff, when the package runs from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {"commit": "", "dirty": ""}

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    diff = git("diff", "HEAD", "--", "src")
    return {"commit": git("rev-parse", "HEAD"), "dirty": digest(diff) if diff else ""}
