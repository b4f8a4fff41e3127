"""vLLM as an engine of a recipe: its own server, in an environment and processes of its own, started when it is needed.

vLLM and the trainer want different versions of the same packages, and vLLM keeps a GPU to itself. So a worker starts
vLLM's OpenAI server (`promptcot.lm.managed`), all workers of the run share it, and it is ended before a training, for
another model, or with the run. What is sampled and scored goes through `promptcot.lm.openai`, with its probes and canary.

Other weights are another server: reloading in place is said to leave old weights behind without an error. An adapter is
loaded beside its base under a name and a path that are digests of its content, so that an old one cannot answer for it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.ids import digest, tree_digest
from promptcot.lm import managed
from promptcot.lm.adapters import Adapter
from promptcot.lm.base import Failure, Part, Prompt, Sample, SamplingParams, SpanScore
from promptcot.lm.faults import ServerUnavailable
from promptcot.lm.openai import OpenAIEngine
from promptcot.lm.server import VLLM, Server
from promptcot.lm.tokens import Tokens, load_tokenizer

PYTHON = "PROMPTCOT_VLLM_PYTHON"
HERE = Path(".venv-vllm/bin/python")
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM takes as --max-lora-rank
ADAPTERS_AT_ONCE = 2  # q and p
LONG_S = 7200.0  # the server is ours and on this machine: a long trace is no fault


class VLLMEngine(Tokens):
    """Samples from and scores with a model that vLLM serves.

    Args:
        model: A directory with weights or with an adapter, or a name on the Hugging Face Hub.
        tokenizer: A directory or Hub name, where the model has none of its own.
        dtype: In which vLLM runs it.
        settings: How to start vLLM.

    Raises:
        UserError: (when first asked for a sample or a score) there is no vLLM, or it does not start.
    """

    def __init__(self, model: str, tokenizer: str, dtype: str, settings: VLLM) -> None:
        self.name, self.dtype, self.settings = model, dtype, settings
        self._tokenizer_path = tokenizer or model
        self._adapter = Adapter.of(model)
        self._base = self._adapter.base if self._adapter else model
        self._inner: OpenAIEngine | None = None
        self._where: tuple[str, str] = ("", "")
        self._past: dict[str, int] = {}  # what connections counted that are closed by now
        self._shared: tuple[Path | None, int] = (None, 1)
        self.waited_s = 0.0  # for servers to start: no engine worked meanwhile

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer (`promptcot.lm.tokens.load_tokenizer`)."""
        return load_tokenizer(self._tokenizer_path)

    @cached_property
    def max_context(self) -> int:
        """As the recipe says, else all that the model's configuration allows; the server is started with it."""
        if self.settings.context:
            return self.settings.context
        try:
            from transformers import AutoConfig
        except ModuleNotFoundError:
            raise MissingExtra("transformers", "train") from None
        config = AutoConfig.from_pretrained(self._base, local_files_only=Path(self._base).is_dir())
        return int(config.get_text_config(decoder=True).max_position_embeddings)

    @property
    def can_score(self) -> bool:
        """Whether vLLM's scores pass the self-test."""
        with self._served() as engine:
            return engine.can_score

    def attend(self, replies: Path | None, parallel: int) -> None:
        """See `promptcot.lm.base.Remote`."""
        self._shared = (replies, parallel)
        if self._inner is not None:
            self._inner.attend(replies, parallel)

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample | Failure]:
        """See `promptcot.lm.openai.OpenAIEngine.sample`. Log-probs are those at T=1, whatever the temperature."""
        if not prompts:
            return []
        with self._served() as engine:
            return engine.sample(prompts, params)

    def score(self, sequences: Sequence[Sequence[Part]]) -> list[dict[str, SpanScore] | Failure]:
        """See `promptcot.lm.openai.OpenAIEngine.score`."""
        if not sequences:
            return []
        with self._served() as engine:
            return engine.score(sequences)

    def usage(self) -> dict[str, int]:
        """See `promptcot.lm.openai.OpenAIEngine.usage`; over all servers that were asked."""
        now = self._inner.usage() if self._inner else {}
        return {k: self._past.get(k, 0) + now.get(k, 0) for k in {**self._past, **now}}

    def close(self) -> None:
        """Closes the connection; the server is ended by whoever needs its place."""
        self._past = self.usage()
        if self._inner is not None:
            self._inner.close()
        self._inner = None

    # the server

    @contextmanager
    def _served(self) -> Iterator[OpenAIEngine]:
        """The connection to a running server with the weights as they are now."""
        launch, asked = self._launch(), time.monotonic()
        try:
            with managed.lease(launch) as url:
                self.waited_s += time.monotonic() - asked
                name = self._loaded(url) if self._adapter else launch.key
                if self._inner is None or self._where != (url, name):
                    self._connect(url, name)
                assert self._inner is not None
                yield self._inner
        except ServerUnavailable as e:
            log = managed.log_of(launch)
            raise ServerUnavailable(
                f"{e.seen}\nThe last it said:\n{managed.tail(log)}",
                do=f"see all of it in {log}; the same command goes on with what is missing",
            ) from None

    def _connect(self, url: str, name: str) -> None:
        self.close()
        server = Server(
            base_url=f"{url}/v1", max_concurrency=self.settings.max_concurrency, timeout_s=LONG_S,
            deadline_s=2 * LONG_S, patience_s=10.0,
        )  # fmt: skip
        self._inner = OpenAIEngine(server, name, self._tokenizer_path, self.dtype, weights=self.name)
        self._where = (url, name)
        self._inner.attend(*self._shared)

    def _launch(self) -> managed.Launch:
        settings = self.settings
        fixed = [
            "--model", _absolute(self._base), "--dtype", self.dtype, "--max-model-len", str(self.max_context),
            "--generation-config", "vllm",  # else the model's own top_k and penalties are slipped in
            "--logprobs-mode", "raw_logprobs",  # at T=1, whatever the temperature
            "--enable-prefix-caching", "--disable-uvicorn-access-log",
            "--gpu-memory-utilization", str(settings.memory),
        ]  # fmt: skip
        if not managed.has_gpu():  # a seeded prompt that is read in two pieces kills the CPU build (0.32)
            fixed += ["--no-enable-chunked-prefill"]
        if self._adapter:
            rank = next((r for r in RANKS if r >= self._adapter.rank), RANKS[-1])
            fixed += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(ADAPTERS_AT_ONCE)]
            if (
                self._adapter.targets
            ):  # without, vLLM also puts an adapter on the head and dies at prompt_logprobs
                fixed += ["--lora-target-modules", *self._adapter.targets]
        fixed += settings.args
        key = digest([_interpreter(settings), fixed, _state(self._base)])

        def command(port: int) -> list[str]:
            head = [_interpreter(settings), "-m", "vllm.entrypoints.openai.api_server"]
            return [*head, "--host", "127.0.0.1", "--port", str(port), "--served-model-name", key, *fixed]

        return managed.Launch(
            key, command, f"vLLM for {self.name}", (("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "1" if self._adapter else "0"),),
            beside=max(1, int(1 / settings.memory + 1e-6)), start_s=settings.start_s,
        )  # fmt: skip

    def _loaded(self, url: str) -> str:
        """The name under which the server has the adapter, which is loaded where it is not yet."""
        assert self._adapter is not None
        name = tree_digest(self._adapter.path)
        if self._where == (url, name):
            return name
        copy = (
            managed.place() / "adapters" / name
        )  # whatever becomes of the original, this one stays as it is
        if not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            made = copy.with_name(f"{name}.{os.getpid()}")
            shutil.copytree(self._adapter.path, made, dirs_exist_ok=True)
            try:
                made.rename(copy)
            except OSError:  # another worker was faster
                shutil.rmtree(made)
        managed.post(f"{url}/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(copy)}, "already")
        return name


def _state(model: str) -> Any:
    """What changes whenever the weights of a model do: of a directory, its files' sizes, times and places on the disk."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return [[p.name, (s := p.stat()).st_size, s.st_mtime_ns, s.st_ino] for p in files]


def _absolute(model: str) -> str:
    return str(Path(model).absolute()) if Path(model).is_dir() else model


def _interpreter(settings: VLLM) -> str:
    """The Python that has vLLM.

    Raises:
        UserError: none is named, or it is not there.
    """
    given = settings.python or os.environ.get(PYTHON, "")
    path = Path(given) if given else HERE
    if not path.is_file():
        raise UserError(
            f"no interpreter at '{path}' for engine 'vllm'",
            expected=f"a Python that has vLLM, in an environment of its own: the recipe's vllm.python, or ${PYTHON}",
            do="python -m venv .venv-vllm && .venv-vllm/bin/pip install vllm",
        )
    return str(path.absolute())
