"""Majority vote over sampled answers, by equivalence classes.

The members of a class are all equivalent to each other, the most frequent spelling chooses first, so the result does not
depend on the order of the samples, and an answer that can be read in two ways (5% is 5 or 0.05) does not make one class of
two that differ. A missing or blank answer never votes: silence is not an opinion that others can share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Equivalent = Callable[[str, str], bool]


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

    @property
    def agreement(self) -> float:
        """Share of the valid answers in the largest class; 0 if nobody voted."""
        return self.votes / self.valid if self.valid else 0.0


def tally(answers: Sequence[str | None], equivalent: Equivalent) -> Vote:
    """Count the votes. `equivalent` is asked at most once for each pair of different spellings."""
    counts = Counter(answer for answer in answers if answer is not None and answer.strip())
    histogram = _histogram(_classes(counts, equivalent), counts)
    sizes = [size for _, size in histogram] + [0, 0]
    tie = sizes[0] == sizes[1] > 0
    winner = histogram[0][0] if histogram and not tie else None
    return Vote(winner, sizes[0], len(answers), sizes[0] - sizes[1], tie, histogram)


def accept(vote: Vote, min_votes: int, min_share: float = 0.0, min_margin: int = 1) -> bool:
    """Is there one winner with enough votes, share of the valid votes, and lead? A tie never is."""
    enough = vote.votes >= min_votes and vote.agreement >= min_share and vote.margin >= min_margin
    return vote.winner is not None and enough


# --- early stopping


@dataclass(frozen=True)
class Early:
    """A vote that stopped when its decision was certain: the winning class is accepted or nothing will be.

    accepted: As `accept` decides after all `planned` samples. vote: over the answers that were read; its winner
    is of the class that wins in the end. saved: samples that were not needed.
    """

    accepted: bool
    vote: Vote
    planned: int

    @property
    def saved(self) -> int:
        """How many of the planned samples were not read."""
        return self.planned - self.vote.samples


def vote_early(
    answers: Iterable[str | None], planned: int, equivalent: Equivalent, min_votes: int, min_margin: int = 1
) -> Early:
    """Read answers one at a time and stop as soon as what is still to come cannot change the decision.

    Exact: the same decision and the same winning class as `tally` and `accept` over all `planned` answers, given
    that `equivalent` is an equivalence (an answer that can be read in two ways may leave the leader's class later).

    Args:
        answers: At most `planned` of them are taken; sampling may be lazy.
        planned: How many samples the vote has.
        equivalent: As for `tally`.
        min_votes: As for `accept`; without `min_share`, which counts answers that have not been read.
        min_margin: As for `accept`.
    """
    read: list[str | None] = []
    source = iter(answers)
    vote = tally(read, equivalent)
    while len(read) < planned:
        left = planned - len(read)
        if (certain := decided(vote, left, min_votes, min_margin)) is not None:
            return Early(certain, vote, planned)
        try:
            read.append(next(source))
        except StopIteration:
            planned = len(read)
            break
        vote = tally(read, equivalent)
    return Early(accept(vote, min_votes, min_margin=min_margin), vote, planned)


def decided(vote: Vote, left: int, min_votes: int, min_margin: int = 1) -> bool | None:
    """True or False if `left` more answers, whatever they are, lead there; None if it is open.

    Accepted in any case: the leader has its votes and keeps its lead if all go to the second. Refused in any
    case: not even the class that gets all the rest (a new one, too) reaches the votes and the lead.
    """
    sizes = [size for _, size in vote.histogram]
    lead = max(min_margin, 1)
    if sizes and sizes[0] >= max(min_votes, 1) and vote.margin - left >= lead:
        return True
    for i, size in enumerate([*sizes, 0]):
        others = sizes[:i] + sizes[i + 1 :]
        best = size + left
        if best >= max(min_votes, 1) and best - max(others, default=0) >= lead:
            return None
    return False


# --- classes


def class_of(answers: Sequence[str | None], equivalent: Equivalent) -> list[int | None]:
    """For every answer the number of its class, in order of first appearance; None for one that does not vote."""
    voting = Counter(answer for answer in answers if answer is not None and answer.strip())
    numbers = {a: n for n, members in enumerate(_classes(voting, equivalent)) for a in members}
    return [None if answer is None else numbers.get(answer) for answer in answers]


def _classes(counts: Counter[str], equivalent: Equivalent) -> list[list[str]]:
    """Complete linkage: a spelling joins the first class of whose members it equals every one. Classes and their members
    in order of first appearance."""
    classes: list[list[str]] = []
    for spelling in sorted(counts, key=lambda s: (-counts[s], s)):
        fits = (c for c in classes if all(equivalent(member, spelling) for member in c))
        joined = next(fits, None)
        if joined is None:
            classes.append([spelling])
        else:
            joined.append(spelling)
    place = {spelling: i for i, spelling in enumerate(counts)}
    return sorted((sorted(c, key=place.__getitem__) for c in classes), key=lambda c: place[c[0]])


def _histogram(classes: list[list[str]], counts: Counter[str]) -> list[tuple[str, int]]:
    # max and sorted keep the first among equals, and both see the order of first appearance.
    rows = [(max(members, key=counts.__getitem__), sum(counts[m] for m in members)) for members in classes]
    return sorted(rows, key=lambda row: -row[1])
