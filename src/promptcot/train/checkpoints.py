"""A killed training goes on from its last complete checkpoint and ends with the weights of an unbroken one.

A checkpoint is complete when it holds the file MARK, written after everything else in it. It is used only by the
same training: the file TRAINING next to the checkpoints holds a digest of all that decides its numbers.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from promptcot.ids import digest
from promptcot.settings import Training
from promptcot.train import shards

MARK, TRAINING = "complete", "training"


def arguments(settings: Training) -> dict[str, Any]:
    """Trainer arguments: when to save. Two are kept, so that one is complete while the other is written."""
    if not settings.checkpoint_steps:
        return {"save_strategy": "no"}
    return {"save_strategy": "steps", "save_steps": settings.checkpoint_steps, "save_total_limit": 2}


def last(folder: Path, training: list[object]) -> str | None:
    """The last complete checkpoint in `folder` of the same training; what another one left is removed."""
    packages = [metadata.version(name) for name in ("torch", "transformers", "trl", "accelerate")]
    mark = digest([*map(_plain, training), packages])
    shards.barrier()
    found = folder / TRAINING
    same = found.exists() and found.read_text() == mark
    complete = [p for p in folder.glob("checkpoint-*") if (p / MARK).exists()] if same else []
    shards.barrier()  # all have looked before one writes
    if shards.rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in set(folder.glob("checkpoint-*")) - set(complete):
            shutil.rmtree(stale)
        found.write_text(mark)
    shards.barrier()
    return str(max(complete, key=lambda p: int(p.name.partition("-")[2]))) if complete else None


def mark_callback() -> Any:
    """A Trainer callback that marks a checkpoint once all of it is written."""
    from transformers import TrainerCallback

    class Mark(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            shards.barrier()
            if shards.rank() == 0:
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / MARK).touch()

    return Mark()


def epoch_callback() -> Any:
    """A Trainer callback that tells the sampler its epoch.

    The trainer tells the data loader, which does not reach the sampler where several processes go on in the middle of
    an epoch: there it is wrapped once more.
    """
    from transformers import TrainerCallback

    class Epoch(TrainerCallback):  # type: ignore[misc]
        def on_epoch_begin(
            self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **kwargs: Any
        ) -> None:
            train_dataloader.set_epoch(int(state.epoch or 0))

    return Epoch()


def _plain(value: Any) -> Any:
    if isinstance(value, Training):
        return value.model_dump(mode="json", exclude={"checkpoint_steps", "report_to"})
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
