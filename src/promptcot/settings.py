"""The sections of a recipe: one typed section per stage.

Fields marked `_free` change only speed or looks; every other field matters for the results, so a run directory
refuses to go on when one of them differs. Imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from promptcot.lm.base import EngineSpec, SamplingParams
from promptcot.verify.sandbox.backends import Choice

STAGES = (
    "seeds", "annotate", "coldstart", "em", "synthesize", "curate",
    "label", "selfplay", "distill", "evaluate", "analyze", "report",
)  # fmt: skip

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


def _free(default: Any) -> Any:
    return Field(default=default, json_schema_extra={"matters": False})


class Section(BaseModel):
    """Base of all sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def key(self) -> dict[str, Any]:
        """The fields that can change results, as plain values."""
        return _matters(self)


class Model(Section):
    """A model and the engine behind it. `model` is a directory, a Hub name, or `pocket` (the packaged one)."""

    engine: Literal["transformers", "scripted", "pocket-annotator", "pocket-teacher"] = "transformers"
    model: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = _free("auto")
    batch_tokens: PositiveInt = _free(16384)

    def spec(self, model: str | None = None) -> EngineSpec:
        """The engine to load, optionally with the weights of another directory."""
        return EngineSpec(self.engine, model or self.model, self.dtype, self.device, self.batch_tokens)


class Sampling(Section):
    """How to draw: plain distribution at T=1 unless said otherwise."""

    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_tokens: PositiveInt = 1024

    def params(self, *stop: str, greedy: bool = False) -> SamplingParams:
        """The engine's parameters; `greedy` overrides the temperature with 0."""
        return SamplingParams(
            0.0 if greedy else self.temperature, self.top_p, self.top_k, self.max_tokens, stop
        )


class Training(Section):
    """One supervised or preference training. `max_tokens` is the longest row; longer ones are counted, and
    training is refused when their share exceeds `max_overlong`: nothing is ever cut."""

    lr: Positive
    epochs: Positive = 1.0
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = _free(16)
    warmup_share: Share = 0.03
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    max_tokens: PositiveInt = 4096
    max_overlong: Share = 0.01


class Seeds(Section):
    """Where the seed problems come from.

    source: pocket | jsonl | parquet | hub | gsm8k | triples. count: train seeds at most (0 = all);
    heldout: problems kept for measurement, never trained on. levels, heldout_levels: weights of the pocket world's
    levels (empty: all alike). fields: record field -> column in the input.
    max_rejected: the share of unusable rows above which the stage fails.
    """

    source: Literal["pocket", "jsonl", "parquet", "hub", "gsm8k", "triples"]
    path: str | None = None
    split: str = "train"
    count: Annotated[int, Field(ge=0)] = 0
    heldout: Annotated[int, Field(ge=0)] = 0
    domain: Literal["math", "code"] = "math"
    code_share: Share = 0.3
    levels: dict[str, Positive] = Field(default_factory=dict)
    heldout_levels: dict[str, Positive] = Field(default_factory=dict)
    fields: dict[str, str] = Field(default_factory=dict)
    max_rejected: Share = _free(0.05)

    @model_validator(mode="after")
    def _needs_path(self) -> Seeds:
        if self.source != "pocket" and self.path is None:
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
    max_rejected: Share = _free(0.2)


class ColdStart(Section):
    """MLE of q(z|c,x) and p(z,x|c) on the triples."""

    base: Model
    training: Training


class Gates(Section):
    """When an iteration counts as a collapse, each against the cold start on the held-out items.

    length: largest relative change of the mean rationale length. concepts, domain, format: largest fall of the
    shares of concepts mentioned, of problems in the asked domain, of completions of the right form. duplicates,
    copies: largest rise of the shares of rationales that other items share, or that copy the problem.
    action: "return" stops and goes back to the best iteration; "fail" ends the stage with an error; "warn" goes on.
    """

    length: Positive = 0.5
    concepts: Share = 0.2
    domain: Share = 0.1
    format: Share = 0.1
    duplicates: Share = 0.3
    copies: Share = 0.1
    action: Literal["return", "fail", "warn"] = _free("return")


SELECT = ("joint", "iw", "mean", "gain")


