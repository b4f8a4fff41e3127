"""Score rationales as the E-step does: both terms of Eq. 5 from one forward pass.

    python examples/score_rationale.py [MODEL_DIR]

Without an argument it uses the packaged model, which has not been through a cold start: its scores only show
the mechanics. With the directory of a trained p (runs/pocket/04_em/p1/artifact) they mean something.
"""

from __future__ import annotations

import sys

from promptcot.domains import get
from promptcot.domains.sequences import Item, p_parts
from promptcot.em.rewards import joint
from promptcot.em.select import best
from promptcot.lm.base import EngineSpec, Failure
from promptcot.lm.load import load_engine

CONCEPTS = ["greatest common divisor", "addition joins two amounts"]
PROBLEM = "Find the gcd of 12 and 18. Add 5 to that. What number results?"
RATIONALES = [
    "Gcd of 12 and 18, then add 5.",
    "Gcd of 12 and 18, then add 9.",
    "Link the ideas so that each one needs the result before it.",
]


def main() -> None:
    """Print both terms and their sum for each rationale, and which one the E-step would keep."""
    engine = load_engine(EngineSpec("transformers", sys.argv[1] if len(sys.argv) > 1 else "pocket"))
    item = Item(get("math", "compact"), "2", CONCEPTS, PROBLEM)
    found = engine.score([p_parts(item, engine.encode(z), engine.encode) for z in RATIONALES])
    scores = [s for s in found if not isinstance(s, Failure)]  # only engines behind a network fail
    rewards = [joint(s["x"].logp, s["z"].logp) for s in scores]
    for z, score, reward in zip(RATIONALES, scores, rewards, strict=True):
        print(
            f"log p(x|z,c) {score['x'].logp:8.2f}  log p(z|c) {score['z'].logp:8.2f}  sum {reward:8.2f}  {z}"
        )
    print(f"kept: {RATIONALES[best(rewards)]}")


if __name__ == "__main__":
    main()
