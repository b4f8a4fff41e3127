"""The tables of a run, asked through DuckDB: filter, page, count, one row, and its lineage.

DuckDB reads only the columns and row groups that a question needs, so a table of a million rows is paged through in flat
memory. The connection may read the run directory and nothing else, and only SELECT statements pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from promptcot.errors import MissingExtra, UserError
from promptcot.records import Verdict
from promptcot.rundir import finished_steps, saved_recipe

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

FACETS = ("split", "domain", "level", "annotator", "finish", "verdict", "reason")  # columns with few values
SCORED = (Verdict.CORRECT.value, Verdict.INCORRECT.value, Verdict.NO_ANSWER.value)
RELATED = 20  # rows shown of one table in a lineage
BATCH_ROWS = 1024
POSITION = "filename, file_row_number"  # where a row stands in its table


@dataclass(frozen=True)
class Table:
    """One table of a run: a finished step's rows, or its rejects (`stage/step/rejects`)."""

    name: str
    rows: int
    files: tuple[str, ...]
    columns: dict[str, str]  # name -> DuckDB type

    @property
    def references(self) -> tuple[str, ...]:
        """The columns that hold ids of rows of other tables."""
        return tuple(c for c in self.columns if c.endswith("_id"))

    @property
    def facets(self) -> tuple[str, ...]:
        return tuple(c for c in FACETS if c in self.columns)


@dataclass(frozen=True)
class Filter:
    """Which rows. text: in any text column, case ignored. equals: column -> value. concept: one of the concepts.
    low, high: bounds of the solve rate in [0, 1]. where: a condition in SQL."""

    text: str = ""
    equals: dict[str, str] = field(default_factory=dict)
    concept: str = ""
    low: float = 0.0
    high: float = 1.0
    where: str = ""

    @property
    def by_rate(self) -> bool:
        return self.low > 0.0 or self.high < 1.0

    @property
    def joins(self) -> bool:
        """Whether other tables may enter; a join does not keep the order of rows by itself."""
        return self.by_rate or bool(self.where)


@dataclass(frozen=True)
class Relatives:
    """Rows of one table that share ids with a row. relation: same (as another stage knows it), source (it refers to
    them) or made (they refer to it, or to what it refers to)."""

    table: str
    relation: str
    column: str
    value: str
    total: int
    rows: list[dict[str, Any]]


