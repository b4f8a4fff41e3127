"""Exact and near duplicates among problems, by MinHash and locality-sensitive hashing.

Near means: estimated Jaccard similarity of the sets of word shingles at or above a threshold; of pairs just at the
threshold the index finds 99%, of closer ones more. Symbols are words here, so `x+1` and `x-1` differ;
so is each Chinese or Japanese character. The first row in the given order is the one that stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from promptcot.curation.words import ALONE, visible
from promptcot.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from datasketch import MinHash

Kind = Literal["exact", "near"]

FOUND = 0.99

_WORD = re.compile(rf"[{ALONE}]|[^\W{ALONE}]+|[^\w\s]")


@dataclass(frozen=True)
class Duplicate:
    """Row `id` repeats the kept row `duplicate_of`. similarity: 1 if exact, else the estimated Jaccard index."""

    id: str
    duplicate_of: str
    kind: Kind
    similarity: float


def normalize_text(text: str) -> str:
    """Canonical Unicode without what is not seen, case folded, runs of white space as one space. Symbols and digits stay."""
    return " ".join(unicodedata.normalize("NFC", visible(text)).casefold().split())


def shingles(text: str, size: int) -> list[str]:
    """The distinct runs of `size` words, sorted; a shorter text is one shingle."""
    words = _WORD.findall(normalize_text(text))
    runs = {" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))}
    return sorted(runs)


def find_duplicates(
    rows: Sequence[tuple[str, str]],
    *,
    threshold: float = 0.8,
    shingle: int = 3,
    num_perm: int = 128,
    seed: int = 1,
) -> list[Duplicate]:
    """The rows to drop, in the given order. A row is compared only to rows that are kept.

    Args:
        rows: (id, text) pairs; the order decides who stays.
        threshold: Estimated Jaccard similarity in (0, 1] from which a row is a near duplicate.
        shingle: Words per shingle.
        num_perm: Permutations; the estimate's standard error is at most 0.5 / sqrt(num_perm).
        seed: Of the permutations.

    Raises:
        MissingExtra: datasketch is not installed.
        UserError: a parameter is out of range.
    """
    if not 0 < threshold <= 1 or shingle < 1 or num_perm < 2:
        raise UserError(
            f"threshold={threshold}, shingle={shingle}, num_perm={num_perm}",
            expected="0 < threshold <= 1, shingle >= 1, num_perm >= 2",
        )
    index = _Index(threshold, num_perm, seed)
    seen: dict[str, tuple[str, float]] = {}  # text -> (the kept row it belongs to, similarity to it)
    found: list[Duplicate] = []
    for ident, text in rows:
        key = normalize_text(text)
        repeated = key in seen
        if not repeated:
            near = index.nearest_or_add(ident, shingles(text, shingle))
            seen[key] = near or (ident, 1.0)
        kept, similarity = seen[key]
        if repeated or kept != ident:
            kind: Kind = "exact" if repeated and similarity == 1.0 else "near"
            found.append(Duplicate(ident, kept, kind, similarity))
    return found


def bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """(bands, rows per band) of the index: the longest bands, so the fewest idle comparisons, with which a pair at the
    threshold shares a band with probability `FOUND`. One row each where no length gives that."""
    for rows in range(num_perm // 2, 1, -1):  # datasketch wants two bands
        if 1 - (1 - threshold**rows) ** (num_perm // rows) >= FOUND:
            return num_perm // rows, rows
    return num_perm, 1


class _Index:
    """Sketches of the kept rows."""

    def __init__(self, threshold: float, num_perm: int, seed: int) -> None:
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            raise MissingExtra("datasketch", "curate") from error
        self._threshold = threshold
        self._empty = MinHash(num_perm=num_perm, seed=seed)
        self._lsh = MinHashLSH(num_perm=num_perm, params=bands(threshold, num_perm))
        self._kept: list[tuple[str, MinHash]] = []

    def nearest_or_add(self, ident: str, parts: list[str]) -> tuple[str, float] | None:
        """The most similar kept row (the first among equals) and its similarity, or None: then it is kept."""
        sketch = self._empty.copy()
        sketch.update_batch([part.encode() for part in parts])
        scored = [(float(sketch.jaccard(self._kept[i][1])), -i) for i in self._lsh.query(sketch)]
        similarity, negative = max(scored, default=(0.0, 0))
        if scored and similarity >= self._threshold:
            return self._kept[-negative][0], similarity
        self._lsh.insert(len(self._kept), sketch)
        self._kept.append((ident, sketch))
        return None
