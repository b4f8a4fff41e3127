"""The back ends, in the order they are probed, and the choice among them.

`bwrap`: bubblewrap gives the program namespaces of its own (files, processes, network, IPC, users) with nothing
writable in them, and a seccomp filter. `landlock`: no namespaces; Landlock (kernel 5.13) limits files to reading
Python itself, the same filter does the rest. Both run without privileges and drop those of root. `unsafe`: limits
and a killable process, no sandbox; never chosen by itself.

A probe runs a program that tries to get out. A back end that starts but does not confine is as good as absent.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from promptcot.errors import UserError
from promptcot.verify.sandbox import filter as seccomp
from promptcot.verify.sandbox.packages import Packages, find, names

Choice = Literal["auto", "bwrap", "landlock", "unsafe"]
ORDER = ("bwrap", "landlock")
# Of an integer that a program reads or prints, as in LiveCodeBench; CPython itself has 4,300.
MAX_DIGITS = 50_000
_HERE = Path(__file__).parent
_INSIDE = Path("/promptcot")  # where these lie in bwrap's view:
_PACKAGES = Path("/packages")  # where they stand in bubblewrap, wherever they are installed
_SCRIPTS = ("launcher.py", "confine.py", "imports.py", "program.py")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# PYTHONHASHSEED is the one variable that must reach the interpreter, so -E (part of -I) cannot be used.
_PYTHON = ("-s", "-S", "-P", "-B", "-X", "utf8", "-X", f"int_max_str_digits={MAX_DIGITS}")


@dataclass(frozen=True)
class Backend:
    """A way to run the launcher.

    confine: what the launcher does to each test itself. readable: what Landlock lets it read. outer: the command
    in front of the interpreter. names_inner: whether that command tells the number of the process inside.
    packages: what programs can import besides the standard library.
    """

    name: str
    confine: str
    python: str
    filter: bytes = b""
    readable: tuple[str, ...] = ()
    outer: tuple[str, ...] = ()
    names_inner: bool = False
    launcher: str = str(_HERE / "launcher.py")
    about: str = ""
    packages: Packages = field(default_factory=Packages)

    def __str__(self) -> str:
        with_packages = f"; with {self.packages.about}" if self.packages.about else ""
        return f"{self.name} ({self.about}{with_packages})"

    def command(self, hash_seed: str, info_fd: int) -> list[str]:
        """The command line in front of the launcher's arguments."""
        inner = [self.python, *_PYTHON, self.launcher]
        if not self.names_inner:
            return inner
        told = ["--info-fd", str(info_fd), "--setenv", "PYTHONHASHSEED", hash_seed, "--"]
        return [*self.outer, *told, *inner]


@dataclass(frozen=True)
class Probe:
    """What a probe found: `why` says what is missing, empty if the back end can be used."""

    name: str
    why: str
    backend: Backend | None = field(default=None, repr=False)


