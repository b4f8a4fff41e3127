"""Attacks on the sandbox: none gets out of either back end, and each works where there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from attacks import CONTROLLED, PROLOG, UNCONTROLLED

from promptcot.verify.sandbox import Choice, Limits, Run, run_program

LIMITS = Limits(wall_s=20.0, cpu_s=20.0)
ATTACKS = {**CONTROLLED, **UNCONTROLLED}


@pytest.fixture(scope="module")
def victim() -> Iterator[psutil.Process]:
    """A process of the same user, with a secret in its environment."""
    env = {**os.environ, "PROMPTCOT_TEST_SECRET": "x"}
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=env)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Listening sockets: TCP on the loopback, a socket file, abstract names for streams and datagrams."""
    abstract = f"promptcot-test-{os.getpid()}"
    unix = str(tmp_path_factory.mktemp("unix") / "socket")
    kinds = {
        unix: socket.SOCK_STREAM,
        f"\0{abstract}": socket.SOCK_STREAM,
        f"\0{abstract}-datagrams": socket.SOCK_DGRAM,
    }
    listening = [socket.create_server(("127.0.0.1", 0))]
    for name, kind in kinds.items():
        listening.append(socket.socket(socket.AF_UNIX, kind))
        listening[-1].bind(name)
        if kind == socket.SOCK_STREAM:
            listening[-1].listen(50)
    yield {"port": listening[0].getsockname()[1], "unix": unix, "abstract": abstract}
    for one in listening:
        one.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user with a secret in it."""
    (tmp_path / "secret").write_text("a secret of the user")
    (tmp_path / "empty").mkdir()
    return tmp_path


def attack(
    name: str, folder: Path, victim: psutil.Process, sockets: dict[str, object], sandbox: Choice
) -> Run:
    places = {"secret": str(folder / "secret"), "folder": str(folder), "victim": victim.pid, **sockets}
    body = ATTACKS[name]
    for key, value in places.items():
        body = body.replace(f"{{{key}!r}}", repr(value)).replace(f"{{{key}}}", str(value))
    body = body.replace("{{", "{").replace("}}", "}").replace("\n", "\n  ")
    code = f"{PROLOG}try:\n  {body}\nexcept Exception as error: print('held', repr(error))\n"
    (run,) = run_program(code, [""], LIMITS, sandbox=sandbox)
    return run


def state(folder: Path, victim: psutil.Process) -> object:
    """Everything an attack could have changed."""
    files = {
        str(p): (p.lstat().st_mode, p.lstat().st_mtime_ns, p.lstat().st_nlink)
        for p in sorted(folder.rglob("*"))
    }
    content = (folder / "secret").read_bytes()
    limits = victim.rlimit(psutil.RLIMIT_NOFILE)
    return files, content, victim.is_running(), victim.status(), victim.nice(), victim.cpu_affinity(), limits


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gets_out(
    name: str, sandbox: Choice, folder: Path, victim: psutil.Process, sockets: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PROMPTCOT_TEST_SECRET", "x")
    before = state(folder, victim)
    run = attack(name, folder, victim, sockets, sandbox)
    assert "ESCAPED" not in run.stdout, run.stdout
    assert run.stdout.startswith("held") or run.exit_code == -31, (
        run
    )  # the kernel kills calls of another architecture
    assert state(folder, victim) == before


@pytest.mark.parametrize("name", CONTROLLED)
def test_every_attack_works_without_a_sandbox(
    name: str,
    folder: Path,
    victim: psutil.Process,
    sockets: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PROMPTCOT_TEST_SECRET", "x")
    run = attack(name, folder, victim, sockets, "unsafe")
    assert "ESCAPED" in run.stdout, run
