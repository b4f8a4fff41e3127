"""Stage 3. Cold start: MLE of q(z|c,x) and p(z,x|c) on the triples (PAPER section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from promptcot.domains import get
from promptcot.domains.sequences import Item, labelled, p_parts, q_parts
from promptcot.lm.base import EngineSpec, Part
from promptcot.records import Triple
from promptcot.runner.worker import Worker
from promptcot.settings import Training
from promptcot.stages.context import Context, model_key

if TYPE_CHECKING:
    from promptcot.train.common import Start
    from promptcot.train.tokens import Tokens

NAME = "coldstart"
Role = Literal["q", "p"]


def run(ctx: Context) -> None:
    """Train both models; they do not depend on each other."""
    assert ctx.recipe.coldstart is not None
    settings = ctx.recipe.coldstart
    triples = ctx.load("annotate", "triples", Triple)
    rows = [t for t in triples.rows() if t.split == "train"]
    spec = settings.base.spec()
    params = {**settings.key(), "templates": ctx.recipe.templates}
    inputs = {"triples": triples.digest, "base": model_key(spec.model)}
    jobs = [
        (role, partial(train, role=role, triples=rows, spec=spec, settings=settings.training,
                       style=ctx.recipe.templates), params, inputs)
        for role in ("q", "p")
    ]  # fmt: skip
    if settings.training.launch.processes == 1:
        ctx.artifacts(NAME, jobs, version=2)
    else:  # each takes all the processes there are
        for job in jobs:
            ctx.artifacts(NAME, [job], version=2)


def train(
    worker: Worker, out: Path, *, role: Role, triples: Sequence[Triple], spec: EngineSpec, settings: Training,
    style: str, z_ids: Sequence[Sequence[int]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fine-tune one model on triples. `z_ids` are the sampled ids of the rationales; without them (the
    annotators' texts) the rationales are tokenised here."""
    from promptcot.train import launch
    from promptcot.train.common import Row
    from promptcot.train.sft import sft

    tokens, start = beginning(worker, spec)
    rows = []
    for n, triple in enumerate(triples):
        ids = tuple(z_ids[n]) if z_ids is not None else tokens.encode(triple.rationale)
        rows.append(Row(*labelled(parts_of(role, triple, ids, tokens.encode, style))))
    return launch.run(settings.launch, sft, out, rows, start, settings)


def beginning(worker: Worker, spec: EngineSpec) -> tuple[Tokens, Start]:
    """The tokenizer of the weights that are trained, and where the training starts."""
    from promptcot.lm.load import model_path
    from promptcot.train.common import Start
    from promptcot.train.tokens import Tokens

    model = model_path(spec.model)
    return Tokens(model), Start(model, spec.dtype, worker.seed)


def parts_of(role: Role, triple: Triple, z_ids: Sequence[int], encode: Any, style: str) -> tuple[Part, ...]:
    """The sequence of one triple for p (c | z x) or q (c x | z)."""
    item = Item(get(triple.domain, style), triple.level, triple.concepts, triple.problem)
    return p_parts(item, z_ids, encode) if role == "p" else q_parts(item, z_ids, encode)
