"""llama-cpp-python's server, the real one (`make e2e-llama-cpp`): it may answer, not score."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.lm.base import Part, Prompt, Sample, SamplingParams
from promptcot.lm.managed import _free_port, tail
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import Server
from promptcot.lm.transformers import TransformersEngine
from promptcot.pocket import MODEL_DIR

pytestmark = pytest.mark.e2e_llama_cpp
MODEL = str(MODEL_DIR)
START_S = 120.0
QUESTIONS = (
    "What is 17 + 25? Answer in \\boxed{}.",
    "Find the sum of the first 20 odd numbers.",
    "What is 3 * 4 - 5?",
)
BEGINNINGS = ("The sum of 12 and 30", "Let n be the smallest number", "There are 5 boxes of 12 pens.")


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter that has llama-cpp-python."""
    return Path(os.environ["PROMPTCOT_LLAMA_CPP_PYTHON"])


@pytest.fixture(scope="module")
def url(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The packaged model behind the server."""
    folder = tmp_path_factory.mktemp("llama")
    model, log, port = folder / "pocket.gguf", folder / "log", _free_port()
    subprocess.run([python, Path(__file__).with_name("to_gguf.py"), MODEL, model], check=True)
    settings = {
        "model": model, "model_alias": "pocket", "host": "127.0.0.1", "port": port, "n_ctx": 1024,
        "n_threads": 1, "n_threads_batch": 1, "logits_all": "true",
        "type_k": 0, "type_v": 0,  # keys and values in float32, as in process
    }  # fmt: skip
    command = [str(python), "-m", "llama_cpp.server"]
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as server:
        ends = time.monotonic() + START_S
        while not answers(f"http://127.0.0.1:{port}/v1/models"):
            assert server.poll() is None, tail(log)
            assert time.monotonic() < ends, tail(log)
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
        server.terminate()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[OpenAIEngine]:
    made = OpenAIEngine(Server(base_url=url), "pocket", MODEL)
    yield made
    made.close()


@pytest.fixture(scope="module")
def local() -> TransformersEngine:
    return TransformersEngine(MODEL, device="cpu")


def texts(samples: list[object]) -> list[str]:
    assert all(isinstance(s, Sample) for s in samples), samples
    return [s.text for s in samples if isinstance(s, Sample)]


def test_its_greedy_answers_to_messages_are_those_in_process(
    engine: OpenAIEngine, local: TransformersEngine
) -> None:
    prompts = [Prompt(i, messages=(("user", q),)) for i, q in enumerate(QUESTIONS)]
    params = SamplingParams(0.0, max_tokens=48)
    theirs, mine = texts(list(engine.sample(prompts, params))), texts(list(local.sample(prompts, params)))
    print(
        f"measured: llama.cpp: {sum(a == b for a, b in zip(theirs, mine))} of {len(mine)} greedy answers equal"
    )
    assert theirs == mine


def test_it_goes_on_with_a_text_as_in_process(engine: OpenAIEngine, local: TransformersEngine) -> None:
    prompts = [Prompt(i, text=text) for i, text in enumerate(BEGINNINGS)]
    params = SamplingParams(0.0, max_tokens=24)
    assert texts(list(engine.sample(prompts, params))) == texts(list(local.sample(prompts, params)))


def test_it_may_not_score_and_says_why(engine: OpenAIEngine) -> None:
    assert not engine.can_score
    print(f"measured: llama.cpp: {engine.completions}; scoring: {engine.scoring.why}", flush=True)
    with pytest.raises(UserError, match="may not score"):
        engine.score([[Part("c", (1, 2), False), Part("x", (3,))]])
