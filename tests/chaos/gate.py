"""Progress of other processes, which waits for leave: what is done at a moment of it is done at that moment on any machine."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

INSIDE = Path(__file__).with_name("inside")  # its sitecustomize.py is the other side


class Progress:
    """What a process is about to do, and does after `go`; equal where it does so again after a kill.

    kind: see `inside/sitecustomize.py`.
    """

    def __init__(self, talk: socket.socket, line: str) -> None:
        self._talk = talk
        pid, self.kind, self.what = line.split(" ", 2)
        self.pid = int(pid)
        found = re.search(r"/\d\d_(\w+)/", self.what)
        self.stage = found[1] if found else self.kind  # an export is a stage of its own here

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.go()

    def go(self) -> None:
        """Let it happen."""
        self._talk.close()


class Gate:
    """Where everything below the directory `run` waits that is started with `environment`."""

    def __init__(self, run: Path) -> None:
        self.run = run.absolute()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="gate-")
        self.address = f"{self._folder.name}/socket"
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self.address)
        self._socket.listen(64)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._socket.close()
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """Variables of the processes whose progress waits here."""
        paths = os.pathsep.join([str(INSIDE), os.environ.get("PYTHONPATH", "")])
        return {"PYTHONPATH": paths, "GATE_RUN": f"{self.run}/", "GATE_SOCKET": self.address}

    def next(self, within_s: float) -> Progress | None:
        """Who waits first, if anybody comes in time."""
        self._socket.settimeout(within_s)
        try:
            talk, _ = self._socket.accept()
        except TimeoutError:
            return None
        talk.settimeout(None)
        line = b""
        while not line.endswith(b"\n"):
            heard = talk.recv(4096)
            if not heard:  # killed while it said so
                talk.close()
                return None
            line += heard
        return Progress(talk, line.decode().strip())
