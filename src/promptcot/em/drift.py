"""Does the text still do its job? Cheap signs of a collapsing EM, from texts alone.

A public attempt at this method drifted away from its concepts, wrote programs when asked for mathematics, and lost
its format; the raw-sum reward invites rationales that every problem could share. Each of these is counted here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

STEM = 5  # letters that make two words one: factor, factors, factoring
LEAST = 4  # shorter words say little about a concept


def words(text: str) -> list[str]:
    """The words of a text in lower case, letters and digits only."""
    return "".join(ch if ch.isalnum() else " " for ch in text.lower()).split()


def coverage(concepts: Sequence[str], text: str) -> float:
    """Share of the concepts that a text names: at least half of a concept's words of four letters or more, by their
    first five letters. NaN without such concepts. A floor of faithfulness: a paraphrase is missed."""
    there = {w[:STEM] for w in words(text)}
    wanted = [{w[:STEM] for w in words(c) if len(w) >= LEAST} for c in concepts]
    named = [2 * len(stems & there) >= len(stems) for stems in wanted if stems]
    return sum(named) / len(named) if named else math.nan


def duplicates(texts: Sequence[str]) -> list[bool]:
    """For each text, whether another one is the same but for case and spaces."""
    keys = [" ".join(t.lower().split()) for t in texts]
    counts = Counter(keys)
    return [counts[k] > 1 for k in keys]


class DomainModel:
    """Naive Bayes over words, add-one smoothed: which domain's seeds does a problem read like?

    Enough to tell a programming problem from a mathematical one, and it knows any domain that has seeds.
    """

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        """Learns from (domain, problem) pairs."""
        self.counts: dict[str, Counter[str]] = {}
        self.documents: Counter[str] = Counter()
        for domain, problem in problems:
            self.counts.setdefault(domain, Counter()).update(words(problem))
            self.documents[domain] += 1
        self.vocabulary = len({w for c in self.counts.values() for w in c})

    def domain(self, problem: str) -> str | None:
        """The likeliest domain; None when fewer than two are known."""
        if len(self.counts) < 2:
            return None
        return max(sorted(self.counts), key=lambda d: self._score(d, Counter(words(problem))))

    def _score(self, domain: str, found: Mapping[str, int]) -> float:
        counts = self.counts[domain]
        total = counts.total() + self.vocabulary
        prior = math.log(self.documents[domain])
        return prior + sum(n * math.log((counts[w] + 1) / total) for w, n in found.items())
