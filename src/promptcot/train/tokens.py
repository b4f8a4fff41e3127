"""The token ids of a conversation, by the tokenizer of the weights that are trained.

The engine that sampled may be a server elsewhere; what is trained is always read with the model's own tokenizer, and
without loading the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptcot.errors import UserError
from promptcot.lm import tokens

THINK = "<think>"


class Tokens(tokens.Tokens):
    """Texts to ids, as the engine of the same directory would make them.

    Raises:
        UserError: there is no tokenizer, or it has no end token.
    """

    def __init__(self, model: str) -> None:
        self.name, self.tokenizer = model, tokens.load_tokenizer(model)
        check_end(self.tokenizer, model)

    def turn(self, prompt: Sequence[int], text: str, ended: bool = True) -> tuple[int, ...]:
        """Ids of the assistant's `text` behind `prompt`, with the end of the turn unless it was cut off.

        Templates of thinking models open the thinking in the prompt; a text of another engine that opens it once
        more continues what the prompt began.
        """
        if text.lstrip().startswith(THINK):
            opened = self.decode(prompt[-8:]).rstrip()
            if opened.endswith(THINK):
                text = text.lstrip().removeprefix(THINK).lstrip("\n")
        return self.encode(text) + (self.end_ids if ended else ())


def check_end(tokenizer: Any, model: str, vocabulary: int | None = None) -> None:
    """Refuses a tokenizer whose end of a turn cannot be trained.

    Args:
        tokenizer: Of the model.
        model: Its directory or name.
        vocabulary: How many tokens the model has, where that is known.

    Raises:
        UserError: it has no end token, or one that the model does not have.
    """
    end = tokenizer.eos_token_id
    if end is not None and (vocabulary is None or end < vocabulary):
        return
    raise UserError(
        f"the tokenizer of {model} has no end token (eos_token)"
        if end is None
        else f"the end token {tokenizer.eos_token!r} of {model} has the id {end}, and the model {vocabulary} tokens",
        expected="an end token of the model: no row could say where an answer ends, and what is trained would never stop",
        do='name it in its tokenizer_config.json, as "eos_token": "<|im_end|>" for a template that ends turns so',
    )
