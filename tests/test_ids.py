"""Identities and seeds: stable over time and machines."""

from __future__ import annotations

from promptcot.ids import digest, row_id, row_seed


def test_ids_are_pinned_so_that_old_runs_resume() -> None:
    assert digest({"b": 1, "a": [True, None, "é"]}) == digest({"a": [True, None, "é"], "b": 1})
    assert row_id("em", 1, ["x"], {"k": 8}, 3) == "bf6ecaa98de2f0b49903e41c1faaeff6"
    assert row_seed(1, "x") == 8193681422948891987


def test_every_part_of_an_id_matters() -> None:
    base = row_id("em", 1, ["x", "y"], {"k": 8}, 0)
    others = [
        row_id("label", 1, ["x", "y"], {"k": 8}, 0),
        row_id("em", 2, ["x", "y"], {"k": 8}, 0),
        row_id("em", 1, ["y", "x"], {"k": 8}, 0),
        row_id("em", 1, ["x", "y"], {"k": 4}, 0),
        row_id("em", 1, ["x", "y"], {"k": 8}, 1),
        row_id("em", 1, ["xy"], {"k": 8}, 0),
    ]
    assert len({base, *others}) == 7


def test_seeds_depend_on_run_and_row_and_fit_64_bits() -> None:
    seeds = {row_seed(run, f"{row}") for run in range(10) for row in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= s < 1 << 64 for s in seeds)
