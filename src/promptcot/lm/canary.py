"""Does a server answer with the weights it should? A trained model carries the scores of a few fixed texts.

A server that was not told of new weights, or keeps old ones in a cache or an adapter slot, answers without an error.
So the trainer writes what its model gives these texts, and an engine behind a network must give the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from promptcot.errors import UserError
from promptcot.lm.base import Engine, Failure, Part, SpanScore
from promptcot.lm.layout import Layout, lay_out

FILE = "canary.json"
TEXTS = (
    "Find the sum of the first 20 odd numbers.",
    "Concepts: prime numbers; remainders. Let n be the smallest number that leaves 3 when divided by 7.",
    "def solve(values):\n    return sorted(values)[-1] - min(values)\n",
    "The answer is \\boxed{42}.",
)
# Of the differences between the texts' log-probs, over all their tokens, in nats (docs/engines.md). Within a text opposite
# differences of its tokens cancel: rounding errors mostly do, those of other weights mostly do not.
TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}

ScoreAll = Callable[[Sequence[Layout]], Sequence[dict[str, SpanScore] | Failure]]


def write(directory: Path, engine: Engine) -> None:
    """Score the texts with the model that is being saved."""
    probes = [engine.encode(text) for text in TEXTS]
    scores = engine.score([_parts(ids) for ids in probes])
    rows = [
        {"ids": list(ids), "logp": round(s["x"].logp, 6)}
        for ids, s in zip(probes, scores, strict=True)
        if not isinstance(s, Failure)
    ]
    (directory / FILE).write_text(json.dumps(rows))


def there(directory: str) -> bool:
    """Whether `directory` has a canary."""
    return (Path(directory) / FILE).is_file()


def verify(directory: str, score_all: ScoreAll, dtype: str) -> None:
    """Compare with what is in `directory`; nothing where it has no canary.

    Raises:
        UserError: the scores differ: these are other weights.
    """
    if not there(directory):
        return
    rows = json.loads((Path(directory) / FILE).read_text())
    found = score_all([lay_out(_parts(row["ids"]), 1 << 30) for row in rows])
    tokens = sum(len(row["ids"]) - 1 for row in rows)
    if any(isinstance(s, Failure) for s in found):
        raise UserError(f"the server of {directory} does not score the texts in {FILE}: {found}")
    gap = (
        sum(abs(s["x"].logp - row["logp"]) for s, row in zip(found, rows) if not isinstance(s, Failure))
        / tokens
    )
    if gap > TOLERANCE[dtype]:
        raise UserError(
            f"the server's weights are not those in {directory}: its scores differ by {gap:.4f} nats per token",
            expected=f"at most {TOLERANCE[dtype]} (dtype {dtype}), as the trainer wrote in {FILE}",
            do="reload the model on the server; if it runs in bfloat16, say so in the recipe (dtype: bfloat16)",
        )


def _parts(ids: Sequence[int]) -> list[Part]:
    return [Part("start", tuple(ids[:1]), False), Part("x", tuple(ids[1:]))]
