"""Text, token ids and conversations through one Hugging Face tokenizer: what every engine that has one shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from promptcot.errors import MissingExtra, UserError


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a directory or a Hub name.

    Raises:
        UserError: there is none.
        MissingExtra: transformers is not installed.
    """
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError:
        raise MissingExtra("transformers", "train") from None
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=Path(path).is_dir())
    except (OSError, ValueError) as e:
        raise UserError(
            f"no tokenizer can be loaded from {path!r}: {str(e).splitlines()[0]}",
            expected="a directory or a Hub name with the tokenizer of the model",
            do="set `tokenizer` next to `model` in the recipe",
        ) from None


class Tokens:
    """The tokenizer's half of an `Engine`; `self.tokenizer` and `self.name` come from the other half."""

    tokenizer: Any
    name: str

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What ends an assistant's turn."""
        end = self.tokenizer.eos_token_id
        return () if end is None else (end,)

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
            UserError: the tokenizer has no chat template, or that refuses these turns.
        """
        from jinja2 import TemplateError

        if self.tokenizer.chat_template is None:
            raise UserError(
                f"messages were given, but the tokenizer of {self.name} has no chat template",
                do="use a plain-text prompt, an instruction-tuned model, "
                "or put a chat_template.jinja next to the model's tokenizer files",
            )
        turns = [{"role": role, "content": content} for role, content in messages]
        try:
            return tuple(
                self.tokenizer.apply_chat_template(
                    turns, add_generation_prompt=True, tokenize=True, return_dict=False
                )
            )
        except TemplateError as e:
            raise UserError(
                f"the chat template of {self.name} refuses the turns {[role for role, _ in messages]}: {e}"
            ) from None
