"""Keeps one server process: `python -m promptcot.lm.keeper PARENT FOLDER COMMAND ...`.

A server such as vLLM is a family of processes that outlives a killed parent and then holds a GPU for good. So it runs as
a process group of its own below this small process, which ends the whole group (SIGTERM, then SIGKILL) when it is told to
(SIGTERM) or when PARENT, the process that started it, is gone, however that ended. While the server runs, this process
holds a lock on FOLDER/alive: the kernel's word on whether it does, which a reused process id cannot fake.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

ALIVE = "alive"
GRACE_S = 10.0  # between SIGTERM and SIGKILL
POLL_S = 0.2


def main(parent: int, folder: Path, command: list[str]) -> int:
    """Run `command` until it ends, SIGTERM comes or `parent` is gone; the exit code is the command's."""
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    with (folder / ALIVE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, cwd=folder)
        while server.poll() is None and not asked and os.getppid() == parent:
            time.sleep(POLL_S)
        _end(server)
    return server.returncode


def _end(server: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_S)
    with suppress(ProcessLookupError):  # its own children, where it left any behind
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
