"""Domains of the user's own: Python files that a recipe names (docs/new-domain.md).

The text of a file becomes part of the recipe, so workers, other machines and a later resume use the same text whatever
becomes of the file, and a run directory refuses another one. Nothing is executed here; `promptcot.domains` does that
when a row of the domain is met.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import model_validator

from promptcot.errors import UserError
from promptcot.settings.base import Section, free

BUILT_IN = ("math", "code")


class DomainFile(Section):
    """A domain in a Python file; it is called as the file is (`riddles.py`: riddles). In a recipe: its path.

    digest: of the text, what a run directory compares. path, source: where it was read, and the text itself.
    """

    name: str
    digest: str
    path: str = free("")
    source: str = free("")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return read(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _sound(self) -> DomainFile:
        if not self.name.isidentifier() or self.name in BUILT_IN:
            raise ValueError(
                f"'{self.path}' would be the domain '{self.name}': "
                "the name of the file has to be a Python name, and neither math nor code"
            )
        if self.digest != _digest(self.source):
            raise ValueError(f"the saved text of '{self.path}' is not the one that the run began with")
        return self


def read(path: str) -> dict[str, str]:
    """The fields of a `DomainFile` for the file at `path`.

    Raises:
        UserError: it cannot be read.
    """
    try:
        source = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(
            f"cannot read the domain file '{path}': {getattr(e, 'strerror', None) or e}",
            do="domains: [FILE.py] with a file that is there; paths are as seen from where the command runs",
        ) from None
    return {"name": Path(path).stem, "digest": _digest(source), "path": path, "source": source}


def _digest(source: str) -> str:
    return blake2b(source.encode(), digest_size=16).hexdigest()


FILES: dict[str, DomainFile] = {}
"""Those that this process knows, by name: of the recipe it read last, or what its driver gave it."""


def register(files: Iterable[DomainFile]) -> None:
    """Make the domains of a recipe known to this process, instead of those of a recipe before."""
    FILES.clear()
    FILES.update((f.name, f) for f in files)
