"""How a row becomes a seed: our names and the columns they are read from, and every offending row with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from promptcot.domains import known
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.readers import release
from promptcot.readers.files import Raw, Rows
from promptcot.records import Reject, Seed, UnitTest
from promptcot.settings.problems import FieldName
from promptcot.verify.golds import answer_text, is_missing

ToSeed = Callable[[Raw, str], "Seed | tuple[str, str]"]

DEFAULT_FIELDS: dict[FieldName, tuple[str, ...]] = {
    "id": ("id",),
    "problem": ("problem", "question", "prompt"),
    "answer": ("answer", "expected_answer"),
    "concepts": ("concepts", "foundational_concepts"),
    "rationale": ("rationale",),
    "level": ("level", "difficulty"),
    "tests": ("tests", "test_cases"),
    "domain": ("domain",),
}


def mapped(
    raw: Iterable[tuple[str, Raw | str]], fields: Mapping[FieldName, str | None], source: str, key: str
) -> Rows:
    """The rows as they are.

    Args:
        key: Of the recipe, that holds `fields`.

    Raises:
        UserError: after the last row, where no row had one of the mapped columns.
    """
    seen: set[str] = set()
    for where, row in raw:
        if fields and isinstance(row, dict):
            made = release.plain(row)
            seen.update(row, made if isinstance(made, dict) else ())
        yield where, row
    for name, column in fields.items():
        # By its own name, a column may be missing as if it were not mapped.
        if seen and column not in seen and column not in (name, None):
            raise UserError(
                f"the column '{column}' of {key}.{name} is in no row of '{source}', which has: {', '.join(sorted(seen)[:20])}",
                do=f"name a column that is there, or leave {key}.{name} out",
            )


def plain_seed(
    fields: Mapping[FieldName, str | None], domain: str, source: str, key: str = "seeds.fields"
) -> ToSeed:
    """A function from a raw row to a seed.

    Args:
        fields: Our names and the columns to read them from; None: nothing is read. Usual names are tried otherwise.
        domain: Of rows that do not say theirs.
        key: Of the recipe, that holds `fields`.
    """

    def columns(name: FieldName) -> tuple[str, ...]:
        return ((fields[name] or "",) if fields[name] else ()) if name in fields else DEFAULT_FIELDS[name]

    def get(row: Raw, name: FieldName) -> Any:
        return next((row[c] for c in columns(name) if not is_missing(row.get(c))), None)

    def build(row: Raw, where: str) -> Seed | tuple[str, str]:
        found = row if "problem" in fields else release.plain(row)
        if isinstance(found, tuple):
            return found[0], f"{where}: {found[1]}"
        row = found
        problem = get(row, "problem")
        if not isinstance(problem, str):
            other = "" if problem is None else f" (a {type(problem).__name__})"
            return (
                "no_problem",
                f"{where}: no text in the column {' or '.join(columns('problem'))}{other}; it has {sorted(row)[:8]}",
            )
        concepts = get(row, "concepts") or []
        if not isinstance(concepts, list) or not all(isinstance(c, str) for c in concepts):
            return "bad_concepts", f"{where}: concepts is not a list of strings"
        tests = _tests(get(row, "tests"))
        if tests is None:
            return "bad_tests", f"{where}: tests is not a list of {{input, output}} strings"
        try:
            answer = answer_text(get(row, "answer"))
        except ValueError as e:
            return "bad_answer", f"{where}: {e}"
        try:
            its_domain = row_domain(get(row, "domain"), domain)
        except ValueError as e:
            ignore = f"--set {key}.domain=null reads every row as '{domain}'"
            return "unknown_domain", f"{where}: {e} in the column {columns('domain')[0]}; {ignore}"
        rationale = get(row, "rationale")
        return Seed(
            id=own_id(get(row, "id"), where), domain=its_domain, level=own_id(get(row, "level"), "unknown"),
            problem=release.bare(problem), answer=answer, tests=tests, concepts=concepts,
            rationale=rationale if isinstance(rationale, str) else None, source=source,
        )  # fmt: skip

    return build


def own_id(value: Any, otherwise: str) -> str:
    """A row's own name, which may be 0, or what it is called where it has none."""
    return otherwise if is_missing(value) else str(value)


def row_domain(value: Any, otherwise: str) -> str:
    """The domain that a row names; `otherwise` where it names none, as lists of topics do (Omni-MATH).

    Raises:
        ValueError: it is a text, and no domain.
    """
    if isinstance(value, list) and len(value) == 1 and known(value[0]):
        value = value[0]
    if not isinstance(value, str) or is_missing(value):
        return otherwise
    name = value if known(value) else value.strip().lower()
    if not known(name):
        raise ValueError(f"unknown domain '{value}'")
    return name


def _tests(value: Any) -> list[UnitTest] | None:
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    tests = []
    for item in value:
        if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("input", "output")):
            return None
        tests.append(UnitTest(item["input"], item["output"]))
    return tests


def read_seeds(
    raw: Iterable[tuple[str, Raw | str]], build: ToSeed, source: str
) -> tuple[int, list[Seed], list[Reject]]:
    """All usable seeds and every offending row with its reason. The first of two equal ids is kept.

    Returns (rows read, seeds, rejects); seed ids are digests of the source's own ids.
    """
    seeds: dict[str, Seed] = {}
    rejects: list[Reject] = []
    n = 0
    for where, row in raw:
        n += 1
        if isinstance(row, str):
            reason, _, detail = row.partition(": ")
            rejects.append(Reject(where, reason, f"{where}: {detail}"))
            continue
        made = build(row, where)
        if isinstance(made, tuple):
            rejects.append(Reject(where, *made))
        elif made.id in seeds:
            rejects.append(Reject(where, "duplicate_id", f"{where}: the id {made.id!r} was used before"))
        else:
            seeds[made.id] = made
    named = [replace(s, id=digest(["seed", source, s.id]), source=f"{source}#{s.id}") for s in seeds.values()]
    return n, named, rejects
