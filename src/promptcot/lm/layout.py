"""Parts of a sequence laid end to end, and what every engine refuses to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from promptcot.lm.base import ContextOverflow, Part


@dataclass(frozen=True)
class Layout:
    """Parts laid end to end: all ids, and [start, end) of every scored part by name."""

    ids: tuple[int, ...]
    spans: dict[str, tuple[int, int]]

    @property
    def first(self) -> int:
        """The first position with a scored token; the length of `ids` when nothing is scored."""
        return min((start for start, end in self.spans.values() if end > start), default=len(self.ids))

    @property
    def last(self) -> int:
        """One past the last position with a scored token; 0 when nothing is scored."""
        return max((end for start, end in self.spans.values() if end > start), default=0)


def lay_out(parts: Sequence[Part], max_context: int) -> Layout:
    """Concatenates the ids of `parts` and notes where the scored ones lie.

    Raises:
        ContextOverflow: more than `max_context` tokens.
        ValueError: two scored parts share a name, or one covers position 0.
    """
    ids: list[int] = []
    spans: dict[str, tuple[int, int]] = {}
    for part in parts:
        if part.scored:
            _check_part(part, len(ids), spans)
            spans[part.name] = (len(ids), len(ids) + len(part.ids))
        ids.extend(part.ids)
    if len(ids) > max_context:
        sizes = ", ".join(f"{part.name} {len(part.ids)}" for part in parts)
        raise ContextOverflow(
            f"a sequence to score has {len(ids)} tokens ({sizes})",
            expected=f"at most {max_context}, the model's context",
            do="drop or shorten the row before scoring it, or use a model with a longer context",
        )
    return Layout(tuple(ids), spans)


def _check_part(part: Part, start: int, spans: dict[str, tuple[int, int]]) -> None:
    if part.name in spans:
        raise ValueError(f"two scored parts are named {part.name!r}; a score is looked up by its name")
    if part.ids and start == 0:
        raise ValueError(
            f"the scored part {part.name!r} covers position 0, which no token predicts; "
            "put an unscored part in front of it (the prompt, or a start token)"
        )
