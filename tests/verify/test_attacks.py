"""Attacks on the sandbox: none gets out of either back end, and each works where there is none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from benchmarks.fuzz import untouched

from promptcot.verify.sandbox import Choice, Limits, Run, run_program

# `{secret}`, `{folder}`, `{victim}`, `{port}`, `{unix}` and `{abstract}` are what the tests put in the way: a file, the
# writable folder it lies in, a process of the same user, and listening sockets; `{site}` is where packages are. Each attack prints ESCAPED if it worked,
# and `held` if the attempt raised.
PROLOG = """
import ctypes, os, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"
def call(x86, arm, *values):
    words = [ctypes.c_long(v) if isinstance(v, int) else v for v in values]
    result = libc.syscall(ctypes.c_long(arm if ARM else x86), *words)
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
def won(what=""): print("ESCAPED", what, flush=True)
def child(pid):
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
    won(pid)
"""

FILES = {
    "read a file": "won(open({secret!r}).read())",
    "read the users of the machine": "won(len(open('/etc/passwd').read()))",
    "list a folder": "won(os.listdir({folder!r}))",
    "list the root": "won() if 'home' in os.listdir('/') else 1 / 0",
    "walk down from the root by descriptor": (
        "fd = os.open('/', os.O_PATH)\nfor part in {secret!r}[1:].split('/'): fd = os.open(part, os.O_RDONLY, dir_fd=fd)\n"
        "won(os.read(fd, 9))"
    ),
    "reach a file through /proc/self/root": "won(open('/proc/self/root' + {secret!r}).read())",
    "reach a file through the parent's root": "won(open(f'/proc/{os.getppid()}/root' + {secret!r}).read())",
    "reach a file through the parent's folder": "won(os.listdir(f'/proc/{os.getppid()}/cwd/'))",
    "read the parent's descriptors": "won(os.listdir(f'/proc/{os.getppid()}/fd'))",
    "reach a file by its handle": (
        "handle = ctypes.create_string_buffer(b'\\x80\\0\\0\\0', 200); mount = ctypes.c_int()\n"
        "call(303, 264, -100, {secret!r}.encode(), handle, ctypes.byref(mount), 0)\nwon()"
    ),
    "write a new file": "open({folder!r} + '/new', 'w').write('x'); won()",
    "write over a file": "open({secret!r}, 'r+').write('x'); won()",
    "append to a file": "open({secret!r}, 'a').write(''); won()",
    "cut a file by its name": "os.truncate({secret!r}, 10); won()",
    "remove a file": "os.unlink({secret!r}); won()",
    "rename a file": "os.rename({secret!r}, {secret!r} + '2'); won()",
    "make a folder": "os.mkdir({folder!r} + '/folder'); won()",
    "remove a folder": "os.rmdir({folder!r} + '/empty'); won()",
    "follow a link of its own": "os.symlink({secret!r}, 'link'); won(open('link').read())",
    "hard-link a file": "os.link({secret!r}, {folder!r} + '/hard'); won()",
    "make a named pipe": "os.mkfifo({folder!r} + '/pipe'); won()",
    "make a nameless file": "os.open({folder!r}, os.O_TMPFILE | os.O_RDWR); won()",
    "change a file's mode": "os.chmod({secret!r}, 0o777); won()",
    "change a file's owner": "os.chown({secret!r}, os.getuid(), os.getgid()); won()",
    "change a file's times": "os.utime({secret!r}, (1, 1)); won()",
    "give a file an attribute": "os.setxattr({secret!r}, 'user.x', b'1'); won()",
    "use a temporary file": "import tempfile; tempfile.TemporaryFile().write(b'x'); won()",
    "write to the working directory": "open('here', 'w').write('x'); won()",
    "write to shared memory": "open(f'/dev/shm/promptcot-{os.getpid()}', 'w').close(); os.unlink(f'/dev/shm/promptcot-{os.getpid()}'); won()",
    "write to the standard library": "open(os.__file__, 'a').close(); won()",
    "hold memory in a file without a name": "os.memfd_create('x'); won()",
    "watch files": "fd = call(294, 26, 0); won()",
    "list the installed packages": "names = os.listdir({site!r}); won(names) if 'pytest' in names else 1 / 0",
    "read a package that was not given": "won(open({site!r} + '/pytest/__init__.py').read())",
    "import a package that was not given": "sys.path.append({site!r}); import pytest; won(pytest)",
    "read what is known of a package": "won(open({site!r} + {metadata!r}).read())",
    "write into a package": "open({site!r} + '/numpy/__init__.py', 'a').close(); won()",
    "write a module beside the packages": "open({site!r} + '/promptcot_attack_%d' % os.getpid(), 'x').close(); os.unlink({site!r} + '/promptcot_attack_%d' % os.getpid()); won()",
}

ENVIRONMENT = {
    "read an environment in /proc": (
        "found = [p for p in os.listdir('/proc') if p.isdigit()]\nfor p in [*found, {victim}, os.getppid(), 1, 'self']:\n"
        "  try: text = open(f'/proc/{p}/environ', 'rb').read()\n  except OSError: continue\n"
        "  if b'PROMPTCOT_TEST_SECRET' in text: won(p); break\nelse: raise OSError"
    ),
    "read another's command line": "won(open('/proc/{victim}/cmdline').read())",
    "read another's memory map": "won(open('/proc/{victim}/maps').read(9))",
}

NETWORK = {
    "connect by TCP": "socket.create_connection(('127.0.0.1', {port}), 5); won()",
    "listen by TCP": "socket.create_server(('127.0.0.1', 0)); won()",
    "send by UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port})); won()",
    "connect to a socket file": "socket.socket(socket.AF_UNIX).connect({unix!r}); won()",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0' + {abstract!r}); won()",
    "send from a pair to an abstract socket": (
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\na.sendto(b'x', '\\0' + {abstract!r} + '-datagrams'); won()"
    ),
    "ask the kernel for its network": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); won()",
}

PROCESSES = {
    "fork": "child(os.fork())",
    "fork by number": "child(call(57, -1)) if not ARM else child(os.fork())",
    "clone by number": "child(call(56, 220, signal.SIGCHLD, 0, 0, 0, 0))",
    "clone3 by number": (
        "words = (ctypes.c_uint64 * 8)(); words[4] = signal.SIGCHLD\nchild(call(435, 435, words, 64))"
    ),
    "spawn": "won(os.posix_spawn('/bin/true', ['true'], {{}}))",
    "run a command": "won(subprocess.run(['/bin/echo', 'x'], check=True))",
    "run a shell": "won() if os.system('true') == 0 else 1 / 0",
    "use multiprocessing": (
        "import multiprocessing as m\nm.set_start_method('fork')\np = m.Process(target=print); p.start(); p.join(); won()"
    ),
    "become another program": "os.execv('/bin/echo', ['echo', 'ESCAPED'])",
    "become a program in memory": (
        "fd = os.memfd_create('x'); os.write(fd, open('/bin/echo', 'rb').read())\nos.execve(fd, ['echo', 'ESCAPED'], {{}})"
    ),
    "leave a daemon behind": "os.setsid() if os.fork() == 0 else won(); os._exit(0)",
    "leave its session": "os.setpgid(0, os.getpgid(os.getppid())); won()",
}

OTHERS = {
    "signal another process": "os.kill({victim}, 0); won()",
    "signal its parent": "os.kill(os.getppid(), 0); won()",
    "signal everyone": "os.kill(-1, 0); won()",
    "signal its parent's group": "os.killpg(os.getpgid(os.getppid()), 0); won()",
    "signal a thread": "call(200, 130, {victim}, 0); won()",
    "signal a thread of a group": "call(234, 131, {victim}, {victim}, 0); won()",
    "queue a signal": "call(129, 138, {victim}, signal.SIGURG, (ctypes.c_int * 32)(signal.SIGURG, 0, -1)); won()",
    "signal through a descriptor": "fd = os.pidfd_open({victim}); won()",
    "signal by input": "import fcntl; a, b = os.pipe(); fcntl.fcntl(a, fcntl.F_SETOWN, {victim}); won()",
    "signal by a lease": "import fcntl; fcntl.fcntl(os.open('/usr/lib', 0), fcntl.F_NOTIFY, 1); won()",
    "trace another process": "call(101, 117, 0x4206, {victim}, 0, 0); won()",
    "read another's memory": (
        "b = ctypes.create_string_buffer(8); v = (ctypes.c_uint64 * 2)(ctypes.addressof(b), 8)\n"
        "start = int(open('/proc/{victim}/maps').read().partition('-')[0], 16)\n"
        "call(310, 270, {victim}, v, 1, (ctypes.c_uint64 * 2)(start, 8), 1, 0); won()"
    ),
    "open another's memory": "open('/proc/{victim}/mem', 'r+b'); won()",
    "open its parent's memory": "open(f'/proc/{os.getppid()}/mem', 'r+b'); won()",
    "limit another process": "__import__('resource').prlimit({victim}, 7, (99, 99)); won()",
    "read another's limits": "__import__('resource').prlimit({victim}, 7); won()",
    "slow another process down": "os.setpriority(os.PRIO_PROCESS, {victim}, 5); won()",
    "move another process": "os.sched_setaffinity({victim}, {{0}}); won()",
    "reschedule another process": "os.sched_setscheduler({victim}, os.SCHED_BATCH, os.sched_param(0)); won()",
    "slow another's disk down": "call(251, 30, 1, {victim}, 3 << 13); won()",
    "compare with another process": "call(312, 272, os.getpid(), {victim}, 3, 0, 0); won()",
    "take another's descriptor": "fd = call(434, 434, {victim}, 0); won()",
}

KERNEL = {
    "make a user namespace": "checked(libc.unshare(0x10000000)); won()",
    "make namespaces by clone": "child(call(56, 220, 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))",
    "make a key": "call(248, 217, b'user', b'promptcot', b'x', 1, -2); won()",
    "share memory": "won(call(29, 194, 0, 4096, 0o1600))",
    "make a semaphore": "won(call(64, 190, 0, 1, 0o1600))",
    "make a message queue": "won(call(68, 186, 0, 0o1600))",
    "set up a ring": "won(call(425, 425, 1, (ctypes.c_char * 200)()))",
    "handle page faults": "won(call(323, 282, 1))",
    "change its personality": "won(call(135, 92, 0x0040000))",
    "forget to die with its parent": "checked(libc.prctl(1, 0, 0, 0, 0)); won()",
    "name its own rules": "won(call(444, 444, None, 0, 1))",
    "count events": "won(call(298, 241, (ctypes.c_char * 128)(1, 0, 0, 0, 128), 0, -1, -1, 0))",
    "lock memory": "won(call(151, 230, 1))",
}

CONTROLLED = {**FILES, **ENVIRONMENT, **NETWORK, **PROCESSES, **OTHERS, **KERNEL}

# Not worth trying without a sandbox: they need root, hurt the machine, or depend on how it is set up.
UNCONTROLLED = {
    "read the caller's secret in its environment": "won() if 'PROMPTCOT_TEST_SECRET' in os.environ else 1 / 0",
    "send from a stream pair to an abstract socket": "a, b = socket.socketpair(); a.sendto(b'x', '\\0' + {abstract!r}); won()",
    "name the program that handles crashes": "open('/proc/sys/kernel/core_pattern', 'r+').close(); won()",
    "press a magic key": "open('/proc/sysrq-trigger', 'w').close(); won()",
    "wake the machine": "open('/proc/acpi/wakeup', 'r+').close(); won()",
    "choose who dies when memory is short": "open(f'/proc/{os.getppid()}/oom_score_adj', 'r+').close(); won()",
    "read the kernel's log": "open('/proc/kmsg').close(); won()",
    "read the kernel's addresses": "open('/proc/kallsyms').close(); won()",
    "mount": "checked(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)); won()",
    "change the root": "os.chroot('/usr'); won()",
    "enter a namespace": "fd = os.open('/proc/1/ns/net', 0); checked(libc.setns(fd, 0)); won()",
    "become root": "os.setuid(0); os.setgid(0); os.setgroups([]); won()",
    "load a kernel program": "won(call(321, 280, 0, (ctypes.c_char * 120)(), 120))",
    "raise its limits": (
        "import resource as r\nfor what in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE, r.RLIMIT_CORE):\n"
        "  try: r.setrlimit(what, (r.RLIM_INFINITY, r.RLIM_INFINITY)); won(what)\n  except (OSError, ValueError): pass\n"
        "raise OSError"
    ),
    "read the parent's environment": "won() if open(f'/proc/{os.getppid()}/environ').read() else 1 / 0",
    "type into the terminal": "import fcntl; fcntl.ioctl(os.open('/dev/tty', 0), 0x5412, b'x'); won()",
    "make a device": "os.mknod('/tmp/device', 0o20666, 0x103); won()",
    "set the clock": "time.clock_settime(time.CLOCK_REALTIME, 0); won()",
    "set the host's name": "os.sethostname if 0 else checked(libc.sethostname(b'x', 1)); won()",
    "reboot": "checked(call(169, 142, 0xFEE1DEAD, 672274793, 0)); won()",
    "kill everyone": "os.kill(-1, 9); won()",
    "kill its parent": "os.kill(os.getppid(), 9); won()",
    "fork sixty times": "for _ in range(60): os.fork() or time.sleep(3)\nwon()",
    "use the old system calls": (
        "import mmap\nif ARM: raise OSError\n"
        "m = mmap.mmap(-1, 4096, prot=7); m.write(b'\\xb8\\x14\\0\\0\\0\\xcd\\x80\\xc3')\n"
        "f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m))); won(f())"
    ),
    "use the x32 system calls": "won(call(0x40000000 + 57, -1)) if not ARM else 1 / 0",
    "start by vfork": "won(call(58, -1)) if not ARM else 1 / 0",
}

LIMITS = Limits(wall_s=20.0, cpu_s=20.0)
SITE = str(Path(pytest.__file__).parents[1])
ATTACKS = {**CONTROLLED, **UNCONTROLLED}


@pytest.fixture(scope="module")
def victim() -> Iterator[psutil.Process]:
    """A process of the same user, with a secret in its environment."""
    env = {**os.environ, "PROMPTCOT_TEST_SECRET": "x"}
    code = "import signal; print('here', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        known = psutil.Process(process.pid)
        while known.status() != psutil.STATUS_SLEEPING:  # from here on nothing of it changes by itself
            time.sleep(0.01)
        yield known
        process.kill()


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
    name: str, folder: Path, victim: psutil.Process, sockets: dict[str, object], sandbox: Choice,
    packages: tuple[str, ...] = (),
) -> Run:  # fmt: skip
    places = {
        "secret": str(folder / "secret"), "folder": str(folder), "victim": victim.pid, **sockets,
        "site": SITE, "metadata": f"/pytest-{pytest.__version__}.dist-info/METADATA",
    }  # fmt: skip
    body = ATTACKS[name]
    for key, value in places.items():
        body = body.replace(f"{{{key}!r}}", repr(value)).replace(f"{{{key}}}", str(value))
    body = body.replace("{{", "{").replace("}}", "}").replace("\n", "\n  ")
    code = f"{PROLOG}try:\n  {body}\nexcept Exception as error: print('held', repr(error))\n"
    code = "".join(f"import {package}\n" for package in packages) + code
    (run,) = run_program(code, [""], replace(LIMITS, packages=packages), sandbox=sandbox)
    return run


def state(folder: Path, victim: psutil.Process) -> object:
    """Everything an attack could have changed."""
    files = {
        str(p): (p.lstat().st_mode, p.lstat().st_mtime_ns, p.lstat().st_nlink)
        for p in sorted(folder.rglob("*"))
    }
    return files, (folder / "secret").read_bytes(), untouched(victim)


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_gets_out(
    name: str, sandbox: Choice, packages: tuple[str, ...], folder: Path, victim: psutil.Process,
    sockets: dict[str, object], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("PROMPTCOT_TEST_SECRET", "x")
    before = state(folder, victim)
    run = attack(name, folder, victim, sockets, sandbox, packages)
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
