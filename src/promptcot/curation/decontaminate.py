"""Rows that repeat a held-out or benchmark problem.

Plain 13-gram matching, which PromptCoT 2.0 names, flags every AIME problem that ends in "where m and n are
relatively prime positive integers. Find m+n". Qwen2 (arXiv 2407.10671, section 5.2.6) asks that the longest
common subsequence also covers 60% of the shorter text. The default here asks for both.
References under 13 words have no 13-gram: they match only a row that is equal but for case, white space, dollar signs
and punctuation. Equal texts agree in their symbols: 12 * 7 - 5 is not 12 + 7 * 5.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from promptcot.curation.words import WORD, visible
from promptcot.errors import MissingExtra, UserError

NGRAM_TOKENS = 13
MIN_RATIO = 0.6

Mode = Literal["strict13", "qwen", "both"]

_WORDS = re.compile(WORD)
_SYMBOLS = re.compile(rf"{WORD}|[^\w\s]|_")
# LaTeX's marks around and spaces in formulas, and punctuation; a point or colon before a digit belongs to a number.
_IGNORED = re.compile(r"\\[()\[\],;:! ]|[$\",;?“”。、]|[.:](?!\d)")


@dataclass(frozen=True)
class Contamination:
    """Row `id` repeats the reference `reference_id`.

    span: The longest run of consecutive tokens they share. ratio: length of their longest common subsequence
    over the length of the shorter one, 1 for equal texts.
    """

    id: str
    reference_id: str
    kind: Literal["equal", "overlap"]
    span: str
    ratio: float


def normalize_tokens(text: str) -> list[str]:
    """The words (`promptcot.curation.words`) in compatibility Unicode and lower case, without any symbols and what is not
    seen."""
    return _WORDS.findall(_compatible(text))


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", visible(text)).lower()


def find_contaminated(
    rows: Iterable[tuple[str, str]],
    references: Sequence[tuple[str, str]],
    *,
    mode: Mode = "both",
    min_ratio: float = MIN_RATIO,
) -> list[Contamination]:
    """The rows to drop, each with the reference it resembles most (the first among equals).

    Args:
        rows: (id, text) of what may be contaminated.
        references: (id, text) of held-out and benchmark problems; never their answers.
        mode: `strict13`: any shared run of 13 tokens. `qwen`: a common subsequence of at least 13 tokens and
            of `min_ratio` of the shorter text. `both`: a shared run of 13 and a subsequence of `min_ratio`.

    Raises:
        MissingExtra: rapidfuzz is not installed.
        UserError: an unknown mode.
    """
    if mode not in ("strict13", "qwen", "both"):
        raise UserError(f"decontamination mode {mode!r}", expected="strict13, qwen or both")
    index = _References(references, mode, min_ratio)
    return [hit for ident, text in rows if (hit := index.match(ident, text)) is not None]


class _References:
    """References prepared for many look-ups."""

    def __init__(self, references: Sequence[tuple[str, str]], mode: Mode, min_ratio: float) -> None:
        self._mode, self._min_ratio = mode, min_ratio
        self._ids = [ident for ident, _ in references]
        self._tokens = [normalize_tokens(text) for _, text in references]
        self._equal: dict[str, int] = {}
        self._ngrams: dict[tuple[str, ...], list[int]] = {}
        for i, (_, text) in enumerate(references):
            self._equal.setdefault(_key(text), i)
            for ngram in set(_ngrams(self._tokens[i])):
                self._ngrams.setdefault(ngram, []).append(i)

    def match(self, ident: str, text: str) -> Contamination | None:
        """The reference that `text` resembles most, if any by the mode's rule."""
        key, tokens = _key(text), normalize_tokens(text)
        if (same := self._equal.get(key)) is not None:
            return Contamination(ident, self._ids[same], "equal", key, 1.0)
        scored = [
            (ratio, -i) for i in self._candidates(tokens) if (ratio := self._ratio(tokens, i)) is not None
        ]
        if not scored:
            return None
        ratio, negative = max(scored)
        span = " ".join(longest_run(tokens, self._tokens[-negative]))
        return Contamination(ident, self._ids[-negative], "overlap", span, ratio)

    def _candidates(self, tokens: list[str]) -> Iterable[int]:
        if self._mode == "qwen":
            return range(len(self._tokens))
        return sorted({i for ngram in _ngrams(tokens) for i in self._ngrams.get(ngram, ())})

    def _ratio(self, tokens: list[str], i: int) -> float | None:
        """Length of the common subsequence over that of the shorter text, or None if the mode's bar is higher."""
        shorter = min(len(tokens), len(self._tokens[i]))
        bar = 0 if self._mode == "strict13" else max(NGRAM_TOKENS, math.ceil(self._min_ratio * shorter))
        if bar > shorter:
            return None
        length = common_subsequence(tokens, self._tokens[i], bar)
        return length / shorter if length >= max(bar, 1) else None


def _key(text: str) -> str:
    """What equal texts share: words and symbols. A text of nothing but punctuation is compared as it is."""
    told = _IGNORED.sub(" ", _compatible(text))
    return " ".join(_SYMBOLS.findall(told)) or " ".join(text.split())


def _ngrams(tokens: list[str]) -> list[tuple[str, ...]]:
    return [tuple(tokens[i : i + NGRAM_TOKENS]) for i in range(len(tokens) - NGRAM_TOKENS + 1)]


def common_subsequence(a: Sequence[str], b: Sequence[str], at_least: int = 0) -> int:
    """Length of the longest common subsequence of tokens; 0 if it is below `at_least`, which is faster."""
    try:
        from rapidfuzz.distance import LCSseq
    except ImportError as error:
        raise MissingExtra("rapidfuzz", "curate") from error
    return int(LCSseq.similarity(a, b, score_cutoff=at_least or None))


def longest_run(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """The longest run of consecutive tokens that both contain; the first in `a` among equals."""
    best, end = 0, 0
    lengths = [0] * (len(b) + 1)  # lengths[j]: run that ends at a[i - 1] and b[j - 1]
    for i, token in enumerate(a):
        previous, lengths = lengths, [0] * (len(b) + 1)
        for j, other in enumerate(b):
            if token == other:
                lengths[j + 1] = previous[j] + 1
                if lengths[j + 1] > best:
                    best, end = lengths[j + 1], i + 1
    return list(a[end - best : end])
