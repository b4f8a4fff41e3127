"""Which rows go through the model together. Pure functions over lengths.

Sums in floating point depend on the shape of the tensors. So the padded length of a row follows from its
own length alone, and only rows of one padded length share a pass: on a CPU the results are then the same,
bit for bit, whatever the company.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def round_up(length: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `length`."""
    return -(-length // step) * step


def joining(waiting: Iterable[int], alive: Sequence[int], batch_tokens: int, at_once: bool = False) -> int:
    """How many waiting rows should join the batch now, in order.

    A row's size is the tokens it can grow to. As many fit as keep rows * largest size within `batch_tokens`
    (one row always fits an empty batch). Joining costs a prefill, so unless it must be `at_once` it is put off, by
    answering 0, until the newcomers are a quarter of the rows already there.
    """
    count, largest = 0, max(alive, default=0)
    for size in waiting:
        largest = max(largest, size)
        rows = len(alive) + count + 1
        if rows > 1 and rows * largest > batch_tokens:
            break
        count += 1
    return count if at_once or 4 * count >= len(alive) else 0


def scoring_batches(lengths: Sequence[int], batch_tokens: int, step: int) -> list[list[int]]:
    """Indices of sequences per forward pass, longest first.

    Sequences of a batch have one length once rounded up to `step`; its padded size is at most `batch_tokens`,
    unless one row alone is larger.
    """
    batches: list[list[int]] = []
    padded = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = round_up(lengths[i], step)
        if not batches or length != padded or (len(batches[-1]) + 1) * padded > batch_tokens:
            batches.append([])
            padded = length
        batches[-1].append(i)
    return batches
