"""The run directory: commits, kills at the worst moments, digests, refusals."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.errors import UserError
from promptcot.records import Candidate, Posed, Problem, Reject, Seed, Triple, UnitTest
from promptcot.shards import Damaged, rows_digest, write_shard
from promptcot.store import Step


def seed(n: int) -> Seed:
    return Seed(f"s{n}", "math", "1", f"What is {n} + {n}?", answer=str(2 * n), tests=[UnitTest("1", "2")])


def commit(step: Step[Seed], shard: int, rows: list[Seed], rejects: list[Reject]) -> None:
    step.append(write_shard(step.path, shard, Seed, rows, rejects, usage={"sampled_tokens": 7}))


def open_step(tmp_path: Path, **key: object) -> Step[Seed]:
    return Step(tmp_path / "01_seeds" / "seeds", Seed, {"params": key}, {})


def test_rows_come_back_as_they_were_with_totals_that_add_up(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 1, [seed(3)], [Reject("s4", "no_problem")])
    commit(step, 0, [seed(1), seed(2)], [])
    step.finish(4)
    assert [r.id for r in step.rows()] == ["s1", "s2", "s3"]  # shard order, not commit order
    assert next(iter(step.rows())) == seed(1)
    assert step.totals()["reasons"] == {"no_problem": 1}
    assert step.totals()["usage"] == {"sampled_tokens": 14}
    assert [r.id for r in step.rejects()] == ["s4"]


def test_a_lost_row_is_an_assertion_not_a_total(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    with pytest.raises(AssertionError, match="2 rows in"):
        step.finish(2)


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    commit(step, 1, [seed(2)], [])
    step.finish(2)
    path = step.path / "commits.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    again = open_step(tmp_path)
    assert sorted(again.commits) == [0]
    assert not again.done  # the totals spoke of a shard that is no longer committed


def test_a_truncated_shard_is_made_again(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    commit(step, 1, [seed(2)], [])
    part = step.path / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    assert sorted(open_step(tmp_path).commits) == [0]


def test_an_orphan_shard_is_not_read(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    write_shard(step.path, 1, Seed, [seed(2)], [])  # written, never committed
    assert [r.id for r in open_step(tmp_path).rows()] == ["s1"]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    path = step.path / "commits.jsonl"
    path.write_bytes(b"garbage\n" + path.read_bytes())
    with pytest.raises(UserError, match="line 1 is damaged"):
        open_step(tmp_path)


def test_another_parameter_is_refused_and_named(tmp_path: Path) -> None:
    open_step(tmp_path, k=8)
    with pytest.raises(UserError, match=r"params\.k: there 8, here 4"):
        open_step(tmp_path, k=4)


def test_an_unfinished_step_cannot_be_read_as_input(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    with pytest.raises(UserError, match="not finished"):
        Step.load(step.path, Seed)
    with pytest.raises(UserError, match="promptcot em RECIPE"):
        Step.load(tmp_path / "04_em" / "p1", Seed)


@given(st.permutations(list(range(6))), st.integers(0, 6))
def test_the_digest_sees_the_rows_and_not_their_order_or_shards(order: list[int], cut: int) -> None:
    rows = [seed(n) for n in range(6)]
    shuffled = [rows[i] for i in order]
    parts = (rows_digest(shuffled[:cut]) + rows_digest(shuffled[cut:])) % (1 << 128)
    assert parts == rows_digest(rows)
    assert rows_digest([*rows[:-1], seed(7)]) != rows_digest(rows)
    assert rows_digest([*rows, seed(0)]) != rows_digest(rows)  # a doubled row is seen


def test_a_path_that_cannot_be_written_is_a_users_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UserError, match="cannot write"):
        Step(blocker / "x", Seed, {}, {})


def test_the_commit_line_is_json_with_documented_names(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    line = json.loads((step.path / "commits.jsonl").read_text())
    assert {"shard", "rows_in", "rows_out", "rejected", "digest", "seconds", "usage"} <= set(line)


def test_plain_rows_are_what_asdict_gives() -> None:
    candidate = Candidate("c", "i", 0, "z", [1, 2], "stop", -1.0, -2.0, -3.0, 2, 3)
    item = Triple("t", "s", "math", "1", "train", "precise", ["a"], "z", "x")
    for record in (
        seed(1),
        candidate,
        Posed("p", candidate, item),
        Reject("r", "why"),
        Problem("p", "code", "2", [], "", ""),
    ):
        assert record.row() == asdict(record)
    assert seed(1).row()["tests"] == [{"input": "1", "output": "2"}]


def test_rows_are_a_sequence_that_reads_only_the_shards_it_is_asked_for(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    for n in range(4):
        commit(step, n, [seed(3 * n + i) for i in range(3)], [Reject(f"r{n}", "why")])
    rows, plain = step.rows(), [seed(n) for n in range(12)]
    assert len(rows) == 12
    assert list(rows) == plain
    assert [rows[a:b] for a in range(12) for b in range(13)] == [
        plain[a:b] for a in range(12) for b in range(13)
    ]
    (step.path / "part-00000.parquet").unlink()
    assert rows[4:11] == plain[4:11]
    with pytest.raises(Damaged, match="part-00000"):
        rows[2:4]


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.95])
def test_a_flipped_bit_anywhere_in_a_shard_is_named(tmp_path: Path, at: float) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(n) for n in range(50)], [Reject("r", "why")])
    for name in ("part-00000.parquet", "rejects-00000.parquet"):
        file = step.path / name
        data = bytearray(file.read_bytes())
        data[int(at * len(data))] ^= 1
        file.write_bytes(data)
        with pytest.raises(Damaged) as told:
            list(step.rows()) if name.startswith("part") else list(step.rejects())
        assert (told.value.file, told.value.why) == (file, "its checksum is another")
        assert "promptcot seeds RECIPE" in told.value.do


def test_a_reader_of_a_finished_step_sees_that_a_file_is_gone(tmp_path: Path) -> None:
    step = open_step(tmp_path)
    commit(step, 0, [seed(1)], [])
    step.finish(1)
    log = step.path / "commits.jsonl"
    log.rename(log.with_name("kept"))
    with pytest.raises(Damaged, match="0 shards instead of 1"):
        Step.load(step.path, Seed)
    log.with_name("kept").rename(log)
    (step.path / "part-00000.parquet").unlink()
    with pytest.raises(Damaged, match="missing"):
        Step.load(step.path, Seed)
