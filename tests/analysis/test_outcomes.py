"""What is said about labels: counts and shares over the suites, by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptcot.analysis.outcomes import vetting
from promptcot.records import Suite, UnitTest


def suite(**changed: Any) -> Suite:
    values: dict[str, Any] = {
        "id": "p", "tests": [UnitTest("1", "1")], "proposed": 4, "confirmed": 2, "relabelled": 1,
        "dropped": json.dumps({"tie": 1}), "programs": 8, "votes": 6, "margin": 4, "agreement": 0.75, "failing": 1,
        "mutants": 4, "mutants_killed": 3, "flags": [], **changed,
    }  # fmt: skip
    return Suite(**values)


def test_what_vetting_left_is_summed_over_the_problems() -> None:
    none_left = suite(
        tests=[], confirmed=0, relabelled=0, dropped=json.dumps({"tie": 3, "few_votes": 1}), agreement=0.0, mutants=0,
        mutants_killed=0, flags=["needs_checker", "too_few_tests"],
    )  # fmt: skip
    found = vetting([suite(), none_left, suite(agreement=1.0, mutants_killed=1, flags=["weak"])])
    assert (found["problems"], found["proposed"], found["confirmed"], found["relabelled"]) == (3, 12, 4, 2)
    assert found["dropped"] == {"tie": 5, "few_votes": 1}
    assert found["flipped"] == pytest.approx(2 / 6)
    assert found["agreement"] == pytest.approx(0.875)  # of the problems that have tests left
    assert (found["mutants"], found["killed"], found["kill_rate"]) == (8, 4, 0.5)
    assert found["flags"] == {"needs_checker": 1, "too_few_tests": 1, "weak": 1}


def test_nothing_left_has_no_shares() -> None:
    found = vetting([suite(tests=[], confirmed=0, relabelled=0, mutants=0, mutants_killed=0)])
    assert (found["flipped"], found["agreement"], found["kill_rate"]) == (None, None, None)
