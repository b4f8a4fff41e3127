"""When a sample ends: token ids that end it, and texts that may span several tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Stops:
    """ids end a sample at once. texts end it when the decoded text contains one; only a token in `closers`
    can complete a text, so only then is anything decoded."""

    ids: frozenset[int]
    texts: tuple[str, ...]
    closers: frozenset[int]
    decode: Decode

    def cut(self, ids: Sequence[int]) -> tuple[int, str] | None:
        """Where `ids` stop because of a text: how many whole tokens precede it, and the exact text before it.

        None while nothing has ended. A stop may begin inside a token: then that token is not counted, and
        the text still holds the token's characters before the stop.
        """
        if not self.texts or ids[-1] not in self.closers:
            return None
        # A character takes at most four byte-level tokens; the rest allows for tokens without text.
        tail = self.decode(ids[-4 * max(map(len, self.texts)) - 8 :])
        if not any(stop in tail for stop in self.texts):
            return None
        text = self.decode(ids)
        found = [text.find(stop) for stop in self.texts if stop in text]
        return (tokens_before(ids, text[: min(found)], self.decode), text[: min(found)]) if found else None


def tokens_before(ids: Sequence[int], text: str, decode: Decode) -> int:
    """How many whole tokens of `ids`, which continue beyond `text`, precede its end."""
    count = len(ids) - 1
    while count and not text.startswith(decode(ids[:count])):
        count -= 1
    return count


def make_stops(
    stop: Sequence[str],
    end_ids: frozenset[int],
    special: Mapping[str, int],
    pieces: Sequence[str],
    decode: Decode,
) -> Stops:
    """Splits stop strings into ids (a string that is exactly one special token) and texts.

    Args:
        stop: Stop strings, none of them empty.
        end_ids: Ids that always end a sample.
        special: Id of every special or added token, by its text.
        pieces: Text of every token id on its own; looked at only if some stop is not a special token.
        decode: Text of token ids, special tokens kept.
    """
    texts = tuple(s for s in stop if s not in special)
    closers = (
        frozenset(i for i, piece in enumerate(pieces) if _may_close(piece, texts)) if texts else frozenset()
    )
    return Stops(end_ids | {special[s] for s in stop if s in special}, texts, closers, decode)


def _may_close(piece: str, texts: tuple[str, ...]) -> bool:
    # "\ufffd" is part of a character. SentencePiece tokens lose their leading space when decoded alone,
    # so a stop that ends in a space can be completed by any token.
    return "\ufffd" in piece or any(text[-1] == " " or text[-1] in piece for text in texts)
