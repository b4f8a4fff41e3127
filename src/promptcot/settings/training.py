"""How a model is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from promptcot.settings.base import Positive, Section, Share, free


class LoRA(Section):
    """Low-rank adapters instead of all weights (arXiv 2106.09685).

    targets: names of the layers that get one; empty: every linear layer but the output head. merge: add it to the
    weights of the saved model; False saves the adapter alone, and the next training of that model goes on with it:
    an EM that says so from its cold start on keeps one base, and engine `vllm` serves q and p beside each other on it.
    """

    rank: PositiveInt = 16
    alpha: Positive = 32.0
    dropout: Share = 0.0
    targets: list[str] = Field(default_factory=list)
    merge: bool = True


class Launch(Section):
    """Where a training runs: inside the worker (processes 1), or as that many processes under torchrun, one per GPU.

    sharding: "fsdp2" cuts weights, gradients and optimiser state over the processes, "ddp" copies them.
    """

    processes: PositiveInt = 1
    sharding: Literal["fsdp2", "ddp"] = "fsdp2"


Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class Training(Section):
    """One supervised or preference training. `max_tokens` is the longest row; longer ones are counted, and
    training is refused when their share exceeds `max_overlong`: nothing is ever cut.

    batch_size: rows per optimiser step, over all processes. packing: several rows in one sequence of `max_tokens`,
    none seeing another (SFT only); batch_size then counts sequences. recompute: activations again in the backward
    pass, for memory. checkpoint_steps: optimiser steps between checkpoints from which a killed training goes on.
    report_to: trackers it logs to; usually `run.report_to`, which is for all trainings.
    """

    lr: Positive
    epochs: Positive = 1.0
    batch_size: PositiveInt = 16
    micro_batch_size: PositiveInt = free(16)
    warmup_share: Share = 0.03
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    max_tokens: PositiveInt = 4096
    max_overlong: Share = 0.01
    lora: LoRA | None = None
    packing: bool = False
    recompute: bool = free(False)
    checkpoint_steps: Annotated[int, Field(ge=0)] = free(0)
    launch: Launch = free(Launch())
    report_to: list[Tracker] = free([])

    @model_validator(mode="after")
    def _divisible(self) -> Training:
        if self.batch_size % self.launch.processes:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be shared evenly by launch.processes={self.launch.processes}"
            )
        return self


class Preference(Training):
    """Offline DPO (arXiv 2305.18290). `sft_weight` adds the chosen answer's NLL (RPO, arXiv 2404.19733)."""

    beta: Positive = 0.1
    sft_weight: Annotated[float, Field(ge=0.0)] = 0.0

    @model_validator(mode="after")
    def _unpacked(self) -> Preference:
        if self.packing:
            raise ValueError("packing is for SFT; preference and reward training pad their rows")
        if self.lora is not None and not self.lora.merge:
            raise ValueError(
                "lora.merge=False is for SFT: elsewhere the frozen reference is the model at the start"
            )
        return self


class GRPO(Section):
    """Group-relative policy optimisation (arXiv 2402.03300) with the verdicts as rewards.

    group: attempts per problem and step (training.batch_size counts problems). kl: weight of the divergence from
    the solver at the start. clip: of the probability ratio. scale: divide advantages by the group's deviation.
    """

    group: Annotated[int, Field(ge=2)] = 8
    kl: Annotated[float, Field(ge=0.0)] = 0.0
    clip: Positive = 0.2
    scale: bool = True
