"""Two processes over gloo train like one, under DDP and under FSDP2, and what wraps the model is checked."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.settings import Launch, Preference, Training
from promptcot.train import launch, shards
from promptcot.train.common import load
from promptcot.train.dpo import dpo
from promptcot.train.sft import sft

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from tests.train.small import BASE, START, both, id_pairs, refuse, rows  # noqa: E402


def test_two_processes_give_the_losses_and_the_weights_of_one(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = launch.run(Launch(processes=2), both, tmp_path)
    one = {
        "ddp": sft(tmp_path / "one", rows(), START, Training.model_validate(BASE)),
        "fsdp2": dpo(tmp_path / "two", id_pairs(16), START, Preference.model_validate(BASE)),
    }
    for kind, alone in (("ddp", "one"), ("fsdp2", "two")):
        assert found[kind] == pytest.approx(one[kind]["loss"], abs=1e-5)
        a, b = (load(str(tmp_path / name))[0].state_dict() for name in (kind, alone))
        assert max(float((a[k] - b[k]).abs().max()) for k in b) < 1e-5
    assert not (tmp_path / ".launch").exists()


@pytest.mark.parametrize(("asked", "processes"), [("ddp", 2), ("fsdp2", 2), ("fsdp2", 1)])
def test_a_model_that_is_not_wrapped_as_asked_is_refused(asked: str, processes: int) -> None:
    plain = torch.nn.Linear(1, 1)
    settings = Launch.model_validate({"processes": processes, "sharding": asked})
    shards.check(plain, Launch(), 1)
    with pytest.raises(UserError, match="the model is trained as one process in 2 processes"):
        shards.check(plain, settings, 2)


def test_an_error_of_a_process_reaches_the_one_that_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / launch.JOB).write_bytes(pickle.dumps((refuse, tmp_path, ())))
    with pytest.raises(UserError, match="no rows"):
        launch.main(tmp_path)
    raised = pickle.loads((tmp_path / launch.ERROR).read_bytes())
    assert (raised.seen, raised.do) == ("no rows", "something")


def test_a_process_that_dies_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "command", lambda *_: ["sh", "-c", "echo out of memory; exit 9"])
    with pytest.raises(UserError, match="exit code 9:\nout of memory"):
        launch.run(Launch(processes=2), refuse, tmp_path)
