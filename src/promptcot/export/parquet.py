"""Plain Parquet: the run's own records, every column, for `datasets.load_dataset(DIR)`."""

from __future__ import annotations

from functools import partial

from promptcot.domains.base import Domain
from promptcot.export.target import Data, Row, Target
from promptcot.records import Pair, Problem, Record, Trace, Triple, schema

RECORDS: dict[str, type[Record]] = {"problems": Problem, "pairs": Pair, "traces": Trace, "triples": Triple}


def row(record: Record, domain: Domain, n: int) -> Row:
    """The record itself."""
    return record.row()


TARGET = Target(
    name="parquet",
    line="Plain Parquet: the run's own records with their evidence, as a `datasets` folder",
    source="https://huggingface.co/docs/hub/datasets-manual-configuration",
    data={name: Data(f"{name}.parquet", row, partial(schema, kind)) for name, kind in RECORDS.items()},
    use="`datasets.load_dataset(DIR, 'problems')`: each table is a configuration.",
    marks_cut=True,
)
