"""Text, token ids and conversations through one Hugging Face tokenizer: what every engine that has one shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from promptcot.errors import UserError


class Tokens:
    """The tokenizer's half of an `Engine`; `self.tokenizer` and `self.name` come from the other half."""

    tokenizer: Any
    name: str

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`, special tokens written in it recognised, none added."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens kept."""
        text: str = self.tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def chat_ids(self, messages: Sequence[tuple[str, str]]) -> tuple[int, ...]:
        """Token ids of a conversation, ready for the assistant's turn.

        Raises:
            UserError: the tokenizer has no chat template.
        """
        if self.tokenizer.chat_template is None:
            raise UserError(
                f"messages were given, but the tokenizer of {self.name} has no chat template",
                do="use a plain-text prompt, an instruction-tuned model, "
                "or put a chat_template.jinja next to the model's tokenizer files",
            )
        turns = [{"role": role, "content": content} for role, content in messages]
        return tuple(
            self.tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        )
