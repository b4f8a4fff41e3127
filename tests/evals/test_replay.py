"""Every benchmark that there are answers for: replaying them gives 100%, replaying those of the neighbours about 0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.evals import replay
from tests.evals.conftest import Cli, results

pytestmark = pytest.mark.skipif(
    not replay.DATA.exists(),
    reason="needs ../shared/data (evaluation files and solutions), which is not here",
)


def evaluate(cli: Cli, tmp_path: Path, shuffle: bool, samples: int, lcb: int) -> dict[str, dict[str, object]]:
    sources = {name: replay.official(name) for name in replay.MATH}
    completions: dict[str, str] = {}
    change = replay.shuffled if shuffle else lambda c: c
    for name in replay.MATH:
        completions |= change(replay.math_completions(name))
    sources |= {"codeforces": tmp_path / "cf.jsonl", "lcb_v6": tmp_path / "lcb.jsonl"}
    names, programs = replay.codeforces(sources["codeforces"])
    (tmp_path / "ids.json").write_text(json.dumps(names))
    completions |= change(programs)
    completions |= change(replay.livecodebench(sources["lcb_v6"], lcb))
    done = cli(
        "evaluate", "--model", replay.MODEL, "--engine", "scripted", "--benchmarks", ",".join(sources),
        *[arg for name, path in sources.items() for arg in ("--source", f"{name}={path}")],
        "--ids", tmp_path / "ids.json", "--samples", samples, "--out", tmp_path / "run", "--set", "run.workers=2",
        completions=completions,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in sources:
        assert f"{name} " in done.stdout
    return results(tmp_path / "run")


def test_gold_answers_and_canonical_solutions_score_100(cli: Cli, tmp_path: Path) -> None:
    found = evaluate(cli, tmp_path, shuffle=False, samples=2, lcb=12)
    for name, entry in found.items():
        assert (entry["mean"], entry["unscored"], entry["no_answer"]) == (1.0, 0.0, 0.0), name
    assert {n: e["problems"] for n, e in found.items()} == {
        "aime24": 30, "aime25": 30, "hmmt25": 30, "codeforces": 8, "lcb_v6": 12,
    }  # fmt: skip
    assert list(found["codeforces"]["verdicts"]) == json.loads((tmp_path / "ids.json").read_text())  # type: ignore[call-overload]
    assert "no standings" in str(found["codeforces"]["elo_missing"])


def test_the_neighbours_answers_score_about_0(cli: Cli, tmp_path: Path) -> None:
    found = evaluate(cli, tmp_path, shuffle=True, samples=1, lcb=12)
    for name, entry in found.items():
        assert float(str(entry["mean"])) <= 0.05, name
        assert entry["unscored"] == 0.0, name


@pytest.mark.slow
def test_all_there_is_at_the_papers_number_of_attempts(cli: Cli, tmp_path: Path) -> None:
    found = evaluate(cli, tmp_path, shuffle=False, samples=0, lcb=0)
    for name, entry in found.items():
        assert (entry["mean"], entry["unscored"]) == (1.0, 0.0), (name, entry["verdicts"])
    assert {n: e["samples"] for n, e in found.items()} == {
        "aime24": 16, "aime25": 16, "hmmt25": 16, "codeforces": 8, "lcb_v6": 1,
    }  # fmt: skip
