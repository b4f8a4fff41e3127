"""Which model, how to draw from it, and how to run the programs it writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from promptcot.errors import UserError
from promptcot.lm.base import EngineSpec, SamplingParams
from promptcot.lm.server import VLLM, Server
from promptcot.settings.base import Positive, Section, free
from promptcot.verify.sandbox.backends import Choice
from promptcot.verify.sandbox.packages import names


class Model(Section):
    """A model and the engine behind it. `model` is a directory, a Hub name, or `pocket` (the packaged one).

    engine `openai` is any OpenAI-compatible server: `model` is its name there, `server` says where it is, and
    `tokenizer` (a directory or Hub name; default: the model's own) is needed wherever token ids matter. engine `vllm`
    is a vLLM server that the run itself starts and ends; `vllm` says how.
    """

    engine: Literal["transformers", "scripted", "pocket-annotator", "pocket-teacher", "openai", "vllm"] = (
        "transformers"
    )
    model: str = ""
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["auto", "cpu", "cuda"] = free("auto")
    batch_tokens: PositiveInt = free(16384)
    tokenizer: str = ""
    server: Server | None = free(None)
    vllm: VLLM | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Model:
        if (self.engine == "openai") != (self.server is not None):
            raise ValueError(
                "engine 'openai' needs server: {base_url: http://HOST:PORT/v1}, and no other has one"
            )
        if self.engine == "openai" and not self.model:
            raise ValueError("engine 'openai' needs model: the name that the server gives it")
        if self.engine != "vllm" and self.vllm is not None:
            raise ValueError(f"the section 'vllm' is for engine 'vllm', and this is engine {self.engine!r}")
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
            (self.vllm or VLLM()) if self.engine == "vllm" else None,
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


class Rules(Section):
    """How programs are run. sandbox "auto" takes bwrap, else landlock, else refuses; "unsafe" is limits only. output_kb:
    more where a test expects more. packages: installed ones that programs may import besides the standard library, by
    the names that pip has for them (docs/verification-programs.md says what they cost)."""

    sandbox: Choice = "auto"
    wall_s: Positive = 6.0
    memory_mb: PositiveInt = 1024
    output_kb: PositiveInt = 256
    packages: list[str] = Field(default_factory=list)

    @field_validator("packages")
    @classmethod
    def _by_their_names(cls, given: list[str]) -> list[str]:
        try:
            return list(names(given))
        except UserError as error:
            raise ValueError(f"{error.seen}; expected {error.expected}") from None
