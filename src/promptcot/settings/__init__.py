"""The sections of a recipe: one typed section per stage.

Fields made by `free` change only speed or looks; every other field matters for the results, so a run directory
refuses to go on when one of them differs. Imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from promptcot.settings.base import Section, free
from promptcot.settings.domains import BUILT_IN, DomainFile
from promptcot.settings.em import EM, ColdStart, Estimator, Gates
from promptcot.settings.models import Model, Rules, Sampling
from promptcot.settings.problems import Annotate, Curate, Label, Seeds, Synthesize, Vetting
from promptcot.settings.solvers import Benchmark, BenchmarkName, Difficulty, Distill, Evaluate, SelfPlay
from promptcot.settings.training import GRPO, Launch, LoRA, Preference, Tracker, Training

__all__ = [
    "EM", "GRPO", "STAGES", "Annotate", "Benchmark", "BenchmarkName", "ColdStart", "Curate", "Difficulty", "Distill",
    "DomainFile", "Estimator", "Evaluate", "Gates", "Label", "Launch", "LoRA", "Model", "Preference", "Recipe", "Rules", "RunSection",
    "Sampling",
    "Section", "Seeds", "SelfPlay", "Synthesize", "Tracker", "Training", "Vetting",
]  # fmt: skip

STAGES = (
    "seeds", "annotate", "coldstart", "em", "synthesize", "curate",
    "label", "selfplay", "distill", "evaluate", "analyze", "report",
)  # fmt: skip


class RunSection(Section):
    """The run directory and how to work. workers 0 = one per core; shard_rows: rows per committed shard.
    license: what the cards of exports state, an identifier such as apache-2.0; nothing is assumed.

    runner: "local" (processes of this machine) or "ray" (actors of a Ray cluster; the run directory is on a file system
    that all its nodes share). gpus: GPUs that one worker of a stage holds, {em: 1}; stages not named need none.
    report_to: experiment trackers that trainings log to, and that get what the run measured with its report.
    """

    dir: str = free("")
    seed: int = 1
    workers: Annotated[int, Field(ge=0)] = free(0)
    shard_rows: PositiveInt = 512
    license: str = free("")
    runner: Literal["local", "ray"] = free("local")
    gpus: dict[Literal[STAGES], Annotated[float, Field(ge=0.0)]] = free({})  # type: ignore[valid-type]
    report_to: list[Tracker] = free([])


class Recipe(Section):
    """Everything a run depends on. A stage runs when its section is present.

    domains: files with domains of your own, `[riddles.py]` (docs/new-domain.md). They are code: run none you do not trust.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    templates: Literal["compact", "promptcot2"] = "promptcot2"
    run: RunSection = RunSection()
    programs: Rules = Rules()
    domains: list[DomainFile] | None = None
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
    def _known_domain(self) -> Recipe:
        known = [*BUILT_IN, *(f.name for f in self.domains or [])]
        if len(set(known)) < len(known):
            raise ValueError(f"two files of one name in domains: {known[2:]}")
        if self.seeds.domain not in known:
            raise ValueError(
                f"seeds.domain is '{self.seeds.domain}', known: {', '.join(known)}; a new one is a file: "
                f"domains: [{self.seeds.domain}.py] (docs/new-domain.md)"
            )
        return self

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
