"""Identities and random seeds of rows.

`row_id` names a unit of work by what determines it; `row_seed` derives its random stream from the
run's seed and that name. Nothing depends on batch size, worker count, order, or Python's `hash`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any


def digest(value: Any, size: int = 16) -> str:
    """Hex blake2b of the canonical JSON of `value` (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def tree_digest(path: Path) -> str:
    """Digest of the names and contents of the files under a directory."""
    out: dict[str, str] = {}
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        out[str(file.relative_to(path))] = file_digest(file)
    return digest(out)


def file_digest(path: Path) -> str:
    """Hex blake2b of a file's content, read bit by bit."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def row_id(stage: str, version: int, inputs: Iterable[str], params: Any = None, sample: int = 0) -> str:
    """The 32 hex digits that name one row: a digest of what determines it.

    Args:
        stage: Name of the step that makes the row.
        version: Version of that step's code; raise it when its meaning changes.
        inputs: Ids of the rows it is made from, in order.
        params: JSON-able parameters that matter for the result.
        sample: Index among repeated draws from the same inputs.
    """
    return digest([stage, version, list(inputs), params, sample])


def row_seed(run_seed: int, ident: str) -> int:
    """A 64-bit seed for the row `ident` in a run with `run_seed`."""
    raw = hashlib.blake2b(f"{run_seed}:{ident}".encode(), digest_size=8).digest()
    return int.from_bytes(raw, "little")


def row_uniform(run_seed: int, ident: str) -> float:
    """A number in [0, 1) for the row `ident`: its one random decision."""
    return (row_seed(run_seed, ident) >> 11) / (1 << 53)
