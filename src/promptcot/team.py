"""Several processes on one run directory: `--shard i/n` of the same command, as a Slurm array starts them.

Every process takes the shards of a map step whose number is i modulo n, and those of members that show no sign of life.
Shard 0 leads: it alone writes the run's own files (tables, models, totals); the others write into folders of their own
(`<step>/by-i-...`) and it takes their shards over. So no two processes ever write the same file, and nothing rests on
locks or clocks: a member that was only thought dead repeats work, and its copies of the shards are left out. Signs of
life are counters in `<run>/team/i.json`, judged by the reader's own clock.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from promptcot.errors import UserError
from promptcot.shards import Commit, append_line, intact, read_log, write_atomic
from promptcot.store import Step

BEAT_S = 5.0
LEASE_S = 60.0  # without a new beat for so long a member's shards are done by the others
LEADER_S = 1800.0  # without a leader for so long a helper gives up
POLL_S = 1.0


class Team:
    """This process's place among `count`; alone (0 of 1) by default, and then it does everything and waits for nobody."""

    def __init__(self, run: Path, index: int = 0, count: int = 1) -> None:
        self.folder, self.index, self.count = run / "team", index, count
        self.leads = index == 0
        self._name = f"by-{index}-{socket.gethostname()}-{os.getpid()}-{time.time_ns():x}"
        self._mine: dict[Path, set[int]] = {}  # shards this helper has committed, by step
        self._seen: dict[
            int, tuple[str, float]
        ] = {}  # last state of each member, and when it last changed here
        self._fresh: set[int] = set()  # members that were seen to change
        self._beats, self._state = 0, "running"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Team:
        if self.count > 1:
            self.others()  # what lies there from earlier sessions is the baseline
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.count > 1:
            self._stop.set()
            self._thread.join()
            self._state = "finished" if e is None else f"stopped: {e}"
            self._write()

    # signs of life

    def _beat(self) -> None:
        while True:
            self._write()
            if self._stop.wait(BEAT_S):
                return

    def _write(self) -> None:
        self._beats += 1
        facts = {"beat": self._beats, "state": self._state, "host": socket.gethostname(), "pid": os.getpid()}
        write_atomic(self.folder / f"{self.index}.json", json.dumps(facts).encode())

    def others(self) -> dict[int, dict[str, Any]]:
        """The last sign of every other member that ever gave one, with `quiet_s`: how long it has not changed."""
        now, out = time.monotonic(), {}
        for i in range(self.count):
            file = self.folder / f"{i}.json"
            if i == self.index or not file.exists():
                continue
            text = file.read_text()
            known = self._seen.get(i)
            if known is None or known[0] != text:
                self._seen[i] = (text, now)
                if known is not None or self._beats:
                    self._fresh.add(i)
            out[i] = {**json.loads(text), "quiet_s": now - self._seen[i][1]}
        return out

    def alive(self) -> list[int]:
        """The members that work, this one among them."""
        others = self.others().items()
        return sorted(
            [self.index, *(i for i, m in others if m["state"] == "running" and m["quiet_s"] < LEASE_S)]
        )

    # shards of a step

    def todo(self, step: Step[Any], shards: int) -> list[int]:
        """The shards that are this process's to do now: its own, and its part of those nobody alive will do."""
        held = set(step.commits) | self._mine.get(step.path, set())
        if self.leads:
            step.take_over()
            held = set(step.commits)
            # A line whose files are gone (a leader was killed between taking a file and saying so): its owner thinks it done.
            lost = {c.shard for folder, c in step.helpers() if not intact(folder, c)} - held
        else:
            held |= {c.shard for _, c in step.helpers()} | {c.shard for _, c in read_log(step.path)}
            lost = set()
        missing = [s for s in range(shards) if s not in held]
        alive = self.alive()
        orphans = [s for s in missing if s % self.count not in alive and s not in lost]
        share = set(orphans[alive.index(self.index) :: len(alive)]) | lost
        return [s for s in missing if s % self.count == self.index or s in share]

    def home(self, step: Step[Any]) -> Path:
        """Where this process writes its shards of a step."""
        return step.path if self.leads else step.path / self._name

    def commit(self, step: Step[Any], commit: Commit) -> None:
        """Append the line of a shard written in `home`."""
        if self.leads:
            step.append(commit)
        else:
            append_line(self.home(step), commit)
            self._mine.setdefault(step.path, set()).add(commit.shard)

    def complete(self, step: Step[Any], shards: int) -> bool:
        """Whether the step needs no more work: all is committed, or the leader has finished it."""
        return len(step.commits) == shards if self.leads else step.done

    def leave(self, step: Step[Any]) -> None:
        """Remove what this helper left in a finished step."""
        if not self.leads and step.done:
            shutil.rmtree(self.home(step), ignore_errors=True)

    # waiting

    def pause(self, path: Path) -> None:
        """Wait a moment for the others, of whom the leader will write `path`.

        Raises:
            UserError: this is a helper, and the leader has ended without `path`, or has shown no sign of life for long.
        """
        time.sleep(POLL_S)
        if self.leads:
            return
        leader = self.others().get(0)
        started = self._seen.setdefault(-1, ("", time.monotonic()))[1]
        quiet_s = leader["quiet_s"] if leader else time.monotonic() - started
        ended = (
            leader is not None and leader["state"] != "running" and (0 in self._fresh or quiet_s > LEASE_S)
        )
        if (
            not (ended or quiet_s > LEADER_S) or path.exists()
        ):  # looked at last: it may have ended with writing it
            return
        why = (
            f"shard 0/{self.count} {leader['state']}"
            if leader and ended
            else (f"no sign of life from shard 0/{self.count} for {quiet_s:.0f} s")
        )
        raise UserError(
            f"{why}, and '{path}' is not there",
            expected="shard 0 at work: it writes the tables and trains the models",
            do="start all shards again, or the same command without --shard: what is committed stays",
        )

    def wait(self, path: Path) -> None:
        """Wait until the leader has written `path`."""
        while not path.exists():
            self.pause(path)


def parse_shard(text: str | None) -> tuple[int, int]:
    """(i, n) of "i/n"; (0, 1) of None.

    Raises:
        UserError: it is not i/n with 0 <= i < n.
    """
    if text is None:
        return 0, 1
    i, slash, n = text.partition("/")
    if not slash or not i.isdecimal() or not n.isdecimal() or int(i) >= int(n):
        raise UserError(f"--shard {text!r}", expected="i/n with 0 <= i < n, such as 0/8 to 7/8")
    return int(i), int(n)
