"""Which concepts to combine: sampled from the seeds' own lists and their co-occurrence, or read from a file."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

import numpy as np

from promptcot.errors import UserError
from promptcot.readers.files import read_rows
from promptcot.readers.release import concept_list
from promptcot.readers.rows import own_id, row_domain

T = TypeVar("T")
MAX_TRIES = 50
LINE = '{"concepts": ["...", "..."]}'


@dataclass(frozen=True)
class ConceptList:
    """The concepts of one problem, with its domain and level."""

    domain: str
    level: str
    concepts: tuple[str, ...]


class ConceptGraph:
    """Concepts of one domain with how often each two occur in the same problem.

    A novel combination is a walk: a first concept by frequency, then each next one by its mean co-occurrence with
    those already chosen (plus `smoothing`, so that every concept can follow), until the size is reached; the walk is
    repeated until the set was never seen.
    """

    def __init__(self, lists: Sequence[ConceptList], smoothing: float = 0.1) -> None:
        self.lists, self.smoothing = lists, smoothing
        count = Counter(c for row in lists for c in set(row.concepts))
        self.names = sorted(count)
        self.at = {name: i for i, name in enumerate(self.names)}
        self.cumulative = list(accumulate(count[name] for name in self.names))
        together: dict[str, Counter[str]] = defaultdict(Counter)
        self.seen = {frozenset(row.concepts) for row in lists}
        self.of_size: dict[int, list[ConceptList]] = defaultdict(list)
        self.sizes: dict[str, list[int]] = defaultdict(list)  # by level
        for row in lists:
            for a in set(row.concepts):
                together[a].update(b for b in row.concepts if b != a)
            self.of_size[len(row.concepts)].append(row)
            self.sizes[row.level].append(len(row.concepts))
        self.near = [_neighbours(together[name], self.at) for name in self.names]

    def peers(self, level: str) -> Sequence[int]:
        """The sizes of the observed lists of this level, or of all when there is none."""
        return self.sizes.get(level) or [len(row.concepts) for row in self.lists]

    def seen_list(self, rng: random.Random, size: int) -> tuple[str, ...]:
        """An observed list of this size, or of any size when there is none."""
        return rng.choice(self.of_size.get(size) or self.lists).concepts

    def novel_list(self, rng: random.Random, size: int) -> tuple[str, ...]:
        """A combination never observed; after `MAX_TRIES` walks the last one, observed or not."""
        walk: tuple[str, ...] = ()
        for _ in range(MAX_TRIES):
            walk = self._walk(rng, min(size, len(self.names)))
            if frozenset(walk) not in self.seen:
                break
        return walk

    def _walk(self, rng: random.Random, size: int) -> tuple[str, ...]:
        chosen = [self.at[rng.choices(self.names, cum_weights=self.cumulative)[0]]]
        together = np.zeros(len(self.names))  # summed over the chosen
        while len(chosen) < size:
            near, counts = self.near[chosen[-1]]
            together[near] += counts
            weights = together / len(chosen) + self.smoothing
            weights[chosen] = 0.0
            cumulative = np.cumsum(weights)  # adds as `random.choices` does: the same draws, to the bit
            place = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
            chosen.append(min(place, len(self.names) - 1))  # a product that was rounded up
        return tuple(self.names[i] for i in chosen)


def _neighbours(counts: Mapping[str, int], at: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(positions, how often) of the concepts that one was seen with."""
    places = np.array([at[name] for name in counts], dtype=np.int64)
    return places, np.array(list(counts.values()), dtype=float)


def sample_lists(
    lists: Sequence[ConceptList], n: int, *, seed: int, novel: float, code_share: float,
    levels: Mapping[str, float], sizes: Mapping[int, float],
) -> list[ConceptList]:  # fmt: skip
    """`n` concept lists to write problems from.

    Raises:
        UserError: there is no concept list to start from.
    """
    if not lists:
        raise UserError("no concept lists among the triples", do="promptcot show RUN annotate/triples")
    rng = random.Random(seed)
    graphs = {d: ConceptGraph([r for r in lists if r.domain == d]) for d in sorted({r.domain for r in lists})}
    weights = (
        {d: code_share if d == "code" else (1.0 - code_share) / len(graphs.keys() - {"code"}) for d in graphs}
        if len(graphs) > 1
        else dict.fromkeys(graphs, 1.0)
    )
    out = []
    for _ in range(n):
        domain = _pick(rng, weights)
        graph = graphs[domain]
        level = _pick(rng, levels) if levels else rng.choice(graph.lists).level
        size = _pick(rng, sizes) if sizes else rng.choice(graph.peers(level))
        pick = graph.novel_list if rng.random() < novel else graph.seen_list
        out.append(ConceptList(domain, level, pick(rng, size)))
    return out


def _pick(rng: random.Random, weights: Mapping[T, float]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]


def file_lists(
    path: str, n: int, known: Sequence[ConceptList], *, seed: int, domain: str, levels: Mapping[str, float]
) -> list[ConceptList]:
    """`n` concept lists, those of a file in turn. Where it names no level one is drawn as in `sample_lists`: by `levels`,
    else from `known`, of the same domain if there are such.

    Raises:
        UserError: as `read_lists`; or it names no level, and there is none to draw from.
    """
    given, rng = read_lists(path, domain), random.Random(seed)
    same = {d: [row.level for row in known if row.domain == d] for d in {row.domain for row in given}}
    every = [row.level for row in known]
    if not (levels or every or all(row.level for row in given)):
        raise UserError(
            f"'{path}' has lists without a level, and no train triple has one",
            do='name them: a "level" in every line, or synthesize.levels',
        )
    out = []
    for i in range(n):
        row = given[i % len(given)]
        if not row.level:
            level = _pick(rng, levels) if levels else rng.choice(same[row.domain] or every)
            row = replace(row, level=level)
        out.append(row)
    return out


def read_lists(path: str, domain: str) -> list[ConceptList]:
    """Concept lists of a JSONL file: `concepts` (or `foundational_concepts`), optional `level` and `domain` (null is
    absent; an absent level is empty); or `prompt`, a prompt of the released generator.

    Raises:
        UserError: the file cannot be read, is empty, or a line holds no list of strings.
    """
    out = []
    for where, row in read_rows(Path(path)):
        if isinstance(row, str):
            raise UserError(f"'{path}' {where}: {row}", expected=LINE, do="mend that line")
        asked = concept_list(str(row.get("prompt", "")))  # as in the release's files of concepts
        row = {key: value for key, value in row.items() if value is not None}
        if asked:
            row = {"concepts": asked[0], "level": asked[1], "domain": asked[2], **row}
        concepts = row.get("concepts") or row.get("foundational_concepts")
        if not isinstance(concepts, list) or not concepts or not all(isinstance(c, str) for c in concepts):
            raise UserError(f"'{path}' {where} has no list of concepts", expected=LINE, do="mend that line")
        try:
            its_domain = row_domain(row.get("domain"), domain)
        except ValueError as e:
            raise UserError(f"'{path}' {where}: {e}", do="mend that line, or leave its domain out") from None
        out.append(ConceptList(its_domain, own_id(row.get("level"), ""), tuple(concepts)))
    if not out:
        raise UserError(f"'{path}' is empty", expected=f"one {LINE} per line", do="see synthesize.concepts")
    return out
