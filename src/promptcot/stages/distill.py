"""Stage 9. Distillation: SFT of a student on a teacher's traces for the curated problems (PAPER section 2).

The paper's light filter: a trace without a final answer (or a program) is dropped; nothing else is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.domains.sequences import labelled
from promptcot.ids import row_seed
from promptcot.lm.base import EngineSpec, Failure, Part, Prompt, draw
from promptcot.records import Ask, Problem, Reject, Trace
from promptcot.runner.worker import Worker
from promptcot.settings import Distill, Training
from promptcot.stages.coldstart import beginning
from promptcot.stages.context import Context, asks, model_inputs, model_key
from promptcot.stages.label import pick

NAME = "distill"


def run(ctx: Context) -> None:
    """Traces, filter, SFT."""
    settings, style = ctx.recipe.distill, ctx.recipe.templates
    assert settings is not None
    curated = ctx.load("curate", "problems", Problem)
    problems = pick(curated.rows(), settings.problems, ctx.recipe.run.seed)
    write = partial(trace, settings=settings, style=style)
    params = {
        "teacher": settings.teacher.key(), "traces": settings.traces_per_problem, "problems": settings.problems,
        "sampling": settings.sampling.key(), "templates": style,
    }  # fmt: skip
    traces = ctx.map(
        NAME, "traces", Trace, asks(NAME, problems, settings.traces_per_problem), write, params=params,
        inputs={"problems": curated.digest, **model_inputs({"teacher": settings.teacher})},
    )  # fmt: skip
    spec = settings.student.spec()
    fit = partial(train, traces=list(traces.rows()), spec=spec, settings=settings.training, style=style)
    inputs = {"traces": traces.digest, "student": model_key(spec.model)}
    params = {**settings.training.key(), "start": settings.student.key(), "templates": style}
    ctx.artifacts(NAME, [("student", fit, params, inputs)], version=2)


def trace(worker: Worker, rows: list[Ask], *, settings: Distill, style: str) -> list[Trace | Reject]:
    """One trace per row; the response must end and hold a final answer or a program."""
    engine = worker.engine(settings.teacher.spec())
    prompts = [
        Prompt(row_seed(worker.seed, r.id), messages=get(r.domain, style).solve_messages(r.problem))
        for r in rows
    ]
    out: list[Trace | Reject] = []
    for row, sample in zip(rows, draw(engine, prompts, settings.sampling.params()), strict=True):
        if isinstance(sample, Failure):
            out.append(sample.reject(row.id))
        elif sample.finish != "stop":
            out.append(Reject(row.id, "truncated", sample.text[-200:]))
        elif get(row.domain, style).answer(sample.text) is None:
            out.append(Reject(row.id, "no_final_answer", sample.text[-200:]))
        else:
            out.append(Trace(row.id, row.of, row.domain, row.problem, sample.text, sample.tokens))
    return out


def train(
    worker: Worker, out: Path, *, traces: Sequence[Trace], spec: EngineSpec, settings: Training, style: str
) -> dict[str, Any]:
    """SFT on the assistant's turn only."""
    from promptcot.train import launch
    from promptcot.train.common import Row
    from promptcot.train.sft import sft

    tokens, start = beginning(worker, spec)
    rows = []
    for t in traces:
        prompt = tokens.chat_ids(get(t.domain, style).solve_messages(t.prompt))
        rows.append(Row(*labelled([Part("x", prompt, False), Part("y", tokens.turn(prompt, t.response))])))
    return launch.run(settings.launch, sft, out, rows, start, settings)
