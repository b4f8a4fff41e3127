"""Any OpenAI-compatible server as an engine: vLLM, SGLang, llama.cpp, Transformers' own, `promptcot serve`, hosted ones.

One request per sample, with the row's own seed: results can be resumed one by one and do not depend on a server's `n`.
What the server can do is tried out before the first use (`promptcot.lm.probe`), never believed: sampling is allowed
where it is right, scoring only where the self-test passes, and `logq` is None where the server cannot tell. Token ids
need a tokenizer here; without one (hosted models) only messages and plain text can be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.lm import canary, probe, replies
from promptcot.lm.base import Failure, Part, Prompt, Sample, SamplingParams, SpanScore
from promptcot.lm.checks import check_params, check_prompt
from promptcot.lm.faults import sound
from promptcot.lm.http import Client
from promptcot.lm.journal import Journal
from promptcot.lm.layout import Layout, lay_out
from promptcot.lm.server import Server
from promptcot.lm.stopping import tokens_before
from promptcot.lm.tokens import Tokens, load_tokenizer

UNKNOWN_CONTEXT = 1 << 20


class OpenAIEngine(Tokens):
    """Samples from and, where the self-test passes, scores with a model behind HTTP.

    Args:
        server: Where it is and how hard it may be pressed.
        model: Its name there.
        tokenizer: A directory or Hub name; without one, text and messages go out and no token ids come back.
        dtype: In which the server runs the model: decides how close to its canary it must come.
        weights: The directory whose canary it must match, where `model` is not that.

    Raises:
        UserError: the key's variable is not set.
    """

    def __init__(
        self, server: Server, model: str, tokenizer: str = "", dtype: str = "float32", weights: str = ""
    ) -> None:
        self.name, self._tokenizer_path, self.dtype = model, tokenizer, dtype
        self._weights = weights or model
        self.client = Client(server, model)
        self._counts = {"prompt_tokens": 0, "sampled_tokens": 0, "scored_tokens": 0, "unseeded": 0}
        self.scoring = probe.Scoring(why="not asked yet")
        self._mean_tokens = 0.0  # of a continuation, for the token rate

    def close(self) -> None:
        """Cancels what is in flight and closes the connections."""
        self.client.close()

    def attend(self, replies: Path | None, parallel: int) -> None:
        """See `promptcot.lm.base.Remote`."""
        old = self.client.journal
        if old is None or old.path != replies:
            if old:
                old.close()
            self.client.journal = Journal(replies) if replies else None
        self.client.share(parallel)

    # what is known about the model

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer (`promptcot.lm.tokens.load_tokenizer`)."""
        return load_tokenizer(self._tokenizer_path or self.name)

    @cached_property
    def max_context(self) -> int:
        """As the server says, else a number that no sequence reaches: then the server refuses what is too long."""
        return self.client.run(probe.context(self.client, self.name)) or UNKNOWN_CONTEXT

    @cached_property
    def completions(self) -> probe.Abilities:
        """What /completions of this server can do.

        Raises:
            UserError: the weights that answer are not those in the model's directory.
        """
        able = self.client.run(probe.completions(self.client, self.name, self.encode))
        self.scoring = self.client.run(probe.scoring(self.client, self.name, self.encode, able))
        if self.scoring.path:
            # Not from the journal: the server may have been started anew, with other weights.
            canary.verify(self._weights, partial(self._score_all, keep=False), self.dtype)
        return able

    @cached_property
    def texts(self) -> probe.Abilities:
        """What /completions does with texts, where there is no tokenizer here."""
        return self.client.run(probe.completions(self.client, self.name, None))

    @cached_property
    def chats(self) -> probe.Abilities:
        """What /chat/completions of this server can do.

        Raises:
            UserError: as `completions`, which is asked first where the model's directory has a canary.
        """
        if canary.there(self._weights):
            _ = self.completions
        return self.client.run(probe.chats(self.client, self.name, bool(self._tokenizer_path)))

    @property
    def can_score(self) -> bool:
        """Whether one of the server's ways to score passed the self-test."""
        return self.completions.prompt_ids and bool(self.scoring.path)

    # sampling

    def sample(self, prompts: Sequence[Prompt], params: SamplingParams) -> list[Sample | Failure]:
        """One sample per prompt, in order, or why there is none.

        The server draws from each prompt's seed. Rows are then as reproducible as the server: `promptcot serve` gives
        the same ids again; vLLM does for equal batches only; `usage()["unseeded"]` counts the samples of servers that
        ignore seeds.

        Raises:
            UserError: the server cannot take such prompts, or is gone.
            ValueError: a prompt without exactly one of ids, text and messages, or impossible `params`.
        """
        check_params(params)
        for prompt in prompts:
            check_prompt(prompt)
        if not prompts:
            return []
        rows = [self._draw(prompt, self._able(prompt), params, self._room(prompt)) for prompt in prompts]
        out: list[Sample | Failure] = []
        for prompt, reply in zip(prompts, self.client.run(self.client.all(rows)), strict=True):
            out.append(reply if isinstance(reply, Failure) else self._sample(prompt, params, reply))
        return out

    def _able(self, prompt: Prompt) -> probe.Abilities:
        """What may be asked for; the first use probes the server, so this is not for the event loop's thread."""
        if prompt.messages is not None:
            return self.chats
        if prompt.ids is None:
            return self.completions if self._tokenizer_path else self.texts
        if not self.completions.token_ids:
            raise UserError(
                f"the server {self.client.server.base_url} does not return token ids",
                expected="return_token_ids (vLLM, promptcot serve) or return_tokens_as_token_ids: what is sampled must be "
                "exactly what is scored and trained",
                do="use such a server for the EM and the synthesis; others can annotate, label, solve and teach",
            )  # fmt: skip
        return self.completions

    def _room(self, prompt: Prompt) -> int:
        """Tokens that fit behind the prompt, where that is known."""
        return UNKNOWN_CONTEXT if prompt.ids is None else self.max_context - len(prompt.ids)

    async def _draw(
        self, prompt: Prompt, able: probe.Abilities, params: SamplingParams, room: int
    ) -> replies.Reply | Failure:
        if room < 1:
            return Failure("context", f"{len(prompt.ids or ())} tokens; the context has {self.max_context}")
        limit, read = min(params.max_tokens, room), replies.completion
        body: dict[str, Any] = {"model": self.name}
        if prompt.messages is not None:
            body["messages"] = [{"role": role, "content": content} for role, content in prompt.messages]
            read = replies.chat
        elif prompt.ids is not None:
            body["prompt"] = list(prompt.ids) if able.prompt_ids else self.decode(prompt.ids)
        else:
            body["prompt"] = prompt.text
        body |= able.drawing(params, prompt.seed, limit)
        estimate = round(self._estimate(prompt) + (self._mean_tokens or limit))
        found = await self.client.ask(able.path, body, read, estimate)
        if not isinstance(found, Failure):
            used = (found["prompt_tokens"] or 0) + (found["tokens"] or 0)
            self.client.tokens_rate.refund(estimate - used if used else 0.0)
            self._mean_tokens += ((found["tokens"] or 0) - self._mean_tokens) / 16
        return found

    def _estimate(self, prompt: Prompt) -> float:
        if prompt.ids is not None:
            return len(prompt.ids)
        return (
            len(prompt.text if prompt.text is not None else "".join(m[1] for m in prompt.messages or ())) / 4
        )

    def _sample(self, prompt: Prompt, params: SamplingParams, reply: replies.Reply) -> Sample | Failure:
        able = self._able(prompt)
        sent = len(prompt.ids) if prompt.ids is not None else None
        read = reply["prompt_tokens"]
        if sent is not None and read is not None and read != sent:
            return Failure("other_prompt", f"{sent} tokens were sent, the server read {read}")
        text, finish, drawn = sound(reply["text"]), reply["finish"], reply["ids"]
        cuts = [text.find(s) for s in params.stop if s in text]
        if cuts:  # a server that kept the stop, or went on behind it
            text, finish = text[: min(cuts)], "stop"
        ids = () if drawn is None else self._ids(text, finish, drawn, bool(cuts))
        logps = reply["logps"]
        # Not where the server went on behind a stop, nor where it left the terminator out.
        told = (
            params.logq and drawn is not None and not cuts and (finish == "length" or len(ids) < len(drawn))
        )
        logq = _sum(logps) if told and logps is not None else None
        counted = None if drawn is not None else reply["tokens"] or 0
        self._counts["prompt_tokens"] += read or sent or 0
        self._counts["sampled_tokens"] += reply["tokens"] or len(drawn or ())
        self._counts["unseeded"] += not able.seed and params.temperature > 0
        return Sample(text, ids, logq, finish, read or sent or 0, counted)

    def _ids(self, text: str, finish: str, drawn: list[int], cut: bool) -> tuple[int, ...]:
        """The drawn ids without the terminator, or without the tokens of the stop."""
        ids = tuple(drawn)
        if finish == "length":
            return ids
        if not cut and ids and ids[-1] in self._specials:
            return ids[:-1]
        return ids[: tokens_before((*ids, 0), text, self.decode)]

    @cached_property
    def _specials(self) -> frozenset[int]:
        return frozenset(self.tokenizer.all_special_ids)

    # scoring

    def score(self, sequences: Sequence[Sequence[Part]]) -> list[dict[str, SpanScore] | Failure]:
        """Per sequence, the score of every part with `scored=True`, or why there is none.

        Raises:
            UserError: the server did not pass the self-test, with the reason.
            ContextOverflow, ValueError: as every engine (see `promptcot.lm.layout`).
        """
        layouts = [lay_out(parts, self.max_context) for parts in sequences]
        if not self.can_score:
            raise UserError(
                f"the server {self.client.server.base_url} may not score: {self.scoring.why}",
                expected="log-probs of fixed token ids that equal those of sampling",
                do="score with vLLM, SGLang, `promptcot serve`, or in process (engine: transformers)",
            )
        return self._score_all(layouts)

    def _score_all(
        self, layouts: Sequence[Layout], keep: bool = True
    ) -> list[dict[str, SpanScore] | Failure]:
        return self.client.run(self.client.all([self._score(x, keep) for x in layouts]))

    async def _score(self, layout: Layout, keep: bool) -> dict[str, SpanScore] | Failure:
        if layout.first >= layout.last:
            return {name: SpanScore(0.0, 0) for name in layout.spans}
        ids = layout.ids[: layout.last]
        path, body = self.scoring.request(self.name, ids)
        found = await self.client.ask(path, body, self.scoring.reader(ids), len(ids), keep=keep)
        if isinstance(found, Failure):
            return found
        self._counts["scored_tokens"] += len(layout.ids)
        return {
            name: SpanScore(_sum(found[start:end]), end - start)
            for name, (start, end) in layout.spans.items()
        }

    def usage(self) -> dict[str, int]:
        """Tokens, requests, retries, failed rows and samples without a seed since start, those of probes included."""
        return {**self._counts, **self.client.counts}


def _sum(logps: Sequence[float | None]) -> float:
    total = 0.0
    for logp in logps:
        assert logp is not None, "a scored part covers position 0"
        total += logp
    return total
