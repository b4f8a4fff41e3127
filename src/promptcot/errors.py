"""Errors a user can act on.

A `UserError` says what was seen, what was expected and what to type next. The command line
prints it without a traceback and exits with code 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A mistake in the input, the recipe or the environment, not in this package.

    Args:
        seen: What was found, with the offending value.
        expected: What would have been right.
        do: The next thing to type or change.
    """

    def __init__(self, seen: str, *, expected: str = "", do: str = "") -> None:
        self.seen, self.expected, self.do = seen, expected, do
        parts = [seen]
        if expected:
            parts.append(f"expected: {expected}")
        if do:
            parts.append(f"try: {do}")
        super().__init__("\n  ".join(parts))

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive pickling between processes by default.
        return (_rebuild, (type(self), self.seen, self.expected, self.do))


def _rebuild(cls: type[UserError], seen: str, expected: str, do: str) -> UserError:
    return cls(seen, expected=expected, do=do)


class MissingExtra(UserError):
    """An optional dependency is needed and not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{module}', which is not installed",
            do=f"pip install 'promptcot[{extra}]'",
        )
        self.module, self.extra = module, extra

    def __reduce__(self) -> tuple[object, ...]:
        return (MissingExtra, (self.module, self.extra))


def keep_input(source: Path, out: Path) -> None:
    """To be called before `out` is opened, which would empty `source` where they are one file, by whatever names.

    Raises:
        UserError: they are.
    """
    if source.is_file() and out.exists() and out.samefile(source):
        raise UserError(f"'{out}' is the file that is read", expected="another place to write to")
