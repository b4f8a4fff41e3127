"""From a recipe to the work of its models, stage by stage: how many requests of how many tokens.

Counts follow the stages' own code (`promptcot.stages`); what a recipe cannot know (lengths, yields) comes from
`planning.figures`. c, z, x: tokens of a concept list, a rationale, a problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promptcot.errors import UserError
from promptcot.evals.benchmarks import definition
from promptcot.planning.figures import Figures, Kind, Range
from promptcot.readers.files import read_rows
from promptcot.settings import Model, Recipe, SelfPlay, Training


@dataclass(frozen=True)
class Work:
    """`requests` of one model of the same kind, each of `tokens_each` tokens (sampled, scored or trained)."""

    stage: str
    what: str
    kind: Kind
    model: Model
    requests: Range
    tokens_each: Range

    @property
    def tokens(self) -> Range:
        """All tokens."""
        return self.requests * self.tokens_each


class Flow:
    """The rows of a recipe as they pass through the corridor."""

    def __init__(self, recipe: Recipe, figures: Figures) -> None:
        self.recipe, self.figures, self.profile = recipe, figures, recipe.templates
        self.c, self.z, self.x = (self.length(n) for n in ("concepts", "rationale", "problem"))
        self.seeds, self.heldout = Range.of(train_seeds(recipe)), Range.of(recipe.seeds.heldout)
        asked = Range.of(new_problems(recipe))
        self.curated = asked * self.share("curated")
        self.solved = self.curated.capped(_limit(recipe.label.problems if recipe.label else 0))
        self.labelled = self.solved * self.share("labelled")

    def length(self, name: str) -> Range:
        """Tokens of what is called `name`."""
        return self.figures.length(self.profile, name)

    def share(self, name: str) -> Range:
        """The share of rows that passes what is called `name`."""
        return self.figures.share(self.profile, name)

    def attempt(self, model: Model, max_tokens: int) -> Range:
        """Tokens of a solution by `model`."""
        return self.figures.attempt(self.profile, model.model or model.engine).capped(max_tokens)

    def work(self) -> list[Work]:
        """Everything models do in this recipe."""
        stages = (self.annotate, self.coldstart, self.em, self.synthesize, self.label, self.selfplay, self.distill,
                  self.evaluate)  # fmt: skip
        return [item for stage in stages for item in stage()]

    @property
    def per_seed(self) -> int:
        """Annotations of one train seed; seeds that bring their own have one."""
        names = len(self.recipe.annotate.annotators)
        return min(self.recipe.annotate.per_seed or names, names) or 1

    def annotate(self) -> Iterator[Work]:
        """Two requests per annotation (concepts, then rationale), in turns over the annotators."""
        models = self.recipe.annotate.annotators
        if self.recipe.seeds.source == "triples":
            return
        each = (self.length("annotation") * 0.5).capped(self.recipe.annotate.sampling.max_tokens)
        asked = (self.seeds * self.per_seed + self.heldout) * 2
        for name, model in models.items():
            yield Work("annotate", f"annotations by {name}", "sample", model, asked * (1 / len(models)), each)

    def coldstart(self) -> Iterator[Work]:
        """Both models on all triples."""
        cold = self.recipe.coldstart
        if cold:
            for role in ("q", "p"):
                yield self.training("coldstart", role, cold.base, self.seeds * self.per_seed, cold.training)

    def training(self, stage: str, role: str, model: Model, rows: Range, settings: Training) -> Work:
        """SFT of q or p on rows of c, z and x."""
        each = (self.c + self.z + self.x).capped(settings.max_tokens) * settings.epochs
        return Work(stage, f"training of {role}", "train", model, rows, each)

    def em(self) -> Iterator[Work]:
        """All iterations; where a rule may end the loop, the low end of the range is a single one."""
        em, cold = self.recipe.em, self.recipe.coldstart
        if not em or not cold:
            return
        early = self.recipe.seeds.heldout and (em.stop != "none" or em.gates.action != "warn")
        rounds = Range(min(1, em.iterations) if early else em.iterations, em.iterations, em.iterations)
        items, z = self.seeds.capped(_limit(em.items)), self.z.capped(em.sampling.max_tokens)
        row, base = self.c + self.z + self.x, cold.base
        resampled = em.mstep_rationale != "greedy"
        drawn = Range(em.k_first or em.k, em.k, em.k) * items * (1.0 if em.estep or resampled else 0.0)
        yield Work("em", "E-step: rationales of q", "sample", base, drawn * rounds, z)
        yield Work("em", "E-step: scores under p", "score", base, drawn * rounds, row)
        if em.estep:
            yield self.training("em", "q", base, items * rounds, em.training)
        if not resampled:
            yield Work("em", "M-step: greedy rationales", "sample", base, items * rounds, z)
        yield self.training("em", "p", base, items * rounds, em.p_training or em.training)
        yield from self.measurement(base, rounds, z, row)
        if em.without_estep:  # iteration 0 is shared
            what = "without E-step: "
            yield Work("em", f"{what}greedy rationales", "sample", base, items * rounds, z)
            yield self.training("em", "p without E-step", base, items * rounds, em.p_training or em.training)
            yield from self.measurement(base, rounds, z, row, what, first=0)

    def measurement(
        self, base: Model, rounds: Range, z: Range, row: Range, what: str = "", first: int = 1
    ) -> Iterator[Work]:
        """Held-out items: all draws at iteration 0 (`first` 1); then half from q and half kept, scored under p and both q."""
        em = self.recipe.em
        assert em is not None
        items, draws = self.heldout.capped(_limit(em.measure)), em.measure_draws
        whole = (self.z + self.x).capped(em.training.max_tokens)
        if not items.high:
            return
        sampled = items * ((draws + 1) * first) + items * rounds * (draws / 2 + 1)
        scored = items * ((draws + 1) * first) + items * rounds * (draws + 1 + draws)
        yield Work("em", f"{what}held-out: rationales of q", "sample", base, sampled, z)
        yield Work("em", f"{what}held-out: scores under p and q", "score", base, scored, row)
        yield Work(
            "em", f"{what}held-out: problems of p", "sample", base, items * (rounds + Range.of(first)), whole
        )

    def synthesize(self) -> Iterator[Work]:
        """One completion (z, x) of p per problem."""
        s, cold = self.recipe.synthesize, self.recipe.coldstart
        if s and cold and s.path is None:
            each = (self.z + self.x).capped(s.sampling.max_tokens)
            yield Work("synthesize", "problems of p", "sample", cold.base, Range.of(s.problems), each)

    def label(self) -> Iterator[Work]:
        """Attempts at every picked problem, and proposals of unit tests for the code ones."""
        s, made = self.recipe.label, self.recipe.synthesize
        if not s or not made:
            return
        each = self.attempt(s.model, s.sampling.max_tokens)
        yield Work("label", "attempts", "sample", s.model, self.solved * s.samples, each)
        tests = self.solved * (made.code_share * s.tests)
        if tests.high:
            each = self.length("test").capped(s.sampling.max_tokens)
            yield Work("label", "unit tests", "sample", s.model, tests, each)

    def selfplay(self) -> Iterator[Work]:
        """Rollouts, then both answers of every pair; where a rule may end it, the low end is one of the rounds."""
        s = self.recipe.selfplay
        if not s:
            return
        rounds = Range(1 if s.stop else s.rounds, s.rounds, s.rounds)
        posed = (self.labelled if s.problems == "labelled" else self.seeds) * (rounds * (1 / s.rounds))
        each = self.attempt(s.model, s.sampling.max_tokens)
        if s.track:
            tracked = (rounds + Range.of(1)) * (s.track * s.track_samples)
            yield Work("selfplay", "attempts at tracked seeds", "sample", s.model, tracked, each)
        yield Work("selfplay", "rollouts", "sample", s.model, posed * s.rollouts, each)
        answer = (self.x + each).capped(s.training.max_tokens) * s.training.epochs
        useful = posed * self.share("paired")  # neither always solved nor never
        if s.method == "dpo":
            yield Work("selfplay", "DPO", "dpo", s.model, useful * _pairs(s) * 2, answer)
        elif s.method == "sft":
            rows = useful * float(min(s.traces_per_problem, s.rollouts))
            yield Work("selfplay", "SFT on right attempts", "train", s.model, rows, answer)
        else:
            rows = useful * float(s.grpo.group)
            yield Work("selfplay", "attempts of GRPO", "sample", s.model, rows * s.training.epochs, each)
            yield Work("selfplay", "GRPO", "train", s.model, rows, answer)

    def distill(self) -> Iterator[Work]:
        """Traces of the teacher, SFT of the student."""
        s = self.recipe.distill
        if not s:
            return
        each = self.attempt(s.teacher, s.sampling.max_tokens)
        traces = self.curated.capped(_limit(s.problems)) * s.traces_per_problem
        yield Work("distill", "traces", "sample", s.teacher, traces, each)
        row = (self.x + each).capped(s.training.max_tokens) * s.training.epochs
        yield Work(
            "distill", "training of the student", "train", s.student, traces * self.share("traced"), row
        )

    def evaluate(self) -> Iterator[Work]:
        """Attempts at held-out problems and benchmarks, before and after; a model before both regimes is asked once."""
        s, play, distill = self.recipe.evaluate, self.recipe.selfplay, self.recipe.distill
        if not s:
            return
        models = [play.model] * 2 if play else []
        if distill:
            models += [distill.student] * (1 if play and play.model == distill.student else 2)
        asked = self.heldout.capped(_limit(s.problems)) * s.samples
        for mine, times in _counted(models):
            each = self.attempt(mine, s.sampling.max_tokens)
            yield Work("evaluate", "attempts", "sample", mine, asked * times, each)
        sat = 0
        for name, b in s.benchmarks.items():
            what = definition(name)
            sat += min(what.problems, b.problems or what.problems) * (b.samples or what.samples)
        before = [m for m in (play and play.model, distill and distill.student) if m]
        alone = [s.model] if s.model and s.model not in before else []
        for mine, times in _counted([*models, *alone]):
            each = self.attempt(mine, s.benchmark_sampling.max_tokens)
            yield Work("evaluate", "attempts at benchmarks", "sample", mine, Range.of(sat * times), each)
        if s.difficulty:  # at most: problems of code are left out, and labelled ones are curated ones too
            sets = (self.seeds, self.heldout, self.curated, self.labelled)
            found = sum((n.capped(_limit(s.difficulty.problems)) for n in sets), Range.of(0.0))
            for who, reader in (("weaker", s.difficulty.weak), ("stronger", s.difficulty.strong)):
                each = self.attempt(reader, s.difficulty.sampling.max_tokens)
                yield Work("evaluate", f"difficulty: the {who} model", "sample", reader, found, each)


def train_seeds(recipe: Recipe) -> int:
    """Seeds that are trained on.

    Raises:
        UserError: the recipe takes all rows of a source that is not there to be counted.
    """
    s = recipe.seeds
    if s.count or s.source == "none":
        return s.count
    if s.source in ("jsonl", "parquet", "gsm8k", "triples") and s.path and Path(s.path).is_file():
        return max(0, _rows(Path(s.path)) - s.heldout)
    raise UserError(
        f"seeds.count is 0 (all rows of '{s.path}'), which the plan cannot count",
        do="--set seeds.count=N with the number of seeds you expect",
    )


def new_problems(recipe: Recipe) -> int:
    """Problems that are written, or taken over from a file.

    Raises:
        UserError: the recipe takes all problems of a file that is not there to be counted.
    """
    s = recipe.synthesize
    if s is None or s.problems or s.path is None:
        return s.problems if s else 0
    if Path(s.path).is_file():
        return _rows(Path(s.path))
    raise UserError(
        f"synthesize.problems is 0 (all of '{s.path}'), which the plan cannot count",
        do="--set synthesize.problems=N with the number of problems you expect",
    )


def _rows(path: Path) -> int:
    """Rows of a file, as `readers.files` reads it."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return int(parquet.ParquetFile(path).metadata.num_rows)
    return sum(1 for _ in read_rows(path))


def _counted(models: list[Model]) -> list[tuple[Model, int]]:
    """Every different model with how often it stands there, in order."""
    texts = [m.model_dump_json() for m in models]
    return [(models[texts.index(text)], texts.count(text)) for text in dict.fromkeys(texts)]


def _limit(count: int) -> float:
    return count or float("inf")


def _pairs(s: SelfPlay) -> Range:
    """Pairs of a problem with right and wrong attempts; "min" and "all" by how many of each there may be."""
    n = s.rollouts
    found = s.pairs_per_problem
    if found == "min":
        pairs = Range(1, max(1, n // 4), max(1, n // 2))
    elif found == "all":
        pairs = Range(n - 1, max(n - 1, n * n // 6), max(n - 1, n * n // 4))
    else:
        pairs = Range.of(float(found))
    return pairs.capped(s.max_pairs) if s.max_pairs else pairs
