"""Filters, pages and lineage against a run whose content is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.view.conftest import PROBLEMS, problem

from promptcot.errors import UserError
from promptcot.view.queries import Filter, Run


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return Run(run_path)


def ids(run: Run, where: Filter, name: str = "label/problems") -> list[str]:
    table = run.table(name)
    found = [row["id"] for row in run.page(table, where, size=1000)]
    assert run.count(table, where) == len(found)
    return found


def expected(keep: object) -> list[str]:
    assert callable(keep)
    return [f"problem{n:03}" for n in range(PROBLEMS) if keep(n)]


def test_pages_follow_the_tables_own_order_across_shards(run: Run) -> None:
    table = run.table("label/problems")
    seen = [r["id"] for start in range(0, PROBLEMS, 33) for r in run.page(table, Filter(), start, 33)]
    assert seen == expected(lambda n: True)


def test_every_filter_keeps_exactly_its_rows(run: Run) -> None:
    assert ids(run, Filter(text="NUMBER 11")) == expected(lambda n: n == 11 or 110 <= n <= 119)
    assert ids(run, Filter(equals={"level": "2"})) == expected(lambda n: n % 4 == 1)
    assert ids(run, Filter(concept="parity")) == expected(lambda n: n % 2)
    assert ids(run, Filter(low=0.5, high=0.75)) == expected(lambda n: n % 5 in (2, 3))
    assert ids(run, Filter(where="label_margin >= 6 AND level = '3'")) == expected(lambda n: n % 8 == 6)
    both = Filter(equals={"level": "1"}, concept="GCD", low=1.0)
    assert ids(run, both) == expected(lambda n: n % 4 == 0 and n % 5 == 4)
    assert ids(run, Filter(high=0.0), "selfplay/rollouts1")[:4] == [f"rollout000{k}" for k in range(4)]


@pytest.mark.parametrize("text", ["Number 7.", "number 7.<script>", '("X")', "7.<SCRIPT>alert"])
def test_a_search_is_for_the_text_itself_whatever_its_case(run: Run, text: str) -> None:
    assert ids(run, Filter(text=text)) == ["problem007"]


def test_what_would_be_an_expression_finds_nothing(run: Run) -> None:
    for text in ("number .", "n.mber 7", "7|8", "[0-9]", "\\d", "a_b", "–", "'"):
        assert ids(run, Filter(text=text)) == []


def test_solve_rates_stand_beside_problems(run: Run) -> None:
    rows = run.page(run.table("synthesize/problems"), Filter(), 0, 5)
    assert [(r["solve_rate"], r["attempts"]) for r in rows] == [(k / 4, 4) for k in range(5)]


def test_facets_count_values(run: Run) -> None:
    assert run.facets(run.table("selfplay/rollouts1"))["verdict"] == [("correct", 240), ("incorrect", 240)]


def test_a_pairs_lineage_reaches_its_problem_everywhere_and_the_other_attempts(run: Run) -> None:
    table = run.table("selfplay/pairs1")
    related = run.lineage(table, run.row(table, "pair3"))
    found = {(r.table, r.relation): [row["id"] for row in r.rows] for r in related}
    assert found == {
        ("synthesize/problems", "source"): ["problem003"],
        ("label/problems", "source"): ["problem003"],
        ("selfplay/rollouts1", "made"): [f"rollout003{k}" for k in range(4)],
    }


def test_a_problems_lineage_goes_down_to_the_pair_and_a_triples_up_to_the_seed(run: Run) -> None:
    table = run.table("synthesize/problems")
    found = {(r.table, r.relation) for r in run.lineage(table, run.row(table, "problem003"))}
    assert found == {("label/problems", "same"), ("selfplay/rollouts1", "made"), ("selfplay/pairs1", "made")}
    triples = run.table("annotate/triples")
    (seed,) = run.lineage(triples, run.row(triples, "triple0"))
    assert (seed.table, seed.relation, seed.rows[0]["problem"]) == ("seeds/seeds", "source", "What is 2 + 2?")


def test_rejects_are_a_table(run: Run) -> None:
    assert ids(run, Filter(equals={"reason": "two_problems"}), "synthesize/problems/rejects") == ["reject0"]


@pytest.mark.parametrize(
    "condition",
    [
        "true); DROP TABLE x; --",
        "true) UNION ALL (SELECT * FROM read_csv('/etc/passwd'))",
        "id IN (SELECT content FROM read_text('/etc/hostname'))",
        "id IN (SELECT 1",
        "nosuch = 1",
    ],
)
def test_a_condition_reads_nothing_else_and_is_one_expression(run: Run, condition: str) -> None:
    with pytest.raises(UserError, match="condition") as error:
        run.count(run.table("label/problems"), Filter(where=condition))
    assert "label_margin >= 3" in str(error.value)


def test_a_condition_cannot_write_into_the_run(run: Run, run_path: Path) -> None:
    before = sorted(run_path.rglob("*"))
    with pytest.raises(UserError):
        run.count(
            run.table("label/problems"), Filter(where=f"true); COPY (SELECT 1) TO '{run_path}/x.csv'; --")
        )
    assert sorted(run_path.rglob("*")) == before


def test_what_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="selfplay/pairs1"):
        run.table("nosuch")
    with pytest.raises(UserError, match="no row 'nosuch'"):
        run.row(run.table("seeds/seeds"), "nosuch")
    with pytest.raises(UserError, match="has no concepts"):
        run.count(run.table("selfplay/pairs1"), Filter(concept="gcd"))
    with pytest.raises(UserError, match="no column"):
        run.count(run.table("selfplay/pairs1"), Filter(equals={"nosuch": "1"}))
    with pytest.raises(UserError, match="not a run directory"):
        Run(tmp_path)


def test_rows_come_back_as_they_were_written(run: Run) -> None:
    row = run.row(run.table("label/problems"), "problem007")
    written = problem(7).row()
    assert {k: row[k] for k in written} == written
