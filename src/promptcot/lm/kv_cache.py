"""Key/value caches for decoding many rows, from which rows leave and which others join.

`RaggedCache` serves models of full attention. Row i keeps its token t in column t, whatever its neighbours
do, and a mask hides what lies behind its last token. Transformers' own cache would align the rows at their
ends, and copies everything at every token. `LockstepCache` serves the other models (sliding windows, linear
attention) with that own cache: its rows have one length, and none can join.

Dimensions: W rows, C columns; keys and values are [W, heads, C, head_dim].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from promptcot.lm.batching import round_up

# Below four rows matrix libraries take another path, and their sums round differently; likewise for
# columns between multiples of a vector register (512 bits of bfloat16). Both would make a draw depend on its
# company. One case is left: past 256 columns some split a sum by its length, which shows with four or more
# query heads to a key head.
LEAST_ROWS, COLUMN_STEP = 4, 32


class SlabLayer(DynamicLayer):  # type: ignore[misc]  # Transformers is untyped
    """Room for one layer's keys and values, written in place."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self.slabs = [
            states.new_zeros(0, states.shape[1], 0, states.shape[3]) for states in (layer.keys, layer.values)
        ]
        self.places_W, self.columns = torch.zeros(0), 0

    def get_seq_length(self) -> int:
        """Columns before the one being written, as the model's mask counts them."""
        return self.columns - 1

    def reserve(self, rows: int, columns: int) -> None:
        """Makes the slabs large enough, or anew. New room holds zeros: a masked NaN would still spoil a sum."""
        for i, old in enumerate(self.slabs):
            if rows <= old.shape[0] and columns <= old.shape[2]:
                continue
            self.slabs[i] = old.new_zeros(rows, old.shape[1], columns, old.shape[3])
            self.slabs[i][: len(old), :, : old.shape[2]] = old[:rows, :, :columns]

    def join(self, layer: Any, rows_N: torch.Tensor, start: int) -> None:
        """Copies row `rows_N[i]` of a prefilled layer into row `start + i`."""
        for slab, states in zip(self.slabs, (layer.keys, layer.values)):
            slab[start : start + len(rows_N), :, : states.shape[2]] = states[rows_N]
        self.columns = max(self.columns, states.shape[2])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes one token per row at its place and returns all columns in use, as views."""
        width = len(self.places_W)
        rows_W = torch.arange(width, device=self.device)
        for slab, states in zip(self.slabs, (key_states, value_states)):
            slab[rows_W, :, self.places_W] = states[:, :, 0]
        keys, values = (slab[:width, :, : self.columns] for slab in self.slabs)
        return keys, values

    def move(self, places_M: torch.Tensor, rows_M: torch.Tensor) -> None:
        """Row `places_M[i]` becomes a copy of row `rows_M[i]`, as far as columns are in use."""
        for slab in self.slabs:
            slab[places_M, :, : self.columns] = slab[rows_M, :, : self.columns]


class RaggedCache:
    """Rows of any length, which may join at any time."""

    prefill_step = 16  # prompts are padded on the right to a multiple of this

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache: Any = None

    def join(self, prefilled: Any, rows_N: torch.Tensor, start: int, room: tuple[int, int]) -> None:
        """Adds the rows `rows_N` of a prefilled cache, from row `start` on.

        `room` is how many rows are soon to be held, and how many tokens the largest can grow to: what they need
        at most is taken at once, so that memory that does not suffice shows before the first token.
        """
        if self.cache is None:
            self.cache = Cache(layers=[SlabLayer(layer) for layer in prefilled.layers])
        rows, columns = max(LEAST_ROWS, room[0]), round_up(room[1], COLUMN_STEP)
        for ours, theirs in zip(self.cache.layers, prefilled.layers):
            ours.reserve(rows, columns)
            ours.join(theirs, rows_N, start)

    def select(self, order: Sequence[int]) -> None:
        """Row i becomes row `order[i]`; only rows that change place are copied."""
        # Found on the host: asking the device, layer by layer, would wait for it as often.
        moved = [(i, row) for i, row in enumerate(order) if i != row]
        if not moved:
            return
        places_M, rows_M = torch.tensor(moved, device=self.model.device).unbind(1)
        for layer in self.cache.layers:
            layer.move(places_M, rows_M)

    def step(self, tokens_B: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Feeds row i its token number `lengths[i]`; logits [B, V] of the next one."""
        spare = max(0, LEAST_ROWS - len(lengths))
        places_W = torch.tensor([*lengths, *[0] * spare], device=self.model.device)
        columns = round_up(max(lengths) + 1, COLUMN_STEP)
        for layer in self.cache.layers:
            layer.places_W, layer.columns = places_W, columns
        out = self.model(
            input_ids=torch.nn.functional.pad(tokens_B, (0, spare))[:, None],
            position_ids=places_W[:, None],
            attention_mask=_mask(places_W, columns, self.model.dtype),
            past_key_values=self.cache,
            use_cache=True,
        )
        logits: torch.Tensor = out.logits[: len(lengths), -1]
        return logits


def _mask(places_W: torch.Tensor, columns: int, dtype: torch.dtype) -> torch.Tensor:
    """[W, 1, 1, C] to add to the attention scores: nothing up to a row's place, the least number behind it."""
    hidden_WC = torch.arange(columns, device=places_W.device) > places_W[:, None]
    mask_WC = torch.zeros(hidden_WC.shape, dtype=dtype, device=places_W.device)
    return mask_WC.masked_fill(hidden_WC, torch.finfo(dtype).min)[:, None, None]


class LockstepCache:
    """Rows of one length, all there from the start."""

    prefill_step = 1

    def __init__(self, model: Any) -> None:
        self.model = model
        self.cache: Any = None

    def join(self, prefilled: Any, rows_N: torch.Tensor, start: int, room: tuple[int, int]) -> None:
        """Takes over a prefilled cache; earlier rows must all have left (start is 0)."""
        prefilled.batch_select_indices(rows_N)
        self.cache = prefilled

    def select(self, order: Sequence[int]) -> None:
        """Row i becomes row `order[i]`."""
        self.cache.batch_select_indices(torch.tensor(order, dtype=torch.long, device=self.model.device))

    def step(self, tokens_B: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """Feeds one token per row; logits [B, V] of the next one."""
        out = self.model(input_ids=tokens_B[:, None], past_key_values=self.cache, use_cache=True)
        logits: torch.Tensor = out.logits[:, -1]
        return logits


def keeps_all(model: Any) -> bool:
    """Whether every layer of the model keeps the keys and values of all tokens (full attention)."""
    layers = DynamicCache(config=model.config).layers
    return bool(layers) and all(type(x) is DynamicLayer for x in layers)


def cache_for(model: Any) -> RaggedCache | LockstepCache:
    """The cache that suits the model's kinds of layers."""
    return RaggedCache(model) if keeps_all(model) else LockstepCache(model)
