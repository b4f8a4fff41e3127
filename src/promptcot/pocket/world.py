"""The procedural world: generate problems, read them back, and know the truth about any text it can read.

A problem is a chain of sentences. Values flow through it by type, so a text is well formed exactly when every
sentence is known, the types fit, and every step is defined. The level is the number of operations with a concept.

Splits: a set of two or more concepts belongs to the held-out split with probability 15%, a text of any other set
with probability 10%, both decided by a digest of the set or the text; so train and held-out share no text, and
held-out contains combinations of concepts that training never shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache

from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.pocket import code_families as code
from promptcot.pocket import math_openers, math_steps
from promptcot.pocket.wording import (
    WORDS,
    Family,
    Sentence,
    Value,
    read,
    render,
    slot_names,
    split_sentences,
)
from promptcot.records import UnitTest

DOMAINS = ("math", "code")
LEVELS = ("1", "2", "3", "4")
SPLITS = ("train", "heldout")
MAX_VALUE = 9999
GENERATED_MAX = 199
_MATH = (
    *math_openers.OPENERS, math_openers.START, *math_steps.TRANSFORMS, *math_steps.FINALS,
    math_steps.ASK, math_steps.DISTRACTOR,
)  # fmt: skip
_CODE = (*code.READERS, *code.INT_STEPS, *code.TEXT_STEPS, *code.PRINTS, code.CODE_DISTRACTOR)
FAMILIES: dict[str, dict[str, Family]] = {
    "math": {f.key: f for f in _MATH},
    "code": {f.key: f for f in _CODE},
}


_KEYS = {statement: f.key for table in FAMILIES.values() for f in table.values() for statement in f.concept}


def key_of_statement(statement: str) -> str | None:
    """The key of the concept that a statement (canonical or paraphrase) names, or None."""
    return _KEYS.get(statement)


@dataclass(frozen=True)
class Spec:
    """What a problem says: its domain and its sentences."""

    domain: str
    sentences: tuple[Sentence, ...]

    def steps(self) -> list[tuple[Family, Sentence]]:
        """The sentences with their families, in order."""
        return [(FAMILIES[self.domain][s.family], s) for s in self.sentences]

    def concepts(self) -> tuple[str, ...]:
        """Keys of the operations that carry a concept, in order."""
        return tuple(family.key for family, _ in self.steps() if family.concept)

    def text(self) -> str:
        """The problem statement."""
        return " ".join(render(family, sentence) for family, sentence in self.steps())


@dataclass(frozen=True)
class Truth:
    """What is true of a problem. Math has `answer` ("7", "3/10"); code has `program` and `tests`."""

    domain: str
    level: str
    concepts: tuple[str, ...]
    answer: str | None = None
    program: str | None = None
    tests: tuple[UnitTest, ...] = ()
    spec: Spec = field(default_factory=lambda: Spec("math", ()))

    def check_output(self, inputs: Sequence[str]) -> list[str | None]:
        """What a right program prints for each input; None where the input is not what the problem reads."""
        return [_output(self.spec, text) for text in inputs]


@dataclass(frozen=True)
class Item:
    """A generated problem with everything known about it."""

    text: str
    domain: str
    level: str
    split: str
    concepts: tuple[str, ...]
    answer: str | None
    tests: tuple[UnitTest, ...]
    spec: Spec


def trail(spec: Spec, start: Value = None) -> list[Value] | None:
    """The running value after each sentence, or None when the chain is ill-formed.

    Args:
        start: None for math; for code the text of standard input, without its line end.
    """
    values: list[Value] = []
    value, kind = start, ""
    for family, sentence in spec.steps():
        if family.takes not in (kind, "any") or (family.takes == "any" and kind in ("", "answer")):
            return None
        value = family.apply(value, sentence.args)
        kind = kind if family.gives == "any" else family.gives
        if value is None or not _within(value):
            return None
        values.append(value)
    return values if kind == "answer" else None


def _within(value: Value) -> bool:
    return not isinstance(value, int) or 0 <= value <= MAX_VALUE


def _output(spec: Spec, text: str) -> str | None:
    values = trail(spec, text)
    return None if values is None else str(values[-1])


def parse(text: str) -> Spec | None:
    """Read a problem; None when a sentence is unknown or the chain is ill-formed (two openers, inexact division)."""
    pieces = split_sentences(text.strip())
    for domain in DOMAINS:
        found = [read(FAMILIES[domain], piece) for piece in pieces]
        sentences = tuple(s for s in found if s is not None)
        spec = Spec(domain, sentences)
        if len(sentences) == len(pieces) and trail(spec, sample_input(spec)) is not None:
            return spec if spec.concepts() else None
    return None


def truth(text: str) -> Truth | None:
    """The truth about any problem this world can read, or None."""
    spec = parse(text)
    return None if spec is None else truth_of(spec)


def truth_of(spec: Spec) -> Truth:
    """The truth about a well-formed spec."""
    concepts = spec.concepts()
    level = str(len(concepts))
    if spec.domain == "math":
        values = trail(spec)
        assert values is not None
        return Truth("math", level, concepts, answer=str(values[-1]), spec=spec)
    return Truth("code", level, concepts, program=program(spec), tests=make_tests(spec), spec=spec)


def program(spec: Spec) -> str:
    """The reference program of a code problem: one line per operation."""
    lines = [family.work(None, sentence.args) for family, sentence in spec.steps()]
    return "\n".join(line for line in lines if line)


def sample_input(spec: Spec, rng: random.Random | None = None, size: int = 6) -> Value:
    """An input line of the kind the problem reads; None for math. Without `rng`, a fixed one."""
    if spec.domain == "math":
        return None
    rng = rng or random.Random(0)
    reader = spec.sentences[0].family if spec.sentences else ""
    if reader == "read_text":
        letters = "aeiou" + "".join(
            str(v) for s in spec.sentences for v in s.args.values() if isinstance(v, str)
        )
        pool = [c for c in letters if c.islower()] * 2 + list("abcdefghklmnprst")
        return "".join(rng.choice(pool) for _ in range(size))
    if reader == "read_digits":
        return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in range(size - 1))
    values = [rng.randint(1, 20) for _ in range(size)]
    return " ".join(map(str, values[:-1] + rng.sample(values, 1)))


def make_tests(spec: Spec, count: int = 4) -> tuple[UnitTest, ...]:
    """`count` tests with inputs drawn from a digest of the problem, outputs from the meaning of its sentences."""
    rng = random.Random(digest(["pocket-tests", spec.text()]))
    inputs = [str(sample_input(spec, rng, size)) for size in (5, 6, 8, 9)[:count]]
    outputs = [_output(spec, text) for text in inputs]
    return tuple(UnitTest(i, o) for i, o in zip(inputs, outputs, strict=True) if o is not None)


@cache
def combination_split(concepts: frozenset[str]) -> str:
    """The split of a set of concepts: "heldout" for 15% of the sets of two or more."""
    held = len(concepts) >= 2 and int(digest(["combination", sorted(concepts)], 4), 16) % 100 < 15
    return "heldout" if held else "train"


def split_of(spec: Spec) -> str:
    """The split of a problem: held-out if its combination is, or if its own text is drawn (10%)."""
    if combination_split(frozenset(spec.concepts())) == "heldout":
        return "heldout"
    return "heldout" if int(digest(["text", spec.text()], 4), 16) % 10 == 0 else "train"


def generate(seed: int, domain: str, level: str, split: str) -> Item:
    """One problem, a pure function of its arguments.

    Half of the held-out problems of level 2 and above use a combination of concepts that training never shows.

    Raises:
        UserError: unknown domain, level or split.
    """
    for name, value, known in (
        ("domain", domain, DOMAINS),
        ("level", level, LEVELS),
        ("split", split, SPLITS),
    ):
        if value not in known:
            raise UserError(f"{name} {value!r}", expected=" | ".join(known))
    rng = random.Random(digest(["pocket", seed, domain, level, split]))
    novel = split == "heldout" and level != "1" and rng.random() < 0.5
    combination = "heldout" if novel else "train"
    while True:
        spec = _draw(rng, domain, int(level))
        if spec and combination_split(frozenset(spec.concepts())) == combination and split_of(spec) == split:
            return _item(spec, split)


def _item(spec: Spec, split: str) -> Item:
    known = truth_of(spec)
    return Item(spec.text(), spec.domain, known.level, split, known.concepts, known.answer, known.tests, spec)


def items(
    n: int,
    run_seed: int,
    split: str,
    levels: Mapping[str, float] | None = None,
    domains: Mapping[str, float] | None = None,
) -> Iterator[Item]:
    """`n` problems with distinct texts; levels and domains are drawn with the given weights (default: equal)."""
    rng = random.Random(digest(["pocket-items", run_seed, split]))
    seen: set[str] = set()
    while len(seen) < n:
        domain, level = (
            _pick(rng, domains or dict.fromkeys(DOMAINS, 1.0)),
            _pick(rng, levels or dict.fromkeys(LEVELS, 1.0)),
        )
        item = generate(rng.getrandbits(48), domain, level, split)
        if item.text not in seen:
            seen.add(item.text)
            yield item


def _pick(rng: random.Random, weights: Mapping[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _draw(rng: random.Random, domain: str, level: int) -> Spec | None:
    return _draw_math(rng, level) if domain == "math" else _draw_code(rng, level)


def _fill(rng: random.Random, family: Family) -> Sentence:
    wording = rng.randrange(len(family.wordings))
    names = slot_names(family.wordings[wording])
    slots = tuple((n, rng.choice(WORDS[n]) if n in WORDS else rng.choice(family.ranges[n])) for n in names)
    return Sentence(family.key, wording, slots)


def _draw_math(rng: random.Random, level: int) -> Spec | None:
    computing = rng.random() < 0.5
    first = rng.choice(math_openers.OPENERS) if computing else math_openers.START
    left = level - computing
    final = rng.choice(math_steps.FINALS) if left and rng.random() < 0.15 else math_steps.ASK
    chosen = rng.sample(math_steps.TRANSFORMS, left - bool(final.concept))
    return _checked_math(rng, [first, *chosen, final])


def _checked_math(rng: random.Random, families: list[Family]) -> Spec | None:
    value: Value = None
    sentences = []
    for family in families:
        sentence = _fill(rng, family)
        if isinstance(value, int) and not 1 <= value <= family.limit:
            return None
        value = family.apply(value, sentence.args)
        if value is None or (isinstance(value, int | Fraction) and value > GENERATED_MAX):
            return None
        if family.key == "gcd" and value == 1 and rng.random() < 0.7:  # coprime numbers would drown the rest
            return None
        sentences.append(sentence)
    return Spec("math", _distract(rng, sentences, math_steps.DISTRACTOR, 0.3))


def _distract(
    rng: random.Random, sentences: list[Sentence], family: Family, rate: float
) -> tuple[Sentence, ...]:
    if rng.random() < rate:
        sentences.insert(rng.randint(1, len(sentences) - 1), _fill(rng, family))
    return tuple(sentences)


def _draw_code(rng: random.Random, level: int) -> Spec | None:
    reader = rng.choices(code.READERS, (5, 4, 1))[0]
    families, kind, left = [reader], reader.gives, level - bool(reader.concept)
    plain_print = rng.random() < 0.4
    used = set()
    while left > (0 if plain_print else 1):
        family = rng.choice(
            [f for f in (*code.INT_STEPS, *code.TEXT_STEPS) if f.takes == kind and f.key not in used]
        )
        used.add(family.key)
        families.append(family)
        kind, left = family.gives, left - 1
    ends = [f for f in code.PRINTS if f.takes == kind and bool(f.concept) == bool(left)]
    families.append(rng.choice(ends))
    spec = Spec("code", _distract(rng, [_fill(rng, f) for f in families], code.CODE_DISTRACTOR, 0.15))
    outputs = {test.output for test in make_tests(spec)}
    return spec if len(outputs) >= 3 or (len(outputs) == 2 and "" not in outputs) else None
