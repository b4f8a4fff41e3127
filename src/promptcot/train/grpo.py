"""GRPO over TRL (arXiv 2402.03300) with verdicts as rewards.

For a group of G attempts at one problem with rewards r_1..r_G (1 or 0):
    advantage_i = (r_i - mean r) / (sd r + 1e-4)      over the attempts that have a reward

An attempt without one (an infrastructure failure, or a kind of failure that the recipe does not count) is neither a 0
nor a 1: it leaves mean and deviation alone and its advantage is 0, so it moves nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra
from promptcot.lm.base import SamplingParams
from promptcot.settings import GRPO, Preference
from promptcot.train import common, shards
from promptcot.train.common import Start

Judge = Callable[[int, str, str], float | None]
"""(index of the task, the assistant's turn, "stop" or "length") -> 1.0, 0.0, or None where there is no reward."""


@dataclass(frozen=True)
class Task:
    """A problem as the solver is asked, and its tokens. What it is judged by stays with the judge."""

    messages: tuple[tuple[str, str], ...]
    tokens: int


def grpo(
    out: Path, tasks: Sequence[Task], judge: Judge, params: SamplingParams, start: Start, settings: Preference,
    group: GRPO,
) -> dict[str, Any]:  # fmt: skip
    """Train on the model's own attempts at `tasks`, drawn with `params`, and save it in `out`.

    A step has `settings.batch_size` tasks; the last one of an epoch is filled up with tasks from the start.

    Raises:
        UserError: no tasks, or too many that leave no room for an attempt.
    """
    try:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer
    except ImportError:
        raise MissingExtra("trl", "train") from None
    common.quiet()
    logging.getLogger("trl.trainer.grpo_trainer").setLevel(
        logging.ERROR
    )  # it prints attempts without a reward
    fits = common.check_lengths([t.tokens + params.max_tokens for t in tasks], settings, "by GRPO")
    asked = fits + [fits[i % len(fits)] for i in range(-len(fits) % settings.batch_size)]
    rows = [
        {"prompt": [{"role": role, "content": text} for role, text in tasks[i].messages], "task": i}
        for i in asked
    ]
    lm, tokenizer = common.load(start.model)
    args = GRPOConfig(
        **common.arguments(out, len(fits), settings, start, settings.batch_size * group.group),
        num_generations=group.group,
        max_completion_length=params.max_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        beta=group.kl,
        epsilon=group.clip,
        scale_rewards="group" if group.scale else "none",
    )
    shards.open_fsdp2(args)

    class Trainer(GRPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *given: Any) -> Any:
            return ByEpoch(super()._get_train_sampler(*given))

    reward = Reward(judge, tokenizer)
    trainer = Trainer(
        model=lm,
        args=args,
        reward_funcs=[reward],
        train_dataset=common.dataset(Dataset.from_list(rows), out),
        processing_class=tokenizer,
        peft_config=common.adapters(settings, start.model),
    )
    reward.ends = set(trainer.eos_token_ids)
    trainer.add_callback(count_callback(reward))
    tokens = group.group * sum(t.tokens + params.max_tokens for t in tasks) * settings.epochs
    data = [[(t.messages, t.tokens) for t in tasks], vars(params), group.key()]
    facts = common.run(trainer, tokenizer, out, settings, start, data, tokens)
    return {
        **facts,
        "rows": len(fits),
        "overlong": len(tasks) - len(fits),
        "reward": common.losses(trainer, "reward"),
        **totals(reward, trainer.accelerator),
        "usage": {"trained_tokens": int(trainer.state.num_input_tokens_seen)},
    }


class ByEpoch:
    """TRL's order of tasks, shuffled by seed and epoch alone.

    Its own sampler goes on with one random stream, which a resumed training would begin anew.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.epoch = sampler, 0

    def set_epoch(self, epoch: int) -> None:
        """Called at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        self.sampler.generator.manual_seed(self.sampler.seed + 1009 * self.epoch)
        yield from self.sampler


class Reward:
    """What TRL asks for rewards: a callable with a name. Counts this process's attempts."""

    __name__ = "verdict"

    def __init__(self, judge: Judge, tokenizer: Any) -> None:
        self.judge, self.tokenizer = judge, tokenizer
        self.ends = {tokenizer.eos_token_id}
        self.attempts = self.unrewarded = 0

    def __call__(
        self, *, completion_ids: Sequence[Sequence[int]], task: Sequence[int], **_: Any
    ) -> list[float | None]:
        """One reward per completion; None, and not 0, where the judge gives none."""
        rewards = [self.one(ids, i) for ids, i in zip(completion_ids, task, strict=True)]
        self.attempts += len(rewards)
        self.unrewarded += rewards.count(None)
        return rewards

    def one(self, ids: Sequence[int], task: int) -> float | None:
        """The reward of one completion, of which only one that drew the end token is finished."""
        finished = len(ids) > 0 and ids[-1] in self.ends
        text = self.tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=False)
        return self.judge(task, text, "stop" if finished else "length")


def count_callback(reward: Reward) -> Any:
    """A Trainer callback that keeps this process's counts in every checkpoint, and takes them up from there."""
    from transformers import TrainerCallback

    def file(args: Any, state: Any) -> Path:
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / f"attempts-{shards.rank()}.json"

    class Count(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step:
                reward.attempts, reward.unrewarded = json.loads(file(args, state).read_text())

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            file(args, state).write_text(json.dumps([reward.attempts, reward.unrewarded]))

    return Count()


def totals(reward: Reward, accelerator: Any) -> dict[str, int]:
    """The counts of all processes."""
    import torch

    mine = torch.tensor([reward.attempts, reward.unrewarded], device=accelerator.device)
    attempts, unrewarded = accelerator.reduce(mine, "sum").tolist()
    return {"attempts": attempts, "unrewarded": unrewarded}
