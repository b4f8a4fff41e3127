"""Inside the sandbox: finds the packages that programs may import, each by its name.

Loaded by `launcher.py`. Their folder is no place on `sys.path`: it cannot be listed in there, and holds more than them.
"""

from __future__ import annotations

import os
import sys

# A library that splits work among threads of its own counts processors, not what it may use: in here one thread is
# fastest, takes the least memory, and lets the process fork.
THREADS = [f"{library}_NUM_THREADS" for library in ("OPENBLAS", "OMP", "MKL", "BLIS", "NUMEXPR")]


class Finder:
    """A finder of `sys.meta_path`: name -> file or folder."""

    def __init__(self, places: dict[str, str]) -> None:
        from importlib import machinery, util  # takes milliseconds: only where there are packages

        self.places, self.in_file, self.in_folder = places, util.spec_from_file_location, machinery.ModuleSpec

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """The module that has this name at the top; what lies in a package is found in its folder as usual."""
        if (place := self.places.get(name)) is None:
            return None
        first = os.path.join(place, "__init__.py")
        if os.path.exists(first):
            return self.in_file(name, first, submodule_search_locations=[place])
        if not os.path.isdir(place):
            return self.in_file(name, place)
        spec = self.in_folder(name, None, is_package=True)
        spec.submodule_search_locations = [place]
        return spec


def offer(modules: list[str], preload: list[str]) -> None:
    """Let NAME=PATH be imported, and import some now, once for all programs.

    Raises:
        RuntimeError: one of them starts threads, which a fork would not have.
    """
    os.environ.update(dict.fromkeys(THREADS, "1"))
    finder = Finder(dict(module.split("=", 1) for module in modules))
    sys.meta_path.append(finder)  # type: ignore[arg-type]
    for name in preload:
        try:
            __import__(name)
        except Exception:  # noqa: BLE001  (the program that imports it gets to see why)
            continue
        if threads() > 1:
            raise RuntimeError(f"the package {name} starts threads when it is imported")


def threads() -> int:
    """Of this process; 0 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0


def begin() -> None:
    """In a fork: a random state of its own, as a new process has. `random` sees to that itself, NumPy does not."""
    if generator := sys.modules.get("numpy.random"):
        generator.seed()
