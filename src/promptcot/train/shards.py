"""One process or several: what a training asks its launcher, and the proof that it got it.

accelerate takes FSDP for GPUs only: on CPUs it makes it plain DDP without a word, and `--cpu --num_processes 2` one
process. So what wraps the model is checked when training starts, and `open_fsdp2` leads accelerate's own FSDP2 path to
CPUs too, where a test can run it over gloo.
"""

from __future__ import annotations

import os
from typing import Any

from promptcot.errors import UserError
from promptcot.settings import Launch


def world() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Which of them this is; the first one writes."""
    return int(os.environ.get("RANK", "0"))


def barrier() -> None:
    """Wait for the other processes."""
    if world() > 1:
        import torch.distributed as dist

        dist.barrier()


def end() -> None:
    """Leave together: a process that goes while another still talks to it can take that one down."""
    if world() > 1:
        import torch.distributed as dist

        if dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()


def arguments(launch: Launch) -> dict[str, Any]:
    """Trainer arguments of a launched training."""
    import torch

    if world() == 1:
        return {}
    out: dict[str, Any] = {} if torch.cuda.is_available() else {"ddp_backend": "gloo"}
    if launch.sharding == "fsdp2":
        out |= {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "SHARDED_STATE_DICT"}}
    return out


def open_fsdp2(args: Any) -> None:
    """Before a trainer is made from `args`: have accelerate take the FSDP2 it was asked for on CPUs as well."""
    import torch

    if not args.fsdp_plugin_args or torch.cuda.is_available():
        return
    from accelerate import DistributedType, PartialState
    from accelerate.state import AcceleratorState
    from accelerate.utils import FullyShardedDataParallelPlugin, TorchDynamoPlugin

    PartialState().distributed_type = DistributedType.FSDP
    state = AcceleratorState(
        mixed_precision="bf16" if args.bf16 else "no",
        dynamo_plugin=TorchDynamoPlugin(),
        _from_accelerator=True,
    )
    state.fsdp_plugin = FullyShardedDataParallelPlugin(**args.fsdp_plugin_args)


def check_callback(trainer: Any, launch: Launch) -> Any:
    """A Trainer callback that refuses to train a model that is not wrapped as asked."""
    from transformers import TrainerCallback

    class Check(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            check(trainer.model_wrapped, launch, world())

    return Check()


def check(model: Any, launch: Launch, processes: int) -> None:
    """Is `model` sharded, copied or plain as `launch` says, over as many processes?

    Raises:
        UserError: it is not.
    """
    from torch.distributed.fsdp import FSDPModule
    from torch.nn.parallel import DistributedDataParallel

    found = {FSDPModule: "fsdp2", DistributedDataParallel: "ddp"}
    kind = next((name for cls, name in found.items() if isinstance(model, cls)), "one process")
    asked = launch.sharding if launch.processes > 1 else "one process"
    if (kind, processes) != (asked, launch.processes):
        raise UserError(
            f"the model is trained as {kind} in {processes} processes ({type(model).__name__})",
            expected=f"{asked} in {launch.processes} (training.launch)",
            do="promptcot starts the processes itself: run it without torchrun or accelerate launch around it",
        )
