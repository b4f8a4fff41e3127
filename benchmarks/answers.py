"""Speed of answer checking next to Math-Verify, in one process, on the same pairs.

    python benchmarks/answers.py [--math500 FILE.jsonl] [--pairs 2000]

Two sets of (gold, prediction): integers, half of them right; and, if a JSONL file with the field `answer` is given
(MATH-500, say), every answer against itself, reformatted, perturbed, and against the answer of the next row. Each
side is warmed up and then timed once over all pairs, Math-Verify called directly, without a worker process. Prints
milliseconds per pair, the ratio, and how often the two agree.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

from promptcot.records import Verdict
from promptcot.verify.answers import compare

Pairs = list[tuple[str, str]]


def main() -> None:
    """Parse the arguments, run both sets."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--math500", type=Path, help="JSONL with the field answer")
    parser.add_argument("--pairs", type=int, default=2000, help="integer pairs")
    args = parser.parse_args()
    report("integers", integers(args.pairs))
    if args.math500:
        answers = [str(json.loads(line)["answer"]) for line in args.math500.read_text().splitlines()]
        report(args.math500.stem, varied(answers))


def integers(count: int) -> Pairs:
    """Answers like AIME's, half of them right."""
    rng = random.Random(0)
    golds = [rng.randrange(1000) for _ in range(count)]
    return [(str(g), str(g if rng.random() < 0.5 else rng.randrange(1000))) for g in golds]


def varied(answers: list[str]) -> Pairs:
    """Each answer against itself, itself in other typography, itself spoilt, and another row's."""
    pairs: Pairs = []
    for gold, other in zip(answers, answers[1:] + answers[:1], strict=True):
        spaced = gold.replace("\\frac", "\\dfrac").replace(",", ", ").replace("+", " + ").replace("-", " - ")
        pairs += [(gold, gold), (gold, f"${spaced}$"), (gold, gold + "+1"), (gold, other)]
    return pairs


def report(name: str, pairs: Pairs) -> None:
    """Time both on the same pairs."""
    ours, our_s = timed(lambda gold, text: compare(gold, text)[0] is Verdict.CORRECT, pairs)
    theirs, their_s = timed(math_verify(), pairs)
    agree = sum(a == b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{name}: {len(pairs)} pairs; promptcot {our_s / len(pairs) * 1e3:.3f} ms, "
        f"Math-Verify {their_s / len(pairs) * 1e3:.3f} ms per pair; ratio {their_s / our_s:.1f}; "
        f"same verdict {agree / len(pairs):.1%}"
    )


def timed(judge: Callable[[str, str], bool], pairs: Pairs) -> tuple[list[bool], float]:
    """All verdicts, and the seconds they took after a warm-up that starts whatever has to be started."""
    judge(r"\sin^2 x", r"1-\cos^2 x")
    started_s = time.perf_counter()
    verdicts = [judge(gold, prediction) for gold, prediction in pairs]
    return verdicts, time.perf_counter() - started_s


def math_verify() -> Callable[[str, str], bool]:
    """Math-Verify as its documentation calls it: parse both, verify."""
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    return lambda gold, text: bool(verify(parse(f"${gold}$"), parse(f"${text.strip('$')}$")))


if __name__ == "__main__":
    main()
