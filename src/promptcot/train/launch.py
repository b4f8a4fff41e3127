"""The same training function in this process, or in several under torchrun, by the recipe's `training.launch`.

`run` pickles function and arguments and starts `torchrun -m promptcot.train.launch JOB`; the first process leaves
the returned facts, or the user's error, next to the job. One machine; the processes die with the one that asked.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.settings import Launch, domains

JOB, FACTS, ERROR, LOG = "job", "facts", "error", "log"


def run(launch: Launch, fn: Callable[..., dict[str, Any]], out: Path, *args: Any) -> dict[str, Any]:
    """`fn(out, *args)` where `launch` says; returns its facts.

    Raises:
        UserError: raised by `fn`, or a process ended without a result (with the end of what it printed).
    """
    if launch.processes == 1 and _devices() <= 1:
        return fn(out, *args)
    folder = out / ".launch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / JOB).write_bytes(pickle.dumps((fn, out, args, list(domains.FILES.values()))))
    with (folder / LOG).open("wb") as log:
        code = subprocess.run(
            command(launch, folder), stdout=log, stderr=log, env=_environment(launch), preexec_fn=_die_with_parent,
            check=False,
        ).returncode  # fmt: skip
    if (folder / ERROR).exists():
        raise pickle.loads((folder / ERROR).read_bytes())
    if code or not (folder / FACTS).exists():
        said = _said((folder / LOG).read_text(errors="replace"))
        raise UserError(
            f"a training of {launch.processes} processes ended with exit code {code}:\n{said}",
            expected="every process to reach the end",
            do="the same command goes on from the last checkpoint (training.checkpoint_steps)",
        )
    facts: dict[str, Any] = pickle.loads((folder / FACTS).read_bytes())
    shutil.rmtree(folder)
    return facts


def _said(log: str) -> str:
    """The end of what the processes printed, up to the line by which torchrun says which of them failed; its own traceback
    follows."""
    failed = re.search(r"^.* failed \(exitcode: .*$", log, re.MULTILINE)
    return log[: failed.end() if failed else None][-2000:]


def command(launch: Launch, folder: Path) -> list[str]:
    """What is typed to start the processes."""
    here = ["-m", "promptcot.train.launch", str(folder)]
    if launch.processes == 1:
        return [sys.executable, *here]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(launch.processes)]
    # Without a place for its files torchrun makes one in the system's temporary directory, and leaves it there.
    return [sys.executable, *torchrun, "--log-dir", str(folder / "torchrun"), *here]


def _devices() -> int:
    """GPUs that this process sees: a trainer in one process would take them all."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _environment(launch: Launch) -> dict[str, str]:
    env = dict(os.environ)
    if launch.processes == 1:
        env["CUDA_VISIBLE_DEVICES"] = env.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    return env


def _die_with_parent(how: int = signal.SIGTERM) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, how)  # PR_SET_PDEATHSIG; torchrun passes SIGTERM on to its processes


def main(folder: Path) -> None:
    """One of the processes: do the job; the first one writes what came of it."""
    from torch.distributed.elastic.multiprocessing.errors import record

    record(_work)(folder)


def _work(folder: Path) -> None:
    from promptcot.train import shards

    fn, out, args, own = pickle.loads((folder / JOB).read_bytes())
    domains.register(own)
    try:
        facts = fn(out, *args)
    except UserError as error:
        (folder / ERROR).write_bytes(pickle.dumps(error))
        raise
    if shards.rank() == 0:
        (folder / FACTS).write_bytes(pickle.dumps(facts))
    shards.end()


if __name__ == "__main__":
    _die_with_parent(signal.SIGKILL)  # torchrun may itself be killed, and then passes nothing on
    main(Path(sys.argv[1]))
