"""Random and mutated answers: no exception, no hang, symmetric votes. PROMPTCOT_FUZZ=100000 for the long run."""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from promptcot.records import Verdict
from promptcot.verify.answers import MODES, compare, equivalent

PAIRS = int(os.environ.get("PROMPTCOT_FUZZ", "1500"))
CHARACTERS = (
    "0123456789abcefinxyzABE.,;:!?'\"|/\\^_{}()[]<>=+-*%$&~# \t\n\u00b2\u2212\u221e\u03c0\u00b1\u4e2d\ud800"
)
COMMANDS = r"""\frac \sqrt \pi \infty \cdot \times \left( \right) \{ \} \pm \mp \le \ge \ne \in \cup \cap \setminus \text{
\text{and} \text{cm} \mathrm{e} \sin \cos \tan \log \ln \exp ^2 ^{ _{ ^\circ ! !! \% \$ \, \\ \begin{pmatrix}
\end{pmatrix} \binom \overline{ \boxed{ \sum \int \mathbb{R} |x| ^{99999} 10^{ (10^9)! 1/2 0.5 x= 1,000 3.14 2x+1 e^{
or and sqrt( 999999999999999999999999999999"""
PIECES = (*CHARACTERS, *COMMANDS.split(), "no solution")
ANSWERS = (
    r"\frac{3\sqrt{7}}{14}", r"\left(-\infty,\frac{5}{2}\right]\cup(9,\infty)", r"x=\frac{-3\pm\sqrt{29}}{10}",
    r"\{2,3\sqrt5,\pi\}", r"(r,\theta)=(4,\tfrac{7\pi}6)", r"7x^3-12x+\frac25", r"\begin{pmatrix}1&-2\\0&\frac13\end{pmatrix}",
    r"5\text{ km}", r"2^{31}-1", r"\sin^2\theta-\cos\frac{\theta}{3}", r"-4<x\leq\log_3 20", r"17\%", r"1.2\overline{34}",
    r"6-11i", r"\binom{12}{5}+8!", r"1243_5", r"\text{north-east}", r"e^{-2t}\ln 3", r"a^{b^{c}}", r"11:45",
)  # fmt: skip


def noise(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))


def mutated(rng: random.Random) -> str:
    text = rng.choice(ANSWERS)
    for _ in range(rng.randrange(4)):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        j = min(j, i + 5)
        text = rng.choice(
            [text[:i] + text[j:], text[:i] + rng.choice(PIECES) + text[i:], text[:j] + text[i:]]
        )
    return text


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    makers = (noise, mutated, mutated)
    found = []
    for _ in range(count):
        gold = rng.choice(makers)(rng)
        found.append((gold, f" {gold}." if rng.random() < 0.05 else rng.choice(makers)(rng)))
    return found


def test_no_answer_makes_the_checker_fail_or_hang() -> None:
    seen: Counter[Verdict] = Counter()
    slowest = (0.0, ("", ""))
    for gold, prediction in pairs(PAIRS, 1):
        started_s = time.perf_counter()
        verdict, reason = compare(gold, prediction)
        slowest = max(slowest, (time.perf_counter() - started_s, (gold, prediction)))
        assert isinstance(verdict, Verdict)
        assert reason
        assert "crashed" not in reason, (gold, prediction, reason)
        seen[verdict] += 1
    print(seen, slowest)
    assert len(seen) == 4


def test_votes_on_any_two_texts_do_not_depend_on_their_order() -> None:
    for a, b in pairs(PAIRS // 10, 2):
        assert equivalent(a, b) == equivalent(b, a), (a, b)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_ends_in_a_verdict(mode: str) -> None:
    for gold, prediction in pairs(15, 3):
        assert isinstance(compare(gold, prediction, mode)[0], Verdict)  # type: ignore[arg-type]
