"""Inside the sandbox: what a fork gives up, for good, before it reads an untrusted program.

Loaded by `launcher.py`. Landlock limits files, seccomp system calls, resource limits the rest.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

STACK_BYTES = 64 << 20


class Kernel:
    """The system calls that Python has no function for. Every method raises OSError."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)

    def call(self, number: int, *values: object) -> int:
        words = [ctypes.c_long(v) if isinstance(v, int) else v for v in values]
        return self._checked(self.libc.syscall(ctypes.c_long(number), *words))

    def prctl(self, option: int, *values: object) -> int:
        words = [ctypes.c_ulong(v) if isinstance(v, int) else v for v in (*values, 0, 0, 0, 0)[:4]]
        return self._checked(self.libc.prctl(ctypes.c_int(option), *words))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def die_with_parent(self, how: int = signal.SIGKILL) -> None:
        self.prctl(1, how)  # PR_SET_PDEATHSIG

    def hide_memory(self) -> None:
        # PR_SET_DUMPABLE: no one of the same user may trace this process or open its /proc files
        self.prctl(4, 0)

    def drop_capabilities(self) -> None:
        header = (0x20080522).to_bytes(4, sys.byteorder) + bytes(
            4
        )  # _LINUX_CAPABILITY_VERSION_3, this process
        self._checked(self.libc.capset(header, bytes(24)))

    def filter(self, program: bytes) -> None:
        """seccomp(2), for good."""
        code = ctypes.create_string_buffer(program, len(program))
        head = len(program) // 8
        fprog = head.to_bytes(8, sys.byteorder) + ctypes.addressof(code).to_bytes(8, sys.byteorder)
        self.prctl(22, 2, ctypes.c_char_p(fprog))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

    def landlock(self, readable: list[str]) -> int:
        """A ruleset that allows reading beneath some paths and nothing else; returns its descriptor.

        landlock(7) and linux/landlock.h. Older kernels know fewer rights; the filter covers what they miss.
        """
        create, add_rule = 444, 445
        abi = self.call(create, None, 0, 1)
        rights = (1 << (13, 14, 15, 15, 16)[min(abi, 5) - 1]) - 1
        # files; TCP; signals and abstract sockets
        attributes = [rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0]
        size = 24 if abi >= 6 else 16 if abi >= 4 else 8
        packed = b"".join(word.to_bytes(8, sys.byteorder) for word in attributes)[:size]
        ruleset = self.call(create, packed, size, 0)
        for path in readable:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            # READ_FILE, READ_DIR; WRITE_FILE, for programs that silence themselves
            read = 4 | (8 if os.path.isdir(path) else 0) | (2 if path == os.devnull else 0)
            rule = read.to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder)
            self.call(add_rule, ruleset, 1, rule, 0)
            os.close(fd)
        return ruleset

    def enter_landlock(self, ruleset: int) -> None:
        self.call(446, ruleset, 0)


def confine(kernel: Kernel, program: bytes, ruleset: int) -> None:
    """Give up, in this process and for good, everything a program that answers a question does not need."""
    kernel.die_with_parent()
    kernel.prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    kernel.prctl(4, 1)  # its own /proc/self is its own again
    kernel.drop_capabilities()
    if ruleset >= 0:
        kernel.enter_landlock(ruleset)
    mine = os.getpid().to_bytes(4, sys.byteorder)
    placeholder = (0x70696421).to_bytes(4, sys.byteorder)
    kernel.filter(program.replace(placeholder, mine))


def set_limits(memory: int, output: int, cpu_s: int) -> None:
    """Hard limits; without capabilities nothing can raise them."""
    stack = resource.getrlimit(resource.RLIMIT_STACK)[1]
    wanted = min(STACK_BYTES, memory)
    wanted = wanted if stack == resource.RLIM_INFINITY else min(stack, wanted)
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_STACK, wanted, stack),
        (resource.RLIMIT_FSIZE, output + 1, output + 1),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_AS, memory, memory),
    ):
        try:
            resource.setrlimit(what, (soft, hard))
        except (
            ValueError,
            OSError,
        ):  # macOS refuses some; the clock and the output file still bound the test
            if sys.platform == "linux":
                raise