class Estimator(Section):
    """How candidates become training rows: the defaults are the paper's (promptcot.em.rewards, .select).

    select "joint" is Eq. 5. draw: the arg max, or one draw by softmax(reward / temperature).
    mstep_rationale: what p learns from: q's "greedy" rationale (the paper), the "selected" one that q learned, or
    a draw of its own by the same weights ("resample"). estep False leaves q at the cold start.
    """

    select: Literal["joint", "iw", "mean", "gain"] = "joint"
    draw: Literal["best", "resample"] = "best"
    temperature: Positive = 1.0
    mstep_rationale: Literal["greedy", "selected", "resample"] = "greedy"
    estep: bool = True


class EM(Estimator):
    """The EM loop: up to `iterations`, `k` candidates per item, q learns the chosen ones, p learns q's rationales.

    k_first > 0: draw that many, and the rest only where the leader holds less than `settled` of the weight.
    items: (c, x) used per iteration, one triple per seed (0 = all). measure: held-out items (0 = all), each with
    `measure_draws` rationales. stop: end when an iteration does not clearly raise the held-out "bound" on log p(x|c)
    (or lower the "nll" of x given a greedy rationale), by paired bootstrap, and keep the best one; "none" runs all
    and keeps the last. training is q's; p_training is p's where it differs (the paper uses one setting for both).
    """

    iterations: PositiveInt = 2
    k: PositiveInt = 8
    k_first: Annotated[int, Field(ge=0)] = 0
    settled: Share = 0.99
    items: Annotated[int, Field(ge=0)] = 0
    measure: Annotated[int, Field(ge=0)] = 0
    measure_draws: Annotated[int, Field(ge=2, multiple_of=2)] = 8
    stop: Literal["bound", "nll", "none"] = "none"
    gates: Gates = Gates()
    sampling: Sampling = Sampling()
    training: Training
    p_training: Training | None = None
    max_repetition: Share = 0.5
    max_copy: Share = 0.6
    min_length: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    max_length: Annotated[float, Field(ge=1.0)] = 1000.0
    max_rejected: Share = _free(0.5)
    ablation: list[str] = _free([])

    @model_validator(mode="after")
    def _possible(self) -> EM:
        if self.k_first >= self.k and self.k_first:
            raise ValueError(f"k_first={self.k_first} must be below k={self.k} (0 draws all k at once)")
        plain = self.sampling.temperature == 1 and self.sampling.top_p == 1 and self.sampling.top_k == 0
        if not plain and (self.select == "iw" or "resample" in (self.draw, self.mstep_rationale)):
            raise ValueError(
                "importance weights need em.sampling at temperature 1, top_p 1, top_k 0: "
                "log q is the log-prob of the plain distribution"
            )
        if self.stop != "none" and self.iterations > 1 and self.measure == 1:
            raise ValueError("a stop rule needs more than one held-out item (em.measure)")
        return self


class Synthesize(Section):
    """New problems from concept lists. `concepts`: a JSONL file of {"concepts": [...]}, or None to sample
    combinations from the seeds' own concepts; a share `novel` of them combine concepts never seen together.
    levels and sizes: weights; empty means as often as among the seeds (sizes: of that level)."""

    problems: PositiveInt
    concepts: str | None = None
    sizes: dict[int, Positive] = Field(default_factory=dict)
    novel: Share = 0.5
    code_share: Share = 0.3
    levels: dict[str, Positive] = Field(default_factory=dict)
    sampling: Sampling = Sampling()


class Curate(Section):
    """Format, exact and near duplicates, decontamination against the held-out problems."""

    min_words: PositiveInt = 8
    max_words: PositiveInt = 1000
    near_threshold: Annotated[float, Field(gt=0.0, le=0.95)] = 0.9
    near_shingle: PositiveInt = 3
    near_permutations: PositiveInt = 128
    decontaminate: Literal["both", "strict13", "qwen"] = "both"


class Label(Section):
    """Answers by vote of `samples` generations (math); unit tests by agreement of as many programs (code)."""

    model: Model
    samples: PositiveInt = 8
    min_votes: PositiveInt = 5
    problems: Annotated[int, Field(ge=0)] = 0
    tests: PositiveInt = 4
    min_tests: PositiveInt = 2
    sampling: Sampling = Sampling()

    @model_validator(mode="after")
    def _reachable(self) -> Label:
        if self.min_votes > self.samples:
            raise ValueError(f"min_votes={self.min_votes} cannot be reached with samples={self.samples}")
        return self


