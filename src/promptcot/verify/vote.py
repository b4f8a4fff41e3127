"""Majority vote over sampled answers, by equivalence classes.

Classes come from union-find over all pairs, so the result does not depend on the order of the samples. A
missing or blank answer never votes: silence is not an opinion that others can share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Vote:
    """The outcome of a vote.

    winner: The most frequent spelling in the largest class; None if nobody voted or the vote is a tie.
    votes: Size of the largest class. margin: its lead over the second largest (`votes` if there is only one).
    samples: All answers, those that did not vote included.
    histogram: (spelling, size) of every class, largest first, first seen first among equals.
    """

    winner: str | None
    votes: int
    samples: int
    margin: int
    tie: bool
    histogram: list[tuple[str, int]]

    @property
    def valid(self) -> int:
        """How many answers voted."""
        return sum(size for _, size in self.histogram)


def tally(answers: Sequence[str | None], equivalent: Callable[[str, str], bool]) -> Vote:
    """Count the votes. `equivalent` is asked once for each pair of different spellings."""
    counts = Counter(answer for answer in answers if answer is not None and answer.strip())
    histogram = _histogram(_classes(list(counts), equivalent), counts)
    sizes = [size for _, size in histogram] + [0, 0]
    tie = sizes[0] == sizes[1] > 0
    winner = histogram[0][0] if histogram and not tie else None
    return Vote(winner, sizes[0], len(answers), sizes[0] - sizes[1], tie, histogram)


def accept(vote: Vote, min_votes: int) -> bool:
    """Is there one winner with at least `min_votes` votes? A tie never is."""
    return vote.winner is not None and vote.votes >= min_votes


def _classes(spellings: list[str], equivalent: Callable[[str, str], bool]) -> list[list[str]]:
    """Connected components of the equivalence graph, each in order of first appearance."""
    parent = list(range(len(spellings)))
    for j in range(len(spellings)):
        for i in range(j):
            if equivalent(spellings[i], spellings[j]):
                low, high = sorted((_root(parent, i), _root(parent, j)))
                parent[high] = low
    classes: dict[int, list[str]] = {}
    for i, spelling in enumerate(spellings):
        classes.setdefault(_root(parent, i), []).append(spelling)
    return list(classes.values())


def _root(parent: list[int], i: int) -> int:
    while parent[i] != i:
        i = parent[i]
    return i


def _histogram(classes: list[list[str]], counts: Counter[str]) -> list[tuple[str, int]]:
    # max and sorted keep the first among equals, and both see the order of first appearance.
    rows = [(max(members, key=counts.__getitem__), sum(counts[m] for m in members)) for members in classes]
    return sorted(rows, key=lambda row: -row[1])
