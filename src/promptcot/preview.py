"""What models will be asked, before anything is spent: `promptcot run RECIPE --preview N`."""

from __future__ import annotations

from collections.abc import Iterator

from promptcot.domains import get
from promptcot.domains.base import Messages
from promptcot.settings import Recipe
from promptcot.stages.seeds import build

UNKNOWN = ["[concept 1]", "[concept 2]"]  # of a seed that is still to be annotated


def prompts(recipe: Recipe, count: int) -> Iterator[tuple[str, str]]:
    """(stage and role, prompt) for the first `count` train seeds of each domain.

    The text is what the templates give; a model's own chat template comes around the turns.

    Raises:
        UserError: the seeds cannot be read.
    """
    _, seeds, _ = build(recipe.seeds, recipe.run.seed)
    shown: dict[str, int] = {}
    for seed in seeds:
        if seed.split != "train" or shown.get(seed.domain, 0) >= count:
            continue
        shown[seed.domain] = shown.get(seed.domain, 0) + 1
        domain, concepts = get(seed.domain, recipe.templates), seed.concepts or UNKNOWN
        if recipe.annotate.annotators and not seed.concepts:
            asked = domain.concept_messages(seed.problem, recipe.annotate.num_concepts)
            yield "annotate: concepts", turns(asked)
        if recipe.annotate.annotators and seed.rationale is None:
            yield "annotate: rationale", turns(domain.annotation_messages(seed.problem, concepts, seed.level))
        if recipe.em:
            yield "em: q(z|c,x)", domain.rationale_prompt(concepts, seed.level, seed.problem)
        if recipe.synthesize and not recipe.synthesize.path:
            yield "synthesize: p(z,x|c)", domain.generator_prompt(concepts, seed.level)
        if recipe.label or recipe.selfplay or recipe.distill or recipe.evaluate:
            yield "label, selfplay, distill, evaluate: an attempt", turns(domain.solve_messages(seed.problem))
        if recipe.label and domain.answer_kind == "tests":
            yield "label: a unit test", turns(domain.test_messages(seed.problem))


def turns(messages: Messages) -> str:
    """A conversation as text, each turn under its role."""
    return "\n".join(f"<{role}>\n{content}" for role, content in messages)
