"""What a program may ask of the kernel: a seccomp filter, assembled here into classic BPF.

A list of what is allowed: whatever it does not name fails with EPERM, what is newer than the list with ENOSYS (so
that libc falls back to something older). Not on the list: starting processes and programs, sockets to anywhere,
signals to others, tracing, namespaces, mounts, keys, shared memory, changing the names, modes, owners or times of
files, and the limits or priorities of other processes. Threads are allowed.

Sources: seccomp(2), linux/filter.h and linux/audit.h; the numbers are those of asm/unistd_64.h (x86-64) and
asm-generic/unistd.h (aarch64).
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

PID = 0x70696421  # stands for the number of the confined process, which the launcher fills in

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data; the low half of an argument comes first
_NEWER = 442  # the first number after those below
_ARCHES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# name: (x86-64, aarch64); None where the architecture has no such call. The busiest come first.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "mmap": (9, 222),
    "munmap": (11, 215), "brk": (12, 214), "futex": (202, 98), "openat": (257, 56), "newfstatat": (262, 79),
    "stat": (4, None), "open": (2, None), "lstat": (6, None), "mprotect": (10, 226), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286),
    "pwritev2": (328, 287), "mremap": (25, 216), "madvise": (28, 233), "msync": (26, 227), "mincore": (27, 232),
    "getdents": (78, None), "getdents64": (217, 61), "access": (21, None), "faccessat": (269, 48),
    "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "statx": (332, 291),
    "statfs": (137, 43), "fstatfs": (138, 44), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50),
    "umask": (95, 166), "ftruncate": (77, 46), "fallocate": (285, 47), "fsync": (74, 82), "fdatasync": (75, 83),
    "flock": (73, 32), "fadvise64": (221, 223), "sendfile": (40, 71), "copy_file_range": (326, 285),
    "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "close_range": (436, 436), "pipe": (22, None),
    "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "eventfd": (284, None), "eventfd2": (290, 19),
    "sendto": (44, 206), "recvfrom": (45, 207), "shutdown": (48, 210), "getsockname": (51, 204),
    "getpeername": (52, 205), "getsockopt": (55, 209), "exit": (60, 93), "exit_group": (231, 94),
    "set_tid_address": (218, 96), "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125), "sched_get_priority_min": (147, 126),
    "getcpu": (309, 168), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
    "getitimer": (36, 102), "setitimer": (38, 103), "alarm": (37, None), "pause": (34, None),
    "sigaltstack": (131, 132), "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133), "restart_syscall": (219, 128), "wait4": (61, 260), "waitid": (247, 95),
    "getrandom": (318, 278), "getrlimit": (97, 163), "setrlimit": (160, 164), "getrusage": (98, 165),
    "getpriority": (140, 141), "sysinfo": (99, 179), "uname": (63, 160), "getpid": (39, 172), "gettid": (186, 178),
    "getppid": (110, 173), "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156),
    "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getgroups": (115, 158), "capget": (125, 90),
    # allowed only with the arguments below
    "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261), "fcntl": (72, 25), "ioctl": (16, 29),
    "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435),
}  # fmt: skip

_WORD = 0xFFFFFFFF
_CLONE_THREAD, _CLONE_SPACES = 0x00010000, 0x7E020080  # a thread; any new namespace


@dataclass(frozen=True)
class Check:
    """Argument number `arg`, after `& mask`, must be one of `values`."""

    arg: int
    values: tuple[int, ...]
    mask: int = _WORD


CHECKS: dict[str, tuple[Check, ...]] = {
    "kill": (Check(0, (PID,)),),
    "tgkill": (Check(0, (PID,)),),
    "prlimit64": (Check(0, (0, PID)),),
    # Duplicating, flags, locks. F_SETOWN would send signals to others.
    "fcntl": (Check(1, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),),
    # TCGETS (isatty), TIOCGWINSZ, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX. TIOCSTI would type into the terminal.
    "ioctl": (Check(1, (0x5401, 0x5413, 0x5421, 0x541B, 0x5451, 0x5450)),),
    # AF_UNIX, SOCK_STREAM: asyncio wakes itself through such a pair; a datagram pair could send to any name.
    "socketpair": (Check(0, (1,)), Check(1, (1,), 0xF)),
    "clone": (Check(0, (_CLONE_THREAD,), _CLONE_THREAD | _CLONE_SPACES),),
}


def build(machine: str | None = None) -> bytes:
    """The filter for a machine (default: this one), as an array of struct sock_filter.

    Raises:
        KeyError: there is no table for that architecture.
    """
    column, arch = _ARCHES[machine or platform.machine()]
    code = [_op(_LOAD, _ARCH), _op(_EQUAL, arch, 1, 0), _op(_RETURN, KILL), _op(_LOAD, _NR)]
    code += [_op(_AT_LEAST, _NEWER, 0, 1), _op(_RETURN, ERRNO | errno.ENOSYS)]
    for name, numbers in _NUMBERS.items():
        number = numbers[column]
        if number is not None:
            body = _body(name)
            code += [_op(_EQUAL, number, 0, len(body)), *body]
    code.append(_op(_RETURN, ERRNO | errno.EPERM))
    return b"".join(code)


def supported() -> bool:
    """Is there a table for this machine?"""
    return platform.machine() in _ARCHES


def _body(name: str) -> list[bytes]:
    """What follows when the number matched; every path returns."""
    if name == "clone3":  # its flags lie in memory, where a filter cannot look; libc then uses clone
        return [_op(_RETURN, ERRNO | errno.ENOSYS)]
    body: list[bytes] = []
    for check in CHECKS.get(name, ()):
        body += _check(check)
    return [*body, _op(_RETURN, ALLOW)]


def _check(check: Check) -> list[bytes]:
    """Go on behind this block if the argument has one of the values, else return EPERM."""
    count = len(check.values)
    tests = [_op(_EQUAL, value, count - i, 0) for i, value in enumerate(check.values)]
    load = [_op(_LOAD, _ARGS + 8 * check.arg), _op(_AND, check.mask)]
    return [*load, *tests, _op(_RETURN, ERRNO | errno.EPERM)]


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jt, jf, k)


def names(machine: str) -> Sequence[tuple[str, int]]:
    """Every call of the list with its number on a machine."""
    column = _ARCHES[machine][0]
    return [(name, n) for name, both in _NUMBERS.items() if (n := both[column]) is not None]
