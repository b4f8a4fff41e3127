"""In every Python that starts with this folder on its PYTHONPATH: progress below GATE_RUN waits for leave at GATE_SOCKET.

Told is what is about to happen: a shard or a table of totals renamed into place, a line appended to a log, a step of a
training, a reply of a server kept, a file of an export. `tests.chaos.gate` has the other side.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from typing import Any

KINDS = {
    "shard": r"\d\d_\w+/[^/]+/(by-[^/]+/)?part-\d+\.parquet",
    "commit": r"\d\d_\w+/[^/]+/(by-[^/]+/)?commits\.jsonl",
    "step": r"\d\d_\w+/[^/]+/\.making/progress\.json",
    "model": r"\d\d_\w+/[^/]+/artifact",
    "done": r"\d\d_\w+/[^/]+/done\.json",
    "asking": r"\d\d_\w+/[^/]+/(by-[^/]+/)?\.replies-\d+\.jsonl",
    "export": r"exports/.*\.tmp(/.*)?",
}


def install(run: str, address: str) -> None:
    """Tell of everything below `run` from now on."""

    def tell(kind: str, path: str, place: object = "") -> None:
        with socket.socket(socket.AF_UNIX) as gate:
            try:
                gate.connect(address)
                gate.sendall(f"{os.getpid()} {kind} {path} {place}\n".encode())
                gate.recv(1)
            except OSError:  # nobody holds the gate any more
                pass

    def see(event: str, given: tuple[Any, ...]) -> None:
        if event == "os.rename":
            path = given[1]
        elif event == "os.mkdir" or (event == "open" and writes(given[1], given[2])):
            path = given[0]
        else:
            return
        path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if not path.startswith(run):
            return
        for kind, form in KINDS.items():
            if re.fullmatch(form, path[len(run) :]):
                tell(kind, path, place_in(path, kind, given))
                if kind == "asking":
                    tell_of_replies(tell)

    sys.addaudithook(see)


def place_in(path: str, kind: str, given: tuple[Any, ...]) -> object:
    """Which step of a training, which line of a log: the same after a kill is no new progress."""
    if kind == "step":
        with open(given[0]) as f:
            return json.load(f)["step"]
    return os.path.getsize(path) if kind == "commit" and os.path.exists(path) else ""


def writes(mode: str | None, flags: int) -> bool:
    return bool({"a", "w"} & set(mode)) if mode else bool(flags & (os.O_APPEND | os.O_CREAT))


def tell_of_replies(tell: Any) -> None:
    """Writing one line into a file that is open is nothing that Python could be asked to tell of."""
    journal = sys.modules["promptcot.lm.journal"].Journal
    put = journal.put
    if put.__name__ == "put":

        def told(self: Any, key: str, reply: Any) -> None:
            tell("reply", str(self.path), len(self.replies))
            put(self, key, reply)

        journal.put = told


if "GATE_SOCKET" in os.environ:
    install(os.environ["GATE_RUN"], os.environ["GATE_SOCKET"])
