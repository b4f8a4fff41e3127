"""What is said between this process and the launcher in the sandbox: one job at a time, then how its tests ended.

Programs, inputs and outputs are anonymous files: there is no pipe to fill up, RLIMIT_FSIZE bounds the output, and
nothing a program does to a file system changes what is read back. Their descriptors travel beside the request.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import IO


@dataclass(frozen=True)
class Files:
    """The standard streams of one test."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def fds(self) -> list[int]:
        """Their descriptors."""
        return [self.stdin.fileno(), self.stdout.fileno(), self.stderr.fileno()]


@dataclass(frozen=True)
class Job:
    """One program, its tests and the limits of each (see `run.Limits`); `function` empty for stdin programs."""

    code: str
    tests: Sequence[Files]
    wall_s: float
    cpu_s: float
    memory_mb: int
    output_bytes: int
    threads: int
    hash_seed: int
    function: str
    lcb: bool
    stop: bool

    def request(self) -> bytes:
        """The line that asks for it: KEY=VALUE words."""
        values = {
            "wall_s": self.wall_s, "cpu_s": math.ceil(self.cpu_s), "memory": self.memory_mb << 20,
            "output": self.output_bytes, "threads": self.threads, "stop": int(self.stop), "lcb": int(self.lcb),
            "function": self.function.encode("utf-8", "surrogatepass").hex(),
        }  # fmt: skip
        return (" ".join(f"{key}={value}" for key, value in values.items()) + "\n").encode()


@dataclass(frozen=True)
class End:
    """What the supervisor said about a test. `killed_for`: `wall`, `threads`, or `-`."""

    wait_status: int
    cpu_s: float
    peak_bytes: int
    wall_s: float
    killed_for: str


@dataclass
class Report:
    """Everything the supervisor said about a job. `running` is the process group of the test that has not ended."""

    done: bool = False
    trouble: str = ""
    running: int | None = None
    inside: int = 0
    ends: dict[int, End] = field(default_factory=dict)

    def take(self, line: str) -> None:
        """One line. Without a sandbox a program can forge lines, so a malformed one is only ignored."""
        word, *values = line.split() or [""]
        with suppress(ValueError):
            match word:
                case "done":
                    self.done = True
                case "inside":
                    self.inside += 1
                case "start":
                    (self.running,) = map(int, values)
                case "nofork" | "unconfined":
                    self.trouble = self.trouble or line
                case "end":
                    index, status, cpu_s, peak, wall_s, killed_for = values
                    end = End(int(status), float(cpu_s), int(peak), float(wall_s), killed_for)
                    self.ends[int(index)] = end
                    self.running = None
                case _:
                    pass


def anonymous(stack: ExitStack, text: str = "") -> IO[bytes]:
    """A file without a name holding `text`, at its start. Lone surrogates pass: models write anything."""
    if sys.platform == "linux":
        file: IO[bytes] = stack.enter_context(open(os.memfd_create("promptcot"), "w+b", buffering=0))  # noqa: SIM115
    else:
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    left = memoryview(text.encode("utf-8", "surrogatepass"))
    while left:
        left = left[file.write(left) :]
    file.seek(0)
    return file