class Run:
    """The finished tables of a run directory.

    Raises:
        UserError: not a run directory.
        MissingExtra: DuckDB is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import duckdb
        except ModuleNotFoundError as error:
            raise MissingExtra("duckdb", "view") from error
        self.path = path.resolve()
        self.name = saved_recipe(path).name
        self.error: type[Exception] = duckdb.Error
        self._db = duckdb.connect()
        self._db.execute("SET allowed_directories = ?", [[str(self.path)]])
        self._db.execute("SET enable_external_access = false")
        self._db.execute("SET lock_configuration = true")
        self.tables = dict(self._find())

    def _find(self) -> Iterator[tuple[str, Table]]:
        for step, _, done in finished_steps(self.path):
            for prefix, suffix, count in (("part", "", "rows_out"), ("rejects", "/rejects", "rejected")):
                files = tuple(str(f) for f in sorted((self.path / step).glob(f"{prefix}-*.parquet")))
                if files and done.get(count):
                    name = step[3:] + suffix
                    found = self._ask(f"SELECT * FROM {_parquet(files[:1])}")
                    kinds = dict(zip(found.columns, map(str, found.types), strict=True))
                    yield name, Table(name, int(done[count]), files, kinds)

    def _ask(self, sql: str, values: Iterable[Any] = ()) -> duckdb.DuckDBPyRelation:
        """One SELECT, on a cursor of its own (cursors may be used from several threads)."""
        return self._db.cursor().sql(sql, params=list(values))

    def table(self, name: str) -> Table:
        """The table called `stage/step` or `stage/step/rejects`.

        Raises:
            UserError: there is none; the message lists those there are.
        """
        if name not in self.tables:
            raise UserError(
                f"no finished table '{name}' in '{self.path.name}'",
                expected=f"one of: {', '.join(self.tables)}",
            )
        return self.tables[name]

    def count(self, table: Table, where: Filter) -> int:
        """How many rows pass."""
        if where == Filter():
            return table.rows
        return int(self._select("count(*)", table, where).fetchall()[0][0])

    def page(self, table: Table, where: Filter, start: int = 0, size: int = 50) -> list[dict[str, Any]]:
        """Rows `start` to `start + size` of those that pass, in the table's own order, each with `solve_rate` and
        `attempts` where its problem was attempted."""
        reader = self.batches(table, where, start, size)
        rows = [row for batch in reader for row in batch.to_pylist()]
        rates = self._rates_of(table, [row["id"] for row in rows])
        return [row | rates.get(row["id"], {}) for row in rows]

    def batches(
        self, table: Table, where: Filter, start: int = 0, size: int | None = None
    ) -> pa.RecordBatchReader:
        """The rows that pass as Arrow batches, without holding them all."""
        order = " ORDER BY t.filename, t.file_row_number" if where.joins else ""
        limit = f"{order} LIMIT {size:d}" if size is not None else order
        return self._select(
            f"t.* EXCLUDE ({POSITION})", table, where, f"{limit} OFFSET {start:d}"
        ).to_arrow_reader(BATCH_ROWS)

    def facets(self, table: Table) -> dict[str, list[tuple[str, int]]]:
        """Column -> its values with how often each occurs, for the columns with few values."""
        out = {}
        for column in table.facets:
            sql = f"SELECT {column}::VARCHAR, count(*) FROM {_parquet(table.files)} GROUP BY 1 ORDER BY 1 LIMIT 100"
            found = [(value or "", n) for value, n in self._ask(sql).fetchall()]
            if len(found) > 1:
                out[column] = found
        return out

    def row(self, table: Table, row_id: str) -> dict[str, Any]:
        """One row by its id.

        Raises:
            UserError: the table has no such row.
        """
        rows = self.page(table, Filter(equals={"id": row_id}), size=1)
        if not rows:
            raise UserError(f"no row '{row_id}' in {table.name}")
        return rows[0]

    def lineage(self, table: Table, row: dict[str, Any]) -> list[Relatives]:
        """What the row came from and what was made of it, in the order of the stages.

        Upward all the way (pair -> problem; candidate -> triple -> seed); downward what refers to the row or to what
        it directly refers to (so a pair shows the other attempts at its problem).
        """
        near = {row["id"], *(row[c] for c in table.references)}
        above: set[str] = set()
        todo = near - {row["id"]}
        while todo:
            above |= todo
            found = [r for t in self.tables.values() for r in self._having(t, "id", todo)]
            todo = {r[c] for r in found for c in r if c.endswith("_id")} - above - {row["id"]}
        out = []
        for other in self.tables.values():
            for ids, column, relation in (
                ({row["id"]}, "id", "same"),
                (above, "id", "source"),
                *((near, c, "made") for c in other.references),
            ):
                for value in sorted(ids):
                    rows = [
                        r
                        for r in self._having(other, column, {value}, RELATED + 1)
                        if other != table or r["id"] != row["id"]
                    ]
                    if rows:
                        total = (
                            len(rows)
                            if len(rows) <= RELATED
                            else self.count(other, Filter(equals={column: value}))
                        )
                        out.append(Relatives(other.name, relation, column, value, total, rows[:RELATED]))
        return out

    def _having(self, table: Table, column: str, ids: set[str], limit: int = RELATED) -> list[dict[str, Any]]:
        sql = f"SELECT * FROM {_parquet(table.files)} WHERE list_contains(?, {column}) LIMIT {limit}"
        rows: list[dict[str, Any]] = self._ask(sql, [sorted(ids)]).to_arrow_table().to_pylist()
        return rows

    def _select(self, columns: str, table: Table, where: Filter, tail: str = "") -> duckdb.DuckDBPyRelation:
        """The one place where a condition typed by a user enters: it must stay one SELECT, and parse.

        Raises:
            UserError: it does not.
        """
        import duckdb

        condition, values = self._condition(table, where)
        sql = f"SELECT {columns} FROM {self._from(table, where)} WHERE {condition}{tail}"
        try:
            if [s.type for s in duckdb.extract_statements(sql)] != [duckdb.StatementType.SELECT]:
                raise UserError("the condition is more than one expression", expected=WHERE_EXAMPLE)
            return self._ask(sql, values)
        except self.error as error:
            raise UserError(
                f"the condition failed: {str(error).splitlines()[0]}", expected=WHERE_EXAMPLE
            ) from None

    def _from(self, table: Table, where: Filter) -> str:
        source = f"{_parquet(table.files, ', filename = true, file_row_number = true')} t"
        if not where.by_rate:
            return source
        rates = self._rates()
        if rates is None:
            raise UserError(
                "nothing in this run was attempted yet: there are no solve rates", do="clear the solve rate"
            )
        return f"{source} JOIN ({rates}) r ON r.problem_id = t.{_problem_column(table)}"

    def _rates(self) -> str | None:
        """SQL of (problem_id, solve_rate, attempts): of the first step whose attempts at the problem have verdicts."""
        steps = [t for t in self.tables.values() if {"problem_id", "verdict"} <= set(t.columns)]
        if not steps:
            return None
        scored = ", ".join(f"'{v}'" for v in SCORED)
        union = " UNION ALL ".join(
            f"SELECT problem_id, verdict, {n} AS step FROM {_parquet(t.files)} WHERE verdict IN ({scored})"
            for n, t in enumerate(steps)
        )
        return (
            "SELECT problem_id, arg_min(rate, step) AS solve_rate, arg_min(n, step) AS attempts FROM (SELECT problem_id, step, "
            f"avg((verdict = '{SCORED[0]}')::INT) AS rate, count(*) AS n FROM ({union}) GROUP BY problem_id, step) GROUP BY problem_id"
        )

    def _rates_of(self, table: Table, ids: list[str]) -> dict[str, dict[str, Any]]:
        rates = self._rates()
        if rates is None or "problem" not in table.columns or not ids:
            return {}
        found = self._ask(f"SELECT * FROM ({rates}) WHERE list_contains(?, problem_id)", [ids]).fetchall()
        return {i: {"solve_rate": rate, "attempts": n} for i, rate, n in found}

    def _condition(self, table: Table, where: Filter) -> tuple[str, list[Any]]:
        parts, values = ["true"], list[Any]()
        if where.text:
            texts = [c for c, kind in table.columns.items() if kind == "VARCHAR"]
            parts.append(f"({' OR '.join(f'regexp_matches(t.{c}, ?)' for c in texts)})")
            values += [_literally(where.text)] * len(texts)
        for column, value in where.equals.items():
            if column not in table.columns:
                raise UserError(
                    f"no column '{column}' in {table.name}", expected=f"one of: {', '.join(table.columns)}"
                )
            parts.append(f"t.{column}::VARCHAR = ?")
            values.append(value)
        if where.concept:
            if "concepts" not in table.columns:
                raise UserError(f"{table.name} has no concepts", do="clear the concept")
            parts.append("list_contains(list_transform(t.concepts, lambda c: lower(c)), lower(?))")
            values.append(where.concept)
        if where.by_rate:
            parts.append("r.solve_rate BETWEEN ? AND ?")
            values += [where.low, where.high]
        if where.where:
            parts.append(f"({where.where})")
        return " AND ".join(parts), values


WHERE_EXAMPLE = "one condition in SQL over the table's columns, e.g. label_margin >= 3 AND level = '2'"


def _literally(text: str) -> str:
    """A regular expression (RE2) that finds just this text, whatever its case; in half the time of lowering every text."""
    return "(?i)" + re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", text)


def _problem_column(table: Table) -> str:
    return "problem_id" if "problem_id" in table.columns else "id"


def _parquet(files: Iterable[str], options: str = "") -> str:
    quoted = ", ".join("'" + f.replace("'", "''") + "'" for f in files)
    return f"read_parquet([{quoted}]{options})"
