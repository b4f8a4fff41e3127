"""A run directory with a known content, written through the store; the explorer over it; a headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptcot.recipe import parse
from promptcot.records import Pair, Problem, Record, Reject, Rollout, Seed, Triple
from promptcot.rundir import RunDir
from promptcot.shards import write_shard

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(
    (p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None
)
PROBLEMS = 120
HOSTILE = '<script>alert("x")</script>'


def put(
    run: RunDir, name: str, rows: Sequence[Record], rejects: Sequence[Reject] = (), shard: int = 50
) -> None:
    """A finished step with these rows, in shards."""
    stage, step_name = name.split("/")
    step = run.step(stage, step_name, type(rows[0]), {}, {}, 1)
    for at in range(0, len(rows), shard):
        part, refused = rows[at : at + shard], list(rejects) if at == 0 else []
        step.append(write_shard(step.path, at // shard, type(rows[0]), part, refused))
    step.finish(len(rows) + len(rejects))


def problem(n: int) -> Problem:
    """Problem n: level 1 to 4; it names its number; number 7 tries to inject."""
    concepts = ["Parity", "digit sums"] if n % 2 else ["gcd"]
    text = f"Problem number {n}." + (HOSTILE if n == 7 else "")
    return Problem(
        f"problem{n:03}", "math", str(n % 4 + 1), concepts, f"Think of {n}.", text, label_margin=n % 8
    )


def rollout(n: int, k: int) -> Rollout:
    """Attempt k of 4 at problem n: right in the first n % 5 of them."""
    verdict = "correct" if k < n % 5 else "incorrect"
    return Rollout(f"rollout{n:03}{k}", f"problem{n:03}", "math", k, f"text {k}", 5, "stop", "1", verdict, "")


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("view") / "run"
    run = RunDir(path, parse({"name": "known", "seeds": {"source": "pocket"}}))
    problems = [problem(n) for n in range(PROBLEMS)]
    put(run, "seeds/seeds", [Seed("seed0", "math", "1", "What is 2 + 2?", concepts=["gcd"])])
    put(
        run,
        "annotate/triples",
        [Triple("triple0", "seed0", "math", "1", "train", "precise", ["gcd"], "z", "x")],
    )
    put(run, "synthesize/problems", problems, [Reject("reject0", "two_problems", "it asks twice")])
    put(run, "label/problems", problems)
    put(run, "selfplay/rollouts1", [rollout(n, k) for n in range(PROBLEMS) for k in range(4)])
    put(run, "selfplay/pairs1", [Pair("pair3", "problem003", "math", "Problem number 3.", "right", "wrong")])
    yield path
    run.close()


@pytest.fixture(scope="module")
def address(run_path: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "promptcot.cli", "view", str(run_path), "--port", "0"]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell lets what runs behind it ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    yield line.split()[0]
    server.send_signal(signal.SIGINT)
    assert server.wait(300) == 0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
