"""Key/value cache for decoding many rows: written in place, rows dropped by moving few others.

Transformers' `DynamicLayer` concatenates, which copies the whole cache at every token. `SlabLayer` keeps
spare room at the end and hands the model views. Shapes: keys and values are [rows, heads, length, head_dim].
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

SPARE = 64  # tokens of room at least when a slab is made or grows


class SlabLayer(DynamicLayer):  # type: ignore[misc]  # Transformers is untyped
    """A full-attention cache layer with room to grow."""

    def __init__(self, layer: Any, rows: torch.Tensor) -> None:
        """Takes the prefilled `layer`; row i of the slab is its row `rows[i]` (rows may repeat)."""
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self._hold(layer.keys.index_select(0, rows), layer.values.index_select(0, rows))

    def _hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        rows, heads, length, _ = keys.shape
        room = length + max(SPARE, length // 2)
        self._slabs = [t.new_empty(rows, heads, room, t.shape[-1]) for t in (keys, values)]
        for slab, held in zip(self._slabs, (keys, values)):
            slab[:, :, :length] = held
        self._show(rows, length)

    def _show(self, rows: int, length: int) -> None:
        self.keys, self.values = (slab[:rows, :, :length] for slab in self._slabs)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends the new states and returns all of them, as views."""
        rows, _, start, _ = self.keys.shape
        end = start + key_states.shape[-2]
        if end > self._slabs[0].shape[-2]:
            self._hold(self.keys, self.values)
        for slab, states in zip(self._slabs, (key_states, value_states)):
            slab[:rows, :, start:end] = states
        self._show(rows, end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Row i becomes row `indices[i]`; only rows that change place are copied."""
        moved = (indices != torch.arange(len(indices), device=indices.device)).nonzero().squeeze(1)
        length = self.keys.shape[-2]
        for slab in self._slabs:
            slab[moved, :, :length] = slab[indices[moved], :, :length]
        self._show(len(indices), length)


def expand(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Turns a prefilled cache of distinct prompts into one with a row per sample, in place.

    Layers of another kind (sliding window, linear attention) keep Transformers' own class.
    """
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[i] = SlabLayer(layer, rows)
        else:
            layer.batch_select_indices(rows)
