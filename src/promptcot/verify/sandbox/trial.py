"""The trial of a back end: a program that imports the packages it was promised and tries to get out, and must report
that nothing else worked."""

from __future__ import annotations

from promptcot.errors import UserError
from promptcot.verify.sandbox.backends import Backend

# Each line is something a confined program cannot do. Without a sandbox most of them work for anyone.
_ATTEMPTS = """
import os, sys, socket
def fork():
    if os.fork() == 0: os._exit(0)
def outside(): os.listdir("/etc"), os.listdir("/home"), open("/etc/passwd").close()
def write():
    with open("promptcot-trial", "w"): pass
def network(): socket.socket().close()
def signals(): os.kill(os.getppid(), 0)
def start(): os.execv("/bin/true", ["true"])
def change(): os.chmod(sys.executable, 0o755)
def other(): __import__("resource").prlimit(os.getppid(), 0)
for attempt in (fork, outside, write, network, signals, change, other, start):
    try: attempt()
    except OSError: continue
    print(attempt.__name__, flush=True)
print("end", input())
"""


def trial(backend: Backend) -> str:
    """Why the back end cannot be trusted with a program; empty if it can (for `unsafe`: if it runs at all)."""
    from promptcot.verify.sandbox.run import Limits, run_batch

    code = "".join(f"import {name}\n" for name in backend.packages.asked)
    code += "print('end', input())" if backend.confine == "none" else _ATTEMPTS
    try:
        (run,) = run_batch(backend, code, ["here"], Limits(wall_s=30.0, cpu_s=30.0))
    except UserError as error:
        return error.seen.partition(": ")[2]
    got_out = run.stdout.split()[: -2 if run.stdout.endswith("end here\n") else None]
    if got_out:
        return f"it starts but does not confine: {', '.join(got_out)}"
    if run.stdout != "end here\n":
        return f"a program ended with {run.status}: {run.stderr.strip().rpartition(chr(10))[2][-200:]}"
    return ""
