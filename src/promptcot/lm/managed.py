"""Servers of this run on this machine: started when first asked for, shared by its workers, ended with it.

Workers find each other's servers in a folder below the system's temporary one, named after the driver and the GPUs they
see (workers that hold different GPUs do not share). Nothing there rests on process ids or clocks, only on file locks,
which the kernel drops with their process:

    <driver>-<GPUs>/lock        held while a server is started or ended
                   /<key>/alive       held by the server's keeper (`promptcot.lm.keeper`) as long as the server runs
                         /use         shared by those who are asking the server something; a server in use is not ended
                         /server.json where it is
                         /log         what it said

A server is named by a digest of all that its answers depend on, weights included: other weights are another server,
and nothing is ever loaded into one in place.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.lm import keeper

POLL_S = 0.2
LOG_LINES = 15
_started: list[subprocess.Popen[bytes]] = []  # keepers that this process will have to reap


@dataclass(frozen=True)
class Launch:
    """A server that may be started. key: of all that its answers depend on. command: its argv on a given port.

    what: its name in messages. beside: how many such servers may run at a time, this one included. start_s: how long it may take to answer.
    """

    key: str
    command: Callable[[int], Sequence[str]]
    what: str = "the server"
    environment: tuple[tuple[str, str], ...] = ()
    beside: int = 1
    start_s: float = 600.0


@contextmanager
def lease(launch: Launch) -> Iterator[str]:
    """The root URL of the server, which is started where it does not run and is not ended before the block is.

    Raises:
        UserError: it does not start, or not in time.
    """
    folder = place() / launch.key
    folder.mkdir(exist_ok=True)
    with (folder / "use").open("a") as use:
        while True:
            fcntl.flock(use, fcntl.LOCK_SH)
            url = running(folder)
            if url is not None:
                break
            fcntl.flock(use, fcntl.LOCK_UN)
            with _locked(folder.parent):
                if running(folder) is None and _make_room(folder.parent, launch.beside):
                    _start(folder, launch)
                    continue
            time.sleep(POLL_S)  # the others are busy, and must not be ended now
        os.utime(folder / "use")
        yield url


def make_way() -> None:
    """Before a training: end the servers that nobody is asking anything, where they hold a GPU's memory."""
    if has_gpu():
        stop_idle()


def has_gpu() -> bool:
    """Whether this machine has one, of NVIDIA or AMD."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/kfd").exists()


def stop_idle() -> None:
    """End the servers that nobody is asking anything."""
    here = place(make=False)
    if here.exists():
        with _locked(here):
            _make_room(here, 1)


def log_of(launch: Launch) -> Path:
    """Where the server writes what it says."""
    return place() / launch.key / "log"


def place(make: bool = True) -> Path:
    """The folder of this driver's servers, made where it is not there yet (unless `make` is False).

    Raises:
        UserError: it belongs to somebody else.
    """
    root = Path(tempfile.gettempdir()) / f"promptcot-servers-{os.getuid()}"
    parent = multiprocessing.parent_process()  # of a worker: the driver
    driver = parent.pid if parent is not None else os.getpid()
    here = root / f"{driver}-{digest(os.environ.get('CUDA_VISIBLE_DEVICES'))[:8]}"
    while make and not here.exists():
        root.mkdir(mode=0o700, exist_ok=True)
        if root.stat().st_uid != os.getuid():
            raise UserError(f"'{root}' belongs to another user", do="TMPDIR=DIR promptcot ...")
        _tidy(root)
        with suppress(FileNotFoundError):  # another driver has just left
            here.mkdir(exist_ok=True)
    return here


def leave() -> None:
    """In a driver whose workers have ended well: remove what their servers left."""
    root = place(make=False).parent
    for folder in root.glob(f"{os.getpid()}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are there, or it never was
        root.rmdir()


def _tidy(root: Path) -> None:
    """Remove the folders of drivers that are gone."""
    for old in root.iterdir():
        try:
            os.kill(int(old.name.partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (ValueError, PermissionError):
            continue


def running(folder: Path) -> str | None:
    """The root URL of the server in `folder`, if it runs."""
    try:
        found = json.loads((folder / "server.json").read_text())
    except FileNotFoundError:
        return None
    return str(found["url"]) if _alive(folder) else None


def _alive(folder: Path) -> bool:
    try:
        with (folder / keeper.ALIVE).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _locked(here: Path) -> Iterator[IO[str]]:
    with (here / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def _make_room(here: Path, beside: int) -> bool:
    """End idle servers, the longest unused first, until fewer than `beside` run; False where too many are busy."""
    folders = [f.parent for f in here.glob("*/server.json") if running(f.parent)]
    folders.sort(key=lambda f: (f / "use").stat().st_mtime_ns)
    left = len(folders)
    for folder in folders:
        if left < beside:
            break
        with (folder / "use").open("a") as use, suppress(BlockingIOError):
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop(folder)
            left -= 1
    return left < beside


def _stop(folder: Path) -> None:
    with suppress(ProcessLookupError):
        os.kill(json.loads((folder / "server.json").read_text())["keeper"], signal.SIGTERM)
    while _alive(folder):  # its keeper ends it in keeper.GRACE_S at most
        time.sleep(POLL_S)
    _started[:] = [child for child in _started if child.poll() is None]
    (folder / "server.json").unlink(missing_ok=True)


def _start(folder: Path, launch: Launch) -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "promptcot.lm.keeper",
        str(os.getpid()),
        str(folder),
        *launch.command(port),
    ]
    (folder / "server.json").unlink(missing_ok=True)
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **dict(launch.environment)},
        )  # fmt: skip
    up = False
    try:
        _wait(url, child, folder / "log", launch)
        up = True
    finally:
        if not up:
            child.terminate()
            child.wait()
    tmp = folder / "server.tmp"
    tmp.write_text(json.dumps({"url": url, "keeper": child.pid, "command": command}))
    tmp.rename(folder / "server.json")
    _started.append(child)


def _wait(url: str, child: subprocess.Popen[bytes], log: Path, launch: Launch) -> None:
    ends = time.monotonic() + launch.start_s
    while not _answers(url):
        if child.poll() is not None:
            raise UserError(
                f"{launch.what} ended while it started (code {child.returncode}):\n{tail(log)}",
                do=f"see all of it in {log}",
            )
        if time.monotonic() > ends:
            raise UserError(
                f"{launch.what} does not answer after {launch.start_s:g} s:\n{tail(log)}",
                do=f"see all of it in {log}; or raise start_s in the recipe",
            )
        time.sleep(POLL_S)


def tail(log: Path) -> str:
    """The last lines of a server's log."""
    with suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    return "(no log)"


def post(url: str, body: dict[str, Any], fine: str = "") -> None:
    """Send JSON to a server of ours; a refusal that says `fine` is none.

    Raises:
        UserError: it refuses.
    """
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        _direct().open(request, timeout=600.0).close()
    except urllib.error.HTTPError as e:
        said = e.read().decode(errors="replace")
        if not fine or fine not in said:
            raise UserError(f"{url} answers {e.code}: {said[:500]}") from None


def _answers(url: str) -> bool:
    try:
        with _direct().open(f"{url}/health", timeout=5.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _direct() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is behind no proxy


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
