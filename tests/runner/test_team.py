"""--shard i/n: the same rows as one process, whoever is killed, and nobody waits for the dead for ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.chaos.killing import Killer, digests, unbroken
from tests.runner import line

from promptcot import team as team_module
from promptcot.errors import UserError
from promptcot.records import Seed
from promptcot.shards import Commit, append_line, write_shard
from promptcot.store import Step
from promptcot.team import Team, parse_shard


def test_shards_give_the_rows_of_one_process_whoever_is_killed(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "r"
    progress = unbroken(line.command(whole), whole)
    killer = Killer(path, seed=3, only=["driver", "helper"])
    killer.finish([line.command(path, f"{i}/2") for i in range(2)], 4, progress)
    assert {victim for _, victim in killer.kills} == {"driver", "helper"}
    assert digests(path) == digests(whole)
    assert not list(path.rglob("by-*"))  # what the helpers made is in the tables


def step_of(path: Path, writable: bool = True) -> Step[Seed]:
    return Step(path / "01_seeds" / "seeds", Seed, {}, {}, writable)


def shard_in(folder: Path, shard: int) -> Commit:
    commit = write_shard(folder, shard, Seed, [Seed(f"s{shard}", "math", "1", "x")], [])
    append_line(folder, commit)
    return commit


def test_every_shard_is_somebodys_and_the_dead_ones_are_shared_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_of(tmp_path)
    teams = [Team(tmp_path, i, 4) for i in range(4)]
    for team in teams[:3]:
        team._write()
    shares = [team.todo(step, 40) for team in teams[:3]]
    assert all(set(range(i, 40, 4)) <= set(share) for i, share in enumerate(shares))
    # member 3 never came: its ten shards go to the three others, each to exactly one
    assert sorted(s for share in shares for s in share) == list(range(40))
    assert {len(share) for share in shares} == {13, 14}
    monkeypatch.setattr(team_module, "LEASE_S", -1.0)  # now nobody else lives either
    assert teams[0].todo(step, 40) == list(range(40))


def test_the_leader_takes_over_whole_shards_and_makes_lost_ones_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, helper = Team(tmp_path, 0, 2), Team(tmp_path, 1, 2)
    step = step_of(tmp_path)
    home = helper.home(step)
    shard_in(home, 1)
    shard_in(home, 3)
    (home / "part-00003.parquet").unlink()  # as when a leader is killed between taking a file and saying so
    helper._write()
    assert leader.todo(step, 4) == [0, 2, 3]
    assert sorted(step.commits) == [1]
    assert [r.id for r in step_of(tmp_path).rows()] == ["s1"]
    leader._write()
    assert helper.todo(step_of(tmp_path, writable=False), 4) == []
    shard_in(home, 5)
    monkeypatch.setattr(step, "take_over", lambda: None)  # shard 5 comes in just after the leader has looked
    assert leader.todo(step, 6) == [0, 2, 3, 4]


def test_a_repeated_shard_counts_once(tmp_path: Path) -> None:
    step, leader = step_of(tmp_path), Team(tmp_path, 0, 3)
    for i in (1, 2):
        shard_in(Team(tmp_path, i, 3).home(step), 0)
    leader.todo(step, 1)
    assert leader.complete(step, 1)
    step.finish(1)
    assert len(step_of(tmp_path).rows()) == 1
    assert not list(step.path.glob("by-*"))


def test_a_helper_ends_with_its_leader_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_module, "POLL_S", 0.0)
    leader, helper = Team(tmp_path, 0, 2), Team(tmp_path, 1, 2)
    table = tmp_path / "done.json"
    leader._write()
    helper.others()
    helper.pause(table)  # it lives
    leader._state = "stopped: the disk is full"
    leader._write()
    helper._beats = 1
    with pytest.raises(
        UserError, match=r"shard 0/2 stopped: the disk is full, and '.*done\.json' is not there"
    ):
        helper.pause(table)
    monkeypatch.setattr(team_module, "LEADER_S", -1.0)
    with pytest.raises(UserError, match="no sign of life from shard 0/2"):
        Team(tmp_path / "elsewhere", 1, 2).pause(table)
    table.write_text("{}")  # what the leader did last
    helper.pause(table)


def test_yesterdays_end_is_not_todays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team_module, "POLL_S", 0.0)
    old = Team(tmp_path, 0, 2)
    old._state = "finished"
    old._write()
    helper = Team(tmp_path, 1, 2)
    helper.others()
    helper.pause(tmp_path / "done.json")  # the file lay there before this session


@pytest.mark.parametrize("text", ["3/3", "1", "-1/2", "a/2", "0/0"])
def test_impossible_shards_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--shard"):
        parse_shard(text)


def test_possible_shards_are_read() -> None:
    assert parse_shard("2/3") == (2, 3)
    assert parse_shard(None) == (0, 1)
