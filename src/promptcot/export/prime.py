"""prime-rl and verifiers: an installable taskset over the problems, and TRL-shaped rows for prime-rl's SFT.

Shape: https://docs.primeintellect.ai/verifiers (v1: a package that exports one `Taskset`; tasks with `@vf.reward`
methods) and https://github.com/PrimeIntellect-ai/prime-rl/blob/main/docs/training.md. Rewards come from this
package's verifiers; what they cannot decide is an error of the rollout, not a 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptcot import __version__
from promptcot.domains.base import Domain
from promptcot.export import trl
from promptcot.export.target import Data, Row, Target, user
from promptcot.records import Problem

TASKSET = '''"""Problems of the promptcot run '{name}' as a verifiers taskset, judged by promptcot's verifiers."""

import asyncio
import json
from pathlib import Path

import verifiers.v1 as vf
from promptcot.records import UnitTest, Verdict
from promptcot.verify.answers import check_answer
from promptcot.verify.programs import check_program, extract_program

__all__ = ["Problems"]


class Data(vf.TaskData):
    answer: str = ""
    tests: list[dict[str, str]] = []


class Problem(vf.Task[Data]):
    @property
    def key(self) -> str:
        return self.data.id

    @vf.reward
    async def correct(self, task: Data, trace: vf.Trace) -> float:
        """1 when the last box equals the answer, or the last program passes all tests; else 0."""
        verdict, reason = await asyncio.to_thread(judge, task, trace.last_reply)
        if verdict == Verdict.UNSCORED:
            raise RuntimeError(f"cannot be judged: {{reason}}")
        return float(verdict == Verdict.CORRECT)


def judge(task: Data, text: str) -> tuple[Verdict, str]:
    """(verdict, reason) of one answer."""
    if task.tests:
        tests = [UnitTest(t["input"], t["output"]) for t in task.tests]
        verdict, reason, _ = check_program(extract_program(text), tests, stop=True)
        return verdict, reason
    judged = check_answer(task.answer, text)
    return judged[0], judged[1]


class Problems(vf.Taskset[Problem]):
    def load(self):
        with (Path(__file__).parent / "problems.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                yield Problem(Data(**json.loads(line)), self.config.task)
'''
PROJECT = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{package}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["verifiers>=0.4", "promptcot[verify]>={version}"]

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""


def problem(p: Problem, domain: Domain, n: int) -> Row:
    """The data of one task."""
    return {
        "id": p.id, "prompt": user(domain, p.problem), "answer": p.answer or "",
        "tests": [{"input": t.input, "output": t.output} for t in p.tests],
    }  # fmt: skip


def package(name: str, tables: Sequence[str]) -> dict[str, str]:
    """The taskset's code and its project file, when there are problems."""
    if "problems" not in tables:
        return {}
    return {
        f"{name}/__init__.py": TASKSET.format(name=name),
        "pyproject.toml": PROJECT.format(package=name, version=__version__),
    }


TARGET = Target(
    name="prime-rl",
    line="prime-rl and verifiers: an installable taskset with promptcot's rewards; SFT rows",
    source="https://docs.primeintellect.ai/verifiers",
    data={"problems": Data("{name}/problems.jsonl", problem), "traces": Data("traces.jsonl", trl.trace)},
    use="`pip install DIR`, then taskset id `{name}` (`--env.agent.harness.id null` for plain conversations); SFT: "
    "`traces.jsonl` (prompt, completion).",
    extra=package,
)
