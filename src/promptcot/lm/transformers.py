"""In-process Hugging Face engine: any causal LM that `AutoModelForCausalLM` loads, on CPU or one GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from promptcot.errors import UserError
from promptcot.lm.adapters import Adapter, attach
from promptcot.lm.base import (
    ContextOverflow,
    Part,
    Prompt,
    Sample,
    SamplingParams,
    SpanScore,
)
from promptcot.lm.checks import check_ids, check_params, check_prompt
from promptcot.lm.decode import Draw, Job, Rule, draw
from promptcot.lm.layout import Layout, lay_out
from promptcot.lm.scoring import LOGITS_AT_ONCE, score_all
from promptcot.lm.stopping import Stops, make_stops
from promptcot.lm.tokens import Tokens

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICES = ("auto", "cpu", "cuda")
CPU_SCORING_TOKENS = 2048  # larger passes leave the processor's caches and are slower
RULES_KEPT = 64


class TransformersEngine(Tokens):
    """Samples from and scores with one model in one dtype.

    Sampling runs its own loop (see `promptcot.lm.decode`), never `generate()`, which would cut the
    distribution to the 50 likeliest tokens unless told not to. Threads are the caller's business.
    """

    can_score = True

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        dtype: str = "float32",
        device: str = "auto",
        batch_tokens: int = 16384,
    ) -> None:
        """Loads a model and its tokenizer; a directory is read without asking the network.

        Args:
            model_path: Directory, or a name on the Hugging Face Hub.
            dtype: "float32" or "bfloat16". Compare scores only within one dtype.
            device: "cpu", "cuda", or "auto" (a GPU if there is one).
            batch_tokens: Padded tokens in one batch at most; decides speed and memory, never results.

        Raises:
            UserError: unknown dtype or device, or nothing loadable at `model_path`.
        """
        model, tokenizer = load(os.fspath(model_path), dtype, device)
        self._bind(model, tokenizer, os.fspath(model_path), batch_tokens)

    @classmethod
    def from_model(
        cls, model: Any, tokenizer: Any, *, name: str = "in-memory", batch_tokens: int = 16384
    ) -> TransformersEngine:
        """Wraps a loaded model. Its weights may change between calls; it is left in the mode it was in."""
        engine = cls.__new__(cls)
        engine._bind(model, tokenizer, name, batch_tokens)
        return engine

    def _bind(self, model: Any, tokenizer: Any, name: str, batch_tokens: int) -> None:
        self.model, self.tokenizer, self.name, self.batch_tokens = model, tokenizer, name, batch_tokens
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.max_context = int(model.config.get_text_config(decoder=True).max_position_embeddings)
        self.vocabulary = int(model.get_input_embeddings().num_embeddings)
        self._rules: dict[Any, Rule] = {}
        self._usage = {"prompt_tokens": 0, "sampled_tokens": 0, "scored_tokens": 0}

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample]:
        """One sample per prompt, in order; what a row draws depends on its ids, seed and `params` alone.

        A sample stops at the model's end tokens, a stop string, `max_tokens`, or the end of the context.
        A stop string that is one special token is matched by its id. Another may begin inside a token:
        then `text` keeps that token's characters before the stop, and `ids` only whole tokens before it.
        `logq` covers everything drawn, the tokens of the stop included.

        Raises:
            ContextOverflow: a prompt leaves no room for a token.
            UserError: messages, and nothing that would end a turn.
            ValueError: a prompt without exactly one of ids, text and messages, an id that is no token, or impossible
                `params`.
        """
        jobs = self.jobs(prompts, params)
        with self._evaluating():
            return [self._sample(row) for row in draw(self.model, jobs, self.batch_tokens)]

    def jobs(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Job]:
        """What `sample` is asked for, checked and in token ids."""
        check_params(params)
        rule = self._rule(params)
        return [self._job(prompt, params.max_tokens, rule) for prompt in prompts]

    def score(self, sequences: Sequence[Sequence[Part]]) -> list[dict[str, SpanScore]]:
        """Per sequence, sum of log-probs (float32 softmax, float64 sum) and token count of every scored part.

        Raises:
            ContextOverflow: a sequence is longer than the context; nothing is ever cut.
            ValueError: two scored parts of a sequence share a name, one covers position 0, or an id is no token.
        """
        return self.score_layouts([self.layout(parts) for parts in sequences])

    def score_layouts(self, layouts: Sequence[Layout]) -> list[dict[str, SpanScore]]:
        """As `score`, of sequences that `layout` has checked."""
        self._usage["scored_tokens"] += sum(len(x.ids) for x in layouts)
        with self._evaluating():
            return score_all(self.model, layouts, self.scoring_tokens)

    def layout(self, parts: Sequence[Part]) -> Layout:
        """A sequence that `score` is asked for, checked; raises as it does."""
        made = lay_out(parts, self.max_context)
        check_ids(made.ids, self.vocabulary)
        return made

    def usage(self) -> dict[str, int]:
        """Tokens since start: of prompts as given, drawn (terminators included), and in scored sequences."""
        return dict(self._usage)

    def _job(self, prompt: Prompt, max_tokens: int, rule: Rule) -> Job:
        ids = self._ids(prompt)
        check_ids(ids, self.vocabulary)
        room = self.max_context - len(ids)
        if room < 1:
            raise ContextOverflow(
                f"a prompt has {len(ids)} tokens",
                expected=f"fewer than {self.max_context}, the context of {self.name}, to leave room for a sample",
                do="shorten the prompt, or use a model with a longer context",
            )
        if not ids:
            raise ValueError("a prompt has no tokens: the model has nothing to continue")
        if prompt.messages is not None and not (rule.stops.ids or rule.stops.texts):
            raise UserError(
                f"nothing ends a turn of {self.name}: its tokenizer, config.json and generation_config.json name no end token",
                expected="an end token: without one every answer runs into the limit",
                do="write the model's eos_token into its tokenizer_config.json",
            )
        return Job(ids, prompt.seed, min(max_tokens, room), rule)

    def _ids(self, prompt: Prompt) -> tuple[int, ...]:
        check_prompt(prompt)
        if prompt.ids is not None:
            return tuple(prompt.ids)
        return self.encode(prompt.text) if prompt.text is not None else self.chat_ids(prompt.messages or ())

    def _sample(self, row: Draw) -> Sample:
        self._usage["prompt_tokens"] += len(row.job.prompt)
        self._usage["sampled_tokens"] += row.drawn_tokens
        text = self.decode(row.ids) if row.text is None else row.text
        return Sample(text, tuple(row.ids), row.logq, row.finish, len(row.job.prompt))

    def _rule(self, params: SamplingParams) -> Rule:
        """One object for equal parameters: rows that have it are drawn together."""
        key = params.temperature, params.top_p, params.top_k, params.stop
        if key in self._rules:
            return self._rules[key]
        if len(self._rules) >= RULES_KEPT:
            self._rules.clear()
        return self._rules.setdefault(
            key, Rule.of(params, self._stops(params.stop))
        )  # threads may be here together

    def _stops(self, stop: tuple[str, ...]) -> Stops:
        special = self.tokenizer.get_added_vocab()
        pieces = self._pieces if any(s not in special for s in stop) else ()
        return make_stops(stop, self._stop_ids, special, pieces, self.decode)

    @cached_property
    def _pieces(self) -> list[str]:
        return [self.decode([i]) for i in range(len(self.tokenizer))]

    @cached_property
    def _stop_ids(self) -> frozenset[int]:
        """Every id that the model's generation settings, its configuration or its tokenizer call an end."""
        found: set[int] = set()
        for source in (self.model.generation_config, self.model.config, self.tokenizer):
            ids = getattr(source, "eos_token_id", None)
            found.update([] if ids is None else [ids] if isinstance(ids, int) else ids)
        return frozenset(found)

    @property
    def scoring_tokens(self) -> int:
        """Padded tokens in one pass of `score` at most."""
        best = CPU_SCORING_TOKENS if self.model.device.type == "cpu" else self.batch_tokens
        return min(best, self.batch_tokens, LOGITS_AT_ONCE // self.vocabulary)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(training)


def load(path: str, dtype: str, device: str) -> tuple[Any, Any]:
    """(model, tokenizer) of a directory or a Hub name; see `TransformersEngine`."""
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r}", expected=" or ".join(DTYPES))
    if device not in DEVICES:
        raise UserError(f"device {device!r}", expected=", ".join(DEVICES))
    logging.disable_progress_bar()  # a library prints no bar of its own
    local = os.path.isdir(path)
    adapter = Adapter.of(path)
    weights = adapter.base if adapter else path
    if local and adapter is None and not os.path.isfile(os.path.join(path, "config.json")):
        raise _not_loadable(path, "the directory has no config.json")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            weights, dtype=DTYPES[dtype], local_files_only=os.path.isdir(weights)
        )
        if adapter:
            model = attach(model, adapter).merge_and_unload()
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=local)
    except (OSError, SafetensorError) as error:
        raise _not_loadable(path, str(error).splitlines()[0]) from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), tokenizer


def _not_loadable(path: str, why: str) -> UserError:
    step = Path(path).parent  # where a run trained it
    return UserError(
        f"no model can be loaded from {path!r}: {why}",
        expected="a directory with config.json, weights and tokenizer files, or a name on the Hugging Face Hub",
        do=f"rm -r '{step}'; then promptcot run RECIPE trains it again"
        if (step / "step.json").exists()
        else "",
    )
