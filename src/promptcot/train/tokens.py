"""The token ids of a conversation, by the tokenizer of the weights that are trained.

The engine that sampled may be a server elsewhere; what is trained is always read with the model's own tokenizer, and
without loading the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptcot.errors import MissingExtra, UserError

THINK = "<think>"


class Tokens:
    """Texts to ids, as the engine of the same directory would make them."""

    def __init__(self, model: str) -> None:
        try:
            from transformers import AutoTokenizer
        except ImportError:
            raise MissingExtra("transformers", "train") from None
        self.model = model
        self.tokenizer: Any = AutoTokenizer.from_pretrained(model)

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of `text`, special tokens written in it recognised, none added."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def prompt(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Ids of a conversation, ready for the assistant's turn.

        Raises:
            UserError: the tokenizer has no chat template.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(
                f"the tokenizer of {self.model} has no chat template",
                do="put a chat_template.jinja next to its files, or train an instruction-tuned model",
            )
        turns = [{"role": role, "content": content} for role, content in messages]
        return tuple(
            self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )

    def turn(self, prompt: Sequence[int], text: str, ended: bool = True) -> tuple[int, ...]:
        """Ids of the assistant's `text` behind `prompt`, with the end of the turn unless it was cut off.

        Templates of thinking models open the thinking in the prompt; a text of another engine that opens it once
        more continues what the prompt began.
        """
        if text.lstrip().startswith(THINK):
            opened = self.tokenizer.decode(list(prompt[-8:]), skip_special_tokens=False).rstrip()
            if opened.endswith(THINK):
                text = text.lstrip().removeprefix(THINK).lstrip("\n")
        end = self.tokenizer.eos_token_id
        return self.encode(text) + ((end,) if ended and end is not None else ())
