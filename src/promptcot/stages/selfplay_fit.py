"""The three trainings of self-play, as functions that workers run: rows to token ids, then TRL where it is launched."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.lm.base import EngineSpec
from promptcot.records import Ask, Pair, Rollout, Trace
from promptcot.runner.worker import Worker
from promptcot.settings import Rules, SelfPlay
from promptcot.stages import distill
from promptcot.stages.coldstart import beginning
from promptcot.stages.selfplay_rows import side
from promptcot.stages.solving import judge


def fit_dpo(
    worker: Worker, out: Path, *, rows: Sequence[Pair], spec: EngineSpec, settings: SelfPlay, style: str, rules: Rules
) -> dict[str, Any]:  # fmt: skip
    """DPO from the solver the attempts came from, which is also the reference."""
    from promptcot.train import launch
    from promptcot.train.dpo import IdPair, dpo

    tokens, start = beginning(worker, spec)
    pairs = []
    for p in rows:
        prompt = tokens.chat_ids(get(p.domain, style).solve_messages(p.prompt))
        rejected = tokens.turn(prompt, p.rejected, ended=not p.truncated)
        pairs.append(IdPair(prompt, tokens.turn(prompt, p.chosen), rejected))
    return launch.run(settings.training.launch, dpo, out, pairs, start, settings.training)


def fit_sft(
    worker: Worker, out: Path, *, rows: Sequence[Trace], spec: EngineSpec, settings: SelfPlay, style: str, rules: Rules
) -> dict[str, Any]:  # fmt: skip
    """Maximum likelihood of the solver's own right turns."""
    return distill.train(worker, out, traces=rows, spec=spec, settings=settings.training, style=style)


def fit_grpo(
    worker: Worker, out: Path, *, rows: Sequence[Ask], spec: EngineSpec, settings: SelfPlay, style: str, rules: Rules
) -> dict[str, Any]:  # fmt: skip
    """GRPO on new attempts, rewarded by their verdicts."""
    from promptcot.train import launch
    from promptcot.train.grpo import Task, grpo

    tokens, start = beginning(worker, spec)
    asked = [get(row.domain, style).solve_messages(row.problem) for row in rows]
    tasks = [Task(messages, len(tokens.chat_ids(messages))) for messages in asked]
    judged = partial(reward, tasks=rows, settings=settings, style=style, rules=rules)
    return launch.run(
        settings.training.launch, grpo, out, tasks, judged, settings.sampling.params(), start, settings.training,
        settings.grpo,
    )  # fmt: skip


def reward(
    task: int, text: str, finish: str, *, tasks: Sequence[Ask], settings: SelfPlay, style: str, rules: Rules
) -> float | None:
    """1 for a right attempt, 0 for a wrong one, None for one that says nothing, by the rules that make pairs."""
    row = tasks[task]
    domain = get(row.domain, style)
    answer = domain.answer(text) if finish == "stop" else None
    verdict, reason = judge(domain, row, text, answer, finish, rules)
    made = Rollout(row.id, row.of, row.domain, 0, text, 0, finish, answer, verdict, reason)
    right = side(made, row.problem, settings)
    return None if right is None else float(right)