class Rules(Section):
    """How programs are run. sandbox "auto" takes bwrap, else landlock, else refuses; "unsafe" is limits only."""

    sandbox: Choice = "auto"
    wall_s: Positive = 6.0
    memory_mb: PositiveInt = 1024
    output_kb: PositiveInt = 256


class Preference(Training):
    """Offline DPO (arXiv 2305.18290). `sft_weight` adds the chosen answer's NLL (RPO, arXiv 2404.19733)."""

    beta: Positive = 0.1
    sft_weight: Annotated[float, Field(ge=0.0)] = 0.0


class SelfPlay(Section):
    """Rollouts on labelled problems, pairs, DPO.

    drop_at: a problem is dropped when solved in at least this share of the rollouts (the paper: 1/2);
    "drop_above" is the release's reading (dropped only when above it). Unsolved ones make no pair.
    """

    model: Model
    rollouts: PositiveInt = 8
    drop_at: Share = 0.5
    drop_rule: Literal["at", "above"] = "at"
    pairs_per_problem: PositiveInt = 2
    rounds: PositiveInt = 1
    sampling: Sampling = Sampling(temperature=1.2)
    training: Preference


class Distill(Section):
    """SFT of a student on a teacher's traces; traces without an answer are dropped (PAPER section 2)."""

    student: Model
    teacher: Model
    traces_per_problem: PositiveInt = 1
    problems: Annotated[int, Field(ge=0)] = 0
    sampling: Sampling = Sampling()
    training: Training


class Evaluate(Section):
    """avg@`samples` on the held-out problems, before and after, for both regimes."""

    problems: Annotated[int, Field(ge=0)] = 0
    samples: PositiveInt = 8
    sampling: Sampling = Sampling()


class RunSection(Section):
    """The run directory and how to work. workers 0 = one per core; shard_rows: rows per committed shard.

    runner: "local" (processes of this machine) or "ray" (actors of a Ray cluster; the run directory is on a file system
    that all its nodes share). gpus: GPUs that one worker of a stage holds, {em: 1}; stages not named need none.
    """

    dir: str = _free("")
    seed: int = 1
    workers: Annotated[int, Field(ge=0)] = _free(0)
    shard_rows: PositiveInt = 512
    runner: Literal["local", "ray"] = _free("local")
    gpus: dict[Literal[STAGES], Annotated[float, Field(ge=0.0)]] = _free({})  # type: ignore[valid-type]


class Recipe(Section):
    """Everything a run depends on. A stage runs when its section is present."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    templates: Literal["compact", "promptcot2"] = "promptcot2"
    run: RunSection = RunSection()
    programs: Rules = Rules()
    seeds: Seeds
    annotate: Annotate = Annotate()
    coldstart: ColdStart | None = None
    em: EM | None = None
    synthesize: Synthesize | None = None
    curate: Curate | None = None
    label: Label | None = None
    selfplay: SelfPlay | None = None
    distill: Distill | None = None
    evaluate: Evaluate | None = None

    @model_validator(mode="after")
    def _order(self) -> Recipe:
        needs = {
            "em": "coldstart", "synthesize": "em", "curate": "synthesize",
            "label": "curate", "selfplay": "label", "distill": "curate",
        }  # fmt: skip
        for stage, upstream in needs.items():
            if getattr(self, stage) is not None and getattr(self, upstream) is None:
                raise ValueError(f"stage '{stage}' needs the section '{upstream}'")
        return self

    def stages(self) -> list[str]:
        """The stages this recipe runs, in order; analyze and report always close the corridor."""
        return [s for s in STAGES if s in ("analyze", "report") or getattr(self, s) is not None]

    def matters(self) -> dict[str, Any]:
        """The recipe without the fields that cannot change the results."""
        return self.key()


def _matters(section: BaseModel) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, info in type(section).model_fields.items():
        extra = info.json_schema_extra
        if isinstance(extra, dict) and extra.get("matters") is False:
            continue
        out[name] = _plain(getattr(section, name))
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _matters(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
