"""The step of new problems belongs to the files it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.recipe import parse
from promptcot.records import Triple
from promptcot.rundir import RunDir
from promptcot.settings import Synthesize
from promptcot.stages import synthesize
from promptcot.stages.concepts import ConceptList

COLDSTART = {"base": {"engine": "transformers", "model": "pocket"}, "training": {"lr": 1.0}}
TRIPLE = Triple("t", "s", "math", "1", "train", "given", ["sums"], "Add.", "What is 1 + 1?")


def test_weights_in_another_order_are_another_step() -> None:
    # rng.choices walks through them, so the same draw falls on another level.
    given = [Synthesize(problems=2, levels=levels) for levels in ({"1": 3.0, "2": 1.0}, {"2": 1.0, "1": 3.0})]
    assert given[0] == given[1]
    assert [synthesize.order(s) for s in given] == [{}, {"order": {"levels": ["2", "1"]}}]


@pytest.mark.parametrize(
    ("key", "row"), [("concepts", '{"concepts": ["sums"]}\n'), ("path", '{"problem": "What is 1 + 1?"}\n')]
)
def test_an_edited_file_is_refused_on_resume(
    key: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.jsonl"
    recipe = parse({
        "name": "x", "seeds": {"source": "pocket"}, "annotate": {"annotators": {"a": {"engine": "pocket-annotator"}}},
        "coldstart": COLDSTART, "em": {"training": {"lr": 1.0}}, "synthesize": {"problems": 2, key: str(file)},
    })  # fmt: skip
    run = RunDir(tmp_path / "run", recipe)
    triples = SimpleNamespace(digest="t", rows=lambda: iter([TRIPLE]))
    monkeypatch.setattr(synthesize, "kept_model", lambda ctx, role: SimpleNamespace(artifact="p", digest="p"))

    def step(
        stage: str, name: str, record: Any, *work: Any, params: Any, inputs: dict[str, str], version: int = 1
    ) -> Any:
        run.step(stage, name, record, params, inputs, version)
        return SimpleNamespace(totals=lambda: {"rows_out": 1})

    ctx: Any = SimpleNamespace(recipe=recipe, load=lambda *of: triples, map=step, table=step)
    for _ in range(2):
        file.write_text(row)
        synthesize.run(ctx)
    file.write_text(row * 2)
    with pytest.raises(UserError, match="was made with other parameters"):
        synthesize.run(ctx)
    run.close()


def test_no_concept_list_is_drawn_before_a_row_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def sample(known: Any, n: int, **settings: Any) -> list[ConceptList]:
        drawn.append(n)
        return [ConceptList("math", "1", ("sums",))] * n

    monkeypatch.setattr(synthesize, "sample_lists", sample)
    asked = synthesize.requests(Synthesize(problems=3), [TRIPLE], 1)
    assert (len(asked), drawn) == (3, [])
    assert [(row.sample, row.concepts) for row in asked] == [(0, ["sums"]), (1, ["sums"]), (2, ["sums"])]
    assert (asked[1].sample, drawn) == (1, [3])


def test_a_file_of_concepts_is_of_the_domain_of_the_seeds_whatever_triple_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "concepts.jsonl"
    file.write_text('{"concepts": ["Vieta formulas"]}\n')
    triples = [replace(TRIPLE, domain="code", level="7"), *[TRIPLE] * 9]
    settings = Synthesize(problems=2, concepts=str(file), levels={"2": 1.0})
    asked = synthesize.requests(settings, triples, 1, "math")
    assert [(row.domain, row.level) for row in asked] == [("math", "2"), ("math", "2")]
    file.write_text("")
    with pytest.raises(UserError, match="is empty"):
        synthesize.requests(settings, triples, 1, "math")