def interpreter() -> str:
    """The interpreter itself, not a link to it in a virtual environment: only the standard library is offered."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def runtime() -> list[str]:
    """The files that Python needs to run: itself, its library, the shared libraries."""
    library = [
        sysconfig.get_path("stdlib"),
        os.path.join(sys.base_prefix, "lib"),
        os.path.join(sys.base_exec_prefix, sys.platlibdir),
    ]
    found = {interpreter(), *map(os.path.realpath, library)}
    return sorted(p for p in (*found, *_LIBRARIES) if os.path.exists(p))


@cache
def probe(name: str) -> Probe:
    """Can this back end be used here? Found out by running a program in it that tries to get out."""
    if missing := _missing(name):
        return Probe(name, missing)
    backend = _build(name, Packages())
    from promptcot.verify.sandbox.trial import trial

    why = trial(backend)
    return Probe(name, why, None if why else backend)


def _build(name: str, packages: Packages) -> Backend:
    builders: dict[str, Callable[[Packages], Backend]] = {
        "bwrap": _bwrap, "landlock": _landlock, "unsafe": _unsafe,
    }  # fmt: skip
    return builders[name](packages)


def choose(choice: str = "auto", packages: tuple[str, ...] = ()) -> Backend:
    """The back end for a choice; `auto` takes the first that passes its probe and never `unsafe`.

    Args:
        packages: Distributions that programs may import.

    Raises:
        UserError: the chosen one cannot be used here, or none can, with the reason of each and what to do; or a package
            is missing, or cannot be imported in there.
    """
    probes = [probe(name) for name in (ORDER if choice == "auto" else (choice,))]
    for found in probes:
        if found.backend is not None:
            return _with_packages(found.name, names(packages)) if packages else found.backend
    reasons = "; ".join(f"{p.name}: {p.why}" for p in probes)
    raise UserError(
        f"programs cannot be confined here ({reasons})",
        expected="bubblewrap with user namespaces, or Linux 5.13 or newer with Landlock; and seccomp",
        do="apt-get install bubblewrap (or your system's package), then: promptcot doctor. Or run only programs "
        "you trust: --set programs.sandbox=unsafe in a recipe, --sandbox unsafe for promptcot verify",
    )


@cache
def _with_packages(name: str, asked: tuple[str, ...]) -> Backend:
    from promptcot.verify.sandbox.trial import trial

    backend = _build(name, find(asked))
    if why := trial(backend):
        raise UserError(
            f"programs cannot import {', '.join(asked)} in the sandbox '{name}': {why}",
            expected="packages that can be imported there: no processes, no network, no files but their own",
            do="leave out the one that fails, or see `promptcot doctor`",
        )
    return backend


def _missing(name: str) -> str:
    """What can be seen to be absent without running anything; empty if nothing is."""
    if name == "unsafe":
        return ""
    if sys.platform != "linux":
        return f"needs Linux, this is {sys.platform}"
    if not seccomp.supported():
        return f"no system call table for {platform.machine()} (there is one for x86_64 and aarch64)"
    if name == "bwrap" and shutil.which("bwrap") is None:
        return "no command 'bwrap'; apt-get install bubblewrap"
    if name == "landlock" and not landlock_abi():
        return f"the kernel ({platform.release()}) has no Landlock, or it is switched off"
    return ""


def _unsafe(packages: Packages) -> Backend:
    about = "limits only, not a sandbox"
    return Backend("unsafe", "none", interpreter(), about=about, packages=packages)


def _landlock(packages: Packages) -> Backend:
    return Backend(
        "landlock", "landlock", interpreter(), seccomp.build(), _readable(packages),
        about=f"ABI {landlock_abi()}", packages=packages,
    )  # fmt: skip


def _readable(packages: Packages) -> tuple[str, ...]:
    return (*runtime(), *packages.paths, *(d for d in _DEVICES if os.path.exists(d)))


def landlock_abi() -> int:
    """Landlock's version in this kernel; 0 if it has none, or it is switched off."""
    import ctypes

    return max(0, int(ctypes.CDLL(None).syscall(444, None, 0, 1)))  # landlock_create_ruleset(2)


def _bwrap(packages: Packages) -> Backend:
    command = shutil.which("bwrap") or "bwrap"
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    landlock = landlock_abi() > 0  # where there is one, a second fence
    inside = packages.below(_PACKAGES)
    return Backend(
        "bwrap", "landlock" if landlock else "seccomp", interpreter(), seccomp.build(),
        (*_readable(inside), "/tmp") if landlock else (), _bwrap_command(command, landlock, packages), True,
        launcher=str(_INSIDE / "launcher.py"), about=said, packages=inside,
    )  # fmt: skip


def _bwrap_command(command: str, proc: bool, packages: Packages) -> tuple[str, ...]:
    """Nothing of the host but Python and the packages, read-only; nothing writable at all; no network; no way to gain rights.

    `/proc` is there only if Landlock fences it: its files belong to root, and root may be who we are. Programs
    need it for `/dev/stdin`.
    """
    words = [
        command, "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--as-pid-1",
        "--cap-drop", "ALL", "--hostname", "sandbox",
    ]  # fmt: skip
    if "--disable-userns" in _bwrap_options(command):  # since 0.8; the filter denies new namespaces anyway
        words.append("--disable-userns")
    for path, inside in zip(packages.paths, packages.below(_PACKAGES).paths, strict=True):
        words += ["--ro-bind", path, inside]
    for path in _outermost(runtime()):
        words += ["--symlink", os.readlink(path), path] if _short_link(path) else ["--ro-bind", path, path]
    for script in _SCRIPTS:
        words += ["--ro-bind", str(_HERE / script), str(_INSIDE / script)]
    words += ["--proc", "/proc"] if proc else []
    words += ["--dev", "/dev", "--remount-ro", "/dev"]
    return (*words, "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/tmp")


def _short_link(path: str) -> bool:
    """`/lib` is a link to `usr/lib` on most systems, and libraries are looked up through it."""
    return os.path.islink(path) and Path(path).parent == Path("/")


def _outermost(paths: list[str]) -> list[str]:
    """Without those that lie in another one, which would have to be mounted twice."""
    real = sorted(set(paths), key=len)
    return [p for i, p in enumerate(real) if not any(p.startswith(q + "/") for q in real[:i])]


@cache
def _bwrap_options(command: str) -> str:
    return subprocess.run([command, "--help"], capture_output=True, text=True, check=False).stdout
