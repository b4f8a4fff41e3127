"""Simulated writers of solutions: a careful one (the teacher's style) and two whose work is often wrong.

The pretraining corpus mixes them, as the web mixes good and bad solutions; each opens in its own way. A model
trained on the mix samples all of them at T=1, so self-play has a careful style to elicit and to sharpen.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from promptcot.pocket import math_steps
from promptcot.pocket.wording import Family, Sentence, Value, slot_names
from promptcot.pocket.world import FAMILIES, Spec, program, sample_input, trail

OPENINGS: dict[str, tuple[str, ...]] = {
    "careful": ("Step by step:\n", "Let us go slowly.\n"),
    "hasty": ("Quick: ", "Easy. "),
    "sloppy": ("Hmm.\n", "Roughly:\n"),
}


def careful(spec: Spec, opening: str = OPENINGS["careful"][0]) -> str:
    """A right solution: one trace step per sentence and a boxed answer, or the program in a fence."""
    if spec.domain == "code":
        return opening + fence(program(spec))
    values = trail(spec)
    assert values is not None
    return opening + _trace(spec, values)


def fence(source: str) -> str:
    """Source code in a ```python fence."""
    return f"```python\n{source}\n```"


def boxed(answer: object) -> str:
    """An answer as the last line of a solution."""
    return f"\\boxed{{{answer}}}"


def _trace(spec: Spec, values: Sequence[Value]) -> str:
    before = [None, *values[:-1]]
    lines = [f.work(value, s.args) for (f, s), value in zip(spec.steps(), before, strict=True)]
    return "\n".join([*(line for line in lines if line), boxed(values[-1])])


def hasty(spec: Spec, rng: random.Random, opening: str) -> str:
    """Hardly any work: the bare answer, often a guess near it; or a program with an operation left out."""
    if spec.domain == "code":
        shorter = _drop_step(spec, rng)
        return opening + "\n" + fence(program(shorter if rng.random() < 0.7 else spec))
    values = trail(spec)
    assert values is not None
    return opening + boxed(_near(values[-1], rng) if rng.random() < 0.6 else values[-1])


def _near(value: Value, rng: random.Random) -> Value:
    if isinstance(value, Fraction):
        return Fraction(value.numerator + rng.randint(1, 3), value.denominator + rng.randint(0, 2))
    assert isinstance(value, int)
    return abs(
        value + rng.choice((-20, -11, -10, -7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 21))
    )


def _drop_step(spec: Spec, rng: random.Random) -> Spec:
    inner = [i for i, (f, _) in enumerate(spec.steps()) if f.concept and f.takes == f.gives]
    if not inner:
        return spec
    gone = rng.choice(inner)
    return replace(spec, sentences=spec.sentences[:gone] + spec.sentences[gone + 1 :])


def sloppy(spec: Spec, rng: random.Random, opening: str) -> str:
    """The careful form with an error in one step: a misread number, a distractor used, a slip, a wrong operation."""
    mistakes = (_misread, _use_distractor, _wrong_operation)
    slip = spec.domain == "math" and rng.random() < 0.4
    if slip:
        return opening + _slipped(spec, rng)
    wrong = _altered(spec, rng, mistakes)
    return careful(wrong, opening)


def _altered(
    spec: Spec, rng: random.Random, mistakes: Sequence[Callable[[Spec, random.Random], Spec]]
) -> Spec:
    for _ in range(12):
        other = rng.choice(mistakes)(spec, rng)
        if other != spec and trail(other, sample_input(other)) is not None:
            return other
    return spec


def _replaced(spec: Spec, index: int, sentence: Sentence) -> Spec:
    return replace(spec, sentences=(*spec.sentences[:index], sentence, *spec.sentences[index + 1 :]))


def _misread(spec: Spec, rng: random.Random) -> Spec:
    places = [
        (i, j)
        for i, s in enumerate(spec.sentences)
        for j, (_, v) in enumerate(s.slots)
        if isinstance(v, int) and not s.family.endswith("distractor")
    ]
    if not places:
        return spec
    i, j = rng.choice(places)
    slots = list(spec.sentences[i].slots)
    name, value = slots[j]
    slots[j] = (name, max(1, int(value) + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10))))
    return _replaced(spec, i, replace(spec.sentences[i], slots=tuple(slots)))


def _use_distractor(spec: Spec, rng: random.Random) -> Spec:
    for i, sentence in enumerate(spec.sentences):
        if sentence.family == math_steps.DISTRACTOR.key:
            key = rng.choice(("addition", "subtraction"))
            return _replaced(spec, i, Sentence(key, 0, (("a", int(sentence.args["n"])),)))
    return spec


def _wrong_operation(spec: Spec, rng: random.Random) -> Spec:
    i = rng.randrange(len(spec.sentences))
    sentence, family = spec.sentences[i], FAMILIES[spec.domain][spec.sentences[i].family]
    others = [f for f in FAMILIES[spec.domain].values() if confusable(f, family)]
    return _replaced(spec, i, replace(sentence, family=rng.choice(others).key, wording=0)) if others else spec


def confusable(a: Family, b: Family) -> bool:
    """Whether two families can be mistaken for one another: the same types and the same operands."""
    return (
        a.key != b.key
        and (a.takes, a.gives, operands(a)) == (b.takes, b.gives, operands(b))
        and bool(a.concept)
    )


def operands(family: Family) -> frozenset[str]:
    """Names of the slots that matter for the result (names, things and places do not)."""
    return frozenset(slot_names(family.wordings[0])) - {"name", "thing", "place"}


def _slipped(spec: Spec, rng: random.Random) -> str:
    """A trace in which one written result is off and the rest follows from it."""
    steps = [(f, s) for f, s in spec.steps() if f.takes != "any"]
    at = rng.randrange(len(steps))
    value: Value = None
    lines = []
    for i, (family, sentence) in enumerate(steps):
        line, result = family.work(value, sentence.args), family.apply(value, sentence.args)
        if i == at and result is not None:
            wrong = _near(result, rng)
            line = line.removesuffix(str(result)) + str(wrong)
            result = wrong
        if result is None:  # the slip made the next step impossible: the writer stops there
            break
        lines.append(line)
        value = result
    return "\n".join([*(line for line in lines if line), boxed(value)])


def solution(spec: Spec, writer: str, rng: random.Random) -> str:
    """A solution in the style of `writer` ("careful", "hasty" or "sloppy")."""
    opening = rng.choice(OPENINGS[writer])
    if writer == "careful":
        return careful(spec, opening)
    return (hasty if writer == "hasty" else sloppy)(spec, rng, opening)
