"""Problems: seeds, their annotation, new ones, curation and labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from promptcot.settings.base import Positive, Section, Share, free
from promptcot.settings.models import Model, Sampling

FieldName = Literal["id", "problem", "answer", "concepts", "rationale", "level", "tests", "domain"]
Fields = dict[FieldName, str | None]


class Seeds(Section):
    """Where the seed problems come from.

    source: pocket | jsonl (any file of docs/data.md) | parquet | hub | gsm8k | triples. count: train seeds at most (0 = all);
    heldout: problems kept for measurement, never trained on: of the rows with the text of one, the first is kept and the
    others are rejects (`copy_of_heldout`). levels, heldout_levels: weights of the pocket world's
    levels (empty: all alike). fields: record field -> column in the input, or null where a column of that name means
    something else (`fields: {domain: null}`). domain: math, code, or one of `domains`, for rows that do not say theirs.
    max_rejected: the share of unusable rows above which the stage fails.
    """

    source: Literal["none", "pocket", "jsonl", "parquet", "hub", "gsm8k", "triples"] = "none"
    path: str | None = None
    split: str = "train"
    count: Annotated[int, Field(ge=0)] = 0
    heldout: Annotated[int, Field(ge=0)] = 0
    domain: str = "math"
    code_share: Share = 0.3
    levels: dict[str, Positive] = Field(default_factory=dict)
    heldout_levels: dict[str, Positive] = Field(default_factory=dict)
    fields: Fields = Field(default_factory=dict)
    max_rejected: Share = free(0.05)

    @model_validator(mode="after")
    def _needs_path(self) -> Seeds:
        if self.source not in ("none", "pocket") and self.path is None:
            raise ValueError(
                f"source '{self.source}' needs seeds.path (a file, or a Hub dataset name for 'hub')"
            )
        return self


class Annotate(Section):
    """Concepts and rationales by annotators (PAPER section 2: four, one instruction each).

    per_seed: how many of the annotators write for each seed (their order rotates); 0 = all of them.
    """

    annotators: dict[str, Model] = Field(default_factory=dict)
    per_seed: Annotated[int, Field(ge=0)] = 0
    num_concepts: PositiveInt = 5
    sampling: Sampling = Sampling()
    max_rejected: Share = free(0.2)


class Synthesize(Section):
    """New problems from concept lists. `concepts`: a JSONL file of {"concepts": [...]}, with a `domain` (else that of
    `seeds`) and a `level` (else drawn) or without; or None to sample combinations from the seeds' own concepts, of which a
    share `novel` combine concepts never seen together.
    levels and sizes: weights; empty means as often as among the seeds (sizes: of that level).
    path: a JSONL or Parquet file of problems written elsewhere (released prompts, self-play data, generator
    completions, or rows with a `problem`) to take instead, the first `problems` of them (0 = all); `fields` as of
    seeds. It needs no EM, and problems that bring an answer or tests keep them."""

    problems: Annotated[int, Field(ge=0)] = 0
    path: str | None = None
    fields: Fields = Field(default_factory=dict)
    concepts: str | None = None
    sizes: dict[int, Positive] = Field(default_factory=dict)
    novel: Share = 0.5
    code_share: Share = 0.3
    levels: dict[str, Positive] = Field(default_factory=dict)
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _how_many(self) -> Synthesize:
        if not self.problems and self.path is None:
            raise ValueError("say how many problems to write (synthesize.problems), or synthesize.path")
        return self


class Curate(Section):
    """Format, exact and near duplicates, decontamination against the held-out problems and the benchmarks that are scored.
    A Chinese or Japanese character is a word."""

    min_words: PositiveInt = 8
    max_words: PositiveInt = 1000
    near_threshold: Annotated[float, Field(gt=0.0, le=0.95)] = 0.9
    near_shingle: PositiveInt = 3
    near_permutations: PositiveInt = 128
    decontaminate: Literal["both", "strict13", "qwen"] = "both"


class Vetting(Section):
    """How unit tests written by a model become a suite (docs/verification-programs.md).

    votes, share, margin: what an output needs among those of the programs. relabel: a test that claims another output
    gets the agreed one; else it goes. mutants: wrong programs tried per problem (0: none); below `min_kill` of them
    caught, or with nothing caught at all, a suite is weak. weak, needs_checker: what happens to such problems.
    """

    votes: PositiveInt = 3
    share: Share = 0.6
    margin: PositiveInt = 2
    relabel: bool = True
    mutants: Annotated[int, Field(ge=0)] = 16
    min_kill: Share = 0.5
    weak: Literal["flag", "drop"] = "flag"
    needs_checker: Literal["flag", "drop"] = "drop"


class Label(Section):
    """Answers by vote of `samples` generations (math); unit tests by agreement of as many programs (code).

    waves: how many answers to draw at a time; a decided vote gets no more (same labels; stages/label.py says what is
    biased then). Empty: all at once. tests: proposed per problem; min_tests: that must be left.
    """

    model: Model
    samples: PositiveInt = 8
    min_votes: PositiveInt = 5
    waves: list[PositiveInt] = Field(default_factory=list)
    problems: Annotated[int, Field(ge=0)] = 0
    tests: PositiveInt = 4
    min_tests: PositiveInt = 3
    vetting: Vetting = Vetting()
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _reachable(self) -> Label:
        needs = (("min_votes", self.min_votes, "samples"), ("vetting.votes", self.vetting.votes, "samples"),
                 ("min_tests", self.min_tests, "tests"))  # fmt: skip
        for name, value, limit in needs:
            if value > getattr(self, limit):
                raise ValueError(f"{name}={value} cannot be reached with {limit}={getattr(self, limit)}")
        if self.waves and sum(self.waves) != self.samples:
            raise ValueError(f"waves={self.waves} must add up to samples={self.samples}")
        return self
