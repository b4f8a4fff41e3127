"""A killed training goes on from its last complete checkpoint and ends with the weights of an unbroken one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from promptcot.lm.base import SamplingParams
from promptcot.runner.local import _clear
from promptcot.settings import GRPO, Launch, Preference, Training
from promptcot.store import tree_digest
from promptcot.train import checkpoints, common, launch
from promptcot.train.dpo import dpo
from promptcot.train.grpo import Task, grpo
from promptcot.train.sft import sft

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from safetensors.torch import load_file  # noqa: E402
from tests.train.small import START, Stopped, broken, id_pairs, rows, stops  # noqa: E402

SETTINGS = {"lr": 1e-3, "epochs": 3, "batch_size": 8, "micro_batch_size": 4, "max_tokens": 64}
CUT = 5  # of 9 steps: in the middle of the second epoch, one step after a checkpoint


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


def training(**changes: Any) -> Training:
    return Training.model_validate({**SETTINGS, **changes})


def killed(out: str) -> None:
    """An SFT that is killed from outside at step CUT (run by the test below in a process of its own)."""

    def progress(*_: Any) -> Any:
        from transformers import TrainerCallback

        class Kill(TrainerCallback):  # type: ignore[misc]
            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == CUT:
                    os.kill(os.getpid(), signal.SIGKILL)

        return Kill()

    torch.set_num_threads(1)
    setattr(common, "progress_callback", progress)  # noqa: B010
    sft(Path(out), rows(), START, training(checkpoint_steps=2))


def weights(out: Path) -> str:
    (out / "progress.json").unlink()
    return tree_digest(out)


def test_a_killed_training_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = sft(tmp_path / "whole", rows(), START, training())
    out = tmp_path / "cut"
    code = f"from tests.train.test_resume import killed; killed({str(out)!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    folder = out / common.TRAINER
    assert (folder / "checkpoint-4" / checkpoints.MARK).exists()
    (folder / "checkpoint-5").mkdir()  # a checkpoint that was being written
    _clear(out)  # what the runner does before it starts again
    assert [p.name for p in out.iterdir()] == [common.TRAINER]
    again = sft(out, rows(), START, training(checkpoint_steps=2))
    assert again["loss"] == whole["loss"]
    assert weights(out) == weights(tmp_path / "whole")


def preferred(out: Path, settings: Preference) -> dict[str, Any]:
    return dpo(out, id_pairs(16), START, settings)


def rewarded(out: Path, settings: Preference) -> dict[str, Any]:
    """GRPO with two micro batches a step; a reward depends on the text alone."""
    tasks = [Task((("user", f"What is {i} + 3?"),), 8) for i in range(6)]
    settings = settings.model_copy(update={"batch_size": 2})

    def judge(task: int, text: str, finish: str) -> float | None:
        return (0.0, 1.0, 0.0, 1.0, None)[sum(map(ord, text)) % 5]

    return grpo(out, tasks, judge, SamplingParams(max_tokens=8), START, settings, GRPO(group=4))


@pytest.mark.parametrize(
    ("train", "cut"),
    [(preferred, 3), (rewarded, 4), (rewarded, 5)],
    ids=["dpo, one step into the second epoch", "grpo, at its start", "grpo, in its middle"],
)
def test_a_training_cut_in_its_second_epoch_goes_on(
    train: Callable[[Path, Preference], dict[str, Any]],
    cut: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Preference.model_validate({**SETTINGS, "lr": 1e-4, "epochs": 2, "checkpoint_steps": 1})
    monkeypatch.setattr(common, "progress_callback", stops(0))
    whole = train(tmp_path / "whole", settings.model_copy(update={"checkpoint_steps": 0}))
    monkeypatch.setattr(common, "progress_callback", stops(cut))
    with pytest.raises(Stopped):
        train(tmp_path / "cut", settings)
    monkeypatch.setattr(common, "progress_callback", stops(0))
    again = train(tmp_path / "cut", settings)
    assert again == whole
    assert tree_digest(tmp_path / "cut") == tree_digest(tmp_path / "whole")


def test_two_processes_take_up_the_order_of_the_epoch_they_were_in(tmp_path: Path) -> None:
    found = launch.run(Launch(processes=2), broken, tmp_path)
    assert found["again"] == found["whole"]
    whole, again = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_only_complete_checkpoints_of_the_same_training_are_used(tmp_path: Path) -> None:
    same: list[object] = ["data", training(), START]
    assert checkpoints.last(tmp_path, same) is None
    for n, complete in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{n}").mkdir()
        if complete:
            (tmp_path / f"checkpoint-{n}" / checkpoints.MARK).touch()
    assert checkpoints.last(tmp_path, same) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-12").exists()
    assert (
        checkpoints.last(tmp_path, ["data", training(checkpoint_steps=7), START]) is not None
    )  # only how often
    assert checkpoints.last(tmp_path, ["data", training(micro_batch_size=2), START]) is None
    assert not list(tmp_path.glob("checkpoint-*"))
