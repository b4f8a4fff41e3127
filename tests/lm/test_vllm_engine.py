"""The engine that starts vLLM, with `promptcot serve` in vLLM's place: what is started when, and that it is the same model.

The real vLLM is tested by `make e2e-vllm`.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.lm import canary, managed
from promptcot.lm.base import EngineSpec, Failure, Part, Prompt, Sample, SamplingParams
from promptcot.lm.load import load_engine
from promptcot.lm.server import VLLM
from promptcot.lm.transformers import TransformersEngine
from promptcot.lm.vllm import VLLMEngine
from promptcot.pocket import MODEL_DIR
from promptcot.recipe import load
from promptcot.runner.worker import Worker
from promptcot.settings import Model

ROOT = Path(__file__).parents[2]
NATS = 1e-4


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What stands for the interpreter that has vLLM."""
    script = tmp_path_factory.mktemp("bin") / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/lm/vllm_stand_in.py "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture(scope="module")
def local() -> TransformersEngine:
    return TransformersEngine(MODEL_DIR, device="cpu")


@pytest.fixture(scope="module")
def copied(local: TransformersEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged model as a trained one: with its canary."""
    folder = tmp_path_factory.mktemp("models") / "q1"
    shutil.copytree(MODEL_DIR, folder)
    canary.write(folder, local)
    return folder


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the servers of another, whatever their order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("servers")))
        yield
        managed.stop_idle()


def spec(model: Path | str, python: str, **settings: object) -> EngineSpec:
    return EngineSpec("vllm", str(model), vllm=VLLM(python=python, **settings))  # type: ignore[arg-type]


def servers() -> list[str]:
    return [f.parent.name for f in managed.place().glob("*/server.json") if managed.running(f.parent)]


def test_it_samples_and_scores_as_in_process(
    copied: Path, python: str, local: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, started = Worker(1), time.monotonic()
    engine = worker.engine(spec(copied, python))
    assert (engine.max_context, engine.end_ids) == (local.max_context, local.end_ids)
    assert servers() == []  # lengths need no server
    ids = engine.encode("The sum of 3 and 4")
    assert ids == local.encode("The sum of 3 and 4")
    params = SamplingParams(max_tokens=8)
    prompts = [Prompt(i, ids=ids) for i in range(3)]
    assert engine.sample(prompts, params) == local.sample(prompts, params)
    parts = [[Part("c", ids, False), Part("x", local.encode(" is seven."))]]
    (mine,), (theirs,) = local.score(parts), engine.score(parts)
    assert not isinstance(theirs, Failure)
    assert theirs["x"].logp == pytest.approx(mine["x"].logp, abs=NATS)
    assert engine.can_score
    used = worker.usage()
    assert used["sampled_tokens"] == sum(
        len(s.ids) + (s.finish == "stop") for s in local.sample(prompts, params)
    )
    assert len(servers()) == 1
    waited: float = engine.waited_s  # type: ignore[attr-defined]
    assert (
        0 < worker.engine_s() + waited <= time.monotonic() - started
    )  # waiting for a server is not the engine's work
    for gpu, left in ((False, 1), (True, 0)):
        monkeypatch.setattr(managed, "has_gpu", lambda gpu=gpu: gpu)
        worker.release()  # before a training, which needs a GPU's memory
        assert len(servers()) == left


@pytest.mark.slow
def test_changed_weights_are_another_server_and_wrong_ones_are_refused(
    copied: Path, python: str, tmp_path: Path, local: TransformersEngine
) -> None:
    folder = tmp_path / "q2"
    shutil.copytree(copied, folder)
    engine = load_engine(spec(folder, python))
    (first,) = engine.sample([Prompt(1, text="Let")], SamplingParams(max_tokens=4))
    assert isinstance(first, Sample)
    (old,) = servers()
    counted = engine.usage()["sampled_tokens"]
    model = TransformersEngine(folder, device="cpu").model
    with_noise = model.state_dict()
    with_noise["model.norm.weight"] *= 1.05
    model.load_state_dict(with_noise)
    model.save_pretrained(folder)  # in place; the canary is still that of the weights before
    with pytest.raises(UserError, match="weights are not those in"):
        engine.sample([Prompt(1, text="Let")], SamplingParams(max_tokens=4))
    canary.write(folder, TransformersEngine(folder, device="cpu"))
    engine.sample([Prompt(1, text="Let")], SamplingParams(max_tokens=4))
    (new,) = servers()
    assert new != old
    assert engine.usage()["sampled_tokens"] > counted
    assert isinstance(engine, VLLMEngine)
    engine.close()


@pytest.mark.slow
def test_two_models_at_half_the_memory_stay_loaded(copied: Path, python: str) -> None:
    for memory, left in ((0.45, 2), (0.9, 1)):
        managed.stop_idle()
        for model in (copied, MODEL_DIR):
            engine = load_engine(spec(model, python, memory=memory))
            engine.sample([Prompt(1, text="Let")], SamplingParams(max_tokens=1))
        assert len(servers()) == left


def test_without_vllm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMPTCOT_VLLM_PYTHON", raising=False)
    engine = load_engine(spec("pocket", ""))
    with pytest.raises(
        UserError, match=r"no interpreter at '\.venv-vllm/bin/python'.*\n.*PROMPTCOT_VLLM_PYTHON"
    ):
        engine.sample([Prompt(1, text="a")], SamplingParams(max_tokens=1))
    monkeypatch.setenv("PROMPTCOT_VLLM_PYTHON", sys.executable)  # a Python without vLLM
    with pytest.raises(UserError, match="ended while it started"):
        engine.sample([Prompt(1, text="a")], SamplingParams(max_tokens=1))


def test_a_recipe_names_it_and_its_settings() -> None:
    recipe = load(
        ROOT / "recipes" / "tiny.yaml",
        ["coldstart.base.engine=vllm", 'coldstart.base.vllm={"context": 512, "args": ["--enforce-eager"]}'],
    )
    assert recipe.coldstart is not None
    made = recipe.coldstart.base.spec("dir")
    assert made.vllm == VLLM(context=512, args=("--enforce-eager",))
    assert hash(made)
    key = recipe.coldstart.base.key()["vllm"]
    assert key == {
        "context": 512,
        "args": ("--enforce-eager",),
    }  # where it runs and how much it takes change nothing
    assert Model(engine="vllm", model="a").spec().vllm == VLLM()
    with pytest.raises(ValueError, match="is for engine 'vllm'"):
        Model(engine="transformers", model="a", vllm=VLLM())
