"""A domain in one file: riddles about a whole number. Every number that fits all clues is a right answer.

python riddles.py > riddles.jsonl       # 240 seeds, each with its concepts and a rationale
promptcot run riddles.yaml              # the whole corridor, on the packaged model
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from promptcot.domains.base import Domain
from promptcot.verify.answers import extract_boxed

OPENING = re.compile(r"Find a whole number from (\d{1,3}) to (\d{1,3})\.")
CLUES: dict[str, tuple[re.Pattern[str], Callable[[int, str], bool]]] = {
    "parity": (re.compile(r"It is (even|odd)\."), lambda n, word: (n % 2 == 0) == (word == "even")),
    "multiples": (re.compile(r"It is a multiple of ([1-9])\."), lambda n, k: n % int(k) == 0),
    "last digits": (re.compile(r"Its last digit is (\d)\."), lambda n, d: n % 10 == int(d)),
    "digit sums": (re.compile(r"Its digits add up to (\d+)\."), lambda n, s: sum(map(int, str(n))) == int(s)),
}
WORDING = {
    "parity": "It is {}.", "multiples": "It is a multiple of {}.", "last digits": "Its last digit is {}.",
    "digit sums": "Its digits add up to {}.",
}  # fmt: skip


def solutions(problem: str) -> list[int] | None:
    """The numbers that fit; None where the text is not a riddle that this file can read."""
    opening = OPENING.match(problem)
    if opening is None:
        return None
    numbers = list(range(int(opening[1]), int(opening[2]) + 1))
    for sentence in re.findall(r"[^.?]+[.?]", problem[opening.end() :]):
        clue = next(((m, holds) for p, holds in CLUES.values() if (m := p.fullmatch(sentence.strip()))), None)
        if clue is None:
            return None
        numbers = [n for n in numbers if clue[1](n, clue[0][1])]
    return numbers


def check(problem: str, answer: str) -> bool:
    """Is this one of the numbers? It must end for anything a model writes."""
    return answer.strip() in map(str, solutions(problem) or [])


def malformed(problem: str) -> str | None:
    """A reason code for a text that is no riddle, or has no answer; curation drops these."""
    found = solutions(problem)
    return "unreadable" if found is None else "no_solution" if not found else None


def domain(compact: bool) -> Domain:
    """What promptcot asks this file for."""
    return Domain(
        name="riddles",  # as the file is called
        subject="number riddle",
        answer_kind="vote",
        ask="From these kinds of clues, write a riddle about a whole number that uses each of them once.",
        heading="Kinds of clues",
        solve="Put one number that fits within \\boxed{}.",
        test="",
        answer=extract_boxed,
        malformed=malformed,
        compact=compact,
        check=check,
    )


def seed(n: int) -> dict[str, object]:
    """Riddle number n with its concepts and a rationale."""
    rng = random.Random(n)
    low = rng.randrange(2, 40)
    high = low + rng.randrange(10, 60)
    secret = rng.randint(low, high)
    divisors = [k for k in range(2, 10) if secret % k == 0]
    hints = {
        "parity": "odd" if secret % 2 else "even", "last digits": secret % 10,
        "digit sums": sum(map(int, str(secret))), **({"multiples": rng.choice(divisors)} if divisors else {}),
    }  # fmt: skip
    concepts = sorted(rng.sample(sorted(hints), rng.randint(1, 2)))
    clues = [WORDING[c].format(hints[c]) for c in concepts]
    problem = " ".join([f"Find a whole number from {low} to {high}.", *clues])
    plan = f"Take {low} to {high}. " + " ".join(f"For {c}: {hints[c]}." for c in concepts)
    return {
        "id": n, "problem": problem, "level": str(len(concepts)), "concepts": concepts, "rationale": plan
    }  # fmt: skip


if __name__ == "__main__":
    for row in range(240):
        print(json.dumps(seed(row)))
