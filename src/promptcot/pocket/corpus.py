"""The pretraining corpus: texts and solutions of the train split, in several kinds of documents.

Never concepts together with a rationale and a problem: what the method teaches is not in here. Levels 3 and 4 are
rare, and only about half of the solutions (`CAREFUL`; for the shipped model 52%, then 72%) are by the careful writer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from promptcot.ids import digest
from promptcot.pocket.math_openers import OPENERS
from promptcot.pocket.math_steps import FINALS, TRANSFORMS
from promptcot.pocket.wording import WORDS, Family, slot_names
from promptcot.pocket.world import FAMILIES, GENERATED_MAX, Item, generate, sample_input, truth_of
from promptcot.pocket.writers import solution

KINDS: dict[str, float] = {
    "chat": 0.66, "problem": 0.1, "test": 0.07, "facts": 0.07, "worksheet": 0.08, "glossary": 0.02
}  # fmt: skip
LEVEL_WEIGHTS: dict[str, float] = {"1": 0.4, "2": 0.36, "3": 0.16, "4": 0.08}
DOMAIN_WEIGHTS: dict[str, float] = {"math": 0.66, "code": 0.34}
CAREFUL = 0.52  # share of the careful writer; the rest is hasty and sloppy, 3 to 5
TEST_REQUEST = "\nWrite one test as JSON."


@dataclass(frozen=True)
class Document:
    """One pretraining document; `kind` is a key of KINDS."""

    kind: str
    text: str


def chat(user: str, assistant: str) -> str:
    """One exchange as the chat template renders it."""
    return f"<|user|>{user}<|assistant|>{assistant}<|end|>"


def documents(seed: int, careful: float = CAREFUL) -> Iterator[Document]:
    """Endless documents, determined by the seed and the careful writer's share."""
    rng = random.Random(digest(["pocket-corpus", seed]))
    while True:
        kind = _pick(rng, KINDS)
        yield Document(kind, _document(kind, rng, careful))


def _pick(rng: random.Random, weights: dict[str, float]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]


def _item(rng: random.Random, domain: str | None = None) -> Item:
    domain = domain or _pick(rng, DOMAIN_WEIGHTS)
    return generate(rng.getrandbits(48), domain, _pick(rng, LEVEL_WEIGHTS), "train")


def writers(careful: float) -> dict[str, float]:
    """Weights of the writers of solutions."""
    return {"careful": careful, "hasty": 0.375 * (1 - careful), "sloppy": 0.625 * (1 - careful)}


def _document(kind: str, rng: random.Random, careful: float) -> str:
    if kind == "chat":
        return _solved(_item(rng), rng, careful)
    if kind == "problem":
        mark = "<|problem|>" if rng.random() < 0.5 else ""
        return f"{mark}{_item(rng).text}<|end|>"
    if kind == "test":
        return _unit_test(_item(rng, "code"), rng)
    if kind == "glossary":
        return _glossary(rng)
    if kind == "facts":
        return "".join(f"{_fact(rng)}\n" for _ in range(20)) + "<|end|>"
    return "".join(_solved(_item(rng), rng, careful) for _ in range(rng.randint(3, 4)))


def _solved(item: Item, rng: random.Random, careful: float) -> str:
    return chat(item.text, solution(item.spec, _pick(rng, writers(careful)), rng))


def _unit_test(item: Item, rng: random.Random) -> str:
    text = str(sample_input(item.spec, rng, rng.randint(3, 4)))
    output = truth_of(item.spec).check_output([text])[0]
    body = json.dumps({"input": text, "output": output})
    return chat(item.text + TEST_REQUEST, f"```json\n{body}\n```")


def _fact(rng: random.Random) -> str:
    """One step of arithmetic on random numbers, as in a table at the back of a textbook."""
    while True:
        family = rng.choice((*OPENERS, *TRANSFORMS, *FINALS))
        value = rng.randint(1, family.limit) if family.takes else None
        slots = {name: rng.choice(numbers) for name, numbers in family.ranges.items()}
        result = family.apply(value, slots)
        if result is not None and (not isinstance(result, int) or result <= GENERATED_MAX):
            return family.work(value, slots)


def _glossary(rng: random.Random) -> str:
    """Notes on four concepts: a statement, another way to say it, a sentence in which it appears."""
    families = [f for table in FAMILIES.values() for f in table.values() if f.concept]
    return "\n".join(_note(family, rng) for family in rng.sample(families, 4)) + "<|end|>"


def _note(family: Family, rng: random.Random) -> str:
    one, other = rng.sample(family.concept, 2)
    template = rng.choice(family.wordings)
    names = slot_names(template)
    filled = {n: rng.choice(WORDS[n]) if n in WORDS else rng.choice(family.ranges[n]) for n in names}
    return f"{one}; {other}: {template.format(**filled)}"
