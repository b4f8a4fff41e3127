"""docs/report.md names what report.json holds: no more (the sample of tests/analysis has all of it) and no less."""

from __future__ import annotations

import json
from pathlib import Path

from tests.docs.report_paths import SAME, documented, names

SAMPLE = Path(__file__).parents[1] / "analysis" / "report_sample.json"
ONLY_WRITTEN = {"digest", "distribution.absent.seen", "distribution.absent.do"}  # not in one sample together


def test_every_name_of_the_sample_is_documented_and_every_documented_name_is_in_the_sample() -> None:
    found = names(json.loads(SAMPLE.read_text()))
    assert found - documented() == set()
    assert documented() - found - ONLY_WRITTEN - set(SAME) == set()


def test_names_are_those_a_person_gets() -> None:
    report = {
        "em": {"iterations": [{"bound": 1.0, "bound_ci95": [0, 2], "bound_change": 0.5, "bound_change_ci95": None}]},
        "funnel": [{"reasons": {"short": 3}}], "total": {"requests": 1}, "examples": [{"tests": []}],
    }  # fmt: skip
    assert names(report) == {"em.iterations[].bound", "funnel[].reasons", "stages[].requests"}
