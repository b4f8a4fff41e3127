"""Servers that a run starts, shares and ends; real processes, locks and signals, with a server of twenty lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from promptcot.errors import UserError
from promptcot.lm import managed
from promptcot.lm.managed import Launch, lease, stop_idle

SERVER = """
import http.server, os, subprocess, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(sys.argv[2], "a") as f:
    f.write(f"{os.getpid()} {child.pid}\\n")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    stop_idle()


def launch(key: str, started: Path, beside: int = 1, code: str = SERVER) -> Launch:
    def command(port: int) -> Sequence[str]:
        return [sys.executable, "-c", code, str(port), str(started)]

    return Launch(key, command, beside=beside, start_s=300.0)


def pids(started: Path) -> list[int]:
    """Of all servers that were started, and of their children."""
    return [int(n) for n in started.read_text().split()] if started.exists() else []


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends, "not within a minute"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_server_is_started_once_and_its_whole_family_is_ended(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with lease(launch("a", started)) as url:
        with lease(launch("a", started)) as again:
            assert again == url
        stop_idle()  # it is in use
        assert all(alive(pid) for pid in pids(started))
    assert len(pids(started)) == 2
    stop_idle()
    assert not any(alive(pid) for pid in pids(started))
    with lease(launch("a", started)):
        assert len(pids(started)) == 4


def test_another_model_takes_the_place_of_the_longest_unused_one(tmp_path: Path) -> None:
    started = {key: tmp_path / key for key in "abc"}
    for key in "ab":
        with lease(launch(key, started[key], beside=2)):
            pass
    with lease(launch("a", started["a"], beside=2)):
        pass
    with lease(launch("c", started["c"], beside=2)):
        assert all(alive(pid) for pid in (*pids(started["a"]), *pids(started["c"])))
        assert not any(alive(pid) for pid in pids(started["b"]))


WORKER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.lm.test_managed import launch
from promptcot.lm import managed
import tempfile
tempfile.tempdir = sys.argv[1]
managed.multiprocessing.parent_process = lambda: type("Driver", (), dict(pid=int(sys.argv[2])))
if len(sys.argv) > 4:
    sleep = time.sleep
    def waits(seconds):
        print("waits", flush=True)
        time.sleep = sleep
    time.sleep = waits
with managed.lease(launch(sys.argv[3], Path(sys.argv[1]) / sys.argv[3])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


def worker(folder: Path, key: str, *told: str) -> subprocess.Popen[str]:
    """A worker of this process: it holds a lease until it is sent a line. `told`: it says when it first waits."""
    code = WORKER.format(root=str(Path(__file__).parents[2]))
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(os.getpid()), key, *told],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_workers_share_a_server_and_it_goes_with_the_one_that_started_it_however_that_ends(
    tmp_path: Path,
) -> None:
    workers = [worker(tmp_path, "m") for _ in range(3)]
    urls = {said(w) for w in workers}
    assert len(urls) == 1
    assert len(pids(tmp_path / "m")) == 2
    for w in workers:
        w.send_signal(signal.SIGKILL)
        w.wait()
        assert w.stdin is not None
        assert w.stdout is not None
        w.stdin.close()
        w.stdout.close()
    until(lambda: not any(alive(pid) for pid in pids(tmp_path / "m")))


def test_a_server_that_another_worker_is_asking_is_not_ended_before_it_has_answered(tmp_path: Path) -> None:
    busy = worker(tmp_path, "first")
    assert said(busy).startswith("http")
    waits = worker(tmp_path, "second", "told")
    assert said(waits) == "waits\n"
    assert all(alive(pid) for pid in pids(tmp_path / "first"))
    assert not (tmp_path / "second").exists()
    # The first one's keeper goes with its worker, so the worker is only told to give the lease up and waits itself.
    busy.communicate("\n")
    assert said(waits).startswith("http")
    waits.communicate("\n")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"ended while it started \(code 3\):\n.*no vLLM here"),
        lease(launch("bad", tmp_path / "x", code="import sys; print('no vLLM here'); sys.exit(3)")),
    ):
        pass
    with (
        pytest.raises(UserError, match="ended while it started"),
        lease(Launch("none", lambda port: ["/nowhere/python"])),
    ):
        pass


def test_one_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    code = "import sys, os, time; open(sys.argv[2], 'a').write(str(os.getpid())); time.sleep(600)"
    slow = Launch(
        "slow", lambda port: [sys.executable, "-c", code, str(port), str(tmp_path / "slow")], start_s=3.0
    )
    with pytest.raises(UserError, match="does not answer after 3 s"), lease(slow):
        pass
    assert not any(alive(pid) for pid in pids(tmp_path / "slow"))


def test_folders_of_drivers_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = managed.place().with_name(f"{gone.pid}-0")
    old.mkdir()
    managed.place().rmdir()
    managed.place()
    assert not old.exists()


def test_a_driver_that_ends_well_leaves_nothing(tmp_path: Path) -> None:
    with lease(launch("a", tmp_path / "started")):
        pass
    here, root = managed.place(), managed.place().parent
    other = root / "1-of-another-driver"
    other.mkdir()
    stop_idle()
    for gone in (here, root):
        managed.leave()
        assert not gone.exists()
        if other.exists():
            other.rmdir()
