"""Two processes over gloo train like one, under DDP and under FSDP2, and what wraps the model is checked."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from promptcot.errors import UserError
from promptcot.settings import Launch, Preference, Training
from promptcot.train import launch, shards
from promptcot.train.common import load
from promptcot.train.dpo import dpo
from promptcot.train.sft import sft

torch = pytest.importorskip("torch", reason="needs torch: pip install 'promptcot[train]'")
from tests.train.small import BASE, START, attempts, both, dies, id_pairs, refuse, rows  # noqa: E402


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
    for kind in ("ddp", "fsdp2"):  # what the driver shows of its progress
        state = json.loads((tmp_path / kind / "progress.json").read_text())
        assert state["step"] == state["steps"] > 1


@pytest.mark.slow
def test_two_processes_learn_from_the_same_attempts_sharded_or_not(tmp_path: Path) -> None:
    found = launch.run(Launch(processes=2), attempts, tmp_path)
    for facts in found.values():
        # Two epochs of four tasks, two a step, a group of four attempts each; the counts are those of both processes.
        assert (facts["steps"], facts["attempts"], facts["unrewarded"]) == (4, 2 * 4 * 4, 0)
    assert found["ddp"]["reward"] == pytest.approx(found["fsdp2"]["reward"])
    assert 0 < sum(found["ddp"]["reward"]) < 4
    a, b, start = (
        load(m)[0].state_dict() for m in (str(tmp_path / "ddp"), str(tmp_path / "fsdp2"), START.model)
    )
    assert max(float((a[k] - b[k]).abs().max()) for k in b) < 1e-4  # Adam at 1e-3, four steps
    assert max(float((a[k] - start[k]).abs().max()) for k in b) > 1e-3


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
    (tmp_path / launch.JOB).write_bytes(pickle.dumps((refuse, tmp_path, (), [])))
    with pytest.raises(UserError, match="no rows"):
        launch.main(tmp_path)
    raised = pickle.loads((tmp_path / launch.ERROR).read_bytes())
    assert (raised.seen, raised.do) == ("no rows", "something")


@pytest.mark.slow
def test_the_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from promptcot.settings import Launch; from promptcot.train import launch; "
    code += "from tests.train.small import last; launch.run(Launch(processes=2), last, Path(sys.argv[1]))"
    asked = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    while len(started := [int(p.name) for p in tmp_path.iterdir() if p.name.isdecimal()]) < 2:
        assert asked.poll() is None
        time.sleep(0.1)
    processes = [psutil.Process(pid) for pid in started]
    (torchrun,) = psutil.Process(asked.pid).children()
    torchrun.kill()
    _, alive = psutil.wait_procs(processes, timeout=300)
    for process in alive:
        process.kill()
    assert not alive
    assert "a training of 2 processes ended with exit code -9" in asked.communicate()[1]


def test_a_process_that_dies_is_told_with_its_own_last_words(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended with exit code 1") as told:
        launch.run(Launch(processes=2), dies, tmp_path)
    assert "no room for the gradients" in told.value.seen
    assert re.search(r"failed \(exitcode: 7\) local_rank: [01]", told.value.seen.splitlines()[-1])


def test_a_process_that_dies_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "command", lambda *_: ["sh", "-c", "echo out of memory; exit 9"])
    with pytest.raises(UserError, match="exit code 9:\nout of memory"):
        launch.run(Launch(processes=2), refuse, tmp_path)
