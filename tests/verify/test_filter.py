"""The seccomp filter, run by a small interpreter of classic BPF: so both machines' filters are tested on either."""

from __future__ import annotations

import errno
import struct

import pytest

from promptcot.verify.sandbox import filter as seccomp

ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
EPERM, ENOSYS = (seccomp.ERRNO | n for n in (errno.EPERM, errno.ENOSYS))


def ask(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the filter answers to a system call."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<iIQ6Q", number, ARCH[machine] if arch is None else arch, 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.build(machine)))
    accumulator = at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x15:
            at += jt if accumulator == k else jf
        elif code == 0x35:
            at += jt if accumulator >= k else jf
        else:
            assert code == 0x06
            return int(k)


@pytest.mark.parametrize("machine", ARCH)
def test_what_is_listed_is_allowed_and_nothing_else(machine: str) -> None:
    listed = dict(seccomp.names(machine))
    plain = {number for name, number in listed.items() if name not in seccomp.CHECKS and name != "clone3"}
    for number in range(442):
        answer = ask(machine, number)
        if number in plain:
            assert answer == seccomp.ALLOW, number
        elif number == listed["clone3"]:
            assert answer == ENOSYS
        elif number not in listed.values():
            assert answer == EPERM, number
    assert {ask(machine, n) for n in (442, 500, 0x40000000 + listed["write"], 0x7FFFFFFF)} == {ENOSYS}


@pytest.mark.parametrize("machine", ARCH)
def test_a_call_of_another_architecture_kills(machine: str) -> None:
    assert ask(machine, 1, arch=0x40000003) == seccomp.KILL


@pytest.mark.parametrize("machine", ARCH)
@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("clone", (0x3D0F00,), True),  # what pthread_create asks for
        ("clone", (0x1200011,), False),  # fork
        ("clone", (0x4111,), False),  # vfork
        ("clone", (0x10000 | 0x10000000,), False),  # a thread in a user namespace
        ("clone", (0x10000 | 0x80,), False),
        ("kill", (seccomp.PID, 10), True),
        ("kill", (1, 9), False),
        ("kill", (0xFFFFFFFF, 9), False),
        ("tgkill", (seccomp.PID, 5, 6), True),
        ("tgkill", (5, 5, 6), False),
        ("prlimit64", (0, 7), True),
        ("prlimit64", (1, 7), False),
        ("fcntl", (0, 1030), True),
        ("fcntl", (0, 8, 5), False),  # F_SETOWN
        ("fcntl", (0, 10, 9), False),  # F_SETSIG
        ("fcntl", (0, 1031, 1), False),  # F_SETPIPE_SZ
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("socketpair", (1, 1 | 0o2000000), True),
        ("socketpair", (1, 2), False),
        ("socketpair", (2, 1), False),
    ],
)
def test_arguments_are_looked_at(machine: str, name: str, arguments: tuple[int, ...], allowed: bool) -> None:
    number = dict(seccomp.names(machine))[name]
    assert ask(machine, number, *arguments) == (seccomp.ALLOW if allowed else EPERM)


@pytest.mark.parametrize("machine", ARCH)
@pytest.mark.parametrize(
    "name",
    [
        "fork",
        "vfork",
        "execve",
        "execveat",
        "socket",
        "connect",
        "bind",
        "ptrace",
        "process_vm_readv",
        "unshare",
        "setns",
        "mount",
        "chmod",
        "fchmodat",
        "unlink",
        "unlinkat",
        "rename",
        "mkdirat",
        "symlinkat",
        "truncate",
        "utimensat",
        "setxattr",
        "shmget",
        "memfd_create",
        "bpf",
        "prctl",
        "seccomp",
        "tkill",
        "rt_sigqueueinfo",
        "pidfd_open",
        "setpriority",
        "sched_setaffinity",
        "capset",
        "setuid",
        "chroot",
        "sendmsg",
        "inotify_init1",
    ],
)
def test_no_dangerous_call_is_listed(machine: str, name: str) -> None:
    assert name not in dict(seccomp.names(machine))


def test_there_is_no_filter_for_other_machines() -> None:
    with pytest.raises(KeyError):
        seccomp.build("riscv64")
