"""Four simulated annotators of different quality, standing in for the four models the paper annotates with.

`precise` names every quantity and operation; `vague` only says that ideas are to be combined; `mixed` gives half
of the details; `wrong` errs in details. They read the problem with `parse` and cannot annotate what it cannot read.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.pocket.wording import Family, Sentence
from promptcot.pocket.world import FAMILIES, Spec, parse
from promptcot.pocket.writers import confusable

THEMES: dict[str, tuple[str, ...]] = {
    "distractor": ("an age", "a price", "a road length", "the heat", "a collection", "a page number"),
    "code_distractor": ("posting days", "a number of solvers", "a log page", "rewrites"),
}
# Many words about nothing in particular, as a model's vague answer has: about 15 nats of choices that say nothing
# about the problem, and 5 for each step that is passed over. Stock phrases instead would cost nothing in log p(z|c), so
# that Eq. 5 prefers saying nothing to everything else (LOG.md).
_PASSED_OVER = (
    ("bring in", "work in", "go on with", "add in"),
    (" one more", " a further", " another", " some"),
    (" step", " turn", " idea", " rule"),
    (" that fits", " of this kind", " as above", " in between"),
)
_VAGUE = (
    ("Begin", "Start", "Open", "Set out"),
    (" with a simple", " from a plain", " with a familiar", " from a small"),
    (" value", " scene", " task", " list"),
    (", then let", ", then make", ", and have", ", and see that"),
    (" each step", " every idea", " each line", " the next part"),
    (" build on", " depend on", " use", " follow from"),
    (" the last.", " the one before.", " what came first.", " the result so far."),
    (" Keep it", " Leave it", " Hold it", " Make it"),
    (" short", " clear", " fair", " honest"),
    (" and ask for", " and end with", " and close on", " and seek"),
    (" the result.", " what is left.", " the final value.", " one answer."),
)


@dataclass(frozen=True)
class Annotation:
    """What one annotator says about a problem: concepts c and rationale z."""

    concepts: tuple[str, ...]
    rationale: str


def _concepts(spec: Spec, choose: Callable[[Family], str]) -> tuple[str, ...]:
    return tuple(choose(family) for family, _ in spec.steps() if family.concept)


def _detail(family: Family, sentence: Sentence) -> str:
    if family.key in THEMES:
        return f"distract with {THEMES[family.key][sentence.wording]} {sentence.args['n']}"
    return family.plan.format(**sentence.args)


def _words(slots: tuple[tuple[str, ...], ...], rng: random.Random) -> str:
    return "".join(rng.choice(options) for options in slots)


def _plan(details: Iterator[str]) -> str:
    text = ", then ".join(details)
    return text[:1].upper() + text[1:] + "."


def _precise(spec: Spec, _: random.Random) -> Annotation:
    details = (_detail(f, s) for f, s in spec.steps() if f.plan)
    return Annotation(_concepts(spec, lambda f: f.concept[0]), _plan(details))


def _vague(spec: Spec, rng: random.Random) -> Annotation:
    return Annotation(
        _concepts(spec, lambda f: f.concept[2]), "".join(rng.choice(options) for options in _VAGUE)
    )


def _mixed(spec: Spec, rng: random.Random) -> Annotation:
    steps = [(f, s) for f, s in spec.steps() if f.plan]
    told = set(rng.sample(range(len(steps)), (len(steps) + 1) // 2))
    details = (_detail(f, s) if i in told else _words(_PASSED_OVER, rng) for i, (f, s) in enumerate(steps))
    return Annotation(_concepts(spec, lambda f: rng.choice(f.concept)), _plan(details))


def _wrong(spec: Spec, rng: random.Random) -> Annotation:
    """At least one number or operation is not the problem's; in a third of the cases a concept is wrong too."""
    changed = list(spec.sentences)
    order = rng.sample(range(len(changed)), len(changed))
    for index in order[: max(1, len(order) // 2)]:
        changed[index] = _changed(spec, changed[index], rng)
    details = _precise(Spec(spec.domain, tuple(changed)), rng).rationale
    concepts = list(_concepts(spec, lambda f: rng.choice(f.concept)))
    if rng.random() < 1 / 3:
        others = [f for f in FAMILIES[spec.domain].values() if f.concept and f.key not in spec.concepts()]
        concepts[rng.randrange(len(concepts))] = rng.choice(rng.choice(others).concept)
    return Annotation(tuple(concepts), details)


def _changed(spec: Spec, sentence: Sentence, rng: random.Random) -> Sentence:
    """Another number in the sentence when it has one, else another operation of the same kind."""
    numbers = [i for i, (_, value) in enumerate(sentence.slots) if isinstance(value, int)]
    if numbers:
        slots, at = list(sentence.slots), rng.choice(numbers)
        slots[at] = (slots[at][0], int(slots[at][1]) + rng.randint(1, 5))
        return replace(sentence, slots=tuple(slots))
    table = FAMILIES[spec.domain]
    others = [f for f in table.values() if confusable(f, table[sentence.family])]
    return replace(sentence, family=rng.choice(others).key) if others else sentence


ANNOTATORS: dict[str, Callable[[Spec, random.Random], Annotation]] = {
    "precise": _precise,
    "vague": _vague,
    "mixed": _mixed,
    "wrong": _wrong,
}


def annotate(name: str, text: str, seed: int) -> Annotation | None:
    """Concepts and rationale of the problem `text` by the annotator `name`; None when it cannot read the problem.

    Raises:
        UserError: there is no such annotator.
    """
    if name not in ANNOTATORS:
        raise UserError(f"annotator {name!r}", expected=" | ".join(ANNOTATORS))
    spec = parse(text)
    return (
        None
        if spec is None
        else ANNOTATORS[name](spec, random.Random(digest(["pocket-annotate", name, seed, text])))
    )
