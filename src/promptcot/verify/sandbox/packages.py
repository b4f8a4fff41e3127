"""Packages that programs may import besides the standard library: found where this process finds its own.

A package is an installed distribution by the name that pip uses (`scikit-learn`). With what it requires, it is made
readable in the sandbox, file by file as its own record lists them at the top of `site-packages`; the rest of that
folder stays out of sight.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from promptcot.errors import UserError

KNOWN = ("numpy", "sympy", "networkx", "sortedcontainers", "scipy", "pandas")
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")
_SUFFIXES = (*EXTENSION_SUFFIXES, ".py")
_NO_MODULES = (".pth", ".dist-info", ".egg-info", "__pycache__")


@dataclass(frozen=True)
class Packages:
    """What programs get. asked: the modules of the packages that were named, which a server imports once, before any
    program; modules: (name, file or folder) of all that can be imported; paths: all that can be read; about: the
    distributions with their versions."""

    asked: tuple[str, ...] = ()
    modules: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()
    about: str = ""

    def below(self, folder: Path) -> Packages:
        """The same where all of them stand in one folder."""
        modules = tuple((name, str(folder / Path(path).name)) for name, path in self.modules)
        return replace(
            self, modules=modules, paths=tuple(str(folder / Path(path).name) for path in self.paths)
        )


def names(given: Sequence[str]) -> tuple[str, ...]:
    """The names as pip compares them, each once, in order.

    Raises:
        UserError: one that is no name of a package.
    """
    for name in given:
        if not _NAME.fullmatch(name):
            raise UserError(f"the package name {name!r}", expected="names as pip has them, such as numpy")
    return tuple(sorted({_normal(name) for name in given}))


@cache
def find(asked: tuple[str, ...]) -> Packages:
    """The packages of these names and all that they require.

    Raises:
        UserError: one is not installed, or has no files that could be shown.
    """
    found: dict[str, Distribution] = {}
    own: list[str] = []
    modules: dict[str, str] = {}
    paths: list[str] = []
    for name in (asked := names(asked)):
        _collect(name, found)
    for name, what in found.items():
        tops = dict(_tops(what))
        paths += tops.values()
        importable = {m: path for top, path in tops.items() if (m := _module(top, path))}
        if not importable and name in asked:
            raise UserError(
                f"the package '{name}' lists no module among its files", expected="one that is installed whole",
                do=f"{_pip()} install --force-reinstall {name} (editable installs cannot be shown to programs)",
            )  # fmt: skip
        modules |= importable
        own += importable if name in asked else ()
    about = ", ".join(f"{name} {what.version}" for name, what in found.items())
    return Packages(tuple(own), tuple(modules.items()), tuple(paths), about)


def installed(known: Sequence[str] = KNOWN) -> dict[str, str]:
    """Which of these packages are installed: name -> version, empty if it is not."""
    out: dict[str, str] = {}
    for name in known:
        try:
            out[name] = distribution(name).version
        except PackageNotFoundError:
            out[name] = ""
    return out


def _collect(name: str, found: dict[str, Distribution]) -> None:
    """The distribution and those that it requires; what only some extra or another system needs may be missing."""
    if name in found:
        return
    try:
        found[name] = distribution(name)
    except PackageNotFoundError:
        raise _missing(name) from None
    for text in found[name].requires or ():
        requirement, _, marker = text.partition(";")
        if "extra" in marker or not (match := _NAME.match(requirement)):
            continue
        try:
            _collect(_normal(match[0]), found)
        except UserError:
            if not marker:
                raise


def _missing(name: str) -> UserError:
    owners = packages_distributions().get(name) or packages_distributions().get(name.replace("-", "_"))
    hint = f"; there is '{owners[0]}', which brings the module" if owners else ""
    return UserError(
        f"the package '{name}' for programs is not installed for {sys.executable}{hint}",
        expected="installed packages, by the names that pip has for them",
        do=f"{_pip()} install {name}" if not owners else f"name {owners[0]} instead",
    )


def _pip() -> str:
    return f"{sys.executable} -m pip"


def _tops(what: Distribution) -> Iterator[tuple[str, str]]:
    """(name, path) of its files and folders at the top of the folder it is installed in."""
    root = os.path.realpath(str(what.locate_file("")))
    if what.files is None:  # it was installed without a record, as Debian's are
        tops = [
            top + end for top in (what.read_text("top_level.txt") or "").split() for end in ("", *_SUFFIXES)
        ]
    else:
        tops = [top for file in what.files for top in file.parts[:1]]
    for top in dict.fromkeys(tops):
        path = os.path.join(root, top)
        # A record may name files outside of that folder, such as scripts; they are not for programs.
        inside = os.path.dirname(os.path.normpath(path)) == root
        if inside and not top.endswith(_NO_MODULES) and os.path.exists(path):
            yield top, path


def _module(top: str, path: str) -> str:
    """The name by which it is imported; empty if it is not."""
    if os.path.isdir(path):
        return top if top.isidentifier() else ""
    suffix = next((s for s in _SUFFIXES if top.endswith(s)), "")
    name = top.removesuffix(suffix)
    return name if suffix and name.isidentifier() else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
