"""Text to pretrain on and triples (c, z, x) to start from: the pocket world's and, where there is a file, GSM8K's.

Documents are written and tokenised in worker processes, ahead of the training that reads them. What a worker makes
depends on its arguments alone and is taken in order, so the text does not depend on the number of workers.
GSM8K (arXiv 2110.14168): the last items are held out, of pretraining too; calculator marks are taken out of its text.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from promptcot.domains import get
from promptcot.domains.sequences import Item
from promptcot.ids import digest
from promptcot.pocket.annotators import ANNOTATORS, annotate
from promptcot.pocket.corpus import chat, documents
from promptcot.pocket.world import items
from promptcot.readers.files import read_rows
from promptcot.readers.gsm8k import gsm8k_seed

STYLE = "compact"
GSM8K_SHARE = 0.15  # of the documents
GSM8K_CHAT = 0.7  # of those: problem with solution; the others are problems alone
PER_SEED = 2  # annotators that write for each training problem of the pocket world
_MARK = re.compile(r"<<[^<>]*>>")


@dataclass(frozen=True)
class Example:
    """One triple: `item` is (c, x), `rationale` the annotator's z. seed: problems share it; source: pocket, gsm8k."""

    key: str
    seed: str
    source: str
    item: Item
    rationale: str


@dataclass(frozen=True)
class Gsm8k:
    """The file ("" for none) and how many of its last items are held out."""

    path: str
    heldout: int


class Workers:
    """Calls functions in other processes, or in this one where `count` is 0."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = get_context("spawn").Pool(count) if count else None

    def start(self, fn: Callable[..., Any], *args: Any) -> Callable[[], Any]:
        """Begins `fn(*args)`; call the answer for its result."""
        if self.pool is None:
            return lambda: fn(*args)
        return self.pool.apply_async(fn, args).get

    def stream(self, fn: Callable[..., Any], *args: Any) -> Iterator[Any]:
        """fn(0, *args), fn(1, *args), ... without end, a few ahead."""
        ahead: deque[Callable[[], Any]] = deque()
        for n in itertools.count():
            ahead.append(self.start(fn, n, *args))
            if len(ahead) > 2 * self.count:
                yield ahead.popleft()()

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        if self.pool is not None:
            self.pool.terminate()
            self.pool.join()


def texts(chunk: int, seed: int, count: int, gsm8k: Gsm8k) -> list[str]:
    """`count` pretraining documents, determined by the arguments."""
    rng = random.Random(digest(["em-gpu", seed, chunk]))
    stream = documents(rng.getrandbits(48))
    solved = _gsm8k_texts(gsm8k)
    return [
        _gsm8k_document(rng, solved) if solved and rng.random() < GSM8K_SHARE else next(stream).text
        for _ in range(count)
    ]


def token_rows(chunk: int, seed: int, count: int, gsm8k: Gsm8k, tokenizer: str) -> list[np.ndarray[Any, Any]]:
    """Ids (uint16, one array per document) of `texts`, by the tokenizer in the file `tokenizer`."""
    encoded = _tokenizer(tokenizer).encode_batch(texts(chunk, seed, count, gsm8k), add_special_tokens=False)
    return [np.array(e.ids, dtype=np.uint16) for e in encoded]


def pocket_rows(seed: int, split: str, count: int, per_seed: int) -> list[tuple[Any, ...]]:
    """Arguments of `example` for `count` problems; the annotators' turns rotate."""
    names, rows = list(ANNOTATORS), []
    for n, it in enumerate(items(count, seed, split)):
        for turn in range(per_seed):
            found = annotate(names[(n + turn) % len(names)], it.text, seed)
            if found is not None:
                rows.append(
                    (
                        f"pocket-{split}-{n}",
                        turn,
                        it.domain,
                        it.level,
                        found.concepts,
                        it.text,
                        found.rationale,
                    )
                )
    return rows


def example(
    seed: str, turn: int, domain: str, level: str, concepts: Sequence[str], problem: str, rationale: str
) -> Example:
    """An example from plain values."""
    return Example(
        f"{seed}-{turn}", seed, seed.partition("-")[0],
        Item(get(domain, STYLE), level, concepts, problem), rationale,
    )  # fmt: skip


def gsm8k_examples(gsm8k: Gsm8k) -> tuple[list[Example], list[Example]]:
    """(training, held-out) triples of the file, in its order; two empty lists without one."""
    rows = [
        example(f"gsm8k-{n}", 0, "math", s.level, s.concepts, s.problem, s.rationale)
        for n, (s, _) in enumerate(_gsm8k(gsm8k.path))
    ]
    cut = len(rows) - gsm8k.heldout
    return rows[:cut], rows[cut:]


@cache
def _gsm8k(path: str) -> list[tuple[Any, str]]:
    """(seed, solution without marks) of every row with calculator marks."""
    if not path:
        return []
    rows = []
    for where, row in read_rows(Path(path)):
        found = gsm8k_seed(row, where) if isinstance(row, dict) else row
        if isinstance(row, dict) and not isinstance(found, str | tuple):
            rows.append((found, _MARK.sub("", row.get("solution") or row["answer"])))
    return rows


def _gsm8k_texts(gsm8k: Gsm8k) -> list[tuple[str, str]]:
    rows = _gsm8k(gsm8k.path)
    return [(seed.problem, solution) for seed, solution in rows[: max(0, len(rows) - gsm8k.heldout)]]


def _gsm8k_document(rng: random.Random, solved: Sequence[tuple[str, str]]) -> str:
    problem, solution = rng.choice(solved)
    return chat(problem, solution) if rng.random() < GSM8K_CHAT else f"<|problem|>{problem}<|end|>"


@cache
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(path)
