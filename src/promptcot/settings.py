"""The sections of a recipe: one typed section per stage.

Fields marked `_free` change only speed or looks; every other field matters for the results, so a run directory
refuses to go on when one of them differs. Imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from promptcot.lm.base import EngineSpec, SamplingParams
from promptcot.lm.server import Server
from promptcot.sections import GRPO as GRPO
from promptcot.sections import Launch as Launch
from promptcot.sections import Positive, Section, Share
from promptcot.sections import Preference as Preference
from promptcot.sections import Training as Training
from promptcot.sections import free as _free
from promptcot.verify.sandbox.backends import Choice

STAGES = (
    "seeds", "annotate", "coldstart", "em", "synthesize", "curate",
    "label", "selfplay", "distill", "evaluate", "analyze", "report",
)  # fmt: skip

BenchmarkName = Literal["aime24", "aime25", "hmmt25", "lcb_v5", "lcb_v6", "codeforces"]
Several = Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]


class Model(Section):
    """A model and the engine behind it. `model` is a directory, a Hub name, or `pocket` (the packaged one).

    engine `openai` is any OpenAI-compatible server: `model` is its name there, `server` says where it is, and
    `tokenizer` (a directory or Hub name; default: the model's own) is needed wherever token ids matter.
    """

    engine: Literal["transformers", "scripted", "pocket-annotator", "pocket-teacher", "openai"] = (
        "transformers"
    )
    model: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = _free("auto")
    batch_tokens: PositiveInt = _free(16384)
    tokenizer: str = ""
    server: Server | None = _free(None)

    @model_validator(mode="after")
    def _one_place(self) -> Model:
        if (self.engine == "openai") != (self.server is not None):
            raise ValueError(
                "engine 'openai' needs server: {base_url: http://HOST:PORT/v1}, and no other has one"
            )
        if self.engine == "openai" and not self.model:
            raise ValueError("engine 'openai' needs model: the name that the server gives it")
        return self

    def spec(self, model: str | None = None) -> EngineSpec:
        """The engine to load, optionally with the weights of another directory."""
        server = Server(**self.server.model_dump()) if self.server else None
        return EngineSpec(
            self.engine,
            model or self.model,
            self.dtype,
            self.device,
            self.batch_tokens,
            self.tokenizer,
            server,
        )


class Sampling(Section):
    """How to draw: plain distribution at T=1 unless said otherwise."""

    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    max_tokens: PositiveInt = 1024

    def params(self, *stop: str, greedy: bool = False, logq: bool = False) -> SamplingParams:
        """The engine's parameters; `greedy` overrides the temperature with 0, `logq` asks for log-probs too."""
        return SamplingParams(
            0.0 if greedy else self.temperature, self.top_p, self.top_k, self.max_tokens, stop, logq
        )


class Seeds(Section):
    """Where the seed problems come from.

    source: pocket | jsonl | parquet | hub | gsm8k | triples. count: train seeds at most (0 = all);
    heldout: problems kept for measurement, never trained on. levels, heldout_levels: weights of the pocket world's
    levels (empty: all alike). fields: record field -> column in the input.
    max_rejected: the share of unusable rows above which the stage fails.
    """

    source: Literal["none", "pocket", "jsonl", "parquet", "hub", "gsm8k", "triples"] = "none"
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

    iterations: Annotated[int, Field(ge=0)] = 2
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
    levels and sizes: weights; empty means as often as among the seeds (sizes: of that level).
    path: a JSONL or Parquet file of problems written elsewhere (released prompts, self-play data, generator
    completions, or rows with a `problem`) to take instead, the first `problems` of them (0 = all); `fields` as of
    seeds. It needs no EM, and problems that bring an answer or tests keep them."""

    problems: Annotated[int, Field(ge=0)] = 0
    path: str | None = None
    fields: dict[str, str] = Field(default_factory=dict)
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
    """Format, exact and near duplicates, decontamination against the held-out problems."""

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


class Rules(Section):
    """How programs are run. sandbox "auto" takes bwrap, else landlock, else refuses; "unsafe" is limits only."""

    sandbox: Choice = "auto"
    wall_s: Positive = 6.0
    memory_mb: PositiveInt = 1024
    output_kb: PositiveInt = 256


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

    source: Several = _free([])
    samples: Annotated[int, Field(ge=0)] = 0
    problems: Annotated[int, Field(ge=0)] = 0
    ids: str = _free("")
    standings: str = _free("")
    ratings: str = _free("")


class Evaluate(Section):
    """avg@`samples` on the held-out problems, before and after, for both regimes.

    benchmarks: scored for the same models and for `model`, with `benchmark_sampling` (the paper's), boxed answers
    compared by `answers`; curate decontaminates against exactly these.
    """

    problems: Annotated[int, Field(ge=0)] = 0
    samples: PositiveInt = 8
    sampling: Sampling = Sampling()
    model: Model | None = None
    benchmarks: dict[BenchmarkName, Benchmark] = _free({})
    benchmark_sampling: Sampling = Sampling(temperature=0.6, top_p=0.95, max_tokens=81920)
    answers: Literal["symbolic", "strict", "math-verify", "release"] = "symbolic"


class RunSection(Section):
    """The run directory and how to work. workers 0 = one per core; shard_rows: rows per committed shard.
    license: what the cards of exports state, an identifier such as apache-2.0; nothing is assumed.

    runner: "local" (processes of this machine) or "ray" (actors of a Ray cluster; the run directory is on a file system
    that all its nodes share). gpus: GPUs that one worker of a stage holds, {em: 1}; stages not named need none.
    """

    dir: str = _free("")
    seed: int = 1
    workers: Annotated[int, Field(ge=0)] = _free(0)
    shard_rows: PositiveInt = 512
    license: str = _free("")
    runner: Literal["local", "ray"] = _free("local")
    gpus: dict[Literal[STAGES], Annotated[float, Field(ge=0.0)]] = _free({})  # type: ignore[valid-type]


class Recipe(Section):
    """Everything a run depends on. A stage runs when its section is present."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    templates: Literal["compact", "promptcot2"] = "promptcot2"
    run: RunSection = RunSection()
    programs: Rules = Rules()
    seeds: Seeds = Seeds()
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
        if self.seeds.source == "none" and (self.coldstart or not self.evaluate or not self.evaluate.model):
            raise ValueError("missing key 'seeds' (only an evaluation of evaluate.model needs none)")
        needs = {
            "em": "coldstart", "synthesize": "em", "curate": "synthesize",
            "label": "curate", "selfplay": "label", "distill": "curate",
        }  # fmt: skip
        if self.selfplay is not None and self.selfplay.problems == "seeds":
            del needs["selfplay"]
        for stage, upstream in needs.items():
            if stage == "synthesize" and self._imports():
                continue
            if getattr(self, stage) is not None and getattr(self, upstream) is None:
                raise ValueError(f"stage '{stage}' needs the section '{upstream}'")
        return self

    def _imports(self) -> bool:
        return self.synthesize is not None and self.synthesize.path is not None

    def stages(self) -> list[str]:
        """The stages this recipe runs, in order; analyze and report close the corridor (without seeds there is none)."""
        if self.seeds.source == "none":
            return ["evaluate"]
        unread = self.coldstart is None and (self._imports() or not self.annotate.annotators)
        idle = {"annotate"} if unread else set()  # nobody would read the triples
        present = [s for s in STAGES if s in ("analyze", "report") or getattr(self, s) is not None]
        return [s for s in present if s not in idle]

    def matters(self) -> dict[str, Any]:
        """The recipe without the fields that cannot change the results."""
        return self.key()
