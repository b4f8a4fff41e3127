"""Arms of the EM compared, on tables worked out by hand."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from promptcot.analysis import ablation
from promptcot.records import HeldOut

BASE = {f.name: 0.5 for f in fields(HeldOut)}


def rows(bounds: dict[str, float]) -> list[HeldOut]:
    known: dict[str, Any] = {**BASE, "domain": "math", "iteration": 1}
    return [HeldOut(**{**known, "id": i, "item_id": i, "bound": v}) for i, v in bounds.items()]


def test_items_are_paired_by_what_they_are_and_not_by_where_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Each table lost an item: the first arm c, the second a (and in seed 2 also d). b and d rose by 1 and 3; b by 2.
    tables = {
        "one": {1: {"a": -9.0, "b": -5.0, "d": -7.0}, 2: {"a": -9.0, "b": -5.0, "d": -7.0}},
        "two": {1: {"b": -4.0, "c": -1.0, "d": -4.0}, 2: {"b": -3.0, "c": -1.0}},
    }
    monkeypatch.setattr(
        ablation, "read", lambda runs, arm, t: {seed: rows(bounds) for seed, bounds in tables[arm].items()}
    )
    found = ablation.summary({1: Path(), 2: Path()}, {"one": 0, "two": 0}, 1)
    (contrast,) = found["contrasts"]
    assert contrast["bound_change"] == pytest.approx((1 + 3 + 2) / 3)
    assert contrast["bound_change_by_seed"] == pytest.approx([2.0, 2.0])
    assert [arm["iterations"][0]["items"] for arm in found["arms"]] == [6, 5]
