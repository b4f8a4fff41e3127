"""Which rows go through the model together. Pure functions over lengths; results never depend on them.

Rows of equal length need no padding mask and share one position per step, so rows are sorted by length
first; a batch then takes neighbours whose lengths differ little.
"""

from __future__ import annotations

from collections.abc import Sequence


def sampling_batches(
    prompts: Sequence[tuple[int, ...]], limits: Sequence[int], batch_tokens: int
) -> list[list[int]]:
    """Indices of prompts per decoding batch; identical prompts are neighbours, so they share a prefill.

    A batch of B rows needs room for B * (longest prompt + largest limit) tokens, at most `batch_tokens`
    unless one row alone needs more. Its prompt lengths differ by an eighth, or eight tokens, at most.
    """
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
    batches: list[list[int]] = []
    shortest = limit = 0
    for i in order:
        length = len(prompts[i])
        limit = max(limit, limits[i])
        fits = bool(batches) and (len(batches[-1]) + 1) * (length + limit) <= batch_tokens
        if not fits or length - shortest > max(8, shortest // 8):
            batches.append([])
            shortest, limit = length, limits[i]
        batches[-1].append(i)
    return batches


def scoring_batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of sequences per forward pass, longest first, padded size at most `batch_tokens` (or one row)."""
    batches: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = lengths[i]
        batches[-1].append(i)
    return batches
