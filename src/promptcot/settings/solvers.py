"""What problems are for: self-play, distillation, and measuring both."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from promptcot.settings.base import Section, Share, free
from promptcot.settings.models import Model, Sampling
from promptcot.settings.training import GRPO, Preference, Training

BenchmarkName = Literal["aime24", "aime25", "hmmt25", "lcb_v5", "lcb_v6", "codeforces"]


Several = Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]


class SelfPlay(Section):
    """The solver attempts problems and learns from its verdicts, in rounds of fresh problems.

    method: "dpo" on pairs of a right and a wrong attempt, "sft" on right attempts, "grpo" with the verdicts as
    rewards. problems: those with a label, or the "seeds" with an answer of their own (a baseline).
    drop_at: a problem is dropped when solved in at least this share of the rollouts (the paper: 1/2);
    "above" is the release's reading (dropped only when above it). Unsolved ones teach nothing and are dropped too.
    waves: draw the rollouts in these portions, and no more where more cannot matter: problems that are "dropped" for
    certain, or all whose fate is "decided" and that have what training needs.
    form: what a complete turn looks like (promptcot.domains.form). wrong: which failures count as wrong attempts:
    "answered" ones, all "finished" ones, or "any", those cut off at the token limit too.
    pairs_per_problem: a number, "min" (as many as the rarer kind) or "all"; at most max_pairs (0: no limit), and a
    problem with fewer than min_pairs is left out. traces_per_problem: right attempts that SFT takes.
    track: seed problems set aside to measure the solver after every round, track_samples attempts each.
    stop: end when a round does not clearly raise that measure, paired, and keep the best round; else keep the last.
    """

    model: Model
    method: Literal["dpo", "sft", "grpo"] = "dpo"
    problems: Literal["labelled", "seeds"] = "labelled"
    rollouts: PositiveInt = 8
    waves: list[PositiveInt] = Field(default_factory=list)
    early: Literal["dropped", "decided"] = "dropped"
    drop_at: Share = 0.5
    drop_rule: Literal["at", "above"] = "at"
    form: Literal["auto", "plain", "think"] = "auto"
    wrong: Literal["answered", "finished", "any"] = "finished"
    pairs_per_problem: PositiveInt | Literal["min", "all"] = 2
    min_pairs: PositiveInt = 1
    max_pairs: Annotated[int, Field(ge=0)] = 0
    traces_per_problem: PositiveInt = 4
    rounds: PositiveInt = 1
    track: Annotated[int, Field(ge=0)] = 0
    track_samples: PositiveInt = 4
    stop: bool = False
    sampling: Sampling = Sampling(temperature=1.2)
    training: Preference
    grpo: GRPO = GRPO()

    @model_validator(mode="after")
    def _possible(self) -> SelfPlay:
        if self.waves and sum(self.waves) != self.rollouts:
            raise ValueError(f"waves={self.waves} must add up to rollouts={self.rollouts}")
        if self.early == "decided" and self.method == "dpo" and isinstance(self.pairs_per_problem, str):
            raise ValueError(
                "early=decided needs a number of pairs_per_problem: 'min' and 'all' use every attempt"
            )
        if self.method == "dpo":
            pairs = self.pairs_per_problem if isinstance(self.pairs_per_problem, int) else self.min_pairs
            if min(pairs, self.max_pairs or pairs) < self.min_pairs:
                raise ValueError(
                    f"min_pairs={self.min_pairs} drops every problem: pairs_per_problem={self.pairs_per_problem} and "
                    f"max_pairs={self.max_pairs} allow fewer"
                )
        if self.stop and self.track < 2:
            raise ValueError("stop needs problems to measure on: selfplay.track of 2 or more")
        plain = Preference(lr=1.0)  # compared with defaults, since a saved recipe names every key
        used = {
            "grpo": self.grpo == GRPO() or self.method == "grpo",
            "training.beta": self.training.beta == plain.beta or self.method == "dpo",
            "training.sft_weight": self.training.sft_weight == plain.sft_weight or self.method == "dpo",
        }
        for name, fine in used.items():
            if not fine:
                raise ValueError(f"selfplay.{name} does nothing with method={self.method}")
        return self


class Distill(Section):
    """SFT of a student on a teacher's traces; traces without an answer are dropped (PAPER section 2)."""

    student: Model
    teacher: Model
    traces_per_problem: PositiveInt = 1
    problems: Annotated[int, Field(ge=0)] = 0
    sampling: Sampling = Sampling()
    training: Training


class Benchmark(Section):
    """Where a benchmark's problems come from, and how many attempts each gets.

    source: one or several files (JSONL, Parquet) or `hf://datasets/OWNER/NAME[@REVISION][/FILE]`. samples: 0 = the
    paper's. problems: the first that many. For the Elo of codeforces: `ids` names the problems (a JSON list in their
    order), `standings` is a directory of snapshots of contests, `ratings` the table for the percentile.
    """

    source: Several = free([])
    samples: Annotated[int, Field(ge=0)] = 0
    problems: Annotated[int, Field(ge=0)] = 0
    ids: str = free("")
    standings: str = free("")
    ratings: str = free("")


class Difficulty(Section):
    """The difficulty table (the paper's): `problems` math problems of every set, drawn uniformly (0 = all). `strong` solves
    each once, and its answer is the reference; `weak` is asked once at temperature 0 and graded by that."""

    weak: Model
    strong: Model
    problems: Annotated[int, Field(ge=0)] = 1000
    sampling: Sampling = Sampling()


class Evaluate(Section):
    """avg@`samples` on the held-out problems, before and after, for both regimes.

    benchmarks: scored for the same models and for `model`, with `benchmark_sampling` (the paper's), boxed answers
    compared by `answers`; curate decontaminates against exactly these. difficulty: how hard seeds and new problems are
    for two other models.
    """

    problems: Annotated[int, Field(ge=0)] = 0
    samples: PositiveInt = 8
    sampling: Sampling = Sampling()
    model: Model | None = None
    benchmarks: dict[BenchmarkName, Benchmark] = free({})
    benchmark_sampling: Sampling = Sampling(temperature=0.6, top_p=0.95, max_tokens=81920)
    answers: Literal["symbolic", "strict", "math-verify", "release"] = "symbolic"
    difficulty: Difficulty | None = free(None)
