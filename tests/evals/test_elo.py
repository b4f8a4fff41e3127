"""Elo by DeepCoder's protocol: golden cases, a rating derived by hand, and snapshots that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from promptcot.errors import UserError
from promptcot.evals import elo, standings
from promptcot.evals.standings import Contest

DATA = Path(__file__).parents[3] / "shared" / "data" / "elo"
needs_data = pytest.mark.skipif(
    not DATA.exists(), reason="needs ../shared/data/elo (golden cases), which is not here"
)
POINTS = Contest(
    1, [("1A", 500.0), ("1B", 1000.0)], [(1500.0, 0.0), (700.0, 0.0), (500.0, 0.0), (0.0, 0.0)], [1500.0] * 4
)
NO_POINTS = replace(
    POINTS, problems=[("1A", None), ("1B", None)], rows=[(2.0, 5.0), (1.0, 20.0), (1.0, 60.0)]
)


@needs_data
def test_every_golden_case_has_its_rating_and_percentile() -> None:
    ratings = elo.read_ratings(DATA / "ratings_2024_deepcoder.json")
    cases = [json.loads(line) for line in (DATA / "fixture_cases.jsonl").read_text().splitlines()]
    assert len(cases) == 18
    for case in cases:
        contest = standings.load(DATA, [case["contest"]])[case["contest"]]
        if case["expected"] is None:
            assert isinstance(contest, str), case
            continue
        assert isinstance(contest, Contest)
        solved = {name: [mark == 1.0 for mark in marks] for name, marks in case["problem_status"].items()}
        rating = elo.contest_rating(contest, solved, case["pass_n"])
        assert {"rating": rating, "percentile": ratings.percentile(rating)} == case["expected"], case


@needs_data
def test_the_papers_ratings_have_the_papers_percentiles_in_the_named_table() -> None:
    ratings = elo.read_ratings(DATA / "ratings_2024_deepcoder.json")
    assert ratings.name == "DeepCoder's ratings_2024"
    assert [ratings.percentile(r) for r in (1852, 1934, 2079)] == [93.8, 95.2, 96.9]


@pytest.mark.parametrize(
    ("solved", "attempts", "expected"),
    [
        ({"1A": [True]}, None, (500, 0)),
        ({"1A": [False, False, True, False]}, None, (400, 0)),  # two attempts before: 500 - 2 * 50
        ({"1A": [False] * 12 + [True]}, None, (0, 0)),  # never below zero
        ({"1A": [False, True], "1B": [True]}, 1, (1000, 0)),  # the second attempt does not count
        ({"9Z": [True]}, None, (0, 0)),  # no problem of this contest
    ],
)
def test_points_by_the_attempt_that_first_solves(
    solved: dict[str, list[bool]], attempts: int | None, expected: tuple[int, int]
) -> None:
    assert elo.contest_score(POINTS, solved, attempts) == expected


def test_contests_without_points_count_problems_and_penalise_attempts() -> None:
    assert elo.contest_score(NO_POINTS, {"1A": [False, False, True], "1B": [True]}) == (2, 20)
    assert NO_POINTS.rank(2, 4) == 0  # as many problems, less penalty than the first
    assert NO_POINTS.rank(2, 5) == 1  # a tie is lost
    assert NO_POINTS.rank(1, 59) == 2
    assert NO_POINTS.rank(0, 0) == 3


def test_a_rating_by_hand() -> None:
    # 500 points tie with the third human and lose: place 3. Among four humans of 1500 the expected place at 1500 + d is
    # 1 + 4 / (1 + 10^(d/400)), which is 3 at d = 0: the largest rating that is not below place 3 is 1500.
    assert elo.contest_rating(POINTS, {"1A": [True]}) == 1500
    # With one of 3000 instead, 1 + 3 / (1 + 10^(d/400)) + 0.99965 = 3 at d = 400 log10(1.99895) = 120.3.
    spread = replace(POINTS, old_ratings=[1500.0, 1500.0, 1500.0, 3000.0])
    assert elo.contest_rating(spread, {"1A": [True]}) == 1620


def test_nothing_solved_still_counts_and_first_place_is_bounded_by_the_best_human() -> None:
    assert elo.contest_rating(POINTS, {"1A": [True], "1B": [True]}) == 1599  # no rating gives place 0
    assert elo.contest_rating(POINTS, {}) < 1500


def test_the_estimate_is_the_mean_over_the_contests_used_with_its_bootstrap_error() -> None:
    contests: dict[int, Contest | str] = {
        1: POINTS,
        2: replace(POINTS, old_ratings=[2500.0] * 4),
        3: "too few",
    }
    found = elo.estimate(
        {"1A": [True], "1B": [True]}, contests, elo.Ratings("t", [1000.0, 2000.0, 2099.0, 3000.0])
    )
    assert (found.contests, found.of, found.skipped) == ({1: 1599, 2: 2599}, 3, {3: "too few"})
    assert found.rating == 2099
    assert found.percentile == 50.0  # two of four are below; an equal one is not
    assert found.se == pytest.approx(500 / 2**0.5, rel=0.05)  # sd (ddof 0) of the two, over sqrt(2)
    with pytest.raises(UserError, match="no contest can be used"):
        elo.estimate({}, {3: "too few"}, None)


def test_both_shapes_of_rating_tables_and_an_unnamed_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"1500": 2, "-5": 1}')
    (tmp_path / "b.json").write_text("[1500, 1500, -5]")
    a, b = (elo.read_ratings(tmp_path / name) for name in ("a.json", "b.json"))
    assert a.values == b.values == [-5.0, 1500.0, 1500.0]
    assert a.name == "a.json (3 users)"
    (tmp_path / "c.json").write_text('"x"')
    with pytest.raises(UserError, match="cannot read the ratings"):
        elo.read_ratings(tmp_path / "c.json")


def test_problems_by_contest() -> None:
    assert elo.by_contest(["1972D1", "1971A", "1972A"]) == {1971: ["1971A"], 1972: ["1972D1", "1972A"]}
    with pytest.raises(UserError, match="'12' has no contest"):
        elo.by_contest(["12"])


def snapshot(humans: int, extra: int = 0) -> dict[str, Any]:
    rows = [
        {"party": {"members": [{"handle": f"u{i}"}]}, "points": 1000.0 - i, "penalty": 0}
        for i in range(humans + extra)
    ]
    changes = [{"handle": f"u{i}", "oldRating": 1500} for i in range(humans)]
    problems = [{"contestId": 7, "index": "A", "points": 500.0}, {"contestId": 7, "index": "B"}]
    return {
        "standings": {"status": "OK", "result": {"problems": problems, "rows": rows}},
        "rating_changes": {"status": "OK", "result": changes},
    }


def test_only_those_in_both_lists_count_and_small_contests_are_skipped() -> None:
    contest = standings.parse(7, snapshot(201, extra=5))
    assert isinstance(contest, Contest)
    assert (len(contest.rows), len(contest.old_ratings)) == (201, 201)
    assert contest.problems == [("7A", 500.0), ("7B", None)]
    assert standings.parse(7, snapshot(200)) == "200 rated participants, more than 200 are needed"


def test_a_missing_or_foreign_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no directory"):
        standings.load(tmp_path / "none", [7])
    (tmp_path / "7.json").write_text(json.dumps(snapshot(300)))
    with pytest.raises(UserError, match=r"lacks 2 contests: 8, 9") as error:
        standings.load(tmp_path, [7, 8, 9])
    assert "promptcot evaluate standings" in error.value.do
    (tmp_path / "8.json").write_text('{"status": "FAILED"}')
    with pytest.raises(UserError, match="snapshot of contest 8 is not one"):
        standings.load(tmp_path, [7, 8])


@pytest.fixture
def api() -> Iterator[tuple[str, list[str]]]:
    """The two calls of the Codeforces API on the loopback; contest 9 is refused."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            number = parse_qs(url.query)["contestId"][0]
            asked.append(f"{url.path} {number}")
            key = "standings" if url.path.endswith("standings") else "rating_changes"
            answer = (
                snapshot(201)[key] if number != "9" else {"status": "FAILED", "comment": "no such contest"}
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetching_keeps_what_it_has_and_stops_at_a_refusal(
    api: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, asked = api
    said: list[str] = []
    with pytest.raises(UserError, match="no such contest"):
        standings.fetch([7, 9], tmp_path, said.append, url, 0.0)
    assert said == ["contest 7: 201 rows"]
    assert standings.fetch([7, 8], tmp_path, said.append, url, 0.0) == 1
    assert [a for a in asked if a.endswith(" 7")] == [
        "/api/contest.standings 7",
        "/api/contest.ratingChanges 7",
    ]
    assert set(standings.load(tmp_path, [7, 8])) == {7, 8}
    assert not (tmp_path / "9.json").exists()
